"""kill_executor and garbage_collect: whatever an executor is doing, and what becomes of those around it."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.guests import PASSWORD, a_guest, await_guest
from tests.system.watching import PATIENCE_S, is_alive, pid_in, wait_until

pytestmark = pytest.mark.system

BACK = {"executorKwargs": {"relaunch": True}}


def hold_the_interpreter() -> None:
    """Keep the interpreter lock in C code for hours."""
    import re

    re.match(r"(a?){60}" * 3 + "a{60}", "a" * 60)


def gone(pids: list[int]) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), what=f"{pids} are gone")


def test_a_killed_worker_is_gone_and_the_others_work_on(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=3)
    doomed, *others = grid.workers
    (status,) = grid.O.kill_executor(doomed)
    assert (status.successful, status.name) == (True, doomed)
    assert sorted(grid.O.workers) == sorted(others)
    gone([pid_in(doomed)])
    assert grid.call(os.getpid, to=others) == [pid_in(name) for name in others]
    assert grid.O.get_executor_grid_path(doomed) == {}


def test_what_is_killed_does_not_come_back(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    doomed, lost = grid.launch("Worker", count=2, **BACK)
    assert all(grid.O.kill_executor(doomed))
    os.kill(pid_in(lost), signal.SIGKILL)  # which does, and would come after the other
    wait_until(lambda: grid.O.workers not in ([], [lost]), what="the lost one is back")
    assert len(grid.O.workers) == 1


def test_whoever_waits_for_a_killed_executor_is_told(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=1)
    results: list[Any] = []
    call = grid.template(signal.pause)
    waiting = threading.Thread(
        target=lambda: results.append(grid.O.transfer(call, grid.workers[0], collect=True)), daemon=True
    )
    waiting.start()
    wait_until(lambda: grid.O.statistics()["calls_in_flight"] == 1, what="the call is under way")
    assert all(grid.O.kill_executor("workers"))
    waiting.join(PATIENCE_S)
    ((status,),) = results
    assert not status
    assert "killed by the orchestrator, as asked" in status.error
    assert status.data is call


@pytest.mark.parametrize("how", ["holds the interpreter", "stopped", "ignores signals"])
def test_no_executor_can_resist(make_grid: MakeGrid, how: str) -> None:
    grid = make_grid(managers=1, workers=1)
    (worker,) = grid.workers
    if how == "stopped":
        os.kill(pid_in(worker), signal.SIGSTOP)
    elif how == "ignores signals":
        assert grid.one(lambda: [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGINT)] and 1) == 1
    else:
        grid.O.transfer(grid.template(hold_the_interpreter, returnResult=False), worker)
    assert all(grid.O.kill_executor(worker))
    gone([pid_in(worker)])
    assert grid.O.workers == []


def test_with_a_router_goes_all_below_it(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, managers=1, workers=2)
    (aside,) = grid.launch("Worker")
    os.kill(pid_in(grid.managers[0]), signal.SIGSTOP)
    doomed = [*grid.workers, *grid.routers, *grid.managers]
    assert [bool(status) for status in grid.O.kill_executor([*grid.workers, *grid.routers])] == [True] * 3
    assert (grid.O.routers, grid.O.managers, grid.O.workers) == ([], [], [aside])
    gone([pid_in(name) for name in doomed])
    assert grid.call(os.getpid, to=aside) == [pid_in(aside)]


@pytest.mark.parametrize("how", ["idle", "stopped"])
def test_a_guest_that_joined_by_hand_is_killed_too(make_grid: MakeGrid, scripts: Scripts, how: str) -> None:
    grid = make_grid(workers=0, password=PASSWORD)
    running = a_guest(scripts, grid, "Manager")
    guest = await_guest(grid, "managers")
    (below,) = grid.launch("Worker", guest)
    if how == "stopped":
        running.signal(signal.SIGSTOP)
    assert all(grid.O.kill_executor(guest))
    assert (grid.O.managers, grid.O.workers) == ([], [])
    running.signal(signal.SIGCONT)
    assert running.process.wait(PATIENCE_S) == -signal.SIGKILL
    gone([pid_in(below)])


def test_receivers_are_keywords_names_trajectories_and_lists(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=2, workers=2)
    first, second = grid.workers
    manager, idle = grid.managers
    assert [status.name for status in grid.O.kill_executor([[manager, first]])] == [first]
    assert [status.name for status in grid.O.kill_executor(["workers", idle])] == [second, idle]
    assert grid.O.kill_executor("workers") == []
    assert [status.name for status in grid.O.kill_executor("managers")] == [manager]


def test_who_cannot_be_killed_is_said_and_why(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=2)
    first, second = grid.workers
    os.kill(pid_in(first), signal.SIGKILL)
    wait_until(lambda: grid.O.workers == [second], what="the loss is known")
    nobody = second.replace("Worker", "Nobody")
    lost, me, unknown, killed = grid.O.kill_executor([first, grid.O.gridUniqueName, nobody, second])
    assert "SIGKILL" in lost.error
    assert "disconnect()" in me.error
    assert "nobody named" in unknown.error
    assert killed
    assert [bool(status) for status in (lost, me, unknown)] == [False] * 3


@pytest.mark.parametrize("receivers", ["upgrid", "worker", "", 5, None, {}])
@pytest.mark.parametrize("method", ["kill_executor", "garbage_collect"])
def test_receivers_that_make_no_sense_are_a_failed_status(grid: Grid, method: str, receivers: Any) -> None:
    if receivers is None and method == "garbage_collect":
        return
    status = getattr(grid.O, method)(receivers)
    assert not status
    assert status.error.startswith(("receivers: got", "gridUniqueName: got"))
    assert len(grid.O.workers) == 3


# -- garbage ---------------------------------------------------------------------------------------


def tie_knots(count: int) -> int:
    """Leave garbage that only the collector can take away; gives how many tracked objects there are."""
    import gc

    gc.collect()
    gc.disable()
    for _ in range(count):
        knot: list[Any] = []
        knot.append(knot)
    return len(gc.get_objects())


def tracked() -> int:
    import gc

    gc.enable()
    return len(gc.get_objects())


def test_garbage_is_collected_where_it_is(grid: Grid) -> None:
    before = grid.one(tie_knots, 50_000)
    (status,) = grid.O.garbage_collect(grid.workers[0])
    assert (status.successful, status.name) == (True, grid.workers[0])
    assert status.data >= 50_000
    assert grid.one(tracked) < before - 40_000


def test_everybody_below_collects_unless_told_otherwise(grid: Grid) -> None:
    statuses = grid.O.garbage_collect()
    assert [status.name for status in statuses] == [*grid.O.routers, *grid.O.managers, *grid.O.workers]
    assert all(statuses)
    assert [status.name for status in grid.O.garbage_collect(["managers", grid.workers[1]])] == [
        *grid.O.managers,
        grid.workers[1],
    ]


def test_a_worker_that_is_at_work_collects_beside_it(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1, rules={"execution_allow_none_priority": False})
    grid.O.transfer(grid.template(signal.pause, returnResult=False), grid.workers[0])
    (status,) = grid.O.garbage_collect("workers")
    assert status
    assert grid.O.statistics(grid.workers[0])["tasks_finished"] == 0


def test_who_is_gone_or_does_not_answer_is_said(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=3, rules={"timeout_long": 0.5})
    first, stopped, third = grid.workers
    assert all(grid.O.kill_executor(first))
    os.kill(pid_in(stopped), signal.SIGSTOP)
    try:
        lost, silent, fine = grid.O.garbage_collect([first, stopped, third])
    finally:
        os.kill(pid_in(stopped), signal.SIGCONT)
    assert "is gone" in lost.error
    assert stopped in silent.error
    assert fine
    assert [bool(status) for status in (lost, silent)] == [False, False]
