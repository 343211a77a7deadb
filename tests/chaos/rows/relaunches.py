"""Rows R: executors that die again and again."""

from __future__ import annotations

import os
import signal
import threading
from time import monotonic, sleep

from tests.chaos.row import QUIET, Run, row, until
from tests.chaos.rows import work
from tests.chaos.rows.kills import BACK, kill
from tests.system.watching import children_of, pid_in


def busy_s(pid: int) -> float:
    """Processor seconds of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@row(
    "R1",
    "a worker dies as soon as it is there, for a minute and a half",
    "it comes back ever more slowly",
    peers="Dask starts it in a tight loop",
)
def crash_loop(run: Run) -> None:
    grid = run.grid(workers=0)
    grid.launch("Worker", **BACK)
    minute, first = run.lasting(60, 3), 0
    pids = [os.getpid(), *children_of(os.getpid())]
    began, busy_before, second_minute = monotonic(), 0.0, 0
    while monotonic() - began < 1.5 * minute:
        is_later = monotonic() - began > minute
        if is_later and not busy_before:
            busy_before = sum(map(busy_s, pids))
        for name in grid.O.workers:
            os.kill(pid_in(name), signal.SIGKILL)
            until(lambda n=name: n not in grid.O.workers, 5, "it is known to be gone")
            first, second_minute = first + (not is_later), second_minute + is_later
        sleep(0.01)
    share = (sum(map(busy_s, pids)) - busy_before) / (minute / 2)
    run.figure("starts in the first minute", first + 1, "", 12)
    run.figure("starts per minute afterwards", 2 * second_minute, "", 2)
    run.figure("processor time of orchestrator and supervisor, with this row's own looking", share * 100, "%", 2)


@row(
    "R2",
    "a poison task among 1,000 good ones on 4 workers",
    "it fails after three kills, the others are not concerned",
    peers="Dask: 4 workers lost, 0.41 s [M]",
)
def poison(run: Run) -> None:
    grid = run.grid(workers=0)
    grid.launch("Worker", count=4, **BACK)
    good = [grid.template(work.noted_task, str(run.ledger.path), str(n), retries=10) for n in range(1000)]
    bad = grid.template(work.noted_death, str(run.ledger.path), retries=10)
    calls = [*good[:500], bad, *good[500:]]
    names = [grid.O.workers[index % 4] for index in range(len(calls))]
    outcomes = grid.O.transfer(calls, names, collect=True, transferTimeout=100)
    assert not outcomes[500]
    assert "3 executors died while they ran it" in outcomes[500].error, outcomes[500].error
    run.figure("kills by the poison", run.ledger.runs()["poison"], "", 3)
    innocents = [outcome for index, outcome in enumerate(outcomes) if index != 500 and not isinstance(outcome, str)]
    run.figure("innocents failed", len(innocents), "of 1000", 0)
    assert innocents == [], innocents[:3]


@row("R3", "a restart budget of two, three deaths", "the grid is smaller then, and calls fail at once", quick=True)
def budget(run: Run) -> None:
    grid = run.grid(workers=1)
    grid.launch("Worker", executorKwargs={"relaunch": 2, "logKwargs": QUIET})
    staying = grid.workers[0]
    for number in range(3):
        (victim,) = [name for name in grid.O.workers if name != staying]
        kill(victim)
        until(lambda v=victim: v not in grid.O.workers, 20, "the death is known")
        if number < 2:
            until(lambda: len(grid.O.workers) == 2, 20, "another takes its place")
    threading.Event().wait(run.lasting(3, 1.5))
    assert grid.O.workers == [staying]
    began = monotonic()
    (status,) = grid.O.transfer(grid.template(os.getpid), victim, collect=True)
    assert not status
    run.figure("a call to the lost one fails after", monotonic() - began, "s", 0.3)
