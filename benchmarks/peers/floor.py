"""The least that plain Python needs: fork, blocking Unix sockets, pickle, and nothing else.

No threads, no reactor, no names, no errors, no security: not a grid, a bound to aim at.
"""

from __future__ import annotations

import csv
import mmap
import os
import pickle
import socket
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from benchmarks import bulk, stencil
from benchmarks.calls import Report, Stopwatch, calls_per_second, noop, p50_us
from benchmarks.peers._importing import time_import
from benchmarks.procfs import COOKIE, pids_of_run, pss_mib, pss_mib_of_this_run
from benchmarks.tables import CHUNK, NAMES, TYPES, time_table

EXECUTORS = 211
WINDOW = 256

importing = time_import("pass")


def rtt1(report: Report) -> None:
    """One worker, one blocking socket."""
    link = start(serve_calls)
    report(p50_us(partial(call, link)))


rtt3 = rtt1
bridge = rtt1


def relayed_rtt3(report: Report) -> None:
    """The call through two processes that pass bytes on."""
    link = start(lambda up: relay(up, start(lambda above: relay(above, start(serve_calls)))))
    report(p50_us(partial(call, link)))


def throughput(report: Report) -> None:
    """Two workers; at most ``WINDOW`` calls in flight on each."""
    links = [start(serve_calls), start(serve_calls)]
    readers = [link.makefile("rb", buffering=1 << 16) for link in links]

    def run(calls: int) -> None:
        for _ in range(0, calls, WINDOW * len(links)):
            for link in links:
                link.sendall(b"".join(frame((noop, (), {})) for _ in range(WINDOW)))
            for reader in readers:
                for _ in range(WINDOW):
                    size = int.from_bytes(reader.read(4), "big")
                    pickle.loads(reader.read(size))

    whole_windows = 20_000 // (WINDOW * 2) * WINDOW * 2
    report({**calls_per_second(run, whole_windows), "note": ""})


def grid211(report: Report) -> None:
    """Forks that answer one ping each."""
    watch = Stopwatch()
    links = [start(echo) for _ in range(EXECUTORS)]
    for link in links:
        link.sendall(frame(None))
    for link in links:
        receive(link)
    metrics = watch.launched(EXECUTORS)
    metrics["pss_mib"] = pss_mib(pids_of_run(os.environ[COOKIE])) / EXECUTORS
    report(metrics)


def first_result(report: Report) -> None:
    """One fork and one call."""
    watch = Stopwatch()
    call(start(serve_calls))
    report(watch.ready())


def tables(report: Report) -> None:
    """The module csv, and each value by the type of its column."""
    report(time_table(_write_csv, lambda: list(_read_csv()), lambda: _chunked(_read_csv(), CHUNK)))


def _write_csv(rows: list[list[Any]]) -> None:
    with open("t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(NAMES)
        writer.writerows(rows)


def _read_csv() -> Iterator[list[Any]]:
    with open("t.csv", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        for row in reader:
            yield [dtype(text) for dtype, text in zip(TYPES, row, strict=True)]


def _chunked(rows: Iterator[list[Any]], size: int) -> Iterator[list[list[Any]]]:
    return iter(lambda: list(islice(rows, size)), [])


_kept: Any = None


def keep_memory(megabytes: int) -> None:
    """Make an array in memory that all processes share which are forked from now on."""
    import numpy as np

    global _kept
    _kept = np.frombuffer(mmap.mmap(-1, megabytes * bulk.MEGABYTE), dtype=np.float64)


def call_on_kept(function: Callable[[Any], Any], with_kept: bool) -> Any:
    """Call a function with the shared array; None stands for the array itself as result."""
    given = function(_kept if with_kept else None)
    return None if given is _kept else given


def call_each_on_kept(links: list[socket.socket], function: Callable[[Any], Any], array: Any) -> list[Any]:
    """Copy an array to where all see it, and call a function with it at each."""
    if array is not None:
        _kept[: len(array)] = array
    for link in links:
        link.sendall(frame((call_on_kept, (function, array is not None), {})))
    answers = [pickle.loads(receive(link)) for link in links]
    return [_kept.copy() if answer is None else answer for answer in answers]


def bulk64(report: Report) -> None:
    """Copied into memory that the worker shares already, and for an echo copied out of it again."""
    bulk_of(64, report)


def bulk512(report: Report) -> None:
    """Likewise."""
    bulk_of(512, report)


def bulk_of(megabytes: int, report: Report) -> None:
    """One worker and its shared memory."""
    keep_memory(megabytes)
    links = [start(serve_calls)]
    report(bulk.beside_copy(megabytes, lambda function, array: call_each_on_kept(links, function, array)[0]))


def broadcast16(report: Report) -> None:
    """Copied once into memory that all workers share already."""
    broadcast(16, report)


def broadcast160(report: Report) -> None:
    """Likewise."""
    broadcast(160, report)


def broadcast(workers: int, report: Report) -> None:
    """Workers and their shared memory."""
    keep_memory(64)
    links = [start(serve_calls) for _ in range(workers)]
    report(bulk.broadcast_beside_copy(64, workers, partial(call_each_on_kept, links), pss_mib_of_this_run))


def metg(report: Report) -> None:
    """A blocking socket per point; the driver waits for each step."""
    links = [start(serve_calls) for _ in range(stencil.POINTS)]

    def run_step(step: int, inputs: list[list[int]], iterations: int) -> list[int]:
        for point, link in enumerate(links):
            link.sendall(frame((stencil.task, (step, point, inputs[point], iterations), {})))
        return [pickle.loads(receive(link)) for link in links]

    report(stencil.metg(stencil.waiting(run_step)))


def start(body: Callable[[socket.socket], None]) -> socket.socket:
    """Fork a process that runs *body* until its socket closes."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        try:
            ours.close()
            body(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return ours


def frame(value: Any) -> bytes:
    """A pickle behind its length."""
    body = pickle.dumps(value, protocol=5)
    return len(body).to_bytes(4, "big") + body


def receive(link: socket.socket) -> bytes:
    """One whole frame without its length; empty at the end."""
    got = link.recv(65536)
    while got and len(got) < 4 + int.from_bytes(got[:4], "big"):
        got += link.recv(65536)
    return got[4:]


def call(link: socket.socket) -> Any:
    """Call ``noop`` at the other end and wait for what it returns."""
    link.sendall(frame((noop, (), {})))
    return pickle.loads(receive(link))


def echo(link: socket.socket) -> None:
    """Send back whatever comes."""
    while got := link.recv(65536):
        link.sendall(got)


def serve_calls(link: socket.socket) -> None:
    """Answer calls one by one until the socket closes."""
    reader = link.makefile("rb", buffering=1 << 16)
    while head := reader.read(4):
        function, args, kwargs = pickle.loads(reader.read(int.from_bytes(head, "big")))
        link.sendall(frame(function(*args, **kwargs)))


def relay(up: socket.socket, down: socket.socket) -> None:
    """Pass one request down and its answer up, and again."""
    while request := up.recv(65536):
        down.sendall(request)
        up.sendall(down.recv(65536))
