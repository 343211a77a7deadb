"""Quarantine: who lies beyond doubt and often is put out by its upgrid; nobody else is, and nothing else happens."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeLink
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R, tree_of

from softgrid._model.names import node_id
from softgrid._node.quarantine import Quarantine
from softgrid._state.offences import ENOUGH


class Upgrid:
    """One executor of the small grid, with the parts that a quarantine needs."""

    def __init__(self, name: str, launched: set[str]) -> None:
        self.tree: Any = tree_of(name)
        self.links: dict[str, Any] = {member.name: FakeLink(member.name) for member in self.tree.direct()}
        for member in self.tree.below():
            hop = next(link for each, link in self.links.items() if each == member.name or each in member.path)
            member.hop = hop
            self.tree.routes[member.node_id] = hop
        self.said: list[tuple[str, str]] = []
        self.killed: list[str] = []
        self.dismissed: set[str] = set()
        self.cause_of: Any = lambda name, tell: tell("exited with code 3")
        self._launched = launched
        parts: Any = self
        self.quarantine = Quarantine(self.tree, parts, parts, self.kill_child)

    def say(self, log_type: str, text: str) -> None:
        self.said.append((log_type, text))

    def kill_child(self, name: str) -> bool:
        self.killed += [name] * (name in self._launched)
        return name in self._launched

    def loses(self, name: str) -> str | None:
        causes: list[str | None] = []
        self.cause_of(name, causes.append)
        (cause,) = causes
        return cause

    def check_nothing_happened(self) -> None:
        assert (self.said, self.killed, self.dismissed) == ([], [], set())
        assert [link.closings for link in self.links.values()] == [[]] * len(self.links)


@pytest.mark.parametrize("source", [A2, TOP, R, A, STRANGER])
def test_a_worker_that_was_launched_is_killed_when_it_has_lied_often_and_stays_away(source: str) -> None:
    upgrid = Upgrid(A, {A1, A2})
    for _ in range(ENOUGH + 3):
        upgrid.quarantine.on_forged(upgrid.links[A1], node_id(source))
    assert upgrid.killed == [A1]
    assert [log_type for log_type, _ in upgrid.said] == ["warn", "error"]
    assert upgrid.dismissed == {A1}
    assert "put out: 10 of its messages" in str(upgrid.loses(A1))
    assert upgrid.dismissed == set()
    assert upgrid.loses(A1) == "exited with code 3"  # the next of that name is another
    assert upgrid.links[A1].closings == []


def test_one_that_joined_by_hand_is_cut_off() -> None:
    upgrid = Upgrid(A, set())
    for _ in range(ENOUGH):
        upgrid.quarantine.on_nonsense(upgrid.links[A1], node_id(A1), "no words")
    (closing,) = upgrid.links[A1].closings
    assert closing.endswith("the first without a meaning (no words)")
    assert upgrid.killed == []


def test_a_few_lies_are_told_once_and_do_no_harm() -> None:
    upgrid = Upgrid(A, {A1})
    for _ in range(ENOUGH - 1):
        upgrid.quarantine.on_forged(upgrid.links[A1], node_id(A2))
    assert len(upgrid.said) == 1
    assert upgrid.killed == []
    assert upgrid.loses(A1) == "exited with code 3"


def test_a_relay_is_not_blamed_for_whom_it_has_just_lost_and_is_for_whom_it_never_had() -> None:
    upgrid = Upgrid(TOP, {A, R})
    over_a = upgrid.links[upgrid.tree.find(A1).path[1] if A not in upgrid.links else A]
    for _ in range(ENOUGH):
        upgrid.quarantine.on_forged(over_a, node_id(STRANGER))
        upgrid.quarantine.on_nonsense(over_a, node_id(A1), "no words")
    upgrid.check_nothing_happened()
    upgrid.quarantine.on_forged(over_a, node_id(TOP))
    assert len(upgrid.said) == 1


def test_who_has_not_joined_is_nobodys_matter() -> None:
    upgrid = Upgrid(A, {A1})
    unknown: Any = FakeLink("unknown")
    unknown.peer = None
    for _ in range(ENOUGH):
        upgrid.quarantine.on_forged(unknown, node_id(A1))
        upgrid.quarantine.on_nonsense(unknown, node_id(A1), "no words")
    upgrid.check_nothing_happened()
    assert B not in upgrid.links
    assert B1 not in upgrid.links
