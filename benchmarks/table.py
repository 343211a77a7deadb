"""Rows as an aligned Markdown table, which reads the same in a terminal and on a page.

Pure text; called by the command line and the page. It rounds for reading and judges nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.plan import FLOOR, Metric
from benchmarks.summary import Row, Verdict


def figure(value: float | None) -> str:
    """Three significant digits, thousands grouped; a dash for nothing."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) < 10 else 1
    return f"{value:.{digits}f}" if abs(value) >= 1 else f"{value:.3g}"


def metric_table(metric: Metric, rows: Sequence[Row]) -> str:
    """The table of one metric, a row per taker."""
    beside = {"ratio": f"x {FLOOR}", "extra": f"over {FLOOR}", "value": None}[metric.beside]
    head = ["", f"{metric.title}, {metric.unit}", "min - max", beside, "goal", "met", "n", "note"]
    body = [_cells(row, metric.unit) for row in rows]
    if beside is None:
        for cells in body:
            del cells[3]
    return aligned([[cell for cell in head if cell is not None], *body])


def _cells(row: Row, unit: str) -> list[str]:
    span = "-" if row.low is None else f"{figure(row.low)} - {figure(row.high)}"
    goal, met = verdict_cells(row.verdict, unit)
    return [
        row.taker,
        figure(row.value),
        span,
        figure(row.beside),
        goal,
        met,
        str(row.count),
        row.note.replace("|", "/").replace("\n", " "),
    ]


def verdict_cells(verdict: Verdict | None, unit: str) -> tuple[str, str]:
    """The goal in words, and ``yes`` or ``NO`` with the figure that decides."""
    if verdict is None:
        return "", ""
    goal = verdict.goal
    sign = "<=" if goal.at_most else ">="
    words = {
        "value": f"{sign} {goal.bound:g} {unit}",
        "ratio": f"{sign} {goal.bound:g} x {goal.base}",
        "extra": f"{sign} {goal.bound:g} {unit} over {goal.base}",
    }
    return words[goal.relation], f"{'yes' if verdict.met else 'NO'} ({figure(verdict.value)})"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with padded columns: the first and the last to the left, others right."""
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    last = len(widths) - 1

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if i in (0, last) else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([line(rows[0]), line(rule), *map(line, rows[1:])])
