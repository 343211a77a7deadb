"""Starts a row in a process of its own, ends it when it hangs, and looks for what it has left on the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos.one import BROKEN, KEPT
from tests.chaos.row import ROWS, Figure
from tests.system.grids import Traces

QUICK_S = 90.0
"""No row takes a tenth of this in the measure of the tests, on a machine that has time."""
ROOT = Path(__file__).resolve().parents[2]


class Outcome(NamedTuple):
    """What came of a row."""

    row: str
    verdict: str
    reason: str | None
    took_s: float
    figures: list[Figure]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON can carry it."""
        return {**self._asdict(), "figures": [figure._asdict() for figure in self.figures]}


def outcome_from(told: dict[str, Any]) -> Outcome:
    """Read an outcome that was written down."""
    figures = [Figure(**figure) for figure in told["figures"]]
    return Outcome(told["row"], told["verdict"], told["reason"], told["took_s"], figures, told["notes"])


def run_once(name: str, seed: int, *, is_quick: bool = False, minutes: float = 10.0) -> Outcome:
    """Run a row and pass the leak gate: afterwards no process, file or segment of it is left."""
    with tempfile.TemporaryDirectory(prefix="sgchaos-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        (folder / "traces").mkdir()
        (folder / "row").mkdir()
        traces = Traces(folder / "traces")
        limit_s = QUICK_S if is_quick else ROWS[name].limit_s + (minutes * 60 if ROWS[name].is_long else 0)
        how = "quick" if is_quick else "whole"
        words = [sys.executable, "-m", "tests.chaos.one", name, str(folder / "row"), str(seed), how, str(minutes)]
        environment = {**os.environ, **traces.environment(), "PYTHONPATH": str(ROOT)}
        with open(folder / "out", "w") as out, open(folder / "err", "w") as err:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd=traces.folder / "cwd",
                start_new_session=True,
            )
        hung = _await_end(child, limit_s)
        outcome = _read(name, (folder / "out").read_text(), (folder / "err").read_text(), limit_s, hung=hung)
        try:
            traces.check_gone()
        except AssertionError as error:
            if outcome.verdict == KEPT or not hung:
                outcome = outcome._replace(verdict=BROKEN, reason=f"{outcome.reason or ''} {error}".strip()[:400])
        return outcome


def _await_end(child: subprocess.Popen[bytes], limit_s: float) -> bool:
    try:
        child.wait(limit_s)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return True
    return False


def _read(name: str, out: str, err: str, limit_s: float, *, hung: bool) -> Outcome:
    for line in reversed(out.splitlines()):
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and told.get("row") == name:
                if told["verdict"] == BROKEN:
                    print(err[-4000:], file=sys.stderr)
                return outcome_from(told)
    why = f"it hung for {limit_s:g} s" if hung else f"it ended without an answer: {err.strip()[-300:]}"
    return Outcome(name, BROKEN, why, limit_s, [], [])
