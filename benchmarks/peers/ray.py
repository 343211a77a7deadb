"""``ray`` with actors, which are its way to a given worker; local, no dashboard."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray

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

WORKERS = 16

importing = time_import("import ray")


class Caller:
    """An actor with one method."""

    def noop(self) -> None:
        """Do nothing."""
        noop()


Actor: Any = ray.remote(num_cpus=1)(Caller)


@contextmanager
def actors(count: int) -> Iterator[list[Any]]:
    """Ray with *count* actors, all of which have answered."""
    ray.init(
        num_cpus=count,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _temp_dir=tempfile.gettempdir(),
    )
    try:
        callers = [Actor.remote() for _ in range(count)]
        check_results(ray.get([caller.noop.remote() for caller in callers]), count)
        yield callers
    finally:
        ray.shutdown()


def rtt1(report: Report) -> None:
    """One actor."""
    with actors(1) as (caller,):
        report(p50_us(lambda: ray.get(caller.noop.remote())))


def throughput(report: Report) -> None:
    """Two actors by turns, one ``get``."""
    with actors(2) as callers:

        def run(calls: int) -> None:
            check_results(ray.get([callers[i % 2].noop.remote() for i in range(calls)]), calls)

        report(calls_per_second(run))


def grid211(report: Report) -> None:
    """Sixteen actors; 160 take about a minute on two cores."""
    watch = Stopwatch()
    with actors(WORKERS):
        metrics = watch.launched(WORKERS)
        report({**metrics, **memory_and_idle(1 + WORKERS), "note": f"{WORKERS} workers"})


def first_result(report: Report) -> None:
    """Ray with one actor."""
    watch = Stopwatch()
    with actors(1):
        report(watch.ready())
