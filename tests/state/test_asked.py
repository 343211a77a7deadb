"""Asked: a request is answered once, by one who may, or its requester hears why it never will be."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from tests.harness.trees import A1, A2, B1

from softgrid._model.errors import Duplicate, Missing, PeerLost, Refused, SoftgridError, TimedOut
from softgrid._model.names import node_id
from softgrid._state.asked import FAILED_KEPT, Asked, Request
from softgrid._state.waits import Wait

P, Q = b"p" * 16, b"q" * 16
A1_ID, A2_ID, B1_ID = map(node_id, (A1, A2, B1))


class Asker:
    """One executor's requests, and threads that wait for their responses."""

    def __init__(self) -> None:
        self.asked = Asked()
        self.numbers = 0
        self.woken: list[Wait[Request]] = []

    def ask(self, token: bytes = P, responder: str = A1, deadline: float = inf, allowed: Any = None) -> int:
        self.numbers += 1
        ids = None if allowed is None else frozenset(map(node_id, allowed))
        self.asked.register(Request(token, self.numbers, node_id(responder), responder, deadline, ids))
        return self.numbers

    def answer(self, number: int = 0, value: object = "answer", by: str = A1, token: bytes = P, now: float = 0) -> Any:
        return self.asked.answer(token, number, node_id(by), value, now)

    def wait(self, *tokens: bytes, now: float = 0.0) -> Wait[Request]:
        wait: Wait[Request] = Wait(tokens, lambda: self.woken.append(wait))
        for token in tokens:
            self.asked.join(token, wait, now)
        return wait

    def collect(self, token: bytes = P, now: float = 0.0) -> Any:
        """What is there at once: the response, or the error."""
        (outcome,) = self.wait(token, now=now).got.values()
        return outcome.response if isinstance(outcome, Request) else outcome

    def lose(self, *names: str) -> int:
        return self.asked.lose(set(map(node_id, names)), lambda who, name: PeerLost(f"{name} is gone: {who}"))


@pytest.fixture
def asker() -> Asker:
    return Asker()


# -- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("knows_number", [True, False])
def test_an_answer_waits_to_be_collected_once(asker: Asker, knows_number: bool) -> None:
    number = asker.ask()
    assert len(asker.asked) == 1
    assert asker.answer(number if knows_number else 0) is None
    assert len(asker.asked) == 0
    assert asker.collect() == "answer"
    assert isinstance(asker.collect(), Missing)
    assert asker.woken


def test_a_waiting_thread_is_woken_by_the_answer_and_only_by_its_own(asker: Asker) -> None:
    numbers = asker.ask(P), asker.ask(Q)
    wait = asker.wait(P, Q)
    asker.answer(numbers[1], "q", token=Q)
    assert (asker.woken, wait.missing) == ([], {P})
    asker.answer(numbers[0], "p")
    assert asker.woken == [wait]
    assert {token: request.response for token, request in wait.got.items()} == {P: "p", Q: "q"}  # type: ignore[union-attr]
    assert isinstance(asker.collect(), Missing)


def test_the_first_thread_in_line_gets_the_answer_and_the_others_hear_of_it(asker: Asker) -> None:
    number = asker.ask()
    first, second = asker.wait(P), asker.wait(P)
    asker.answer(number)
    assert isinstance(first.got[P], Request)
    assert "collected by another thread" in str(second.got[P])


def test_of_two_answers_the_second_is_refused(asker: Asker) -> None:
    number = asker.ask()
    assert asker.answer(number, "first", A1) is None
    assert asker.answer(number, "second", A2) == "another response came before it"
    assert asker.collect() == "first"
    assert "no request with that password waits" in asker.answer(number, "third", A2)


def test_a_wrong_password_is_refused_and_changes_nothing(asker: Asker) -> None:
    asker.ask()
    assert "no request with that password waits for a response (wrong password" in asker.answer(0, token=Q)
    assert len(asker.asked) == 1
    assert asker.answer(0) is None


def test_only_allowed_responders_are_heard(asker: Asker) -> None:
    number = asker.ask(allowed=[A2, B1])
    assert asker.answer(number, by=A1) == "this responder is not among those that the requester allows"
    assert asker.answer(number, "mine", by=B1) is None
    assert asker.collect() == "mine"


def test_an_answer_to_what_was_asked_before_is_not_taken_for_one_to_what_is_asked_now(asker: Asker) -> None:
    before = asker.ask()
    asker.asked.release(P, Refused("released"))
    now = asker.ask()
    assert asker.answer(before, "late") == "what it answers is over, and its password was used again since"
    assert asker.answer(now, "in time") is None
    assert asker.collect() == "in time"


# -- passwords ------------------------------------------------------------------------------------


def test_a_password_belongs_to_one_request_until_that_is_collected(asker: Asker) -> None:
    for state in ("open", "answered"):
        number = asker.ask() if state == "open" else asker.numbers
        with pytest.raises(Duplicate, match=r"password: got '\(not shown\)'.*release_request\(\) frees this one"):
            asker.ask()
        if state == "open":
            asker.numbers = number
            asker.answer(number)
    asker.collect()
    asker.ask()


def test_what_failed_does_not_keep_its_password_from_being_used_again(asker: Asker) -> None:
    asker.ask()
    asker.lose(A1)
    number = asker.ask(responder=A2)
    assert asker.answer(number, by=A2) is None
    assert asker.collect() == "answer"
    assert isinstance(asker.collect(), Missing)


def test_releasing_frees_a_password_and_lets_go_who_waits(asker: Asker) -> None:
    number = asker.ask()
    wait, error = asker.wait(P), Refused("released")
    assert asker.asked.release(P, error)
    assert wait.got == {P: error}
    assert asker.woken == [wait]
    assert "no request" in asker.answer(number)
    assert not asker.asked.release(P, error)
    asker.answer(asker.ask())
    assert asker.asked.release(P, error)
    assert isinstance(asker.collect(), Missing)


# -- time -----------------------------------------------------------------------------------------


def test_a_request_out_of_time_fails_and_its_answer_is_refused(asker: Asker) -> None:
    number = asker.ask(deadline=10)
    wait = asker.wait(P)
    assert asker.asked.expire(9.9) == 10
    assert not asker.woken
    assert asker.asked.expire(10) == inf
    assert isinstance(wait.got[P], TimedOut)
    assert A1 in str(wait.got[P])
    assert "no request" in asker.answer(number, now=11)


def test_out_of_time_does_not_wait_for_anybody_to_notice(asker: Asker) -> None:
    number = asker.ask(P, deadline=10)
    asker.ask(Q, deadline=10)
    refusal = asker.answer(number, now=10)
    assert refusal.startswith("its request is over: ")
    assert isinstance(asker.collect(P, now=10), TimedOut)
    assert isinstance(asker.collect(Q, now=10), TimedOut)
    assert len(asker.asked) == 0


def test_the_earliest_deadline_is_given(asker: Asker) -> None:
    assert asker.asked.expire(0) == inf
    asker.ask(P, deadline=30)
    asker.ask(Q, deadline=20)
    assert asker.asked.expire(0) == 20
    assert asker.asked.expire(20) == 30


def test_a_wait_that_lasts_too_long_leaves_its_request_as_it_is(asker: Asker) -> None:
    number = asker.ask()
    wait = asker.wait(P)
    asker.asked.leave(P, wait, 5)
    assert str(wait.got[P]) == f"{A1} has not answered within 5 s; it still may"
    assert asker.answer(number) is None
    assert asker.collect() == "answer"
    assert asker.woken[0] is wait


# -- deaths and hand-overs ------------------------------------------------------------------------


def test_the_death_of_whom_it_is_with_fails_a_request_at_once(asker: Asker) -> None:
    asker.ask(P, A1)
    other = asker.ask(Q, A2)
    wait = asker.wait(P)
    assert asker.lose(A1, B1) == 1
    assert isinstance(wait.got[P], PeerLost)
    assert str(wait.got[P]).startswith(f"{A1} is gone")
    assert asker.lose(A1) == 0
    assert asker.answer(other, token=Q) is None


def test_what_failed_while_nobody_waited_is_told_to_who_asks_later_once(asker: Asker) -> None:
    number = asker.ask()
    asker.lose(A1)
    assert asker.answer(number).startswith("its request is over: ")
    assert isinstance(asker.collect(), PeerLost)
    assert isinstance(asker.collect(), Missing)


def test_a_request_dies_with_whom_it_was_handed_to_and_no_more_with_whom_it_was_with(asker: Asker) -> None:
    number = asker.ask(P, A1)
    assert asker.asked.move(P, number, 1, A2_ID, A2).name == A2  # type: ignore[union-attr]
    assert asker.lose(A1) == 0
    assert asker.lose(A2) == 1
    assert asker.asked.move(P, number, 2, B1_ID, B1) is None


def test_news_of_a_hand_over_that_is_overtaken_by_later_news_is_no_news(asker: Asker) -> None:
    number = asker.ask(P, A1)
    assert asker.asked.move(P, number, 2, B1_ID, B1) is not None
    assert asker.asked.move(P, number, 1, A2_ID, A2) is None
    assert asker.asked.move(P, number + 1, 3, A2_ID, A2) is None
    assert asker.asked.move(Q, number, 3, A2_ID, A2) is None
    assert asker.lose(A2, A1) == 0
    assert asker.lose(B1) == 1


def test_a_failure_counts_only_for_the_request_it_is_about(asker: Asker) -> None:
    before = asker.ask()
    asker.asked.release(P, Refused("released"))
    number = asker.ask()
    error = SoftgridError("unreadable")
    asker.asked.fail(P, before, error)
    asker.asked.fail(Q, number, error)
    asker.asked.fail(P, number, error, holder=A2_ID)
    assert len(asker.asked) == 1
    asker.asked.fail(P, number, error, holder=A1_ID)
    assert asker.collect() is error


# -- waits cut short, and bounds ------------------------------------------------------------------


def test_what_an_interrupted_wait_has_got_is_there_for_the_next(asker: Asker) -> None:
    numbers = [asker.ask(P), asker.ask(Q)]
    asker.ask(b"r" * 16)
    wait = asker.wait(P, Q, b"r" * 16, b"s" * 16)
    asker.answer(numbers[0])
    asker.asked.fail(Q, numbers[1], SoftgridError("lost"))
    asker.asked.abandon(wait)
    assert asker.collect(P) == "answer"
    assert str(asker.collect(Q)) == "lost"
    assert isinstance(asker.collect(b"s" * 16), Missing)
    assert asker.answer(3, token=b"r" * 16) is None
    assert asker.collect(b"r" * 16) == "answer"
    assert wait not in asker.woken


def test_what_an_interrupted_wait_has_got_does_not_displace_a_newer_request(asker: Asker) -> None:
    number = asker.ask(P)
    asker.ask(Q)
    wait = asker.wait(P, Q)
    asker.answer(number, "old")
    now = asker.ask(P)
    asker.asked.abandon(wait)
    assert asker.answer(now, "new") is None
    assert asker.collect() == "new"


def test_failures_that_nobody_collects_are_kept_up_to_a_number(asker: Asker) -> None:
    for index in range(FAILED_KEPT + 1):
        asker.ask(index.to_bytes(16, "big"))
    assert asker.lose(A1) == FAILED_KEPT + 1
    assert isinstance(asker.collect((0).to_bytes(16, "big")), Missing)
    assert isinstance(asker.collect((1).to_bytes(16, "big")), PeerLost)


def test_a_request_is_shown_by_its_number_and_who_has_it() -> None:
    assert repr(Request(P, 5, A1_ID, A1)) == f"<Request 5 to {A1}>"
