"""Rows K: kill -9 of whoever, whenever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import median
from time import monotonic
from typing import Any

from tests.chaos.row import QUIET, Meanwhile, Run, row, until
from tests.chaos.rows import work
from tests.chaos.telling import check_borrowed, check_steps, tell
from tests.system.grids import PREAMBLE, Grid
from tests.system.ssh_hosts import SSHD, SshHosts
from tests.system.watching import is_alive, pid_in

from softgrid._chaos.points import ORCHESTRATOR, POINTS

BACK = {"executorKwargs": {"relaunch": True, "logKwargs": QUIET}}


def kill(name: str) -> None:
    """End an executor without a warning."""
    os.kill(pid_in(name), signal.SIGKILL)


@row(
    "K1",
    "kill -9 of an idle worker",
    "it leaves the grid at once and another takes its place",
    peers="Dask 12 ms, ipyparallel 20 ms at one hop [M]",
    quick=True,
)
def idle_worker(run: Run) -> None:
    near, far, back = [], [], []
    for _ in range(run.times(7, 1)):
        for hops, seen in ((0, near), (1, far)):
            grid = run.grid(routers=hops, managers=hops, workers=0)
            (worker,) = grid.launch("Worker", (grid.managers or [None])[0], **BACK)
            kill(worker)
            began = monotonic()
            seen.append(until(lambda w=worker, g=grid: w not in g.O.workers, 20, "the death is known"))
            until(lambda g=grid: g.O.workers, 20, "another takes its place")
            back.append(monotonic() - began)
            grid.O.disconnect(kill=False)
    run.figure("known to its upgrid", median(near) * 1000, "ms", 50)
    run.figure("known 3 hops up", median(far) * 1000, "ms", 250)
    run.figure("replaced within", max(back), "s", 2)


@row(
    "K2",
    "kill -9 of a worker in the middle of a task",
    "the caller is told what it died of and that the task may have run; it is not run again",
    peers="ipyparallel 5.0 s, Parsl 28 s until the caller knows [M]",
    quick=True,
)
def worker_mid_task(run: Run) -> None:
    woken = []
    for number in range(run.times(7, 1)):
        grid = run.grid(routers=1, managers=1, workers=0)
        (worker,) = grid.launch("Worker", grid.managers[0], **BACK)
        task = f"task {number}"
        call = grid.template(work.noted_sleep, str(run.ledger.path), task, 600)
        waiting = Meanwhile(lambda c=call, w=worker, g=grid: g.O.transfer(c, w, collect=True))
        until(lambda t=task: t in run.ledger.runs(), 20, "the task has begun")
        kill(worker)
        killed = monotonic()
        (status,) = waiting.wait(20)
        woken.append(waiting.answered_at - killed)
        assert not status
        assert "SIGKILL" in status.error, status.error
        assert "may have run" in status.error, status.error
        assert status.data is call
        until(lambda g=grid: g.O.workers, 20, "another takes its place")
        grid.check_alive()
        assert run.ledger.runs()[task] == 1
        grid.O.disconnect(kill=False)
    run.figure("caller woken 3 hops away", median(woken) * 1000, "ms", 300)
    run.figure("runs of the task", max(run.ledger.runs().values()), "", 1)


@row(
    "K3",
    "the same, with two retries",
    "the result is right, one result is accepted",
    peers="Dask, Ray: 0.5 s later [M]",
)
def worker_mid_task_again(run: Run) -> None:
    grid = run.grid(workers=0)
    grid.launch("Worker", count=2, **BACK)
    call = grid.template(work.noted_attempt, str(run.ledger.path), "again", 0.5, retries=2)
    victim = grid.O.workers[0]
    waiting = Meanwhile(lambda: grid.O.transfer(call, victim, collect=True))
    until(lambda: run.ledger.runs(), 20, "the task has begun")
    kill(victim)
    results = waiting.wait(30)
    assert run.ledger.runs() == {"again attempt 1": 1, "again attempt 2": 1}
    assert results == ["again"]
    run.figure("results accepted", len(results), "", 1)
    run.lost(1 - len(results), 1)


@row(
    "K4",
    "kill -9 of a worker between the end of its task and just after the result was sent, 500 times",
    "a result that was sent is not lost, no task is run or answered twice",
    quick=True,
)
def around_the_result(run: Run) -> None:
    rounds, batch = run.times(50, 2), 10
    answered = failed = 0
    for number in range(rounds):
        grid = run.grid(workers=batch)
        calls = []
        for index in range(batch):
            seconds = run.random.uniform(5e-6, 400e-6)
            calls.append(grid.template(work.end_soon_after, str(run.ledger.path), f"{number}.{index}", seconds))
        outcomes = grid.O.transfer(calls, grid.workers, collect=True, transferTimeout=20)
        assert len(outcomes) == batch
        for index, outcome in enumerate(outcomes):
            if isinstance(outcome, str):
                assert outcome == f"{number}.{index}"
                answered += 1
            else:
                assert "SIGALRM" in outcome.error or "exited" in outcome.error, outcome.error
                assert "may have run" in outcome.error, outcome.error
                failed += 1
        grid.O.disconnect(kill=False)
    run.note(f"{answered} results came, {failed} calls failed with the cause.")
    run.lost(rounds * batch - answered - failed, rounds * batch)
    run.doubled()


NOT_BEGUN = "the call had not begun"
"""How a status says that its call has done nothing."""


def under_load(grid: Grid, run: Run, calls: int = 300) -> tuple[Meanwhile, list[str]]:
    """Give a batch of calls that is under way, all to the workers in turn."""
    names = [grid.workers[index % len(grid.workers)] for index in range(calls)]
    made = [grid.template(work.noted_sleep, str(run.ledger.path), str(index), 0.02) for index in range(calls)]
    batch = Meanwhile(lambda: grid.O.transfer(made, names, collect=True))
    until(lambda: len(run.ledger.runs()) > len(grid.workers), 20, "the work has begun")
    return batch, names


@row(
    "K5",
    "kill -9 of a manager under load",
    "its workers end with it, each of their calls is told why, the calls of others go on",
    peers="Parsl leaves 4 workers behind [M]",
    quick=True,
)
def manager_under_load(run: Run) -> None:
    grid = run.full_tree(executorKwargs={"relaunch": False, "logKwargs": QUIET})
    batch, names = under_load(grid, run)
    victim, below = grid.managers[0], grid.workers[:2]
    kill(victim)
    killed = monotonic()
    known = until(lambda: victim not in grid.O.managers, 20, "the death is known")
    until(lambda: not any(is_alive(pid_in(name)) for name in below), 20, "its workers are gone")
    orphans_s = monotonic() - killed
    outcomes = batch.wait(60)
    for index, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
        if name in below:
            assert isinstance(outcome, str) or "is gone" in outcome.error, outcome
        else:
            assert outcome == str(index), outcome
    run.ledger.check_at_most_once()
    run.figure("known to the orchestrator", known * 1000, "ms", 250)
    run.figure("its workers gone within", orphans_s, "s", 2)
    run.figure("orphans", sum(is_alive(pid_in(name)) for name in below), "", 0)
    failed = {str(index): outcome.error for index, outcome in enumerate(outcomes) if not isinstance(outcome, str)}
    never_begun = failed.keys() - run.ledger.runs().keys()
    told_so = {task for task, error in failed.items() if NOT_BEGUN in error}
    assert told_so <= never_begun, told_so - never_begun
    assert never_begun, "all had begun"
    run.figure("calls never begun that are told so", len(told_so) * 100 / len(never_begun), "%", 100, at_least=True)


@row(
    "K6",
    "kill -9 of a router under load",
    "all below it is reported lost once, every pending call is answered",
    quick=True,
)
def router_under_load(run: Run) -> None:
    grid = run.full_tree(executorKwargs={"relaunch": False, "logKwargs": QUIET})
    below = grid.workers[:4]
    calls = [grid.template(work.noted_sleep, str(run.ledger.path), name, 600) for name in below]
    batch = Meanwhile(lambda: grid.O.transfer(calls, below, collect=True))
    until(lambda: len(run.ledger.runs()) == len(below), 20, "all have begun")
    kill(grid.routers[0])
    killed = monotonic()
    outcomes = batch.wait(20)
    assert all(not outcome and "SIGKILL" in outcome.error for outcome in outcomes), outcomes
    run.figure("all its calls answered within", batch.answered_at - killed, "s", 1)
    assert sorted(grid.O.workers) == sorted(grid.workers[4:])
    assert sorted(grid.call(os.getpid, to=grid.O.workers)) == sorted(map(pid_in, grid.workers[4:]))
    until(lambda: not any(is_alive(pid_in(name)) for name in below), 20, "its workers are gone")


TOP = (
    PREAMBLE
    + """
from tests.chaos.rows import work
import json
O = Orchestrator(rules=json.loads(sys.argv[1]), logKwargs={'logToStdout': False})
router = launch(O, 'Router')[0]
managers = launch(O, 'Manager', router, count=2)
workers = launch(O, 'Worker', managers[0], count=2) + launch(O, 'Worker', managers[1])
for address in sys.argv[4:]:
    statuses, (worker,), bad = O.launch_worker([address], timeout=30)
    workers.append(worker[0]['gridUniqueName'] if isinstance(worker, list) else worker['gridUniqueName'])
function = getattr(work, sys.argv[2])
for worker in workers:
    template = O.get_transfer_template(function, (sys.argv[3],), returnResult=False)
    O.transfer(template, worker)
tell('ready')
signal.pause()
"""
)


def kill_the_top(run: Run, function: str, hosts: SshHosts | None = None) -> float:
    """Kill an orchestrator whose workers all do the same; gives how long until nothing of it is left."""
    far = [hosts.make("far")] if hosts is not None else []
    rules = json.dumps(hosts.rules if hosts is not None else {})
    busy_before = len(run.ledger.lines("busy"))
    names = [host.name for host in far]
    words = [sys.executable, "-c", TOP, rules, function, str(run.ledger.path), *names]
    top = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert top.stdout is not None
    for line in top.stdout:
        if line.startswith(">> ready"):
            break
    assert top.poll() is None, "the grid did not come up"
    until(lambda: len(run.ledger.lines("busy")) == busy_before + 3 + len(far), 20, "all workers are at it")
    top.kill()
    top.wait()
    top.stdout.close()
    if far:
        own = {host.process.pid for host in far}
        return until(
            lambda: not set(run.processes()) - own and not any(host.executors() for host in far), 30, "nothing is left"
        )
    return until(lambda: not run.processes(), 30, "nothing is left")


def in_turn(run: Run, function: str) -> None:
    took = [kill_the_top(run, function) for _ in range(run.times(5, 1))]
    run.figure("nothing left on this machine after", max(took), "s", 5)
    run.orphans()
    if SSHD is not None and not run.is_quick:
        run.figure("nothing left over ssh after", kill_the_top(run, function, run.hosts()), "s", 5)


@row(
    "K7",
    "kill -9 of the orchestrator",
    "the whole grid is gone, on this machine and over ssh",
    peers="left at 120 s: ipyparallel 13 of 13, Parsl 9 of 9, the standard library 2 of 2; Dask 0 at 1 s [M]",
    quick=True,
)
def orchestrator(run: Run) -> None:
    in_turn(run, "wait_for_ever")


@row(
    "K8",
    "the same while every worker holds the interpreter lock in C and ignores all signals",
    "the same",
    peers="a thread that watches for the end of its connection never sees it [M]",
    quick=True,
)
def orchestrator_of_the_stubborn(run: Run) -> None:
    in_turn(run, "resist")


@row(
    "K9",
    "kill -9 of a worker, then of its manager, that have started programs, sessions of their own and a daemon",
    "these are found and ended",
    peers="Ray has this off by default",
    quick=True,
)
def what_got_away(run: Run) -> None:
    took = []
    for victim in ("worker", "manager"):
        grid = run.grid(managers=1, workers=1)
        pids = grid.one(work.get_away, str(run.ledger.path))
        until(lambda: run.ledger.lines("daemon"), 20, "the daemon is up")
        pids += [line["pid"] for line in run.ledger.lines("daemon")]
        kill(grid.workers[0] if victim == "worker" else grid.managers[0])
        took.append(until(lambda p=pids: not any(map(is_alive, p)), 20, f"what it had started is gone: {pids}"))
        grid.O.disconnect(kill=False)
    run.figure("all gone after", max(took), "s", 5)
    run.orphans()


CAUSES = {
    "SIGSEGV": "SIGSEGV",
    "SIGBUS": "SIGBUS",
    "exit 0": "exited with code 0",
    "SIGABRT": "SIGABRT",
    "SIGKILL": "SIGKILL",
}


@row(
    "K10",
    "a segmentation fault, a bus error, os._exit(0), abort, kill -9 of itself, and sys.exit in a function",
    "the status names the cause",
    quick=True,
)
def causes(run: Run) -> None:
    right = 0
    for how, expected in CAUSES.items():
        grid = run.grid(managers=1, workers=1)
        (status,) = grid.call(work.die, how)
        assert not status
        assert expected in status.error, f"{how}: {status.error}"
        assert "may have run" in status.error, status.error
        right += 1
        grid.O.disconnect(kill=False)
    grid = run.grid(workers=1)
    (status,) = grid.call(sys.exit, 3)
    assert not status
    assert "SystemExit" in status.error, status.error
    grid.check_alive()
    run.figure("right causes", (right + 1) * 100 / (len(CAUSES) + 1), "%", 100, at_least=True)


@row(
    "K11",
    f"kill -9 at each of {len(POINTS)} named points of launch, handshake, transfer and shutdown",
    "no call hangs or is answered twice, nothing is left",
    limit_s=400,
)
def every_point(run: Run) -> None:
    latest = 0.0
    for name, point in POINTS.items():
        folder = run.folder / name
        folder.mkdir()
        told = tell(folder, f"seed={run.seed};kill={name}")
        assert told.killed is not None, f"nobody passed {name}"
        assert told.status == (-signal.SIGKILL if point.who == ORCHESTRATOR else 0), (name, told.output)
        latest = max(latest, check_steps(told))
        if told.status == 0:
            check_borrowed(told)
    run.figure("points", len(POINTS), "", 40, at_least=True)
    run.figure("calls beyond their deadline, by at most", max(latest, 0.0), "s", 1)


class Storm:
    """A job on the tree of the reference, and kills below its orchestrator while it runs."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.grid = run.full_tree(**BACK)
        self.killed = 0
        self._over = threading.Event()

    def work(self, kind: str, tasks: int, task_s: float) -> tuple[list[Any], float]:
        """Have so many tasks run, each with five retries; gives what came of each, and how many ran in a second."""
        path = str(self._run.ledger.path)
        funcs = [(work.noted_attempt, [path, f"{kind} {number}", task_s]) for number in range(tasks)]
        began = monotonic()
        outcomes = self.grid.O.schedule_job(funcs, retries=5, verbose=False)
        assert isinstance(outcomes, list), outcomes
        return outcomes, tasks / (monotonic() - began)

    @contextmanager
    def raging(self, every_s: float) -> Iterator[None]:
        """Kill anybody below the orchestrator every so often."""
        rage = threading.Thread(target=self._rage, args=(every_s,))
        rage.start()
        try:
            yield
        finally:
            self._over.set()
            rage.join()

    def _rage(self, every_s: float) -> None:
        top = self.grid.O
        while not self._over.wait(every_s):
            for name in self._run.random.sample(
                below := [*top.routers, *top.managers, *top.workers], min(1, len(below))
            ):
                with suppress(ProcessLookupError):
                    kill(name)
                    self.killed += 1


@row(
    "K12",
    "kill -9 of a random router, manager or worker every 2 s for ten minutes under a job of 10,000 tasks, retries=5",
    "no task is lost, each is accepted once and no attempt runs twice",
    peers="claimed by no Python system",
    quick=True,
    is_long=True,
    limit_s=900,
)
def storm(run: Run) -> None:
    storm, workers = Storm(run), 8
    tasks = run.times(10_000, 200)
    task_s = run.lasting(run.minutes * 60 * workers / tasks, 0.05)
    _, calm_rate = storm.work("calm", tasks // 20, task_s)
    with storm.raging(run.lasting(2, 0.2)):
        outcomes, rate = storm.work("storm", tasks, task_s)
    expected = [f"storm {number}" for number in range(tasks)]
    failed = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == [
        task for task, outcome in zip(expected, outcomes, strict=True) if isinstance(outcome, str)
    ]
    run.lost(tasks - len(outcomes) + sum(not outcome.error for outcome in failed), tasks)
    run.figure("failed with a cause", len(failed), f"of {tasks}", 0)
    run.doubled()
    run.figure("kills", storm.killed, "", run.lasting(run.minutes * 30 * 0.95, 1), at_least=True)
    run.figure("throughput", rate * 100 / calm_rate, "% of calm", 50, at_least=True)
    run.note(f"{calm_rate:.1f} tasks/s calm, {rate:.1f} under kills; all were launched with relaunch=True.")
    if failed:
        run.note(f"The first that failed: {failed[0].error.splitlines()[0][:200]}.")
