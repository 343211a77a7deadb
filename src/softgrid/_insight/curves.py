"""The way of a bridge in a picture: a curve from one node to another, around those that stand in between.

Called by `sketch`.  Tries curves from nearly straight to strongly bent and takes the first that touches nobody, or the
one that is least in the way.  Pure arithmetic; the same nodes always give the same curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

Point = tuple[float, float]
Curve = tuple[Point, Point, Point]  # from, bent towards, to
Circle = tuple[float, float, float]  # x, y, radius

PULLS = (0.75, 0.5, 1.0, 0.25)
"""How near to the middle of the picture the bend is drawn: 1 leaves it halfway between the ends, 0 is the middle."""

BENDS = (0.12, -0.12, 0.25, -0.25, 0.4, -0.4, 0.6, -0.6, 0.9, -0.9)
"""How far the bend lies beside the straight line, in lengths of that line."""

CLEARANCE = 0.12
"""Inches that a curve keeps from nodes it does not belong to."""

STEPS = 24


def bridge_curve(start: Point, end: Point, others: Iterable[Circle]) -> Curve:
    """Give the curve from *start* to *end* that is least in the way of the *others*."""
    obstacles = list(others)
    best, least = None, math.inf
    for curve in _candidates(start, end):
        touched = _touched(curve, obstacles, least)
        if touched < least:
            best, least = curve, touched
        if not least:
            break
    assert best is not None
    return best


def curve_points(curve: Curve) -> Iterator[Point]:
    """Points along a curve, its ends included."""
    (ax, ay), (bx, by), (cx, cy) = curve
    for step in range(STEPS + 1):
        t = step / STEPS
        before, at, after = (1 - t) ** 2, 2 * t * (1 - t), t * t
        yield before * ax + at * bx + after * cx, before * ay + at * by + after * cy


def _candidates(start: Point, end: Point) -> Iterator[Curve]:
    (ax, ay), (cx, cy) = start, end
    for bend, pull in product(BENDS, PULLS):
        x = pull * (ax + cx) / 2 - bend * (cy - ay)
        y = pull * (ay + cy) / 2 + bend * (cx - ax)
        yield start, (x, y), end


def _touched(curve: Curve, obstacles: Sequence[Circle], enough: float) -> float:
    """How deep a curve runs into obstacles, all together; stops counting at *enough*."""
    points = list(curve_points(curve))
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    bottom, top = min(y for _, y in points), max(y for _, y in points)
    touched = 0.0
    for x, y, radius in obstacles:
        reach = radius + CLEARANCE
        if left - reach < x < right + reach and bottom - reach < y < top + reach:
            nearest = min((px - x) ** 2 + (py - y) ** 2 for px, py in points)
            touched += max(0.0, 1.0 - math.sqrt(nearest) / reach)
            if touched >= enough:
                break
    return touched
