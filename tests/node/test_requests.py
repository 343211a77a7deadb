"""Requests and responses between any two executors: answered, handed over, refused, or failed with the reason."""

from __future__ import annotations

import threading
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from tests.harness.memory_grid import MemoryGrid
from tests.harness.trees import A1, A2, B1, PATHS, STRANGER, TOP, A, B, R

from softgrid._model.errors import (
    Closed,
    Duplicate,
    Missing,
    NoRoute,
    PeerLost,
    Refused,
    SoftgridError,
    TimedOut,
    Unserializable,
)
from softgrid._model.names import node_id
from softgrid._model.tokens import token_of
from softgrid._wire.framing import Kind, Outbound
from softgrid._wire.requests import encode_head, encode_payload

EVERYBODY = (TOP, *PATHS)


@pytest.fixture
def grid() -> MemoryGrid:
    return MemoryGrid()


# -- a cycle --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("requester", "responder"), [*permutations(EVERYBODY, 2), (TOP, TOP), (A1, A1)])
def test_any_two_executors_ask_and_answer_each_other(grid: MemoryGrid, requester: str, responder: str) -> None:
    grid[requester].ask(responder, "p", {"n": 1})
    assert grid[responder].take_request("p") == (requester, {"n": 1})
    grid[responder].respond(requester, "p", "answer")
    assert grid[requester].take_response("p") == (responder, "answer")
    assert grid.said() == {}


def test_a_cycle_is_two_messages(grid: MemoryGrid) -> None:
    for _ in range(3):
        grid[TOP].ask(A, "p", 1)
        grid[A].take_request("p")
        grid[A].respond(TOP, "p", 2)
        grid[TOP].take_response("p")
    down, up = grid[TOP].links[A], grid[A].links[TOP]
    assert (down.frames_received, up.frames_received) == (3, 3)


def test_waiting_for_a_request_or_a_response_ends_when_it_comes(grid: MemoryGrid) -> None:
    grid[B1].meanwhile = [lambda: grid[A1].ask(B1, "p", "question")]
    assert grid[B1].take_request("p") == (A1, "question")
    grid[A1].meanwhile = [lambda: grid[B1].respond(A1, "p", "answer")]
    assert grid[A1].take_response("p") == (B1, "answer")


def test_several_passwords_are_waited_for_together(grid: MemoryGrid) -> None:
    for responder, password in ((B1, "b"), (A2, "a")):
        grid[A1].ask(responder, password, password)
    grid[A1].meanwhile = [
        lambda: (grid[B1].take_request("b"), grid[B1].respond(A1, "b", 1)),
        lambda: (grid[A2].take_request("a"), grid[A2].respond(A1, "a", 2)),
    ]
    collected = grid[A1].requests.requester.collect({token_of("a"): 5.0, token_of("b"): 7.0})
    assert {token: came[:2] for token, came in collected.items()} == {  # type: ignore[index]
        token_of("a"): (A2, 2),
        token_of("b"): (B1, 1),
    }


def test_each_password_has_its_own_time(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "soon", 1)
    grid[A1].ask(B1, "late", 1)
    waits: list[Any] = grid[A1].reactor.waits
    collected = grid[A1].requests.requester.collect({token_of("soon"): 5.0, token_of("late"): 1.0})
    assert [round(seconds) for seconds in waits] == [1, 5]
    assert {token: str(error).split(" within ")[1][:3] for token, error in collected.items()} == {
        token_of("soon"): "5 s",
        token_of("late"): "1 s",
    }


@pytest.mark.parametrize("size", [10, 70_000, 600_000])
def test_values_of_any_size_go_both_ways(grid: MemoryGrid, size: int) -> None:
    array = np.arange(size, dtype=np.uint8)
    grid[A1].ask(B1, "p", array)
    _, got = grid[B1].take_request("p")
    assert np.array_equal(got, array)
    grid[B1].respond(A1, "p", {"twice": got * 2})
    assert np.array_equal(grid[A1].take_response("p")[1]["twice"], array * 2)


# -- who may answer -------------------------------------------------------------------------------


def test_the_second_of_two_responders_is_refused_and_hears_why(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[B1].take_request("p")
    grid[A2].respond(A1, "p", "from one who knows the password")
    grid[B1].respond(A1, "p", "too late")
    assert grid[A1].take_response("p") == (A2, "from one who knows the password")
    assert grid.said() == {B1: [f"error: {A1} refused a response: another response came before it"]}


def test_who_is_not_allowed_is_refused_and_who_is_can_still_answer(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1, allowed=frozenset({node_id(A2)}))
    grid[B1].take_request("p")
    grid[B1].respond(A1, "p", "not mine to say")
    assert "not among those" in grid.said()[B1][0]
    grid[A2].respond(A1, "p", "mine")
    assert grid[A1].take_response("p") == (A2, "mine")


@pytest.mark.parametrize(("password", "asks"), [("wrong", True), ("p", False)])
def test_a_wrong_password_and_an_unknown_request_are_refused(grid: MemoryGrid, password: str, asks: bool) -> None:
    if asks:
        grid[A1].ask(B1, "p", 1)
    with pytest.raises(SoftgridError, match="no request with that password waits for a response"):
        grid[B1].respond(A1, password, 2, wait=5.0)
    grid[B1].respond(A1, password, 2, is_logged=False)
    assert grid.said() == {}


def test_with_a_verdict_the_responder_knows_that_it_was_heard(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[B1].take_request("p")
    grid[B1].respond(A1, "p", 2, wait=5.0)
    assert grid[A1].take_response("p") == (B1, 2)
    assert len(grid[B1].inflight) == 0


def test_answering_twice_is_known_here_at_once(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[B1].take_request("p")
    grid[B1].respond(A1, "p", 2)
    with pytest.raises(Missing):
        grid[B1].respond(A1, "p", 3)
    grid[A1].take_response("p")
    grid[A1].ask(A2, "p", "another question")
    with pytest.raises(Missing):  # or it would be the answer to what was never asked here
        grid[B1].respond(A1, "p", 3)


def test_a_response_after_the_timeout_is_refused(grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    grid[A1].ask(B1, "p", 1, timeout=10.0)
    grid[B1].take_request("p")
    monkeypatch.setattr("softgrid._node.requester.monotonic", lambda: float("inf"))
    with pytest.raises(SoftgridError, match=f"its request is over: {B1.split('|')[0]}"):
        grid[B1].respond(A1, "p", 2, wait=5.0)
    assert isinstance(grid[A1].take_response("p"), TimedOut)


def test_a_request_ends_by_itself_when_its_time_is_over(grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    grid[A1].ask(B1, "p", 1, timeout=10.0)
    (delay,) = {round(delay) for delay, _ in grid[A1].reactor.timers}
    assert delay == 10

    def ring() -> None:
        monkeypatch.setattr("softgrid._node.waiting.monotonic", lambda: float("inf"))
        grid[A1].reactor.run_timers()
        grid[B1].reactor.run_timers()

    grid[A1].meanwhile = [ring]
    assert isinstance(grid[A1].take_response("p", 50.0), TimedOut)
    assert isinstance(grid[B1].take_request("p", 0.0), TimedOut)
    assert grid[A1].reactor.timers == grid[B1].reactor.timers == []


def test_many_deadlines_are_one_timer(grid: MemoryGrid) -> None:
    for index in range(50):
        grid[A1].ask(B1, f"p{index}", 1, timeout=100.0 + index)
    assert len(grid[A1].reactor.timers) == len(grid[B1].reactor.timers) == 1
    grid[A1].ask(B1, "sooner", 1, timeout=5.0)
    assert len(grid[A1].reactor.timers) == 2


def test_what_is_not_registered_waits_for_nothing(grid: MemoryGrid) -> None:
    for _ in range(2):
        grid[A1].ask(B1, "p", "stop", is_registered=False)
    assert isinstance(grid[A1].take_response("p"), Missing)
    assert [grid[B1].take_request("p"), grid[B1].take_request("p")] == [(A1, "stop")] * 2
    with pytest.raises(Missing):
        grid[B1].respond(A1, "p", "nobody waits")


def test_a_password_in_use_is_refused_and_the_request_under_it_goes_on(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", "first")
    with pytest.raises(Duplicate):
        grid[A1].ask(A2, "p", "second")
    assert isinstance(grid[A2].take_request("p"), TimedOut)
    grid[B1].take_request("p")
    grid[B1].respond(A1, "p", 1)
    assert grid[A1].take_response("p") == (B1, 1)


# -- hand-overs -----------------------------------------------------------------------------------


def test_the_answer_of_whom_a_request_was_handed_to_goes_straight_to_the_requester(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", ["B1"])
    requester, way = grid[B1].take_request("p")
    grid[B1].hand_over(requester, A2, "p", [*way, "A2"])
    requester, way = grid[A2].take_request("p")
    assert requester == A1
    grid[A2].hand_over(requester, TOP, "p", [*way, "Top"])
    requester, way = grid[TOP].take_request("p")
    before = grid[B1].links[B].frames_received
    grid[TOP].respond(requester, "p", way)
    assert grid[A1].take_response("p") == (TOP, ["B1", "A2", "Top"])
    assert grid[B1].links[B].frames_received == before
    assert grid.said() == {}


def test_what_was_not_received_cannot_be_handed_over(grid: MemoryGrid) -> None:
    with pytest.raises(Missing, match="which is to be answered here"):
        grid[B1].hand_over(A1, A2, "p", 1)
    grid[A1].ask(B1, "p", 1)
    grid[B1].hand_over(A1, A2, "p", 2)  # not taken before: handed over unseen
    with pytest.raises(Missing):
        grid[B1].hand_over(A1, A2, "p", 3)
    with pytest.raises(Missing):
        grid[B1].respond(A1, "p", 3)
    assert isinstance(grid[B1].take_request("p"), TimedOut)
    assert grid[A2].take_request("p") == (A1, 2)


def test_a_request_can_come_back_to_whom_it_was_with_and_even_to_its_requester(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    for here, there in ((B1, A2), (A2, B1), (B1, A1)):
        grid[here].hand_over(A1, there, "p", 2)
    assert grid[A1].take_request("p") == (A1, 2)
    grid[A1].respond(A1, "p", "by myself")
    assert grid[A1].take_response("p") == (A1, "by myself")


@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("requester", [A1, TOP, R])
def test_the_death_of_whom_it_was_handed_to_is_told_to_the_requester(
    grid: MemoryGrid, requester: str, dies: str
) -> None:
    grid[requester].ask(A2, "p", 1)
    grid[A2].take_request("p")
    grid[A2].hand_over(requester, B1, "p", 2)
    if dies == "before":
        grid.kill(B1, "exited with code 3")
    else:
        grid[requester].meanwhile = [lambda: grid.kill(B1, "exited with code 3")]
    lost = grid[requester].take_response("p")
    assert isinstance(lost, PeerLost)
    assert str(lost) == f"{B1} is gone: exited with code 3"


def test_the_death_of_whom_it_was_with_does_not_matter_after_a_hand_over(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[B1].hand_over(A1, A2, "p", 2)
    grid.kill(B1)
    grid[A2].take_request("p")
    grid[A2].respond(A1, "p", "answer")
    assert grid[A1].take_response("p") == (A2, "answer")


def test_handing_over_to_one_who_is_gone_fails_and_leaves_the_request_here(grid: MemoryGrid) -> None:
    grid[A1].ask(TOP, "p", 1)
    grid[TOP].take_request("p")
    grid.kill(B1)
    with pytest.raises(PeerLost, match="is gone: killed"):
        grid[TOP].hand_over(A1, B1, "p", 2)
    with pytest.raises(NoRoute):
        grid[TOP].hand_over(A1, STRANGER, "p", 2)
    grid[TOP].respond(A1, "p", "then I do it myself")
    assert grid[A1].take_response("p") == (TOP, "then I do it myself")


@pytest.mark.parametrize("other", [B1, STRANGER])
def test_handing_over_to_one_who_is_gone_elsewhere_fails_the_request(grid: MemoryGrid, other: str) -> None:
    if other == B1:
        grid.kill(B1)
    grid[A1].ask(A2, "p", 1)
    grid[A2].hand_over(A1, other, "p", 2)  # nobody has told A2 yet
    lost = grid[A1].take_response("p")
    assert isinstance(lost, NoRoute)
    assert str(lost).startswith(f"{other} is ")
    assert grid.said() == {A2: [f"error: what was sent to {other} was not delivered: it {str(lost).split(' ', 1)[1]}"]}


# -- deaths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", [B1, B, R])
def test_who_waits_for_a_response_hears_of_the_death_of_the_responder(grid: MemoryGrid, victim: str) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[A1].meanwhile = [lambda: grid.kill(victim, "killed by signal 9")]
    lost = grid[A1].take_response("p")
    assert isinstance(lost, PeerLost)
    assert B1 in str(lost)
    assert "killed by signal 9" in str(lost)
    grid[A1].ask(A2, "p", "again, to another")
    assert grid[A2].take_request("p") == (A1, "again, to another")


@pytest.mark.parametrize("responds", [True, False])
@pytest.mark.parametrize("responder", [B1, TOP, A2, A])
def test_who_waits_for_a_request_hears_of_the_death_of_the_only_requester(
    grid: MemoryGrid, responder: str, responds: bool
) -> None:
    grid[A1].ask(responder, "p", 1)
    grid[responder].take_request("p")
    if responds:
        grid[responder].respond(A1, "p", 2)
    grid[responder].meanwhile = [lambda: grid.kill(A1, "killed by signal 9")]
    lost = grid[responder].take_request("p")
    assert isinstance(lost, PeerLost)
    assert str(lost) == f"{A1} is gone: killed by signal 9"
    with pytest.raises(PeerLost):
        grid[responder].respond(A1, "p", 3)


def test_who_was_handed_a_request_hears_of_the_death_of_its_requester(grid: MemoryGrid) -> None:
    grid[A1].ask(A2, "p", 1)
    grid[A2].hand_over(A1, B1, "p", 2)
    assert grid[B1].take_request("p") == (A1, 2)
    grid[B1].meanwhile = [lambda: grid.kill(A1)]
    assert isinstance(grid[B1].take_request("p"), PeerLost)


def test_a_server_of_many_goes_on_when_one_of_them_dies(grid: MemoryGrid) -> None:
    for requester in (A1, A2):
        grid[requester].ask(B1, "p", requester)
        grid[B1].take_request("p")
        grid[B1].respond(requester, "p", 1)
        grid[requester].take_response("p")
    grid[B1].meanwhile = [lambda: grid.kill(A1), lambda: grid[A2].ask(B1, "p", "still here")]
    assert grid[B1].take_request("p") == (A2, "still here")


def test_what_a_dead_requester_asked_is_not_given_out_any_more(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[A1].ask(B1, "stop", "stop", is_registered=False)
    grid.kill(A1)
    assert isinstance(grid[B1].take_request("p"), TimedOut)
    assert grid[B1].take_request("stop") == (A1, "stop")


def test_asking_one_who_is_gone_fails_at_once_and_so_does_waiting(grid: MemoryGrid) -> None:
    grid.kill(A1, "exited with code 1")
    with pytest.raises(PeerLost, match="exited with code 1"):
        grid[TOP].ask(A1, "p", 1)
    lost = grid[TOP].take_response("p")
    assert isinstance(lost, PeerLost)
    assert "exited with code 1" in str(lost)


@pytest.mark.parametrize("loud", [True, False])
@pytest.mark.parametrize("registered", [True, False])
def test_what_turns_out_to_be_undeliverable_fails_and_is_logged_where_wanted(
    grid: MemoryGrid, registered: bool, loud: bool
) -> None:
    grid[B1].ask(STRANGER, "p", 1, is_registered=registered, is_logged=loud)
    expected = f"error: what was sent to {STRANGER} was not delivered: it is nowhere on the grid"
    assert grid.said() == ({B1: [expected]} if loud else {})
    outcome = grid[B1].take_response("p")
    assert isinstance(outcome, NoRoute if registered else Missing)


def test_a_verdict_is_not_waited_for_from_the_dead(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[B1].take_request("p")
    link = grid[A1].links[A]
    link.carry = lambda: False  # type: ignore[method-assign]  # it receives, and says no word any more
    grid[B1].meanwhile = [lambda: grid.kill(A1)]
    with pytest.raises(PeerLost, match="may have taken the response"):
        grid[B1].respond(A1, "p", 2, wait=5.0)
    assert len(grid[B1].inflight) == 0


def test_a_verdict_that_does_not_come_is_waited_for_only_so_long(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[B1].take_request("p")
    grid[A1].links[A].carry = lambda: False  # type: ignore[method-assign]
    with pytest.raises(TimedOut, match="within 3 s whether it takes the response"):
        grid[B1].respond(A1, "p", 2, wait=3.0)
    assert len(grid[B1].inflight) == 0


# -- releasing ------------------------------------------------------------------------------------


def test_releasing_lets_go_who_waits_on_either_side(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[A1].meanwhile = [lambda: grid[A1].requests.release(token_of("p"))]
    assert str(grid[A1].take_response("p")) == "the request was released here"
    grid[B1].requests.release(token_of("p"))
    grid[B1].meanwhile = [lambda: grid[B1].requests.release(token_of("p"))]
    assert isinstance(grid[B1].take_request("p"), Refused)
    with pytest.raises(Missing, match=f"which {B1.split('@')[0].replace('|', '.')}.* sent, received or waits for"):
        grid[B1].requests.release(token_of("p"))


def test_releasing_elsewhere_is_answered_by_each(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[A1].ask(A2, "q", 1)
    pairs = [(B1, token_of("p")), (A2, token_of("p")), (STRANGER, token_of("p")), (TOP, token_of("p"))]
    outcomes = grid[TOP].requests.release_elsewhere(pairs, 5.0)
    assert outcomes[0] is None
    assert ["sent, received or waits for" in str(outcome) for outcome in outcomes[1:]] == [True, False, True]
    assert isinstance(outcomes[2], NoRoute)
    assert isinstance(grid[B1].take_request("p"), TimedOut)
    assert grid[A2].take_request("q") == (A1, 1)


def test_a_wait_released_from_elsewhere_says_so(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[A1].meanwhile = [lambda: grid[B1].requests.release_elsewhere([(A1, token_of("p"))], 5.0)]
    assert str(grid[A1].take_response("p")) == "the request was released from elsewhere"


@pytest.mark.parametrize("token", [None, "zz", "00", 5])
def test_a_release_of_no_proper_token_is_answered_with_an_error(grid: MemoryGrid, token: Any) -> None:
    (answer,) = grid[A1].control.ask_all([(B1, {"op": "release_request", "token": token})], 5.0)
    assert isinstance(answer, SoftgridError)
    assert "token" in str(answer)


# -- what cannot be read, and what cannot be meant ------------------------------------------------


class Unreadable:
    """Can be sent, but not read."""

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise ValueError("not here")


def test_a_request_that_cannot_be_read_fails_on_both_sides(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", Unreadable())
    error = grid[B1].take_request("p")
    assert "which cannot be read here: ValueError: not here" in str(error)
    grid.pump()
    assert "cannot be read at its responder: ValueError: not here" in str(grid[A1].take_response("p"))
    grid[A1].ask(B1, "p", Unreadable(), is_registered=False)
    assert isinstance(grid[B1].take_request("p"), SoftgridError)
    assert grid.said() == {}


def test_a_response_that_cannot_be_read_fails_only_here(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[B1].take_request("p")
    grid[B1].respond(A1, "p", Unreadable())
    assert "has answered, which cannot be read here: ValueError" in str(grid[A1].take_response("p"))


def test_nobody_asks_or_answers_in_the_name_of_another(grid: MemoryGrid) -> None:
    grid[B1].ask(A1, "theirs", 1)
    for kind, password, to, name in ((Kind.REQUEST, "p", A1, B1), (Kind.RESPONSE, "theirs", B1, A1)):
        body = encode_head(token_of(password), 0, 5.0, 0, name.encode()) + encode_payload(1, "x").head
        grid[A2].switch.send(kind, node_id(to), 5, Outbound(body))
    grid.pump()
    assert isinstance(grid[A1].take_request("p"), TimedOut)
    assert isinstance(grid[B1].take_response("theirs"), TimedOut)
    assert grid[A1].switch.dropped_frames == grid[B1].switch.dropped_frames == 1


@pytest.mark.parametrize("op", ["request_moved", "request_unread", "response_refused", "received"])
@pytest.mark.parametrize("fields", [{}, {"token": "00" * 16}, {"name": "nobody", "queued": "x"}, {"number": True}])
def test_nonsense_about_requests_does_no_harm(grid: MemoryGrid, op: str, fields: dict[str, Any]) -> None:
    grid[A1].ask(B1, "p", 1)
    grid[B1].control.tell(A1, {"op": op, **fields})
    grid.pump()
    grid[B1].take_request("p")
    grid[B1].respond(A1, "p", 2)
    assert grid[A1].take_response("p") == (B1, 2)
    assert grid.said() == {}


def test_only_who_refused_can_be_logged_to_have_refused(grid: MemoryGrid) -> None:
    grid[A2].control.tell(A1, {"op": "response_refused", "name": B1, "reason": "x"})
    grid.pump()
    assert grid.said() == {}


def test_only_who_has_a_request_can_say_that_it_is_unreadable(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    number = grid[A1].requests.requester._asked._open[token_of("p")].number
    message = {"op": "request_unread", "token": token_of("p").hex(), "number": number, "reason": "x"}
    grid[A2].control.tell(A1, message)
    grid.pump()
    assert isinstance(grid[A1].take_response("p", 0.0), TimedOut)
    grid[B1].control.tell(A1, message)
    grid.pump()
    assert "cannot be read at its responder: x" in str(grid[A1].take_response("p"))


def test_what_cannot_travel_is_said_before_anything_is_registered() -> None:
    with pytest.raises(Unserializable):
        encode_payload(threading.Lock(), "request")


def test_who_waits_in_an_executor_that_leaves_is_told(grid: MemoryGrid) -> None:
    grid[A1].ask(B1, "p", 1)
    for side in (grid[A1].take_response, grid[A1].take_request):
        grid[A1].reactor.is_closed = False
        grid[A1].meanwhile = [lambda: setattr(grid[A1].reactor, "is_closed", True)]
        assert isinstance(side("p"), Closed)


# -- interrupts -----------------------------------------------------------------------------------


def test_ctrl_c_while_waiting_loses_nothing(grid: MemoryGrid) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    grid[A1].ask(B1, "p", 1)
    grid[B1].meanwhile = [interrupt]
    with pytest.raises(KeyboardInterrupt):
        grid[B1].requests.responder.collect({token_of("p"): 5.0, token_of("q"): 5.0})
    assert grid[B1].take_request("p") == (A1, 1)
    grid[B1].respond(A1, "p", 2)
    grid[A1].ask(B1, "other", 1)
    grid[A1].meanwhile = [interrupt]
    with pytest.raises(KeyboardInterrupt):
        grid[A1].requests.requester.collect({token_of("p"): 5.0, token_of("other"): 5.0})
    assert grid[A1].take_response("p") == (B1, 2)
