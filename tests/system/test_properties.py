"""Properties of executors: what they were made with, on an executor of every role, and what holds by default."""
# ruff: noqa: E741  (O is what everybody calls the orchestrator)

from __future__ import annotations

import os
import platform
import sys
from datetime import datetime
from time import time
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid

import softgrid

pytestmark = pytest.mark.system

ROLES = ("orchestrator", "router", "manager", "worker")
RUN_ANYWHERE = {f"{role}_allow_executing_udf": True for role in ROLES}
GIVEN = {
    "name": "Somebody",
    "applicationName": "an application",
    "portFetch": True,
    "password": "a password of its own",
    "relaunch": 3,
    "acceptRouters": False,
    "acceptManagers": True,
    "acceptWorkers": False,
    "killAtDisconnect": False,
    "heartMonitorFrequency": 2.5,
    "heartbeatTolerance": 7,
}


def asked(grid: Grid, executor: str, *names: str) -> list[Any]:
    """What an executor says of itself, wherever it runs."""

    def properties(executor: Any) -> list[Any]:
        return [getattr(executor, name) for name in names]

    return grid.one(properties, to=executor, first=True)


@pytest.fixture
def of_each_role(make_grid: MakeGrid) -> Any:
    """A grid with an executor of each role, and their names in the order of ROLES."""
    grid = make_grid(routers=1, managers=1, workers=1, rules=RUN_ANYWHERE, allowExecutingUDF=True)
    return grid, [grid.O.gridUniqueName, *grid.routers, *grid.managers, *grid.workers]


def test_an_executor_says_what_it_was_made_with(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules=RUN_ANYWHERE, allowExecutingUDF=True, **GIVEN)
    assert [getattr(grid.O, name) for name in GIVEN] == list(GIVEN.values())
    (manager,) = grid.launch("Manager", executorKwargs={**GIVEN, "acceptWorkers": True})
    assert asked(grid, manager, *GIVEN) == [*list({**GIVEN, "acceptWorkers": True}.values())]
    assert (grid.O.passwords["managers"], grid.O.split_grid_unique_name(manager)[:2]) == (
        {manager: GIVEN["password"]},
        ("manager", "Somebody"),
    )


def test_what_holds_by_default(of_each_role: Any) -> None:
    grid, names = of_each_role
    for role, name in zip(ROLES, names, strict=True):
        said = asked(grid, name, "name", "applicationName", "portFetch", "killAtDisconnect", "allowExecutingUDF")
        assert said == [role.capitalize(), "softgrid_application", True, None, True]
        assert asked(grid, name, "heartMonitorFrequency", "heartbeatTolerance") == [10, 60]
        assert asked(grid, name, "acceptRouters", "acceptManagers", "acceptWorkers") == [True] * 3


def test_the_relaunch_of_each_role_is_the_documented_one(make_grid: MakeGrid) -> None:
    O = make_grid(workers=0, rules=RUN_ANYWHERE).O
    found = {}
    for role in ("Router", "Manager", "Worker"):
        _, (item,), _ = O.launch_executor(O.address, role, timeout=30)
        template = O.get_transfer_template(lambda executor: executor.relaunch)
        template["first_argument_executor"] = True
        (found[role],) = O.transfer(template, item["gridUniqueName"], collect=True)
    assert found == {"Router": 5, "Manager": 10, "Worker": True}
    assert O.relaunch is True


def test_everybody_knows_its_role(of_each_role: Any) -> None:
    grid, names = of_each_role
    for role, name in zip(ROLES, names, strict=True):
        said = asked(grid, name, "role", "isOrchestrator", "isRouter", "isManager", "isWorker")
        assert said == [role, *(role == other for other in ROLES)]


def test_everybody_has_an_identity_and_a_birthday_of_its_own(of_each_role: Any) -> None:
    grid, names = of_each_role
    said = [asked(grid, name, "uniqueName", "UTCStartTime", "startDateTime", "gridUniqueName") for name in names]
    assert len({unique for unique, *_ in said}) == 4
    assert [name for *_, name in said] == names
    for _, utc, local, _ in said:
        assert 0 <= time() - utc < 600
        assert local == datetime.fromtimestamp(utc)
    assert [utc for _, utc, *_ in said] == sorted(utc for _, utc, *_ in said), "in the order of their launches"


def test_everybody_runs_this_version_with_these_rules_on_this_machine(of_each_role: Any) -> None:
    grid, names = of_each_role
    for name in names:
        version, softgrid_properties, machine, cores, rules = asked(
            grid, name, "softgridVersion", "softgridProperties", "machineProperties", "machineNumberOfCores", "rules"
        )
        assert version == softgrid.get_version()
        assert softgrid_properties == {"version": version, "rules": rules}
        assert machine == {
            "address": grid.O.address,
            "machine_number_of_cpu": cores,
            "platform": platform.platform(),
            "hostname": platform.node(),
            "python_version": platform.python_version(),
            "python_executable": sys.executable,
        }
        assert cores == len(os.sched_getaffinity(0))


def test_the_properties_of_an_executor_are_those_that_it_has_one_by_one(of_each_role: Any) -> None:
    grid, names = of_each_role
    for name in names:
        (together,) = asked(grid, name, "executorProperties")
        assert together == dict(zip(together, asked(grid, name, *together), strict=True))
        assert together["gridUniqueName"] == name
        assert "password" not in together


def test_the_transport_is_one_object_for_all_that_an_executor_sends(grid: Grid) -> None:
    transport = grid.O.executorsTransport
    before = transport.relayed_frames, grid.O.statistics()["frames_sent"]
    grid.call(os.getpid)
    assert grid.O.executorsTransport is transport
    assert (transport.relayed_frames, grid.O.statistics()["frames_sent"] > before[1]) == (before[0], True)


def test_a_port_that_was_fetched_is_the_one_that_is_told(make_grid: MakeGrid) -> None:
    taken = make_grid(workers=0, port=0).O
    other = make_grid(workers=0, port=taken.port).O
    assert (taken.port, other.port) == (taken.port, int(other.gridUniqueName.rpartition(":")[2]))
    assert other.port != taken.port
    assert (taken.portFetch, taken.address, taken.pid) == (True, other.address, os.getpid())
