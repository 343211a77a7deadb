"""The table that is written and read, and the clock around it.

Every taker gets the same rows, made from a fixed seed, and must give the same rows back.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from benchmarks.calls import Metrics

ROWS = 200_000
CHUNK = 1000
REPEATS = 3
NAMES = ["number", "share", "word", "other"]
TYPES = [int, float, str, int]
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon zeta"]

Row = list[Any]


def make_rows() -> list[Row]:
    """The rows of the table."""
    chance = random.Random(20)
    return [[n, chance.random() * 1000, chance.choice(WORDS), chance.randrange(10**9)] for n in range(ROWS)]


def time_table(
    write: Callable[[list[Row]], object],
    read: Callable[[], list[Row] | None],
    read_in_parts: Callable[[], Iterable[Any]],
) -> Metrics:
    """Milliseconds of writing the table, of reading it whole (None: not as rows), and of reading it in parts."""
    rows = make_rows()
    metrics: Metrics = {"dump_ms": _median_ms(lambda: write(rows))}
    found = read()
    if found is not None and found != rows:
        raise RuntimeError(f"other rows came back: {found[:1]!r}, not {rows[:1]!r}")
    del found
    metrics["pull_ms"] = _median_ms(read)
    metrics["iter_ms"] = _median_ms(lambda: sum(map(len, read_in_parts())))
    return metrics


def _median_ms(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(REPEATS):
        gc.collect()
        start = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - start))
    return median(taken)
