"""Promises on real grids: order, ownership and time; and a grid that goes on whatever becomes of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.system.gates import Gate, note, take_noted
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import pid_in, wait_until

from softgrid.Collections import SoftgridStatus

pytestmark = pytest.mark.system

MINUTE = 60.0
_numbers = count()


@pytest.fixture
def password() -> str:
    """A password that no other test uses."""
    return f"password {next(_numbers)}"


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


def held_by(grid: Grid, worker: str) -> int:
    return int(grid.O.statistics(worker)["promises_held"])


def queued_at(grid: Grid, worker: str) -> int:
    return int(grid.O.statistics(worker)["tasks_queued"])


def send(grid: Grid, worker: str, mark: Any, **template: Any) -> None:
    """Have the worker note *mark*, without waiting for it."""
    assert grid.O.transfer(grid.template(note, mark, first=True, returnResult=False, **template), worker) is None


def noted(grid: Grid, worker: str) -> list[Any]:
    return list(grid.one(take_noted, to=worker, first=True, priority=1000))


# -- order ----------------------------------------------------------------------------------------


def test_while_a_promise_is_at_the_head_nothing_else_starts(grid: Grid, password: str, busy: Any) -> None:
    worker = grid.workers[0]
    gate = busy(worker)
    send(grid, worker, "before", priority=50)
    [promise] = grid.O.transfer_add_promise(worker, password, MINUTE)
    assert (promise["placed"], promise["at_head"]) == (True, False)
    for mark, priority in [("stranger", -50), ("urgent stranger", -99)]:
        send(grid, worker, mark, priority=priority)
    for mark, priority in [("second", 9), ("first", -9), ("third", 9)]:
        send(grid, worker, mark, priority=priority, promisePassword=password)
    assert grid.one(os.getpid, to=worker, priority=None) == pid_in(worker), "priority None aside"
    wait_until(lambda: queued_at(grid, worker) == 6)
    gate.open()
    assert noted(grid, worker) == ["before", "first", "second", "third", "urgent stranger", "stranger"]
    assert held_by(grid, worker) == 0


def test_promises_are_served_in_the_order_in_which_they_came(grid: Grid, password: str, busy: Any) -> None:
    worker = grid.workers[0]
    gate = busy(worker)
    passwords = [f"{password} {number}" for number in range(3)]
    for each in passwords:
        grid.O.transfer_add_promise(worker, each, MINUTE)
    for each in reversed(passwords):
        send(grid, worker, each, promisePassword=each)
    wait_until(lambda: queued_at(grid, worker) == 3)
    gate.open()
    assert noted(grid, worker) == passwords


def test_the_status_tells_what_the_promise_found(grid: Grid, password: str, busy: Any) -> None:
    worker = grid.workers[1]
    gate = busy(worker)
    send(grid, worker, "waits")
    wait_until(lambda: queued_at(grid, worker) == 1)
    first, second = (grid.O.transfer_add_promise(worker, f"{password} {n}", MINUTE)[0] for n in range(2))
    assert first.pop("promise_create_time") == pytest.approx(second.pop("promise_create_time"), abs=30)
    assert first == {
        "placed": True,
        "at_head": False,
        "queue_length": 1,
        "number_of_existing_promises": 0,
        "number_of_running_executions": 1,
        "promise_password": f"{password} 0",
        "promise_executor": worker,
        "reason": None,
    }
    assert second["number_of_existing_promises"] == 1
    assert len(grid.O.remove_job_promise([first, second], verbose=False)) == 2
    gate.open()
    assert noted(grid, worker) == ["waits"]


def test_without_force_a_busy_worker_refuses(grid: Grid, password: str, busy: Any) -> None:
    gate = busy(grid.workers[0])
    refused, placed = grid.O.transfer_add_promise(grid.workers[:2], password, MINUTE, force=False)
    assert (refused["placed"], refused["promise_password"], refused["promise_create_time"]) == (False, None, None)
    assert "one call is running" in refused["reason"]
    assert placed["placed"]
    gate.open()
    assert grid.O.transfer_remove_promise(grid.workers[1], password)[0]["removed"]


# -- passwords ------------------------------------------------------------------------------------


def test_a_taken_password_is_refused_and_the_promise_that_has_it_stays(grid: Grid, password: str) -> None:
    worker = grid.workers[0]
    grid.O.transfer_add_promise(worker, password, MINUTE)
    [taken] = grid.O.transfer_add_promise(worker, password, MINUTE)
    assert (taken["placed"], taken["promise_password"]) == (False, None)
    assert taken["reason"] == "a promise with that password is held here already"
    assert grid.one(abs, -4, to=worker, promisePassword=password) == 4


def test_without_a_password_one_is_made_that_holds_for_all(grid: Grid) -> None:
    promises = grid.O.transfer_add_promise(grid.workers, promiseTimeout=MINUTE)
    (made,) = {promise["promise_password"] for promise in promises}
    assert len(made) == 64
    assert grid.call(abs, -4, to=grid.workers, promisePassword=made) == [4, 4, 4]


def test_a_wrong_or_used_password_is_refused_with_the_reason(grid: Grid, password: str) -> None:
    worker = grid.workers[0]
    wrong = grid.one(abs, -4, to=worker, promisePassword=password)
    assert isinstance(wrong, SoftgridStatus)
    assert wrong.error == "no promise with that password is held here"
    assert wrong.data["promise_password"] == password
    grid.O.transfer_add_promise(worker, password, MINUTE)
    assert grid.one(abs, -4, to=worker, promisePassword=password) == 4
    used = grid.one(abs, -4, to=worker, promisePassword=password)
    assert "has ended: its work is done" in used.error


def test_whoever_has_the_password_can_use_a_promise(grid: Grid, password: str) -> None:
    worker, other = grid.workers[0], grid.workers[2]
    grid.O.transfer_add_promise(worker, password, MINUTE)

    def use(executor: Any, worker: str, password: str) -> Any:
        call = executor.get_transfer_template(abs, (-8,), promisePassword=password)
        return executor.transfer(call, worker, collect=True)

    assert grid.one(use, worker, password, to=other, first=True) == [8]
    assert held_by(grid, worker) == 0


# -- the end: time, removal -----------------------------------------------------------------------


def test_a_promise_without_work_ends_in_time_and_the_orchestrator_is_told(make_grid: MakeGrid, capsys: Any) -> None:
    grid = make_grid()
    (worker,) = grid.workers
    [promise] = grid.O.transfer_add_promise(worker, promiseTimeout=0.2)
    assert promise["placed"]
    assert grid.one(abs, -4) == 4, "which had to wait for that"
    assert held_by(grid, worker) == 0
    said = f"a promise made to {grid.O.gridUniqueName} has ended: no work came within 0.2 s"
    shown = ""

    def is_shown() -> bool:
        nonlocal shown
        shown += capsys.readouterr().out
        return said in shown

    wait_until(is_shown)
    assert promise["promise_password"] not in shown


def test_a_promise_with_work_has_all_the_time_it_takes(grid: Grid, password: str, busy: Any) -> None:
    worker = grid.workers[0]
    grid.O.transfer_add_promise(worker, password, 0.3)
    gate = busy(worker, promisePassword=password)
    [late] = grid.O.transfer_add_promise(worker, f"{password} late", 0.3)
    assert late["placed"]
    wait_until(lambda: held_by(grid, worker) == 1)
    result = grid.O.remove_job_promise(f"{password} late", verbose=False)
    assert "no worker below holds a promise" in result[0].error, "that one had no work, and ended behind the other"
    gate.open()
    wait_until(lambda: held_by(grid, worker) == 0)


def test_removing_needs_force_while_calls_wait(grid: Grid, password: str, busy: Any) -> None:
    worker = grid.workers[0]
    grid.O.transfer_add_promise(worker, password, MINUTE)
    gate = busy(worker, promisePassword=password)
    send(grid, worker, "stranger")
    name = f"result of {password}"
    template = grid.template(note, "dropped", first=True, promisePassword=password, resultName=name)
    assert grid.O.transfer(template, worker) is None
    wait_until(lambda: queued_at(grid, worker) == 2)
    [kept] = grid.O.transfer_remove_promise(worker, password)
    assert (kept["removed"], kept["remaining_queue_length"]) == (False, 1)
    [removed] = grid.O.transfer_remove_promise(worker, password, force=True)
    assert (removed["removed"], removed["remaining_queue_length"]) == (True, 1)
    gate.open()
    assert noted(grid, worker) == ["stranger"]
    assert name not in grid.O._executedReturned


def test_a_promise_that_is_removed_while_its_call_runs_gives_the_result_all_the_same(
    grid: Grid, password: str, tmp_path: Path
) -> None:
    worker = grid.workers[0]
    grid.O.transfer_add_promise(worker, password, MINUTE)

    def remove_own(executor: Any, password: str) -> Any:
        return executor.remove_promise(password)

    status = grid.one(remove_own, password, to=worker, first=True, promisePassword=password)
    assert status == {"removed": True, "reason": None, "remaining_queue_length": 0}
    assert grid.one(abs, -4, to=worker) == 4


def test_what_is_not_held_cannot_be_removed(grid: Grid, password: str) -> None:
    for status in grid.O.transfer_remove_promise(grid.workers, password):
        assert (status["removed"], status["remaining_queue_length"]) == (False, 0)
        assert status["reason"] == "no promise with that password is held here"


# -- the end: whose it was ------------------------------------------------------------------------


def reserve(executor: Any, worker: str, password: str) -> Any:
    """Run by workers: a promise of their own."""
    return executor.transfer_add_promise(worker, password, 600)


@pytest.mark.parametrize("dies", ["creator", "manager of the creator"])
def test_with_its_creator_a_promise_ends_and_what_waits_in_it_is_refused(
    make_grid: MakeGrid, password: str, dies: str
) -> None:
    grid = make_grid(managers=2, workers=1)
    (worker,) = grid.workers
    creator = grid.launch("Worker", grid.managers[1])[0]
    [promise] = grid.one(reserve, worker, password, to=creator, first=True)
    assert (promise["placed"], promise["at_head"]) == (True, True)
    waiting = grid.template(abs, -4, resultName="stranger")
    assert grid.O.transfer(waiting, worker) is None
    wait_until(lambda: queued_at(grid, worker) == 1)
    os.kill(pid_in(creator if dies == "creator" else grid.managers[1]), signal.SIGKILL)
    wait_until(lambda: grid.O._executedReturned.get("stranger") == [4])
    refused = grid.one(abs, -4, to=worker, promisePassword=password)
    assert "has ended: its creator is gone" in refused.error


def test_what_runs_in_a_promise_goes_on_when_its_creator_dies_and_what_waits_is_refused(
    make_grid: MakeGrid, password: str, tmp_path: Path
) -> None:
    grid = make_grid(workers=2)
    worker, creator = grid.workers
    [promise] = grid.one(reserve, worker, password, to=creator, first=True)
    assert promise["placed"]
    gate = Gate(grid, worker, tmp_path, promisePassword=password)
    waiting = grid.template(abs, -4, promisePassword=password, resultName="waiting")
    assert grid.O.transfer(waiting, worker) is None
    wait_until(lambda: queued_at(grid, worker) == 1)
    os.kill(pid_in(creator), signal.SIGKILL)
    wait_until(lambda: (queued_at(grid, worker), held_by(grid, worker)) == (0, 0))
    assert grid.O.statistics(worker)["tasks_running"] == 1
    gate.open()
    assert grid.one(abs, -4, to=worker) == 4
    assert grid.O._executedReturned == {}


def test_a_creator_that_dies_before_it_has_its_answer_holds_nothing(make_grid: MakeGrid, password: str) -> None:
    grid = make_grid(managers=2, workers=1)
    (worker,) = grid.workers
    creator = grid.launch("Worker", grid.managers[1])[0]

    def reserve_and_die(executor: Any, worker: str, password: str) -> None:
        import os
        import threading

        promise = threading.Thread(target=executor.transfer_add_promise, args=(worker, password, 600), daemon=True)
        os.kill(worker_pid, signal.SIGSTOP)
        promise.start()
        while not executor._node.transfers.inflight:  # asked, and not answered, since who holds it is stopped
            promise.join(0.001)
        os._exit(0)

    worker_pid = pid_in(worker)
    lost = grid.one(reserve_and_die, worker, password, to=creator, first=True)
    assert "gone" in lost.error
    os.kill(worker_pid, signal.SIGCONT)
    assert grid.one(abs, -4, to=worker) == 4
    wait_until(lambda: held_by(grid, worker) == 0)


def test_a_promise_made_in_the_name_of_another_is_its_own(make_grid: MakeGrid, password: str) -> None:
    grid = make_grid(managers=1, workers=2)
    worker, creator = grid.workers

    def add(executor: Any, creator: str, password: str) -> Any:
        return executor.add_promise(creator, password, 600)

    status = grid.one(add, creator, password, to=worker, first=True)
    assert (status["placed"], status["number_of_running_executions"]) == (True, 1)
    os.kill(pid_in(creator), signal.SIGKILL)
    wait_until(lambda: held_by(grid, worker) == 0)
    gone = grid.one(add, creator, password, to=worker, first=True)
    assert isinstance(gone, SoftgridStatus)
    assert "is gone" in gone.error


def test_a_promise_made_in_the_name_of_the_orchestrator_is_known_to_it(grid: Grid, password: str) -> None:
    worker = grid.workers[1]

    def add(executor: Any, creator: str, password: str) -> Any:
        return executor.add_promise(creator, password)

    assert grid.one(add, grid.O.gridUniqueName, password, to=worker, first=True)["placed"]
    assert grid.O.schedule_task(os.getpid, promisePassword=password) == [pid_in(worker)]


# -- other executors and failures -----------------------------------------------------------------


def test_managers_routers_and_the_orchestrator_hold_promises_too(grid: Grid, password: str) -> None:
    others = [grid.O.gridUniqueName, *grid.routers, *grid.managers]
    promises = grid.O.transfer_add_promise(others, password, MINUTE)
    assert [promise["placed"] for promise in promises] == [True] * 4
    waiting = grid.template("get_executor_grid_path", grid.O.gridUniqueName, resultName=password)
    assert grid.O.transfer(waiting, others) is None
    assert password not in grid.O._executedReturned
    assert [status["removed"] for status in grid.O.transfer_remove_promise(others, password)] == [True] * 4
    wait_until(lambda: len(grid.O._executedReturned.get(password, [])) == 4)


def test_an_executor_keeps_promises_in_its_own_queue(grid: Grid, password: str) -> None:
    me = grid.O.gridUniqueName
    status = grid.O.add_promise(me, password, MINUTE)
    assert (status["placed"], status["promise_executor"], status["promise_password"]) == (True, me, password)
    assert not grid.O.add_promise(me, f"{password} 2", MINUTE, force=False)["placed"]
    assert grid.O.remove_promise(password) == {"removed": True, "reason": None, "remaining_queue_length": 0}
    assert not grid.O.remove_promise(password)["removed"]
    assert grid.O.add_promise(me, None, 0.05)["placed"]
    wait_until(lambda: grid.O.statistics()["promises_held"] == 0)


def test_who_is_gone_or_nowhere_has_a_failed_status_in_its_place(make_grid: MakeGrid, password: str) -> None:
    grid = make_grid(managers=1, workers=2)
    alive, dead = grid.workers
    os.kill(pid_in(dead), signal.SIGKILL)
    wait_until(lambda: dead not in grid.O.workers)
    nowhere = "worker|Nobody@10.9.9.9[1]:1"
    for statuses in (
        grid.O.transfer_add_promise([dead, alive, nowhere], password, MINUTE),
        grid.O.transfer_remove_promise([dead, alive, nowhere], password),
    ):
        assert [type(status) for status in statuses] == [SoftgridStatus, dict, SoftgridStatus]
        assert [statuses[0].name, statuses[2].name] == [dead, nowhere]
        assert "killed by signal 9" in statuses[0].error
        assert "nobody named" in statuses[2].error


def test_who_dies_while_it_is_asked_is_not_waited_for(make_grid: MakeGrid, password: str) -> None:
    import threading

    grid = make_grid(managers=1, workers=1)
    (worker,) = grid.workers
    os.kill(pid_in(worker), signal.SIGSTOP)
    statuses: list[Any] = []
    asking = threading.Thread(target=lambda: statuses.extend(grid.O.transfer_add_promise(worker, password)))
    asking.start()
    wait_until(lambda: grid.O.statistics()["calls_in_flight"] == 1)
    os.kill(pid_in(worker), signal.SIGKILL)
    asking.join(PATIENCE)
    assert not asking.is_alive()
    assert "is gone" in statuses[0].error


PATIENCE = 15.0
"""Less than a promise that nobody answers is waited for."""


def test_who_does_not_answer_in_time_does_not_hold_it_later(make_grid: MakeGrid, password: str) -> None:
    grid = make_grid(rules={"timeout_long": 0.2})
    (worker,) = grid.workers
    os.kill(pid_in(worker), signal.SIGSTOP)
    try:
        [late] = grid.O.transfer_add_promise(worker, password, MINUTE)
    finally:
        os.kill(pid_in(worker), signal.SIGCONT)
    assert "no answer" in late.error
    assert grid.one(abs, -4) == 4
    assert held_by(grid, worker) == 0


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        ("workerGUN", {"workerGUN": "nobody"}),
        ("workerGUN", {"workerGUN": None}),
        ("promisePassword", {"promisePassword": ""}),
        ("promisePassword", {"promisePassword": 5}),
        ("promiseTimeout", {"promiseTimeout": 0}),
        ("promiseTimeout", {"promiseTimeout": None}),
        ("promiseTimeout", {"promiseTimeout": "60"}),
        ("force", {"force": "yes"}),
    ],
)
def test_what_cannot_be_meant_is_a_failed_status_that_names_it(grid: Grid, parameter: str, given: Any) -> None:
    arguments = {"workerGUN": grid.workers[0], "promisePassword": "p", **given}
    statuses = [grid.O.transfer_add_promise(**arguments)]
    if parameter != "workerGUN":
        own = {key: value for key, value in arguments.items() if key != "workerGUN"}
        statuses.append(grid.O.add_promise(grid.O.gridUniqueName, **own))
    if parameter != "promiseTimeout":
        statuses.append(grid.O.transfer_remove_promise(**arguments))
    for status in statuses:
        assert isinstance(status, SoftgridStatus)
        assert str(status.error).startswith(f"{parameter}: got ")
    assert [held_by(grid, worker) for worker in grid.workers] == [0, 0, 0]
    assert grid.O.add_promise("nobody").error.startswith("creatorGUN: got 'nobody'")
    assert grid.O.transfer_add_promise([]) == []


def test_after_leaving_nothing_can_be_promised(make_grid: MakeGrid) -> None:
    grid = make_grid()
    grid.O.disconnect(kill=False)
    for status in (
        grid.O.add_promise(grid.O.gridUniqueName),
        grid.O.remove_promise("p"),
        grid.O.transfer_add_promise(grid.workers),
        grid.O.transfer_remove_promise(grid.workers, "p"),
    ):
        assert "has left the grid" in status.error
