"""What is measured on another machine: an sshd of its own on this one, with nothing but a bare Python, beside ssh.

Every taker measures ssh itself in the same process, in turns with what it measures, so that both see the same load; its
relations are the medians of the relations of the turns.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from tests.system.ssh_hosts import Namespace, SshHost, SshHosts

from benchmarks.calls import Report

MEBI = 1024 * 1024
SIZE = 64 * MEBI
TURNS, WARM_TURNS = 4, 1
MORE = 16


class _Run(NamedTuple):
    """What the machines of tests want to know of their test."""

    mark: str = "benchmark"


class BareMachine:
    """A machine that ssh reaches, and what ssh alone does there."""

    name = "far"

    def __init__(self, hosts: SshHosts, host: SshHost) -> None:
        self.config = str(hosts.config)
        self.identity = str(hosts.identity)
        self.address, self.port = host.address, host.port
        self.python = host.python

    @property
    def ssh(self) -> list[str]:
        """The client, told of the machine."""
        return ["ssh", "-F", self.config]

    def _run(self, command: str) -> subprocess.Popen[bytes]:
        words = [*self.ssh, "-o", "BatchMode=yes", self.name, command]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def log_in(self) -> None:
        """Have a Python there do nothing."""
        assert self._run("python3 -c 1").communicate() == (b"", None)

    def send(self, data: Any) -> float:
        """Seconds until a process there has read *data*."""
        process = self._run("echo up; cat >/dev/null; echo there")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        start = perf_counter()
        process.stdin.write(data)
        process.stdin.close()
        process.stdout.readline()
        taken_s = perf_counter() - start
        process.wait()
        return taken_s

    def fetch(self, size: int) -> float:
        """Seconds until so much has come from a process there."""
        process = self._run(f"echo up; read go; exec head -c {size} /dev/zero")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        start = perf_counter()
        process.stdin.write(b"go\n")
        process.stdin.flush()
        while size > 0:
            size -= len(process.stdout.read(min(size, MEBI)))
        taken_s = perf_counter() - start
        process.communicate()
        return taken_s


@contextmanager
def bare_machine(network: Namespace | None = None) -> Iterator[BareMachine]:
    """A machine on loopback, or in a network of its own."""
    with tempfile.TemporaryDirectory() as folder:
        hosts = SshHosts(Path(folder), _Run())
        try:
            yield BareMachine(hosts, hosts.make(BareMachine.name, namespace=network))
        finally:
            hosts.close()


def timed(work: Callable[[], Any]) -> float:
    """Seconds that *work* takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


def report_first(
    report: Report, machine: BareMachine, first: Callable[[], Any], more: Callable[[int], Any] | None = None
) -> None:
    """Time *first*, from nothing to a first result there, and *more*, which adds so many workers and calls each."""
    floors = [timed(machine.log_in) for _ in range(2)]
    first_s = timed(first)
    floors.append(timed(machine.log_in))
    metrics = {"first_s": first_s, "first_x": first_s / median(floors)}
    if more is not None:
        metrics["more_s"] = timed(lambda: more(MORE))
    report(metrics)


def report_bulk(
    report: Report,
    send: Callable[[Any], int],
    fetch: Callable[[int], int],
    send_floor: Callable[[Any], float],
    fetch_floor: Callable[[int], float],
    size: int = SIZE,
    **more: float,
) -> None:
    """Time *send* and *fetch*, which give how much arrived, in turns with their floors, which give seconds."""
    data = bytearray(os.urandom(MEBI)) * (size // MEBI)
    there, back = _Turns(), _Turns()
    for turn in range(-WARM_TURNS, TURNS):
        for figures, floor, work in (
            (there, lambda: send_floor(data), lambda: send(data)),
            (back, lambda: fetch_floor(size), lambda: fetch(size)),
        ):
            floor_s = floor()
            arrived: list[int] = []
            taken_s = timed(lambda work=work, arrived=arrived: arrived.append(work()))
            if arrived != [size]:
                raise RuntimeError(f"{arrived} of {size} bytes arrived")
            if turn >= 0:
                figures.add(size / taken_s, floor_s / taken_s)
    report({**there.metrics("there"), **back.metrics("back"), **more})


class _Turns:
    """Speeds of one direction."""

    def __init__(self) -> None:
        self._speeds: list[float] = []
        self._relations: list[float] = []

    def add(self, speed: float, relation: float) -> None:
        self._speeds.append(speed)
        self._relations.append(relation)

    def metrics(self, name: str) -> dict[str, float]:
        return {f"{name}_mb_s": median(self._speeds) / 1e6, f"{name}_x": median(self._relations)}
