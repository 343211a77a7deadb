"""Killing: ordered by the orchestrator only, done by the upgrid, answered when the executor has left the tree."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from tests.harness.nodes import FakeLink, FakeReactor, FakeSwitch
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R, tree_of

from softgrid._model.errors import NoRoute, PeerLost, Refused, TimedOut
from softgrid._model.names import node_id
from softgrid._node.control import Control
from softgrid._node.killing import CAUSE, PATIENCE_S, Killing
from softgrid._state.inflight import InFlight
from softgrid._wire.control import encode_control
from softgrid._wire.framing import Kind


class Upgrid:
    """One executor of the small grid, with the parts that killing needs."""

    def __init__(self, name: str) -> None:
        self.tree: Any = tree_of(name)
        self.links = {member.name: FakeLink(member.name) for member in self.tree.below()}
        for member in self.tree.below():
            member.hop = self.links[member.name]
        self.up = FakeLink("up")
        self.switch = FakeSwitch(self.tree.node_id, self.up if self.tree.upgrid else None)
        self.switch.below = {member.node_id for member in self.tree.below()}
        self.reactor = FakeReactor()
        self.control = Control(self.switch, self.reactor, InFlight(), self.tree)  # type: ignore[arg-type]
        self.dismissed: set[str] = set()
        self.cause_of: Any = lambda name, tell: tell("exited with code 3")
        self.launched: set[str] = set()
        self.killed: list[str] = []
        self.killing = Killing(
            self.tree,
            self.switch,  # type: ignore[arg-type]
            self.control,
            self,  # type: ignore[arg-type]  (membership)
            self,  # type: ignore[arg-type]  (launching)
            self.reactor,  # type: ignore[arg-type]
        )

    def kill_child(self, name: str) -> bool:
        if name in self.launched:
            self.killed.append(name)
        return name in self.launched

    def comes(self, message: dict[str, Any], source: str, link: Any = None, message_id: int = 7) -> None:
        source_id = node_id(source) if source else 0
        self.control.on_control(link or self.up, source_id, message_id, encode_control(message))

    def answers(self) -> list[dict[str, Any]]:
        return [sent.message for sent in self.switch.take(Kind.CONTROL)]

    def lose(self, name: str) -> list[str | None]:
        """The link to *name* ends; gives the causes that membership is told."""
        told: list[str | None] = []
        self.cause_of(name, told.append)
        self.tree.leave(name, "gone")
        return told


# -- doing ----------------------------------------------------------------------------------------


@pytest.fixture
def manager() -> Upgrid:
    made = Upgrid(A)
    made.launched = {A1, A2}
    return made


def test_a_child_is_killed_and_its_end_is_the_answer(manager: Upgrid) -> None:
    manager.comes({"op": "kill", "name": A1}, TOP)
    assert manager.killed == [A1]
    assert manager.dismissed == {A1}
    assert manager.answers() == []
    assert manager.lose(A1) == [CAUSE]
    assert manager.answers() == [{"op": "answer"}]
    assert manager.dismissed == set()


def test_two_orders_are_both_answered(manager: Upgrid) -> None:
    for message_id in (7, 8):
        manager.comes({"op": "kill", "name": A1}, TOP, message_id=message_id)
    manager.lose(A1)
    assert len(manager.answers()) == 2


def test_others_die_of_what_they_died_of(manager: Upgrid) -> None:
    manager.comes({"op": "kill", "name": A1}, TOP)
    assert manager.lose(A2) == ["exited with code 3"]
    assert manager.answers() == []


@pytest.mark.parametrize("asker", [A2, R, STRANGER])
def test_only_the_orchestrator_orders(manager: Upgrid, asker: str) -> None:
    manager.comes({"op": "kill", "name": A1}, asker)
    (answer,) = manager.answers()
    assert (answer["op"], answer["reason"]) == ("error", "only the orchestrator has executors killed")
    assert manager.killed == []
    assert manager.dismissed == set()


@pytest.mark.parametrize("name", [B1, TOP, A, STRANGER, "nonsense"])
def test_only_who_stands_directly_below_is_killed(manager: Upgrid, name: str) -> None:
    manager.comes({"op": "kill", "name": name}, TOP)
    (answer,) = manager.answers()
    assert "not directly below" in answer["reason"]
    assert manager.killed == []


@pytest.mark.parametrize("message", [{}, {"name": 5}, {"name": None}])
def test_nonsense_is_answered(manager: Upgrid, message: dict[str, Any]) -> None:
    manager.comes({"op": "kill", **message}, TOP)
    assert len(manager.answers()) == 1
    assert manager.killed == []


def test_whoever_was_launched_by_hand_is_told_to_die(manager: Upgrid) -> None:
    manager.launched = set()
    told: list[Any] = []
    manager.control.tell_neighbour = lambda link, message: told.append((link, message))  # type: ignore[method-assign]
    manager.comes({"op": "kill", "name": A1}, TOP)
    assert told == [(manager.links[A1], {"op": "die"})]


def test_who_does_not_go_is_cut_off(manager: Upgrid) -> None:
    manager.comes({"op": "kill", "name": A1}, TOP)
    assert manager.reactor.run_timers() == [PATIENCE_S]
    assert manager.links[A1].closed
    assert manager.answers() == []
    manager.lose(A1)
    assert len(manager.answers()) == 1


def test_who_said_goodbye_before_is_answered_for(manager: Upgrid) -> None:
    manager.comes({"op": "kill", "name": A1}, TOP)
    manager.tree.leave(A1, "it left the grid")
    manager.reactor.run_timers()
    assert manager.answers() == [{"op": "answer"}]
    assert manager.dismissed == set()


def test_who_went_is_not_waited_for_longer(manager: Upgrid) -> None:
    manager.comes({"op": "kill", "name": A1}, TOP)
    manager.lose(A1)
    manager.answers()
    manager.reactor.run_timers()
    assert manager.answers() == []
    assert not any(link.closed for link in manager.links.values())


# -- dying ----------------------------------------------------------------------------------------


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: calls.append((pid, number)))
    return calls


def test_the_upgrid_may_say_die(manager: Upgrid, ended: list[Any]) -> None:
    manager.comes({"op": "die"}, "", manager.up)
    assert ended == [(os.getpid(), signal.SIGKILL)]


def test_nobody_else_may(manager: Upgrid, ended: list[Any]) -> None:
    manager.comes({"op": "die"}, TOP, manager.up)
    manager.comes({"op": "die"}, "", manager.links[A1])
    manager.comes({"op": "die"}, A1, manager.links[A1])
    manager.comes({"op": "die"}, "", FakeLink("a stranger at the door"))
    assert ended == []


# -- ordering -------------------------------------------------------------------------------------


@pytest.fixture
def top() -> Upgrid:
    return Upgrid(TOP)


def all_answer(top: Upgrid) -> list[tuple[int, dict[str, Any]]]:
    """Have everybody answer who is asked; gives who was asked what."""
    asked: list[tuple[int, dict[str, Any]]] = []

    def while_waiting(waiter: Any) -> None:
        for sent in top.switch.take(Kind.CONTROL):
            asked.append((sent.destination, sent.message))
            top.control.on_control(None, sent.destination, sent.message_id, encode_control({"op": "answer"}))

    top.reactor.while_waiting = while_waiting
    return asked


def test_the_upgrid_of_each_is_asked(top: Upgrid) -> None:
    asked = all_answer(top)
    assert top.killing.kill([A1, B1, A1], 9.0) == [None, None, None]
    assert asked == [(node_id(A), {"op": "kill", "name": A1}), (node_id(B), {"op": "kill", "name": B1})]
    assert top.reactor.waits == [9.0]


def test_what_stands_below_another_goes_with_it(top: Upgrid) -> None:
    top.launched = {R}
    top.switch.deliver[Kind.CONTROL] = top.control.on_control
    top.reactor.while_waiting = lambda waiter: top.lose(R)
    assert top.killing.kill([B1, R, B], 9.0) == [None, None, None]
    assert top.killed == [R]
    top.switch.check_nothing_sent()


def test_the_orchestrator_does_not_kill_itself_and_the_others_go(top: Upgrid) -> None:
    all_answer(top)
    top.tree.note_departed(node_id(STRANGER), "killed by SIGSEGV")
    nobody = STRANGER.replace("Stranger", "Nobody")
    first, second, gone, unknown = top.killing.kill([TOP, A1, STRANGER, nobody], 9.0)
    assert isinstance(first, Refused)
    assert second is None
    assert isinstance(gone, PeerLost)
    assert "SIGSEGV" in str(gone)
    assert isinstance(unknown, NoRoute)


def test_an_upgrid_that_does_not_answer_is_named(top: Upgrid) -> None:
    (error,) = top.killing.kill([A1], 9.0)
    assert isinstance(error, TimedOut)
    assert A in str(error)
    assert len(top.control._inflight) == 0


def test_nobody_is_soon_killed(top: Upgrid) -> None:
    assert top.killing.kill([], 9.0) == []
    top.switch.check_nothing_sent()
