"""softgrid on other machines: over ssh, over TLS where executors join by hand, over a weak link."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import PickleBuffer
from statistics import median
from time import perf_counter, sleep
from typing import Any

from benchmarks.calls import Report, times_us
from benchmarks.over_ssh import MEBI, BareMachine, bare_machine, report_bulk, report_first
from benchmarks.tls_pair import TlsPair
from softgrid import Globals, Orchestrator

WEAK_SIZE = 4 * MEBI
WEAK_CALLS = 40
PASSWORD = "benchmark"
GUEST = """
import sys
from softgrid import Worker
Worker(logKwargs={'logToStdout': False}).connect_to_grid('127.0.0.1', int(sys.argv[1]), input(), blocking=True)
"""


@contextmanager
def orchestrator(**rules: Any) -> Iterator[Any]:
    """One without limits per machine, disconnected at the end."""
    without_limits = {f"machine_maximum_number_of_{role}": None for role in ("routers", "managers", "workers")}
    Globals.RULES.update({**without_limits, **rules})
    top = Orchestrator(password=PASSWORD, logKwargs={"logToStdout": False})
    try:
        yield top
    finally:
        top.disconnect(kill=False)


def workers(top: Any, machine: BareMachine, count: int) -> list[str]:
    """Launch workers there, each of which must have answered a call."""
    statuses, launched, failed = top.launch_worker([machine.name] * count, timeout=60)
    if failed:
        raise RuntimeError(f"{statuses}"[:500])
    names = [each["gridUniqueName"] for each in launched]
    if top.transfer(top.get_transfer_template("lambda: 1"), names, collect=True) != [1] * count:
        raise RuntimeError("not all answered")
    return names


def ssh_first(report: Report) -> None:
    """From before the orchestrator is made."""
    with bare_machine() as machine:
        tops: list[Any] = []
        entered = orchestrator(ssh_command=machine.ssh)

        def first() -> None:
            tops.append(entered.__enter__())
            workers(tops[0], machine, 1)

        try:
            report_first(report, machine, first, lambda count: workers(tops[0], machine, count))
        finally:
            entered.__exit__(None, None, None)


def ssh_bulk(report: Report) -> None:
    """An argument and a result of one worker."""
    with bare_machine() as machine, orchestrator(ssh_command=machine.ssh) as top:
        (worker,) = workers(top, machine, 1)
        report_bulk(report, *bulk_calls(top, worker), machine.send, machine.fetch)


def bulk_calls(top: Any, worker: str) -> tuple[Any, Any]:
    """What sends an array there, and what fetches one."""
    made = "lambda size: __import__('pickle').PickleBuffer(bytearray(size))"

    def send(data: bytearray) -> int:
        call = top.get_transfer_template("lambda data: memoryview(data).nbytes", (PickleBuffer(data),))
        (arrived,) = top.transfer(call, worker, collect=True)
        return int(arrived)

    def fetch(size: int) -> int:
        (got,) = top.transfer(top.get_transfer_template(made, (size,)), worker, collect=True)
        return memoryview(got).nbytes

    return send, fetch


def tls_bulk(report: Report) -> None:
    """To and from a worker that joined by hand."""
    with orchestrator() as top, guest(top) as worker, TlsPair() as pair:
        report_bulk(report, *bulk_calls(top, worker), pair.send, pair.fetch)


@contextmanager
def guest(top: Any) -> Iterator[str]:
    """A worker that joins by hand, in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", GUEST, str(top.port)], stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(f"{PASSWORD}\n")
    process.stdin.flush()
    while not top.workers:
        if process.poll() is not None:
            raise RuntimeError("the guest was not let in")
        sleep(0.01)
    try:
        yield top.workers[0]
    finally:
        process.kill()
        process.wait()


def weak_link(report: Report) -> None:
    """Bulk and calls where packets take their time and some are lost."""
    from tests.system.weak_links import WeakLink

    link = WeakLink()
    try:
        with bare_machine(link) as machine, orchestrator(ssh_command=machine.ssh) as top:
            (worker,) = workers(top, machine, 1)
            call = top.get_transfer_template("lambda: 1")
            call_us = median(times_us(lambda: top.transfer(call, worker, collect=True), WEAK_CALLS))
            trip_us = median(_trip_us(machine) for _ in range(WEAK_CALLS))
            figures = {"call_ms": call_us / 1000, "trip_ms": trip_us / 1000, "call_x": call_us / trip_us}
            report_bulk(report, *bulk_calls(top, worker), machine.send, machine.fetch, WEAK_SIZE, **figures)
    finally:
        link.close()


def _trip_us(machine: BareMachine) -> float:
    """Microseconds until a connection stands, which takes one round trip of the link."""
    start = perf_counter()
    socket.create_connection((machine.address, machine.port)).close()
    return 1e6 * (perf_counter() - start)
