"""Rows N: the network between machines is cut, lossy, slow or flaps. A machine is a namespace behind a cable."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from time import monotonic, process_time, sleep

from tests.chaos.row import QUIET, Meanwhile, Run, Unavailable, row, until
from tests.chaos.rows import work
from tests.system.grids import Grid
from tests.system.ssh_hosts import Namespace, SshHost
from tests.system.watching import is_alive, pid_in

from softgrid._model.errors import SoftgridError

TOLERANCE_S = 20
ONCE = {"relaunch": False, "logKwargs": QUIET}
HEARTS = {"heartMonitorFrequency": 2, "heartbeatTolerance": TOLERANCE_S}


class Far:
    """A grid with a worker on a machine behind a cable, and calls to it that must all be answered."""

    way = ""

    def __init__(self, run: Run, network: Namespace, grid: Grid) -> None:
        self.run, self.network, self.grid = run, network, grid
        (self.worker,) = grid.O.workers
        self.sent = self.answered = 0
        self.longest_s = 0.0

    @property
    def left(self) -> list[int]:
        """The processes of the grid there."""
        return [pid for pid in [pid_in(self.worker)] if is_alive(pid)]

    @property
    def connection(self) -> list[str]:
        """What its connection is told by, seen from there."""
        return ["dport", "=", f":{self.grid.O.port}"]

    def call(self, limit_s: float = 60.0) -> None:
        """One call, which must be answered right."""
        task = f"task {self.sent} for {self.worker}"
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


def judge(*fars: Far) -> None:
    """Nothing was lost or doubled, and nobody came anew."""
    run = fars[0].run
    sent = sum(far.sent for far in fars)
    run.lost(sent - sum(far.answered for far in fars), sent)
    run.doubled()
    dead = [far for far in fars if far.grid.O.workers != [far.worker]]
    run.figure("false deaths", len(dead), "", 0)
    assert not dead, [far.way for far in dead]


class Launched(Far):
    """A worker that was launched over ssh."""

    way = " over ssh"

    def __init__(self, run: Run) -> None:
        network, hosts = run.namespace(), run.hosts()
        self._host: SshHost = hosts.make("far", namespace=network)
        grid = run.grid(workers=0, rules=hosts.rules, **HEARTS)
        statuses, _, failed = grid.O.launch_worker("far", timeout=30, executorKwargs=ONCE)
        assert failed == [], statuses
        super().__init__(run, network, grid)

    @property
    def left(self) -> list[int]:
        return self._host.executors()

    @property
    def connection(self) -> list[str]:
        return ["sport", "=", f":{self._host.port}"]


GUEST = """
import sys
from softgrid import Worker
guest = Worker(logKwargs={'logToStdout': False})
guest.connect_to_grid(sys.argv[1], int(sys.argv[2]), sys.stdin.readline().strip(), blocking=True)
"""
PASSWORD = "the password of the guest behind a cable"


class Guest(Far):
    """A worker that has joined by hand, over TCP and TLS."""

    way = " over TLS"

    def __init__(self, run: Run) -> None:
        network = run.namespace()
        grid = run.grid(workers=0, password=PASSWORD, address=network.near, **HEARTS)
        words = [*network.command, sys.executable, "-c", GUEST, network.near, str(grid.O.port)]
        guest = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        run.at_end(lambda: (guest.kill(), guest.wait()))
        assert guest.stdin is not None
        guest.stdin.write(PASSWORD.encode() + b"\n")
        guest.stdin.close()
        until(lambda: grid.O.workers, 20, "the guest has joined")
        super().__init__(run, network, grid)


WAYS: tuple[Callable[[Run], Far], ...] = (Launched, Guest)
"""How an executor comes to stand behind a cable."""


def cut_under_calls(run: Run, cut: Callable[[Far], None], heal: Callable[[Far], None], seconds: float = 5.0) -> None:
    """Cut connections of all kinds under calls, and hand in how long after the heal the next answers came."""
    fars = [way(run) for way in WAYS]
    for far in fars:
        far.call_for(0.5)
    for far in fars:
        cut(far)
    waiting = [Meanwhile(far.call) for far in fars]
    sleep(seconds)
    assert not any(each.is_over for each in waiting), "the cable was cut"
    for far, each in zip(fars, waiting, strict=True):
        heal(far)
        healed = monotonic()
        each.wait(60)
        run.figure(f"answers again{far.way} after", each.answered_at - healed, "s", 1)
        far.call_for(0.5)
    judge(*fars)


@row(
    "N1",
    "no route to a machine for 5 s, one that is reached over ssh, and one that joined by hand",
    "its executors are the same afterwards, nothing is lost",
    peers="Dask removed it",
)
def short_cut(run: Run) -> None:
    cut_under_calls(run, lambda far: far.network.cut(), lambda far: far.network.heal())


@row(
    "N2",
    "no route for 60 s, beyond a tolerance of 20 s, while a task runs; over ssh, and to one that joined by hand",
    "both sides give each other up; nothing runs twice; the old one is refused when the route is back",
    peers="the aim of HTCondor's leases",
    limit_s=180,
)
def long_cut(run: Run) -> None:
    fars = [way(run) for way in WAYS]
    calls = [
        Meanwhile(
            lambda f=far: f.grid.O.transfer(  # type: ignore[misc]
                f.grid.template(work.noted_sleep, str(run.ledger.path), f"long{f.way}", 300), f.worker, collect=True
            )
        )
        for far in fars
    ]
    until(lambda: len(run.ledger.runs()) == len(fars), 20, "the tasks have begun")
    began = monotonic()
    for far in fars:
        far.network.cut()
    try:
        for far in fars:
            until(lambda f=far: f.worker not in f.grid.O.workers, TOLERANCE_S + 10, f"it is given up here{far.way}")
            run.figure(f"given up here{far.way} after", monotonic() - began, "s", TOLERANCE_S + 1)
        for far in fars:
            until(lambda f=far: not f.left, TOLERANCE_S + 10, f"it has given up there{far.way}")
            run.figure(f"gone there{far.way} after", monotonic() - began, "s")
        sleep(max(0.0, run.lasting(60, TOLERANCE_S) - (monotonic() - began)))
    finally:
        for far in fars:
            far.network.heal()
    for call in calls:
        (status,) = call.wait(5)
        assert not status
        assert "may have run" in status.error, status.error
    sleep(5)
    for far in fars:
        assert far.worker not in far.grid.O.workers
        run.figure(f"left there{far.way}", len(far.left), "", 0)
    run.doubled()


@row("N3", "packets of one direction are dropped for 5 s, then those of the other", "as N1")
def one_way(run: Run) -> None:
    for chain in ("output", "input"):
        cut_under_calls(
            run,
            lambda far, chain=chain: far.filter("oneway", chain, "drop", ""),  # type: ignore[misc]
            lambda far: far.command("nft", "delete", "table", "inet", "oneway"),
        )


@row(
    "N4",
    "the connection is reset every 3 s, over ssh and to one that joined by hand",
    "it is made anew, what was in flight is sent again and taken once",
    peers="Celery stops consuming in silence (celery#10205)",
    is_long=True,
)
def resets(run: Run) -> None:
    fars = [way(run) for way in WAYS]
    end = monotonic() + run.lasting(min(300.0, run.minutes * 60), 10)
    cuts = 0
    while monotonic() < end:
        for far in fars:
            far.call_for(1.0)
            far.command("ss", "-K", *far.connection)
            cuts += 1
        sleep(1)
    for far in fars:
        far.call()
    judge(*fars)
    run.figure("resets", cuts)


@row("N5", "5 % and 30 % of all packets are lost", "slower, and nobody is taken for dead", limit_s=180)
def loss(run: Run) -> None:
    far = Launched(run)
    for percent in (5, 30):
        far.filter("lossy", "input", "accept", f"numgen random mod 100 < {percent} drop\n")
        far.longest_s = 0.0
        far.call_for(run.lasting(15, 2))
        run.figure(f"longest call at {percent} %", far.longest_s, "s")
        far.command("nft", "delete", "table", "inet", "lossy")
    judge(far)


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
    far = Launched(run)
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
    for way in WAYS:
        far = way(run)
        far.network.cut()
        known = until(lambda f=far: f.grid.O._node.tree.suspicion(f.worker), 30, "it is suspect")  # type: ignore[misc]
        run.figure(f"suspect{far.way} after", known, "s", 10)
        far.network.heal()


@row("N9", "a bridge stands while the tree's link is cut, and the other way round", "the way that works is taken")
def partial(run: Run) -> None:
    run.tests(
        "tests/system/test_bridge_faults.py",
    )
    run.note("The ends of bridges break here; a cut between two networks with a bridge beside it is not made.")


@row("N10", "the cable is pulled for 200 ms again and again for two minutes", "no storm of launches", is_long=True)
def flapping(run: Run) -> None:
    far = Launched(run)
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
    judge(far)


@row(
    "N11",
    "ports that are taken or just left, names that lead to 127.0.1.1",
    "another port is found, or a clear error",
    quick=True,
)
def ports(run: Run) -> None:
    run.tests("tests/io/test_ports.py")
