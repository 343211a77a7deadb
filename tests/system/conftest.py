"""Fixtures of the system tests: grids, scripts, and the check that each test leaves nothing behind.

Every test gets a folder for temporary files, a home and a working directory of its own; at its end no
process that it caused is alive and nothing is left in these folders.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import ANY_NUMBER, Grid, MakeGrid, Scripts, Traces
from tests.system.ssh_hosts import SshHosts
from tests.system.watching import COOKIE, processes_with

from softgrid import Globals, Orchestrator


@pytest.fixture(autouse=True)
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """Where this test may leave traces; checked at its end."""
    (tmp_path / "traces").mkdir()
    found = Traces(tmp_path / "traces")
    for key, value in found.environment().items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield found
    found.check_gone()


@pytest.fixture
def make_grid(traces: Traces) -> Iterator[MakeGrid]:
    """Makes grids that end with the test: ``make_grid(routers=0, managers=0, workers=1)``, a chain downwards."""
    made: list[Grid] = []

    def make(routers: int = 0, managers: int = 0, workers: int = 1, rules: Any = None, **kwargs: Any) -> Grid:
        grid = Grid(Orchestrator(rules={**ANY_NUMBER, **(rules or {})}, **kwargs))
        made.append(grid)
        grid.routers = grid.launch("Router", count=routers) if routers else []
        grid.managers = grid.launch("Manager", (grid.routers or [None])[0], managers) if managers else []
        grid.workers = grid.launch("Worker", (grid.managers or grid.routers or [None])[0], workers) if workers else []
        return grid

    yield make
    for grid in made:
        grid.O.disconnect(kill=False)


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """One grid for all tests that leave it as it was.

    orchestrator ─ router ─┬─ manager 0 ── worker 0, worker 1
                           └─ manager 1 ── worker 2
    """
    traces = Traces(tmp_path_factory.mktemp("grid"))
    with traces.applied():
        made = Grid(Orchestrator(password="a password", rules=ANY_NUMBER))
        made.routers = made.launch("Router")
        made.managers = made.launch("Manager", made.routers[0], 2)
        made.workers = made.launch("Worker", [made.managers[0], made.managers[0], made.managers[1]])
    cookie = made.cookie()
    yield made
    made.O.disconnect(kill=False)
    traces.check_gone()
    assert processes_with(COOKIE, cookie) == {}


@pytest.fixture
def scripts(tmp_path: Path, traces: Traces) -> Iterator[Scripts]:
    """Runs scripts that use softgrid, in processes of their own."""
    made = Scripts(tmp_path, traces)
    yield made
    for running in made.started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


@pytest.fixture
def hosts(tmp_path: Path, traces: Traces) -> Iterator[SshHosts]:
    """Makes machines that are reached over ssh: ``hosts.make('far')``; nothing may be left on them."""
    made = SshHosts(tmp_path, traces)
    yield made
    try:
        made.check_left()
    finally:
        made.close()


@pytest.fixture(scope="module")
def shared_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHosts]:
    """The same for all tests of a file that leave them, and the grid on them, as they were."""
    traces = Traces(tmp_path_factory.mktemp("shared_traces"))
    made = SshHosts(tmp_path_factory.mktemp("shared_hosts"), traces)
    yield made
    try:
        made.check_left()
    finally:
        made.close()
    traces.check_gone()


@pytest.fixture(scope="module")
def shared_grid(shared_hosts: SshHosts) -> Iterator[Grid]:
    """An orchestrator that finds these machines."""
    with shared_hosts.traces.applied():
        made = Grid(Orchestrator(rules={**ANY_NUMBER, **shared_hosts.rules}))
    yield made
    made.O.disconnect(kill=False)


@pytest.fixture(autouse=True)
def own_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no logger in this process yet: the first one decides for all what is written, and where."""
    monkeypatch.setattr(Globals.Logger, "_SingleLogger__thisInstance", None)
