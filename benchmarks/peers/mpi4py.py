"""``mpi4py.futures.MPIPoolExecutor`` on the MPICH wheel, its workers spawned by the running script.

``mpiexec`` comes with the wheel and is put on the path; starting the script itself under it would
start the clock outside of the process that is timed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpi4py.futures import MPIPoolExecutor

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

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

importing = time_import("from mpi4py.futures import MPIPoolExecutor")


def _meet() -> None:
    from mpi4py import MPI

    MPI.COMM_WORLD.Barrier()


def _call_once(function: Any, array: Any) -> Any:
    _meet()
    return function(array)


@contextmanager
def one_worker() -> Iterator[bulk.Call]:
    """The call of a pool of one."""
    with MPIPoolExecutor(max_workers=1) as pool:
        yield lambda function, array: pool.submit(function, array).result()


def rtt1(report: Report) -> None:
    """A pool of one is the only way to a given worker."""
    with MPIPoolExecutor(max_workers=1) as pool:
        report(p50_us(lambda: pool.submit(noop).result()))


def throughput(report: Report) -> None:
    """``submit`` each, then ``result`` of each."""
    with MPIPoolExecutor(max_workers=2) as pool:

        def run(calls: int) -> None:
            pending = [pool.submit(noop) for _ in range(calls)]
            check_results([each.result() for each in pending], calls)

        report(calls_per_second(run))


def grid211(report: Report) -> None:
    """Sixteen workers; a barrier makes each answer once."""
    watch = Stopwatch()
    with MPIPoolExecutor(max_workers=WORKERS) as pool:
        check_results([p.result() for p in [pool.submit(_meet) for _ in range(WORKERS)]], WORKERS)
        metrics = watch.launched(WORKERS)
        report({**metrics, **memory_and_idle(1 + WORKERS), "note": f"{WORKERS} workers"})


def first_result(report: Report) -> None:
    """A pool of one."""
    watch = Stopwatch()
    with MPIPoolExecutor(max_workers=1) as pool:
        pool.submit(noop).result()
        report(watch.ready())


bulk64 = bulk.one_worker_workload(64, one_worker)
bulk512 = bulk.one_worker_workload(512, one_worker)


def broadcast16(report: Report) -> None:
    """As many submits, the array pickled for each; a barrier makes each worker take one."""
    with MPIPoolExecutor(max_workers=WORKERS) as pool:

        def call_each(function: Any, array: Any) -> list[Any]:
            return [p.result() for p in [pool.submit(_call_once, function, array) for _ in range(WORKERS)]]

        report(bulk.broadcast_beside_copy(64, WORKERS, call_each, pss_mib_of_this_run))


def metg(report: Report) -> None:
    """The driver waits for each step; the pool chooses the workers."""
    with MPIPoolExecutor(max_workers=stencil.POINTS) as pool:

        def run_step(step: int, inputs: list[list[int]], iterations: int) -> list[int]:
            points = range(stencil.POINTS)
            pending = [pool.submit(stencil.task, step, point, inputs[point], iterations) for point in points]
            return [each.result() for each in pending]

        report(stencil.metg(stencil.waiting(run_step)))
