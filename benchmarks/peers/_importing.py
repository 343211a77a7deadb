"""The workload ``import``, the same for every taker: one statement in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.calls import Report


def time_import(statement: str) -> Callable[[Report], None]:
    """Make the function that times ``python -c <statement>``."""

    def importing(report: Report) -> None:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        report({"wall_ms": 1000 * (time.perf_counter() - start)})

    return importing
