"""The measures of a picture of a grid: how large, where, how written, all in inches and points.

Called by `graph`, which draws it.  Decides sizes from how many nodes there are and how close they
stand, so that three nodes and two hundred can both be read.  Pure arithmetic, no matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from string import Template
from typing import Literal, NamedTuple

from softgrid._insight.curves import Circle, Curve, Point, bridge_curve, curve_points
from softgrid._insight.layout import Place, radial_layout
from softgrid._model.errors import BadArgument
from softgrid._model.names import GridName, parse_name

FIELDS = ("role", "name", "address", "pid", "port")
INCH = 72.0  # points
MARGIN = 0.15
LETTER, LINE = 0.65, 1.3  # how wide a letter and how high a line is, for a font size of 1
SMALLEST, LARGEST_FONT = 5.0, 11.0  # points
FARTHEST = 12.0  # inches from the centre
ROOMY = 0.55  # inches across, from which on labels stand inside of nodes


class Label(NamedTuple):
    """Text at a point: centred there, or running away from it."""

    text: str
    x: float
    y: float
    size: float
    rotation: float = 0.0
    anchor: Literal["center", "left", "right"] = "center"
    is_inside: bool = True


class DrawnNode(NamedTuple):
    """One executor as a circle with a label."""

    name: GridName
    x: float
    y: float
    across: float
    label: Label


class Sketch(NamedTuple):
    """All that is to be drawn, and the rectangle that it takes."""

    nodes: list[DrawnNode]
    edges: list[tuple[DrawnNode, DrawnNode]]
    bridges: list[Curve]
    line_width: float
    left: float
    bottom: float
    width: float
    height: float


def make_sketch(
    names: Sequence[str],
    edges: Sequence[tuple[str, str]],
    bridges: Sequence[tuple[str, str]],
    labels_format: str,
) -> Sketch:
    """Measure out a grid; raises BadArgument for what is no tree or no format."""
    if not names:
        raise BadArgument("names", names, "at least one grid unique name")
    parsed = {name: parse_name(name, "names") for name in names}
    texts = {name: _filled(labels_format, known) for name, known in parsed.items()}
    places = radial_layout(list(parsed), edges)
    rings = _Rings(places)
    drawn = {name: _drawn(parsed[name], texts[name], place, rings) for name, place in places.items()}
    lines = [(drawn[upper], drawn[lower]) for upper, lower in edges]
    ends = {frozenset(bridge): _ends(bridge, drawn) for bridge in bridges}
    curves = [_curve(*pair, drawn.values()) for pair in ends.values()]
    left, bottom, right, top = _extent(drawn.values(), curves)
    return Sketch(
        nodes=list(drawn.values()),
        edges=lines,
        bridges=curves,
        line_width=min(1.4, max(0.5, 2.2 * rings.usual)),
        left=left,
        bottom=bottom,
        width=right - left,
        height=top - bottom,
    )


class _Rings:
    """How far out each node stands, and how large it can be there."""

    def __init__(self, places: dict[str, Place]) -> None:
        self.usual = min(1.25, max(0.16, 2.6 / math.sqrt(len(places))))
        self._inner = self.usual if self.usual >= ROOMY else min(ROOMY, 2.2 * self.usual)
        self._central = min(1.5, max(1.5 * self._inner, 1.0))  # room for a long word
        self._gaps = _gaps(places)
        self._radii = self._spread(places)

    def radius(self, place: Place) -> float:
        """From the centre to the middle of a node.

        One that has others below and too little room on its ring stands farther out, at most just before them.
        """
        own = self._radii[place.ring]
        if place.is_leaf or place.ring == 0:
            return own
        wanted = 1.12 * self._inner / self._chord(1.0, self._gaps[place])
        farthest = self._radii[place.ring + 1] - self._inner - self.usual
        return max(own, min(wanted, farthest))

    def chord(self, place: Place) -> float:
        """Between the middle of a node and that of its closest neighbour on the ring."""
        return self._chord(self.radius(place), self._gaps[place]) if place.ring else math.inf

    def across(self, place: Place) -> float:
        """The diameter of a node."""
        if place.ring == 0:
            return self._central
        return min(self.usual if place.is_leaf else self._inner, 0.92 * self.chord(place))

    def _spread(self, places: dict[str, Place]) -> list[float]:
        outermost = max(place.ring for place in places.values())
        radii = [0.0]
        for ring in range(1, outermost + 1):
            gap = min((self._gaps[p] for p in self._gaps if p.ring == ring), default=math.pi)
            needed = 1.12 * self.usual / self._chord(1.0, gap)
            step = 1.65 * self._inner if ring > 1 else 0.6 * self._central + self._inner
            radii.append(max(radii[-1] + step, min(needed, FARTHEST)))
        even = radii[-1] / max(outermost, 1)
        return [max(radius, even * ring) for ring, radius in enumerate(radii)]

    @staticmethod
    def _chord(radius: float, gap: float) -> float:
        return 2 * radius * math.sin(gap / 2)


def _gaps(places: dict[str, Place]) -> dict[Place, float]:
    """The angle from each node to its closest neighbour on the ring, at most half a turn."""
    rings: dict[int, list[Place]] = {}
    for place in places.values():
        rings.setdefault(place.ring, []).append(place)
    gaps: dict[Place, float] = {}
    for ring in rings.values():
        ring.sort(key=lambda place: place.angle)
        steps = [after.angle - before.angle for before, after in pairwise(ring)]
        steps.append(ring[0].angle + 2 * math.pi - ring[-1].angle)
        for index, place in enumerate(ring):
            gaps[place] = min(steps[index - 1], steps[index], math.pi)
    return gaps


def _filled(labels_format: str, name: GridName) -> str:
    try:
        return Template(labels_format).substitute(name._asdict())
    except (KeyError, ValueError, TypeError):
        fields = ", ".join(f"${{{field}}}" for field in FIELDS)
        raise BadArgument("labels_format", labels_format, f"a text with any of {fields}") from None


def _drawn(name: GridName, text: str, place: Place, rings: _Rings) -> DrawnNode:
    radius, across = rings.radius(place), rings.across(place)
    x, y = _at(place.angle, radius)
    if across >= ROOMY:
        room = 0.84 * across * INCH
        label = Label(text, x, y, min(LARGEST_FONT, max(SMALLEST, _fitting(text, room))))
    elif place.is_leaf:
        label = _running_out(" ".join(text.split("\n")), place.angle, radius + across / 2, rings.chord(place))
    else:
        size = _fitting(text, 1.25 * max(across, min(rings.chord(place), ROOMY)) * INCH)
        label = Label(text, x, y, min(8.0, max(SMALLEST, size)), is_inside=False)
    return DrawnNode(name, x, y, across, label)


def _running_out(text: str, angle: float, radius: float, room: float) -> Label:
    size = min(9.0, room * INCH / LINE)
    x, y = _at(angle, radius + 0.4 * size / INCH)
    turned = 180 - (math.degrees(angle) + 180) % 360
    if abs(turned) <= 90:
        return Label(text, x, y, size, turned, "left", is_inside=False)
    return Label(text, x, y, size, turned - math.copysign(180, turned), "right", is_inside=False)


def _fitting(text: str, room: float) -> float:
    """The font size at which *text* is at most *room* points wide and high."""
    lines = text.split("\n")
    return room / max(LETTER * max(map(len, lines)), LINE * len(lines), 1.0)


def _at(angle: float, radius: float) -> Point:
    return radius * math.cos(angle), -radius * math.sin(angle)


def _ends(bridge: tuple[str, str], drawn: dict[str, DrawnNode]) -> tuple[DrawnNode, DrawnNode]:
    one, other = bridge
    if one == other or one not in drawn or other not in drawn:
        raise BadArgument("bridges", bridge, "pairs of two different names that were given")
    return drawn[one], drawn[other]


def _curve(one: DrawnNode, other: DrawnNode, nodes: Iterable[DrawnNode]) -> Curve:
    others = (circle for node in nodes if node is not one and node is not other for circle in _circles(node))
    return bridge_curve((one.x, one.y), (other.x, other.y), others)


def _circles(node: DrawnNode) -> Iterator[Circle]:
    """What a bridge should not run over: a node, and the text that runs away from it."""
    yield node.x, node.y, node.across / 2
    if node.label.anchor != "center":
        length, middle = _length(node.label), math.hypot(node.label.x, node.label.y)
        for part in (0.1, 0.4, 0.7, 1.0):
            far = 1 + part * length / middle
            yield node.label.x * far, node.label.y * far, 0.5 * node.label.size / INCH


def _length(label: Label) -> float:
    return LETTER * len(label.text) * label.size / INCH


def _extent(nodes: Iterable[DrawnNode], curves: list[Curve]) -> tuple[float, float, float, float]:
    xs = [x for curve in curves for x, _ in curve_points(curve)]
    ys = [y for curve in curves for _, y in curve_points(curve)]
    for node in nodes:
        half = node.across / 2
        xs += [node.x - half, node.x + half]
        ys += [node.y - half, node.y + half]
        if node.label.anchor != "center":
            far = 1 + _length(node.label) / math.hypot(node.label.x, node.label.y)
            xs.append(node.label.x * far)
            ys.append(node.label.y * far)
    return min(xs) - MARGIN, min(ys) - MARGIN, max(xs) + MARGIN, max(ys) + MARGIN
