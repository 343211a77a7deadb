"""The page of the matrix: what each row came to when it was last run, kept beside it as JSON and renewed row by row."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.chaos.one import BROKEN, CANNOT, KEPT
from tests.chaos.row import ROWS, Figure
from tests.chaos.runner import ROOT, Outcome, outcome_from

_LOCK = threading.Lock()
HEAD = """\
# Reliability

What happens to a grid when something goes wrong, row by row: what is done to it, what must hold then, what was measured
here, the goal, and what others come to. Written by `make chaos`; a row can be run alone: `make chaos CHAOS="K1 N5"`.

Every row runs in a process of its own, seeded, with two checks that no row can pass by: the *ledger* (each call was
answered exactly once, nothing ran twice that must not) and the *leak gate* (processes, files, sockets, shared memory,
descriptors and threads afterwards as before).

* **kept**: the invariant held. A figure that misses its goal says so, in bold.
* **broken**: the invariant did not hold; the reason follows.
* **cannot run here**: this machine cannot make the fault; that is no pass.

Figures of others: [M] were measured on a two-core virtual machine (Debian 12, Python 3.11.7; Dask distributed 2026.8.0,
ipyparallel 9.2.0, Parsl 2026.10.26, Ray 2.60.0, loky 3.7.0), single runs, good to a factor; the rest is from their
documentation or issue trackers, as named.
"""


def write(path: Path, outcomes: list[Outcome], seed: int, minutes: float) -> None:
    """Renew what was run by now, keep the rest, and write the page."""
    kept_at = path.with_suffix(".json")
    with _LOCK:
        known: dict[str, Any] = json.loads(kept_at.read_text()) if kept_at.exists() else {}
        for outcome in outcomes:
            known[outcome.row] = {"stamp": stamp(), "seed": seed, "minutes": minutes, **outcome.as_dict()}
        kept_at.write_text(json.dumps({name: known[name] for name in ROWS if name in known}, indent=1) + "\n")
        path.write_text(render(known))


def stamp() -> str:
    """When and on what it was run."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return f"{datetime.date.today()}, commit {commit or 'unknown'}"


def render(known: dict[str, Any]) -> str:
    """Make the page."""
    machine = (
        f"This machine: {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}.\n"
    )
    counts = [
        f"{sum(known.get(name, {}).get('verdict') == verdict for name in ROWS)} {verdict}"
        for verdict in (KEPT, BROKEN, CANNOT)
    ]
    missing = [name for name in ROWS if name not in known]
    summary = f"{len(ROWS)} rows: {', '.join(counts)}" + (f"; not run yet: {' '.join(missing)}" if missing else "")
    lines = [HEAD, machine, summary + ".\n"]
    lines += ["| row | fault | invariant | here | goal | others |", "|---|---|---|---|---|---|"]
    for name, row in ROWS.items():
        here, goal = _cells(outcome_from(known[name]) if name in known else None)
        lines.append(f"| {name} | {row.fault} | {row.invariant} | {here} | {goal} | {row.peers} |")
    lines += ["", "## How it was run", ""]
    for name in ROWS:
        if name in known:
            told = known[name]
            notes = " ".join(told["notes"])
            lines.append(f"* {name}: {told['stamp']}, seed {told['seed']}, {told['took_s']:.1f} s. {notes}".rstrip())
    return "\n".join(lines) + "\n"


def _cells(outcome: Outcome | None) -> tuple[str, str]:
    if outcome is None:
        return "not run yet", ""
    said = outcome.verdict if outcome.verdict == KEPT else f"**{outcome.verdict}**"
    if outcome.reason:
        said += f": {outcome.reason.replace('|', '/')}"
    figures = [shown_figure(figure) for figure in outcome.figures]
    goals = [_goal(figure) for figure in outcome.figures if figure.goal is not None]
    return "; ".join([said, *figures]), "; ".join(goals)


def shown_figure(figure: Figure) -> str:
    """Give a figure as text, marked when it misses its goal."""
    text = f"{figure.name} {_number(figure.value)} {figure.unit}".rstrip()
    return text if figure.is_reached else f"**{text} (goal missed)**"


def _goal(figure: Figure) -> str:
    assert figure.goal is not None
    sign = "≥" if figure.at_least else "≤"
    return f"{figure.name} {sign if figure.goal else '='} {_number(figure.goal)} {figure.unit}".rstrip()


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
