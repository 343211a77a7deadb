"""The call that is timed, and the clock around it.

Every peer and every floor calls the same ``noop``, importable by name in any process whose path
holds the repository, and times it with the same functions. Nothing here knows a peer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any

RTT_CALLS = 3000
WARM_CALLS = 300
MANY_CALLS = 20_000
IDLE_S = 20.0

Metrics = dict[str, Any]
Report = Callable[[Metrics], None]


def noop() -> None:
    """Do nothing."""


def p50_us(call: Callable[[], object], calls: int = RTT_CALLS) -> Metrics:
    """Median microseconds of *call*, one after the other, warm."""
    for _ in range(max(10, calls * WARM_CALLS // RTT_CALLS)):
        call()
    taken = []
    clock = time.perf_counter_ns
    for _ in range(calls):
        start = clock()
        call()
        taken.append(clock() - start)
    taken.sort()
    metrics: Metrics = {"p50_us": taken[calls // 2] / 1000}
    if calls != RTT_CALLS:
        metrics["note"] = f"{calls:,} calls"
    return metrics


def times_us(call: Callable[[], object], calls: int, warm: int = 10) -> list[float]:
    """Microseconds of each *call*, one after the other, without the first *warm*."""
    clock = time.perf_counter_ns
    stamps = [clock()]
    for _ in range(warm + calls):
        call()
        stamps.append(clock())
    return [(end - start) / 1000 for start, end in pairwise(stamps)][warm:]


def calls_per_second(run: Callable[[int], object], calls: int = MANY_CALLS) -> Metrics:
    """Calls per second of *run*, which makes as many calls as it is told and takes the results."""
    run(max(2, calls // 100))
    start = time.perf_counter()
    run(calls)
    metrics: Metrics = {"calls_s": calls / (time.perf_counter() - start)}
    if calls != MANY_CALLS:
        metrics["note"] = f"{calls:,} calls"
    return metrics


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def ready(self) -> Metrics:
        """The figure of ``first_result``."""
        return {"ready_ms": 1000 * (time.perf_counter() - self._start)}

    def launched(self, executors: int) -> Metrics:
        """The launch figures of ``grid211``."""
        seconds = time.perf_counter() - self._start
        return {"launch_s": seconds, "launch_each_ms": 1000 * seconds / executors}


def check_results(results: Iterable[object], expected: int) -> None:
    """Refuse a figure that comes from calls that did not all succeed."""
    if not isinstance(results, list):
        with suppress(TypeError):
            results = list(results)
    if not isinstance(results, list):
        raise RuntimeError(f"expected {expected} results, got {results!r}")
    bad = [result for result in results if result is not None]
    if len(results) != expected or bad:
        raise RuntimeError(f"expected {expected} results of None, got {len(results)}: {bad[:1]!r}")
