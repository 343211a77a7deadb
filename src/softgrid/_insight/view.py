"""What one executor sees of its grid, as names and pairs of names: its own path upwards, and everybody below it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from softgrid._state.tree import Tree

Pair = tuple[str, str]


class View(NamedTuple):
    """The part of a grid that can be drawn."""

    executors: list[str]
    connections: list[Pair]
    bridges: list[Pair]


def view_from(tree: Tree[Any], bridges: Iterable[Pair]) -> View:
    """Give what the executor of *tree* sees; of *bridges* those within it, each once, whichever way it is told."""
    members = tree.below()
    executors = [*tree.path, *(member.name for member in members)]
    connections = [*pairwise(tree.path), *((member.upgrid, member.name) for member in members)]
    known = set(executors)
    ends = {(min(pair), max(pair)) for pair in bridges if known.issuperset(pair)}
    return View(executors, connections, sorted(ends))
