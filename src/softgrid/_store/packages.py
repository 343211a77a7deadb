"""Packages and modules that came as a dictionary, made importable at once.

Called by the node when a package is added by its user or by a peer.  Decides where it goes, what
it takes the place of, and which imported modules are forgotten so that the next `import` finds
it.  Writes only below the site-packages it was given; imports and runs nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder, all_suffixes
from types import ModuleType
from typing import NamedTuple, TypeVar

from softgrid._model.errors import BadArgument, Duplicate
from softgrid._store.manifest import Manifest, checked_manifest
from softgrid._store.memory_modules import MemoryModules
from softgrid._store.pinned_sites import PinnedSites
from softgrid._store.roots import Root, not_written, write_private
from softgrid._store.staging import staging
from softgrid._util.sources import Sources

MEMORY = "memory"
E = TypeVar("E")


class Package(NamedTuple):
    """One importable thing: its dotted name, the site it is in, and how many files it has."""

    name: str
    site: str
    files: int


class PackageStore:
    """The packages of one executor. *sites* maps 'temporary', 'permanent', … to folders.

    The site 'memory' is always there.  What was added last is found first, and hides nothing else:
    sites stand at the end of the import path, where one that stands there already keeps its place.
    """

    def __init__(self, sites: Mapping[str, str | os.PathLike[str]]) -> None:
        self._sites = {name: Root(path) for name, path in sites.items()}
        self._memory = MemoryModules()
        self._pins = PinnedSites()
        self._on_path: list[str] = []
        self._packages: dict[str, Package] = {}
        self._lock = threading.Lock()

    def add(
        self,
        sources: Sources,
        *,
        relative_root: str = "",
        site: str = "temporary",
        replace: bool = False,
    ) -> Package:
        """Make *sources* importable, below the package *relative_root* where one is given.

        Without *replace* raises Duplicate when the site or this store has something of that name,
        or it was imported from elsewhere.  With it the old files go and the imported modules are
        forgotten (what was made of them lives on).  Raises BadArgument, OutsideRoot or NotWritten
        too; then files and modules are as before.
        """
        self._check_site(site)
        manifest = checked_manifest(sources, relative_root)
        with self._lock:
            self._check_reachable(manifest, site)
            if not replace:
                self._check_absent(manifest, site)
            if site == MEMORY:
                self._memory.replace(manifest.path, manifest.full_paths())
            else:
                _write(self._sites[site], manifest)
                self._memory.replace(manifest.path, {})
                self._pins.pin(manifest.top, self._sites[site].path)
                self.look_in(site)
            _put_first(sys.meta_path, self._pins)
            _put_first(sys.meta_path, self._memory)
            importlib.invalidate_caches()
            _forget_modules(manifest.name)
            self._packages.pop(manifest.name, None)
            package = Package(manifest.name, site, len(manifest.files))
            self._packages[manifest.name] = package
        return package

    def look_in(self, site: str) -> None:
        """Have modules that nothing else provides looked for in a site."""
        path = self._sites[site].path
        if path not in sys.path:
            sys.path.append(path)
            self._on_path.append(path)

    def packages(self) -> tuple[Package, ...]:
        """What was added, oldest first."""
        with self._lock:
            return tuple(self._packages.values())

    def close(self) -> None:
        """Take off the import path what was put there; files and imported modules stay as they are."""
        with self._lock:
            while self._on_path:
                _remove(sys.path, self._on_path.pop())
            _remove(sys.meta_path, self._pins)
            _remove(sys.meta_path, self._memory)

    def __repr__(self) -> str:
        return f"PackageStore(packages={len(self._packages)}, sites={[*self._sites, MEMORY]})"

    def _check_site(self, site: object) -> None:
        known = (*self._sites, MEMORY)
        if site not in known:
            raise BadArgument("sitePackages", site, f"one of {', '.join(map(repr, known))}")

    def _check_reachable(self, manifest: Manifest, site: str) -> None:
        """Python looks for `a.b` only where it has found `a`, unless `a` has no `__init__.py` at all."""
        path: list[str] | None = None
        for depth in range(1, len(manifest.parents) + 1):
            spec = self._find(".".join(manifest.parents[:depth]), path)
            if spec is None:
                return
            if spec.submodule_search_locations is None:
                raise _unreachable(manifest, f"the name of a package ({spec.origin!r} is a module)")
            if spec.origin is not None and site != MEMORY:
                if spec.origin.startswith(self._sites[site].path + os.sep):
                    return
                raise _unreachable(manifest, f"the name of a package that does not exist elsewhere ({spec.origin!r})")
            path = list(spec.submodule_search_locations)

    def _find(self, name: str, path: list[str] | None) -> ModuleSpec | None:
        for finder in (self._memory, self._pins, PathFinder):
            spec = finder.find_spec(name, path)
            if spec is not None:
                return spec
        return None

    def _check_absent(self, manifest: Manifest, site: str) -> None:
        accepted = "a package that is not there yet, or replace=True"
        if manifest.name in self._packages:
            where = self._packages[manifest.name].site
            raise Duplicate("packageDict", manifest.name, f"{accepted} (it is in {where!r})")
        if site != MEMORY and _existing_forms(self._sites[site], manifest):
            raise Duplicate("packageDict", manifest.name, f"{accepted} (it is in {site!r})")
        if manifest.name in sys.modules:
            origin = getattr(sys.modules[manifest.name], "__file__", None) or "elsewhere"
            raise Duplicate("packageDict", manifest.name, f"{accepted} (imported from {origin!r})")


def _unreachable(manifest: Manifest, accepted: str) -> BadArgument:
    return BadArgument("relativeRoot", ".".join(manifest.parents), accepted)


def _existing_forms(site: Root, manifest: Manifest) -> list[str]:
    try:
        with site.folder(manifest.parents) as folder:
            return _forms(folder, manifest.own_name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise not_written(os.path.join(site.path, manifest.path), error) from error


def _forms(folder: int, name: str) -> list[str]:
    """Whatever `import name` could find in *folder*: a folder, source, bytecode, an extension."""
    forms = {name, *(name + suffix for suffix in all_suffixes())}
    return sorted(forms.intersection(os.listdir(folder)))


def _write(site: Root, manifest: Manifest) -> None:
    """Write the package beside its place first, then let it take the place of the old one."""
    where = os.path.join(site.path, *manifest.parents)
    try:
        with (
            site.folder(manifest.parents, create=True) as folder,
            staging(folder, where) as staged,
        ):
            _write_files(os.path.join(staged, "new"), manifest)
            _exchange(folder, staged, manifest.own_name)
            _drop_bytecode(where, manifest.own_name)
    except OSError as error:
        raise not_written(os.path.join(where, manifest.own_name), error) from error


def _write_files(base: str, manifest: Manifest) -> None:
    made = {base}
    os.mkdir(base, 0o700)
    for path, content in manifest.files.items():
        *folders, file = path.split("/")
        folder = base
        for part in folders:
            folder = os.path.join(folder, part)
            if folder not in made:
                os.mkdir(folder, 0o700)
                made.add(folder)
        write_private(os.path.join(folder, file), content)


def _exchange(folder: int, staged: str, name: str) -> None:
    """Move the old forms of *name* out and the new one in; all back when that fails."""
    old, new = os.path.join(staged, "old"), os.path.join(staged, "new")
    os.mkdir(old, 0o700)
    moved: list[str] = []
    try:
        for form in _forms(folder, name):
            os.rename(form, os.path.join(old, form), src_dir_fd=folder)
            moved.append(form)
        for form in os.listdir(new):
            os.rename(os.path.join(new, form), form, dst_dir_fd=folder)
    except OSError:
        for form in moved:
            os.rename(os.path.join(old, form), form, dst_dir_fd=folder)
        raise


def _drop_bytecode(where: str, name: str) -> None:
    """A new source of the same size and second as the old one would seem compiled already."""
    cache = os.path.join(where, "__pycache__")
    with suppress(FileNotFoundError, NotADirectoryError):
        for file in os.listdir(cache):
            if file.startswith(f"{name}.") and file.endswith(".pyc"):
                os.unlink(os.path.join(cache, file))


def _forget_modules(name: str) -> None:
    for known in list(sys.modules):
        if known == name or known.startswith(f"{name}."):
            del sys.modules[known]
    while "." in name:
        name, _, child = name.rpartition(".")
        parent = sys.modules.get(name)
        if isinstance(getattr(parent, child, None), ModuleType):
            delattr(parent, child)
        if parent is not None and getattr(parent, "__file__", None) is None:
            del sys.modules[name]  # a namespace, whose folders are to be looked for anew


def _put_first(entries: list[E], entry: E) -> None:
    _remove(entries, entry)
    entries.insert(0, entry)


def _remove(entries: list[E], entry: E) -> None:
    with suppress(ValueError):
        entries.remove(entry)
