"""Files under a name: where they are, how they were written, how they are read.

Called by the node for its own user and for peers.  Decides where a file may lie and which names
still stand for it; `roots` does the careful writing.  Functions of users come in as callables:
making them from source text is the caller's business.  They run outside of every lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from softgrid._model.errors import BadArgument, Duplicate, Missing
from softgrid._store.contents import (
    Reader,
    StoredFile,
    Writer,
    check_function,
    producer,
    read_plain,
    read_with,
)
from softgrid._store.named import NamedStore, StoreStatistics
from softgrid._store.paths import NotWritten
from softgrid._store.roots import Root


class PoppedFile(NamedTuple):
    """A file that has no name any more, and what was read from it."""

    file: StoredFile
    content: object


class FileStore:
    """The named files of one executor, below its two folders or at absolute paths."""

    def __init__(self, *, temporary: str | os.PathLike[str], permanent: str | os.PathLike[str]) -> None:
        self._roots = {"temporary": Root(temporary), "permanent": Root(permanent)}
        self._names: NamedStore[StoredFile] = NamedStore("file")
        self._lock = threading.Lock()  # names and the file they stand for change together

    def add(
        self,
        name: str,
        path: str | os.PathLike[str],
        content: object = None,
        *,
        root: str | None = "temporary",
        writer: Writer | None = None,
        writer_args: Sequence[Any] | None = None,
        writer_kwargs: Mapping[str, Any] | None = None,
        reader: Reader | None = None,
        replace: bool = True,
    ) -> StoredFile:
        """Write *content* to *path* below *root* and let *name* stand for it.

        The writer is called as `writer(content, path, *writer_args, **writer_kwargs)` with a path
        of its own and the same last component; without one texts and bytes are written as they
        are.  Content None: the file must exist already, and only gets the name.  A replaced file
        loses all its other names.  Raises Duplicate, BadArgument, OutsideRoot or NotWritten; then
        names and files are as before.
        """
        self._names.check_free(name, replace=replace)
        check_function("writeFunc", writer, "(data, path, …)")
        check_function("readFunc", reader, "(path, …)")
        file = StoredFile(
            name=name,
            path=os.fspath(path) if isinstance(path, os.PathLike) else path,
            root=root or None,
            location="",
            is_binary=writer is None and not isinstance(content, (str, type(None))),
            writer=writer,
            writer_args=writer_args,
            writer_kwargs=writer_kwargs,
            reader=reader,
        )
        folder, relative = self._place(file)
        file = file._replace(location=folder.locate(relative))
        if content is None:
            self._check_exists(folder, relative, file)
        else:
            folder.write(relative, producer(file, content), replace=replace)
        self._register(file, replace, was_written=content is not None)
        return file

    def get(
        self,
        name: str,
        default: object = None,
        *,
        reader_args: Sequence[Any] | None = None,
        reader_kwargs: Mapping[str, Any] | None = None,
        must_exist: bool = True,
    ) -> object:
        """Read the file called *name* with its reader, or as the text or bytes it was made of.

        Where the name or its file is not there: *default*, or Missing raised when it must exist.
        Raises NotRead when the reader raises or the file is no text.
        """
        file = self._names.get(name, None, must_exist=must_exist)
        if file is None:
            return default
        try:
            return self._read(file, reader_args or (), reader_kwargs or {})
        except FileNotFoundError:
            _check_may_be_gone(file, must_exist)
            return default

    def pop(
        self,
        name: str,
        *,
        reader_args: Sequence[Any] | None = None,
        reader_kwargs: Mapping[str, Any] | None = None,
        must_exist: bool = True,
        delete: bool = False,
    ) -> PoppedFile | None:
        """Read the file as `get` does and forget *name*; None where `get` gives the default.

        With *delete* the file goes too, and with it every other name that stands for it.  The
        name stays when reading or deleting fails.
        """
        file = self._names.get(name, None, must_exist=must_exist)
        if file is None:
            return None
        try:
            content = self._read(file, reader_args or (), reader_kwargs or {})
        except FileNotFoundError:
            self._forget(file)
            _check_may_be_gone(file, must_exist)
            return None
        if not self._forget(file, delete=delete):
            _check_may_be_gone(file, must_exist)
            return None
        return PoppedFile(file, content)

    def names(self) -> tuple[str, ...]:
        """The names taken, oldest first."""
        return self._names.names()

    def statistics(self) -> StoreStatistics:
        """How many names are kept, and how many came and went."""
        return self._names.statistics()

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"FileStore(kept={len(self)}, {', '.join(map(repr, self._roots.values()))})"

    def _place(self, file: StoredFile) -> tuple[Root, str]:
        """The folder that the file cannot leave, and its path below."""
        if file.root is None:
            return Root.of_absolute(file.location or file.path)
        if not isinstance(file.root, str) or file.root not in self._roots:
            raise BadArgument("root", file.root, "'temporary', 'permanent', or None for absolute")
        return self._roots[file.root], file.path

    def _check_exists(self, folder: Root, relative: str, file: StoredFile) -> None:
        try:
            with folder.opened(relative):
                pass
        except FileNotFoundError:
            accepted = f"the path of an existing file when there is no data ({file.location!r})"
            raise BadArgument("path", file.path, accepted) from None

    def _register(self, file: StoredFile, replace: bool, *, was_written: bool) -> None:
        with self._lock:
            try:
                self._names.add(file.name, file, replace=replace)
            except Duplicate:  # another thread was faster with this name
                if was_written:
                    self._remove(file)
                raise
            if was_written:
                self._drop_names_of(file.location, but=file.name)

    def _drop_names_of(self, location: str, but: str = "") -> None:
        for name in self._names.names():
            if name != but and self._names.get(name).location == location:
                self._names.pop(name)

    def _read(self, file: StoredFile, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
        folder, relative = self._place(file)
        with folder.opened(relative) as descriptor:
            if file.reader is None:
                return read_plain(file, descriptor)
        return read_with(file.reader, file, folder.locate(relative), args, kwargs)

    def _forget(self, file: StoredFile, *, delete: bool = False) -> bool:
        """Drop the name, or the file and all its names; false when it stands for another by now."""
        with self._lock:
            if self._names.get(file.name, None, must_exist=False) is not file:
                return False
            if delete:
                self._remove(file)
                self._drop_names_of(file.location)
                return True
            return self._names.drop(file.name, file)

    def _remove(self, file: StoredFile) -> None:
        folder, relative = self._place(file)
        try:
            folder.remove(relative)
        except OSError as error:
            raise NotWritten(f"{file.location!r} was not deleted: {error.strerror}") from error


def _check_may_be_gone(file: StoredFile, must_exist: bool) -> None:
    if must_exist:
        accepted = f"a name whose file exists ({file.location!r} is gone), or mustExist=False"
        raise Missing("name", file.name, accepted)
