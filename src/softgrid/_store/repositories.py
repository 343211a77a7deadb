"""Repositories of the pyrep package: some of their files as values, and such values into a repository again.

Called by the facade of `RepositoryTransfer`.  `pyrep_opening` opens and makes repositories.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from typing import Any, NamedTuple

from softgrid._model.errors import BadArgument, Duplicate, Refused
from softgrid._store.paths import split_path
from softgrid._store.pyrep_opening import (
    NotTransferred,
    alone_at,
    is_repository,
    made,
    opened,
    pyrep_module,
    told,
)

PARTS = ("dump", "pull", "data")
"""What is known of a file: how it is written, how it is read (source text each), and its pickled value."""

KEYWORDS = ("json", "numpy", "numpy_text", *(f"{way}{n}" for way in ("pickle", "dill") for n in ("", *range(-1, 6))))
"""The ways of writing that pyrep brings along; any other is somebody's own source text."""

Files = dict[str, dict[str, Any]]


class Content(NamedTuple):
    """What is taken out of a repository."""

    info: Any
    files: Files


class ShippedFiles(NamedTuple):
    """Files on their way: a class of its own, since their values are pickles, and who is believed plain types only
    cannot send it."""

    files: Files


def read_repository(local: Any, paths: list[str]) -> Content:
    """Give the information of a repository and the files at *paths*; *local* is an open one, or where there is one."""
    if not isinstance(local, str):
        return _read(local, paths)
    with alone_at(local), opened(local) as repository:
        return _read(repository, paths)


def _read(repository: Any, paths: list[str]) -> Content:
    return Content(repository.info, {path: _read_file(repository, path) for path in paths})


def _read_file(repository: Any, path: str) -> dict[str, Any]:
    info, problem = repository.get_file_info(path)
    if info is None:
        raise BadArgument("paths", path, f"paths of files in the repository {repository.path!r} ({problem})")
    with told(f"file {path!r} of repository {repository.path!r} cannot be read"):
        value = repository.pull_file(path)
        if isinstance(value, tuple) and len(value) == 2 and value[0] is False and "aquire the lock" in str(value[1]):
            raise NotTransferred(f"file {path!r} of repository {repository.path!r} is locked: {value[1]}")
        data = pickle.dumps(value, 5)
    return {"dump": info["dump"], "pull": info["pull"], "description": info["description"], "data": data}


def write_repository(
    path: str, info: Any, files: Mapping[str, Mapping[str, Any]], *, replace: bool, replace_files: bool
) -> int:
    """Put *files* into the repository at *path*, which is made where there is none; gives their number.

    Everything is checked before anything is written.  Raises Duplicate for a repository of other information without
    *replace*, and for a file that is there without *replace_files*.
    """
    values = {name: _value_of(name, file) for name, file in files.items()}
    info = "" if info is None else info  # which pyrep does too
    with told(f"repository {path!r} cannot be made"):
        os.makedirs(path, exist_ok=True)
    with alone_at(path):
        is_kept = is_repository(path) and not replace
        with opened(path) if is_kept else made(path, info) as repository:
            if is_kept and repository.info != info:
                accepted = "a path without a repository of other information, or repoReplace=True"
                raise Duplicate("repoPath", path, accepted)
            if not replace_files:
                _check_free(repository, values)
            for name, value in values.items():
                _write_file(repository, name, value, files[name])
    return len(values)


def check_ways(files: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise Refused for files that bring code of their own along, where code of users is not run."""
    module = pyrep_module()
    known = {None, *KEYWORDS}
    known.update(module.get_dump_method(way) for way in KEYWORDS)
    known.update(module.get_pull_method(way) for way in KEYWORDS)
    for name, file in files.items():
        if not known.issuperset((file.get("dump"), file.get("pull"))):
            raise Refused(
                f"file {name!r} brings its own code to be written or read with, and this executor runs no functions "
                "of users (rules '<role>_allow_executing_udf', parameter allowExecutingUDF)"
            )


def _value_of(name: str, file: Mapping[str, Any]) -> Any:
    split_path(name, "files")
    missing = [part for part in PARTS if part not in file]
    if missing:
        raise BadArgument("files", sorted(file), f"'dump', 'pull' and 'data' for each file (of {name!r})")
    with told(f"the value of file {name!r} cannot be read here"):
        return pickle.loads(file["data"])


def _check_free(repository: Any, names: Mapping[str, Any]) -> None:
    taken = [name for name in names if repository.is_repository_file(name)[0]]
    if taken:
        raise Duplicate("files", taken, f"files that {repository.path!r} does not hold yet, or replaceFiles=True")


def _write_file(repository: Any, name: str, value: Any, file: Mapping[str, Any]) -> None:
    with told(f"file {name!r} cannot be written to repository {repository.path!r}"):
        is_done, problem = repository.dump_file(
            value,
            name,
            description=file.get("description"),
            dump=file["dump"],
            pull=file["pull"],
            replace=True,
            raiseError=True,
        )
        if not is_done or problem:
            raise NotTransferred(f"file {name!r} cannot be written to repository {repository.path!r}: {problem}")
