"""Promises that an executor makes elsewhere: known as long as they are held, for a job all or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.harness.nodes import FakeReactor, FakeSwitch
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, tree_of

from softgrid._model.errors import BadArgument, MalformedName, NoRoute, PeerLost, Refused, TimedOut, Undecodable
from softgrid._model.names import node_id
from softgrid._node import reserving as reserving_module
from softgrid._node.control import Control
from softgrid._node.reserving import Reserving, was_held
from softgrid._node.workers import Workers
from softgrid._state.inflight import InFlight
from softgrid._state.reservations import Reservations, Wish
from softgrid._wire.control import encode_control
from softgrid._wire.framing import Kind

PLACED = {
    "placed": True,
    "at_head": True,
    "queue_length": 0,
    "number_of_existing_promises": 0,
    "number_of_running_executions": 0,
    "promise_create_time": 1.5e9,
    "promise_password": "p",
    "reason": None,
}
BUSY = {**PLACED, "placed": False, "at_head": False, "promise_password": None, "reason": "it is busy"}
REMOVED = {"removed": True, "remaining_queue_length": 0, "reason": None}
NOT_HELD = {**REMOVED, "removed": False, "reason": "no such promise"}

Answering = Callable[[str, dict[str, Any]], Any]


class Creating:
    """The orchestrator of the small grid; *answering* says what each holder answers to each question, or None."""

    def __init__(self) -> None:
        self.tree: Any = tree_of(TOP)
        self.switch = FakeSwitch(self.tree.node_id)
        self.switch.below = {node_id(name) for name in (A, A1, A2, B1)}
        self.reactor = FakeReactor()
        self.inflight = InFlight()
        self.control = Control(self.switch, self.reactor, self.inflight, self.tree.node_id)  # type: ignore[arg-type]
        self.reservations = Reservations()
        self.workers = Workers(self.tree, self.inflight, self.reservations.held_by)
        self.reserving = Reserving(self.tree, self.control, self.reservations, self.workers)
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.reactor.while_waiting = lambda waiter: self.answer()

    def name_of(self, who: int) -> str:
        return next(name for name in (A, A1, A2, B1) if node_id(name) == who)

    def answer(self) -> None:
        for sent in self.switch.take(Kind.CONTROL):
            name = self.name_of(sent.destination)
            self.asked.append((name, sent.message))
            answer = self.answers.get(name, PLACED if sent.message["op"] == "add_promise" else REMOVED)
            if isinstance(answer, dict):
                self.says(name, {"op": "answer", **answer}, sent.message_id)
            elif answer is not None:
                self.inflight.lose({sent.destination}, lambda name, target, error=answer: error)

    def says(self, name: str, message: dict[str, Any], message_id: int = 0) -> None:
        self.control.on_control(None, node_id(name), message_id, encode_control(message))

    def add(self, *names: str, password: Any = "p", timeout: Any = 60, force: Any = True, **more: Any) -> Any:
        return self.reserving.add(list(names), password, timeout, 3.0, force=force, **more)

    def told(self) -> list[tuple[str, str]]:
        """What holders were told without being asked: their names and the op."""
        return [(self.name_of(sent.destination), sent.message["op"]) for sent in self.switch.take(Kind.CONTROL)]


@pytest.fixture
def creating() -> Creating:
    return Creating()


# -- making ---------------------------------------------------------------------------------------


def test_each_is_asked_once_and_what_is_placed_is_known(creating: Creating) -> None:
    creating.answers[A2] = BUSY
    placed, busy = creating.add(A1, A2)
    assert placed == {**PLACED, "promise_executor": A1}
    assert busy == {**BUSY, "promise_executor": A2}
    question = {"op": "add_promise", "creator": TOP, "password": "p", "timeout": 60, "force": True, "kept": False}
    assert creating.asked == [(A1, question), (A2, question)]
    assert creating.reserving.holders("p") == [A1]
    creating.switch.check_nothing_sent()


def test_without_a_password_all_get_the_same_that_nobody_can_guess(creating: Creating) -> None:
    creating.add(A1, A2, password=None)
    passwords = {message["password"] for _, message in creating.asked}
    assert len(passwords) == 1
    assert len(passwords.pop()) == 64


def test_who_is_gone_nowhere_or_dies_meanwhile_is_an_error_in_its_place(creating: Creating) -> None:
    creating.tree.leave(B1, "killed")
    creating.answers[A2] = PeerLost("died")
    outcomes = creating.add(B1, STRANGER, A1, A2)
    assert [type(outcome) for outcome in outcomes] == [PeerLost, NoRoute, dict, PeerLost]
    assert "killed" in str(outcomes[0])
    assert creating.reserving.holders("p") == [A1]


def test_who_does_not_answer_in_time_is_told_to_forget_it(creating: Creating) -> None:
    creating.answers[A2] = "silence"
    creating.reactor.while_waiting = lambda waiter: None
    (late,) = creating.add(A2)
    assert isinstance(late, TimedOut)
    assert creating.told() == [(A2, "add_promise"), (A2, "remove_promise")]
    assert creating.reserving.holders("p") == []


def test_who_asks_twice_keeps_what_it_has(creating: Creating) -> None:
    creating.add(A1)
    creating.answers[A1] = {**BUSY, "reason": "taken"}
    creating.add(A1)
    assert creating.reserving.holders("p") == [A1]
    creating.reactor.while_waiting = lambda waiter: None
    creating.add(A1)
    assert creating.told() == [(A1, "add_promise")]
    assert creating.reserving.holders("p") == [A1]


def test_who_is_interrupted_holds_nothing(creating: Creating) -> None:
    def interrupt(waiter: Any) -> None:
        raise KeyboardInterrupt

    creating.reactor.while_waiting = interrupt
    with pytest.raises(KeyboardInterrupt):
        creating.add(A1, A2)
    assert creating.told() == [
        (A1, "add_promise"),
        (A2, "add_promise"),
        (A1, "remove_promise"),
        (A2, "remove_promise"),
    ]
    assert creating.reserving.holders("p") == []


@pytest.mark.parametrize("answer", [{}, {**PLACED, "placed": 1}, {**PLACED, "queue_length": "0"}])
def test_an_answer_that_is_none_is_an_error(creating: Creating, answer: Any) -> None:
    creating.answers[A1] = answer
    (outcome,) = creating.add(A1)
    assert isinstance(outcome, Undecodable)


@pytest.mark.parametrize(
    ("parameter", "given"),
    [("promisePassword", {"password": 5}), ("promiseTimeout", {"timeout": None}), ("force", {"force": "yes"})],
)
def test_bad_parameters_are_named_and_nobody_is_asked(creating: Creating, parameter: str, given: Any) -> None:
    with pytest.raises(BadArgument, match=f"^{parameter}: got"):
        creating.add(A1, **given)
    creating.switch.check_nothing_sent()
    assert len(creating.reservations) == 0


# -- taking back ----------------------------------------------------------------------------------


def test_what_is_removed_or_not_held_any_more_is_forgotten(creating: Creating) -> None:
    creating.add(A1, A2, B1)
    creating.answers.update({A1: REMOVED, A2: NOT_HELD, B1: {**NOT_HELD, "remaining_queue_length": 2}})
    outcomes = creating.reserving.remove([A1, A2, B1], "p", 3.0, force=False)
    assert [outcome["removed"] for outcome in outcomes] == [True, False, False]  # type: ignore[index]
    assert [was_held(outcome) for outcome in outcomes] == [True, False, True]  # type: ignore[arg-type]
    assert creating.asked[-1] == (B1, {"op": "remove_promise", "password": "p", "force": False})
    assert creating.reserving.holders("p") == [B1]


def test_what_a_lost_holder_held_is_not_forgotten_before_it_is_gone(creating: Creating) -> None:
    creating.add(A1)
    creating.answers[A1] = PeerLost("died")
    (outcome,) = creating.reserving.remove([A1], "p", 3.0, force=True)
    assert isinstance(outcome, PeerLost)
    creating.reserving.on_gone({node_id(A1)})
    assert creating.reserving.holders("p") == []


def test_removing_soon_asks_for_no_answer(creating: Creating) -> None:
    creating.add(A1, A2)
    creating.reserving.remove_soon([A1], "p")
    assert creating.told() == [(A1, "remove_promise")]
    assert creating.reserving.holders("p") == [A2]


# -- what holders say -----------------------------------------------------------------------------


def test_a_holder_says_what_was_made_in_ones_name_and_what_has_ended(creating: Creating) -> None:
    creating.says(A1, {"op": "promise_made", "password": "p", "holder": A1})
    assert creating.reserving.holders("p") == [A1]
    creating.says(A2, {"op": "promise_made", "password": "p", "holder": B1})
    creating.says(A2, {"op": "promise_ended", "password": "p", "reason": "x"})
    assert creating.reserving.holders("p") == [A1], "nobody speaks for others"
    creating.says(A1, {"op": "promise_ended", "password": "p", "reason": "x"})
    assert creating.reserving.holders("p") == []


def test_nobody_can_fill_the_memory_with_promises_it_says_to_hold(
    creating: Creating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserving_module, "MAX_PROMISES", 3)
    for number in range(9):
        creating.says(A1, {"op": "promise_made", "password": str(number), "holder": A1})
    assert len(creating.reservations) == 3


class Listening:
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def on_granted(self, holder: int) -> None:
        self.heard.append(("granted", holder))

    def on_ended(self, holder: int) -> None:
        self.heard.append(("ended", holder))


def test_who_listens_hears_of_its_own_password_until_it_stops(creating: Creating) -> None:
    listening = Listening()
    with creating.reserving.listening("p", listening):
        pass
    for password in ("p", "q"):
        creating.says(A1, {"op": "promise_granted", "password": password})
        creating.says(A1, {"op": "promise_ended", "password": password, "reason": "x"})
    creating.reserving.on_gone({node_id(A2)})
    assert listening.heard == [("granted", node_id(A1)), ("ended", node_id(A1)), ("ended", node_id(A2))]
    with pytest.raises(Refused, match="under way"), creating.reserving.listening("p", Listening()):
        pass
    creating.reserving.unlisten("p")
    creating.says(A1, {"op": "promise_granted", "password": "p"})
    assert len(listening.heard) == 3


def test_who_fails_while_it_begins_to_listen_hears_nothing(creating: Creating) -> None:
    listening = Listening()
    with pytest.raises(Refused), creating.reserving.listening("p", listening):
        raise Refused("no workers")
    creating.says(A1, {"op": "promise_granted", "password": "p"})
    assert listening.heard == []


# -- all or nothing -------------------------------------------------------------------------------


def test_for_a_job_all_workers_below_are_reserved_under_one_password(creating: Creating) -> None:
    held = creating.reserving.reserve(Wish(password="p"))
    assert [promise["promise_executor"] for promise in held] == [A1, A2, B1]
    assert creating.reserving.holders("p") == [A1, A2, B1]
    assert all(message["force"] is False for _, message in creating.asked)


def test_no_more_workers_are_reserved_than_there_are_tasks_those_with_least_to_do(creating: Creating) -> None:
    creating.reservations.note("other", node_id(A1), A1)
    held = creating.reserving.reserve(Wish(ntasks=2, password="p"))
    assert [promise["promise_executor"] for promise in held] == [A2, B1]
    assert [name for name, _ in creating.asked] == [A2, B1]


def test_for_one_that_refuses_the_next_is_asked(creating: Creating) -> None:
    creating.answers[A1] = BUSY
    held = creating.reserving.reserve(Wish(ntasks=1, nworkers_min=1, password="p"))
    assert [promise["promise_executor"] for promise in held] == [A2]
    assert [name for name, _ in creating.asked] == [A1, A2]


def test_when_there_are_too_few_nothing_is_held_and_it_says_why(creating: Creating) -> None:
    creating.answers.update({A2: BUSY, B1: PeerLost("died")})
    with pytest.raises(Refused) as caught:
        creating.reserving.reserve(Wish(nworkers_min=2, password="p"))
    assert str(caught.value) == (
        f"1 of the 2 workers that there must be could be reserved, so none is: {A2}: it is busy; {B1}: died"
    )
    assert creating.asked[-1] == (A1, {"op": "remove_promise", "password": "p", "force": True})
    assert len(creating.reservations) == 0
    assert creating.reactor.waits[-1] == reserving_module.ROLL_BACK_S


def test_nobody_is_asked_when_there_cannot_be_enough(creating: Creating) -> None:
    with pytest.raises(BadArgument, match="nworkersMin"):
        creating.reserving.reserve(Wish(nworkers_min=4))
    assert creating.asked == []


def test_nobody_more_is_asked_when_there_cannot_be_enough_any_more(creating: Creating) -> None:
    creating.answers.update({A1: BUSY, A2: BUSY})
    with pytest.raises(Refused, match=r"^0 of the 2"):
        creating.reserving.reserve(Wish(ntasks=2, nworkers_min=2))
    assert [name for name, _ in creating.asked] == [A1, A2]


def test_the_time_for_a_job_to_be_promised_is_bounded_whichever_bound_is_nearest(creating: Creating) -> None:
    for wish, at_most, bound in [
        (Wish(transfer_timeout=7), None, 7.0),
        (Wish(transfer_timeout=None, promise_timeout=9), None, 9.0),
        (Wish(transfer_timeout=7), 2.0, 2.0),
    ]:
        creating.reserving.reserve(wish, at_most)
        waited = creating.reactor.waits.pop()
        assert waited is not None
        assert bound - 1 < waited <= bound


def test_while_one_job_is_given_its_workers_another_waits_its_turn(creating: Creating) -> None:
    def other_job(waiter: Any) -> None:
        with pytest.raises(TimedOut, match=r"other jobs were being given their workers for 0\.01 s"):
            creating.reserving.reserve(Wish(transfer_timeout=0.01))
        creating.answer()

    creating.reactor.while_waiting = other_job
    assert len(creating.reserving.reserve(Wish())) == 3


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (Wish(workers=[]), BadArgument),
        (Wish(workers=5), BadArgument),
        (Wish(workers=["nobody"]), MalformedName),
        (Wish(workers=[A]), BadArgument),
        (Wish(workers=[[A1]]), MalformedName),
        (Wish(ntasks=0), BadArgument),
        (Wish(promise_timeout=None), BadArgument),
        (Wish(promise_timeout=0), BadArgument),
        (Wish(transfer_timeout=-1), BadArgument),
        (Wish(password=""), BadArgument),
        (Wish(force="no"), BadArgument),
    ],
)
def test_a_wish_that_cannot_be_meant_is_refused_with_nothing_held(creating: Creating, wish: Wish, error: type) -> None:
    with pytest.raises(error):
        creating.reserving.reserve(wish)
    assert len(creating.reservations) == 0
    assert len(creating.reserving.reserve(Wish())) == 3, "the next job gets its turn"


def test_a_worker_that_is_named_twice_is_asked_once(creating: Creating) -> None:
    assert len(creating.reserving.reserve(Wish(workers=[A1, A1, A2]))) == 2


def test_a_job_that_is_interrupted_while_it_is_promised_workers_holds_nothing(creating: Creating) -> None:
    creating.answers[A1] = BUSY

    def interrupt_later(waiter: Any) -> None:
        if len(creating.asked) == 2:
            raise KeyboardInterrupt
        creating.answer()

    creating.reactor.while_waiting = interrupt_later
    with pytest.raises(KeyboardInterrupt):
        creating.reserving.reserve(Wish(ntasks=2, password="p"))
    assert sorted(creating.told()) == [(A2, "remove_promise"), (B1, "add_promise"), (B1, "remove_promise")]
    assert len(creating.reservations) == 0
