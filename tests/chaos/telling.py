"""Runs the story under a plan and judges what is left: of its calls, of its processes, of its files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.chaos.ledger import Ledger
from tests.system.grids import Traces

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
"""Longer than all deadlines of the story together; only used up by a story that hangs."""
LATE_S = 1.0
"""What the promise allows beyond a deadline; a machine that does other things gets as much again."""


class Told(NamedTuple):
    """How a story went."""

    status: int
    ledger: Ledger
    killed: str | None
    output: str


def tell(folder: Path, plan: str | None) -> Told:
    """Run the story; afterwards nothing of it may be left. Raises AssertionError for what is."""
    (folder / "traces").mkdir()
    traces = Traces(folder / "traces")
    work = folder / "work"
    work.mkdir()
    killed = work / "killed"
    environment = {**os.environ, **traces.environment(), "PYTHONPATH": str(ROOT)}
    if plan is not None:
        environment["SOFTGRID_CHAOS"] = f"{plan};once={killed}"
    with open(work / "out", "w") as out:
        story = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.story", str(work)],
            env=environment,
            cwd=traces.folder / "cwd",
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        status = story.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        story.kill()
        story.wait()
        traces.check_gone()
        raise AssertionError(f"the story hangs:\n{(work / 'ledger').read_text()}") from None
    traces.check_gone()
    output = (work / "out").read_text()
    return Told(status, Ledger(work / "ledger"), killed.read_text() if killed.exists() else None, output)


def check_steps(told: Told) -> float:
    """Fail unless every call was answered once and in time; gives by how much the latest was beyond its deadline."""
    begun, ended = told.ledger.lines("begin"), told.ledger.lines("end")
    open_steps = len(begun) - len(ended)
    was_killed = told.status == -signal.SIGKILL
    assert open_steps == 0 or (was_killed and open_steps == 1), f"never answered: {begun[len(ended) :]}"
    assert [line["step"] for line in begun[: len(ended)]] == [line["step"] for line in ended]
    late = [line["took_s"] - line["deadline_s"] for line in ended]
    assert max(late, default=0.0) <= 2 * LATE_S, [
        line for line in ended if line["took_s"] > line["deadline_s"] + LATE_S
    ]
    told.ledger.check_at_most_once()
    return max(late, default=0.0)


def check_borrowed(told: Told) -> None:
    """Fail unless the process that told the story to its end has the descriptors and threads that it began with."""
    (line,) = told.ledger.lines("borrowed")
    assert line["after"] <= line["before"], line
