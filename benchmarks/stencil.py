"""How small a task may be: METG(50 %) of Task Bench (Slaughter et al., SC20), stencil pattern.

A grid of steps x points: each task needs what its neighbours and itself gave in the step before. With the same
number of tasks, the work of each is halved until much less than half of the best rate of work is left; the smallest
*granularity* (workers x wall time / tasks) that has half of it is what is wanted. As many points as workers, so
that nothing is left to hide latency behind. What every task gives depends on all it was given, and is checked
against the same computed here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from benchmarks.calls import Metrics

POINTS = 2
LONGEST_S = 0.1
SHORTEST_S = 10e-6
EACH_S = 0.15
TRIES = 3
FEWEST_STEPS = 4
MOST_STEPS = 1000
HALF = 0.5
ENOUGH = 0.3

RunStep = Callable[[int, "list[list[int]]", int], "list[int]"]
"""``run_step(step, inputs of each point, iterations)`` gives what the tasks of a step gave."""
Run = Callable[[int, int], "list[int]"]
"""``run(steps, iterations)`` gives what the tasks of the last step gave."""


class Point(NamedTuple):
    """How it went with tasks of one size: workers x wall time / tasks, and iterations per second of all workers."""

    granularity_s: float
    rate: float


# -- the pattern -----------------------------------------------------------------------------------


def task(step: int, point: int, inputs: Sequence[int], iterations: int) -> int:
    """Compute for a while, then mix what came in."""
    value = 0.5
    for _ in range(iterations):
        value = value * 0.999 + 0.001
    mixed = step * 31 + point + (value > 1)
    for each in inputs:
        mixed = (mixed * 1_000_003 + each) & 0xFFFFFFFF
    return mixed


def inputs_of(results: Sequence[Any]) -> list[list[Any]]:
    """What each point of the next step needs: the last results of its neighbours and its own."""
    return [list(results[max(0, point - 1) : point + 2]) for point in range(POINTS)]


def waiting(run_step: RunStep) -> Run:
    """Run the pattern with the driver waiting for each step."""

    def run(steps: int, iterations: int) -> list[int]:
        results = [0] * POINTS
        for step in range(steps):
            results = run_step(step, inputs_of(results), iterations)
        return results

    return run


run_here = waiting(
    lambda step, inputs, iterations: [task(step, point, inputs[point], iterations) for point in range(POINTS)]
)


# -- the measurement -------------------------------------------------------------------------------


def metg(run: Run) -> Metrics:
    """Halve the work of a task until much less than half of the best rate is left."""
    speed = iterations_per_second()
    run(FEWEST_STEPS, 0)
    points = [best_of(run, int(speed * LONGEST_S), FEWEST_STEPS)]
    kernel_s = LONGEST_S / 2
    while kernel_s > SHORTEST_S and points[-1].rate > ENOUGH * max(point.rate for point in points):
        points.append(best_of(run, int(speed * kernel_s), steps_for(points[-1].granularity_s)))
        kernel_s /= 2
    empty = best_of(run, 0, steps_for(points[-1].granularity_s))
    return {"metg_ms": 1000 * at_half(points), "step_ms": 1000 * empty.granularity_s}


def steps_for(step_s: float) -> int:
    """How many steps to run when one takes that long."""
    return max(FEWEST_STEPS, min(MOST_STEPS, int(EACH_S / step_s)))


def best_of(run: Run, iterations: int, steps: int) -> Point:
    """Run the pattern a few times; the fastest is the one that was disturbed least."""
    expected = run_here(steps, 0)
    best = math.inf
    for _ in range(TRIES):
        start = time.perf_counter()
        results = run(steps, iterations)
        best = min(best, time.perf_counter() - start)
        if results != expected:
            raise RuntimeError(f"{steps} steps gave {results} instead of {expected}")
    return Point(best / steps, POINTS * steps * iterations / best)


def at_half(points: Sequence[Point]) -> float:
    """Find the smallest granularity that has half of the best rate.

    Between two points the rate is taken as linear in 1 / granularity, which it is where each task has a fixed cost.
    """
    half = HALF * max(point.rate for point in points)
    found = [pair for pair in pairwise(points) if pair[1].rate < half <= pair[0].rate]
    if not found:
        raise RuntimeError("no granularity was found at which half of the best rate is left")
    large, small = found[-1]
    share = (large.rate - half) / (large.rate - small.rate)
    return 1 / ((1 - share) / large.granularity_s + share / small.granularity_s)


def iterations_per_second() -> float:
    """How fast the kernel runs here, roughly: it only chooses the sizes."""
    start = time.perf_counter()
    task(0, 0, (), 200_000)
    return 200_000 / (time.perf_counter() - start)
