"""Rows M: memory runs out, or would if anything were without bounds."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.chaos.row import QUIET, Meanwhile, Run, Unavailable, row, until
from tests.system.grids import Grid
from tests.system.watching import parent_of, pid_in

from softgrid import Orchestrator

MIB = 1024 * 1024


def resident_mib(pid: int) -> float:
    """How much memory a process has now, but for what it shares with others by mapping a segment."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return (int(fields["RssAnon"].split()[0]) + int(fields["RssFile"].split()[0])) / 1024


class Peaks:
    """The most memory that processes have, beyond what they had."""

    def __init__(self, pids: list[int]) -> None:
        self._base = {pid: resident_mib(pid) for pid in pids}
        self._most = dict.fromkeys(pids, 0.0)

    def look(self) -> None:
        for pid, base in self._base.items():
            self._most[pid] = max(self._most[pid], resident_mib(pid) - base)

    @property
    def most(self) -> float:
        """The most beyond its base that any of them had."""
        self.look()
        return max(self._most.values())


@contextmanager
def cgroup(controller: str, **limits: str) -> Iterator[Path]:
    """A control group of this machine, or Unavailable."""
    root = Path("/sys/fs/cgroup") / controller
    group = root / f"softgrid{os.getpid()}"
    try:
        group.mkdir()
        for name, value in limits.items():
            (group / f"{controller}.{name}").write_text(value)
    except OSError as error:
        raise Unavailable(f"control group {controller}: {error}") from None
    try:
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            (root / "cgroup.procs").write_text(pid)
        group.rmdir()


def swallow(mib: int) -> int:
    """Run by workers: use so much memory."""
    eaten = bytearray(mib << 20)
    for page in range(0, len(eaten), 4096):
        eaten[page] = 1
    return len(eaten)


@row(
    "M1",
    "a function takes 1 GiB in a control group of 256 MiB",
    "the status says that memory ran out, the others work on",
    peers="ipyparallel: no cause (ipyparallel#695)",
)
def out_of_memory(run: Run) -> None:
    grid = run.grid(managers=1, workers=2)
    eating, other = grid.workers
    with cgroup("memory", limit_in_bytes=str(256 * MIB)) as group:
        (group / "cgroup.procs").write_text(str(pid_in(eating)))
        (status,) = grid.call(swallow, 1024, to=eating)
        until(lambda: eating not in grid.O.workers, 20, "the death is known")
    assert not status
    assert "SIGKILL" in status.error, status.error
    assert grid.call(os.getpid, to=other) == [pid_in(other)]
    assert "memory" in status.error, status.error
    run.figure("right causes", 100, "%", 100, at_least=True)


@row(
    "M2",
    "1 MiB at a time, without end, to a worker that is stopped",
    "the sender waits; nobody on the way gathers it",
    peers="brokers that run out of memory (guagua#99)",
    quick=True,
)
def slow_consumer(run: Run) -> None:
    grid = run.grid(routers=1, managers=1, workers=1, rules={"transfer_compression_level": 0})
    (worker,) = grid.workers
    os.kill(pid_in(worker), signal.SIGSTOP)
    data = bytes(MIB)
    peaks = Peaks([pid_in(grid.routers[0]), pid_in(grid.managers[0]), pid_in(worker)])
    count = run.times(10_000, 300)
    calls = [grid.template(len, data) for _ in range(count)]
    waiting = Meanwhile(
        lambda: grid.O.transfer(calls, [worker] * count, collect=True, transferTimeout=run.lasting(10, 2))
    )
    while not waiting.is_over:
        peaks.look()
        sleep(0.05)
    outcomes = waiting.wait(60)
    os.kill(pid_in(worker), signal.SIGCONT)
    assert not any(outcomes), "nobody answered"
    assert all("SIGSTOP" in outcome.error for outcome in outcomes)
    until(lambda: grid.call(os.getpid)[0] == pid_in(worker), 60, "it goes on")
    run.figure("most memory of a hop beyond its own", peaks.most, "MiB", 64)
    run.figure("answered", len(outcomes), f"of {count}", count, at_least=True)


@row(
    "M3",
    "a result of 1 GiB through three hops",
    "it passes by those on the way",
    peers="Dask's scheduler runs out of memory (dask#7964)",
)
def large_result(run: Run) -> None:
    grid = run.grid(routers=1, managers=1, workers=1)
    peaks = Peaks([pid_in(grid.routers[0]), pid_in(grid.managers[0])])
    size = int(run.lasting(1 << 30, 1 << 26))
    began = monotonic()
    waiting = Meanwhile(lambda: [len(each) for each in grid.call(bytes, size)])
    while not waiting.is_over:
        peaks.look()
        sleep(0.01)
    assert waiting.wait(60) == [size]
    run.figure("most memory of a hop beyond its own", peaks.most, "MiB", 64)
    run.figure("took", monotonic() - began, "s")
    run.note("1 GiB where the reference has 4, for the sake of those who share this machine.")


def flood(seconds: float) -> int:
    """Run by workers: print as fast as it goes; gives how many lines that were."""
    end, lines = monotonic() + seconds, 0
    while monotonic() < end:
        print("a line of some length, as a program would print it, again and again\n" * 99)
        lines += 100
    return lines


@row(
    "M4",
    "a worker prints as fast as it can for 30 s",
    "control messages pass, memory is bounded",
    peers="Ray: the driver is flooded (ray pr#21717)",
    quick=True,
)
def log_flood(run: Run) -> None:
    grid = run.grid(managers=1, workers=2)
    loud, quiet = grid.workers
    peaks = Peaks([os.getpid()])
    call = grid.template(flood, run.lasting(30, 1))
    waiting = Meanwhile(lambda: grid.O.transfer(call, loud, collect=True))
    took = []
    while not waiting.is_over:
        began = monotonic()
        assert grid.O.statistics(quiet)["name"] == quiet
        took.append(monotonic() - began)
        peaks.look()
        sleep(0.01)
    (lines,) = waiting.wait(60)
    run.figure("lines", lines)
    run.figure("control p99", sorted(took)[int(len(took) * 0.99)] * 1000, "ms", 200)
    run.figure("memory of the orchestrator beyond its own", peaks.most, "MiB", 32)
    grid.check_alive()


@row("M5", "100,000 tiny tasks for one worker, 10,000 promises of another", "memory is bounded", quick=True)
def crowds(run: Run) -> None:
    grid = run.grid(workers=2)
    many, promising = grid.workers
    peaks = Peaks([os.getpid(), pid_in(many), pid_in(promising)])
    count = run.times(100_000, 2_000)
    call = grid.template(abs, -1)
    waiting = Meanwhile(lambda: grid.O.transfer([call] * count, [many] * count, collect=True, transferTimeout=100))

    def promise(executor: Any, creator: str, count: int) -> int:
        return sum(bool(executor.add_promise(creator, f"p{number}", 600)) for number in range(count))

    promises = run.times(10_000, 200)
    made = grid.one(promise, promising, promises, to=promising, first=True)
    while not waiting.is_over:
        peaks.look()
        sleep(0.05)
    results = waiting.wait(120)
    run.lost(sum(result != 1 for result in results), count)
    run.figure("promises made", made, f"of {promises}")
    run.figure("most memory beyond its own", peaks.most, "MiB", 300)


def supervisor_of(grid: Grid) -> int:
    return parent_of(pid_in(grid.workers[0]))


@row("M6", "no more processes are allowed in the middle of a launch of 20", "a clear failure, nobody half there")
def no_processes(run: Run) -> None:
    grid = run.grid(workers=1)
    with cgroup("pids", max="8") as group:
        (group / "cgroup.procs").write_text(str(supervisor_of(grid)))
        kwargs = {"relaunch": False, "logKwargs": QUIET}
        O: Orchestrator = grid.O  # noqa: E741
        statuses, launched, failed = O.launch_worker([O.address] * 20, timeout=20, executorKwargs=kwargs)
        assert failed, "the limit was not felt"
        reasons = {status.error for status in statuses if not status}
        assert len(O.workers) == 1 + len(launched)
        alive = subprocess.run(["pgrep", "-P", str(supervisor_of(grid))], capture_output=True, text=True, check=False)
        run.figure("half there", len(alive.stdout.split()) - len(O.workers), "", 0)
        assert len(grid.call(os.getpid, to=O.workers)) == len(O.workers)
    run.note(f"{len(launched)} came up, {len(failed)} were told why: {sorted(reasons)[0][:120]}.")
