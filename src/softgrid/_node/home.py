"""The home of an executor: made when something is first put there, gone when the executor has left.

What a killed executor leaves is not this file's business but that of its supervisor, see `_launch/homes.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from softgrid._io.folders import make_private, remove_tree
from softgrid._model.errors import Closed, SoftgridError

SITE = "site-packages"
"""Where packages are, below what is temporary or permanent."""


class Home:
    """A private folder at *path*; *guard* sees to it that somebody removes it should this process be killed."""

    def __init__(self, path: str, guard: Callable[[], None]) -> None:
        self.path = path
        self._guard = guard
        self._is_gone = False

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Have the folder there within the block; raises Closed when the executor has left."""
        if self._is_gone:
            raise Closed("this executor has left the grid, and its temporary folder is gone")
        self._guard()
        try:
            make_private(self.path)
        except (OSError, ValueError) as error:
            raise SoftgridError(f"the temporary folder {self.path!r} cannot be made: {error}") from error
        try:
            yield
        finally:
            if self._is_gone:  # the executor left meanwhile, and what was written since is still there
                remove_tree(self.path)

    def remove(self) -> None:
        """Remove the folder with all that is in it, for good."""
        self._is_gone = True
        remove_tree(self.path)


def has_packages(permanent: str) -> bool:
    """Whether executors of earlier days left packages in a permanent folder."""
    return os.path.isdir(os.path.join(permanent, SITE))


def permanent_folder(given: str | None) -> str:
    """Give the folder for what is to outlive the executor: as *given*, or the one of this user on this machine."""
    return users_folder("permanent") if given is None else os.path.abspath(given)


def users_folder(name: str) -> str:
    """Give the folder of that name which all executors of this user on this machine have in common."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser(os.path.join("~", ".local", "share"))
    return os.path.join(os.path.abspath(data), "softgrid", name)
