"""Machines are told apart by what they are: one with several names has the places of one."""

from __future__ import annotations

import os
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.ssh_hosts import SshHosts

from softgrid._io.machine_id import VARIABLE

pytestmark = pytest.mark.system

WORKERS = "machine_maximum_number_of_workers"


def launch(grid: Grid, *addresses: str, **kwargs: Any) -> tuple[list[str], list[str]]:
    """Launch a worker at each; gives the names that came up, and the errors of the others."""
    statuses, successful, _ = grid.O.launch_worker(list(addresses), timeout=30, **kwargs)
    return [item["gridUniqueName"] for item in successful], [str(each.error) for each in statuses if not each]


@pytest.fixture
def two_names(hosts: SshHosts) -> SshHosts:
    """A machine that is called 'far' and 'alias', and one that is called 'other'."""
    far = hosts.make("far")
    hosts.know("alias", far.port, far.key)
    hosts.make("other")
    return hosts


def test_two_names_of_a_machine_have_its_places_between_them(two_names: SshHosts, make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules={**two_names.rules, WORKERS: 2})
    names, errors = launch(grid, "far", "alias", "alias", "other", "other")
    assert sorted(name.partition("@")[2].partition("[")[0] for name in names if "other" in name) == ["other"] * 2
    assert len(names) == 4
    (error,) = errors
    assert f"the rule {WORKERS} = 2 allows 2" in error
    assert "is another name of" in error
    for address in ("far", "alias"):
        (refused,) = launch(grid, address)[1]
        assert WORKERS in refused
        assert grid.O.get_remaining_executors_allowed(address)["number_of_workers"] == 0
    assert not grid.O.set_machine_rules("alias", {WORKERS: 1})
    assert all(isinstance(pid, int) for pid in grid.call(os.getpid, to=names))


def test_they_are_told_apart_below_a_router_elsewhere(two_names: SshHosts, make_grid: MakeGrid) -> None:
    """The router connects, and the orchestrator counts."""
    rules = {**two_names.rules, "overload_machine_rules": {"other": two_names.rules}, WORKERS: 1}
    grid = make_grid(workers=0, rules=rules)
    _, ((router),), _ = grid.O.launch_router("other", timeout=30)
    (first,), _ = launch(grid, "far")
    names, errors = launch(grid, "alias", upgridUniqueName=router["gridUniqueName"])
    assert names == []
    assert "alias is another name of far: machine far holds 1 worker(s)" in errors[0]
    assert grid.O.workers == [first]


def test_the_own_machine_by_ssh_is_the_own_machine(
    two_names: SshHosts, make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"{two_names.traces.mark} {two_names.hosts[0].folder}")
    grid = make_grid(workers=1, rules={**two_names.rules, WORKERS: 1})
    names, errors = launch(grid, "far", "other")
    assert [name.partition("@")[2].partition("[")[0] for name in names] == ["other"]
    assert f"far is another name of {grid.O.address}: machine {grid.O.address} holds 1 worker(s)" in errors[0]


def test_places_of_launches_that_fail_are_free_again(two_names: SshHosts, make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules={**two_names.rules, WORKERS: 1})
    for _ in range(3):
        names, errors = launch(grid, "far", machineExecutable="/no/such/python")
        assert names == []
        assert "find a Python" in errors[0]
    assert len(launch(grid, "alias")[0]) == 1


def test_two_machines_of_one_name_behind_two_gateways_are_two(hosts: SshHosts, make_grid: MakeGrid) -> None:
    """Each gateway calls another machine 'inner', and each of those has its own places."""
    behind = [SshHosts(hosts.folder, hosts.traces) for _ in range(2)]
    gates = [hosts.make(f"gate{index}").name for index in range(2)]
    inner = [each.make("inner") for each in behind]
    try:
        of_gates = {gate: each.rules for gate, each in zip(gates, behind, strict=True)}
        grid = make_grid(workers=0, rules={**hosts.rules, "overload_machine_rules": of_gates, WORKERS: 1})
        _, routers, failed = grid.O.launch_router(gates, timeout=30)
        assert not failed
        upgrids = [each["gridUniqueName"] for each in routers]
        names, errors = launch(grid, "inner", "inner", upgridUniqueName=upgrids)
        assert errors == []
        assert grid.call("lambda: __import__('os').environ['HOME']", to=names) == [str(host.home) for host in inner]
        for upgrid in upgrids:
            (error,) = launch(grid, "inner", upgridUniqueName=upgrid)[1]
            assert f"the rule {WORKERS} = 1 allows 1" in error
        assert grid.O.get_remaining_executors_allowed("inner")["number_of_workers"] == 0
        at = {name: machine for machine, roles in grid.O.machines.items() for name in roles["worker"]}
        assert len(set(at.values())) == 2
        assert "inner" in at.values()
        grid.O.disconnect(kill=False)
    finally:
        for each in behind:
            each.close()
