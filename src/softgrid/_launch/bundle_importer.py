"""Importing softgrid from memory, on a machine where nothing is installed: nothing is written, nothing has to be
removed.

The first code of a bundle that runs: the boot text (``_launch.bundle``) executes it before any module of softgrid can
be imported, so it imports nothing but the standard library.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

WHERE = "softgrid-bundle/"
"""In front of the paths of modules in tracebacks."""


class BundleImporter:
    """Finds and loads the modules of a bundle, before any that are installed."""

    def __init__(self, bundle: bytes, files: dict[str, str]) -> None:
        self.bundle = bundle
        """As it came, to be passed on to the next process or machine."""
        self._files = files
        self._roots = frozenset(path.partition("/")[0] for path in files)

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Say how to load a module, or None when it is not in the bundle."""
        found = self._find(name) if name.partition(".")[0] in self._roots else None
        if found is None:
            return None
        return ModuleSpec(name, self, origin=WHERE + found, is_package=found.endswith("/__init__.py"))  # type: ignore[arg-type]

    def _find(self, name: str) -> str | None:
        stem = name.replace(".", "/")
        return next((path for path in (f"{stem}/__init__.py", f"{stem}.py") if path in self._files), None)

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave making the module to Python."""
        return

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102  (importing is just that)

    def get_code(self, name: str) -> CodeType:
        """Give a module's code."""
        return compile(self.get_source(name), f"{WHERE}{self._find(name)}", "exec", dont_inherit=True)

    def get_source(self, name: str) -> str:
        """Give a module's text, which tracebacks quote."""
        found = self._find(name)
        if found is None:
            raise ImportError(f"there is no module {name} in the bundle", name=name)
        return self._files[found]

    def is_package(self, name: str) -> bool:
        """Whether a module holds others."""
        return str(self._find(name)).endswith("/__init__.py")

    def get_data(self, path: str) -> bytes:
        """Give a file that is no module, by its path in the bundle."""
        try:
            return self._files[path.removeprefix(WHERE)].encode()
        except KeyError:
            raise FileNotFoundError(f"there is no {path} in the bundle") from None


def install(bundle: bytes, files: dict[str, str]) -> None:
    """Make everything in the bundle importable in this process."""
    sys.meta_path.insert(0, BundleImporter(bundle, files))
