"""A relaunched executor gets back what it had: its role, name, place and rules, and what it was given to keep."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import pid_in, wait_until

pytestmark = pytest.mark.system

BACK: dict[str, Any] = {"executorKwargs": {"relaunch": True}}
MANAGERS_RUN = {"manager_allow_executing_udf": True}


def killed(grid: Grid, name: str, plural: str = "workers") -> str:
    """Kill an executor; gives the one that comes in its place as soon as it is known."""
    before = set(getattr(grid.O, plural))
    os.kill(pid_in(name), signal.SIGKILL)
    (heir,) = wait_until(lambda: set(getattr(grid.O, plural)) - before, what="an heir is there")
    return str(heir)


def double(number: int) -> int:
    return 2 * number


def test_an_heir_has_what_its_orchestrator_gave_it_before_anybody_can_ask(make_grid: MakeGrid, tmp_path: Path) -> None:
    grid = make_grid(managers=1, workers=0)
    one, other = grid.launch("Worker", grid.managers[0], count=2, **BACK)
    package = tmp_path / "shapes_of_heirs.py"
    package.write_text("def area(side): return side ** 2\n")
    O = grid.O  # noqa: E741  (what everybody calls it)
    assert all(O.transfer_add_data("primes", [2, 3, 5], [one, other]))
    assert O.transfer_add_data("primes", [2, 3, 5, 7], one)
    assert O.transfer_add_object("model", {"slope": 2}, one)
    assert O.transfer_add_udf("double", double, False, one)
    assert O.transfer_add_package(str(package), one)
    assert grid.one("add_file", "notes", "today.txt", "rain", to=one)
    assert O.transfer_add_data("gone", 1, one)
    assert O.transfer_pop_data("gone", one) == 1
    heir = killed(grid, one)
    # the very first thing that is asked for:
    assert O.transfer_get_data("primes", heir) == [2, 3, 5, 7]
    assert O.transfer_get_object("model", heir) == {"slope": 2}
    assert grid.one("double", 21, to=heir) == 42
    assert grid.one("lambda: __import__('shapes_of_heirs').area(3)", to=heir) == 9
    assert grid.one("get_file", "notes", to=heir) == "rain"
    assert O.transfer_get_data("gone", heir, default="nothing", mustExist=False) == "nothing"
    assert O.transfer_get_data("primes", other) == [2, 3, 5]
    second = killed(grid, heir)
    assert O.transfer_get_data("primes", second) == [2, 3, 5, 7]
    third = killed(grid, other)
    assert O.transfer_get_data("primes", third) == [2, 3, 5]


def test_an_heir_has_what_its_upgrid_gave_it(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=0, rules=MANAGERS_RUN)
    (worker,) = grid.launch("Worker", grid.managers[0], **BACK)
    gives = "lambda manager, worker: bool(manager.transfer_add_data('primes', [2, 3], worker))"
    assert grid.one(gives, worker, to=grid.managers[0], first=True) is True
    heir = killed(grid, worker)
    assert grid.O.transfer_get_data("primes", heir) == [2, 3]


def test_below_an_heir_all_have_again_what_the_orchestrator_gave_them(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    (router,) = grid.launch("Router", **BACK)
    (manager,) = grid.launch("Manager", router, **BACK)
    workers = grid.launch("Worker", manager, count=2, **BACK)
    assert all(grid.O.transfer_add_data("place", name, name) for name in (router, manager, *workers))
    os.kill(pid_in(router), signal.SIGKILL)
    wait_until(lambda: len(grid.O.workers) == 2 and not set(grid.O.workers) & set(workers), what="all are back")
    (router_heir,), (manager_heir,) = grid.O.routers, grid.O.managers
    assert grid.O.transfer_get_data("place", router_heir) == router
    assert grid.O.transfer_get_data("place", manager_heir) == manager
    assert sorted(grid.O.transfer_get_data("place", grid.O.workers)) == sorted(workers)


def test_an_heir_has_its_role_name_place_and_rules(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=2, workers=0)
    own = {"name": "Ada", "relaunch": 7, "rules": {"timeout_long": 77}, "heartbeatTolerance": 33}
    (worker,) = grid.launch("Worker", grid.managers[1], executorKwargs=own)
    heir = killed(grid, worker)
    asked = "lambda e: (e.role, e.name, e.gridPath, e.rules['timeout_long'], e.relaunch, e.heartbeatTolerance)"
    path = [grid.O.gridUniqueName, grid.managers[1], heir]
    assert grid.one(asked, to=heir, first=True) == ("worker", "Ada", path, 77, 7, 33)


def test_what_is_too_large_to_be_remembered_is_not_and_that_is_said(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules={"relaunch_maximum_remembered": 100_000})
    said = grid.listen()
    (worker,) = grid.launch("Worker", **BACK)
    assert grid.O.transfer_add_data("large", bytes(200_000), worker)
    assert grid.O.transfer_add_data("first", bytes(60_000), worker)
    assert grid.O.transfer_add_data("second", bytes(60_000), worker)
    heir = killed(grid, worker)
    kept = [grid.O.transfer_get_data(name, heir, mustExist=False) is not None for name in ("large", "first", "second")]
    assert kept == [False, False, True]
    grid.O.disconnect(kill=False)
    for name in ("large", "first"):
        text = f"who is launched anew will be without data '{name}': the rule 'relaunch_maximum_remembered' = 100000"
        assert said.count(text) == 1


def test_a_name_that_was_taken_is_not_given_again(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    (worker,) = grid.launch("Worker", **BACK)
    assert grid.O.transfer_add_data("primes", [2], worker)
    assert not grid.O.transfer_add_data("primes", [4], worker, replace=False)
    assert grid.O.transfer_get_data("primes", killed(grid, worker)) == [2]


def test_what_a_bounce_gave_is_given_again(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=0)
    workers = grid.launch("Worker", grid.managers[0], count=2, **BACK)
    assert all(grid.O.transfer_add_data("primes", [2], grid.managers, bounce=[workers]))
    assert grid.O.transfer_get_data("primes", killed(grid, workers[1])) == [2]


def test_who_is_never_launched_anew_costs_no_memory(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1)
    assert grid.O.transfer_add_data("primes", [2], grid.workers)
    assert grid.O.transfer_add_data("own", [2], grid.O.gridUniqueName)
    assert len(grid.O._node._giving._keepsakes) == 0


def test_who_is_killed_as_asked_is_forgotten(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    (worker,) = grid.launch("Worker", **BACK)
    assert grid.O.transfer_add_data("primes", [2], worker)
    assert len(grid.O._node._giving._keepsakes) == 1
    assert grid.O.kill_executor(worker)
    wait_until(lambda: len(grid.O._node._giving._keepsakes) == 0, what="nothing is remembered for it")
