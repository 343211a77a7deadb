"""``ray`` with actors, which are its way to a given worker; local, no dashboard."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray

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

WORKERS = 16

importing = time_import("import ray")


class Caller:
    """An actor that calls functions."""

    def noop(self) -> None:
        """Do nothing."""
        noop()

    def call(self, function: Any, *args: Any) -> Any:
        """Call a function here."""
        return function(*args)

    def task(self, step: int, point: int, iterations: int, *inputs: int) -> int:
        """A task of the stencil; what it depends on is waited for by ray."""
        return stencil.task(step, point, inputs, iterations)


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


@contextmanager
def one_worker() -> Iterator[bulk.Call]:
    """The call of one actor, its array in the object store."""
    with actors(1) as (caller,):
        yield lambda function, array: ray.get(caller.call.remote(function, ray.put(array)))


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


bulk64 = bulk.one_worker_workload(64, one_worker)
bulk512 = bulk.one_worker_workload(512, one_worker)


def broadcast16(report: Report) -> None:
    """One ``put``, and a call of each actor."""
    with actors(WORKERS) as callers:

        def call_each(function: Any, array: Any) -> list[Any]:
            kept = ray.put(array)
            answers: list[Any] = ray.get([caller.call.remote(function, kept) for caller in callers])
            return answers

        report(bulk.broadcast_beside_copy(64, WORKERS, call_each, pss_mib_of_this_run))


def metg(report: Report) -> None:
    """An actor per point; all steps are handed over at once, results as dependencies."""
    with actors(stencil.POINTS) as callers:

        def run(steps: int, iterations: int) -> list[int]:
            results: list[Any] = [0] * stencil.POINTS
            for step in range(steps):
                results = [
                    callers[point].task.remote(step, point, iterations, *inputs)
                    for point, inputs in enumerate(stencil.inputs_of(results))
                ]
            last: list[int] = ray.get(results)
            return last

        report(stencil.metg(run))
