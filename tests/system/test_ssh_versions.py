"""Pythons of different versions in one grid: between any two of them data travels, and functions as their source."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid
from tests.system.ssh_hosts import SshHosts

pytestmark = pytest.mark.system

VERSIONS = ("3.10", "3.12", "3.13")
SOURCE = """
import sys
import sg_versions_below

def version():
    return sys.version_info[:2]

def sum_there(executor, other, values):
    factor = 3
    def multiplied(given):
        return sys.version_info[:2], {"sum": sum(value * factor for value in given), "set": {1, 2}}
    call = executor.get_transfer_template(multiplied, args=(values,))
    return executor.transfer(call, other, collect=True)

def without_source(executor, other):
    typed_in = {"__name__": "__main__"}
    exec("def typed():\\n    return 1", typed_in)
    call = executor.get_transfer_template(typed_in["typed"])
    return str(executor.transfer(call, other, collect=True)[0].error)

def by_name(executor, other):
    call = executor.get_transfer_template(sg_versions_below.doubled, args=([1, 2],))
    return executor.transfer(call, other, collect=True)
"""
BELOW = """
import sys

def doubled(values):
    return sys.version_info[:2], [value * 2 for value in values]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Functions of the user's, which no machine but this one has."""
    import importlib

    (tmp_path / "sg_versions.py").write_text(SOURCE)
    (tmp_path / "sg_versions_below.py").write_text(BELOW)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("sg_versions")
    for name in ("sg_versions", "sg_versions_below"):
        del sys.modules[name]


ByVersion = dict[tuple[int, ...], str]


@pytest.fixture(scope="module")
def workers(shared_hosts: SshHosts, shared_grid: Grid) -> tuple[Grid, ByVersion]:
    """A worker of each version, each on a machine of its own."""
    with shared_hosts.traces.applied():
        names = [shared_hosts.make(f"python{version}", version).name for version in VERSIONS]
        statuses, successful, failed = shared_grid.O.launch_worker(names, timeout=30)
    assert failed == [], statuses
    versions = [tuple(map(int, version.split("."))) for version in VERSIONS]
    return shared_grid, dict(zip(versions, (item["gridUniqueName"] for item in successful), strict=True))


def test_every_version_calls_every_other(workers: tuple[Grid, ByVersion], project: Any) -> None:
    grid, by_version = workers
    assert grid.call(project.version, to=list(by_version.values())) == list(by_version)
    for caller in by_version.values():
        for version, other in by_version.items():
            if other != caller:
                answer = grid.one(project.sum_there, other, [1, 2, 3], to=caller, first=True)
                assert answer == [(version, {"sum": 18, "set": {1, 2}})]
                assert grid.one(project.by_name, other, to=caller, first=True) == [(version, [2, 4])]


def test_what_has_no_source_is_refused_between_versions_and_says_why(
    workers: tuple[Grid, ByVersion], project: Any
) -> None:
    grid, by_version = workers
    old, _, new = by_version.values()
    for caller, other in ((old, new), (new, old)):
        error = grid.one(project.without_source, other, to=caller, first=True)
        assert "function typed" in error
        assert "not there as source" in error


def others(workers: tuple[Grid, ByVersion]) -> tuple[Grid, ByVersion]:
    grid, by_version = workers
    return grid, {version: worker for version, worker in by_version.items() if version != sys.version_info[:2]}


def test_what_is_sent_from_here_runs_on_each_other_version(workers: tuple[Grid, ByVersion]) -> None:
    factor = 3

    def version_and(value: Any, *, more: int = 1) -> Any:
        return sys.version_info[:2], {"value": value * factor + more}

    data = {"set": {1, 2}, "bytes": b"x" * 100_000, "deep": [(1.5, None)], "error": KeyError("k").args}
    grid, there = others(workers)
    for version, worker in there.items():
        assert grid.one("lambda: __import__('sys').version_info[:2]", to=worker) == version
        for count in range(3):
            assert grid.one(version_and, count, to=worker) == (version, {"value": count * factor + 1})
        assert grid.one(lambda: [factor, *(index for index in range(2))], to=worker) == [3, 0, 1]
        assert grid.one(lambda given: given, data, to=worker) == data


def test_what_is_sent_from_here_without_source_is_refused_where_byte_code_does_not_fit(
    workers: tuple[Grid, ByVersion],
) -> None:
    typed_in: dict[str, Any] = {"__name__": "__main__"}
    exec("def f():\n    return 1", typed_in)
    grid, there = others(workers)
    for worker in there.values():
        status = grid.call(typed_in["f"], to=worker)[0]
        assert "function f" in status.error
        assert "not there as source" in status.error
        status = grid.call(lambda given: given[0](), [lambda: 1], to=worker)[0]
        assert f"byte code of Python {sys.version_info[0]}.{sys.version_info[1]}" in status.error
        assert grid.one("lambda: 5", to=worker) == 5
