"""Repositories of the pyrep package, opened and made, and closed again so that nothing of them runs on.

Called by `repositories`.  The one file that imports pyrep, when it is used.  pyrep guards every open repository by a
lock server of its own, which listens on this machine's address; here it runs only as long as somebody reads or writes.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from softgrid._model.errors import BadArgument, NotInstalled, SoftgridError

STALE_S = 2.1
"""How long after its last word pylocker takes a lock server for alive: 2 s."""


class NotTransferred(SoftgridError):
    """A repository or one of its files cannot be read or written; says which, and pyrep's own words."""


def is_repository(path: str) -> bool:
    """Whether there is a repository of pyrep at *path*."""
    return bool(pyrep_module().Repository().is_repository(path))


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """The repository at *path*; what others in this process have open stays open."""
    if not is_repository(path):
        raise BadArgument("localRepo", path, "a pyrep Repository, or the path of one")
    repository = pyrep_module().Repository()
    with _closed_after(repository, path):
        with told(f"repository {path!r} cannot be opened"):
            repository.load_repository(path, safeMode=False)
            _check_locker(repository.locker)
        yield repository


@contextmanager
def made(path: str, info: Any) -> Iterator[Any]:
    """A new repository at *path*, in the place of whatever its folder holds."""
    repository = pyrep_module().Repository()
    with _closed_after(repository, path):
        with told(f"repository {path!r} cannot be made"):
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
def told(problem: str) -> Iterator[None]:
    """Tell what went wrong inside of pyrep, which raises whatever it likes, as an error of ours."""
    try:
        yield
    except SoftgridError:
        raise
    except Exception as error:
        raise NotTransferred(f"{problem}: {error}") from error


def pyrep_module() -> Any:
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
