"""Reads a Python module or package from disk into one dictionary that can travel.

Called where a package is sent to other executors.  Decides by regular expressions on names what
comes along, and refuses whatever lies outside the given root.  It runs and imports nothing of
what it reads, and writes nothing: `files` maps relative paths to bytes, ready to be checked again
and written by the receiver.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from typing import NamedTuple, TypedDict

REJECT_FILES = (r"^.*?\.(so|pyd|pyc)$", r"^(?![a-zA-Z_]).*$")
ACCEPT_FILES = (r"^[a-zA-Z_]{1,}[a-zA-Z0-9_]{0,}\.(py|pyx|h|c|cc|cxx|c\+\+|hh|H|hxx|hpp|h\+\+)$",)
REJECT_FOLDERS = (r"^\..*?$", r"^__pycache__$", r"^docs$", r"^Examples$")
ACCEPT_FOLDERS = (r"^[a-zA-Z_]{1,}[a-zA-Z0-9_]{0,}$",)

Names = list[str] | tuple[str, ...] | Set[str]


class Sources(TypedDict):
    """One module or package: builtin types only, so that any codec carries it.

    `files` has paths relative to the folder that holds the module or package, with `/` between
    their parts: `{"mine/__init__.py": b"…", "mine/sub/deep.py": b"…"}`.
    """

    name: str
    type: str  # "module" or "package"
    files: dict[str, bytes]


def read_files(
    path: str | os.PathLike[str],
    *,
    reject_files: Names = REJECT_FILES,
    accept_files: Names = ACCEPT_FILES,
    reject_folders: Names = REJECT_FOLDERS,
    accept_folders: Names = ACCEPT_FOLDERS,
    data_files: Names | None = None,
) -> Sources:
    """Read the module (a file) or package (a folder) at *path*.

    A name comes along when no reject pattern finds itself in it and, where there are accept
    patterns, at least one of them does.  The name of *path* itself is only asked about when it
    is a file.  *data_files* are relative to *path* and come along whatever the patterns say; a
    folder among them with everything below it.

    Raises FileNotFoundError when something named is not there, TypeError and ValueError for
    parameters that make no sense, and ValueError for what must not travel: a link that leads
    out of *path*, a pipe or socket, and a *path* of which nothing is left to read.
    """
    files = _Filter.of("Files", reject_files, accept_files)
    folders = _Filter.of("Folders", reject_folders, accept_folders)
    extra = _texts("dataFiles", () if data_files is None else data_files)
    root = _checked_path(path)
    if os.path.isdir(root):
        return _read_package(root, files, folders, extra)
    return _read_module(root, files, extra)


def _read_module(path: str, files: _Filter, extra: tuple[str, ...]) -> Sources:
    name = os.path.basename(path)
    if extra:
        raise ValueError(
            f"dataFiles is {list(extra)!r}, but path {path!r} is a single file: "
            "only a folder can bring data files along"
        )
    if not files.accepts(name):
        raise ValueError(
            f"path {path!r} is a file whose name rejectFiles or acceptFiles refuse: "
            "give empty ones to read it all the same"
        )
    return {"name": os.path.splitext(name)[0], "type": "module", "files": {name: _read(path)}}


def _read_package(root: str, files: _Filter, folders: _Filter, extra: tuple[str, ...]) -> Sources:
    package = _Package(root)
    found = set(package.walk(root, files, folders))
    for relative in extra:
        found.update(package.walk_data(relative))
    if not found:
        raise ValueError(
            f"path {root!r} holds nothing that may come along: it is empty, or rejectFiles, "
            "acceptFiles, rejectFolders and acceptFolders refuse every name in it"
        )
    contents = {package.relative(path): _read(path) for path in sorted(found)}
    return {"name": os.path.basename(root), "type": "package", "files": contents}


class _Filter(NamedTuple):
    """Which names pass: none of the one kind of patterns found, any of the other."""

    reject: tuple[re.Pattern[str], ...] = ()
    accept: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, what: str, reject: Names, accept: Names) -> _Filter:
        return cls(_patterns(f"reject{what}", reject), _patterns(f"accept{what}", accept))

    def accepts(self, name: str) -> bool:
        if any(pattern.search(name) for pattern in self.reject):
            return False
        return not self.accept or any(pattern.search(name) for pattern in self.accept)


_EVERYTHING = _Filter()


class _Package:
    """The folder that is read; nothing outside of it is ever opened."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._real_root = os.path.realpath(root)

    def relative(self, path: str) -> str:
        """*path* as seen from the folder that holds this one, with `/` between its parts."""
        return os.path.relpath(path, os.path.dirname(self.root)).replace(os.sep, "/")

    def walk(self, folder: str, files: _Filter, folders: _Filter) -> Iterator[str]:
        """The files in and below *folder* whose names pass."""
        return self._walk(folder, files, folders, (self._checked(folder),))

    def walk_data(self, relative: str) -> Iterator[str]:
        """The file at *relative*, or every file below it when it is a folder."""
        path = os.path.normpath(os.path.join(self.root, relative))
        if not os.path.exists(path):
            raise FileNotFoundError(f"dataFiles names {relative!r}, which does not exist in {self.root!r}")
        self._checked(path)
        if os.path.isdir(path):
            return self.walk(path, _EVERYTHING, _EVERYTHING)
        return iter((path,))

    def _walk(self, folder: str, files: _Filter, folders: _Filter, above: tuple[str, ...]) -> Iterator[str]:
        with os.scandir(folder) as entries:
            children = sorted(entries, key=lambda entry: entry.name)
        for entry in children:
            if entry.is_dir():
                if folders.accepts(entry.name):
                    real = self._checked(entry.path)
                    if real in above:
                        raise ValueError(f"{entry.path!r} is a link to a folder that holds it")
                    yield from self._walk(entry.path, files, folders, (*above, real))
            elif files.accepts(entry.name):
                self._checked(entry.path)
                yield entry.path

    def _checked(self, path: str) -> str:
        real = os.path.realpath(path)
        if real != self._real_root and not real.startswith(self._real_root + os.sep):
            raise ValueError(
                f"{path!r} leads to {real!r}, outside of the package {self.root!r}: "
                "copy it into the package, or refuse its name"
            )
        return real


def _checked_path(path: str | os.PathLike[str]) -> str:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is {path!r}: the path of a module or package is needed, as text")
    root = os.path.abspath(os.fspath(path))
    if not os.path.exists(root):
        raise FileNotFoundError(f"path {root!r} does not exist: no module or package to read")
    return root


def _read(path: str) -> bytes:
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path!r} is a link to {os.readlink(path)!r}, which is not there")
    if not os.path.isfile(path):
        raise ValueError(f"{path!r} is no regular file (a pipe, socket or device) and cannot travel")
    with open(path, "rb") as file:
        return file.read()


def _patterns(parameter: str, texts: Names) -> tuple[re.Pattern[str], ...]:
    patterns = []
    for text in _texts(parameter, texts):
        try:
            patterns.append(re.compile(text))
        except re.error as error:
            raise ValueError(f"{parameter} holds {text!r}, which is no regular expression: {error}") from error
    return tuple(patterns)


def _texts(parameter: str, texts: Names) -> tuple[str, ...]:
    if not isinstance(texts, (list, tuple, Set)):
        raise TypeError(f"{parameter} is {texts!r}: a list, tuple or set of texts is needed")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{parameter} holds {text!r}: only texts are accepted")
    return tuple(texts)
