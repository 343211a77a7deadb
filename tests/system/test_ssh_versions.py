"""Pythons of different versions in one grid: between any two of them data travels, and functions as their source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
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
    import sys

    (tmp_path / "sg_versions.py").write_text(SOURCE)
    (tmp_path / "sg_versions_below.py").write_text(BELOW)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("sg_versions")
    for name in ("sg_versions", "sg_versions_below"):
        del sys.modules[name]


@pytest.fixture
def workers(hosts: SshHosts, make_grid: MakeGrid) -> tuple[Grid, dict[tuple[int, ...], str]]:
    """A worker of each version, each on a machine of its own."""
    names = [hosts.make(f"python{version}", version).name for version in VERSIONS]
    grid = make_grid(workers=0, rules=hosts.rules)
    statuses, successful, failed = grid.O.launch_worker(names, timeout=30)
    assert failed == [], statuses
    versions = [tuple(map(int, version.split("."))) for version in VERSIONS]
    return grid, dict(zip(versions, (item["gridUniqueName"] for item in successful), strict=True))


def test_every_version_calls_every_other(workers: tuple[Grid, dict[tuple[int, ...], str]], project: Any) -> None:
    grid, by_version = workers
    assert grid.call(project.version, to=list(by_version.values())) == list(by_version)
    for caller in by_version.values():
        for version, other in by_version.items():
            if other != caller:
                answer = grid.one(project.sum_there, other, [1, 2, 3], to=caller, first=True)
                assert answer == [(version, {"sum": 18, "set": {1, 2}})]
                assert grid.one(project.by_name, other, to=caller, first=True) == [(version, [2, 4])]


def test_what_has_no_source_is_refused_between_versions_and_says_why(
    workers: tuple[Grid, dict[tuple[int, ...], str]], project: Any
) -> None:
    grid, by_version = workers
    old, _, new = by_version.values()
    for caller, other in ((old, new), (new, old)):
        error = grid.one(project.without_source, other, to=caller, first=True)
        assert "function typed" in error
        assert "not there as source" in error
