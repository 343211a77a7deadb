"""The way of a bridge: nearly straight where nothing is in the way, around what is, and always the same."""

from __future__ import annotations

import math
import random

import pytest

from softgrid._insight.curves import BENDS, Circle, Curve, bridge_curve, curve_points


def gap(curve: Curve, circle: Circle) -> float:
    """How far a curve stays away from a circle; negative inside."""
    x, y, radius = circle
    return min(math.hypot(px - x, py - y) for px, py in curve_points(curve)) - radius


def test_a_curve_leads_from_one_end_to_the_other() -> None:
    points = list(curve_points(bridge_curve((1.0, 2.0), (3.0, -2.0), [])))
    assert points[0] == (1.0, 2.0)
    assert points[-1] == pytest.approx((3.0, -2.0))


def test_with_nothing_in_the_way_it_is_hardly_bent() -> None:
    start, bend, end = bridge_curve((0.0, 0.0), (4.0, 0.0), [])
    assert abs(bend[1]) == pytest.approx(4.0 * min(map(abs, BENDS)))
    assert (start, end) == ((0.0, 0.0), (4.0, 0.0))


@pytest.mark.parametrize("place", [(2.0, 0.0), (2.0, 0.3), (2.0, -0.3), (1.0, 0.2)])
def test_it_goes_around_a_node(place: tuple[float, float]) -> None:
    node = (*place, 0.5)
    assert gap(bridge_curve((0.0, 0.0), (4.0, 0.0), [node]), node) > 0


def test_it_goes_between_nodes() -> None:
    wall = [(2.0, 0.9 * step, 0.3) for step in range(-3, 4)]
    curve = bridge_curve((0.0, 0.0), (4.0, 0.0), wall)
    assert all(gap(curve, node) > 0 for node in wall)


def test_where_every_way_is_blocked_the_least_bad_is_taken() -> None:
    shut_in = [(0.6 * math.cos(turn), 0.6 * math.sin(turn), 0.3) for turn in range(7)]
    few = bridge_curve((0.0, 0.0), (4.0, 0.0), [*shut_in, (2.0, 0.0, 0.4)])
    assert gap(few, (2.0, 0.0, 0.4)) > 0


def test_the_same_nodes_give_the_same_curve() -> None:
    chance = random.Random(5)
    nodes = [(chance.uniform(-3, 3), chance.uniform(-3, 3), 0.2) for _ in range(30)]
    assert bridge_curve((-4.0, 0.0), (4.0, 1.0), nodes) == bridge_curve((-4.0, 0.0), (4.0, 1.0), nodes)


def test_two_ends_in_one_place_are_no_trouble() -> None:
    assert bridge_curve((1.0, 1.0), (1.0, 1.0), [(1.0, 1.0, 0.5)])[0] == (1.0, 1.0)
