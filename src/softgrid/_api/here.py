"""The executor that this process is, for what users call without naming one."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

from softgrid._node.home import users_folder


class Entry(NamedTuple):
    """An executor of this process, and what is asked of it also when it has left its grid."""

    executor: weakref.ref[Any]
    ddfs_folder: str


_entries: list[Entry] = []


def enter(executor: Any, own_ddfs_folder: str) -> None:
    """From now on this process is *executor*."""
    _entries[:] = [entry for entry in _entries if entry.executor() is not None]
    _entries.append(Entry(weakref.ref(executor), own_ddfs_folder))


def own_ddfs_folder() -> str:
    """The ddfs folder of the executor of this process: the last one made that is on a grid, else the last one made."""
    connected = [entry for entry in _entries if (of := entry.executor()) is not None and not of.isDisconnected]
    entries = connected or _entries
    return entries[-1].ddfs_folder if entries else ddfs_folder(None)


def ddfs_folder(given: str | None) -> str:
    """The folder that *given* means; None: one of this user on this machine, the same for all executors and grids."""
    return users_folder("ddfs") if given is None else given
