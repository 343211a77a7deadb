"""Relaunching: who was lost comes back with those below it, where its upgrid stands by then; who left does not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeReactor
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R, tree_of

from softgrid._node.relaunching import Relaunching
from softgrid._wire.control import Message

HEIRS = {name: name.replace("[", "[9") for name in (A, A1, A2, R, B, B1)}


class Grid:
    """The executors of the small grid as the orchestrator launched them."""

    def __init__(self, **kwargs: Any) -> None:
        self.tree = tree_of(TOP)
        self.reactor = FakeReactor()
        self.asked: list[tuple[list[Message], Any]] = []
        self.said: list[tuple[str, str]] = []
        self.relaunching = Relaunching(
            self.reactor,  # type: ignore[arg-type]
            lambda items, on_results: self.asked.append((items, on_results)),
            lambda log_type, message: self.said.append((log_type, message)),
        )
        for member in self.tree.below():
            item = {"role": member.role, "upgrid": member.upgrid, "kwargs": {"name": member.parsed.name, **kwargs}}
            self.relaunching.on_launched(member.name, item)

    def loses(self, name: str, *, is_orderly: bool = False) -> None:
        self.relaunching.on_lost(self.tree.leave(name, "killed"), "killed", is_orderly)

    def take(self) -> list[tuple[str, str]]:
        """What is asked for when the wait is over: names, and under whom each is to stand."""
        self.reactor.run_timers()
        return [(item["kwargs"]["name"], item["upgrid"]) for items, _ in self.asked for item in items]

    def answer(self, *results: Message) -> None:
        """Answer the oldest question."""
        self.asked.pop(0)[1](list(results))

    def check_nothing_else(self) -> None:
        assert self.take() == []
        assert self.reactor.timers == []


def back(name: str) -> Message:
    return {"name": HEIRS[name]}


@pytest.fixture
def grid() -> Grid:
    return Grid()


def test_who_is_lost_is_launched_as_before_after_a_wait_and_that_is_said(grid: Grid) -> None:
    grid.loses(A1)
    assert grid.asked == []
    assert grid.take() == [("A1", A)]
    grid.answer(back(A1))
    assert grid.said == [("warn", f"{A1} was lost and is back as {HEIRS[A1]}")]
    grid.check_nothing_else()


@pytest.mark.parametrize("name", [A1, A, R])
def test_who_leaves_in_good_order_stays_away_with_all_below(grid: Grid, name: str) -> None:
    grid.loses(name, is_orderly=True)
    grid.check_nothing_else()
    assert grid.said == []


def test_who_was_not_launched_from_here_stays_away(grid: Grid) -> None:
    member = grid.tree.join(STRANGER, (TOP,), "hop", cores=1, now_utc=0.0)
    assert member.name == STRANGER
    grid.loses(STRANGER)
    grid.check_nothing_else()


def test_a_subtree_comes_back_from_its_top_down(grid: Grid) -> None:
    grid.loses(R)
    assert grid.take() == [("R", TOP)]
    grid.answer(back(R))
    assert grid.take() == [("B", HEIRS[R])]
    grid.answer(back(B))
    assert grid.take() == [("B1", HEIRS[B])]
    grid.answer(back(B1))
    grid.check_nothing_else()


def test_who_comes_back_below_an_heir_stands_under_the_heir(grid: Grid) -> None:
    grid.loses(A1)
    grid.loses(A)
    assert sorted(grid.take()) == [("A", TOP), ("A1", A)]
    grid.answer({"step": "rules", "reason": f"{A} is gone"})
    grid.answer(back(A))
    assert grid.take() == [("A2", HEIRS[A]), ("A1", HEIRS[A])]


def test_what_does_not_come_up_is_tried_again_until_its_budget_is_used_up() -> None:
    grid = Grid(relaunch=2)
    grid.loses(A1)
    for _ in range(2):
        assert grid.take() == [("A1", A)]
        grid.answer({"step": "start", "reason": "no memory"})
    grid.check_nothing_else()
    assert grid.said == [("error", f"{A1} is not launched anew: relaunch=2 is used up (no memory)")]


@pytest.mark.parametrize("relaunch", [False, 0])
def test_who_is_not_to_come_back_does_not_and_nothing_is_said(relaunch: Any) -> None:
    grid = Grid(relaunch=relaunch)
    grid.loses(A1)
    grid.loses(R)
    grid.check_nothing_else()
    assert grid.said == []


def test_an_heir_that_is_lost_comes_back_too_and_its_wait_is_longer(grid: Grid) -> None:
    grid.loses(A1)
    ((first, _),) = grid.reactor.timers
    grid.take()
    grid.answer(back(A1))
    grid.tree.join(HEIRS[A1], (TOP, A), A, cores=1, now_utc=0.0)
    grid.loses(HEIRS[A1])
    ((second, _),) = grid.reactor.timers
    assert second > first
    assert grid.take() == [("A1", A)]


def test_whose_heir_somebody_is_goes_along_and_is_expected_until_it_is_there(grid: Grid) -> None:
    assert not grid.relaunching.is_expected(A1, A)
    grid.loses(A1)
    grid.take()
    ((item,), _) = grid.asked[0]
    assert item["heir_of"] == A1
    assert grid.relaunching.is_expected(A1, A)
    assert not grid.relaunching.is_expected(A1, B)
    grid.answer(back(A1))
    assert not grid.relaunching.is_expected(A1, A)


def test_below_one_that_comes_back_those_stay_away_who_were_told_to_and_that_is_said_once() -> None:
    grid = Grid()
    item = {"role": "worker", "upgrid": A, "kwargs": {"name": "A1", "relaunch": False}}
    grid.relaunching.on_launched(A1, item)
    assert not grid.relaunching.may_return(A1)
    assert grid.relaunching.may_return(A2)
    grid.loses(A)
    assert grid.said == [("warn", f"{A1} stood below {A} and will not be launched anew with it")]
    assert grid.take() == [("A", TOP)]
    grid.answer(back(A))
    assert grid.take() == [("A2", HEIRS[A])]


def test_with_one_that_stays_away_those_below_it_do(grid: Grid) -> None:
    item = {"role": "manager", "upgrid": R, "kwargs": {"name": "B", "relaunch": 0}}
    grid.relaunching.on_launched(B, item)
    grid.loses(R)
    assert grid.said == [("warn", f"{B}, {B1} stood below {R} and will not be launched anew with it")]
    assert grid.take() == [("R", TOP)]
    grid.answer(back(R))
    grid.check_nothing_else()


def test_a_grid_that_is_over_launches_nobody(grid: Grid) -> None:
    grid.loses(A1)
    grid.relaunching.is_over = True
    grid.check_nothing_else()


# -- who asks for heirs is always told ------------------------------------------------------------


@pytest.mark.parametrize(
    ("relaunch", "is_orderly", "told"),
    [(True, False, []), (True, True, [R, B, B1]), (False, False, [R, B, B1])],
)
def test_of_everybody_who_does_not_come_back_that_is_told_once(relaunch: Any, is_orderly: bool, told: Any) -> None:
    grid, ended = Grid(relaunch=relaunch), []
    grid.relaunching.on_no_heir = ended.append
    grid.loses(R, is_orderly=is_orderly)
    assert sorted(ended) == sorted(told)


def test_when_the_budget_is_used_up_it_is_told_of_those_below_too() -> None:
    grid, ended, heirs = Grid(relaunch=1), [], []
    grid.relaunching.on_no_heir = ended.append
    grid.relaunching.on_heir = lambda lost, heir: heirs.append((lost, heir))
    grid.loses(A)
    grid.take()
    grid.answer({"step": "start", "reason": "no memory"})
    assert sorted(ended) == sorted([A, A1, A2])
    assert heirs == []


def test_who_was_not_launched_from_here_has_no_heir(grid: Grid) -> None:
    ended: list[str] = []
    grid.relaunching.on_no_heir = ended.append
    grid.tree.join(STRANGER, (TOP,), "hop", cores=1, now_utc=0.0)
    grid.loses(STRANGER)
    assert ended == [STRANGER]
