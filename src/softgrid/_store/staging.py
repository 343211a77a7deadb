"""Where a file or package is made before it appears: a private folder beside its place, so that a rename is enough.

What a killed process leaves of it is removed by the next one that makes something in the same folder. Whose maker lives
is told by a lock that ends with the process, whatever its machine or name; where the file system has no such locks,
nothing is known, and nothing removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from softgrid._io.folders import remove_tree

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PREFIX = ".softgrid-"
_OURS = re.compile(re.escape(_PREFIX) + "[0-9a-f]{16}")

_swept: set[tuple[int, int]] = set()
"""Folders in which this process has looked for what others left: once each is enough, since its heirs look too."""


@contextmanager
def staging(folder: int, path: str) -> Iterator[str]:
    """A private folder inside *folder* (which lies at *path*), gone afterwards with its content."""
    _sweep_once(folder, path)
    name, held = _make(folder)
    try:
        yield os.path.join(path, name)
    finally:
        remove_tree(os.path.join(path, name))
        os.close(held)


def _make(folder: int) -> tuple[str, int]:
    """Make one, and hold it by the descriptor that is given."""
    while True:
        name = _PREFIX + os.urandom(8).hex()
        os.mkdir(name, 0o700, dir_fd=folder)
        with suppress(FileNotFoundError):  # somebody who sweeps has come between these two
            held = os.open(name, FOLDER, dir_fd=folder)
            if _hold(held) and _is(held, folder, name):
                return name, held
            os.close(held)


def _hold(made: int) -> bool:
    try:
        _lock(made)
    except BlockingIOError:  # somebody who sweeps has it
        return False
    except OSError:  # there are no locks here
        pass
    return True


def _is(held: int, folder: int, name: str) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(held), os.lstat(name, dir_fd=folder))
    return False


def _sweep_once(folder: int, path: str) -> None:
    stat = os.fstat(folder)
    if (stat.st_dev, stat.st_ino) in _swept:
        return
    _swept.add((stat.st_dev, stat.st_ino))
    for name in filter(_OURS.fullmatch, os.listdir(folder)):
        with suppress(OSError):
            _remove_if_left(folder, name, path)


def _remove_if_left(folder: int, name: str, path: str) -> None:
    """Remove a folder that nobody holds; raises OSError where that cannot be known."""
    held = os.open(name, FOLDER, dir_fd=folder)
    try:
        _lock(held)
        remove_tree(os.path.join(path, name))
    finally:
        os.close(held)


def _lock(descriptor: int) -> None:
    import fcntl  # not on every system

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
