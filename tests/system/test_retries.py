"""Calls that are tried again on real grids: killed for real, each accepted once, nobody blamed for another's death."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import PATIENCE_S, pid_in, wait_until

import softgrid
from softgrid._state.retries import MAX_KILLS

pytestmark = pytest.mark.system

BACK = {"executorKwargs": {"relaunch": True}}


class Ledger:
    """What functions have written down: one line for each time one began."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "ledger")
        Path(self.path).touch()

    def lines(self) -> list[str]:
        return Path(self.path).read_text().split()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def note(path: str, word: object) -> None:
    import os

    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, f"{word}\n".encode())
    os.close(descriptor)


def dies_until(path: str, attempt: int, word: object = "") -> str:
    """Note that it runs, and die of it before that attempt."""
    import os
    import signal

    import softgrid

    now = softgrid.current_attempt()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, f"{word}:{now}\n".encode())
    if now < attempt:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{word} at attempt {now}"


def fails_until(attempt: int, kind: type[BaseException] = OSError) -> int:
    import softgrid

    if softgrid.current_attempt() < attempt:
        raise kind("not yet")
    return softgrid.current_attempt()


def noted(path: str, word: object, seconds: float = 0.0) -> Any:
    import os
    import time

    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, f"{word}\n".encode())
    os.close(descriptor)
    time.sleep(seconds)
    return word


# -- tasks ----------------------------------------------------------------------------------------


def test_a_task_whose_worker_is_killed_runs_once_only_unless_asked_otherwise(
    make_grid: MakeGrid, ledger: Ledger
) -> None:
    grid = make_grid(workers=2)
    (status,) = grid.O.schedule_task(dies_until, [ledger.path, 2])
    assert not status
    assert "killed by signal 9 (SIGKILL); the call was running and may have run in part" in status.error
    assert ledger.lines() == [":1"]
    assert len(grid.O.workers) == 1


def test_a_lost_task_is_run_by_another_worker(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=3)
    assert grid.O.schedule_task(dies_until, [ledger.path, 3], retries={"lost": 2}) == [" at attempt 3"]
    assert ledger.lines() == [":1", ":2", ":3"]
    assert len(grid.O.workers) == 1


def test_a_lost_call_to_a_worker_is_run_by_its_heir(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=0)
    (doomed,) = grid.launch("Worker", grid.managers[0], **BACK)
    template = grid.template(dies_until, ledger.path, 2, retries=1)
    assert grid.O.transfer(template, doomed, collect=True) == [" at attempt 2"]
    (heir,) = grid.O.workers
    assert heir != doomed
    assert grid.O.schedule_task(os.getpid) == [pid_in(heir)]


def test_a_lost_call_to_a_worker_that_does_not_come_back_says_so(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=2)
    template = grid.template(dies_until, ledger.path, 2, retries=5)
    (status,) = grid.O.transfer(template, grid.workers[0], collect=True)
    assert f"nobody stands in for {grid.workers[0]}" in status.error
    assert status.data is template
    assert ledger.lines() == [":1"]


def test_a_worker_finds_the_heir_of_another_one(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=1)
    (doomed,) = grid.launch("Worker", grid.managers[0], **BACK)

    def ask(executor: Any, function: Any, path: str, other: str) -> Any:
        template = executor.get_transfer_template(function, (path, 2), retries=1)
        return executor.transfer(template, other, collect=True)

    assert grid.one(ask, dies_until, ledger.path, doomed, first=True) == [" at attempt 2"]


def test_failures_and_losses_are_counted_apart(grid: Grid) -> None:
    assert grid.O.schedule_task(fails_until, [3], retries={"failed": 2}) == [3]
    (status,) = grid.O.schedule_task(fails_until, [2], retries={"lost": 5})
    assert isinstance(status.exception, OSError)
    assert "tried" not in status.error


def test_only_exceptions_that_count_are_tried_again_also_those_of_the_users(grid: Grid, ledger: Ledger) -> None:
    class Moody(ValueError):
        pass

    def raises(path: str) -> None:
        note(path, "ran")
        raise Moody("again")

    (status,) = grid.O.schedule_task(raises, [ledger.path], retries=2, retry_on=[OSError, Moody])
    assert type(status.exception).__name__ == "Moody"
    causes = "".join(f"\n  attempt {number}: {status.error.splitlines()[0]}" for number in (1, 2, 3))
    assert status.error.endswith(f"it was tried 3 times:{causes}")
    (status,) = grid.O.schedule_task(raises, [ledger.path], retries=2, retry_on=OSError)
    assert len(ledger.lines()) == 4


def test_retries_that_cannot_be_meant_are_a_failed_status(grid: Grid) -> None:
    assert "retries: got -1" in grid.O.schedule_task(abs, [1], retries=-1).error
    assert "retry_on: got 'OSError'" in grid.O.schedule_task(abs, [1], retries=1, retry_on="OSError").error
    (status,) = grid.O.schedule_job([(abs, [1])], retries={"lots": 1}, verbose=False)
    assert "retries: got {'lots': 1}" in status.error


def test_outside_of_a_call_every_attempt_is_the_first() -> None:
    assert softgrid.current_attempt() == 1


def test_all_workers_are_called_and_each_is_tried_again_alone(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=0)
    grid.launch("Worker", grid.managers[0], 3, **BACK)
    doomed = grid.O.workers[1]

    def one_dies(path: str, pid: int) -> str:
        import os

        return dies_until(path, 2 if os.getpid() == pid else 1, os.getpid())

    template = grid.template(one_dies, ledger.path, pid_in(doomed), retries=1)
    results = grid.O.transfer(template, "workers", collect=True)
    assert [result.split()[-1] for result in results] == ["1", "2", "1"]
    assert len(ledger.lines()) == 4


# -- poison ---------------------------------------------------------------------------------------


def test_a_poison_is_stopped_and_those_behind_it_are_neither_blamed_nor_charged(
    make_grid: MakeGrid, ledger: Ledger
) -> None:
    grid = make_grid(managers=1, workers=0)
    grid.launch("Worker", grid.managers[0], **BACK)
    poison: list[Any] = []
    thread = threading.Thread(
        target=lambda: poison.extend(grid.O.schedule_task(dies_until, [ledger.path, 99, "poison"], retries=50))
    )
    template = grid.template(noted, ledger.path, "good", retries=1)
    thread.start()
    there = [grid.O.workers[:1] for _ in range(3)]
    innocents = [grid.O.transfer(template, names, collect=True) for names in there if names]
    thread.join(PATIENCE_S)
    (status,) = poison
    assert f"{MAX_KILLS} executors died while they ran it" in status.error
    lines = ledger.lines()
    assert lines.count("poison:1") == lines.count("poison:2") == lines.count("poison:3") == 1
    assert not any(line.startswith("poison:4") for line in lines)
    assert all(result == ["good"] for result in innocents)


def test_a_job_with_a_poison_does_all_the_rest(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=0)
    grid.launch("Worker", grid.managers[0], 4, **BACK)
    tasks: list[Any] = [(noted, [ledger.path, number]) for number in range(300)]
    tasks.insert(100, (dies_until, [ledger.path, 99, "poison"]))
    results = grid.O.schedule_job(tasks, retries=50, verbose=False)
    poison = results.pop(100)
    assert f"{MAX_KILLS} executors died while they ran it" in poison.error
    assert results == list(range(300))
    assert sum(line.startswith("poison") for line in ledger.lines()) == MAX_KILLS


# -- many deaths ----------------------------------------------------------------------------------


def test_a_job_loses_nothing_and_accepts_each_task_once_whoever_is_killed(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=0)
    grid.launch("Worker", grid.managers[0], 2, **BACK)
    count, kills = 400, 6
    accepted: list[Any] = []
    job = threading.Thread(
        target=lambda: accepted.extend(
            grid.O.schedule_job(
                [(noted, [ledger.path, number, 0.005]) for number in range(count)], retries=20, verbose=False
            )
        )
    )
    job.start()
    for number in range(kills):
        enough = (number + 1) * 30
        wait_until(lambda enough=enough: len(ledger.lines()) > enough, what="some tasks have run")  # type: ignore[misc]
        for name in grid.O.workers[:1]:
            os.kill(pid_in(name), signal.SIGKILL)
    job.join(PATIENCE_S)
    assert accepted == list(range(count))
    ran = Counter(ledger.lines())
    assert set(ran) == {str(number) for number in range(count)}
    assert max(ran.values()) <= kills + 1


def test_a_job_whose_workers_do_not_come_back_goes_on_with_others(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=3)
    tasks = [(dies_until, [ledger.path, 2, number]) if number == 3 else (abs, [-number]) for number in range(9)]
    results = grid.O.schedule_job(tasks, retries=1, verbose=False, jobPromiseKwargs={"ntasks": 1})
    assert results == [0, 1, 2, "3 at attempt 2", 4, 5, 6, 7, 8]


def test_a_job_that_nobody_is_left_for_says_so(make_grid: MakeGrid, ledger: Ledger) -> None:
    grid = make_grid(managers=1, workers=1)
    results = grid.O.schedule_job([(dies_until, [ledger.path, 2]), (abs, [1])], retries=1, verbose=False)
    assert [bool(result) for result in results] == [False, False]
    assert all("the job has no worker left" in result.error for result in results)
    assert ledger.lines() == [":1"]
