"""One row of the matrix: what goes wrong, what must hold then, and what came of it when it was run.

A row is a function of a ``Run``: it makes its faults, fails an assertion where the invariant does not hold, and hands
in figures. Figures are set against their goals in the report and never fail a row, since a slow machine may miss them.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any, NamedTuple

from tests.chaos.ledger import Ledger
from tests.system.grids import ANY_NUMBER, Grid
from tests.system.ssh_hosts import Namespace, SshHosts
from tests.system.watching import MARK, processes_with

from softgrid import Orchestrator

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"logToStdout": False}


class Unavailable(Exception):
    """This machine cannot make the fault, for that reason."""


class Figure(NamedTuple):
    """Something measured; *goal* is the most (or with *at_least* the least) that it should be."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether it is as good as it should be."""
        return self.goal is None or (self.value >= self.goal if self.at_least else self.value <= self.goal)


class Row(NamedTuple):
    """A row as it stands in the list."""

    name: str
    fault: str
    invariant: str
    peers: str
    run: Callable[[Run], None]
    is_quick: bool
    """Whether the tests run it too."""
    limit_s: float
    is_long: bool
    """Whether it holds out for minutes and measures no time, so that several of its kind may run beside each other."""


ROWS: dict[str, Row] = {}


def row(
    name: str,
    fault: str,
    invariant: str,
    *,
    peers: str = "-",
    quick: bool = False,
    limit_s: float = 120.0,
    is_long: bool = False,
) -> Callable[[Callable[[Run], None]], Callable[[Run], None]]:
    """Put a function on the list."""

    def add(run: Callable[[Run], None]) -> Callable[[Run], None]:
        ROWS[name] = Row(name, fault, invariant, peers, run, quick, limit_s, is_long)
        return run

    return add


class Run:
    """One run of one row, in a process of its own."""

    def __init__(self, folder: Path, seed: int, *, is_quick: bool, minutes: float) -> None:
        self.folder = folder
        self.seed = seed
        self.is_quick = is_quick
        self.minutes = minutes
        self.random = random.Random(seed)
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        self.ledger = Ledger(folder / "ledger")
        self._grids: list[Grid] = []
        self._endings: list[Callable[[], Any]] = []

    def figure(
        self, name: str, value: float, unit: str = "", goal: float | None = None, *, at_least: bool = False
    ) -> None:
        """Hand in something measured."""
        self.figures.append(Figure(name, value, unit, goal, at_least))

    def note(self, text: str) -> None:
        """Say something about how it was run."""
        self.notes.append(text)

    def lost(self, missing: int, submitted: int) -> None:
        """Hand in how many calls were never answered: none may be."""
        self.figure("lost", missing, f"of {submitted}", 0)
        assert missing == 0, f"{missing} of {submitted} calls were never answered"

    def doubled(self) -> None:
        """Hand in how many tasks were begun twice, as the ledger has it: none may be."""
        self.figure("run twice", sum(count > 1 for count in self.ledger.runs().values()), "", 0)
        self.ledger.check_at_most_once()

    def orphans(self) -> None:
        """Hand in how many processes of this run are alive, when none should be."""
        self.figure("orphans", len(self.processes()), "", 0)

    def times(self, count: int, when_quick: int) -> int:
        """How often to repeat something."""
        return when_quick if self.is_quick else count

    def lasting(self, seconds: float, when_quick: float) -> float:
        """For how long to hold something out."""
        return when_quick if self.is_quick else seconds

    def grid(self, routers: int = 0, managers: int = 0, workers: int = 1, rules: Any = None, **kwargs: Any) -> Grid:
        """Make a grid in this process that ends with the row: a chain downwards."""
        kwargs.setdefault("logKwargs", QUIET)
        grid = Grid(Orchestrator(rules={**ANY_NUMBER, **(rules or {})}, **kwargs))
        self._grids.append(grid)
        grid.routers = grid.launch("Router", count=routers) if routers else []
        grid.managers = grid.launch("Manager", (grid.routers or [None])[0], managers) if managers else []
        grid.workers = grid.launch("Worker", (grid.managers or grid.routers or [None])[0], workers) if workers else []
        return grid

    def full_tree(self, **kwargs: Any) -> Grid:
        """Make the tree of the reference: two routers, two managers below each, two workers below each of those."""
        grid = self.grid(workers=0)
        grid.routers = grid.launch("Router", count=2, **kwargs)
        grid.managers = grid.launch("Manager", [name for name in grid.routers for _ in "ab"], **kwargs)
        grid.workers = grid.launch("Worker", [name for name in grid.managers for _ in "ab"], **kwargs)
        return grid

    def hosts(self) -> SshHosts:
        """Make machines that are reached over ssh; they are taken away with the row."""
        marked: Any = SimpleNamespace(folder=self.folder.parent / "traces", mark=os.environ[MARK])
        made = SshHosts(self.folder, marked)
        self.at_end(made.close)
        return made

    def namespace(self) -> Namespace:
        """Make a network of its own, which is taken away with the row."""
        made = Namespace()
        self.at_end(made.close)
        return made

    def tests(self, *where: str) -> None:
        """Have the tests of the project run that assert what the row is about."""
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", "--timeout", "120"]
        words += ["--basetemp", str(self.folder / "pytest"), *where]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        last = (done.stdout.strip().splitlines() or [""])[-1]
        counts = {what: int(count) for count, what in re.findall(r"(\d+) (passed|failed|skipped|error)", last)}
        assert done.returncode == 0, f"{counts}: {done.stdout[-1500:]}"
        if not counts.get("passed"):
            raise Unavailable(f"all tests of it are skipped: {done.stdout[-300:]}")
        self.figure("tests passed", counts["passed"], f"of {sum(counts.values())}")
        self.figure("tests failed", counts.get("failed", 0) + counts.get("error", 0), "", 0)
        self.note(f"By the tests {', '.join(where)}.")

    def at_end(self, ending: Callable[[], Any]) -> None:
        """Have something done when the row is over, however it ends."""
        self._endings.append(ending)

    def close(self) -> None:
        """Take everything down again."""
        for grid in self._grids:
            grid.O.disconnect(kill=False)
        for ending in reversed(self._endings):
            ending()

    def processes(self) -> dict[int, str]:
        """All processes that this run has caused, but for this one."""
        found = processes_with(MARK, os.environ[MARK])
        found.pop(os.getpid(), None)
        return found


def until(condition: Callable[[], Any], limit_s: float, what: str) -> float:
    """Wait for something that must come; gives how many seconds that took. Fails when it does not."""
    began = monotonic()
    while not condition():
        assert monotonic() - began < limit_s, f"waited {limit_s:g} s in vain: {what}"
        sleep(0.0005)
    return monotonic() - began


class Meanwhile:
    """A call that runs in a thread, when it was answered and with what."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.answer: Any = None
        self.answered_at = 0.0
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.answer = self._call()
        self.answered_at = monotonic()

    @property
    def is_over(self) -> bool:
        """Whether it was answered."""
        return not self._thread.is_alive()

    def wait(self, limit_s: float) -> Any:
        """Give the answer, which must come."""
        self._thread.join(limit_s)
        assert self.is_over, f"not answered after {limit_s:g} s"
        return self.answer
