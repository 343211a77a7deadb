"""Rows P: processes that stop, or hold on to the interpreter or the processor, and are not dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from time import monotonic, sleep
from typing import Any

from tests.chaos.row import QUIET, Meanwhile, Run, row, until
from tests.chaos.rows import work
from tests.system.grids import PREAMBLE, Grid
from tests.system.watching import pid_in

TOLERANCE_S = 5


def suspicion(grid: Grid, name: str) -> str | None:
    """What the orchestrator thinks is wrong with an executor that is not gone."""
    return grid.O._node.tree.suspicion(name)


def stop(name: str) -> None:
    os.kill(pid_in(name), signal.SIGSTOP)


def go_on(name: str) -> None:
    os.kill(pid_in(name), signal.SIGCONT)


@row(
    "P1",
    "SIGSTOP of a worker, idle and in a task; SIGCONT later",
    "it is known to be stopped, nothing new is given to it by choice; it goes on with its one run",
    peers="Dask 310 s, ipyparallel 34.5 s, Parsl 118 s, Ray never within 90 s [M]",
    quick=True,
)
def worker(run: Run) -> None:
    grid = run.grid(routers=1, managers=1, workers=2)
    idle, busy = grid.workers
    call = grid.template(work.noted_sleep, str(run.ledger.path), "a task", 0.3)
    waiting = Meanwhile(lambda: grid.O.transfer(call, busy, collect=True))
    until(lambda: run.ledger.runs(), 20, "the task has begun")
    took = []
    for name in (idle, busy):
        stop(name)
        took.append(until(lambda n=name: suspicion(grid, n), 20, "the stop is known"))
    (status,) = grid.O.transfer(grid.template(os.getpid), idle, collect=True, transferTimeout=0.2)
    assert not status
    assert "SIGSTOP" in status.error, status.error
    for name in (idle, busy):
        go_on(name)
        until(lambda n=name: not suspicion(grid, n), 20, "it is known to go on")
    results = waiting.wait(20)
    assert results == ["a task"]
    grid.check_alive()
    run.figure("known to be stopped after", max(took), "s", 3)
    run.figure("results of the stopped task", len(results), "", 1)
    run.doubled()


@row(
    "P2",
    "SIGSTOP of a manager, then of a router",
    "suspect within 10 s, dead at the tolerance",
    peers="ipyparallel's engines wait 150 s",
    limit_s=90,
)
def middle(run: Run) -> None:
    took, dead = [], []
    for role in ("managers", "routers"):
        grid = run.grid(workers=0, heartMonitorFrequency=1, heartbeatTolerance=TOLERANCE_S)
        kwargs = {"relaunch": False, "logKwargs": QUIET}
        (router,) = grid.launch("Router", executorKwargs=kwargs)
        (manager,) = grid.launch("Manager", router, executorKwargs=kwargs)
        grid.launch("Worker", manager, executorKwargs=kwargs)
        victim = {"managers": manager, "routers": router}[role]
        stop(victim)
        took.append(until(lambda v=victim, g=grid: suspicion(g, v), 20, "it is suspect"))
        run.figure(f"{role[:-1]} suspect after", took[-1], "s", 10)
        dead.append(until(lambda v=victim, r=role, g=grid: v not in getattr(g.O, r), 15, "it is dead") + took[-1])
        grid.O.disconnect(kill=False)
    run.figure("dead after", max(dead), "s", TOLERANCE_S + 1)


PATIENT = (
    PREAMBLE
    + """
O = Orchestrator(logKwargs={'logToStdout': False})
manager = launch(O, 'Manager')[0]
workers = launch(O, 'Worker', manager, count=2)
tell('ready')
for number in range(int(sys.argv[1])):
    assert call(O, 'lambda n: n', number) == [number] * 2
    time.sleep(0.02)
assert sorted(O.workers) == sorted(workers), O.workers
tell('done')
"""
)


@row("P3", "SIGSTOP of the orchestrator for 30 s", "nothing is lost and nobody is taken for dead", quick=True)
def top(run: Run) -> None:
    words = [sys.executable, "-c", PATIENT, str(run.times(200, 50))]
    script = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert script.stdout is not None
    try:
        assert ">> ready" in script.stdout.readline()
        sleep(0.2)
        script.send_signal(signal.SIGSTOP)
        pause = run.lasting(30, 1)
        sleep(pause)
        script.send_signal(signal.SIGCONT)
        said = script.stdout.read()
        assert script.wait(60) == 0, said
        assert ">> done" in said, said
    finally:
        script.kill()
        script.wait()
        script.stdout.close()
    run.figure("stopped for", pause, "s")
    run.note("The script itself checks each answer, and that its workers are the same in the end.")


def deaths(grid: Grid) -> int:
    """How many of the executors that were launched are not there any more."""
    return len(set(grid.workers + grid.managers + grid.routers) - {*grid.O.workers, *grid.O.managers, *grid.O.routers})


@row(
    "P4",
    "a worker's function holds the interpreter lock for minutes",
    "it is busy, not dead; the others work on",
    peers="Dask killed a healthy worker three times in 200 s [M]",
    quick=True,
    is_long=True,
)
def hog(run: Run) -> None:
    grid = run.grid(routers=1, managers=1, workers=2)
    hogging, free = grid.workers
    seconds = run.lasting(run.minutes * 60, 2)
    call = grid.template(work.hold_the_interpreter_for, seconds)
    waiting = Meanwhile(lambda: grid.O.transfer(call, hogging, collect=True))
    slowest = 0.0
    while not waiting.is_over:
        began = monotonic()
        assert grid.call(os.getpid, to=free) == [pid_in(free)]
        slowest = max(slowest, monotonic() - began)
        sleep(0.1)
    (held,) = waiting.wait(60)
    assert isinstance(held, float), held
    run.figure("interpreter lock held for", held, "s", seconds, at_least=True)
    run.figure("false deaths", deaths(grid), "", 0)
    run.figure("slowest call to the other worker meanwhile", slowest, "s")
    assert deaths(grid) == 0


@row(
    "P5",
    "the orchestrator's own main thread holds the interpreter lock for two minutes",
    "the grid survives it",
    quick=True,
    is_long=True,
)
def hog_at_the_top(run: Run) -> None:
    grid = run.grid(routers=1, managers=1, workers=2)
    held = work.hold_the_interpreter_for(run.lasting(min(120.0, run.minutes * 60), 1.5))
    grid.check_alive()
    run.figure("interpreter lock held for", held, "s")
    run.figure("false deaths", deaths(grid), "", 0)
    assert deaths(grid) == 0


@row("P6", "all processes of a machine behind ssh are frozen for 20 s", "as if it was cut off: nothing is lost")
def frozen_machine(run: Run) -> None:
    hosts = run.hosts()
    host = hosts.make("far")
    grid = run.grid(workers=0, rules=hosts.rules)
    statuses, launched, failed = grid.O.launch_worker("far", timeout=30)
    assert failed == [], statuses
    del launched
    (name,) = grid.O.workers
    frozen = [*host.executors(), *host.sessions()]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    call = grid.template("lambda: 'back'")
    waiting = Meanwhile(lambda: grid.O.transfer(call, name, collect=True, transferTimeout=60))
    sleep(run.lasting(20, 2))
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    results = waiting.wait(60)
    run.lost(sum(result != "back" for result in results), 1)
    assert grid.O.workers == [name]
    run.note("Frozen by SIGSTOP of all of them at once, the session of sshd with them.")


@row(
    "P7",
    "16 processes that compute on all cores",
    "nobody is taken for dead",
    peers="Ray: live nodes declared dead under load (ray#15128)",
    quick=True,
    is_long=True,
)
def overload(run: Run) -> None:
    grid = run.full_tree(executorKwargs={"relaunch": False, "logKwargs": QUIET})
    burn = [sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(burn) for _ in range(run.times(16, 4))]
    try:
        until_s = monotonic() + run.lasting(run.minutes * 60, 2)
        calls = slowest = 0.0
        while monotonic() < until_s:
            began = monotonic()
            assert len(grid.call(os.getpid, to=grid.workers)) == len(grid.workers)
            slowest, calls = max(slowest, monotonic() - began), calls + 1
            sleep(0.05)
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    run.figure("false deaths", deaths(grid), "", 0)
    run.figure("rounds of calls meanwhile", calls)
    run.figure("slowest round", slowest, "s")
    assert deaths(grid) == 0


@row("P8", "a task's time is over and it runs on", "its caller is free, a late result is dropped", quick=True)
def time_is_over(run: Run) -> None:
    grid = run.grid(managers=1, workers=1)
    path = str(run.ledger.path)
    late: list[Any] = []
    for number in range(run.times(20, 2)):
        began = monotonic()
        call = grid.template(work.noted_sleep, path, f"late {number}", 0.5)
        (status,) = grid.O.transfer(call, grid.workers[0], collect=True, transferTimeout=0.2)
        late.append(monotonic() - began - 0.2)
        assert not status
        assert "running" in status.error or "within" in status.error, status.error
        assert grid.one(work.noted_task, path, f"next {number}") == f"next {number}"
    ghosts = grid.O.statistics()["calls_in_flight"] + len(grid.O._executedReturned)
    run.figure("callers free beyond the deadline by", max(late), "s", 1)
    run.figure("late results that were taken", ghosts, "", 0)
    run.doubled()
