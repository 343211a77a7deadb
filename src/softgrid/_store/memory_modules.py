"""Modules that are imported from memory: source text kept in this process and nowhere else.

Made and fed by `packages`.  Decides only what a module name stands for; an absent `__init__.py`
makes a namespace package, as on disk.  Tracebacks, `inspect.getsource` and `pkgutil.get_data`
work on what is kept here.  Never touches the disk.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import linecache
import threading
import types
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder

PLACE = "<softgrid memory>"


class MemoryModules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finder and loader in one; files have relative paths with `/`, as `read_files` gives them."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def replace(self, top: str, files: Mapping[str, bytes]) -> None:
        """Put *files* in the place of everything at and below the path *top*."""
        with self._lock:
            kept = {path: raw for path, raw in self._files.items() if not _is_of(path, top)}
            for path in self._files.keys() - kept.keys():
                linecache.cache.pop(f"{PLACE}/{path}", None)
            self._files = {**kept, **files}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> ModuleSpec | None:
        """What the import system is told about *fullname*; None when it is not kept here."""
        folder = fullname.replace(".", "/")
        init, module = f"{folder}/__init__.py", f"{folder}.py"
        if init in self._files or module in self._files:
            file = init if init in self._files else module
            spec = ModuleSpec(fullname, self, origin=f"{PLACE}/{file}", is_package=file == init)
            spec.has_location = True  # gives the module a __file__
        elif self._is_namespace(folder) and PathFinder.find_spec(fullname, path) is None:
            spec = ModuleSpec(fullname, None, is_package=True)
        else:
            return None
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(f"{PLACE}/{folder}")
        return spec

    def get_source(self, fullname: str) -> str:
        """The source text of a module."""
        return importlib.util.decode_source(self.get_data(self.get_filename(fullname)))

    def get_code(self, fullname: str) -> types.CodeType:
        """The compiled module, with the file name that tracebacks show."""
        file = self.get_filename(fullname)
        return self.source_to_code(self.get_data(file), file)

    def is_package(self, fullname: str) -> bool:
        """Whether the module can have modules below it."""
        return f"{fullname.replace('.', '/')}/__init__.py" in self._files

    def get_filename(self, fullname: str) -> str:
        """Where the module seems to lie."""
        spec = self.find_spec(fullname)
        if spec is None or spec.origin is None:
            raise ImportError(f"no module {fullname!r} is kept in memory", name=fullname)
        return spec.origin

    def get_data(self, path: str) -> bytes:
        """The file at *path*, for `pkgutil.get_data`."""
        try:
            return self._files[path.removeprefix(f"{PLACE}/")]
        except KeyError:
            raise FileNotFoundError(f"{path!r} is not kept in memory") from None

    def _is_namespace(self, folder: str) -> bool:
        return any(name.startswith(f"{folder}/") for name in self._files)


def _is_of(path: str, top: str) -> bool:
    return path in (top, f"{top}.py") or path.startswith(f"{top}/")
