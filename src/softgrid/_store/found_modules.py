"""What this process would import under a name, as text that can travel. Nothing is imported to find out."""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from typing import Any, NamedTuple

MOST_FILES = 20_000


class FoundModule(NamedTuple):
    """A module that others may import as well, or why they cannot."""

    source: str | None
    file: str = ""
    is_package: bool = False
    problem: str = ""
    """Why it cannot travel; empty together with *source* None: there is no such module."""


NOWHERE = FoundModule(None)


def find_module(name: str) -> FoundModule:
    """Find a module by its full name."""
    if name.partition(".")[0] in sys.stdlib_module_names or not all(map(str.isidentifier, name.split("."))):
        return NOWHERE
    spec = _spec_of(name)
    if spec is None:
        return NOWHERE
    is_package = spec.submodule_search_locations is not None
    compiled = _compiled_part(spec)
    if compiled is not None:
        return FoundModule(None, problem=_install_hint(name.partition(".")[0], compiled))
    if spec.loader is None or type(spec.loader).__name__ == "NamespaceLoader":
        return FoundModule("", "", is_package)
    try:
        source = _source_of(spec)
    except (ImportError, OSError, SyntaxError) as error:
        return FoundModule(None, problem=f"module '{name}' cannot be read on the machine of the grid's owner: {error}")
    if source is None:
        return FoundModule(None, problem=f"module '{name}' is there without its source on the owner's machine")
    return FoundModule(source, spec.origin or "", is_package)


def _source_of(spec: ModuleSpec) -> str | None:
    """Give the text of a module; a loader that does not tell, as pytest's, has read it from its file."""
    tell = getattr(spec.loader, "get_source", None)
    if tell is not None:
        return tell(spec.name)  # type: ignore[no-any-return]
    from importlib.util import decode_source

    with open(str(spec.origin), "rb") as file:
        return decode_source(file.read())


def _spec_of(name: str) -> ModuleSpec | None:
    """Find the spec of a module and of the packages that it is in, as importing does, but importing none of them."""
    spec: ModuleSpec | None = None
    path: Any = None
    parts = name.split(".")
    for index in range(len(parts)):
        whole = ".".join(parts[: index + 1])
        spec = getattr(sys.modules.get(whole), "__spec__", None) or _ask_finders(whole, path)
        path = getattr(spec, "submodule_search_locations", None)
        if spec is None or (path is None and index + 1 < len(parts)):
            return None
    return spec


def _ask_finders(name: str, path: Any) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            spec = find(name, path) if find is not None else None
        except KeyError:  # the finder of paths cannot make the spec of one namespace in another that is not imported
            spec = _namespace(name, path)
        if spec is not None:
            return spec  # type: ignore[no-any-return]
    return None


def _namespace(name: str, path: Any) -> ModuleSpec:
    spec = ModuleSpec(name, None, is_package=True)
    folders = [os.path.join(entry, name.rpartition(".")[2]) for entry in path or ()]
    spec.submodule_search_locations = [folder for folder in folders if os.path.isdir(folder)]
    return spec


def _compiled_part(spec: ModuleSpec) -> str | None:
    """Give a compiled file that the module is or, for a package that is in no other, holds."""
    if isinstance(spec.loader, ExtensionFileLoader):
        return spec.origin
    if "." in spec.name:
        return None
    seen = 0
    for folder in spec.submodule_search_locations or ():
        for where, _, names in os.walk(folder):
            seen += len(names)
            for file in names:
                if file.endswith(tuple(EXTENSION_SUFFIXES)):
                    return os.path.join(where, file)
            if seen > MOST_FILES:
                return None
    return None


def _install_hint(top: str, compiled: str) -> str:
    from importlib import metadata

    names = metadata.packages_distributions().get(top) or [top]
    try:
        wanted = f"{names[0]}=={metadata.version(names[0])}"
    except metadata.PackageNotFoundError:
        wanted = names[0]
    return (
        f"module '{top}' is compiled ({os.path.basename(compiled)}), so it cannot be fetched from the owner of the "
        f"grid: install it on this machine, e.g. python -m pip install '{wanted}'"
    )
