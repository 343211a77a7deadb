"""``dask.distributed`` with a ``LocalCluster`` of processes, one thread each, no dashboard."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, LocalCluster

from benchmarks import bulk, stencil
from benchmarks.calls import (
    Report,
    Stopwatch,
    calls_per_second,
    check_results,
    noop,
    p50_us,
)
from benchmarks.over_ssh import BareMachine, bare_machine, report_bulk, report_first
from benchmarks.peers._importing import time_import
from benchmarks.procfs import memory_and_idle, pss_mib_of_this_run

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


@contextmanager
def one_worker() -> Iterator[bulk.Call]:
    """The array is scattered straight to the worker, and the function called on it."""
    with cluster(1) as client:
        yield lambda function, array: client.submit(
            function, client.scatter(array, hash=False, direct=True), pure=False
        ).result()


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


bulk64 = bulk.one_worker_workload(64, one_worker)
bulk512 = bulk.one_worker_workload(512, one_worker)


def broadcast16(report: Report) -> None:
    """``scatter`` with ``broadcast``, and a task pinned to each worker."""
    with cluster(WORKERS) as client:
        workers = list(client.scheduler_info(n_workers=-1)["workers"])

        def call_each(function: Any, array: Any) -> list[Any]:
            kept = client.scatter(array, hash=False, broadcast=True)
            pending = [client.submit(function, kept, workers=[worker], pure=False) for worker in workers]
            answers: list[Any] = client.gather(pending)
            return answers

        report(bulk.broadcast_beside_copy(64, WORKERS, call_each, pss_mib_of_this_run))


def metg(report: Report) -> None:
    """Each point pinned to its worker; all steps are handed over at once, results as dependencies."""
    with cluster(stencil.POINTS) as client:
        workers = list(client.scheduler_info(n_workers=-1)["workers"])

        def run(steps: int, iterations: int) -> list[int]:
            results: list[Any] = [0] * stencil.POINTS
            for step in range(steps):
                results = [
                    client.submit(stencil.task, step, point, inputs, iterations, workers=[workers[point]], pure=False)
                    for point, inputs in enumerate(stencil.inputs_of(results))
                ]
            last: list[int] = client.gather(results)
            return last

        report(stencil.metg(run))


@contextmanager
def cluster_over_ssh(machine: BareMachine) -> Iterator[Client]:
    """A scheduler and a worker there, in a Python that has dask: this one."""
    from distributed import SSHCluster

    options = {"port": machine.port, "client_keys": [machine.identity], "known_hosts": None}
    with (
        SSHCluster(
            [machine.address] * 2,
            connect_options=options,
            worker_options={"nthreads": 1},
            scheduler_options={"port": 0, "dashboard": False},
            remote_python=sys.executable,
        ) as afar,
        Client(afar) as client,
    ):
        client.wait_for_workers(1)
        yield client


def ssh_first(report: Report) -> None:
    """Two connections; what runs there is installed there."""
    with bare_machine() as machine:
        entered = cluster_over_ssh(machine)
        try:
            report_first(report, machine, lambda: entered.__enter__().submit(int, 1).result())
        finally:
            entered.__exit__(None, None, None)


def ssh_bulk(report: Report) -> None:
    """Its data goes past ssh, in plain text."""
    with bare_machine() as machine, cluster_over_ssh(machine) as client:
        report_bulk(
            report,
            lambda data: client.submit(len, client.scatter(bytes(data), hash=False, direct=True), pure=False).result(),
            lambda size: len(client.submit(bytes, size, pure=False).result()),
            machine.send,
            machine.fetch,
        )
