"""``python -m tests.chaos.one ROW FOLDER SEED quick|whole MINUTES``: one row in this process, one line of JSON.

Started by the runner, which gives it an environment by which its processes and files are found. Here is looked at what
only this process can see: its descriptors and threads, before and after.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from _pytest.outcomes import Skipped  # the harness of the tests says so what a machine lacks
from tests.chaos.row import ROWS, Run, Unavailable

KEPT, BROKEN, CANNOT = "kept", "broken", "cannot run here"
SETTLES_S = 3.0


def descriptors() -> list[str]:
    """What this process has open, but for the one by which we look."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{number}").partition(":[")[0])
    return sorted(found)


def threads() -> list[str]:
    """The threads of this process."""
    return sorted(thread.name for thread in threading.enumerate())


def run_row(name: str, run: Run) -> tuple[str, str | None]:
    """Run it; gives the verdict, and why it is not 'kept'."""
    try:
        try:
            ROWS[name].run(run)
        finally:
            run.close()
    except (Unavailable, Skipped) as error:
        return CANNOT, str(error)
    except BaseException as error:
        traceback.print_exc()
        return BROKEN, f"{type(error).__name__} at {_place(error)}: {str(error)[:300]}".replace("\n", " ")
    return KEPT, None


def _place(error: BaseException) -> str:
    """Where it was raised: the last of our own lines."""
    lines = [line for line in traceback.extract_tb(error.__traceback__) if "/tests/" in line.filename]
    return (
        f"{os.path.basename(lines[-1].filename)}:{lines[-1].lineno} '{lines[-1].line}'" if lines else "nowhere of ours"
    )


def warm_up() -> None:
    """Load and open what stays loaded and open once it was used."""
    from softgrid import Orchestrator

    Orchestrator(logKwargs={"logToStdout": False}).disconnect(kill=False)
    gc.collect()


def main(name: str, folder: str, seed: str, how: str, minutes: str) -> int:
    from tests.chaos.rows import load

    load()
    warm_up()
    before: tuple[Any, Any] = descriptors(), threads()
    run = Run(Path(folder), int(seed), is_quick=how == "quick", minutes=float(minutes))
    began = monotonic()
    verdict, reason = run_row(name, run)
    took_s = monotonic() - began
    if verdict == KEPT:
        deadline = monotonic() + SETTLES_S
        while len(descriptors()) > len(before[0]) or len(threads()) > len(before[1]):
            if monotonic() > deadline:
                verdict, reason = (
                    BROKEN,
                    f"left behind in this process: {descriptors()}, {threads()} (before: {before})",
                )
                break
            gc.collect()
            sleep(0.02)
    line = {"verdict": verdict, "reason": reason, "took_s": took_s, "notes": run.notes}
    print("\n" + json.dumps({"row": name, **line, "figures": [each._asdict() for each in run.figures]}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
