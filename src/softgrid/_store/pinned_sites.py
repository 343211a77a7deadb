"""Which folder a name is imported from where several have something of that name.

Made and fed by `packages`.  Python takes the first folder of `sys.path` for every name; here one
folder comes first for one name, so that what was added is found and nothing else is hidden.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder


class PinnedSites(MetaPathFinder):
    """For each pinned top-level name the folders that come before all others, the last pinned first."""

    def __init__(self) -> None:
        self._sites: dict[str, tuple[str, ...]] = {}

    def pin(self, name: str, site: str) -> None:
        """Look for the top-level *name* in *site* first."""
        others = (other for other in self._sites.get(name, ()) if other != site)
        self._sites[name] = (site, *others)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> ModuleSpec | None:
        """What the import system is told about *fullname*; None when it is not pinned."""
        sites = self._sites.get(fullname)
        return None if sites is None else PathFinder.find_spec(fullname, [*sites, *sys.path])
