"""A small grid as its executors see it, without a single socket.

orchestrator Top ┬ manager A ┬ worker A1
                 │           └ worker A2
                 └ router R ── manager B ── worker B1
"""

from __future__ import annotations

from tests.harness.names import ORCHESTRATOR, a_name

from softgrid._state.tree import Tree

TOP = ORCHESTRATOR
A, B = a_name("manager", "A"), a_name("manager", "B")
R = a_name("router", "R")
A1, A2, B1 = a_name("worker", "A1"), a_name("worker", "A2"), a_name("worker", "B1")
STRANGER = a_name("worker", "Stranger")

PATHS = {
    A: (TOP,),
    A1: (TOP, A),
    A2: (TOP, A),
    R: (TOP,),
    B: (TOP, R),
    B1: (TOP, R, B),
}


def role_of(name: str) -> str:
    return name.partition("|")[0]


def tree_of(name: str) -> Tree[str]:
    """Give the tree as the executor *name* of the small grid sees it; a hop is the neighbour's name."""
    tree: Tree[str] = Tree(name, role_of(name))  # type: ignore[arg-type]
    tree.upgrid_path = PATHS.get(name, ())
    for member, path in PATHS.items():
        if name in path:
            way = (*path, member)
            tree.join(member, path, way[way.index(name) + 1], cores=4, now_utc=0.0)
    tree.check_invariants()
    return tree
