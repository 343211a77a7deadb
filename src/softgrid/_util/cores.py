"""The cores of this machine that are ours."""

from __future__ import annotations

import os


def own_cores() -> int:
    """Give the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
