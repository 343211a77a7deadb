"""Executors launched on this machine: by whom, under whom, in which form, and what is said when it fails."""
# ruff: noqa: E741  (O is what everybody calls the orchestrator)

from __future__ import annotations

import gc
import os
import sys
import threading
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import ANY_NUMBER, Grid, MakeGrid, Scripts, Traces
from tests.system.watching import COOKIE, LEAVING_S, PATIENCE_S, is_alive, pid_in, port_in, processes_with, wait_until

from softgrid import Orchestrator

pytestmark = pytest.mark.system


def test_one_address_gives_one_status_and_the_documented_dictionary(make_grid: MakeGrid) -> None:
    O = make_grid(workers=0).O
    statuses, successful, failed = O.launch_worker(
        upgridUniqueName=O.gridUniqueName, executorAddress=O.address, executorKwargs=None, machineUser="some_user"
    )
    assert failed == []
    assert [bool(status) for status in statuses] == [True]
    assert statuses[0].error is None
    assert successful == [
        {
            "executorType": "Worker",
            "upgridUniqueName": O.gridUniqueName,
            "gridUniqueName": O.workers[0],
            "executorAddress": O.address,
            "machineUser": "some_user",
            "machineExecutable": None,
        }
    ]
    assert O.workers[0] in str(statuses[0])


def test_many_addresses_with_a_list_of_everything(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=2, workers=0)
    O = grid.O
    statuses, successful, failed = O.launch_executor(
        executorAddress=[O.address, "localhost", "127.0.0.1"],
        executorType=["Worker", "Manager", "router"],
        executorKwargs=[{"name": "first"}, None, {"name": "third", "port": 6100}],
        upgridUniqueName=[grid.routers[0], grid.routers[1], None],
        machineUser=["a", "b", None],
        machineExecutable=[None, sys.executable, None],
        timeout=20,
        retry=1,
    )
    assert failed == [], statuses
    assert len(statuses) == 3
    names = [item["gridUniqueName"] for item in successful]
    assert [O.split_grid_unique_name(name)[:2] for name in names] == [
        ("worker", "first"),
        ("manager", "Manager"),
        ("router", "third"),
    ]
    assert port_in(names[2]) >= 6100
    ways = {name: way for role in O.paths.values() for name, way in role.items()}
    upgrids = [grid.routers[0], grid.routers[1], O.gridUniqueName]
    assert [ways[name][-1] for name in names] == upgrids
    assert [item["upgridUniqueName"] for item in successful] == upgrids


def test_addresses_of_this_machine_are_one_machine(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules={"machine_maximum_number_of_workers": 2})
    statuses, successful, _ = grid.O.launch_worker([grid.O.address, "localhost", "127.0.0.1"])
    assert len(successful) == 2, statuses
    assert grid.O.machinesAddress == [grid.O.address]


def test_the_aliases_take_positional_arguments(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    router = grid.O.launch_router(grid.O.address)[1][0]
    manager = grid.O.launch_manager([grid.O.address], None, router["gridUniqueName"])[1][0]
    worker = grid.O.launch_worker(grid.O.address, {"name": "w"}, manager["gridUniqueName"])[1][0]
    assert [item["executorType"] for item in (router, manager, worker)] == ["Router", "Manager", "Worker"]
    assert grid.O.paths["worker"][worker["gridUniqueName"]][1:] == [router["gridUniqueName"], manager["gridUniqueName"]]


def test_parameters_of_the_executor_reach_it(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    kwargs = {"name": "a näme", "applicationName": "app", "relaunch": 3, "password": "pw", "killAtDisconnect": False}
    grid.workers = grid.launch("Worker", executorKwargs=kwargs)

    def said(executor: Any) -> dict[str, Any]:
        return {
            key: getattr(executor, key)
            for key in ("name", "applicationName", "relaunch", "password", "killAtDisconnect")
        }

    assert grid.one(said, first=True) == kwargs


def test_rules_in_the_kwargs_win_over_those_of_the_grid(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    grid.workers = grid.launch("Worker", executorKwargs={"rules": {"timeout_short": 3}})
    own = grid.one(lambda executor: executor.rules, first=True)
    assert own["timeout_short"] == 3
    assert own["machine_maximum_number_of_workers"] is None, "the other rules are still those of the grid"


def test_a_password_may_be_a_callable(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    (router,) = grid.launch("Router", executorKwargs={"password": lambda: "from a callable"})
    assert grid.O.passwords["routers"] == {router: "from a callable"}


def test_a_worker_can_ask_for_a_worker_under_a_manager(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, managers=2)

    def ask(executor: Any, upgrid: str) -> Any:
        return executor.launch_worker(executor.address, upgridUniqueName=upgrid)

    _, successful, failed = grid.one(ask, grid.managers[1], first=True)
    assert failed == []
    name = successful[0]["gridUniqueName"]
    wait_until(lambda: name in grid.O.workers)
    assert grid.O.paths["worker"][name] == [grid.O.gridUniqueName, grid.routers[0], grid.managers[1]]
    assert grid.one(os.getpid, to=name) == pid_in(name)


def test_a_manager_can_ask_for_workers_under_itself_by_default(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=0, rules={"manager_allow_executing_udf": True})
    successful = grid.one(
        lambda executor: executor.launch_worker([executor.address] * 2)[1], to=grid.managers, first=True
    )
    assert [item["upgridUniqueName"] for item in successful] == grid.managers * 2
    names = sorted(item["gridUniqueName"] for item in successful)
    wait_until(lambda: sorted(grid.O.workers) == names)


def test_a_worker_can_ask_for_a_router_under_the_orchestrator(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1)
    ask = grid.one(
        lambda executor: executor.launch_router(executor.address, upgridUniqueName=executor.gridPath[0]), first=True
    )
    assert ask[2] == []
    assert grid.O.paths["router"] == {ask[1][0]["gridUniqueName"]: [grid.O.gridUniqueName]}


def test_rules_hold_whoever_asks(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, rules={"machine_maximum_number_of_workers": 2})

    def ask(executor: Any) -> Any:
        return executor.launch_worker([executor.address] * 2, upgridUniqueName=executor.gridPath[-2])

    statuses, successful, failed = grid.one(ask, first=True)
    assert (len(successful), len(failed)) == (1, 1)
    assert "machine_maximum_number_of_workers = 2" in statuses[1].error


def test_launches_from_several_threads_at_once_respect_the_maximum(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules={"machine_maximum_number_of_workers": 5})
    launched: list[Any] = []

    def launch() -> None:
        launched.extend(grid.O.launch_worker([grid.O.address] * 2, timeout=30)[1])

    threads = [threading.Thread(target=launch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(launched) == len(grid.O.workers) == 5
    grid.check_alive()


def test_all_of_a_tree_of_launches_answer(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=3, workers=0)
    managers = grid.launch("Manager", grid.routers * 2)
    grid.workers = grid.launch("Worker", managers * 2)
    assert grid.call(os.getpid, to="workers") == [pid_in(name) for name in grid.O.workers]
    assert len(grid.O.workers) == 12


def test_routers_can_stand_under_routers_to_any_depth(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, workers=0)
    path = list(grid.routers)
    for _ in range(4):
        path += grid.launch("Router", path[-1])
    grid.workers = grid.launch("Worker", path[-1])
    assert grid.one(lambda executor: executor.gridPath, first=True) == [grid.O.gridUniqueName, *path, *grid.workers]


def test_an_executable_runs_the_executor(make_grid: MakeGrid, tmp_path: Path) -> None:
    other = tmp_path / "other-python"
    other.symlink_to(os.path.realpath(sys.executable))
    grid = make_grid(workers=0)
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        (worker,) = grid.launch("Worker", machineExecutable=str(other))
    ran = grid.one(lambda: os.readlink("/proc/self/exe"), to=worker)
    assert ran == os.path.realpath(sys.executable)


def test_an_executable_that_is_not_there_is_named(grid: Grid) -> None:
    statuses, successful, _ = grid.O.launch_worker(grid.O.address, machineExecutable="/no/such/python")
    assert successful == []
    assert "/no/such/python" in statuses[0].error
    assert "step" in statuses[0].error
    grid.check_alive()


@pytest.mark.parametrize("program", ["/bin/false", "/bin/cat"])
def test_an_executable_that_is_no_python_fails_with_the_step(grid: Grid, program: str) -> None:
    statuses, successful, _ = grid.O.launch_worker(grid.O.address, machineExecutable=program, timeout=5)
    assert successful == []
    assert "step" in statuses[0].error
    assert program in statuses[0].error or "exited" in statuses[0].error
    grid.check_alive()


def test_a_failure_tells_what_the_child_said_last(make_grid: MakeGrid, tmp_path: Path) -> None:
    wrapper = tmp_path / "python"
    wrapper.write_text("#!/bin/sh\necho 'the licence server is down' >&2\nexit 3\n")
    wrapper.chmod(0o755)
    grid = make_grid(workers=0)
    statuses, successful, _ = grid.O.launch_worker(grid.O.address, machineExecutable=str(wrapper), timeout=5)
    assert successful == []
    assert "the licence server is down" in statuses[0].error
    assert "code 3" in statuses[0].error


def test_launching_is_tried_again_after_a_failure(make_grid: MakeGrid, tmp_path: Path) -> None:
    wrapper, tries = tmp_path / "python", tmp_path / "tries"
    wrapper.write_text(
        f'#!/bin/sh\necho x >> {tries}\n[ $(wc -l < {tries}) -ge 3 ] || exit 3\nexec {sys.executable} "$@"\n'
    )
    wrapper.chmod(0o755)
    grid = make_grid(workers=0)
    assert not grid.O.launch_worker(grid.O.address, machineExecutable=str(wrapper), timeout=10, retry=0)[0][0]
    assert grid.O.launch_worker(grid.O.address, machineExecutable=str(wrapper), timeout=20, retry=3)[0][0]
    assert tries.read_text().count("x") == 3


def test_the_parameters_of_a_failed_launch_can_be_used_again(make_grid: MakeGrid) -> None:
    grid = make_grid(rules={"machine_maximum_number_of_workers": 1})
    _, _, failed = grid.O.launch_worker(grid.O.address, machineUser="me")
    assert [sorted(item) for item in failed] == [
        sorted(["executorType", "upgridUniqueName", "executorAddress", "machineUser", "machineExecutable"])
    ]
    assert grid.O.set_machine_rules(grid.O.address, {"machine_maximum_number_of_workers": 2})
    assert grid.O.launch_executor(**failed[0])[0][0]


def test_a_port_in_use_without_port_fetch_fails_and_says_so(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1)
    port = port_in(grid.workers[0])
    for role in ("Router", "Worker"):
        statuses, successful, _ = grid.O.launch_executor(
            grid.O.address, role, executorKwargs={"port": port, "portFetch": False}, timeout=5
        )
        assert successful == []
        assert str(port) in statuses[0].error
        assert "in use" in statuses[0].error
        assert "portFetch" in statuses[0].error
    grid.check_alive()


def test_a_port_in_use_with_port_fetch_gives_the_next_free_one(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1)
    port = port_in(grid.workers[0])
    (router,) = grid.launch("Router", executorKwargs={"port": port, "portFetch": True})
    assert port_in(router) > port


def test_port_zero_gives_any_free_port(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, port=0)
    assert port_in(grid.O.gridUniqueName) > 0
    (worker,) = grid.launch("Worker", executorKwargs={"port": 0, "portFetch": False})
    assert port_in(worker) > 0


def test_an_executor_that_dies_at_once_is_told_with_its_cause(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    statuses, _, _ = grid.O.launch_worker(grid.O.address, executorKwargs={"port": 70000}, timeout=5)
    assert not statuses[0]
    assert "70000" in statuses[0].error
    assert grid.launch("Worker")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"executorAddress": None}, "executorAddress"),
        ({"executorAddress": 7}, "executorAddress"),
        ({"executorAddress": [""]}, "executorAddress"),
        ({"executorType": "Boss"}, "Boss"),
        ({"executorType": "Orchestrator"}, "Orchestrator"),
        ({"executorType": None}, "executorType"),
        ({"executorType": ["Worker"]}, "executorType"),
        ({"executorKwargs": [None]}, "executorKwargs"),
        ({"executorKwargs": [None] * 3}, "executorKwargs"),
        ({"executorKwargs": 5}, "executorKwargs"),
        ({"executorKwargs": {"nome": "x"}}, "nome"),
        ({"executorKwargs": {"name": "a|b"}}, "a|b"),
        ({"executorKwargs": {"name": "x", "logKwargs": object()}}, "executorKwargs"),
        ({"upgridUniqueName": "upstairs"}, "upgridUniqueName"),
        ({"upgridUniqueName": [None]}, "upgridUniqueName"),
        ({"machineUser": ["a"]}, "machineUser"),
        ({"machineUser": 7}, "machineUser"),
        ({"machineExecutable": [None, None, None]}, "machineExecutable"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "10"}, "timeout"),
        ({"retry": -1}, "retry"),
        ({"retry": 1.5}, "retry"),
        ({"retry": None}, "retry"),
    ],
)
def test_bad_arguments_launch_nothing_and_are_named(grid: Grid, changed: dict[str, Any], named: str) -> None:
    arguments = {"executorAddress": [grid.O.address] * 2, "executorType": "Worker", **changed}
    before = len(processes_with("SOFTGRID_GRID", grid.cookie()))
    statuses, successful, _ = grid.O.launch_executor(**arguments)
    assert successful == []
    assert statuses
    assert not any(statuses)
    assert all(named in status.error for status in statuses)
    assert len(processes_with("SOFTGRID_GRID", grid.cookie())) == before
    grid.check_alive()


def test_no_addresses_launch_nothing(grid: Grid) -> None:
    assert grid.O.launch_worker([]) == ([], [], [])


def test_an_upgrid_that_is_not_there_is_named(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1)
    nobody = "manager|Nobody@10.0.0.1[4]:5000"
    assert nobody in grid.O.launch_worker(grid.O.address, upgridUniqueName=nobody)[0][0].error
    os.kill(pid_in(grid.managers[0]), 9)
    statuses, _, failed = grid.O.launch_worker(grid.O.address, upgridUniqueName=grid.managers[0], timeout=5)
    assert len(failed) == 1
    assert grid.managers[0] in statuses[0].error


def test_an_address_that_nobody_answers_at_is_named(make_grid: MakeGrid) -> None:
    grid = make_grid()
    statuses, successful, _ = grid.O.launch_worker("198.51.100.7", timeout=3, retry=0)
    assert successful == []
    assert "198.51.100.7" in statuses[0].error
    grid.check_alive()


@pytest.fixture
def sleeper(tmp_path: Path) -> str:
    """An executable that never comes to be an executor."""
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\nexec sleep 600\n")
    path.chmod(0o755)
    return str(path)


def test_a_launch_that_takes_longer_than_its_timeout_fails_and_leaves_no_process(
    make_grid: MakeGrid, sleeper: str
) -> None:
    grid = make_grid()
    before = set(processes_with(COOKIE, grid.cookie()))
    statuses, _, _ = grid.O.launch_worker(grid.O.address, machineExecutable=sleeper, timeout=0.5, retry=0)
    assert not statuses[0]
    assert "timeout" in statuses[0].error
    wait_until(lambda: set(processes_with(COOKIE, grid.cookie())) == before, LEAVING_S)
    grid.check_alive()


def test_leaving_during_a_launch_ends_the_launch_and_everything_of_it(tmp_path: Path, traces: Traces) -> None:
    starts, sleeper = tmp_path / "starts", tmp_path / "python"
    sleeper.write_text(f"#!/bin/sh\necho x >> {starts}\n[ $(wc -l < {starts}) -eq 1 ] && exec sleep 600\n")
    sleeper.chmod(0o755)
    outcomes: list[Any] = []

    def leave_early() -> None:
        orchestrator = Orchestrator(rules=ANY_NUMBER)
        launch = partial(orchestrator.launch_worker, orchestrator.address, machineExecutable=str(sleeper))
        thread = threading.Thread(target=lambda: outcomes.append(launch()))
        thread.start()
        wait_until(lambda: any("sleep" in each for each in traces.processes().values()))
        orchestrator.disconnect(kill=False)
        thread.join(LEAVING_S)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        leave_early()
        gc.collect()
    threading.Event().wait(0.5)  # time enough to do what should not be done
    assert starts.read_text().count("x") == 1
    assert [len(failed) for _, _, failed in outcomes] == [1], "the launch has ended, too"
    assert [str(warning.message) for warning in caught] == []


def test_hundreds_of_launches_in_one_call(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    names = grid.launch("Worker", count=60)
    pids = grid.call(os.getpid, to=names)
    assert pids == [pid_in(name) for name in names]
    assert len(set(pids)) == 60
    assert all(is_alive(pid) for pid in pids)


def test_two_grids_in_one_process_do_not_mix(make_grid: MakeGrid) -> None:
    one, other = make_grid(), make_grid()
    assert one.cookie() != other.cookie()
    assert one.O.workers != other.O.workers
    assert not one.one(os.getpid, to=other.workers[0])
    one.O.disconnect(kill=False)
    other.check_alive()
    wait_until(lambda: not is_alive(pid_in(one.workers[0])))


def test_an_orchestrator_made_in_another_thread_works(make_grid: MakeGrid) -> None:
    made: list[Grid] = []
    thread = threading.Thread(target=lambda: made.append(make_grid(workers=2)))
    thread.start()
    thread.join(PATIENCE_S)
    made[0].check_alive()


def test_the_main_module_is_not_imported_again(scripts: Scripts) -> None:
    said = scripts.run("""
        say('main runs as', __name__)
        class Thing:
            def __init__(self, value): self.value = value
        def double(thing): return Thing(thing.value * 2)
        O = Orchestrator()
        launch(O, 'Worker', count=2)
        say([thing.value for thing in call(O, double, Thing(4))], isinstance(call(O, double, Thing(1))[0], Thing))
    """)
    assert said.count("main runs as") == 1
    assert "[8, 8] True" in said
