"""Repositories of the pyrep package: some of their files as values, and such values into a repository again.

Called by the facade of `RepositoryTransfer`.  The one file that imports pyrep, when it is used.  pyrep guards every
open repository by a lock server of its own, which listens on this machine's address; here it runs only as long as a
repository is read or written.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from softgrid._model.errors import BadArgument, Duplicate, NotInstalled, Refused, SoftgridError
from softgrid._store.paths import split_path

PARTS = ("dump", "pull", "data")
"""What is known of a file: how it is written, how it is read (source text each), and its pickled value."""

KEYWORDS = ("json", "numpy", "numpy_text", *(f"{way}{n}" for way in ("pickle", "dill") for n in ("", *range(-1, 6))))
"""The ways of writing that pyrep brings along; any other is somebody's own source text."""

STALE_S = 2.1
"""How long after its last word pylocker takes a lock server for alive: 2 s."""

Files = dict[str, dict[str, Any]]


class Content(NamedTuple):
    """What is taken out of a repository."""

    info: Any
    files: Files


class ShippedFiles(NamedTuple):
    """Files on their way: a class of its own, since their values are pickles, and who is believed plain types only
    cannot send it."""

    files: Files


class NotTransferred(SoftgridError):
    """A repository or one of its files cannot be read or written; says which, and pyrep's own words."""


def read_repository(local: Any, paths: list[str]) -> Content:
    """Give the information of a repository and the files at *paths*; *local* is an open one, or where there is one."""
    if not isinstance(local, str):
        return _read(local, paths)
    with alone_at(local), opened(local) as repository:
        return _read(repository, paths)


def _read(repository: Any, paths: list[str]) -> Content:
    return Content(repository.info, {path: _read_file(repository, path) for path in paths})


def _read_file(repository: Any, path: str) -> dict[str, Any]:
    info, problem = repository.get_file_info(path)
    if info is None:
        raise BadArgument("paths", path, f"paths of files in the repository {repository.path!r} ({problem})")
    with _told(f"file {path!r} of repository {repository.path!r} cannot be read"):
        value = repository.pull_file(path)
        if isinstance(value, tuple) and len(value) == 2 and value[0] is False and "aquire the lock" in str(value[1]):
            raise NotTransferred(f"file {path!r} of repository {repository.path!r} is locked: {value[1]}")
        data = pickle.dumps(value, 5)
    return {"dump": info["dump"], "pull": info["pull"], "description": info["description"], "data": data}


def write_repository(
    path: str, info: Any, files: Mapping[str, Mapping[str, Any]], *, replace: bool, replace_files: bool
) -> int:
    """Put *files* into the repository at *path*, which is made where there is none; gives their number.

    Everything is checked before anything is written.  Raises Duplicate for a repository of other information without
    *replace*, and for a file that is there without *replace_files*.
    """
    values = {name: _value_of(name, file) for name, file in files.items()}
    info = "" if info is None else info  # which pyrep does too
    with _told(f"repository {path!r} cannot be made"):
        os.makedirs(path, exist_ok=True)
    with alone_at(path):
        is_kept = is_repository(path) and not replace
        with opened(path) if is_kept else _created(path, info) as repository:
            if is_kept and repository.info != info:
                accepted = "a path without a repository of other information, or repoReplace=True"
                raise Duplicate("repoPath", path, accepted)
            if not replace_files:
                _check_free(repository, values)
            for name, value in values.items():
                _write_file(repository, name, value, files[name])
    return len(values)


def is_repository(path: str) -> bool:
    """Whether there is a repository of pyrep at *path*."""
    return bool(_pyrep().Repository().is_repository(path))


def check_ways(files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise Refused for files that bring code of their own along, where code of users is not run."""
    module = _pyrep()
    known = {None, *KEYWORDS}
    known.update(module.get_dump_method(way) for way in KEYWORDS)
    known.update(module.get_pull_method(way) for way in KEYWORDS)
    for name, file in files.items():
        if not known.issuperset((file.get("dump"), file.get("pull"))):
            raise Refused(
                f"file {name!r} brings its own code to be written or read with, and this executor runs no functions "
                "of users (rules '<role>_allow_executing_udf', parameter allowExecutingUDF)"
            )


def _value_of(name: str, file: Mapping[str, Any]) -> Any:
    split_path(name, "files")
    missing = [part for part in PARTS if part not in file]
    if missing:
        raise BadArgument("files", sorted(file), f"'dump', 'pull' and 'data' for each file (of {name!r})")
    with _told(f"the value of file {name!r} cannot be read here"):
        return pickle.loads(file["data"])


def _check_free(repository: Any, names: Mapping[str, Any]) -> None:
    taken = [name for name in names if repository.is_repository_file(name)[0]]
    if taken:
        raise Duplicate("files", taken, f"files that {repository.path!r} does not hold yet, or replaceFiles=True")


def _write_file(repository: Any, name: str, value: Any, file: Mapping[str, Any]) -> None:
    with _told(f"file {name!r} cannot be written to repository {repository.path!r}"):
        is_done, problem = repository.dump_file(
            value,
            name,
            description=file.get("description"),
            dump=file["dump"],
            pull=file["pull"],
            replace=True,
            raiseError=True,
        )
        if not is_done or problem:
            raise NotTransferred(f"file {name!r} cannot be written to repository {repository.path!r}: {problem}")


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """The repository at *path*; what others in this process have open stays open."""
    if not is_repository(path):
        raise BadArgument("localRepo", path, "a pyrep Repository, or the path of one")
    repository = _pyrep().Repository()
    with _closed_after(repository, path):
        with _told(f"repository {path!r} cannot be opened"):
            repository.load_repository(path, safeMode=False)
            _check_locker(repository.locker)
        yield repository


@contextmanager
def _created(path: str, info: Any) -> Iterator[Any]:
    repository = _pyrep().Repository()
    with _closed_after(repository, path):
        with _told(f"repository {path!r} cannot be made"):
            is_done, problem = repository.create_repository(path, info=info, replace=True)
        if not is_done:
            raise NotTransferred(f"repository {path!r} cannot be made: {problem}")
        yield repository


@contextmanager
def alone_at(path: str) -> Iterator[None]:
    """Keep other executors of this machine out: of two that make a repository at the same time pyrep makes half one."""
    if not os.path.isdir(path):
        raise BadArgument("localRepo", path, "a pyrep Repository, or the path of one")
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def _closed_after(repository: Any, path: str) -> Iterator[None]:
    """Close what is opened within the block, unless this process had it open: pyrep has one lock server for all."""
    from pylocker import FACTORY

    lockers = getattr(FACTORY, "_LockersFactory__lut", {})
    key = os.path.join(os.path.realpath(path), ".pyreplock")
    known = lockers.get(key)
    was_open = known is not None and bool(known.isServer or known.isClient)
    try:
        yield
    finally:
        if not was_open and repository.locker is not None:
            _close(repository)
            lockers.pop(key, None)  # started again, it would find its old threads still at work


def _check_locker(locker: Any) -> None:
    """Start a lock server that has taken one that ended a moment ago for alive."""
    if not (locker.isServer or locker.isClient):
        threading.Event().wait(STALE_S)
        locker.start()
    if not (locker.isServer or locker.isClient):
        raise NotTransferred("its lock server cannot be started or reached")


def _close(repository: Any) -> None:
    """End the lock server of a repository: it sleeps until somebody knocks, and holds its port until then."""
    locker = repository.locker
    repository.close()
    with suppress(OSError), socket.create_connection((locker.address, locker.port), timeout=1.0):
        pass


@contextmanager
def _told(problem: str) -> Iterator[None]:
    """Tell what went wrong inside of pyrep, which raises whatever it likes, as an error of ours."""
    try:
        yield
    except SoftgridError:
        raise
    except Exception as error:
        raise NotTransferred(f"{problem}: {error}") from error


def _pyrep() -> Any:
    """The module of pyrep, imported so that the program's warning filters stay as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from pyrep import Repository  # noqa: F401
        except ImportError as error:
            problem = f"RepositoryTransfer needs pyrep, which cannot be imported ({error})"
            raise NotInstalled(f"{problem}: pip install 'softgrid[pyrep]'") from error
    import sys

    return sys.modules["pyrep.Repository"]
