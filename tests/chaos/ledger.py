"""The ledger of tasks: who ran what how often, written by whoever runs, read by whoever judges.

Each line is one write with O_APPEND, so that processes which are killed leave whole lines and no order is needed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any


class Ledger:
    """One file of lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, what: str, **about: Any) -> None:
        """Add a line."""
        note(str(self.path), what, **about)

    def lines(self, what: str) -> list[dict[str, Any]]:
        """Give all lines of a kind."""
        if not self.path.exists():
            return []
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [line for line in found if line["what"] == what]

    def runs(self) -> Counter[str]:
        """How often each task was begun."""
        return Counter(line["task"] for line in self.lines("START"))

    def check_at_most_once(self) -> None:
        """Fail when a task was begun twice, by the same caller for the same receiver."""
        twice = {task: count for task, count in self.runs().items() if count > 1}
        assert not twice, f"begun more than once: {twice}"


def note(path: str, what: str, **about: Any) -> None:
    """Add a line to the ledger at *path*."""
    line = json.dumps({"what": what, "pid": os.getpid(), **about}) + "\n"
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def run_task(path: str, task: str) -> str:
    """Run by workers: a task that leaves its traces."""
    note(path, "START", task=f"{task} at {os.getpid()}")
    note(path, "END", task=f"{task} at {os.getpid()}")
    return task
