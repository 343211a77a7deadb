"""The flow of logs: a window closes on a flood and opens on credit; credit comes in steps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._state.logflow import CREDIT_STEP, WINDOW, LogCredit, LogWindow


def test_a_window_is_open_until_as_much_is_on_its_way_as_it_holds() -> None:
    window = LogWindow(100)
    window.sent(99)
    assert window.is_open
    window.sent(500)
    assert not window.is_open


def test_credit_opens_the_window_again() -> None:
    window = LogWindow(100)
    window.sent(150)
    window.credited(50)
    assert not window.is_open
    window.credited(1)
    assert window.is_open


def test_too_much_credit_does_not_make_the_window_larger() -> None:
    window = LogWindow(100)
    window.credited(1000)
    window.sent(100)
    assert not window.is_open


def test_what_was_dropped_is_told_once() -> None:
    window = LogWindow()
    assert window.take_dropped() == 0
    window.drop()
    window.drop(4)
    assert window.dropped == 5
    assert window.take_dropped() == 5
    assert window.take_dropped() == 0


def test_credit_is_given_when_a_step_is_full_and_for_all_of_it() -> None:
    credit = LogCredit(100)
    assert [credit.written(1, 60), credit.written(1, 60), credit.written(1, 99)] == [0, 120, 0]


def test_credit_is_kept_per_origin() -> None:
    credit = LogCredit(100)
    assert [credit.written(1, 99), credit.written(2, 99), credit.written(1, 1)] == [0, 0, 100]


def test_an_origin_that_is_gone_starts_anew() -> None:
    credit = LogCredit(100)
    credit.written(1, 99)
    credit.forget(1)
    credit.forget(2)
    assert credit.written(1, 99) == 0


def test_the_step_is_small_against_the_window() -> None:
    assert CREDIT_STEP * 4 <= WINDOW


@PROPERTY
@given(st.lists(st.integers(1, 300_000), max_size=60))
def test_a_window_never_stays_shut_when_everything_is_written_out(sizes: list[int]) -> None:
    window, credit = LogWindow(), LogCredit()
    for size in sizes:
        assert window.is_open
        window.sent(size)
        window.credited(credit.written(1, size))
