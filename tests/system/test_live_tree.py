"""What the executors of a running grid know of themselves, of each other and of their rules."""
# ruff: noqa: E741  (O is what everybody calls the orchestrator)

from __future__ import annotations

import os
import socket
from datetime import datetime
from time import time
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import is_alive, parent_of, pid_in, port_in, wait_until

from softgrid import Collections

pytestmark = pytest.mark.system


def test_every_executor_is_a_process_of_its_own_under_one_supervisor(grid: Grid) -> None:
    names = grid.routers + grid.managers + grid.workers
    pids = [pid_in(name) for name in names]
    assert all(is_alive(pid) for pid in pids)
    assert len({os.getpid(), *pids}) == len(names) + 1
    assert len({parent_of(pid) for pid in pids}) == 1


def test_names_are_role_name_address_pid_port(grid: Grid) -> None:
    for name in [grid.O.gridUniqueName, *grid.O.routers, *grid.O.managers, *grid.O.workers]:
        role, given, address, pid, port = grid.O.split_grid_unique_name(name)
        assert f"{role}|{given}@{address}[{pid}]:{port}" == name
        assert (given, address) == (role.capitalize(), grid.O.address)
        assert port > 0
    assert pid_in(grid.O.gridUniqueName) == os.getpid() == grid.O.pid


@pytest.mark.parametrize(
    "name", ["", "worker", "worker|W@a[1]", "boss|W@a[1]:2", "worker|W@a[x]:2", "worker|W@a[1]:99999", None, 7]
)
def test_a_malformed_name_is_refused_with_the_shape_of_a_good_one(grid: Grid, name: Any) -> None:
    with pytest.raises(ValueError, match=r"role\|name@address\[pid\]:port"):
        grid.O.split_grid_unique_name(name)


def test_what_a_worker_says_of_itself_agrees_with_its_name_and_place(grid: Grid) -> None:
    def properties(executor: Any) -> dict[str, Any]:
        names = (
            "gridUniqueName role name address pid port gridPath isDisconnected isOrchestrator isRouter isManager "
            "isWorker softgridVersion "
            "applicationName killAtDisconnect portFetch password uniqueName UTCStartTime "
            "startDateTime routers managers workers relaunch acceptRouters acceptManagers acceptWorkers "
            "allowExecutingUDF heartMonitorFrequency heartbeatTolerance machineNumberOfCores machinesAddress "
            "machines paths passwords rules executorProperties softgridProperties machineProperties"
        )
        return {**{name: getattr(executor, name) for name in names.split()}, "getpid": os.getpid()}

    said = grid.one(properties, first=True)
    name = grid.workers[0]
    assert said["gridUniqueName"] == name
    assert (said["role"], said["name"], said["address"], said["pid"], said["port"]) == grid.O.split_grid_unique_name(
        name
    )
    assert said["getpid"] == said["pid"]
    assert said["gridPath"] == [grid.O.gridUniqueName, grid.routers[0], grid.managers[0], name]
    roles = [said[key] for key in ("isOrchestrator", "isRouter", "isManager", "isWorker")]
    assert roles == [False, False, False, True]
    assert said["isDisconnected"] is False
    assert (said["routers"], said["managers"], said["workers"]) == ([], [], [])
    assert said["softgridVersion"] == grid.O.softgridVersion
    assert said["allowExecutingUDF"] is True
    assert isinstance(said["startDateTime"], datetime)
    assert 0 < said["UTCStartTime"] <= time()
    assert said["rules"] == grid.O.rules
    assert said["uniqueName"] != grid.O.uniqueName
    assert said["password"] not in str(
        (said["executorProperties"], said["softgridProperties"], said["machineProperties"])
    )


def test_the_orchestrator_sees_everybody_below_with_the_way_there(grid: Grid) -> None:
    O, router, managers, workers = grid.O, grid.routers[0], grid.managers, grid.workers
    assert (O.routers, sorted(O.managers)) == ([router], sorted(managers))
    assert sorted(O.workers) == sorted(workers)
    assert O.gridPath == [O.gridUniqueName]
    assert O.paths["router"] == {router: [O.gridUniqueName]}
    assert O.paths["manager"] == {manager: [O.gridUniqueName, router] for manager in managers}
    assert O.paths["worker"][workers[2]] == [O.gridUniqueName, router, managers[1]]
    machine = O.machines[O.address]
    assert (machine["router"], sorted(machine["manager"])) == ([router], sorted(managers))
    assert machine["machine_number_of_cpu"] == O.machineNumberOfCores == len(os.sched_getaffinity(0))
    assert O.machinesAddress == [O.address]
    assert sorted(O.get_machine_info(O.address)["worker"]) == sorted(workers)


def test_executors_below_are_listed_in_the_order_in_which_they_came_wherever_they_stand(make_grid: MakeGrid) -> None:
    rules = {"machine_maximum_number_of_managers": None, "router_allow_executing_udf": True}
    grid = make_grid(workers=0, rules=rules)
    came: dict[str, list[str]] = {"Router": [], "Manager": [], "Worker": []}
    places = [("Router", None), ("Manager", "Router"), ("Worker", "Manager"), ("Worker", None), ("Router", "Router")]
    for role, above in [*places, ("Manager", None), ("Worker", "Router"), ("Worker", "Manager"), ("Manager", "Router")]:
        came[role] += grid.launch(role, came[above][0] if above else grid.O.gridUniqueName)
    assert [grid.O.routers, grid.O.managers, grid.O.workers] == list(came.values())

    def seen(executor: Any) -> list[list[str]]:
        return [executor.routers, executor.managers, executor.workers]

    below = [
        [name for name in names if came["Router"][0] in grid.O.paths[role.lower()][name]]
        for role, names in came.items()
    ]
    assert grid.one(seen, to=came["Router"][0], first=True) == below


def test_a_router_knows_its_subtree_and_its_downgrids_passwords_only(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, managers=1, workers=2, rules={"router_allow_executing_udf": True})
    beside = grid.launch("Worker")

    def seen(executor: Any) -> tuple[Any, ...]:
        return executor.managers, sorted(executor.workers), list(executor.passwords["managers"]), executor.gridPath

    managers, workers, with_password, path = grid.one(seen, to=grid.routers[0], first=True)
    assert (managers, workers) == (grid.managers, sorted(grid.workers))
    assert with_password == grid.managers
    assert path == [grid.O.gridUniqueName, grid.routers[0]]
    assert beside[0] not in workers
    assert list(grid.O.passwords["routers"]) == grid.routers
    assert list(grid.O.passwords["workers"]) == beside
    assert grid.O.passwords["managers"] == {}


def test_copies_of_the_grid_are_copies(grid: Grid) -> None:
    O = grid.O
    O.machines.clear()
    O.machines[O.address]["worker"].clear()
    O.paths["worker"].clear()
    O.workers.clear()
    O.rules["machine_maximum_number_of_workers"] = 0
    O.get_machine_rules(O.address)["machine_maximum_number_of_workers"] = 0
    assert len(O.workers) == len(O.machines[O.address]["worker"]) == len(O.paths["worker"]) == 3
    assert O.rules["machine_maximum_number_of_workers"] is None
    assert O.get_machine_rules(O.address)["machine_maximum_number_of_workers"] is None


def test_the_ports_in_the_names_are_held_by_their_executors(grid: Grid) -> None:
    for name in [grid.O.gridUniqueName, *grid.routers, *grid.managers, *grid.workers]:
        with socket.socket() as taken, pytest.raises(OSError, match="in use"):
            taken.bind(("127.0.0.1", port_in(name)))


def test_nothing_listens_beyond_loopback(grid: Grid) -> None:
    if grid.O.address.startswith("127."):
        pytest.skip("this machine has no other address")
    for name in [grid.O.gridUniqueName, *grid.routers, *grid.managers]:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((grid.O.address, port_in(name)), 5)


def test_rules_go_down_to_those_that_are_launched_and_are_enforced_there(make_grid: MakeGrid) -> None:
    rules = {"execution_allow_none_priority": False, "manager_allow_executing_udf": True, "timeout_short": 1.5}
    grid = make_grid(managers=1, workers=1, rules=rules)
    assert grid.one(lambda executor: executor.rules, first=True) == grid.O.rules
    assert grid.one(lambda executor: executor.allowExecutingUDF, to=grid.managers, first=True) is True
    assert grid.one(lambda executor: executor.get_small_transfer_wait_timeout(), first=True) == 1.5
    status = grid.one(os.getpid, priority=None)
    assert isinstance(status, Collections.SoftgridStatus)
    assert not status
    assert "execution_allow_none_priority" in status.error


def test_by_default_only_workers_run_functions_of_users(grid: Grid) -> None:
    for name in (grid.routers[0], grid.managers[0], grid.O.gridUniqueName):
        status = grid.one(os.getpid, to=name)
        assert not status
        assert "allow_executing_udf" in status.error
    assert grid.one(os.getpid) == pid_in(grid.workers[0])


def test_who_runs_functions_of_users_can_be_said_of_each_executor(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, allowExecutingUDF=True)
    (manager,) = grid.launch("Manager", executorKwargs={"allowExecutingUDF": True})
    (worker,) = grid.launch("Worker", executorKwargs={"allowExecutingUDF": False})
    assert grid.one(os.getpid, to=grid.O.gridUniqueName) == os.getpid()
    assert grid.one(os.getpid, to=manager) == pid_in(manager)
    assert not grid.one(os.getpid, to=worker)


@pytest.mark.parametrize(
    ("role", "rule"), [("Manager", "orchestrator_allow_managers"), ("Worker", "orchestrator_allow_workers")]
)
def test_an_orchestrator_refuses_roles_that_its_rules_do_not_allow(make_grid: MakeGrid, role: str, rule: str) -> None:
    grid = make_grid(workers=0, rules={rule: False})
    statuses, successful, failed = grid.O.launch_executor(grid.O.address, role, timeout=4)
    assert (len(statuses), successful, len(failed)) == (1, [], 1)
    assert f"does not accept {role.lower()}s" in statuses[0].error
    assert grid.launch("Router")
    assert not grid.O.managers
    assert not grid.O.workers


def test_accept_parameters_win_over_the_rules(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, acceptWorkers=False, rules={"orchestrator_allow_workers": True})
    assert grid.O.acceptWorkers is False
    assert not grid.O.launch_worker(grid.O.address, timeout=4)[0][0]
    other = make_grid(workers=0, acceptWorkers=True, rules={"orchestrator_allow_workers": False})
    assert other.launch("Worker")


def test_a_launched_router_accepts_only_what_it_was_told_to(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    (router,) = grid.launch("Router", executorKwargs={"acceptWorkers": False})
    statuses, _, failed = grid.O.launch_worker(grid.O.address, upgridUniqueName=router, timeout=4)
    assert len(failed) == 1
    assert "does not accept workers" in statuses[0].error
    assert grid.launch("Manager", router)


@pytest.mark.parametrize("role", ["Router", "Manager"])
def test_a_manager_holds_workers_only(grid: Grid, role: str) -> None:
    statuses, successful, _ = grid.O.launch_executor(grid.O.address, role, upgridUniqueName=grid.managers[0], timeout=4)
    assert successful == []
    assert f"a manager holds no {role.lower()}s" in statuses[0].error


@pytest.mark.parametrize("role", ["Router", "Manager", "Worker"])
def test_a_worker_holds_nobody(grid: Grid, role: str) -> None:
    statuses, successful, _ = grid.O.launch_executor(grid.O.address, role, upgridUniqueName=grid.workers[0], timeout=4)
    assert successful == []
    assert f"a worker holds no {role.lower()}s" in statuses[0].error


@pytest.mark.parametrize("role", ["router", "manager", "worker"])
def test_machine_maxima_are_enforced_and_the_reason_is_told(make_grid: MakeGrid, role: str) -> None:
    rule = f"machine_maximum_number_of_{role}s"
    grid = make_grid(workers=0, rules={rule: 2})
    O = grid.O
    assert O.get_remaining_executors_allowed(O.address)[f"number_of_{role}s"] == 2
    statuses, successful, failed = O.launch_executor([O.address] * 4, role)
    assert [bool(status) for status in statuses] == [True, True, False, False]
    assert (len(successful), len(failed)) == (2, 2)
    assert f"{rule} = 2" in statuses[2].error
    assert O.get_remaining_executors_allowed(O.address)[f"number_of_{role}s"] == 0
    assert f"{rule} = 2" in O.launch_executor(O.address, role)[0][0].error


def test_negative_maximum_of_workers_means_cores_minus_n(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules={"machine_maximum_number_of_workers": -1})
    allowed = max(1, grid.O.machineNumberOfCores - 1)
    assert grid.O.get_remaining_executors_allowed(grid.O.address)["number_of_workers"] == allowed
    statuses, successful, _ = grid.O.launch_worker([grid.O.address] * (allowed + 1))
    assert len(successful) == allowed
    assert "machine_maximum_number_of_workers = -1" in statuses[-1].error


def test_a_place_is_free_again_when_its_executor_is_gone(make_grid: MakeGrid) -> None:
    grid = make_grid(rules={"machine_maximum_number_of_workers": 1})
    assert not grid.O.launch_worker(grid.O.address)[0][0]
    os.kill(pid_in(grid.workers[0]), 9)
    wait_until(lambda: not grid.O.workers)
    assert grid.launch("Worker")


def test_machine_rules_can_be_set_unless_the_machine_holds_too_many(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=2)
    O = grid.O
    refused = O.set_machine_rules(O.address, {"machine_maximum_number_of_workers": 1})
    assert not refused
    assert "2 workers" in refused.error
    assert O.get_machine_rules(O.address)["machine_maximum_number_of_workers"] is None
    assert O.set_machine_rules(O.address, {"machine_maximum_number_of_workers": 3})
    assert O.get_machine_rules(O.address)["machine_maximum_number_of_workers"] == 3
    assert O.get_machine_rules("10.9.9.9")["machine_maximum_number_of_workers"] is None
    assert O.get_remaining_executors_allowed(O.address)["number_of_workers"] == 1
    assert [bool(status) for status in O.launch_worker([O.address] * 2)[0]] == [True, False]


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"machine_maximum_number_of_worker": 1}, "machine_maximum_number_of_worker"),
        ({"machine_maximum_number_of_workers": "many"}, "many"),
        ({"machine_maximum_number_of_managers": -1}, "machine_maximum_number_of_managers"),
        ("none", "rules"),
        ({"timeout_short": float("nan")}, "timeout_short"),
    ],
)
def test_bad_machine_rules_are_refused_by_name(grid: Grid, rules: Any, named: str) -> None:
    status = grid.O.set_machine_rules(grid.O.address, rules)
    assert not status
    assert named in status.error
    assert grid.O.get_machine_rules(grid.O.address) == grid.O.rules


def test_overloaded_rules_of_one_machine_hold_for_launches_there(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    own = {"overload_machine_rules": {grid.O.address: {"machine_maximum_number_of_workers": 1}}}
    other = make_grid(workers=0, rules=own)
    assert [bool(status) for status in other.O.launch_worker([other.O.address] * 2)[0]] == [True, False]


def test_globals_rules_are_read_when_an_executor_is_made(make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    from softgrid import Globals

    monkeypatch.setitem(Globals.RULES, "timeout_short", 2.25)
    grid = make_grid()
    monkeypatch.setitem(Globals.RULES, "timeout_short", 9)
    assert grid.O.rules["timeout_short"] == 2.25
    assert grid.one(lambda executor: executor.rules["timeout_short"], first=True) == 2.25


def test_passwords_are_not_in_command_lines_nor_environments(grid: Grid) -> None:
    secrets = [grid.O.password, *grid.O.passwords["routers"].values()]
    for name in [*grid.routers, *grid.managers, *grid.workers]:
        pid = pid_in(name)
        supervisor = parent_of(pid)
        for each in (pid, supervisor):
            with open(f"/proc/{each}/cmdline") as command, open(f"/proc/{each}/environ") as environment:
                text = command.read() + environment.read()
            assert not any(secret in text for secret in secrets)
    assert not any(secret in repr(grid.O) for secret in secrets)
