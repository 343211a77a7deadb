"""The checked form of a package that arrived as a dictionary, whoever sent it.

Called by `packages` before anything is written.  Refuses names that cannot be imported or would
hide the standard library, and paths that lead out of the package.  Touches no disk.
"""

from __future__ import annotations

import keyword
import sys
from collections.abc import Mapping
from typing import NamedTuple

from softgrid._model.errors import BadArgument
from softgrid._store.paths import OutsideRoot, split_path
from softgrid._util.sources import Sources

_TAKEN = sys.stdlib_module_names | {"softgrid", "__main__"}


class Shipped(NamedTuple):
    """A package on its way to other executors: who may not have code run here is not believed when it sends one."""

    sources: Sources


class Manifest(NamedTuple):
    """What is to become importable: *files* maps paths, relative to the parents, to bytes."""

    own_name: str
    parents: tuple[str, ...]
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """The dotted name that an `import` says."""
        return ".".join((*self.parents, self.own_name))

    @property
    def top(self) -> str:
        """The first part of the name, which is what an `import` looks for first."""
        return (*self.parents, self.own_name)[0]

    @property
    def path(self) -> str:
        """The name as a path below a site."""
        return "/".join((*self.parents, self.own_name))

    def full_paths(self) -> dict[str, bytes]:
        """The files by their path below a site."""
        return {"/".join((*self.parents, path)): raw for path, raw in self.files.items()}


def checked_manifest(sources: object, relative_root: object) -> Manifest:
    """Check what `read_files` made, on this machine or another, and the package it goes below."""
    if not isinstance(sources, Mapping) or not {"name", "type", "files"} <= sources.keys():
        raise BadArgument("packageDict", sources, "a dictionary as read_files makes it")
    name, kind, files = sources["name"], sources["type"], sources["files"]
    parents = _checked_parents(relative_root)
    _check_importable("packageDict['name']", name)
    _check_free("packageDict['name']", (*parents, name)[0])
    if kind not in ("module", "package"):
        raise BadArgument("packageDict['type']", kind, "'module' or 'package'")
    if not isinstance(files, Mapping) or not files:
        raise BadArgument("packageDict['files']", files, "a dictionary of paths and bytes, not empty")
    return Manifest(name, parents, dict(_checked_file(name, kind, *item) for item in files.items()))


def _checked_parents(relative_root: object) -> tuple[str, ...]:
    if relative_root in ("", None):
        return ()
    parts = split_path(relative_root, "relativeRoot")
    for part in parts:
        _check_importable("relativeRoot", part)
    return parts


def _check_importable(parameter: str, name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise BadArgument(parameter, name, "a name that can be imported")


def _check_free(parameter: str, name: str) -> None:
    if name in _TAKEN:
        raise BadArgument(parameter, name, "a name that hides no module of Python or softgrid")


def _checked_file(name: str, kind: str, path: object, content: object) -> tuple[str, bytes]:
    parts = split_path(path, "packageDict['files']")
    is_inside = len(parts) > 1 and parts[0] == name
    is_module = len(parts) == 1 and parts[0].startswith(f"{name}.")
    if not (is_inside if kind == "package" else is_module):
        raise OutsideRoot("packageDict['files']", path, f"paths that belong to the {kind} {name!r}")
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise BadArgument(f"packageDict['files'][{path!r}]", content, "bytes")
    return "/".join(parts), bytes(content)
