"""``mpi4py.futures.MPIPoolExecutor`` on the MPICH wheel, its workers spawned by the running script.

``mpiexec`` comes with the wheel and is put on the path; starting the script itself under it would
start the clock outside of the process that is timed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mpi4py.futures import MPIPoolExecutor

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

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

importing = time_import("from mpi4py.futures import MPIPoolExecutor")


def _meet() -> None:
    from mpi4py import MPI

    MPI.COMM_WORLD.Barrier()


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
