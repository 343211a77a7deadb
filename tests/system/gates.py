"""Keep a worker busy until the test says otherwise, and note what it runs in which order."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from tests.system.grids import Grid
from tests.system.watching import wait_until

_numbers = count()


class Gate:
    """A call that runs on one worker until ``open``; later calls find it busy."""

    def __init__(self, grid: Grid, worker: str, folder: Path, **template: Any) -> None:
        self._path = folder / f"gate{next(_numbers)}"
        begun = folder / f"begun{next(_numbers)}"
        waiting = grid.template(_wait_for, str(begun), str(self._path), returnResult=False, **template)
        assert grid.O.transfer(waiting, worker) is None
        wait_until(begun.exists, what="the worker is busy")

    def open(self) -> None:
        """Let the worker go on."""
        self._path.touch()


def _wait_for(begun: str, gate: str) -> None:
    import os
    import time

    open(begun, "w").close()
    while not os.path.exists(gate):
        time.sleep(0.005)


def note(executor: Any, mark: Any) -> Any:
    """Run by workers, with the executor: notes the order in which calls run."""
    executor.__dict__.setdefault("_noted", []).append(mark)
    return mark


def take_noted(executor: Any) -> Any:
    """Run by workers, with the executor: what has been noted since last asked."""
    return executor.__dict__.pop("_noted", [])
