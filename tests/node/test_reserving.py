"""Promises that an executor makes elsewhere: known as long as they are held."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.promising import BUSY, NOT_HELD, PLACED, REMOVED, Creating
from tests.harness.trees import A1, A2, B1, STRANGER, TOP

from softgrid._model.errors import BadArgument, NoRoute, PeerLost, Refused, TimedOut, Undecodable
from softgrid._model.names import node_id
from softgrid._node import reserving as reserving_module
from softgrid._node.reserving import was_held


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
