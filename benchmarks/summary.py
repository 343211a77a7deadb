"""From repeats to rows: medians, relations to the floor, and whether a goal is met.

Pure: figures in, rows out. Relations are taken round by round (runs that stood next to each other
in time) and their median is given, so that a machine that is busier in one round than in the next
does not change them. Called by the command line and the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.plan import FLOOR, SOFTGRID, Goal, Metric, Relation, base_of
from benchmarks.runner import Run

Runs = Mapping[str, Sequence[Run]]


@dataclass(frozen=True)
class Row:
    """One taker's figure over all rounds; *value* is None where there is only a reason."""

    taker: str
    count: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    beside: float | None = None
    verdict: Verdict | None = None
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """Softgrid's figure as the goal reads it."""

    goal: Goal
    value: float
    met: bool


def takes_part(metric: Metric, runs: Sequence[Run]) -> bool:
    """Whether a taker has this figure, or failed to have any; some workloads give softgrid more figures than others."""
    return not any(run.is_measured for run in runs) or any(figure is not None for figure in series(metric, runs))


def row(metric: Metric, taker: str, runs: Runs) -> Row:
    """Sum up the rounds of *taker*."""
    figures = [f for f in series(metric, runs[taker]) if f is not None]
    note = _note(runs[taker])
    if not figures:
        return Row(taker, 0, note=note)
    goal = metric.goal if taker == SOFTGRID else None
    return Row(
        taker,
        len(figures),
        median(figures),
        min(figures),
        max(figures),
        beside(metric, taker, runs),
        verdict(metric, goal, taker, runs) if goal else None,
        note,
    )


def beside(metric: Metric, taker: str, runs: Runs) -> float | None:
    """The column beside the figure: against the floor, where the metric has one."""
    if metric.beside == "value":
        return None
    return relate(metric, metric.beside, taker, base_of(taker, FLOOR), runs)


def verdict(metric: Metric, goal: Goal, taker: str, runs: Runs) -> Verdict | None:
    """Whether *taker* meets *goal*; None where there is nothing to compare with."""
    value = relate(metric, goal.relation, taker, base_of(taker, goal.base), runs)
    if value is None:
        return None
    return Verdict(goal, value, value <= goal.bound if goal.at_most else value >= goal.bound)


def relate(metric: Metric, how: Relation, taker: str, base: str, runs: Runs) -> float | None:
    """Median over the rounds of *taker* against *base*."""
    ours = series(metric, runs.get(taker, ()))
    if how == "value":
        related = [figure for figure in ours if figure is not None]
    else:
        theirs = series(metric, runs.get(base, ()))
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=False) if a is not None and b]
        related = [a - b if how == "extra" else a / b for a, b in pairs]
    return median(related) if related else None


def series(metric: Metric, runs: Sequence[Run]) -> list[float | None]:
    """The figure of each round in order, None where the round gave none."""
    return [run.metrics.get(metric.key) if run.is_measured else None for run in runs]


def _note(runs: Sequence[Run]) -> str:
    notes = [str(run.metrics["note"]) for run in runs if run.metrics.get("note")]
    failures = [run.reason for run in runs if run.reason is not None]
    if failures and len(failures) < len(runs):
        notes.append(f"{len(failures)} of {len(runs)} runs failed: {failures[-1]}")
    elif failures:
        notes.append(failures[-1])
    if left := max((run.left for run in runs), default=0):
        notes.append(f"up to {left} processes outlived the run by 5 s")
    return "; ".join(dict.fromkeys(notes))
