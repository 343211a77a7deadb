"""What an executor costs as the grid grows: to launch, to reach with a broadcast call, to have idle.

Costs per executor at several sizes of the grid, and how each total grows: the exponent e of size ** e between the sizes
100 and 1000, where fixed costs no longer hide anything; 1 is linear. Drawn by ``benchmarks.plot``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

from benchmarks.calls import Metrics, check_results, noop
from benchmarks.procfs import SETTLE_S, cpu_seconds_of_this_run, pss_mib_of_this_run

SIZES = (10, 100, 500, 1000)
FROM_SIZE = 100
NOTHING = 1e-9
BROADCASTS = 7
RECORDS = 5
PATIENCE_S = 60.0
IDLE_S = 5.0


class Figures(NamedTuple):
    """Costs per executor of one grid."""

    executors: int
    launch_ms: float
    launch_cpu_ms: float
    call_us: float
    call_cpu_us: float
    idle_ppm: float
    pss_kib: float
    top_launch_us: float
    top_call_us: float
    top_record_us: float


COSTS = tuple(field for field in Figures._fields if field != "executors")


def figures_of(top: Any, executors: int, launch: Callable[[Any, int], None]) -> Figures:
    """Measure a grid of that many executors, the orchestrator *top* and the processes around included."""
    launched = _costs(lambda: launch(top, executors))
    below = [*top.routers, *top.managers, *top.workers]
    call = top.get_transfer_template(noop)
    for _ in range(2):
        _call(top, call, below)
    called = [_costs(lambda: _call(top, call, below)) for _ in range(BROADCASTS)]
    time.sleep(SETTLE_S)
    idle = _costs(lambda: time.sleep(IDLE_S))
    wall, cpu, top_cpu = (median(costs[place] for costs in called) for place in range(3))
    return Figures(
        executors,
        1e3 * launched[0] / executors,
        1e3 * launched[1] / executors,
        1e6 * wall / executors,
        1e6 * cpu / executors,
        1e6 * idle[1] / idle[0] / executors,
        1024 * pss_mib_of_this_run() / executors,
        1e6 * launched[2] / executors,
        1e6 * top_cpu / executors,
        1e6 * _record_cost(top, below),
    )


def metrics(figures: Sequence[Figures]) -> Metrics:
    """The costs at the largest grid, how each grows, and all figures for the picture."""
    last = figures[-1]._asdict()
    return {
        **{cost: last[cost] for cost in COSTS},
        **{f"{cost}_exponent": exponent(figures, cost) for cost in COSTS},
        "figures": [each._asdict() for each in figures],
    }


def medians(runs: Sequence[Sequence[Figures]]) -> list[Figures]:
    """One run out of several: the median of each figure at each size."""
    return [
        Figures(*(median(values) for values in zip(*same_size, strict=True))) for same_size in zip(*runs, strict=True)
    ]


def exponent(figures: Sequence[Figures], cost: str) -> float:
    """How the total of a cost grows with the size of the grid: 1 is linear."""
    first = next(each for each in figures if each.executors >= FROM_SIZE)
    last = figures[-1]
    per_executor = (getattr(last, cost) + NOTHING) / (getattr(first, cost) + NOTHING)
    return 1 + math.log(per_executor) / math.log(last.executors / first.executors)


def say(executor: Any) -> None:
    """Run by each executor: say something in the log, as a program under way would."""
    for number in range(RECORDS):
        executor.log_and_transfer("info", f"step {number} is done, and another hundred lie ahead")


def _record_cost(top: Any, below: list[str]) -> float:
    """CPU seconds of the orchestrator for a record that any of *below* says."""
    saying = top.get_transfer_template(say)
    saying["first_argument_executor"] = True
    own, before = time.process_time(), top.statistics()["log_records_written"]
    _call(top, saying, below)
    deadline = time.monotonic() + PATIENCE_S
    while top.statistics()["log_records_written"] < before + RECORDS * len(below):
        if time.monotonic() > deadline:
            raise RuntimeError("not all records have come")
        time.sleep(0.01)
    return (time.process_time() - own) / (RECORDS * len(below))


def _call(top: Any, call: Any, below: list[str]) -> None:
    check_results(top.transfer(call, below, collect=True), len(below))


def _costs(work: Callable[[], Any]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds of all processes of this run, and of this process."""
    cpu, own, start = cpu_seconds_of_this_run(), time.process_time(), time.perf_counter()
    work()
    wall, used = time.perf_counter() - start, time.process_time() - own
    return wall, cpu_seconds_of_this_run() - cpu, used
