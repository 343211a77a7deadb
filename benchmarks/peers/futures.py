"""``concurrent.futures.ProcessPoolExecutor`` with its defaults."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks.calls import (
    Report,
    Stopwatch,
    calls_per_second,
    check_results,
    noop,
    p50_us,
)
from benchmarks.peers._importing import time_import
from benchmarks.procfs import memory_and_idle

WORKERS = 160

importing = time_import("from concurrent.futures import ProcessPoolExecutor")

_meeting: Any = None


def _set_meeting(barrier: Any) -> None:
    global _meeting
    _meeting = barrier


def _meet() -> None:
    _meeting.wait()


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
