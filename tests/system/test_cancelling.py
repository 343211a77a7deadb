"""Calls that are taken back on real grids: queued, running, deaf, stuck in C code; and the grid goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.guests import PASSWORD, a_guest, await_guest
from tests.system.watching import PATIENCE_S, is_alive, pid_in, wait_until

from softgrid.Collections import Cancelled, SoftgridStatus

pytestmark = pytest.mark.system

BACK = {"executorKwargs": {"relaunch": True}}
GRACE = 0.3


def sleeps(begun: str) -> None:
    """Wait in C code that signals end."""
    import time

    open(begun, "w").close()
    time.sleep(3600)


def holds_a_lock(begun: str) -> None:
    """Wait for a lock that nobody will ever release."""
    import threading

    lock = threading.Lock()
    lock.acquire()
    open(begun, "w").close()
    lock.acquire()


def swallows(begun: str) -> None:
    """Go on whatever is raised."""
    import time

    open(begun, "w").close()
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            continue


def ignores_signals(begun: str) -> None:
    """Hear no signal that can be ignored."""
    import signal
    import time

    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    open(begun, "w").close()
    time.sleep(3600)


def holds_the_interpreter(begun: str) -> None:
    """Keep the interpreter lock in C code for hours."""
    import re

    open(begun, "w").close()
    while True:
        try:
            re.match(r"(a?){60}" * 3 + "a{60}", "a" * 60)
        except BaseException:  # it came before the lock was held
            continue


def returns_all_the_same(begun: str) -> str:
    import time

    open(begun, "w").close()
    try:
        time.sleep(3600)
    except KeyboardInterrupt:
        return "saved"
    return "never"


class Begun:
    """Starts functions that say when they have begun."""

    def __init__(self, grid: Grid, folder: Path) -> None:
        self.grid = grid
        self.folder = folder
        self.count = 0

    def __call__(self, function: Callable[..., Any], worker: str | None = None, **template: Any) -> None:
        path = self.start(function, worker, **template)
        wait_until(path.exists, what=f"{function.__name__} has begun")

    def start(self, function: Callable[..., Any], worker: str | None = None, **template: Any) -> Path:
        self.count += 1
        path = self.folder / f"begun{self.count}"
        kwargs = self.grid.template(function, str(path), label=template.pop("label", "it"), **template)
        assert self.grid.O.transfer(kwargs, worker or self.grid.O.workers[0]) is None
        return path


@pytest.fixture
def fresh(make_grid: MakeGrid, tmp_path: Path) -> Begun:
    """A grid with one worker that comes back."""
    grid = make_grid(managers=1, workers=0)
    grid.launch("Worker", grid.managers[0], **BACK)
    return Begun(grid, tmp_path)


def check_works(grid: Grid) -> None:
    wait_until(lambda: grid.O.workers, what="a worker is there")
    assert grid.O.schedule_task(abs, [-7]) == [7]
    transfers = grid.O._node.transfers
    assert (len(transfers.inflight), transfers.cancelled, transfers.held) == (0, {}, set())


# -- running --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [sleeps, holds_a_lock, returns_all_the_same])
def test_a_function_that_listens_is_interrupted_and_its_worker_lives(fresh: Begun, function: Any) -> None:
    (worker,) = fresh.grid.O.workers
    fresh(function)
    (status,) = fresh.grid.O.cancel_transfer("it", grace=PATIENCE_S)
    assert (bool(status), status.name, status.message) == (True, worker, "cancelled")
    assert fresh.grid.O.workers == [worker]
    assert is_alive(pid_in(worker))
    check_works(fresh.grid)


@pytest.mark.parametrize("function", [swallows, ignores_signals, holds_the_interpreter])
def test_a_function_that_does_not_listen_ends_with_its_worker_and_a_fresh_one_comes(
    fresh: Begun, function: Any
) -> None:
    (worker,) = fresh.grid.O.workers
    fresh(function)
    started = monotonic()
    (status,) = fresh.grid.O.cancel_transfer("it", grace=GRACE)
    assert status, status
    assert monotonic() - started >= GRACE
    wait_until(lambda: not is_alive(pid_in(worker)), what="the worker is gone")
    wait_until(lambda: fresh.grid.O.workers not in ([], [worker]), what="a fresh worker is there")
    check_works(fresh.grid)


def test_a_stopped_worker_is_killed_for_its_call(fresh: Begun) -> None:
    (worker,) = fresh.grid.O.workers
    fresh(sleeps)
    os.kill(pid_in(worker), signal.SIGSTOP)
    assert all(fresh.grid.O.cancel_transfer("it", grace=GRACE))
    wait_until(lambda: not is_alive(pid_in(worker)), what="the worker is gone")
    check_works(fresh.grid)


def test_whoever_waits_for_a_cancelled_call_is_told_so(fresh: Begun, tmp_path: Path) -> None:
    results: list[Any] = []
    for function, grace in ((sleeps, PATIENCE_S), (swallows, GRACE)):
        begun = tmp_path / function.__name__
        thread = threading.Thread(
            target=lambda function=function, begun=begun: results.extend(  # type: ignore[misc]
                fresh.grid.O.schedule_task(function, [str(begun)], label="it", retries=5)
            )
        )
        thread.start()
        wait_until(begun.exists, what="it runs")
        assert all(fresh.grid.O.cancel_transfer("it", grace=grace))
        thread.join(PATIENCE_S)
        wait_until(lambda: fresh.grid.O.workers, what="a worker is there")
    assert [type(result) for result in results] == [SoftgridStatus] * 2
    assert [type(result.exception) for result in results] == [Cancelled] * 2
    assert results[0].error == "cancelled while it ran"
    assert "was killed, since the call had not ended 0.3 s after it was interrupted" in results[1].error
    check_works(fresh.grid)


def test_a_call_beside_the_queue_is_interrupted_between_two_steps(fresh: Begun) -> None:
    def steps(begun: str) -> None:
        import time

        open(begun, "w").close()
        while True:
            time.sleep(0.001)

    fresh(steps, priority=None)
    assert all(fresh.grid.O.cancel_transfer("it", grace=PATIENCE_S))
    check_works(fresh.grid)


# -- waiting --------------------------------------------------------------------------------------


def test_queued_calls_never_run_and_what_runs_is_left_alone(fresh: Begun) -> None:
    fresh(sleeps, label="other")
    paths = [fresh.start(sleeps) for _ in range(3)]
    statuses = fresh.grid.O.cancel_transfer("it")
    assert [bool(status) for status in statuses] == [True] * 3
    assert len(fresh.grid.O.cancel_transfer("other")) == 1
    check_works(fresh.grid)
    assert not any(path.exists() for path in paths)


def test_a_call_that_waits_behind_a_stuck_one_kills_nobody(fresh: Begun) -> None:
    (worker,) = fresh.grid.O.workers
    fresh(sleeps, label="stuck")
    os.kill(pid_in(worker), signal.SIGSTOP)
    wait_until(lambda: "State:\tT" in Path(f"/proc/{pid_in(worker)}/status").read_text())
    path = fresh.start(sleeps)
    node = fresh.grid.O._node
    calls = node.transfers.inflight.cancellable(lambda batch, index: batch.kwargs[index]["label"] == "it")
    ended = threading.Event()
    node.reactor.run_in_turn(lambda: node.cancelling.begin(calls, GRACE, ended.set))
    assert not ended.wait(3 * GRACE), "it cannot be said that it will not run"
    assert is_alive(pid_in(worker))
    os.kill(pid_in(worker), signal.SIGCONT)
    assert ended.wait(PATIENCE_S)
    assert all(fresh.grid.O.cancel_transfer("stuck", grace=PATIENCE_S))
    assert fresh.grid.O.workers == [worker]
    check_works(fresh.grid)
    assert not path.exists()


def test_calls_that_have_not_left_yet_are_taken_back_at_once(fresh: Begun) -> None:
    fresh(sleeps, label="other")
    fillers = [bytes(200_000) for _ in range(5)]
    template = fresh.grid.template(len, None, label="it")
    for filler in fillers:
        fresh.grid.O.transfer({**template, "args": (filler, b"")}, fresh.grid.O.workers[0], collect=False)
    assert all(fresh.grid.O.cancel_transfer("it"))
    assert len(fresh.grid.O.cancel_transfer()) == 1
    check_works(fresh.grid)


def test_the_tasks_of_a_job_are_taken_back_dealt_or_not(make_grid: MakeGrid, tmp_path: Path) -> None:
    grid = make_grid(managers=1, workers=2)
    results: list[Any] = []
    tasks = [(sleeps, [str(tmp_path / f"task{number}")]) for number in range(50)]
    job = threading.Thread(
        target=lambda: results.extend(grid.O.schedule_job(tasks, label="job", retries=3, verbose=False))
    )
    job.start()
    wait_until(lambda: len(list(tmp_path.glob("task*"))) == 2, what="each worker has one")
    assert all(grid.O.cancel_transfer("job"))
    job.join(PATIENCE_S)
    assert [type(result.exception) for result in results] == [Cancelled] * 50
    assert len(list(tmp_path.glob("task*"))) == 2
    assert grid.O.schedule_job([(abs, [-1])] * 4, verbose=False) == [1] * 4


# -- which calls ----------------------------------------------------------------------------------


def test_only_calls_with_the_label_at_the_receivers_are_meant(make_grid: MakeGrid, tmp_path: Path) -> None:
    grid = make_grid(managers=1, workers=2)
    begun, (one, two) = Begun(grid, tmp_path), grid.workers
    begun(sleeps, one, label="a")
    begun(sleeps, two, label="b")
    assert grid.O.cancel_transfer("c") == []
    assert grid.O.cancel_transfer("a", receivers=two) == []
    assert [status.name for status in grid.O.cancel_transfer(receivers=[one])] == [one]
    assert [status.name for status in grid.O.cancel_transfer("b", receivers="workers")] == [two]
    grid.check_alive()


@pytest.mark.parametrize(
    ("given", "named"), [({"label": 5}, "label"), ({"grace": -1}, "grace"), ({"receivers": 5}, "receivers")]
)
def test_what_cannot_be_meant_is_a_failed_status(grid: Grid, given: dict[str, Any], named: str) -> None:
    status = grid.O.cancel_transfer(**given)
    assert isinstance(status, SoftgridStatus)
    assert f"{named}: got" in str(status.error)


def test_a_worker_takes_its_own_call_back_wherever_it_runs(make_grid: MakeGrid, tmp_path: Path) -> None:
    grid = make_grid(managers=1, workers=2)

    def begin_and_cancel(executor: Any, function: Any, other: str, path: str) -> Any:
        import os
        import time

        executor.transfer(executor.get_transfer_template(function, (path,), label="mine"), other)
        while not os.path.exists(path):
            time.sleep(0.005)
        return [bool(status) for status in executor.cancel_transfer("mine", grace=0.2)]

    assert grid.one(begin_and_cancel, swallows, grid.workers[1], str(tmp_path / "begun"), first=True) == [True]
    wait_until(lambda: grid.O.workers == grid.workers[:1], what="the other worker was killed")


def test_an_executor_that_joined_by_hand_is_not_killed_and_that_is_said(
    make_grid: MakeGrid, scripts: Scripts, tmp_path: Path
) -> None:
    grid = make_grid(workers=0, password=PASSWORD)
    guest = a_guest(scripts, grid)
    name = await_guest(grid)

    def is_deaf(begun: str) -> None:  # nothing of the tests can be imported there
        import time

        open(begun, "w").close()
        while True:
            try:
                time.sleep(0.01)
            except BaseException:
                continue

    Begun(grid, tmp_path)(is_deaf, name)
    (status,) = grid.O.cancel_transfer("it", grace=GRACE)
    assert not status
    assert "it was not launched by the grid" in status.error
    assert guest.process.poll() is None
    guest.signal(signal.SIGKILL)
    guest.process.wait()


# -- onTimeout, Ctrl-C ----------------------------------------------------------------------------


@pytest.mark.parametrize("function", [sleeps, swallows])
def test_a_call_whose_time_is_up_is_killed_where_that_is_asked_for(
    make_grid: MakeGrid, tmp_path: Path, function: Any
) -> None:
    grid = make_grid(managers=1, workers=0, rules={"cancel_grace_time": GRACE})
    (worker,) = grid.launch("Worker", grid.managers[0], **BACK)
    more = {"taskTimeout": 0.5, "onTimeout": "kill"}
    (status,) = grid.O.schedule_task(function, [str(tmp_path / "begun")], **more)
    assert status.error == f"no answer from {worker} within 0.5 s; it is being cancelled"
    wait_until(lambda: len(grid.O._node.transfers.inflight) == 0, what="it is over")
    check_works(grid)


def test_an_uncollected_call_and_a_job_whose_time_is_up_are_killed_too(make_grid: MakeGrid, tmp_path: Path) -> None:
    grid = make_grid(managers=1, workers=1)
    template = grid.template(sleeps, str(tmp_path / "one"))
    grid.O.transfer(template, grid.workers, transferTimeout=0.3, onTimeout="kill")
    wait_until(lambda: len(grid.O._node.transfers.inflight) == 0, what="it is over")
    tasks = [(sleeps, [str(tmp_path / "two")])]
    (status,) = grid.O.schedule_job(tasks, jobTimeout=3.0, onTimeout="kill", verbose=False)
    assert f"no answer from {grid.workers[0]}, where it is being cancelled" in status.error
    wait_until(lambda: len(grid.O._node.transfers.inflight) == 0, what="it is over")
    assert grid.one(abs, -7) == 7


def test_on_timeout_must_be_one_of_two(grid: Grid) -> None:
    assert "onTimeout: got 'stop'" in grid.O.schedule_task(abs, [1], onTimeout="stop").error
    assert "onTimeout: got None" in grid.O.transfer(grid.template(abs, 1), "workers", onTimeout=None).error
    assert "onTimeout: got 5" in grid.O.schedule_job([(abs, [1])], onTimeout=5, verbose=False).error


@pytest.mark.parametrize("collects", ["schedule_task(wait)", "schedule_job([wait] * 20, verbose=False)"])
def test_ctrl_c_takes_back_what_is_waited_for_and_the_grid_goes_on(scripts: Scripts, collects: str) -> None:
    running = scripts.start(
        f"""
        O = Orchestrator()
        workers = launch(O, 'worker', count=2)
        def wait():
            import time
            print('waiting', flush=True)
            time.sleep(3600)
        try:
            O.{collects}
        except KeyboardInterrupt:
            tell('interrupted')
        tell(*O.schedule_job([(abs, [-7])] * 4, verbose=False))
        tell('ended', sorted(O.workers) == sorted(workers))
        """
    )
    running.await_output("waiting")
    running.signal(signal.SIGINT)
    running.await_output(">> interrupted")
    assert running.await_output(">> 7 7 7 7") == ""
    assert running.await_output(">> ended") == "True"
    assert running.end() == 0
