"""Homes: the private folders in which executors keep what need not outlive them, and who removes them.

An executor makes its home when it first needs one and removes it when it leaves.  What a killed one
leaves is removed by its supervisor; and where the supervisor is killed, by whoever started that.
Both can say where the homes are without having been told that they were made.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from hashlib import blake2b

from softgrid._io.descriptors import close_all_but
from softgrid._io.folders import make_private, remove_tree, temporary_parent

_PREFIX = "softgrid-"
_GONE = ".gone"
_ELSEWHERE = "elsewhere-"


def new_home(parent: str | None) -> str:
    """Give a path for a home that nobody else has, in *parent* or where temporary files go; makes nothing."""
    return os.path.join(parent or temporary_parent(), _PREFIX + os.urandom(8).hex())


def machine_home(cookie: str) -> str:
    """Give the path for the home of the supervisor of a machine that nobody's home is on."""
    return os.path.join(temporary_parent(), _PREFIX + cookie[:16])


class Homes:
    """The homes of the executors that one supervisor forks: in *folder*, or where an executor was told to have it.

    The folder remembers those other places, so that whoever removes the homes knows all of them.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.removals: set[int] = set()
        """The processes that are removing homes."""

    def of(self, pid: int, parent: object) -> str:
        """Give the home of the executor with that process id, whose parameter temporaryDir is *parent*."""
        if not isinstance(parent, str):
            return os.path.join(self.folder, str(pid))
        return os.path.join(os.path.abspath(parent), f"{self._mark()}{pid}")

    def expect_in(self, parent: object) -> None:
        """Say that an executor may have its home in *parent*."""
        if not isinstance(parent, str):
            return
        parent = os.path.abspath(parent)
        with suppress(OSError, ValueError):
            make_private(self.folder)
            os.symlink(parent, os.path.join(self.folder, _ELSEWHERE + blake2b(parent.encode()).hexdigest()[:16]))

    def _mark(self) -> str:
        return f"{_PREFIX}{os.path.basename(self.folder)}-"

    def remove(self, home: str) -> None:
        """Take a home away at once; what is in it is removed by a process of its own, which may take its time."""
        try:
            os.rename(home, home + _GONE)
        except (OSError, ValueError):  # it was never made
            return
        try:
            pid = os.fork()
        except OSError:
            remove_tree(home + _GONE)
            return
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                close_all_but(set())
                remove_tree(home + _GONE)
            finally:
                os._exit(0)
        self.removals.add(pid)

    def remove_all(self) -> None:
        """Remove every home; blocks until it is done."""
        for entry in _entries(self.folder):
            if entry.startswith(_ELSEWHERE):
                with suppress(OSError):
                    self._remove_from(os.readlink(os.path.join(self.folder, entry)))
        remove_tree(self.folder)

    def _remove_from(self, parent: str) -> None:
        for entry in _entries(parent):
            if entry.startswith(self._mark()):
                remove_tree(os.path.join(parent, entry))


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
