"""What one executor sees of its grid, as names and pairs of names: its own path upwards, and everybody below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from softgrid._state.tree import Tree

Pair = tuple[str, str]


class View(NamedTuple):
    """The part of a grid that can be drawn."""

    executors: list[str]
    connections: list[Pair]
    bridges: list[Pair]


def view_from(tree: Tree[Any], bridges: Mapping[str, Iterable[str | Pair]]) -> View:
    """Give what the executor of *tree* sees; *bridges* are those of each executor, some of which may lead out of it."""
    members = tree.below()
    executors = [*tree.path, *(member.name for member in members)]
    connections = [*pairwise(tree.path), *((member.upgrid, member.name) for member in members)]
    known = set(executors)
    pairs = ((name, other) if isinstance(other, str) else other for name, others in bridges.items() for other in others)
    ends = {(min(pair), max(pair)) for pair in pairs if known.issuperset(pair) and pair[0] != pair[1]}
    return View(executors, connections, sorted(ends))
