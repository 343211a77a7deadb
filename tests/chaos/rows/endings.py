"""Rows G: ends of grids, promises, requests and bridges; and everything at once, for as long as asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from tests.chaos.row import Run, row, until
from tests.chaos.rows import work
from tests.chaos.rows.kills import BACK, kill
from tests.chaos.rows.memory import resident_mib
from tests.system.grids import PREAMBLE, Grid
from tests.system.watching import pid_in

WORKING = (
    PREAMBLE
    + """
import faulthandler
faulthandler.register(signal.SIGUSR1, all_threads=True)
O = Orchestrator(logKwargs={'logToStdout': False})
tell('begins')
router = launch(O, 'Router')[0]
manager = launch(O, 'Manager', router)[0]
workers = launch(O, 'Worker', manager, count=4)
while True:
    call(O, 'lambda: sum(range(10000))')
"""
)


def await_end(script: subprocess.Popen[str], said: Path) -> None:
    """See a script end; one that does not says where it is."""
    try:
        script.wait(30)
    except subprocess.TimeoutExpired:
        script.send_signal(signal.SIGUSR1)
        sleep(1)
        script.kill()
        script.wait()
        raise AssertionError(f"Ctrl-C did not end it: {said.read_text()[-3000:]}") from None


@row(
    "G1",
    "Ctrl-C at random moments of a script that launches and works; disconnect twice, from threads, with running tasks",
    "the script ends, and nothing of it is left",
    quick=True,
    limit_s=300,
)
def leaving(run: Run) -> None:
    slowest = 0.0
    rounds = run.times(50, 2)
    for number in range(rounds):
        words, said = [sys.executable, "-c", WORKING], run.folder / f"said{number}"
        with open(said, "w") as errors:
            script = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert script.stdout is not None
        assert ">> begins" in script.stdout.readline()
        sleep(run.random.uniform(0, 0.4))
        script.send_signal(signal.SIGINT)
        began = monotonic()
        await_end(script, said)
        until(lambda: not run.processes(), 30, "nothing is left")
        slowest = max(slowest, monotonic() - began)
        script.stdout.close()
    for _ in range(run.times(10, 1)):
        grid = run.full_tree()
        call = grid.template(work.wait_for_ever, str(run.ledger.path), returnResult=False)
        grid.O.transfer(call, grid.workers)
        ends = [threading.Thread(target=grid.O.disconnect, kwargs={"kill": False}) for _ in "ab"]
        began = monotonic()
        for end in ends:
            end.start()
        for end in ends:
            end.join(30)
            assert not end.is_alive(), "disconnect hangs"
        slowest = max(slowest, monotonic() - began)
        until(lambda: not run.processes(), 30, "nothing is left")
    run.figure("interruptions", rounds)
    run.figure("slowest end", slowest, "s", 5)
    run.orphans()


@row(
    "G2",
    "holders of promises die, promises expire, are removed or raced for",
    "no worker is blocked for ever",
    limit_s=300,
)
def promises(run: Run) -> None:
    run.tests("tests/system/test_promises.py", "tests/system/test_jobs.py", "tests/state/test_promise_model.py")


@row("G3", "responders die, hand over to the dead, answer twice or too late", "whoever waits is woken", limit_s=300)
def requests(run: Run) -> None:
    run.tests("tests/system/test_request_deaths.py", "tests/node/test_requests.py")


@row("G4", "an end of a bridge dies, a bridge breaks under a stream", "order is kept, the tree takes over", limit_s=300)
def bridges(run: Run) -> None:
    run.tests("tests/system/test_bridge_faults.py", "tests/state/test_twoways.py")


class Soak:
    """A grid under work, one fault after the other, and a history of every call."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.grid: Grid = run.full_tree(**BACK)
        self.sent = self.accepted = self.failed = self.hangs = 0
        self.over = threading.Event()
        self.faults: dict[str, Callable[[], None]] = {
            "kill of a worker": lambda: self.kill(self.grid.O.workers),
            "kill of a manager": lambda: self.kill(self.grid.O.managers),
            "kill of a router": lambda: self.kill(self.grid.O.routers),
            "stop and go on": self.pause,
            "launch and kill": self.launch_and_kill,
        }

    def kill(self, names: list[str]) -> None:
        for name in self.run.random.sample(names, k=min(1, len(names))):
            with suppress(ProcessLookupError):
                kill(name)

    def pause(self) -> None:
        for name in self.run.random.sample(self.grid.O.workers, k=min(1, len(self.grid.O.workers))):
            with suppress(ProcessLookupError):
                os.kill(pid_in(name), signal.SIGSTOP)
                sleep(0.5)
                os.kill(pid_in(name), signal.SIGCONT)

    def launch_and_kill(self) -> None:
        _, launched, _ = self.grid.O.launch_worker(self.grid.O.address, timeout=20, executorKwargs={"relaunch": False})
        for each in launched:
            self.grid.O.kill_executor(each["gridUniqueName"])

    def work(self) -> None:
        """Calls to whoever is there; each is answered once, right or with a cause, and in time."""
        while not self.over.is_set():
            names = self.grid.O.workers
            if not names:
                self.over.wait(0.05)
                continue
            tasks = [f"soak {self.sent + index}" for index in range(len(names))]
            path = str(self.run.ledger.path)
            calls = [self.grid.template(work.noted_task, path, task) for task in tasks]
            self.sent += len(tasks)
            began = monotonic()
            outcomes = self.grid.O.transfer(calls, names, collect=True, transferTimeout=10)
            self.hangs += monotonic() - began > 11
            for task, outcome in zip(tasks, outcomes, strict=True):
                self.accepted += outcome == task
                self.failed += outcome != task and bool(outcome.error)
            self.over.wait(0.02)


@row(
    "G5",
    "one random fault after the other under work, for as long as asked (10 minutes here, 24 hours in the reference)",
    "every call is answered once, nothing hangs, nothing runs twice, nothing grows",
    quick=True,
    is_long=True,
    limit_s=180,
)
def soak(run: Run) -> None:
    soaking = Soak(run)
    working = threading.Thread(target=soaking.work)
    working.start()
    seconds = run.lasting(run.minutes * 60, 4)
    end, done, memory = monotonic() + seconds, 0, 0.0
    while monotonic() < end:
        name = run.random.choice(sorted(soaking.faults))
        soaking.faults[name]()
        done += 1
        soaking.over.wait(run.lasting(5, 0.5))
        if not memory and monotonic() > end - seconds * 0.8:
            memory = resident_mib(os.getpid())
    soaking.over.set()
    working.join(30)
    assert not working.is_alive(), "a call hangs"
    grown = resident_mib(os.getpid()) - (memory or resident_mib(os.getpid()))
    run.figure("faults", done)
    run.lost(soaking.sent - soaking.accepted - soaking.failed, soaking.sent)
    run.figure("calls beyond their deadline + 1 s", soaking.hangs, "", 0)
    run.doubled()
    run.figure("memory of the orchestrator grows by", grown * 3600 / (seconds * 0.8), "MiB/h", 1)
    run.note(f"{soaking.accepted} calls were answered, {soaking.failed} failed with a cause.")
