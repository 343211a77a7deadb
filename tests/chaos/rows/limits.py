"""Rows L: descriptors run out; things are made and ended again and again."""

from __future__ import annotations

import os
import resource
import socket
from contextlib import suppress
from time import monotonic, process_time, sleep

from tests.chaos.row import QUIET, Run, row, until
from tests.chaos.rows.memory import resident_mib
from tests.system.watching import pid_in

from softgrid._model.errors import SoftgridError
from softgrid._node.knock import knock

PASSWORD = "correct horse battery staple of the limits"


@row("L1", "64 descriptors and 200 visitors at the door", "it rests, then lets in again", quick=True)
def descriptors(run: Run) -> None:
    grid = run.grid(workers=1, password=PASSWORD)
    grid.check_alive()  # what that imports is open no more
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    visitors = [socket.socket() for _ in range(200)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), hard))
        for visitor in visitors:
            visitor.setblocking(False)
            visitor.connect_ex(("127.0.0.1", grid.O.port))
        began, busy = monotonic(), process_time()
        sleep(run.lasting(3, 0.5))
        share = (process_time() - busy) / (monotonic() - began)
        answered = grid.call(os.getpid)
        assert answered == [pid_in(grid.workers[0])], answered
        for visitor in visitors:
            visitor.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    began = monotonic()
    knock("127.0.0.1", grid.O.port, PASSWORD, monotonic() + 20).close()
    run.figure("processor time meanwhile", share * 100, "%", 10)
    run.figure("lets in again after", monotonic() - began, "s", 1)


def visit(port: int, password: str) -> str | None:
    """Come in and go; gives why that failed."""
    try:
        knock("127.0.0.1", port, password, monotonic() + 20).close()
    except SoftgridError as error:
        return str(error)
    return None


@row(
    "L2",
    "1,000 who prove the password and leave, 1,000 who do not know it",
    "descriptors, threads and memory as before",
    peers="Dask: descriptors come back [M]",
    quick=True,
)
def comings_and_goings(run: Run) -> None:
    grid = run.grid(workers=1, password=PASSWORD)
    count = run.times(1000, 30)
    refused = 0
    for is_right in (True, False):
        knock("127.0.0.1", grid.O.port, PASSWORD, monotonic() + 20).close()  # the certificate is made
        before = resident_mib(os.getpid()), len(os.listdir("/proc/self/fd"))
        for _ in range(count):
            refused += visit(grid.O.port, PASSWORD + ("" if is_right else "!")) == "wrong password"
        until(lambda b=before: len(os.listdir("/proc/self/fd")) <= b[1] + 1, 10, "descriptors come back")
        grown = resident_mib(os.getpid()) - before[0]
        run.figure(f"memory after those who {'know' if is_right else 'do not know'} it", grown, "MiB", 5)
    assert refused == count
    grid.check_alive()


@row("L3", "200 launches and kills", "nothing is left of them", peers="joblib#198", quick=True)
def launches_and_kills(run: Run) -> None:
    grid = run.grid(managers=1, workers=0)
    kwargs = {"relaunch": False, "logKwargs": QUIET}
    homes = os.environ["TMPDIR"]
    before: tuple[int, int, int] | None = None
    for number in range(run.times(200, 12)):
        names = grid.launch("Worker", grid.managers[0], count=2, executorKwargs=kwargs)
        grid.O.kill_executor(names)
        until(lambda: not grid.O.workers, 20, "they are gone")
        if number == 4:
            before = taken(run, homes)
    until(lambda: taken(run, homes) <= (before or (0, 0, 0)), 10, "everything is as before")
    after = taken(run, homes)
    assert before is not None
    for what, was, now in zip(("processes", "files", "descriptors"), before, after, strict=True):
        run.figure(f"more {what}", max(0, now - was), "", 0)


def taken(run: Run, homes: str) -> tuple[int, int, int]:
    """How many processes, files and descriptors there are."""
    files = sum(len(names) for _, _, names in os.walk(homes))
    held = len(os.listdir("/proc/self/fd"))
    for pid in run.processes():
        with suppress(OSError):
            held += len(os.listdir(f"/proc/{pid}/fd"))
    return len(run.processes()), files, held
