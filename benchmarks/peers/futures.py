"""``concurrent.futures.ProcessPoolExecutor`` with its defaults."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks import bulk, stencil
from benchmarks.calls import (
    Report,
    Stopwatch,
    calls_per_second,
    check_results,
    noop,
    p50_us,
)
from benchmarks.peers._importing import time_import
from benchmarks.procfs import memory_and_idle, pss_mib_of_this_run

WORKERS = 160
HOLDERS = 16

importing = time_import("from concurrent.futures import ProcessPoolExecutor")

_meeting: Any = None


def _set_meeting(barrier: Any) -> None:
    global _meeting
    _meeting = barrier


def _meet() -> None:
    _meeting.wait()


def _call_once(function: Any, array: Any) -> Any:
    _meeting.wait()
    return function(array)


@contextmanager
def one_worker() -> Iterator[bulk.Call]:
    """The call of a pool of one."""
    with ProcessPoolExecutor(max_workers=1) as pool:
        yield lambda function, array: pool.submit(function, array).result()


def rtt1(report: Report) -> None:
    """A pool of one is the only way to a given worker."""
    with ProcessPoolExecutor(max_workers=1) as pool:
        report(p50_us(lambda: pool.submit(noop).result()))


def throughput(report: Report) -> None:
    """``submit`` each, then ``result`` of each."""
    with ProcessPoolExecutor(max_workers=2) as pool:

        def run(calls: int) -> None:
            pending = [pool.submit(noop) for _ in range(calls)]
            check_results([each.result() for each in pending], calls)

        report(calls_per_second(run))


def grid211(report: Report) -> None:
    """As many workers, in a flat pool; a barrier makes each answer once."""
    watch = Stopwatch()
    barrier = multiprocessing.Barrier(WORKERS)
    with ProcessPoolExecutor(WORKERS, initializer=_set_meeting, initargs=(barrier,)) as pool:
        check_results([p.result() for p in [pool.submit(_meet) for _ in range(WORKERS)]], WORKERS)
        metrics = watch.launched(WORKERS)
        report({**metrics, **memory_and_idle(1 + WORKERS), "note": f"{WORKERS} workers"})


def first_result(report: Report) -> None:
    """A pool of one."""
    watch = Stopwatch()
    with ProcessPoolExecutor(max_workers=1) as pool:
        pool.submit(noop).result()
        report(watch.ready())


bulk64 = bulk.one_worker_workload(64, one_worker)
bulk512 = bulk.one_worker_workload(512, one_worker)


def broadcast16(report: Report) -> None:
    """As many submits, the array pickled for each; a barrier makes each worker take one."""
    barrier = multiprocessing.Barrier(HOLDERS)
    with ProcessPoolExecutor(HOLDERS, initializer=_set_meeting, initargs=(barrier,)) as pool:

        def call_each(function: Any, array: Any) -> list[Any]:
            return [p.result() for p in [pool.submit(_call_once, function, array) for _ in range(HOLDERS)]]

        report(bulk.broadcast_beside_copy(64, HOLDERS, call_each, pss_mib_of_this_run))


def metg(report: Report) -> None:
    """The driver waits for each step; the pool chooses the workers."""
    with ProcessPoolExecutor(stencil.POINTS) as pool:

        def run_step(step: int, inputs: list[list[int]], iterations: int) -> list[int]:
            points = range(stencil.POINTS)
            pending = [pool.submit(stencil.task, step, point, inputs[point], iterations) for point in points]
            return [each.result() for each in pending]

        report(stencil.metg(stencil.waiting(run_step)))
