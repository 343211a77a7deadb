"""The tree: who is below, who is up, who is gone and why; it never contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.names import a_name
from tests.harness.properties import PROPERTY
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R, tree_of

from softgrid._model.errors import NoRoute, PeerLost, Refused
from softgrid._model.names import node_id
from softgrid._model.roles import LAUNCHABLE
from softgrid._state import tree as tree_module
from softgrid._state.tree import Tree

ALL_ROLES = frozenset(LAUNCHABLE)


def known(tree: Tree[Any]) -> set[str]:
    return {member.name for member in tree.members.values()}


def test_an_executor_knows_its_subtree_and_its_own_path() -> None:
    tree = tree_of(R)
    assert tree.path == (TOP, R)
    assert tree.upgrid == TOP
    assert known(tree) == {B, B1}
    assert [tree.path_of(name) is not None for name in (TOP, R, B, B1, A, A1)] == [True] * 4 + [False] * 2


def test_the_orchestrator_has_no_upgrid() -> None:
    tree = tree_of(TOP)
    assert tree.upgrid is None
    assert tree.path == (TOP,)


def test_a_member_says_what_it_is_and_where() -> None:
    member = tree_of(TOP).find(B1)
    assert member is not None
    assert (member.role, member.upgrid, member.hop, member.cores) == ("worker", B, R, 4)
    assert member.node_id == node_id(B1)


def test_a_members_password_is_not_shown() -> None:
    tree: Tree[str] = Tree(TOP, "orchestrator")
    member = tree.join(A, (TOP,), A, cores=1, now_utc=0.0, password="secret")
    assert member.password == "secret"
    assert "secret" not in repr(member)


def test_names_come_by_role_in_the_order_in_which_they_joined() -> None:
    tree = tree_of(TOP)
    assert tree.names("worker") == [A1, A2, B1]
    assert tree.names("manager") == [A, B]
    assert tree.names("router") == [R]
    assert tree_of(A1).names("worker") == []


def test_only_the_neighbours_below_are_direct() -> None:
    assert [member.name for member in tree_of(TOP).direct()] == [A, R]
    assert [member.name for member in tree_of(B).direct()] == [B1]


@pytest.mark.parametrize(("name", "path"), [(TOP, (TOP,)), (R, (TOP, R)), (B1, (TOP, R, B, B1)), (A, None)])
def test_paths_are_known_up_and_below_and_nowhere_else(name: str, path: Any) -> None:
    assert tree_of(R).path_of(name) == path


def test_somebody_who_is_not_below_is_not_found() -> None:
    assert tree_of(R).find(A) is None
    assert tree_of(R).find(R) is None


# -- coming ---------------------------------------------------------------------------------------


def test_a_joiner_with_the_right_role_may_join() -> None:
    tree_of(TOP).check_may_join(STRANGER, ALL_ROLES)


@pytest.mark.parametrize(
    ("at", "name", "reason"),
    [
        (A, a_name("manager", "M"), "a manager holds no managers"),
        (A1, a_name("worker", "W"), "a worker holds no workers"),
        (TOP, a_name("orchestrator", "O"), "an? orchestrator holds no orchestrators"),
        (TOP, A1, "is on the grid already"),
    ],
)
def test_who_may_not_join_is_refused_with_the_reason(at: str, name: str, reason: str) -> None:
    tree = tree_of(at)
    before = known(tree)
    with pytest.raises(Refused, match=reason):
        tree.check_may_join(name, ALL_ROLES)
    assert known(tree) == before


def test_a_role_that_is_not_accepted_is_refused() -> None:
    with pytest.raises(Refused, match="does not accept workers"):
        tree_of(TOP).check_may_join(STRANGER, frozenset({"router"}))


def test_nobody_joins_under_the_name_of_the_executor_itself() -> None:
    tree: Tree[str] = Tree(R, "router")
    with pytest.raises(Refused, match="already"):
        tree.check_may_join(R, ALL_ROLES)


def test_nobody_joins_under_the_name_of_somebody_above() -> None:
    tree: Tree[str] = Tree(a_name("router", "Low"), "router")
    tree.upgrid_path = (TOP, R)
    with pytest.raises(Refused, match="already"):
        tree.check_may_join(R, ALL_ROLES)


def test_whoever_comes_back_is_no_longer_departed() -> None:
    tree = tree_of(TOP)
    tree.leave(A1, "crashed")
    assert tree.departure(node_id(A1)) == "crashed"
    tree.join(A1, (TOP, A), A, cores=1, now_utc=1.0)
    assert tree.departure(node_id(A1)) is None
    tree.check_invariants()


# -- going ----------------------------------------------------------------------------------------


def test_whoever_leaves_takes_everybody_below_along_and_nobody_else() -> None:
    tree = tree_of(TOP)
    gone = tree.leave(R, "killed")
    assert [member.name for member in gone] == [R, B, B1]
    assert known(tree) == {A, A1, A2}
    tree.check_invariants()


def test_everybody_who_is_gone_has_a_reason() -> None:
    tree = tree_of(TOP)
    tree.leave(R, "killed")
    assert tree.departure(node_id(R)) == "killed"
    assert tree.departure(node_id(B1)) == f"{R} is gone: killed"
    assert tree.departure(node_id(A)) is None


@pytest.mark.parametrize("name", [STRANGER, R, TOP])
def test_somebody_who_is_not_below_cannot_leave(name: str) -> None:
    tree = tree_of(R)
    assert tree.leave(name, "why") == []
    assert known(tree) == {B, B1}
    assert tree.departure(node_id(name)) is None


def test_only_so_many_departures_are_remembered_the_latest(monkeypatch: Any) -> None:
    monkeypatch.setattr(tree_module, "DEPARTED_KEPT", 3)
    tree = tree_of(TOP)
    for who in (1, 2, 3, 1, 4):
        tree.note_departed(who, f"reason {who}")  # type: ignore[arg-type]
    found = {who: tree.departure(who) for who in (1, 2, 3, 4)}  # type: ignore[arg-type]
    assert found == {1: "reason 1", 2: None, 3: "reason 3", 4: "reason 4"}


# -- reaching -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [TOP, R, B, B1, A1, STRANGER])
def test_from_below_everybody_may_be_somewhere_up(name: str) -> None:
    tree_of(R).check_reachable(name)


def test_the_orchestrator_knows_who_is_not_on_the_grid() -> None:
    tree = tree_of(TOP)
    tree.check_reachable(B1)
    tree.check_reachable(TOP)
    with pytest.raises(NoRoute, match=r"nobody named worker\|Stranger@"):
        tree.check_reachable(STRANGER)


@pytest.mark.parametrize("at", [TOP, R])
def test_somebody_who_is_gone_is_lost_with_the_reason(at: str) -> None:
    tree = tree_of(at)
    tree.leave(B1, "killed by signal 9")
    with pytest.raises(PeerLost, match=r"worker\|B1@.* is gone: killed by signal 9"):
        tree.check_reachable(B1)


# -- as a whole -----------------------------------------------------------------------------------


@PROPERTY
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_no_order_of_coming_and_going_makes_the_tree_contradict_itself(steps) -> None:
    tree: Tree[str] = Tree(TOP, "orchestrator")
    names = [a_name("router", number) for number in range(10)]
    for comes, who, under in steps:
        member, above = names[who], tree.find(names[under])
        if comes and tree.find(member) is None:
            path = (*above.path, above.name) if above else (TOP,)
            tree.join(member, path, above.hop if above else member, cores=1, now_utc=0.0)
        elif not comes:
            gone = tree.leave(member, "left")
            assert all(tree.find(each.name) is None for each in gone)
        tree.check_invariants()


@pytest.mark.parametrize("break_it", ["route", "hop", "orphan", "elsewhere"])
def test_a_tree_that_contradicts_itself_is_found_out(break_it: str) -> None:
    tree = tree_of(TOP)
    if break_it == "route":
        tree.routes[5] = A
    elif break_it == "hop":
        tree.routes[node_id(A)] = R
    elif break_it == "orphan":
        tree.join(STRANGER, (TOP, a_name("manager", "Nobody")), A, cores=1, now_utc=0.0)
    else:
        tree.join(STRANGER, (a_name("manager", "Nobody"),), A, cores=1, now_utc=0.0)
    with pytest.raises(AssertionError):
        tree.check_invariants()


class _RoleMetWhileSomebodyJoins(str):
    """Compares like a role, and lets somebody join meanwhile, as another thread would."""

    __hash__ = str.__hash__

    def __new__(cls, role: str, tree: Tree[str]) -> Any:
        self = super().__new__(cls, role)
        self.tree = tree  # type: ignore[attr-defined]
        return self

    def __eq__(self, other: object) -> bool:
        self.tree.join(STRANGER, (TOP,), A, cores=1, now_utc=0.0)  # type: ignore[attr-defined]
        return str.__eq__(self, other)


def test_names_can_be_asked_while_somebody_joins() -> None:
    tree = tree_of(TOP)
    assert {A1, A2, B1} <= set(tree.names(_RoleMetWhileSomebodyJoins("worker", tree)))  # type: ignore[arg-type]


def test_a_suspicion_covers_whoever_stands_below() -> None:
    tree = tree_of(TOP)
    assert [tree.suspicion(name) for name in (R, B1, A1, STRANGER, TOP)] == [None] * 5
    member = tree.find(R)
    assert member is not None
    member.suspicion = "stopped"
    assert [tree.suspicion(name) for name in (R, B1, A1)] == [f"{R} is stopped", f"{R} is stopped", None]
    member.suspicion = None
    assert tree.suspicion(B1) is None


def test_only_who_is_on_the_way_to_somebody_may_speak_of_it() -> None:
    tree = tree_of(TOP)
    for speaker, about in ((R, B1), (B, B1), (B1, B1), (A, A1), (STRANGER, B1), (A1, STRANGER), (TOP, B1)):
        assert tree.may_speak_of(node_id(speaker), node_id(about)), (speaker, about)
    for speaker, about in ((A, B1), (A1, B1), (A2, A1), (R, A1), (B1, B)):
        assert not tree.may_speak_of(node_id(speaker), node_id(about)), (speaker, about)


def test_a_death_costs_what_is_lost_and_not_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tree_of(TOP)
    monkeypatch.setattr(tree, "below", lambda: pytest.fail("everybody was looked at"))
    assert [member.name for member in tree.leave(R, "killed")] == [R, B, B1]
    assert [member.name for member in tree.direct()] == [A]
