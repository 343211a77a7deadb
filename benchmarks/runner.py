"""Start one repeat as a fresh process with a deadline, and clean up after it.

Called by the command line. A run gets its own process group, its own temporary directory and a
cookie in its environment; only processes with that cookie are ever killed. A run that fails,
hangs or lacks its package becomes a reason, never an exception.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.procfs import COOKIE, pids_of_run

ROOT = Path(__file__).resolve().parents[1]
GRACE_S = 5.0


@dataclass(frozen=True)
class Run:
    """What one repeat gave: figures, or a reason why there are none; and what it left behind."""

    metrics: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    hopeless: bool = False
    left: int = 0

    @property
    def is_measured(self) -> bool:
        """Whether there are figures."""
        return self.reason is None


def run_once(taker: str, workload: str, deadline_s: float) -> Run:
    """Run ``python -m benchmarks._one`` in a fresh process."""
    return run_command([sys.executable, "-m", "benchmarks._one", taker, workload], deadline_s)


def run_command(command: list[str], deadline_s: float) -> Run:
    """Run *command* for no longer than the deadline and read its last line of JSON."""
    cookie = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(prefix="sgb-", ignore_cleanup_errors=True) as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        child = _start(command, scratch, cookie)
        try:
            timed_out = _wait(child, deadline_s)
        finally:
            _kill_group(child)
            left = _sweep(cookie)
        run = parse_run(out.read_text(errors="replace"), err.read_text(errors="replace"))
    ended = f"no end within {deadline_s:g} s" if timed_out else None
    if ended and not run.is_measured:
        return Run(reason=ended, left=left)
    notes = [note for note in (run.metrics.get("note"), ended) if note]
    return Run({**run.metrics, "note": "; ".join(notes)}, run.reason, run.hopeless, left)


def parse_run(out: str, err: str) -> Run:
    """Read the JSON line of a run out of whatever else its peer printed."""
    for line in reversed(out.splitlines()):
        with suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict) and "benchmark" in answer:
                return Run(answer["metrics"], answer["reason"], answer["hopeless"])
    last = [line.strip() for line in err.splitlines() if line.strip()][-1:]
    return Run(reason=f"no answer: {last[0][:160] if last else 'nothing on stderr'}")


def _start(command: list[str], scratch: str, cookie: str) -> subprocess.Popen[bytes]:
    # the run starts in another folder, where what was relative here would be lost
    inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = os.pathsep.join([str(ROOT), *map(os.path.abspath, inherited)])
    env = {**os.environ, COOKIE: cookie, "PYTHONPATH": path, "TMPDIR": scratch}
    # an installed package has its bytecode; one in a source tree must be allowed to keep it
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    with open(f"{scratch}/out", "wb") as out, open(f"{scratch}/err", "wb") as err:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=scratch,
            env=env,
            start_new_session=True,
        )


def _wait(child: subprocess.Popen[bytes], deadline_s: float) -> bool:
    try:
        child.wait(deadline_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _sweep(cookie: str) -> int:
    """Wait for stragglers of a run to leave, kill the rest, and say how many had to be."""
    deadline = time.monotonic() + GRACE_S
    while (left := pids_of_run(cookie)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)
