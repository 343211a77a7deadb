"""``multiprocessing.managers``: one ``BaseManager`` server process per worker, and a proxy of it that is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.managers import BaseManager
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

WORKERS = 16

importing = time_import("from multiprocessing.managers import BaseManager")


class Caller:
    """What a server process holds."""

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function there."""
        return function(*args)


class Manager(BaseManager):
    """A server process with a ``Caller``."""


Manager.register("Caller", Caller)


@contextmanager
def callers(count: int) -> Iterator[list[Any]]:
    """Proxies of as many server processes, all of which have answered."""
    with ExitStack() as stack:
        proxies: list[Any] = []
        for _ in range(count):
            manager = stack.enter_context(Manager())
            proxies.append(manager.Caller())  # type: ignore[attr-defined]
        check_results([proxy.call(noop) for proxy in proxies], count)
        yield proxies


@contextmanager
def one_caller() -> Iterator[bulk.Call]:
    """The call of one server process."""
    with callers(1) as (proxy,):
        yield proxy.call


def rtt1(report: Report) -> None:
    """One proxy."""
    with callers(1) as (proxy,):
        report(p50_us(lambda: proxy.call(noop)))


def throughput(report: Report) -> None:
    """A blocking proxy per worker, in a thread each, half of the calls each."""
    with callers(2) as proxies, ThreadPoolExecutor(2) as threads:

        def run(calls: int) -> None:
            halves = threads.map(lambda proxy: [proxy.call(noop) for _ in range(calls // 2)], proxies)
            check_results([result for half in halves for result in half], calls)

        report(calls_per_second(run))


def grid211(report: Report) -> None:
    """Sixteen server processes, one after the other; 160 take half a minute."""
    watch = Stopwatch()
    with callers(WORKERS):
        metrics = watch.launched(WORKERS)
        report({**metrics, **memory_and_idle(1 + WORKERS), "note": f"{WORKERS} workers"})


def first_result(report: Report) -> None:
    """One server process."""
    watch = Stopwatch()
    with callers(1):
        report(watch.ready())


bulk64 = bulk.one_worker_workload(64, one_caller)
bulk512 = bulk.one_worker_workload(512, one_caller)


def broadcast16(report: Report) -> None:
    """A thread and a proxy per worker: the array is pickled for each."""
    with callers(WORKERS) as proxies, ThreadPoolExecutor(WORKERS) as threads:
        report(
            bulk.broadcast_beside_copy(
                64,
                WORKERS,
                lambda function, array: threads.map(lambda proxy: proxy.call(function, array), proxies),
                pss_mib_of_this_run,
            )
        )


def metg(report: Report) -> None:
    """A thread and a proxy per worker; the driver waits for each step."""
    with callers(stencil.POINTS) as proxies, ThreadPoolExecutor(stencil.POINTS) as threads:

        def run_step(step: int, inputs: list[list[int]], iterations: int) -> list[int]:
            calls = [(proxies[point], step, point, inputs[point], iterations) for point in range(stencil.POINTS)]
            return list(threads.map(lambda call: call[0].call(stencil.task, *call[1:]), calls))

        report(stencil.metg(stencil.waiting(run_step)))
