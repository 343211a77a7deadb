"""Last calls: only the call that ran is blamed for a death, and only where nobody had asked for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from softgrid._state.last_calls import KEPT, LastCall, LastCalls, read_last_call

DEAD, OTHER = 1, 2
MINE, THEIRS = (7, 1), (8, 1)


@pytest.mark.parametrize(
    ("last", "was_running", "is_blamed"),
    [
        (LastCall(MINE), True, True),
        (LastCall(MINE, is_asked=True), True, False),
        (LastCall(THEIRS), False, False),
        (LastCall(None), False, False),
    ],
)
def test_what_ran_is_known_and_blamed(last: LastCall, was_running: bool, is_blamed: bool) -> None:
    calls = LastCalls()
    calls.note(DEAD, last)
    assert calls.was_running(DEAD, MINE) is was_running
    assert calls.is_blamed(DEAD, MINE) is is_blamed


def test_of_a_death_that_nobody_has_told_of_nothing_is_known() -> None:
    calls = LastCalls()
    calls.note(OTHER, LastCall(MINE))
    assert calls.of(DEAD) is None
    assert calls.was_running(DEAD, MINE) is None
    assert not calls.is_blamed(DEAD, MINE)


def test_the_newest_deaths_are_kept() -> None:
    calls = LastCalls()
    for executor in range(KEPT + 1):
        calls.note(executor, LastCall(None))
    assert calls.of(0) is None
    assert calls.of(1) == calls.of(KEPT) == LastCall(None)


@pytest.mark.parametrize(
    ("begun", "has_not_begun"), [(None, False), ({}, True), ({7: 0}, True), ({7: 1}, False), ({8: 5}, True)]
)
def test_what_is_newer_than_all_that_began_has_not_begun(begun: dict[int, int] | None, has_not_begun: bool) -> None:
    calls = LastCalls()
    assert not calls.has_not_begun(DEAD, MINE)
    calls.note(DEAD, LastCall(None, begun=begun))
    assert calls.has_not_begun(DEAD, MINE) is has_not_begun


@pytest.mark.parametrize("last", [LastCall(None), LastCall(MINE, True, {7: 1, 2**64 - 1: 3}), LastCall(None, begun={})])
def test_it_travels_as_json(last: LastCall) -> None:
    assert read_last_call(json.loads(json.dumps(last.told()))) == last
    assert read_last_call(last.told(), is_asked=True).is_asked


@pytest.mark.parametrize("told", [{}, {"running": 5}, {"running": ["a", "b"]}, {"running": None, "begun": [[1]]}])
def test_what_cannot_be_meant_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_last_call(told)
