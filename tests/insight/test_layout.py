"""Trees on rings: everybody gets room, nobody's edges cross, and what is no tree is refused."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._insight.layout import Place, radial_layout
from softgrid._model.errors import BadArgument

FULL = 2 * math.pi


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    count = draw(st.integers(1, 40))
    nodes = [str(number) for number in range(count)]
    edges = [(str(draw(st.integers(0, n - 1))), str(n)) for n in range(1, count) if draw(st.integers(0, 9))]
    return nodes, edges


def test_a_single_root_is_the_centre_and_rings_are_depths() -> None:
    places = radial_layout(["o", "r", "w"], [("o", "r"), ("r", "w")])
    assert [places[node].ring for node in "orw"] == [0, 1, 2]
    assert [places[node].is_leaf for node in "orw"] == [False, False, True]


def test_two_leaves_stand_on_opposite_sides() -> None:
    places = radial_layout(["o", "a", "b"], [("o", "a"), ("o", "b")])
    assert places["a"] == Place(1, 0.0, True)
    assert places["b"] == Place(1, pytest.approx(math.pi), True)


def test_room_goes_by_the_number_of_leaves() -> None:
    edges = [("o", "m"), ("o", "n"), *(("m", f"m{i}") for i in range(6)), *(("n", f"n{i}") for i in range(2))]
    places = radial_layout(["o", "m", "n", *(lower for _, lower in edges[2:])], edges)
    of_m = places["m5"].angle - places["m0"].angle
    of_n = places["n1"].angle - places["n0"].angle
    assert of_m == pytest.approx(5 * of_n)
    assert places["m"].angle == pytest.approx((places["m0"].angle + places["m5"].angle) / 2)


def test_families_stand_a_little_apart() -> None:
    edges = [("o", "m"), ("o", "n"), ("m", "1"), ("m", "2"), ("n", "3"), ("n", "4")]
    angle = {name: place.angle for name, place in radial_layout(["o", "m", "n", *"1234"], edges).items()}
    assert angle["2"] - angle["1"] < angle["3"] - angle["2"]


def test_several_roots_leave_the_centre_empty() -> None:
    places = radial_layout(["a", "b", "c"], [("a", "c")])
    assert [places[node].ring for node in "abc"] == [1, 1, 2]


@PROPERTY
@given(trees())
def test_all_are_placed_once_and_none_on_another(tree: tuple[list[str], list[tuple[str, str]]]) -> None:
    nodes, edges = tree
    places = radial_layout(nodes, edges)
    assert sorted(places) == sorted(nodes)
    spots = {(place.ring, round(place.angle, 9)) for place in places.values()}
    assert len(spots) == len(nodes)
    assert all(0 <= place.angle < FULL for place in places.values())


@PROPERTY
@given(trees())
def test_each_subtree_has_an_arc_of_its_own(tree: tuple[list[str], list[tuple[str, str]]]) -> None:
    nodes, edges = tree
    places = radial_layout(nodes, edges)
    upper = {lower: up for up, lower in edges}
    for node in nodes:
        inside, outside = [], []
        for other in (other for other in nodes if places[other].is_leaf):
            walk: str | None = other
            while walk not in (None, node):
                walk = upper.get(walk)  # type: ignore[arg-type]
            (outside if walk is None else inside).append(places[other].angle)
        assert not any(min(inside) < angle < max(inside) for angle in outside)


def test_a_very_deep_tree_is_no_trouble() -> None:
    nodes = [str(number) for number in range(5000)]
    assert radial_layout(nodes, list(pairwise(nodes)))["4999"].ring == 4999


@pytest.mark.parametrize(
    ("edges", "accepted"),
    [
        ([("a", "x")], "edges between the given nodes"),
        ([("x", "a")], "edges between the given nodes"),
        ([("a", "c"), ("b", "c")], "one edge down to 'c'"),
        ([("a", "b"), ("a", "b")], "one edge down to 'b'"),
        ([("a", "b"), ("b", "a")], "stand in a circle"),
        ([("a", "a")], "stand in a circle"),
    ],
)
def test_what_is_no_tree_is_refused(edges: list[tuple[str, str]], accepted: str) -> None:
    with pytest.raises(BadArgument, match=f"edges: got .*{accepted}"):
        radial_layout(["a", "b", "c"], edges)
