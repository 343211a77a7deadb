"""Received: requests come in order, each is answered or handed over once, and nobody waits for the dead."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from tests.harness.trees import A1, A2, B1

from softgrid._model.errors import Missing, PeerLost, Refused, SoftgridError, TimedOut
from softgrid._model.names import node_id
from softgrid._state.received import TOKENS_KNOWN, Received, Request
from softgrid._state.waits import Wait

P, Q = b"p" * 16, b"q" * 16
A1_ID, A2_ID, B1_ID = map(node_id, (A1, A2, B1))


class Server:
    """One executor that is asked, and threads that wait for requests."""

    def __init__(self) -> None:
        self.received = Received()
        self.numbers = 0
        self.woken: list[Wait[Request]] = []

    def comes(
        self, content: object = None, requester: str = A1, token: bytes = P, deadline: float = inf, wanted: bool = True
    ) -> Request:
        self.numbers += 1
        number = self.numbers if wanted else 0
        request = Request(token, number, node_id(requester), requester, deadline, 0, content or self.numbers)
        self.received.arrive(request)
        return request

    def wait(self, *tokens: bytes, now: float = 0.0) -> Wait[Request]:
        wait: Wait[Request] = Wait(tokens, lambda: self.woken.append(wait))
        for token in tokens:
            self.received.join(token, wait, now)
        return wait

    def take(self, token: bytes = P, now: float = 0.0) -> Any:
        """What is there at once, by its content; None when one would have to wait."""
        wait = self.wait(token, now=now)
        if not wait.got:
            self.received.abandon(wait)
            return None
        (thing,) = wait.got.values()
        return thing.content if isinstance(thing, Request) else thing

    def answer(self, requester: str = A1, token: bytes = P, now: float = 0.0) -> Any:
        """The number of the request that an answer is for."""
        request = self.received.take_unanswered(node_id(requester), token, now)
        return None if request is None else request.number

    def lose(self, *names: str) -> None:
        self.received.lose(set(map(node_id, names)), lambda who, name: PeerLost(f"{name} is gone"))


@pytest.fixture
def server() -> Server:
    return Server()


# -- coming and being taken -----------------------------------------------------------------------


def test_requests_of_one_password_are_taken_in_the_order_in_which_they_came(server: Server) -> None:
    server.comes("a", A1)
    server.comes("q", A1, Q)
    server.comes("b", A2)
    server.comes("c", B1, wanted=False)
    assert len(server.received) == 3
    assert [server.take(), server.take(), server.take(), server.take()] == ["a", "b", "c", None]
    assert server.take(Q) == "q"


def test_who_has_waited_longest_gets_the_next_request(server: Server) -> None:
    first, second = server.wait(P, Q), server.wait(P)
    server.comes("1")
    assert (server.woken, first.missing) == ([], {Q})
    server.comes("2", A2)
    assert server.woken == [second]
    server.comes("3", B1, Q)
    assert server.woken == [second, first]
    assert {token: got.content for token, got in first.got.items()} == {P: "1", Q: "3"}  # type: ignore[union-attr]
    assert server.take() is None


def test_asking_again_takes_the_place_of_what_was_not_taken_yet(server: Server) -> None:
    server.comes("unregistered", A1, wanted=False)
    server.comes("old", A1)
    server.comes("other's", A2)
    server.comes("new", A1)
    assert [server.take() for _ in range(4)] == ["unregistered", "other's", "new", None]
    assert server.answer(A1) == 4


def test_a_request_out_of_time_is_passed_over(server: Server) -> None:
    server.comes("late", A1, deadline=10)
    server.comes("late too", A1, wanted=False, deadline=10)
    server.comes("in time", A2, deadline=11)
    assert server.take(now=10) == "in time"
    assert server.take(now=10) is None
    assert server.answer(A2, now=10) == 3


def test_a_wait_that_lasts_too_long_hears_so_and_misses_nothing(server: Server) -> None:
    wait = server.wait(P)
    server.received.leave(P, wait, 2.5)
    assert isinstance(wait.got[P], TimedOut)
    assert str(wait.got[P]) == "no request came within 2.5 s"
    server.comes("later")
    assert server.take() == "later"


# -- answering ------------------------------------------------------------------------------------


def test_a_request_is_answered_once(server: Server) -> None:
    number = server.comes().number
    server.take()
    assert server.answer() == number
    with pytest.raises(Missing, match=r"password: got '\(not shown\)', accepted is that of a request which is neither"):
        server.answer()


def test_what_was_not_taken_can_be_answered_too_and_then_is_not_given_out(server: Server) -> None:
    server.comes("a", A1)
    server.comes("b", A2)
    assert server.answer(A1) == 1
    assert [server.take(), server.take()] == ["b", None]


def test_what_was_taken_is_answered_before_what_came_since(server: Server) -> None:
    first = server.comes("first").number
    server.take()
    second = server.comes("second").number
    assert server.answer() == first
    assert server.take() == "second"
    assert server.answer() == second


def test_of_two_taken_from_one_requester_only_the_newer_is_still_waited_for(server: Server) -> None:
    server.comes()
    server.take()
    newer = server.comes().number
    server.take()
    assert server.answer() == newer
    with pytest.raises(Missing):
        server.answer()


def test_what_wants_no_answer_has_none(server: Server) -> None:
    server.comes(wanted=False)
    server.take()
    with pytest.raises(Missing):
        server.answer()


def test_who_never_asked_here_may_be_answered_all_the_same(server: Server) -> None:
    assert server.answer(B1) is None
    server.comes(requester=A1)
    assert server.answer(B1) is None
    assert server.answer(A1, Q) is None


def test_who_is_out_of_time_is_not_answered(server: Server) -> None:
    server.comes(deadline=10)
    server.take()
    with pytest.raises(TimedOut, match="the time of its request is over"):
        server.answer(now=10)


def test_what_could_not_be_sent_is_still_to_be_answered(server: Server) -> None:
    request = server.comes()
    server.take()
    taken = server.received.take_unanswered(A1_ID, P, 0)
    assert taken is request
    server.received.keep(request)
    assert server.answer() == request.number


def test_what_could_not_be_sent_does_not_displace_a_newer_request(server: Server) -> None:
    old = server.comes()
    server.take()
    server.answer()
    new = server.comes()
    server.take()
    server.received.keep(old)
    assert server.answer() == new.number


# -- deaths ---------------------------------------------------------------------------------------


def test_what_a_gone_requester_waits_for_is_void(server: Server) -> None:
    server.comes("taken", A1)
    server.take()
    server.comes("untaken", A1, Q)
    server.comes("other's", A2, Q)
    server.lose(A1)
    assert [server.take(Q), server.take(Q)] == ["other's", None]
    assert server.answer(A1, P) is None
    assert server.answer(A1, Q) is None
    assert server.answer(A2, Q) == 3


def test_what_wants_no_answer_outlives_its_requester(server: Server) -> None:
    server.comes("stop", A1, wanted=False)
    server.lose(A1)
    assert server.take() == "stop"


def test_a_wait_ends_with_the_last_of_those_who_have_asked(server: Server) -> None:
    for requester in (A1, A2):
        server.comes(requester=requester)
        server.take()
    wait = server.wait(P)
    server.lose(A1, B1)
    assert not wait.got
    server.lose(A2)
    assert isinstance(wait.got[P], PeerLost)
    assert str(wait.got[P]) == f"{A2} is gone"
    assert server.woken[-1] is wait


def test_a_wait_goes_on_when_those_who_are_gone_never_asked(server: Server) -> None:
    wait = server.wait(P)
    server.lose(A1)
    assert not wait.got
    server.comes("from another", B1)
    assert wait.got[P].content == "from another"  # type: ignore[union-attr]


def test_one_can_wait_anew_after_the_last_asker_is_gone(server: Server) -> None:
    server.comes()
    server.take()
    server.lose(A1)
    wait = server.wait(P)
    server.lose(A1)
    assert not wait.got


# -- ending ---------------------------------------------------------------------------------------


def test_releasing_forgets_everything_of_a_password_and_lets_go_who_waits(server: Server) -> None:
    error = Refused("released")
    server.comes("taken", A1)
    server.take()
    server.comes("untaken", A2)
    server.comes("other", A2, Q)
    assert server.received.release(P, error)
    assert not server.received.release(P, error)
    assert server.take() is None
    assert server.answer(A1) is None
    wait = server.wait(P)
    assert server.received.release(P, error)
    assert wait.got == {P: error}
    assert server.take(Q) == "other"


def test_what_is_out_of_time_is_dropped_and_the_next_deadline_given(server: Server) -> None:
    server.comes("1", A1, deadline=10)
    server.comes("2", A2, deadline=30)
    server.comes("3", B1, Q, deadline=20)
    server.take(Q)
    assert server.received.expire(0) == 10
    assert server.received.expire(10) == 20
    assert len(server.received) == 2
    assert server.received.expire(20) == 30
    assert server.received.expire(30) == inf
    assert len(server.received) == 0
    assert server.take() is None


def test_what_an_interrupted_wait_has_got_comes_before_what_came_later(server: Server) -> None:
    wait = server.wait(P, Q)
    server.comes("first", A1)
    server.comes("second", A2)
    server.received.abandon(wait)
    assert [server.take(), server.take(), server.take()] == ["first", "second", None]
    assert server.answer(A1) == 1
    server.comes("q", A1, Q)
    assert server.take(Q) == "q"


def test_what_an_interrupted_wait_has_got_goes_to_who_waits_meanwhile(server: Server) -> None:
    interrupted = server.wait(P, Q)
    server.comes("first", A1)
    waiting = server.wait(P)
    server.received.abandon(interrupted)
    assert waiting.got[P].content == "first"  # type: ignore[union-attr]
    assert server.answer(A1) == 1


def test_what_an_interrupted_wait_has_got_is_void_when_it_was_asked_anew(server: Server) -> None:
    interrupted = server.wait(P, Q)
    server.comes("old", A1)
    server.comes("new", A1)
    server.received.abandon(interrupted)
    assert [server.take(), server.take()] == ["new", None]


def test_errors_of_an_interrupted_wait_are_nobodys(server: Server) -> None:
    wait = server.wait(P, Q)
    wait.give(P, SoftgridError("x"))
    server.received.abandon(wait)
    assert server.take() is None


def test_who_has_asked_is_remembered_for_so_many_passwords(server: Server) -> None:
    tokens = [index.to_bytes(16, "big") for index in range(TOKENS_KNOWN + 1)]
    for token in tokens[:-1]:
        server.comes(requester=A1, token=token)
    server.comes(requester=A1, token=tokens[0])
    server.comes(requester=A1, token=tokens[-1])
    for token in tokens:
        assert server.take(token) is not None
        assert server.answer(A1, token) is not None
    assert server.answer(A1, tokens[1]) is None
    for known in (tokens[0], tokens[-1]):
        with pytest.raises(Missing):
            server.answer(A1, known)


def test_a_request_is_shown_by_its_number_and_who_asks() -> None:
    assert repr(Request(P, 5, A1_ID, A1)) == f"<Request 5 of {A1}>"


# -- a bound --------------------------------------------------------------------------------------


def test_when_so_many_requests_are_here_no_other_one_is_taken_until_one_has_gone() -> None:
    server = Server()
    server.received.maximum = 2
    server.comes("a", A1)
    server.comes("b", A2, wanted=False)
    with pytest.raises(Refused, match="2 requests wait there already"):
        server.comes("c", B1)
    server.comes("instead of a", A1)
    assert server.take() == "b"
    server.comes("d", B1)
    assert server.take() == "instead of a"
    with pytest.raises(Refused):
        server.comes("e", A2)
    assert server.answer(A1) is not None
    server.comes("e", A2)


@pytest.mark.parametrize("how", ["lose", "expire", "release"])
def test_requests_that_are_dropped_make_room(how: str) -> None:
    server = Server()
    server.received.maximum = 1
    server.comes(requester=A1, deadline=5.0)
    if how == "lose":
        server.lose(A1)
    elif how == "expire":
        server.received.expire(6.0)
    else:
        server.received.release(P, SoftgridError("released"))
    server.comes(requester=A2)
    with pytest.raises(Refused):
        server.comes(requester=B1)


def test_a_request_that_is_put_back_is_counted_once() -> None:
    server = Server()
    server.received.maximum = 2
    server.comes()
    wait = server.wait(P)
    server.received.abandon(wait)
    server.comes(requester=A2)
    with pytest.raises(Refused):
        server.comes(requester=B1)
    assert (server.take(), server.take(), server.take()) == (1, 2, None)
