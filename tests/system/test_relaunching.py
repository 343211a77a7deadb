"""Executors that die come back, with those below them, unless they were told not to or left by themselves."""

from __future__ import annotations

import os
import signal

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import pid_in, wait_until

pytestmark = pytest.mark.system

BACK = {"executorKwargs": {"relaunch": True}}


def test_a_killed_worker_comes_back_and_works(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    (before,) = grid.launch("Worker", **BACK)
    os.kill(pid_in(before), signal.SIGKILL)
    (after,) = wait_until(lambda: [name for name in grid.O.workers if name != before], what="the worker is back")
    assert grid.call(os.getpid, to=after) == [pid_in(after)]
    (status,) = grid.O.transfer(grid.template(os.getpid), before, collect=True)
    assert not status
    assert "SIGKILL" in str(status)


def test_a_killed_router_comes_back_with_its_subtree(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    (router,) = grid.launch("Router", **BACK)
    (manager,) = grid.launch("Manager", router, **BACK)
    workers = grid.launch("Worker", manager, count=2, **BACK)
    os.kill(pid_in(router), signal.SIGKILL)

    def all_back(o: Grid = grid) -> bool:
        return len(o.O.workers) == 2 and not set(o.O.workers) & set(workers)

    wait_until(all_back, what="both workers are back")
    assert len(grid.O.routers) == len(grid.O.managers) == 1
    assert router not in grid.O.routers
    grid.check_alive()


def test_who_leaves_stays_away(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    staying, leaving = grid.launch("Worker", count=2, **BACK)
    kwargs = grid.template(lambda worker: worker.disconnect(), first=True, returnResult=False)
    grid.O.transfer(kwargs, leaving)
    wait_until(lambda: grid.O.workers == [staying], what="the worker has left")
    os.kill(pid_in(staying), signal.SIGKILL)
    wait_until(lambda: grid.O.workers and grid.O.workers != [staying], what="the other is back")
    assert len(grid.O.workers) == 1
