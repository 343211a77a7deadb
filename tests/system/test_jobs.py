"""Tasks and jobs on real grids: every task answered for once, workers reserved and let go of, whatever happens."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.system.gates import Gate
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import PATIENCE_S, pid_in, wait_until

from softgrid.Collections import SoftgridStatus

pytestmark = pytest.mark.system

_numbers = count()


@pytest.fixture
def name() -> str:
    """A name for results or a password that no other test uses."""
    return f"job {next(_numbers)}"


@pytest.fixture
def busy(grid: Grid, tmp_path: Path) -> Iterator[Callable[..., Gate]]:
    """Keeps a worker of the common grid busy: ``busy(worker).open()``."""
    gates: list[Gate] = []

    def begin(worker: str, **template: Any) -> Gate:
        gates.append(Gate(grid, worker, tmp_path, **template))
        return gates[-1]

    yield begin
    for gate in gates:
        gate.open()


def held(grid: Grid) -> list[int]:
    """How many promises each worker holds that is alive."""
    alive = grid.O.workers
    return [grid.O.statistics(worker)["promises_held"] for worker in grid.workers if worker in alive]


def check_free(grid: Grid) -> None:
    """Fail unless every worker is soon free of promises and the orchestrator knows of none."""
    wait_until(lambda: not any(held(grid)), what="no worker holds a promise")
    wait_until(lambda: not len(grid.O._node.reserving._reservations), what="none is known to be held")


def square(number: int) -> int:
    return number * number


def own_pid(number: int, seconds: float = 0.0) -> int:
    import os
    import time

    time.sleep(seconds)
    return os.getpid()


# -- schedule_task --------------------------------------------------------------------------------


def test_a_task_gives_its_result_in_a_list(grid: Grid) -> None:
    assert grid.O.schedule_task(square, [7]) == [49]
    assert grid.O.schedule_task(pow, (2,), {"exp": 5}) == [32]
    assert grid.O.schedule_task(own_pid, [0], worker=grid.workers[2]) == [pid_in(grid.workers[2])]


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        ("lambda x: x + 1", [4], 5),
        ({"source": "def f(x):\n    return 2 * x\ndef g(x):\n    return f(x) + 1\n"}, [4], 9),
        ({"source": "def f(x):\n    return 2 * x\ndef g(x):\n    return f(x) + 1\n", "name": "f"}, [4], 8),
        ("split_grid_unique_name", ["worker|A@b[1]:2"], ("worker", "A", "b", 1, 2)),
    ],
)
def test_a_task_is_given_as_every_call_is(grid: Grid, function: Any, arguments: Any, result: Any) -> None:
    assert grid.O.schedule_task(function, arguments) == [result]


def test_without_a_worker_the_one_with_least_to_do_is_taken(grid: Grid, busy: Any) -> None:
    gates = [busy(worker) for worker in grid.workers[:2]]
    idle = pid_in(grid.workers[2])
    assert [grid.O.schedule_task(own_pid, [n])[0] for n in range(4)] == [idle] * 4
    for gate in gates:
        gate.open()


def test_idle_workers_take_turns(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=3)
    pids = [grid.O.schedule_task(own_pid, [n])[0] for n in range(6)]
    assert Counter(pids) == dict.fromkeys(map(pid_in, grid.workers), 2)


def test_a_worker_that_others_keep_busy_is_not_taken_when_it_has_said_so(grid: Grid, tmp_path: Path) -> None:
    worker, other = grid.workers[0], grid.workers[1]
    path = str(tmp_path / "open")

    def keep_busy(executor: Any, worker: str, path: str) -> None:
        source = "def wait(path):\n    import os, time\n    while not os.path.exists(path):\n        time.sleep(0.005)"
        executor.transfer(executor.get_transfer_template(source, (path,), returnResult=False), worker)

    grid.one(keep_busy, worker, path, to=other, first=True)
    wait_until(lambda: grid.O.statistics(worker)["tasks_running"] == 1)
    others = {pid_in(name) for name in grid.workers[1:]}
    assert {grid.O.schedule_task(own_pid, [n])[0] for n in range(4)} == others
    Path(path).touch()


def test_only_workers_that_run_functions_of_users_are_taken(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1)
    forbidden = grid.launch("Worker", executorKwargs={"allowExecutingUDF": False})[0]
    (allowed,) = grid.workers
    assert {grid.O.schedule_task(own_pid, [n])[0] for n in range(3)} == {pid_in(allowed)}
    refused = grid.O.schedule_task(own_pid, [0], worker=forbidden)[0]
    assert "runs no functions of users" in refused.error
    assert len(grid.O.create_job_promise()) == 1
    os.kill(pid_in(allowed), signal.SIGKILL)
    wait_until(lambda: allowed not in grid.O.workers)
    assert "none of the 1 workers" in grid.O.schedule_task(own_pid, [0]).error
    assert "none of the 1 workers" in grid.O.schedule_job([(own_pid, [0])]).error
    os.kill(pid_in(forbidden), signal.SIGKILL)
    wait_until(lambda: not grid.O.workers)
    assert "there is no worker below" in grid.O.schedule_task(own_pid, [0]).error


def test_results_are_kept_here_and_there_as_asked(grid: Grid, name: str) -> None:
    worker = grid.workers[0]
    kept = {"worker": worker, "resultName": name}
    assert grid.O.schedule_task(square, [2], **kept) == [4]
    assert grid.O.schedule_task(square, [3], storeResult=True, **kept) == [9]
    assert grid.O.schedule_task(square, [4], collect=False, **kept) is None
    wait_until(lambda: grid.O._executedReturned[name] == [4, 9, 16])
    assert grid.O.schedule_task(square, [5], returnResult=False, storeResult=True, **kept) == [None]

    def stored(executor: Any, name: str) -> Any:
        return executor._executedStored[name]

    assert grid.one(stored, name, to=worker, first=True) == 25
    assert grid.O._executedReturned[name] == [4, 9, 16]


def test_tasks_run_by_priority(grid: Grid, name: str, busy: Any) -> None:
    worker = grid.workers[0]
    gate = busy(worker)
    for priority in (3, 1, -2):
        grid.O.schedule_task(square, [priority], worker=worker, priority=priority, collect=False, resultName=name)
    assert grid.O.schedule_task(square, [9], worker=worker, priority=None) == [81]
    gate.open()
    wait_until(lambda: grid.O._executedReturned.get(name) == [4, 1, 9])


def test_a_task_that_fails_or_whose_worker_dies_gives_a_failed_status_in_the_list(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=2)
    failed = grid.O.schedule_task(lambda: 1 / 0)[0]
    assert isinstance(failed.exception, ZeroDivisionError)
    lost = grid.O.schedule_task(os._exit, [3], worker=grid.workers[0])[0]
    assert "exited with code 3" in lost.error
    assert lost.data["args"] == [3]
    wait_until(lambda: grid.workers[0] not in grid.O.workers)
    assert "is gone" in grid.O.schedule_task(square, [3], worker=grid.workers[0])[0].error
    assert grid.O.schedule_task(square, [3]) == [9]


def test_a_task_is_no_longer_waited_for_when_its_time_is_up_and_runs_on(grid: Grid, busy: Any, tmp_path: Path) -> None:
    worker = grid.workers[0]
    gate = busy(worker)
    ran = tmp_path / "ran"
    late = grid.O.schedule_task("lambda path: open(path, 'w').close()", [str(ran)], worker=worker, taskTimeout=0.05)[0]
    assert "within 0.05 s" in late.error
    gate.open()
    wait_until(ran.exists)


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        ("worker", {"worker": "nobody"}),
        ("worker", {"worker": 5}),
        ("func", {"func": None}),
        ("func", {"func": {"text": "lambda: 1"}}),
        ("priority", {"priority": "high"}),
        ("taskTimeout", {"taskTimeout": -1}),
        ("multiplier", {"taskTimeout": 1, "multiplier": "x"}),
        ("resultName", {"resultName": 5}),
        ("promisePassword", {"promisePassword": 5}),
        ("args", {"fargs": 5}),
        ("kwargs", {"fkwargs": [1]}),
    ],
)
def test_a_task_that_cannot_be_meant_is_a_failed_status_that_names_the_parameter(
    grid: Grid, parameter: str, given: Any
) -> None:
    status = grid.O.schedule_task(**{"func": square, "fargs": [1], **given})
    assert isinstance(status, SoftgridStatus)
    assert str(status.error).startswith(f"{parameter}: got ")
    manager = grid.O.schedule_task(square, [1], worker=grid.managers[0])
    assert "the grid unique name of a worker" in manager.error


# -- create_job_promise, remove_job_promise -------------------------------------------------------


def test_a_job_of_promises_and_tasks(grid: Grid, name: str) -> None:
    promises = grid.O.create_job_promise(ntasks=3, workers=None, nworkersMin=3, promiseTimeout=60)
    assert sorted(promise["promise_executor"] for promise in promises) == sorted(grid.workers)
    assert len({promise["promise_password"] for promise in promises}) == 1
    for number, promise in enumerate(promises):
        grid.O.schedule_task(
            square,
            [number],
            worker=promise["promise_executor"],
            promisePassword=promise["promise_password"],
            collect=False,
            resultName=name,
        )
    wait_until(lambda: sorted(grid.O._executedReturned.get(name, [])) == [0, 1, 4])
    check_free(grid)


def test_no_more_are_promised_than_there_are_tasks_or_workers(grid: Grid) -> None:
    assert len(grid.O.create_job_promise(ntasks=1, promisePassword="one")) == 1
    assert len(grid.O.create_job_promise(ntasks=9, promisePassword="two", force=True)) == 3
    some = grid.O.create_job_promise(workers=grid.workers[1:], promisePassword="three", force=True)
    assert sorted(promise["promise_executor"] for promise in some) == sorted(grid.workers[1:])
    for password, number in [("one", 1), ("two", 3), ("three", 2)]:
        assert list(map(bool, grid.O.remove_job_promise(password, verbose=False))) == [True] * number
    check_free(grid)


def test_a_busy_worker_is_passed_over_for_an_idle_one(grid: Grid, busy: Any) -> None:
    gate = busy(grid.workers[0])
    promises = grid.O.create_job_promise(ntasks=2, nworkersMin=2)
    assert sorted(promise["promise_executor"] for promise in promises) == sorted(grid.workers[1:])
    grid.O.remove_job_promise(promises, verbose=False)
    gate.open()


def test_when_there_are_too_few_all_are_rolled_back(grid: Grid, busy: Any, name: str) -> None:
    gate = busy(grid.workers[2])
    status = grid.O.create_job_promise(nworkersMin=3, promisePassword=name)
    assert isinstance(status, SoftgridStatus)
    assert str(status.error).startswith("2 of the 3 workers that there must be could be reserved, so none is: ")
    assert f"{grid.workers[2]}: it is busy: one call is running" in str(status.error)
    assert held(grid) == [0, 0, 0]
    promises = grid.O.create_job_promise(nworkersMin=3, promisePassword=name, force=True)
    assert sorted(promise["at_head"] for promise in promises) == [False, True, True]
    assert len(grid.O.remove_job_promise(name, verbose=False)) == 3
    gate.open()
    check_free(grid)


def test_a_taken_password_counts_as_a_worker_that_refuses(grid: Grid, name: str) -> None:
    grid.O.transfer_add_promise(grid.workers[0], name)
    status = grid.O.create_job_promise(nworkersMin=3, promisePassword=name, force=True)
    assert "a promise with that password is held here already" in str(status.error)
    assert held(grid) == [1, 0, 0], "what was there before stays"
    assert len(grid.O.create_job_promise(nworkersMin=2, promisePassword=name, force=True)) == 2
    assert len(grid.O.remove_job_promise(name, verbose=False)) == 3
    check_free(grid)


def test_workers_that_do_not_answer_in_time_are_not_reserved_now_nor_later(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)
    os.kill(pid_in(grid.workers[0]), signal.SIGSTOP)
    try:
        status = grid.O.create_job_promise(workers=grid.workers, nworkersMin=2, transferTimeout=0.2)
        assert "1 of the 2 workers" in str(status.error)
        promises = grid.O.create_job_promise(workers=grid.workers, nworkersMin=1, transferTimeout=0.2)
        assert [promise["promise_executor"] for promise in promises] == [grid.workers[1]]
    finally:
        os.kill(pid_in(grid.workers[0]), signal.SIGCONT)
    assert len(grid.O.remove_job_promise(promises, verbose=False)) == 1
    grid.check_alive()
    check_free(grid)


def test_of_jobs_that_race_for_the_same_workers_one_gets_all_and_nobody_hangs(grid: Grid) -> None:
    winners: list[list[Any]] = []

    def race(barrier: threading.Barrier, results: list[Any]) -> None:
        barrier.wait(PATIENCE_S)
        results.append(grid.O.create_job_promise(nworkersMin=3))

    for _ in range(10):
        barrier, results = threading.Barrier(3), []
        racing = [threading.Thread(target=race, args=(barrier, results)) for _ in range(3)]
        for thread in racing:
            thread.start()
        for thread in racing:
            thread.join(PATIENCE_S)
        won = [result for result in results if isinstance(result, list)]
        assert (len(results), len(won)) == (3, 1)
        winners += won
        assert all(grid.O.remove_job_promise(won[0], verbose=False))
        check_free(grid)
    assert len(winners) == 10


def test_removing_gives_a_status_for_each_promise(grid: Grid, busy: Any, name: str) -> None:
    promises = grid.O.create_job_promise(promisePassword=name)
    gate = busy(grid.workers[0], promisePassword=name)
    waiting = grid.template(square, 3, promisePassword=name, returnResult=False)
    assert grid.O.transfer(waiting, grid.workers[0]) is None
    wait_until(lambda: grid.O.statistics(grid.workers[0])["tasks_queued"] == 1)
    failed = SoftgridStatus(False, error="this one was not placed")
    statuses = grid.O.remove_job_promise([failed, *promises], force=False, verbose=False)
    assert [status.name for status in statuses] == [promise["promise_executor"] for promise in promises]
    kept, *removed = sorted(statuses, key=bool)
    assert (bool(kept), kept.name) == (False, grid.workers[0])
    assert "1 calls wait in it" in kept.error
    assert kept.data["remaining_queue_length"] == 1
    assert [(bool(status), status.message) for status in removed] == [(True, "promise removed")] * 2
    busy_one = {"promise_password": name, "promise_executor": grid.workers[0]}
    assert list(map(bool, grid.O.remove_job_promise(busy_one, verbose=False))) == [True]
    [nowhere] = grid.O.remove_job_promise(name, verbose=False)
    assert nowhere.error == "no worker below holds a promise with that password"
    gate.open()
    check_free(grid)


def test_verbose_promises_are_told(make_grid: MakeGrid, capsys: Any) -> None:
    grid = make_grid()
    promises = grid.O.create_job_promise(verbose=True)
    grid.O.remove_job_promise(promises)
    assert grid.O.schedule_job([(square, [2])]) == [4]
    grid.O.disconnect(kill=False)
    shown = capsys.readouterr().out
    for said in (
        f"a job is promised {grid.workers[0]}",
        f"a promise of {grid.workers[0]} is removed",
        "a job of 1 tasks begins with 1 workers",
        "a job of 1 tasks has ended after ",
    ):
        assert said in shown
    assert promises[0]["promise_password"] not in shown


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        ("ntasks", {"ntasks": 0}),
        ("ntasks", {"ntasks": 2.0}),
        ("nworkersMin", {"nworkersMin": 0}),
        ("nworkersMin", {"nworkersMin": 4}),
        ("nworkersMin", {"ntasks": 2, "nworkersMin": 3}),
        ("workers", {"workers": []}),
        ("workers", {"workers": "nobody"}),
        ("workers", {"workers": 5}),
        ("promisePassword", {"promisePassword": 5}),
        ("promiseTimeout", {"promiseTimeout": None}),
        ("transferTimeout", {"transferTimeout": 0}),
        ("force", {"force": "yes"}),
    ],
)
def test_a_job_promise_that_cannot_be_meant_names_the_parameter_and_holds_nothing(
    grid: Grid, parameter: str, given: Any
) -> None:
    for status in (
        grid.O.create_job_promise(**given),
        grid.O.schedule_job([(square, [1])] * 9, jobPromiseKwargs=given, verbose=False),
    ):
        assert isinstance(status, SoftgridStatus)
        assert str(status.error).startswith(f"{parameter}: got ")
    assert held(grid) == [0, 0, 0]
    for bad in (None, 5, {}, [None]):
        assert str(grid.O.remove_job_promise(bad).error).startswith("promises: got ")


# -- schedule_job ---------------------------------------------------------------------------------


def test_a_job_of_many_tasks_gives_all_results_in_their_order(grid: Grid) -> None:
    funcs = [(square, [number], None) for number in range(500)]
    assert grid.O.schedule_job(funcs, verbose=False) == [number * number for number in range(500)]
    check_free(grid)


def test_tasks_of_all_kinds_and_one_function_alone(grid: Grid) -> None:
    funcs = [
        (square, [3], None),
        (pow, None, {"base": 2, "exp": 5}),
        (lambda: "closure",),
        ("lambda x: -x", (4,)),
        ({"source": "def f():\n    return 'source'"}, None, None),
        ("split_grid_unique_name", ["worker|A@b[1]:2"]),
        os.getppid,
    ]
    *results, parent = grid.O.schedule_job(funcs, verbose=False)
    assert results == [9, 32, "closure", -4, "source", ("worker", "A", "b", 1, 2)]
    assert type(parent) is int
    for alone in (lambda: 7, "lambda: 7", {"source": "lambda: 7"}):
        assert grid.O.schedule_job(alone, verbose=False) == [7]


def test_all_workers_take_part_and_long_tasks_go_to_whoever_is_free(grid: Grid) -> None:
    pids = grid.O.schedule_job([(own_pid, [number, 0.02]) for number in range(12)], verbose=False)
    assert set(pids) == set(map(pid_in, grid.workers))


def test_one_long_task_does_not_keep_others_behind_it(grid: Grid, tmp_path: Path) -> None:
    last = tmp_path / "last"

    def wait_for_last(path: str) -> str:
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.005)
        return "after all others"

    funcs: list[Any] = [(wait_for_last, [str(last)])]
    funcs += [(square, [number]) for number in range(20)]
    funcs += [("lambda path: open(path, 'w').close()", [str(last)])]
    results = grid.O.schedule_job(funcs, verbose=False, jobTimeout=PATIENCE_S)
    assert results == ["after all others", *map(square, range(20)), None]


def test_no_more_workers_are_taken_than_there_are_tasks(grid: Grid, busy: Any) -> None:
    gates = [busy(worker) for worker in grid.workers[:2]]
    assert grid.O.schedule_job([(own_pid, [0])], verbose=False) == [pid_in(grid.workers[2])]
    for gate in gates:
        gate.open()


def test_a_job_waits_for_busy_workers_and_takes_those_that_become_free(grid: Grid, busy: Any, name: str) -> None:
    gates = {worker: busy(worker) for worker in grid.workers}
    assert grid.O.schedule_job([(own_pid, [n]) for n in range(9)], False, name, verbose=False) is None
    assert held(grid) == [1, 1, 1]
    gates[grid.workers[1]].open()
    wait_until(lambda: grid.O._executedReturned.get(name) == [pid_in(grid.workers[1])] * 9)
    wait_until(lambda: held(grid) == [0, 0, 0], what="those that are busy still are let go of")
    for gate in gates.values():
        gate.open()


def test_jobs_on_the_same_workers_follow_each_other(grid: Grid, name: str) -> None:
    for number in range(4):
        grid.O.schedule_job([(own_pid, [n, 0.005]) for n in range(9)], False, f"{name} {number}", verbose=False)
    wait_until(lambda: all(len(grid.O._executedReturned.get(f"{name} {number}", [])) == 9 for number in range(4)))
    check_free(grid)


def test_a_job_may_refuse_to_wait(grid: Grid, busy: Any) -> None:
    gate = busy(grid.workers[0])
    kwargs = {"force": False, "nworkersMin": 3}
    status = grid.O.schedule_job([(square, [n]) for n in range(3)], jobPromiseKwargs=kwargs, verbose=False)
    assert "it is busy" in status.error
    assert held(grid) == [0, 0, 0]
    gate.open()


def test_the_promises_of_a_job_are_as_asked_for(grid: Grid, name: str) -> None:
    kwargs = {"workers": grid.workers[:1], "ntasks": 1, "promisePassword": name, "verbose": False}
    pids = grid.O.schedule_job([(own_pid, [n]) for n in range(5)], jobPromiseKwargs=kwargs, verbose=False)
    assert pids == [pid_in(grid.workers[0])] * 5
    check_free(grid)


def test_results_that_are_not_collected_are_kept_under_their_name(grid: Grid, name: str) -> None:
    assert grid.O.schedule_job([(square, [n]) for n in range(9)], False, name, verbose=False) is None
    wait_until(lambda: sorted(grid.O._executedReturned.get(name, [])) == [n * n for n in range(9)])
    assert grid.O.schedule_job([(square, [2]), (square, [3])], True, name, verbose=False) == [4, 9]
    assert grid.O._executedReturned[name][-2:] == [4, 9]


def test_arguments_may_change_when_a_job_that_is_not_collected_has_begun(grid: Grid, name: str, busy: Any) -> None:
    import numpy as np

    gates = [busy(worker) for worker in grid.workers]
    array = np.ones(200_000)
    grid.O.schedule_job([(np.sum, [array])] * 4, False, name, verbose=False)
    array[:] = 7
    for gate in gates:
        gate.open()
    wait_until(lambda: grid.O._executedReturned.get(name) == [200_000.0] * 4)


def test_a_task_that_fails_in_the_middle_stops_no_other(grid: Grid) -> None:
    def fail_at_five(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    funcs: list[Any] = [(fail_at_five, [number]) for number in range(9)]
    funcs.insert(7, (fail_at_five, [(item for item in ())]))
    results = grid.O.schedule_job(funcs, verbose=False)
    assert [index for index, result in enumerate(results) if isinstance(result, SoftgridStatus)] == [5, 7]
    assert isinstance(results[5].exception, ValueError)
    assert "cannot serialise" in results[7].error
    assert grid.O.transfer({**results[5].data, "args": (6,)}, grid.workers[0], collect=True) == [6]
    check_free(grid)


def test_a_worker_that_dies_in_the_middle_loses_only_what_it_had(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=3)

    def die_at_five(number: int) -> int:
        import os
        import time

        time.sleep(0.06)  # so long that a worker has one task at a time
        if number == 5:
            os.kill(os.getpid(), 9)
        return number

    results = grid.O.schedule_job([(die_at_five, [number]) for number in range(12)], verbose=False)
    lost = [index for index, result in enumerate(results) if isinstance(result, SoftgridStatus)]
    assert 5 in lost
    assert len(lost) <= 3
    assert all("killed by signal 9" in results[index].error for index in lost)
    assert [result for index, result in enumerate(results) if index not in lost] == [
        number for number in range(12) if number not in lost
    ]
    assert len(grid.O.workers) == 2
    check_free(grid)


def test_when_all_workers_die_every_task_says_so(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)
    results = grid.O.schedule_job([(os._exit, [3])] * 6, verbose=False)
    assert len(results) == 6
    assert all(isinstance(result, SoftgridStatus) for result in results)
    assert "not started" in results[-1].error
    wait_until(lambda: not grid.O.workers)
    assert "there is no worker below" in grid.O.schedule_job([(square, [1])], verbose=False).error


def test_a_worker_that_dies_while_a_job_waits_for_it_is_not_waited_for(make_grid: MakeGrid, tmp_path: Path) -> None:
    grid = make_grid()
    gate = Gate(grid, grid.workers[0], tmp_path)
    results: list[Any] = []
    job = threading.Thread(target=lambda: results.extend(grid.O.schedule_job([(square, [1])] * 2, verbose=False)))
    job.start()
    wait_until(lambda: held(grid) == [1])
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    job.join(PATIENCE_S)
    assert [isinstance(result, SoftgridStatus) for result in results] == [True, True]
    gate.open()


def test_when_the_time_of_a_job_is_up_nothing_more_of_it_begins(grid: Grid, tmp_path: Path) -> None:
    folder, gate = tmp_path / "ran", tmp_path / "open"
    folder.mkdir()

    def run(folder: str, gate: str, number: int) -> None:
        import os
        import time

        open(os.path.join(folder, str(number)), "w").close()
        while not os.path.exists(gate):
            time.sleep(0.005)

    funcs = [(run, [str(folder), str(gate), number]) for number in range(9)]
    results = grid.O.schedule_job(funcs, jobTimeout=0.5, verbose=False)
    assert all("the job did not end within 0.5 s" in result.error for result in results)
    assert sum("it was not started" in result.error for result in results) >= 6
    check_free(grid)
    gate.touch()
    grid.check_alive()
    assert len(os.listdir(folder)) <= 3


def test_removing_the_promises_of_a_job_cancels_what_has_not_begun(grid: Grid, busy: Any, name: str) -> None:
    gates = [busy(worker) for worker in grid.workers]
    results: list[Any] = []

    def schedule() -> None:
        kwargs = {"promisePassword": name}
        funcs = [(square, [number]) for number in range(6)]
        results.extend(grid.O.schedule_job(funcs, jobPromiseKwargs=kwargs, verbose=False))

    job = threading.Thread(target=schedule)
    job.start()
    wait_until(lambda: held(grid) == [1, 1, 1])
    assert list(map(bool, grid.O.remove_job_promise(name, verbose=False))) == [True] * 3
    job.join(PATIENCE_S)
    assert ["not started" in result.error for result in results] == [True] * 6
    for gate in gates:
        gate.open()
    check_free(grid)


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        ("funcs", {"funcs": []}),
        ("funcs", {"funcs": None}),
        ("funcs[1]", {"funcs": [square, 5]}),
        ("funcs[0]", {"funcs": [(square, 5)]}),
        ("funcs[0]", {"funcs": [(square, [5], [])]}),
        ("jobTimeout", {"jobTimeout": 0}),
        ("resultName", {"resultName": 5}),
        ("jobPromiseKwargs", {"jobPromiseKwargs": {"nworkers": 3}}),
        ("jobPromiseKwargs", {"jobPromiseKwargs": [3]}),
    ],
)
def test_a_job_that_cannot_be_meant_names_the_parameter_and_holds_nothing(
    grid: Grid, parameter: str, given: Any
) -> None:
    result = grid.O.schedule_job(**{"funcs": [(square, [1])], "verbose": False, **given})
    status = result[0] if isinstance(result, list) else result
    assert isinstance(status, SoftgridStatus)
    assert str(status.error).startswith(f"{parameter}: got ")
    assert held(grid) == [0, 0, 0]


def test_after_leaving_nothing_can_be_scheduled(make_grid: MakeGrid) -> None:
    grid = make_grid()
    grid.O.disconnect(kill=False)
    for status in (
        grid.O.schedule_task(square, [1]),
        grid.O.schedule_job([(square, [1])]),
        grid.O.create_job_promise(),
        grid.O.remove_job_promise("p"),
    ):
        assert "has left the grid" in status.error
