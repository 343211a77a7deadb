"""The measures of a picture of a grid: how large, where, how written, all in inches and points.

Called by `graph`, which draws it.  Decides sizes from how many nodes there are and how close they
stand, so that three nodes and two hundred can both be read.  Pure arithmetic, no matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import Template
from typing import Literal

from softgrid._insight.layout import Place, radial_layout
from softgrid._model.errors import BadArgument
from softgrid._model.names import GridName, parse_name

FIELDS = ("role", "name", "address", "pid", "port")
INCH = 72.0  # points
MARGIN = 0.15
LETTER, LINE = 0.62, 1.3  # how wide a letter and how high a line is, for a font size of 1
SMALLEST, LARGEST_FONT = 5.0, 11.0  # points
ROOMY = 0.55  # inches across, from which on labels stand inside of nodes

Point = tuple[float, float]


@dataclass(frozen=True)
class Label:
    """Text at a point: centred there, or running away from it."""

    text: str
    x: float
    y: float
    size: float
    rotation: float = 0.0
    anchor: Literal["center", "left", "right"] = "center"
    is_inside: bool = True


@dataclass(frozen=True)
class DrawnNode:
    """One executor as a circle with a label."""

    name: GridName
    x: float
    y: float
    across: float
    label: Label


@dataclass(frozen=True)
class Sketch:
    """All that is to be drawn, and the rectangle that it takes."""

    nodes: list[DrawnNode]
    edges: list[tuple[DrawnNode, DrawnNode]]
    bridges: list[tuple[Point, Point, Point]]
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
    drawn = {
        name: _drawn(parsed[name], texts[name], place, rings) for name, place in places.items()
    }
    lines = [(drawn[upper], drawn[lower]) for upper, lower in edges]
    curves = [_curve(*_ends(bridge, drawn)) for bridge in bridges]
    left, bottom, right, top = _extent(drawn.values())
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
