"""``dask.distributed`` with a ``LocalCluster`` of processes, one thread each, no dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster

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
RTT_CALLS = 300
MANY_CALLS = 2000

importing = time_import("import distributed")


@contextmanager
def cluster(workers: int) -> Iterator[Client]:
    """A client of a cluster whose workers are all there."""
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as local,
        Client(local) as client,
    ):
        client.wait_for_workers(workers)
        yield client


def rtt1(report: Report) -> None:
    """A task pinned to the worker; ``pure=False`` so that it runs each time."""
    with cluster(1) as client:
        worker = next(iter(client.scheduler_info()["workers"]))
        report(p50_us(lambda: client.submit(noop, workers=[worker], pure=False).result(), RTT_CALLS))


def throughput(report: Report) -> None:
    """``submit`` each, then ``gather``."""
    with cluster(2) as client:

        def run(calls: int) -> None:
            pending = [client.submit(noop, pure=False) for _ in range(calls)]
            check_results(client.gather(pending), calls)

        report(calls_per_second(run, MANY_CALLS))


def grid211(report: Report) -> None:
    """Sixteen workers, each asked once; 160 did not come up within minutes on two cores."""
    watch = Stopwatch()
    with cluster(WORKERS) as client:
        check_results(list(client.run(noop).values()), WORKERS)
        metrics = watch.launched(WORKERS)
        report({**metrics, **memory_and_idle(1 + WORKERS), "note": f"{WORKERS} workers"})


def first_result(report: Report) -> None:
    """A cluster of one worker."""
    watch = Stopwatch()
    with cluster(1) as client:
        client.submit(noop, pure=False).result()
        report(watch.ready())
