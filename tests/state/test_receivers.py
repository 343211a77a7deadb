"""Receivers: every way of saying where to, widened to names in the order given, or refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R, tree_of

from softgrid._model.errors import BadArgument
from softgrid._state.receivers import (
    PROPAGATE,
    common_ways,
    expand_bounce,
    expand_bridging,
    expand_receivers,
    managers_with_workers,
    may_bridge,
    propagation,
)


@pytest.mark.parametrize(
    ("receivers", "names"),
    [
        ("routers", [R]),
        ("managers", [A, B]),
        ("workers", [A1, A2, B1]),
        (A1, [A1]),
        (STRANGER, [STRANGER]),
        ([A1, B1], [A1, B1]),
        ((B1, A1), [B1, A1]),
        ([A1, A1], [A1, A1]),
        ([], []),
        (["workers", A, "routers"], [A1, A2, B1, A, R]),
        ([[A, A1]], [A1]),
        ([[R, B, B1], A], [B1, A]),
        ([[TOP, R, B]], [B]),
        ([[TOP]], [TOP]),
        ([(A, A1)], [A1]),
    ],
)
def test_from_the_orchestrator(receivers: Any, names: list[str]) -> None:
    assert expand_receivers(tree_of(TOP), receivers) == names


@pytest.mark.parametrize(
    ("at", "receivers", "names"),
    [
        (A1, "upgrid", [A]),
        (B1, ["upgrid", "upgrid"], [B, B]),
        (R, "workers", [B1]),
        (A1, "workers", []),
        (A1, [[A]], [A]),
        (A1, [[A, TOP]], [TOP]),
        (A1, [[A1, A, TOP]], [TOP]),
        (A1, [[A, TOP, R, B, B1]], [B1]),
        (A1, [[A, A2]], [A2]),
    ],
)
def test_from_below(at: str, receivers: Any, names: list[str]) -> None:
    assert expand_receivers(tree_of(at), receivers) == names


def test_the_orchestrator_has_no_upgrid_to_send_to() -> None:
    with pytest.raises(BadArgument, match=f"{re.escape(TOP)} has no upgrid"):
        expand_receivers(tree_of(TOP), "upgrid")


@pytest.mark.parametrize(
    "receivers",
    [
        None, 7, {A1}, {A1: 1}, b"workers", ...,
        "", "worker", "everybody", "worker|W", "workers ",
        [None], [7], [[]], [A1, None], ["worker|W"], [A1, "worker|W"], [["worker|W"]], [[None]],
        [[A, 7]], [["workers"]], [[[A1]]],
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(receivers: Any) -> None:
    with pytest.raises(BadArgument, match=r"^(receivers|gridUniqueName): got"):
        expand_receivers(tree_of(TOP), receivers)


@pytest.mark.parametrize(
    ("at", "trajectory"),
    [
        (TOP, [A1]),
        (TOP, [B, B1]),
        (TOP, [R, B1]),
        (TOP, [A, B1]),
        (TOP, [A, A1, B1]),
        (A1, [TOP]),
        (A1, [A1, TOP]),
        (A1, [STRANGER]),
        (R, [TOP, B]),
    ],
)
def test_a_trajectory_with_a_gap_is_refused_and_the_gap_is_named(at: str, trajectory: Any) -> None:
    with pytest.raises(BadArgument, match="is not connected to"):
        expand_receivers(tree_of(at), [trajectory])


def test_who_is_gone_does_not_keep_the_others_from_their_work() -> None:
    tree = tree_of(TOP)
    tree.leave(A1, "killed")
    assert expand_receivers(tree, [A1, A2]) == [A1, A2]


# -- bounce ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounce", "count", "fans"),
    [
        (None, 3, [None] * 3),
        (None, 0, []),
        ([None, [A1, A2]], 2, [None, [A1, A2]]),
        ([A1, (A2,)], 2, [[A1], [A2]]),
        (A1, 1, [[A1]]),
        ([], 0, []),
    ],
)
def test_a_bounce_gives_each_receiver_its_fan(bounce: Any, count: int, fans: Any) -> None:
    assert expand_bounce(tree_of(TOP), bounce, count) == fans


@pytest.mark.parametrize(
    ("bounce", "count"),
    [
        (5, 1), ({A: [A1]}, 1), ([], 1), ([None], 2), ([[A1]] * 3, 2), (A1, 2),
        ([5], 1), ([{A1}], 1), ([[A1, None]], 1), (["workers"], 1), ([["nonsense"]], 1),
    ],
    ids=str,
)  # fmt: skip
def test_a_bounce_that_cannot_be_meant_is_refused(bounce: Any, count: int) -> None:
    with pytest.raises(BadArgument, match=r"^bounce: got"):
        expand_bounce(tree_of(TOP), bounce, count)


# -- managers and propagation ---------------------------------------------------------------------


def test_managers_come_with_the_workers_right_below_them() -> None:
    tree = tree_of(TOP)
    tree.join(STRANGER, (TOP,), A, cores=1, now_utc=0.0)
    assert managers_with_workers(tree) == ([A, B], [[A1, A2], [B1]])
    assert managers_with_workers(tree_of(A1)) == ([], [])


ALL = set(PROPAGATE)


def passed_on(at: str, flags: set[str], came_from: str | None = None) -> dict[str, set[str]]:
    found = list(propagation(tree_of(at), flags, came_from))
    assert len({name for name, _ in found}) == len(found), "somebody would get it twice"
    return dict(found)


def test_nothing_is_passed_on_without_flags() -> None:
    assert passed_on(TOP, set()) == {}
    assert passed_on(A1, {"propagate_recursive", "propagate_nonsense"}) == {}


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("propagate_routers", {R}),
        ("propagate_managers", {A, B}),
        ("propagate_workers", {A1, A2, B1}),
        ("propagate_upgrid", set()),
    ],
)
def test_each_role_below_gets_it_when_asked_for_and_no_flags_with_it(flag: str, names: Any) -> None:
    assert passed_on(TOP, {flag}) == {name: set() for name in names}


def test_what_goes_up_carries_its_flags_on_only_when_recursive() -> None:
    assert passed_on(A1, {"propagate_upgrid"}) == {A: set()}
    assert passed_on(A1, {"propagate_upgrid", "propagate_recursive"}) == {
        A: {"propagate_upgrid", "propagate_recursive"}
    }


def test_what_came_from_below_does_not_go_there_again() -> None:
    assert set(passed_on(TOP, ALL, came_from=R)) == {A, A1, A2}
    assert set(passed_on(A, ALL, came_from=A1)) == {A2, TOP}


@pytest.mark.parametrize("start", [TOP, A, A1, R, B, B1])
def test_recursive_propagation_reaches_everybody_exactly_once(start: str) -> None:
    reached: list[str] = []
    waiting: list[tuple[str, set[str], str | None]] = [(start, ALL, None)]
    while waiting:
        at, flags, came_from = waiting.pop()
        reached.append(at)
        for name, left in propagation(tree_of(at), flags, came_from):
            waiting.append((name, left, at if left else None))
    assert sorted(reached) == sorted([TOP, A, A1, A2, R, B, B1])


def test_a_way_is_common_when_two_have_it() -> None:
    ways = {"a": "A", "b": "B", "c": "A"}
    assert common_ways("abcd", ways.get) == {"a": "A", "c": "A"}
    assert common_ways("", ways.get) == {}


# -- bridges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [(True, [True] * 2), (None, [None] * 2), ([False, None], [False, None]), ((True, False), [True, False])],
)
def test_one_permission_is_for_all_and_a_list_has_one_for_each(allowed: Any, expected: Any) -> None:
    assert expand_bridging(allowed, 2) == expected


@pytest.mark.parametrize("allowed", ["yes", 1, 0, [True], [True] * 3, [True, "yes"], {}, {True, False}])
def test_a_permission_that_cannot_be_meant_is_refused(allowed: Any) -> None:
    with pytest.raises(BadArgument, match="allowBridging"):
        expand_bridging(allowed, 2)


@pytest.mark.parametrize(
    ("allowed", "said", "expected"),
    [
        (True, {"allow_bridging": False}, True),
        (False, {"allow_bridging": True}, False),
        (None, {"allow_bridging": False}, False),
        (None, {"allow_bridging": True}, True),
        (None, {}, True),
    ],
)
def test_a_call_has_a_say_where_the_transfer_has_none(allowed: Any, said: Any, expected: bool) -> None:
    assert may_bridge(allowed, said) is expected


@pytest.mark.parametrize("said", [None, 1, "no"])
def test_a_call_that_says_nonsense_of_bridges_is_refused(said: Any) -> None:
    with pytest.raises(BadArgument, match="allow_bridging"):
        may_bridge(None, {"allow_bridging": said})
