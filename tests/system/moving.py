"""What the tests about moving much data share: two kinds of grid, and whether what was borrowed has come back.

Used by the tests of this folder; never by softgrid.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import ANY_NUMBER, Grid, Traces
from tests.system.watching import pid_in, wait_until

from softgrid import Orchestrator

HEAVY = "SOFTGRID_TEST_HEAVY"
heavy = pytest.mark.skipif(os.environ.get(HEAVY) != "1", reason=f"takes minutes or much memory: set {HEAVY}=1")

EVERYBODY_RUNS = {f"{role}_allow_executing_udf": True for role in ("orchestrator", "router", "manager")}
PER_SEGMENT = 2
"""Descriptors of a segment that is kept: its own, and the copy that a mapping of Python keeps."""
WAYS = ("shared", "streamed")
"""How large payloads travel: in memory that the kernel shares, or through the sockets, as between machines."""


@contextmanager
def a_chain(folder: Path, way: str) -> Iterator[Grid]:
    """A grid for the tests of a module that leave it as it was: orchestrator ─ router ─ manager ─ two workers."""
    traces = Traces(folder)
    before = {key: os.environ.get(key) for key in traces.environment()}
    os.environ.update(traces.environment())
    made = Grid(Orchestrator(rules={**ANY_NUMBER, **EVERYBODY_RUNS}, allowExecutingUDF=True))
    try:
        made.routers = made.launch("Router")
        made.managers = made.launch("Manager", made.routers[0])
        made.workers = made.launch("Worker", made.managers[0], 2)
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)
    if way == "streamed":
        pass_no_descriptors(made)
    yield made
    made.O.disconnect(kill=False)
    traces.check_gone()


def pass_no_descriptors(grid: Grid) -> None:
    """Have all links of a grid carry bytes only; its executors must be allowed to run functions of users."""
    assert bytes_only(grid, everybody_below(grid)) == [None] * len(everybody_below(grid))


def bytes_only(grid: Grid, names: list[str]) -> list[Any]:
    """Have all links of the orchestrator and of these executors carry bytes only."""

    def pass_none(executor: Any) -> None:
        for link in executor._node.links():
            link.passes_descriptors = False

    pass_none(grid.O)
    return grid.call(pass_none, to=names, first=True, priority=None)


# -- what is borrowed and must come back -----------------------------------------------------------


def descriptors_of(pid: int) -> dict[str, int]:
    """What the descriptors of a process are, and how many of each kind."""
    kinds: dict[str, int] = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:  # the one by which we look, or closed meanwhile
            continue
        kind = target.partition(":[")[0] if ":[" in target else target
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


class Borrowed:
    """Descriptors and segments of all executors of a grid at one moment, to be compared with later."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._pids = {name: pid_in(name) for name in (grid.O.gridUniqueName, *everybody_below(grid))}
        wait_until(lambda: not self.leased(), what="nothing is leased at the beginning")
        self._before = {name: self._descriptors(name) for name in self._pids}

    def _descriptors(self, name: str) -> int:
        """How many descriptors an executor has besides the segments that its pool keeps for next time."""
        free: int = self._grid.O.statistics(name)["segments_free"]
        return sum(descriptors_of(self._pids[name]).values()) - free * PER_SEGMENT

    def leased(self) -> dict[str, int]:
        """Who waits for segments to come back, and for how many."""
        counts = {name: self._grid.O.statistics(name)["segments_leased"] for name in self._alive()}
        return {name: count for name, count in counts.items() if count}

    def _alive(self) -> list[str]:
        below = set(everybody_below(self._grid))
        return [name for name in self._pids if name in below or name == self._grid.O.gridUniqueName]

    def more(self) -> dict[str, int]:
        """Who has more descriptors than before, and how many."""
        alive = self._alive()
        grown = {name: self._descriptors(name) - self._before[name] for name in alive}
        return {name: count for name, count in grown.items() if count > 0}

    def check_back(self) -> None:
        """Fail unless everything borrowed comes back soon."""
        wait_until(lambda: not self.leased(), what=f"segments come back: {self.leased()}")
        wait_until(lambda: not self.more(), what=f"descriptors come back: {self.more()}")


def everybody_below(grid: Grid) -> list[str]:
    """Names of all executors but the orchestrator."""
    return [*grid.O.routers, *grid.O.managers, *grid.O.workers]
