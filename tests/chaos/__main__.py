"""``python -m tests.chaos``: run rows of the matrix, say how far it is, and write the page.

Rows whose figures are times run one after the other; those that only hold out for minutes run beside each other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from tests.chaos import page
from tests.chaos.one import BROKEN
from tests.chaos.row import ROWS
from tests.chaos.rows import load
from tests.chaos.runner import ROOT, Outcome, run_once

PAGE = ROOT / "docs" / "reliability.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; gives 1 when an invariant was broken."""
    load()
    options = parse(argv)
    began = monotonic()
    outcomes: list[Outcome] = []

    def run(name: str) -> Outcome:
        outcome = run_once(name, options.seed, is_quick=options.quick, minutes=options.minutes)
        outcomes.append(outcome)
        _say(outcome, len(outcomes), len(options.rows), monotonic() - began)
        if options.write:
            page.write(options.write, [outcome], options.seed, options.minutes)
        return outcome

    for name in options.rows:
        if not ROWS[name].is_long:
            run(name)
    long_rows = [name for name in options.rows if ROWS[name].is_long]
    with ThreadPoolExecutor(max(1, len(long_rows))) as beside:
        list(beside.map(run, long_rows))
    return int(any(outcome.verdict == BROKEN for outcome in outcomes))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line, refusing rows that do not exist."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("rows", nargs="*", default=list(ROWS), metavar="K1", help="rows to run (default: all)")
    parser.add_argument("--seed", type=int, default=7, help="of everything that is left to chance (default 7)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the long rows hold out (default 10)")
    parser.add_argument("--quick", action="store_true", help="in the measure of the tests")
    parser.add_argument("--write", nargs="?", type=Path, const=PAGE, metavar="docs/reliability.md")
    options = parser.parse_args(argv)
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no such rows: {sorted(unknown)}; there are {' '.join(ROWS)}")
    return options


def _say(outcome: Outcome, done: int, count: int, elapsed_s: float) -> None:
    figures = ", ".join(map(page.shown_figure, outcome.figures))
    said = f"{outcome.verdict}{': ' + outcome.reason if outcome.reason else ''}{' | ' + figures if figures else ''}"
    print(f"[{elapsed_s:5.0f} s, {done}/{count}] {outcome.row} ({outcome.took_s:.1f} s): {said}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
