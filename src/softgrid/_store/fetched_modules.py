"""Imports what is missing on this machine from the owner of the grid: the last finder that Python asks.

What is installed here goes first. A module below a package that is installed here is never fetched. Nothing is written
to disk; source texts are kept for tracebacks.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from typing import Any

from softgrid._store.found_modules import FoundModule

Fetch = Callable[[str], "FoundModule | None"]
"""Asks for a module; None where one cannot ask."""


class FetchedModules:
    """Finder and loader of modules that come from elsewhere."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._found: dict[str, FoundModule] = {}

    def install(self) -> None:
        """Have Python ask here for what it finds nowhere else."""
        sys.meta_path.append(self)

    def uninstall(self) -> None:
        """Not any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Fetch a module; raises ImportError for one that is there but cannot travel."""
        top, _, below = fullname.partition(".")
        if top in sys.stdlib_module_names or (below and not self._is_mine(fullname.rpartition(".")[0])):
            return None
        found = self._found.get(fullname) or self._fetch(fullname)
        if found is None:
            return None
        self._found[fullname] = found
        if found.problem:
            raise ImportError(found.problem, name=fullname)
        if found.source is None:
            return None
        loader: Any = self
        spec = ModuleSpec(fullname, loader, origin=found.file or None, is_package=found.is_package)
        spec.has_location = bool(found.file)
        return spec

    def _is_mine(self, package: str) -> bool:
        return getattr(getattr(sys.modules.get(package), "__spec__", None), "loader", None) is self

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave making the module to Python."""
        return

    def exec_module(self, module: types.ModuleType) -> None:
        """Run a module's code."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102  (importing is just that)

    def get_source(self, fullname: str) -> str:
        """Give the text of a module."""
        found = self._found.get(fullname)
        if found is None or found.source is None:
            raise ImportError(f"module '{fullname}' was not fetched", name=fullname)
        return found.source

    def get_code(self, fullname: str) -> types.CodeType:
        """Give the code of a module, whose lines tracebacks can show."""
        import linecache

        source, file = self.get_source(fullname), self._found[fullname].file or f"<softgrid {fullname}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        return compile(source, file, "exec", dont_inherit=True)

    def is_package(self, fullname: str) -> bool:
        """Whether a module holds others."""
        return self._found[fullname].is_package
