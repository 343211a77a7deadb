"""Which promises an executor has made elsewhere; what it asked for, read and checked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.names import a_name

from softgrid._model.errors import BadArgument
from softgrid._state.reservations import Reservations, Wish, read_promises

A, B = a_name("worker", "A"), a_name("worker", "B")


def test_what_is_asked_for_is_known_until_it_ends() -> None:
    reservations = Reservations()
    assert reservations.note("p", 1, A)
    assert reservations.note("p", 2, B)
    assert reservations.note("q", 1, A)
    assert reservations.names("p") == [A, B]
    assert (reservations.held_by(1), reservations.held_by(2), len(reservations)) == (2, 1, 3)
    reservations.forget("p", 1)
    assert reservations.names("p") == [B]
    assert (reservations.held_by(1), len(reservations)) == (1, 2)


def test_the_same_promise_is_known_once() -> None:
    reservations = Reservations()
    assert reservations.note("p", 1, A)
    assert not reservations.note("p", 1, A)
    assert (reservations.held_by(1), reservations.names("p")) == (1, [A])


def test_forgetting_what_is_not_known_changes_nothing() -> None:
    reservations = Reservations()
    reservations.note("p", 1, A)
    reservations.forget("q", 1)
    reservations.forget("p", 2)
    assert (reservations.names("p"), reservations.held_by(2), len(reservations)) == ([A], 0, 1)
    reservations.forget("p", 1)
    reservations.forget("p", 1)
    assert (reservations.names("p"), reservations.held_by(1), len(reservations)) == ([], 0, 0)


def test_with_a_holder_all_that_it_held_is_gone_and_nothing_is_left() -> None:
    reservations = Reservations()
    for password in "pq":
        reservations.note(password, 1, A)
        reservations.note(password, 2, B)
    reservations.on_gone({1, 7})
    assert (reservations.names("p"), reservations.names("q"), len(reservations)) == ([B], [B], 2)
    reservations.on_gone({2})
    assert not vars(reservations)["_holders"]
    assert not vars(reservations)["_held_by"]


# -- what a job asks for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "candidates", "bounds"),
    [
        (Wish(), 3, (1, 3)),
        (Wish(ntasks=2), 3, (1, 2)),
        (Wish(ntasks=9), 3, (1, 3)),
        (Wish(ntasks=2, nworkers_min=2), 3, (2, 2)),
        (Wish(nworkers_min=3), 3, (3, 3)),
    ],
)
def test_a_job_gets_as_many_workers_as_it_has_tasks_and_there_are(wish: Wish, candidates: int, bounds: Any) -> None:
    assert wish.bounds(candidates) == bounds


def test_more_workers_than_can_be_had_are_refused_before_anybody_is_asked() -> None:
    with pytest.raises(BadArgument, match=r"^nworkersMin: got 4, accepted is at most 3: there are 3 workers$"):
        Wish(nworkers_min=4).bounds(3)
    with pytest.raises(BadArgument, match=r"at most 2: there are 3 workers for 2 tasks$"):
        Wish(ntasks=2, nworkers_min=3).bounds(3)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "2", [1]])
@pytest.mark.parametrize(("field", "parameter"), [("ntasks", "ntasks"), ("nworkers_min", "nworkersMin")])
def test_a_number_of_tasks_or_workers_is_one_at_least(value: Any, field: str, parameter: str) -> None:
    with pytest.raises(BadArgument, match=f"^{parameter}: got .*an integer >= 1"):
        Wish(**{field: value}).bounds(3)


# -- which promises are meant ---------------------------------------------------------------------


def test_promises_are_meant_by_password_or_by_what_came_of_them() -> None:
    made = {"promise_password": "q", "promise_executor": A, "placed": True}
    assert read_promises("p") == [("p", None)]
    assert read_promises(made) == [("q", A)]
    assert read_promises([made, "p"]) == [("q", A), ("p", None)]
    assert read_promises([]) == []


@pytest.mark.parametrize(
    "given",
    [
        None,
        5,
        "",
        {},
        {"promise_password": "secret"},
        {"promise_password": None, "promise_executor": A},
        {"promise_password": "secret", "promise_executor": "nobody"},
        [["secret"]],
    ],
)
def test_what_is_no_promise_is_refused_without_showing_a_password(given: Any) -> None:
    with pytest.raises(BadArgument) as caught:
        read_promises(given)
    assert "secret" not in str(caught.value)
