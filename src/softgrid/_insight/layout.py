"""Where the nodes of a tree stand in a picture: rings around the root, room by number of leaves.

Called by `graph`.  Decides angles and rings only, in units without a size; the same tree always
gives the same picture.  Never recurses, so a tree may be as deep as it likes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from softgrid._model.errors import BadArgument

FAMILY_GAP = 0.6
"""Extra room, in leaves, between two leaves that do not stand under the same node."""


class Place(NamedTuple):
    """A node's ring, counted from the centre, and its angle in radians, clockwise from the right."""

    ring: int
    angle: float
    is_leaf: bool


def radial_layout(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> dict[str, Place]:
    """Place every node of a tree, or of several; an edge leads from a node to one below it.

    A single root stands in the centre.  Raises BadArgument for what is no tree.
    """
    tree = _Tree(nodes, edges)
    order = tree.downwards()
    angles = _angles(tree, order)
    first_ring = 0 if len(tree.roots) == 1 else 1
    return {node: Place(tree.depth[node] + first_ring, angles[node], not tree.below[node]) for node in order}


class _Tree:
    def __init__(self, nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> None:
        self.below: dict[str, list[str]] = {node: [] for node in nodes}
        above: dict[str, str] = {}
        for upper, lower in edges:
            for end in (upper, lower):
                if end not in self.below:
                    raise BadArgument("edges", (upper, lower), "edges between the given nodes")
            if lower in above:
                raise BadArgument("edges", (upper, lower), f"one edge down to {lower!r}")
            above[lower] = upper
            self.below[upper].append(lower)
        self.roots = [node for node in self.below if node not in above]
        self.depth: dict[str, int] = {}

    def downwards(self) -> list[str]:
        """All nodes from left to right, each before those below it."""
        order: list[str] = []
        self.depth = dict.fromkeys(self.roots, 0)
        waiting = self.roots[::-1]
        while waiting:
            node = waiting.pop()
            order.append(node)
            for lower in self.below[node]:
                self.depth[lower] = self.depth[node] + 1
            waiting.extend(reversed(self.below[node]))
        if len(order) != len(self.below):
            lost = sorted(self.below.keys() - self.depth.keys())
            raise BadArgument("edges", lost, "a tree (these nodes stand in a circle)")
        return order


def _angles(tree: _Tree, order: list[str]) -> dict[str, float]:
    """Leaves get their turn on the circle; every other node stands above the middle of its own."""
    family = {lower: upper for upper, lowers in tree.below.items() for lower in lowers}
    slots: dict[str, float] = {}
    slot, before = 0.0, None
    for node in order:
        if tree.below[node]:
            continue
        if before is not None:
            slot += 1.0 if family.get(node) == family.get(before) else 1.0 + FAMILY_GAP
        slots[node], before = slot, node
    for node in reversed(order):
        lowers = tree.below[node]
        if lowers:
            slots[node] = (slots[lowers[0]] + slots[lowers[-1]]) / 2
    leaves = [node for node in order if not tree.below[node]]
    is_one_family = len({family.get(leaf) for leaf in leaves}) == 1
    whole = slot + 1.0 + (0.0 if is_one_family else FAMILY_GAP)
    turn = 2 * math.pi / whole
    return {node: slots[node] * turn for node in order}
