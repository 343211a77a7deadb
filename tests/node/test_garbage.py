"""Garbage: found and told, here and elsewhere, beside whatever else is done."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from tests.harness.nodes import FakeReactor, FakeSwitch
from tests.harness.trees import A1, STRANGER, TOP, tree_of

from softgrid._model.errors import PeerLost
from softgrid._model.names import node_id
from softgrid._node.control import Control
from softgrid._node.garbage import Garbage
from softgrid._state.inflight import InFlight
from softgrid._wire.control import encode_control
from softgrid._wire.framing import Kind


class Knot:
    """An object that only the collector can take away."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def here() -> Any:
    switch = FakeSwitch(node_id(TOP))
    switch.below = {node_id(A1)}
    reactor, tree = FakeReactor(), tree_of(TOP)
    tree.note_departed(node_id(STRANGER), "killed by SIGSEGV")
    control = Control(switch, reactor, InFlight(), tree)  # type: ignore[arg-type]
    switch.deliver[Kind.CONTROL] = control.on_control
    return switch, reactor, control, Garbage(tree, control)


def test_it_is_collected_in_a_thread_of_its_own_and_counted(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    switch, _, control, garbage = here
    threads: list[str] = []
    collect = gc.collect
    monkeypatch.setattr(gc, "collect", lambda: threads.append(threading.current_thread().name) or collect())
    knots = [Knot() for _ in range(10)]
    del knots
    control.on_control(None, node_id(A1), 5, encode_control({"op": "collect_garbage"}))
    assert garbage._collector.drain(10.0)
    answer = switch.take_one(Kind.CONTROL)
    assert (answer.destination, answer.message_id) == (node_id(A1), 5)
    assert answer.message["found"] >= 10
    assert threads == ["softgrid-garbage"]


def test_others_are_asked_and_their_answers_given_in_order(here: Any) -> None:
    switch, reactor, control, garbage = here

    def answer(waiter: Any) -> None:
        sent = switch.take_one(Kind.CONTROL)
        assert sent.message == {"op": "collect_garbage"}
        control.on_control(None, sent.destination, sent.message_id, encode_control({"op": "answer", "found": 7}))

    reactor.while_waiting = answer
    error, found = garbage.collect([STRANGER, A1], 4.0)
    assert isinstance(error, PeerLost)
    assert "SIGSEGV" in str(error)
    assert found == 7
    assert reactor.waits == [4.0]
