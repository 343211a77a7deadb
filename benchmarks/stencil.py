"""How small a task may be: METG(50 %) of Task Bench (Slaughter et al., SC20), stencil pattern.

A grid of steps x points: each task needs what its neighbours and itself gave in the step before. The work of each
task is halved until less than half of the rate is left at which as many bare processes work that wait for nobody;
the *granularity* there (workers x wall time / tasks) is what is wanted. The bare processes take turns with the
pattern, so that what else the machine does hinders both. As many points as workers, so that nothing is left to hide
latency behind. What every task gives depends on all it was given, and is checked against the same computed here.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from benchmarks.calls import Metrics

POINTS = 2
FIRST_S = 0.004
LONGEST_S = 0.3
SHORTEST_S = 10e-6
EACH_S = 0.1
TRIES = 3
FEWEST_STEPS = 4
MOST_STEPS = 1000
HALF = 0.5
ENOUGH = 0.3

RunStep = Callable[[int, "list[list[int]]", int], "list[int]"]
"""``run_step(step, inputs of each point, iterations)`` gives what the tasks of a step gave."""
Run = Callable[[int, int], "list[int]"]
"""``run(steps, iterations)`` gives what the tasks of the last step gave."""


Unhindered = Callable[[int, int], float]
"""``unhindered(steps, iterations)``: seconds that bare processes take for as many tasks without waiting for anybody."""


class Point(NamedTuple):
    """How it went with tasks of one size: workers x wall time / tasks, and the share of the unhindered rate."""

    granularity_s: float
    efficiency: float


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
    """Find the granularity at which half of the unhindered rate is left."""
    run(FEWEST_STEPS, 0)
    with bare_processes() as unhindered:
        points = scan(lambda iterations, steps: point_of(run, unhindered, iterations, steps), iterations_per_second())
        empty = point_of(run, unhindered, 0, steps_for(points[-1].granularity_s))
    return {"metg_ms": 1000 * at_half(points), "step_ms": 1000 * empty.granularity_s}


def scan(measure: Callable[[int, int], Point], speed: float) -> list[Point]:
    """Measure tasks of several sizes, from large to small, of which the first has half of the rate and the last not."""
    points = [measure(int(speed * FIRST_S), steps_for(FIRST_S))]
    kernel_s = FIRST_S
    while points[0].efficiency < HALF and kernel_s < LONGEST_S:
        kernel_s *= 2
        points.insert(0, measure(int(speed * kernel_s), steps_for(points[0].granularity_s)))
    kernel_s = FIRST_S
    while points[-1].efficiency > ENOUGH and kernel_s > SHORTEST_S:
        kernel_s /= 2
        points.append(measure(int(speed * kernel_s), steps_for(points[-1].granularity_s)))
    return points


def steps_for(step_s: float) -> int:
    """How many steps to run when one takes that long."""
    return max(FEWEST_STEPS, min(MOST_STEPS, int(EACH_S / step_s)))


def point_of(run: Run, unhindered: Unhindered, iterations: int, steps: int) -> Point:
    """Run the pattern and the bare processes in turns."""
    expected = run_here(steps, 0)
    taken, efficiencies = [], []
    for _ in range(TRIES):
        bare_s = unhindered(steps, iterations)
        start = time.perf_counter()
        results = run(steps, iterations)
        taken.append(time.perf_counter() - start)
        efficiencies.append(bare_s / taken[-1] if iterations else 0.0)
        if results != expected:
            raise RuntimeError(f"{steps} steps gave {results} instead of {expected}")
    return Point(median(taken) / steps, median(efficiencies))


def at_half(points: Sequence[Point]) -> float:
    """Find the smallest granularity that has half of the unhindered rate.

    Between two points the rate is taken as linear in 1 / granularity, which it is where each task has a fixed cost.
    """
    found = [pair for pair in pairwise(points) if pair[1].efficiency < HALF <= pair[0].efficiency]
    if not found:
        raise RuntimeError(f"no granularity has half of the unhindered rate: {points}")
    large, small = found[-1]
    share = (large.efficiency - HALF) / (large.efficiency - small.efficiency)
    return 1 / ((1 - share) / large.granularity_s + share / small.granularity_s)


def iterations_per_second() -> float:
    """How fast the kernel runs here, roughly: it only chooses the sizes."""
    start = time.perf_counter()
    task(0, 0, (), 200_000)
    return 200_000 / (time.perf_counter() - start)


# -- processes that wait for nobody ----------------------------------------------------------------


@contextmanager
def bare_processes() -> Iterator[Unhindered]:
    """As many processes as there are points, each of which computes when it is told, one task after the other."""
    command = [sys.executable, "-m", __name__]
    bare = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for _ in range(POINTS)
    ]

    def unhindered(steps: int, iterations: int) -> float:
        start = time.perf_counter()
        for each in bare:
            each.stdin.write(f"{steps} {iterations}\n")  # type: ignore[union-attr]
        for each in bare:
            each.stdout.readline()  # type: ignore[union-attr]
        return time.perf_counter() - start

    try:
        unhindered(1, 0)
        yield unhindered
    finally:
        for each in bare:
            each.communicate()


def compute_as_told() -> None:
    """Be one of them."""
    for line in sys.stdin:
        steps, iterations = map(int, line.split())
        for step in range(steps):
            task(step, 0, (), iterations)
        print("done", flush=True)


if __name__ == "__main__":
    compute_as_told()
