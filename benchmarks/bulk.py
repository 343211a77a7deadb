"""Arrays to workers and back, set beside ``a.copy()`` of the same array in the same process.

What is timed takes turns with the copy, iteration by iteration, and an iteration gives relations, so that neither
the machine's mood nor the order favours anybody. Everything is warm: copy and calls have each run ``WARM`` times
before the first that counts. For the copy that means pages which the machine has handed out before; the allocator
gives them back and fetches them again each time, as it does in any program. The first call is told as well, as
*first*.

The array differs at every call and the answer is checked: nobody can answer from a cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from statistics import median
from typing import Any

import numpy as np

from benchmarks.calls import Metrics, Report

MEGABYTE = 1_000_000
WARM = 2
MOST_ITERATIONS = 12
LEAST_BUDGET_S, BUDGET_S_PER_MEGABYTE = 2.5, 0.0125
WARM_BROADCASTS = 1
MOST_BROADCASTS = 8
BROADCASTS_BUDGET_S = 3.0

Array = Any
Call = Callable[..., Any]
"""Calls a function of this module at one worker, with an array: ``call(total, array)``."""


# -- what workers run ------------------------------------------------------------------------------

_held: Array = None


def total(array: Array) -> float:
    """Read all of it."""
    return float(array.sum())


def echo(array: Array) -> Array:
    """Send it back."""
    return array


def write(array: Array) -> float:
    """Write to all of it; where it came read-only, to a copy."""
    if not array.flags.writeable:
        array = array.copy()
    array += 1
    return float(array[-1])


def hold(array: Array) -> float:
    """Keep it until the next one comes."""
    global _held
    _held = array
    return 0.0 if array is None else float(array[0])


# -- one worker ------------------------------------------------------------------------------------


def make_array(megabytes: int) -> Array:
    """Doubles with a sum that is exact."""
    return np.arange(megabytes * MEGABYTE // 8, dtype=np.float64) % 1024


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """How long *run* takes, and what it gives; the clock has stopped before anything of it is freed."""
    start = time.perf_counter()
    given = run()
    return time.perf_counter() - start, given


class Trial:
    """One array, changed before each call."""

    def __init__(self, megabytes: int) -> None:
        self.array = make_array(megabytes)
        self._sum = float(self.array[1:].sum())
        self._target = np.zeros_like(self.array)
        self._number = 0
        self.taken: dict[str, list[float]] = {}
        self.first_s = 0.0

    def copy(self) -> None:
        """Time a copy, and one into memory that is there already."""
        self._note("copy", seconds(self.array.copy)[0])
        self._note("into", seconds(lambda: np.copyto(self._target, self.array))[0])

    def call(self, key: str, function: Call, call: Call) -> None:
        """Time a call, and check its answer."""
        self._number += 1
        self.array[0] = self._number
        taken, answer = seconds(lambda: call(function, self.array))
        self._note(key, taken)
        self._check(function, answer)

    def _check(self, function: Call, answer: Any) -> None:
        if function is total:
            answer, expected = [answer], [self._sum + self._number]
        elif function is write:
            answer, expected = [answer], [self.array[-1] + 1]
        else:
            answer = [len(answer), answer[0], answer[-1]]
            expected = [len(self.array), self._number, self.array[-1]]
        if answer != expected:
            raise RuntimeError(f"{function.__name__} gave {answer} instead of {expected}")

    def _note(self, key: str, taken: float) -> None:
        self.taken.setdefault(key, []).append(taken)

    def drop(self, warm: int) -> None:
        """Forget what was there to warm up, but for the first sum."""
        self.first_s = self.taken["sum"][0]
        self.taken = {key: each[warm:] for key, each in self.taken.items()}

    def relation(self, key: str, base: str) -> float:
        """Median over the iterations of *key* against *base*."""
        return median(a / b for a, b in zip(self.taken[key], self.taken[base], strict=True))


def beside_copy(megabytes: int, call: Call, relayed: Call | None = None) -> Metrics:
    """Time sum, echo and write of an array by *call*, and over a longer way by *relayed*, beside copies of it."""
    trial = Trial(megabytes)
    for way in filter(None, (call, relayed)):
        way(total, trial.array[:10].copy())  # the worker imports what it needs
    calls = [("sum", total, call), ("echo", echo, call), ("write", write, call)]
    if relayed is not None:
        calls += [("sum_relayed", total, relayed), ("echo_relayed", echo, relayed)]
    stop = time.monotonic() + max(LEAST_BUDGET_S, megabytes * BUDGET_S_PER_MEGABYTE)
    warm = WARM
    while len(trial.taken.get("copy", ())) < warm + MOST_ITERATIONS:
        trial.copy()
        for each in calls:
            trial.call(*each)
        iterations = len(trial.taken["copy"])
        if time.monotonic() > stop:
            warm = min(warm, iterations)  # one alone has to do for the slow
            if iterations > warm:
                break
    trial.drop(warm)
    metrics: Metrics = {f"{key}_x": trial.relation(key, "copy") for key, _, _ in calls if "relayed" not in key}
    metrics |= {f"{key}_x": trial.relation(key, key[:-8]) for key, _, _ in calls if "relayed" in key}
    metrics["first_x"] = trial.first_s / median(trial.taken["copy"])
    metrics["copy_ms"] = 1000 * median(trial.taken["copy"])
    metrics["into_ms"] = 1000 * median(trial.taken["into"])
    if iterations - warm < MOST_ITERATIONS:
        metrics["note"] = f"{iterations - warm} iterations"
    return metrics


def one_worker_workload(
    megabytes: int, one_worker: Callable[[], AbstractContextManager[Call]]
) -> Callable[[Report], None]:
    """Make the workload of a taker from its way to call one worker."""

    def workload(report: Report) -> None:
        with one_worker() as call:
            report(beside_copy(megabytes, call))

    return workload


# -- many workers ----------------------------------------------------------------------------------


def broadcast_beside_copy(
    megabytes: int, workers: int, call_each: Callable[[Call, Array], Iterable[Any]], memory_mib: Callable[[], float]
) -> Metrics:
    """Time one array to many workers that keep it, beside copies of it; and what memory it costs while they do.

    *call_each* calls a function with an array at each worker and gives the answers; *memory_mib* is asked before any
    of the workers had any such array, and while all have the first.
    """
    array = make_array(megabytes)
    for _ in range(2):  # the workers import what they need
        list(call_each(hold, array[:10].copy()))
    before = memory_mib()
    taken: dict[str, list[float]] = {"copy": [], "hold": []}
    metrics: Metrics = {}
    stop = 0.0
    for number in range(WARM_BROADCASTS + MOST_BROADCASTS):
        array[0] = number
        taken["copy"].append(seconds(array.copy)[0])
        held, answers = seconds(lambda: list(call_each(hold, array)))
        if answers != [float(number)] * workers:
            raise RuntimeError(f"{workers} workers hold {set(answers)} instead of {number}")
        taken["hold"].append(held)
        if not number:
            metrics["memory_x"] = (memory_mib() - before) * 2**20 / array.nbytes
            stop = time.monotonic() + BROADCASTS_BUDGET_S
        list(call_each(hold, None))
        if number >= WARM_BROADCASTS and time.monotonic() > stop:
            metrics["note"] = f"{number} broadcasts"
            break
    warm = {key: each[WARM_BROADCASTS:] for key, each in taken.items()}
    metrics["hold_x"] = median(a / b for a, b in zip(warm["hold"], warm["copy"], strict=True))
    metrics["first_x"] = taken["hold"][0] / median(taken["copy"])
    metrics["copy_ms"] = 1000 * median(warm["copy"])
    return metrics
