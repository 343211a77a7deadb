"""``ipyparallel`` with a local ``Cluster`` of engines."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ["IPYTHONDIR"] = tempfile.gettempdir()

import ipyparallel

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
RTT_CALLS = 1000
MANY_CALLS = 2000

importing = time_import("import ipyparallel")


@contextmanager
def engines(count: int) -> Iterator[Any]:
    """A client of *count* engines, all of which have answered."""
    with ipyparallel.Cluster(n=count, log_level=40) as client:
        client.wait_for_engines(count, timeout=60, interactive=False)
        check_results(client[:].apply_sync(noop), count)
        yield client


@contextmanager
def one_worker() -> Iterator[bulk.Call]:
    """The call of a direct view of one engine."""
    with engines(1) as client:
        engine = client[0]
        yield lambda function, array: engine.apply_async(function, array).get()


def rtt1(report: Report) -> None:
    """A direct view of one engine."""
    with engines(1) as client:
        engine = client[0]
        report(p50_us(lambda: engine.apply_async(noop).get(), RTT_CALLS))


def throughput(report: Report) -> None:
    """Two direct views by turns, ``apply_async`` each, then ``get``."""
    with engines(2) as client:
        views = [client[0], client[1]]

        def run(calls: int) -> None:
            pending = [views[i % 2].apply_async(noop) for i in range(calls)]
            check_results([each.get() for each in pending], calls)

        report(calls_per_second(run, MANY_CALLS))


def grid211(report: Report) -> None:
    """Sixteen engines; 160 were not ready within minutes on two cores."""
    watch = Stopwatch()
    with engines(WORKERS):
        metrics = watch.launched(WORKERS)
        report({**metrics, **memory_and_idle(1 + WORKERS), "note": f"{WORKERS} workers"})


def first_result(report: Report) -> None:
    """A cluster of one engine."""
    watch = Stopwatch()
    with engines(1):
        report(watch.ready())


bulk64 = bulk.one_worker_workload(64, one_worker)
bulk512 = bulk.one_worker_workload(512, one_worker)


def broadcast16(report: Report) -> None:
    """``apply_async`` on a direct view of all engines."""
    with engines(WORKERS) as client:
        everybody = client[:]
        report(
            bulk.broadcast_beside_copy(
                64,
                WORKERS,
                lambda function, array: everybody.apply_async(function, array).get(),
                pss_mib_of_this_run,
            )
        )


def metg(report: Report) -> None:
    """A direct view per point; the driver waits for each step."""
    with engines(stencil.POINTS) as client:
        views = [client[point] for point in range(stencil.POINTS)]

        def run_step(step: int, inputs: list[list[int]], iterations: int) -> list[int]:
            pending = [
                view.apply_async(stencil.task, step, point, inputs[point], iterations)
                for point, view in enumerate(views)
            ]
            return [each.get() for each in pending]

        report(stencil.metg(stencil.waiting(run_step)))
