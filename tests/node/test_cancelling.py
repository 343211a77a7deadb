"""Cancelling: a call is taken back from wherever it is, and a blow falls only where it is due."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeReactor
from tests.harness.trees import A1, A2, TOP, A, tree_of

from softgrid._model.errors import Cancelled, NoRoute, PeerLost, Refused, SoftgridError
from softgrid._model.names import node_id
from softgrid._model.rules import Rules
from softgrid._node.cancelling import CONFIRM_S, Cancelling
from softgrid._state.inflight import Batch, InFlight, matching

GRACE = 3.0


class FakeControl:
    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}
        self.guest_methods: dict[str, Any] = {}
        self.told: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, Any, Any]] = []

    def tell_id(self, target: int, message: Any) -> None:
        self.told.append((target, message))

    def ask(self, name: str, message: Any, on_answer: Any) -> None:
        self.asked.append((name, message, on_answer))


class Taking:
    """One executor that takes calls back; it stands for its own transfers and launches."""

    def __init__(self, me: str = TOP) -> None:
        self.tree = tree_of(me)
        self.control, self.reactor = FakeControl(), FakeReactor()
        self.inflight = InFlight()
        self.cancelled: dict[int, str] = {}
        self.held: set[Any] = set()
        self.unsent: set[int] = set()
        self.killed: list[tuple[str, Any]] = []
        self.is_launcher = True
        parts: Any = (self.tree, self.control, self, self, self.reactor)
        self.cancelling = Cancelling(*parts, lambda: Rules({"cancel_grace_time": GRACE}))

    def withdraw(self, target: int, message_id: int) -> bool:
        return message_id in self.unsent

    def kill_child(self, name: str, running: Any) -> bool:
        self.killed.append((name, running))
        return self.is_launcher

    def calls(self, *names: str, **kwargs: Any) -> list[int]:
        self.batch = Batch(list(names), [kwargs] * len(names))
        self.batch.is_cancellable = True
        return [self.inflight.open(self.batch, index, node_id(name)) for index, name in enumerate(names)]

    def take_back(self, meanwhile: Any = lambda: None, **which: Any) -> list[tuple[str, str | None]]:
        self.reactor.while_waiting = lambda waiter: meanwhile()
        return self.cancelling.cancel(matching(which.get("label"), which.get("names")), which.get("grace"))

    def asks(self, op: str, source: str, **message: Any) -> list[Any]:
        answers: list[Any] = []
        self.control.methods[op]({"op": op, **message}, node_id(source), answers.append)
        return answers

    def check_nothing_left(self) -> None:
        assert len(self.inflight) == 0
        assert self.cancelled == {}
        assert self.inflight._watched == {}


@pytest.fixture
def taking() -> Taking:
    return Taking()


# -- the caller -----------------------------------------------------------------------------------


def test_each_receiver_is_told_and_when_all_have_ended_it_is_over(taking: Taking) -> None:
    first, second = taking.calls(A1, A2)

    def answer() -> None:
        for message_id, name in ((first, A1), (second, A2)):
            taking.inflight.settle(message_id, node_id(name), b"answer")

    assert taking.take_back(answer) == [(A1, None), (A2, None)]
    assert taking.control.told == [
        (node_id(A1), {"op": "cancel", "id": first}),
        (node_id(A2), {"op": "cancel", "id": second}),
    ]
    assert taking.reactor.waits == [GRACE + CONFIRM_S]
    assert taking.reactor.run_timers() == [GRACE]
    assert taking.control.asked == [], "who has ended in time is not killed"
    taking.check_nothing_left()


def test_what_has_not_left_is_over_at_once_and_its_receiver_never_hears_of_it(taking: Taking) -> None:
    (message_id,) = taking.calls(A1)
    taking.unsent.add(message_id)
    assert taking.take_back() == [(A1, None)]
    assert isinstance(taking.batch.outcomes[0], Cancelled)
    assert (taking.control.told, taking.reactor.timers) == ([], [])
    taking.check_nothing_left()


def test_who_does_not_listen_within_the_grace_is_killed_by_order_of_the_orchestrator(taking: Taking) -> None:
    (message_id,) = taking.calls(A1)

    def pass_time() -> None:
        assert taking.reactor.run_timers() == [0.5]
        ((name, question, _),) = taking.control.asked
        assert (name, question) == (TOP, {"op": "end_call", "name": A1, "id": message_id})
        assert "was killed, since the call had not ended 0.5 s after" in taking.cancelled[message_id]
        taking.inflight.lose({node_id(A1)}, lambda *about: Cancelled(taking.cancelled[message_id]))

    assert taking.take_back(pass_time, grace=0.5) == [(A1, None)]
    taking.check_nothing_left()


def test_what_goes_on_is_named_with_the_reason(taking: Taking) -> None:
    taking.calls(A1, A2)

    def pass_time() -> None:
        taking.reactor.run_timers()
        taking.control.asked[0][2](Refused("it joined by hand"))
        taking.control.asked[1][2]({})

    assert taking.take_back(pass_time) == [
        (A1, "it joined by hand"),
        (A2, "its executor does not say that it is over"),
    ]


def test_only_what_is_meant_is_taken_back(taking: Taking) -> None:
    (mine,), (other,) = taking.calls(A1, label="mine"), taking.calls(A1, label="other")
    taking.take_back(label="mine", names=frozenset({A1, A2}))
    assert taking.take_back(label="nobody's") == []
    assert taking.take_back(label="mine", names=frozenset({A2})) == []
    assert [message["id"] for _, message in taking.control.told] == [mine]
    assert taking.inflight.is_open(other)


def test_what_is_held_back_is_given_up_too(taking: Taking) -> None:
    class Held:
        def cancel_waiting(self, matches: Any, error: SoftgridError) -> list[str]:
            assert isinstance(error, Cancelled)
            return [A2]

    taking.held.add(Held())
    assert taking.take_back() == [(A2, None)]


# -- those who end it -----------------------------------------------------------------------------


def test_the_orchestrator_orders_it_from_the_upgrid_in_the_name_of_who_asked(taking: Taking) -> None:
    answers = taking.asks("end_call", A2, name=A1, id=5)
    ((upgrid, order, on_answer),) = taking.control.asked
    assert (upgrid, order) == (A, {"op": "end_running", "name": A1, "caller": node_id(A2), "id": 5})
    assert answers == []
    on_answer({})
    assert answers == [{}]
    on_answer(PeerLost("gone"))
    assert answers[1]["op"] == "error"


@pytest.mark.parametrize(("name", "error"), [(A, Refused), ("worker|nobody@10.0.0.1[1]:1", NoRoute)])
def test_only_workers_that_are_there_are_killed_for_a_call(taking: Taking, name: str, error: type) -> None:
    with pytest.raises(error):
        taking.asks("end_call", A2, name=name, id=5)
    assert taking.control.asked == []


def test_nobody_but_the_orchestrator_is_asked_who_is_to_be_killed() -> None:
    with pytest.raises(NoRoute):
        Taking(A).asks("end_call", A2, name=A1, id=5)


def test_an_upgrid_kills_on_condition_and_by_order_of_the_orchestrator_only() -> None:
    taking = Taking(A)
    with pytest.raises(Refused):
        taking.asks("end_running", A2, name=A1, caller=7, id=5)
    assert taking.killed == []
    assert taking.asks("end_running", TOP, name=A1, caller=7, id=5) == [{}]
    assert taking.killed == [(A1, (7, 5))]
    taking.is_launcher = False
    with pytest.raises(Refused, match="it was not launched by the grid"):
        taking.asks("end_running", TOP, name=A1, caller=7, id=5)
