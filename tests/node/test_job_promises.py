"""The promises of a job: as many as there must be, or none."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.promising import BUSY, Creating
from tests.harness.trees import A1, A2, B1, A

from softgrid._model.errors import BadArgument, MalformedName, PeerLost, Refused, TimedOut
from softgrid._model.names import node_id
from softgrid._node.job_promises import ROLL_BACK_S
from softgrid._state.reservations import Wish


@pytest.fixture
def creating() -> Creating:
    return Creating()


def test_for_a_job_all_workers_below_are_reserved_under_one_password(creating: Creating) -> None:
    held = creating.jobs.reserve(Wish(password="p"))
    assert [promise["promise_executor"] for promise in held] == [A1, A2, B1]
    assert creating.reserving.holders("p") == [A1, A2, B1]
    assert all(message["force"] is False for _, message in creating.asked)


def test_no_more_workers_are_reserved_than_there_are_tasks_those_with_least_to_do(creating: Creating) -> None:
    creating.reservations.note("other", node_id(A1), A1)
    held = creating.jobs.reserve(Wish(ntasks=2, password="p"))
    assert [promise["promise_executor"] for promise in held] == [A2, B1]
    assert [name for name, _ in creating.asked] == [A2, B1]


def test_for_one_that_refuses_the_next_is_asked(creating: Creating) -> None:
    creating.answers[A1] = BUSY
    held = creating.jobs.reserve(Wish(ntasks=1, nworkers_min=1, password="p"))
    assert [promise["promise_executor"] for promise in held] == [A2]
    assert [name for name, _ in creating.asked] == [A1, A2]


def test_when_there_are_too_few_nothing_is_held_and_it_says_why(creating: Creating) -> None:
    creating.answers.update({A2: BUSY, B1: PeerLost("died")})
    with pytest.raises(Refused) as caught:
        creating.jobs.reserve(Wish(nworkers_min=2, password="p"))
    assert str(caught.value) == (
        f"1 of the 2 workers that there must be could be reserved, so none is: {A2}: it is busy; {B1}: died"
    )
    assert creating.asked[-1] == (A1, {"op": "remove_promise", "password": "p", "force": True})
    assert len(creating.reservations) == 0
    assert creating.reactor.waits[-1] == ROLL_BACK_S


def test_nobody_is_asked_when_there_cannot_be_enough(creating: Creating) -> None:
    with pytest.raises(BadArgument, match="nworkersMin"):
        creating.jobs.reserve(Wish(nworkers_min=4))
    assert creating.asked == []


def test_nobody_more_is_asked_when_there_cannot_be_enough_any_more(creating: Creating) -> None:
    creating.answers.update({A1: BUSY, A2: BUSY})
    with pytest.raises(Refused, match=r"^0 of the 2"):
        creating.jobs.reserve(Wish(ntasks=2, nworkers_min=2))
    assert [name for name, _ in creating.asked] == [A1, A2]


def test_the_time_for_a_job_to_be_promised_is_bounded_whichever_bound_is_nearest(creating: Creating) -> None:
    for wish, at_most, bound in [
        (Wish(transfer_timeout=7), None, 7.0),
        (Wish(transfer_timeout=None, promise_timeout=9), None, 9.0),
        (Wish(transfer_timeout=7), 2.0, 2.0),
    ]:
        creating.jobs.reserve(wish, at_most)
        waited = creating.reactor.waits.pop()
        assert waited is not None
        assert bound - 1 < waited <= bound


def test_while_one_job_is_given_its_workers_another_waits_its_turn(creating: Creating) -> None:
    def other_job(waiter: Any) -> None:
        with pytest.raises(TimedOut, match=r"other jobs were being given their workers for 0\.01 s"):
            creating.jobs.reserve(Wish(transfer_timeout=0.01))
        creating.answer()

    creating.reactor.while_waiting = other_job
    assert len(creating.jobs.reserve(Wish())) == 3


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
        creating.jobs.reserve(wish)
    assert len(creating.reservations) == 0
    assert len(creating.jobs.reserve(Wish())) == 3, "the next job gets its turn"


def test_a_worker_that_is_named_twice_is_asked_once(creating: Creating) -> None:
    assert len(creating.jobs.reserve(Wish(workers=[A1, A1, A2]))) == 2


def test_a_job_that_is_interrupted_while_it_is_promised_workers_holds_nothing(creating: Creating) -> None:
    creating.answers[A1] = BUSY

    def interrupt_later(waiter: Any) -> None:
        if len(creating.asked) == 2:
            raise KeyboardInterrupt
        creating.answer()

    creating.reactor.while_waiting = interrupt_later
    with pytest.raises(KeyboardInterrupt):
        creating.jobs.reserve(Wish(ntasks=2, password="p"))
    assert sorted(creating.told()) == [(A2, "remove_promise"), (B1, "add_promise"), (B1, "remove_promise")]
    assert len(creating.reservations) == 0
