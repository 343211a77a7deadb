"""``python -m benchmarks._one <taker> <workload>``: one repeat, one line of JSON.

Started by the runner in a fresh process. The line is printed as soon as the figures are known,
before the taker shuts down, so that a shutdown that hangs costs the deadline and not the figures.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback

from benchmarks.calls import Metrics
from benchmarks.plan import ONE_CORE, stem


def say(metrics: Metrics, reason: str | None = None, *, hopeless: bool = False) -> None:
    """Print the one line."""
    line = {"benchmark": 1, "metrics": metrics, "reason": reason, "hopeless": hopeless}
    print("\n" + json.dumps(line), flush=True)


def function_name(taker: str, workload: str) -> str:
    """Name of the function that does *workload* in the module of *taker*."""
    variant = taker.removesuffix(ONE_CORE).partition("-")[2]
    name = "importing" if workload == "import" else workload
    return f"{variant}_{name}" if variant else name


def main(taker: str, workload: str) -> int:
    """Run *workload* by *taker*; whatever goes wrong becomes the reason in the line."""
    if taker.endswith(ONE_CORE):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    said: list[Metrics] = []

    def report(metrics: Metrics) -> None:
        said.append(metrics)
        say(metrics)

    try:
        module = importlib.import_module(f"benchmarks.peers.{stem(taker)}")
    except ImportError as error:
        say({}, f"not installed: {error}", hopeless=True)
        return 0
    try:
        getattr(module, function_name(taker, workload))(report)
    except BaseException as error:
        traceback.print_exc()
        if not said:
            say({}, f"{type(error).__name__}: {error}"[:200])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
