"""Executors of one kind are copies of one that their supervisor made ahead; each is somebody of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import pid_in

pytestmark = pytest.mark.system

ONE, OTHER = {"name": "one", "relaunch": False}, {"name": "other", "relaunch": 3, "permanentDir": "elsewhere"}


def launch(grid: Grid, kwargs: list[dict[str, Any]]) -> list[str]:
    _, successful, failed = grid.O.launch_worker([grid.O.address] * len(kwargs), executorKwargs=kwargs)
    assert failed == []
    return [item["gridUniqueName"] for item in successful]


def who(self: Any) -> dict[str, Any]:
    import os

    return {
        "gridUniqueName": self.gridUniqueName,
        "uniqueName": self.uniqueName,
        "password": self.password,
        "port": self.port,
        "pid": self.pid,
        "real_pid": os.getpid(),
        "born": self.UTCStartTime,
        "path": self.gridPath,
        "home": os.path.dirname(self.add_file("f", "a", "text").data),
    }


def told_by(grid: Grid, names: list[str]) -> list[dict[str, Any]]:
    template = grid.O.get_transfer_template(who)
    template["first_argument_executor"] = True
    return list(grid.O.transfer(template, names, collect=True))


def test_nothing_that_is_one_executors_own_is_anothers(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    names = launch(grid, [ONE] * 5)
    told = told_by(grid, names)
    assert [each["gridUniqueName"] for each in told] == names
    assert [each["path"] for each in told] == [[grid.O.gridUniqueName, name] for name in names]
    assert [each["pid"] for each in told] == [each["real_pid"] for each in told] == list(map(pid_in, names))
    for own in ("gridUniqueName", "uniqueName", "password", "port", "pid", "born", "home"):
        assert len({each[own] for each in told}) == 5, own


def test_kinds_are_not_mixed_up(make_grid: MakeGrid) -> None:
    def kind(self: Any) -> tuple[str, Any]:
        return self.name, self.relaunch

    grid = make_grid(workers=0)
    names = launch(grid, [ONE, OTHER, OTHER, ONE, ONE, OTHER, ONE, ONE, ONE])
    template = grid.O.get_transfer_template(kind)
    template["first_argument_executor"] = True
    kinds = grid.O.transfer(template, names, collect=True)
    assert kinds == [(name.split("|")[1].split("@")[0], 3 if "|other@" in name else False) for name in names]
    assert [kind for kind, _ in kinds] == ["one", "other", "other", "one", "one", "other", "one", "one", "one"]


def test_what_comes_for_one_is_seen_by_no_other(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    names = launch(grid, [ONE] * 4)
    calls = [
        grid.O.get_transfer_template("lambda a: (int(a[0]), int(a.sum()))", (np.full(30_000, n),)) for n in range(64)
    ]
    results = grid.O.transfer(calls, [names[n % 4] for n in range(64)], collect=True)
    assert results == [(n, 30_000 * n) for n in range(64)]


def test_what_one_keeps_and_changes_is_not_anothers(make_grid: MakeGrid) -> None:
    def change(self: Any) -> bool:
        self._node.rules["overload_machine_rules"]["elsewhere"] = {}
        return bool(self.add_data("mine", 7))

    def seen(self: Any) -> Any:
        return self.get_data("mine", default="nothing", mustExist=False), self.rules["overload_machine_rules"]

    grid = make_grid(workers=0)
    first, *others = launch(grid, [ONE] * 4)
    calls = [grid.O.get_transfer_template(function) for function in (change, seen)]
    for call in calls:
        call["first_argument_executor"] = True
    assert grid.O.transfer(calls[0], [first], collect=True) == [True]
    assert grid.O.transfer(calls[1], [first, *others], collect=True) == [(7, {"elsewhere": {}}), *[("nothing", {})] * 3]


def test_one_that_cannot_begin_says_why_however_many_of_its_kind_there_were(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    taken = {"port": grid.O.port, "portFetch": False}
    for _ in range(3):
        statuses, _, failed = grid.O.launch_worker(grid.O.address, executorKwargs=taken, timeout=10)
        assert len(failed) == 1
        assert str(grid.O.port) in statuses[0].error
    assert len(launch(grid, [ONE])) == 1
