"""Rows N: the network between machines is cut, lossy, slow or flaps. A machine is a namespace behind a cable."""

from __future__ import annotations

import os
import subprocess
import sys
from time import monotonic, process_time, sleep
from typing import Any

from tests.chaos.row import QUIET, Meanwhile, Run, Unavailable, Waits, row, until
from tests.chaos.rows import work
from tests.system.grids import Grid
from tests.system.ssh_hosts import Namespace, SshHost
from tests.system.watching import is_alive, pid_in

from softgrid._model.errors import SoftgridError

TOLERANCE_S = 20


class Far:
    """A grid with a worker on a machine behind a cable."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.network: Namespace = run.namespace()
        hosts = run.hosts()
        self.host: SshHost = hosts.make("far", namespace=self.network)
        self.grid: Grid = run.grid(
            workers=0, rules=hosts.rules, heartMonitorFrequency=2, heartbeatTolerance=TOLERANCE_S
        )
        kwargs = {"relaunch": False, "logKwargs": QUIET}
        statuses, _, failed = self.grid.O.launch_worker("far", timeout=30, executorKwargs=kwargs)
        assert failed == [], statuses
        (self.worker,) = self.grid.O.workers
        self.sent = self.answered = 0
        self.longest_s = 0.0

    def call(self, limit_s: float = 60.0) -> None:
        """One call, which must be answered right."""
        task = f"task {self.sent}"
        self.sent += 1
        began = monotonic()
        call = self.grid.template(work.noted_task, str(self.run.ledger.path), task)
        outcome = self.grid.O.transfer(call, self.worker, collect=True, transferTimeout=limit_s)
        assert outcome == [task], outcome
        self.answered += 1
        self.longest_s = max(self.longest_s, monotonic() - began)

    def call_for(self, seconds: float) -> None:
        """Calls for so long."""
        end = monotonic() + seconds
        while monotonic() < end:
            self.call()
            sleep(0.02)

    def command(self, *words: str) -> None:
        """Run a command in the network of that machine."""
        done = subprocess.run([*self.network.command, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"{' '.join(words)}: {done.stderr.strip()}")

    def filter(self, table: str, chain: str, policy: str, rule: str) -> None:
        """Filter packets there."""
        hook = f"type filter hook {chain} priority 1; policy {policy};\n"
        self.command("nft", f"table inet {table} {{\nchain {chain} {{\n{hook}{rule}}}\n}}\n")

    def judge(self) -> None:
        """Nothing was lost or doubled, and nobody came anew."""
        self.run.lost(self.sent - self.answered, self.sent)
        self.run.doubled()
        self.run.figure("false deaths", int(self.grid.O.workers != [self.worker]), "", 0)
        assert self.grid.O.workers == [self.worker]


def cut_for(far: Far, seconds: float, cut: Any, heal: Any) -> float:
    """Cut the connection under calls; gives how long after the heal the next answer came."""
    far.call_for(0.5)
    cut()
    waiting = Meanwhile(far.call)
    sleep(seconds)
    assert not waiting.is_over, "the cable was cut"
    heal()
    healed = monotonic()
    waiting.wait(60)
    far.call_for(0.5)
    return waiting.answered_at - healed


@row(
    "N1",
    "no route to a machine for 5 s",
    "its executors are the same afterwards, nothing is lost",
    peers="Dask removed it",
)
def short_cut(run: Run) -> None:
    far = Far(run)
    resumed = cut_for(far, 5.0, far.network.cut, far.network.heal)
    far.judge()
    run.figure("answers again after", resumed, "s", 1)


@row(
    "N2",
    "no route for 60 s, beyond a tolerance of 20 s, while a task runs",
    "both sides give each other up; nothing runs twice; the old one is refused when the route is back",
    peers="the aim of HTCondor's leases",
    limit_s=180,
)
def long_cut(run: Run) -> None:
    far = Far(run)
    pid = pid_in(far.worker)
    call = far.grid.template(work.noted_sleep, str(run.ledger.path), "long", 300)
    waiting = Meanwhile(lambda: far.grid.O.transfer(call, far.worker, collect=True))
    until(lambda: run.ledger.runs(), 20, "the task has begun")
    far.network.cut()
    began = monotonic()
    try:
        known = until(lambda: far.worker not in far.grid.O.workers, TOLERANCE_S + 10, "it is given up here")
        there = until(lambda: not is_alive(pid), TOLERANCE_S + 10, "it has given up there") + known
    except AssertionError as error:
        raise Waits(f"a machine that is silent is not given up at heartbeatTolerance yet: {error}") from None
    finally:
        sleep(max(0.0, 60 - (monotonic() - began)))
        far.network.heal()
    (status,) = waiting.wait(5)
    assert not status
    assert "may have run" in status.error, status.error
    sleep(5)
    assert far.worker not in far.grid.O.workers
    run.figure("given up here after", known, "s", TOLERANCE_S + 1)
    run.figure("gone there after", there, "s")
    run.doubled()
    run.figure("orphans there", len(far.host.executors()), "", 0)


@row("N3", "packets of one direction are dropped for 5 s", "as N1")
def one_way(run: Run) -> None:
    far = Far(run)

    def cut() -> None:
        far.filter("oneway", "output", "drop", "")

    resumed = cut_for(far, 5.0, cut, lambda: far.command("nft", "delete", "table", "inet", "oneway"))
    far.judge()
    run.figure("answers again after", resumed, "s", 1)


@row(
    "N4",
    "the connection is reset every 3 s",
    "it is made anew, what was in flight is sent again and taken once",
    peers="Celery stops consuming in silence (celery#10205)",
    is_long=True,
)
def resets(run: Run) -> None:
    far = Far(run)
    end = monotonic() + run.lasting(min(300.0, run.minutes * 60), 10)
    cuts = 0
    while monotonic() < end:
        far.call_for(1.0)
        far.command("ss", "-K", "sport", "=", f":{far.host.port}")
        cuts += 1
        sleep(2)
    far.judge()
    run.figure("resets", cuts)


@row("N5", "5 % and 30 % of all packets are lost", "slower, and nobody is taken for dead", limit_s=180)
def loss(run: Run) -> None:
    far = Far(run)
    for percent in (5, 30):
        far.filter("lossy", "input", "accept", f"numgen random mod 100 < {percent} drop\n")
        far.longest_s = 0.0
        far.call_for(run.lasting(15, 2))
        run.figure(f"longest call at {percent} %", far.longest_s, "s")
        far.command("nft", "delete", "table", "inet", "lossy")
    far.judge()


DELAYED = """
from tests.system.grids import PREAMBLE
exec(PREAMBLE)
import threading
O = Orchestrator(logKwargs={'logToStdout': False})
router = launch(O, 'Router')[0]
workers = launch(O, 'Worker', router, count=2)
def keep(executor, number):
    executor.__dict__.setdefault('_numbers', []).append(number)
for number in range(int(sys.argv[1])):
    template = O.get_transfer_template(keep, (number,), returnResult=False)
    template['first_argument_executor'] = True
    O.transfer(template, workers)
kept = call(O, lambda executor: executor._numbers, first=True, to=workers)
say(sum(a > b for numbers in kept for a, b in zip(numbers, numbers[1:])), sum(map(len, kept)))
O.disconnect(kill=False)
"""


@row(
    "N6",
    "messages are held up by up to 250 ms, link by link, at random",
    "the order between two executors is kept",
    quick=True,
)
def delays(run: Run) -> None:
    count = run.times(400, 40)
    environment = {**os.environ, "SOFTGRID_CHAOS": f"seed={run.seed};delay=5:0:250"}
    words = [sys.executable, "-c", DELAYED, str(count)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    errors, arrived = map(int, done.stdout.split()[-2:])
    run.figure("errors of order", errors, "", 0)
    run.lost(2 * count - arrived, 2 * count)
    assert not errors
    run.note("By the injector at the codec. Packets in another order or twice are TCP's business and not made here.")


@row(
    "N7",
    "a connection of 64 kbit/s under a transfer of 50 MiB",
    "control messages do not wait behind it, nobody is taken for dead",
    limit_s=150,
)
def narrow(run: Run) -> None:
    far = Far(run)
    shape = ("tc", "qdisc", "add", "dev", "far", "root", "tbf", "rate", "64kbit", "burst", "4kb", "latency", "400ms")
    here = [*shape[:4], far.network._cable, *shape[5:]]
    done = subprocess.run(here, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"tc: {done.stderr.strip()}")
    try:
        far.command(*shape)
        took, lost = ask_under_bulk(far, run.lasting(30, 3))
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", far.network._cable, "root"], check=True)
        far.command("tc", "qdisc", "del", "dev", "far", "root")
    run.figure("control p99", sorted(took)[int(len(took) * 0.99)], "s", 2)
    run.figure("questions without an answer in 10 s", lost, f"of {len(took)}", 0)
    run.figure("false deaths", int(far.grid.O.workers != [far.worker]), "", 0)
    assert far.grid.O.workers == [far.worker]


def ask_under_bulk(far: Far, seconds: float) -> tuple[list[float], int]:
    """Ask small questions while much is sent; gives how long each took, and how many were not answered."""
    bulk = far.grid.template(len, bytes(50 << 20))
    Meanwhile(lambda: far.grid.O.transfer(bulk, far.worker, collect=True, transferTimeout=seconds))
    sleep(2)  # the connection is full by then, or the figure is the better for it
    took, lost = [], 0
    end = monotonic() + seconds
    while monotonic() < end:
        began = monotonic()
        try:
            far.grid.O.statistics(far.worker, timeout=10)
        except SoftgridError:
            lost += 1
        took.append(monotonic() - began)
    return took, lost


@row(
    "N8",
    "the other machine is gone without a word",
    "it is suspect within 10 s",
    peers="the kernel alone: 15 to 20 minutes",
)
def half_open(run: Run) -> None:
    far = Far(run)
    far.network.cut()
    try:
        known = until(lambda: far.grid.O._node.tree.suspicion(far.worker), 15, "it is suspect")
    except AssertionError:
        raise Waits("a machine that is silent is not suspect within 15 s yet") from None
    finally:
        far.network.heal()
    run.figure("suspect after", known, "s", 10)


@row("N9", "a bridge stands while the tree's link is cut, and the other way round", "the way that works is taken")
def partial(run: Run) -> None:
    run.tests(
        "tests/system/test_bridge_faults.py",
    )
    run.note("The ends of bridges break here; a cut between two networks with a bridge beside it is not made.")


@row("N10", "the cable is pulled for 200 ms again and again for two minutes", "no storm of launches", is_long=True)
def flapping(run: Run) -> None:
    far = Far(run)
    end = monotonic() + run.lasting(min(120.0, run.minutes * 60), 4)
    busy, began = process_time(), monotonic()
    while monotonic() < end:
        far.network.cut()
        sleep(0.2)
        far.network.heal()
        sleep(0.2)
    share = (process_time() - busy) / (monotonic() - began)
    run.figure("processor time of the orchestrator", share * 100, "%", 20)
    (outcome,) = far.grid.O.transfer(far.grid.template(os.getpid), far.worker, collect=True, transferTimeout=90)
    run.figure("executors launched anew", len(set(far.grid.O.workers) - {far.worker}), "", 0)
    assert outcome == pid_in(far.worker), outcome
    far.call()
    far.judge()


@row(
    "N11",
    "ports that are taken or just left, names that lead to 127.0.1.1",
    "another port is found, or a clear error",
    quick=True,
)
def ports(run: Run) -> None:
    run.tests("tests/io/test_ports.py")
