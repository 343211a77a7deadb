"""Last calls: only the call that ran is blamed for a death, and only where nobody had asked for it."""

from __future__ import annotations

import pytest

from softgrid._state.last_calls import KEPT, LastCall, LastCalls

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
