"""Timeouts: numbers of seconds that make sense, longer where the way is longer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument
from softgrid._state.timeouts import check_timeout, check_wait, wait_timeout, wait_timeouts

NONSENSE = [0, -1, -0.5, True, False, "5", [], float("nan"), float("-inf"), 1j]


@pytest.mark.parametrize("value", [1, 0.001, 3600.0])
def test_a_number_of_seconds_is_accepted(value: float) -> None:
    assert check_timeout(value) == value
    assert type(check_timeout(value)) is float


def test_no_limit_is_accepted_where_it_is_allowed() -> None:
    assert check_timeout(None) is None
    with pytest.raises(BadArgument, match=r"^timeout: got None, accepted is a number of seconds > 0$"):
        check_timeout(None, none_allowed=False)


@pytest.mark.parametrize("value", NONSENSE)
def test_anything_else_is_refused_and_the_parameter_is_named(value: Any) -> None:
    with pytest.raises(BadArgument, match=r"^taskTimeout: got .* > 0, or None for no limit$"):
        check_timeout(value, "taskTimeout")


@pytest.mark.parametrize("value", [float("inf"), 10**400, 1e300])
def test_a_time_beyond_all_bounds_means_no_limit_or_is_refused_where_there_must_be_one(value: Any) -> None:
    assert check_timeout(value) is None
    with pytest.raises(BadArgument):
        check_timeout(value, none_allowed=False)


@pytest.mark.parametrize(
    ("seconds", "multiplier", "length", "expected"),
    [(5, 3, 0, 5), (5, 3, 1, 5), (5, 3, 3, 5), (5, 3, 4, 10), (5, 3, 7, 15), (0.5, 1, 4, 2), (5, 0.5, 1, 10)],
)
def test_it_grows_with_the_way(seconds: Any, multiplier: Any, length: int, expected: float) -> None:
    assert wait_timeout(seconds, multiplier, length) == expected


def test_the_default_multiplier_keeps_it_as_it_is() -> None:
    assert wait_timeout(5, 9223372036854775807, 1000) == 5


@pytest.mark.parametrize(
    ("timeout", "multiplier", "expected"),
    [(5.0, 2, [10.0, 10.0]), (5.0, [1, 3], [15.0, 5.0]), (5.0, (3, 3), [5.0, 5.0]), (None, [1, 3], [])],
)
def test_many_have_one_multiplier_in_common_or_one_each(timeout: Any, multiplier: Any, expected: list[float]) -> None:
    assert wait_timeouts(timeout, multiplier, 3, 2) == expected


def test_there_must_be_as_many_multipliers_as_receivers() -> None:
    expected = r"^multiplier: got '1 items', accepted is a number > 0, or one per receiver \(2\)$"
    with pytest.raises(BadArgument, match=expected):
        wait_timeouts(5.0, [3], 3, 2)
    with pytest.raises(BadArgument, match=r"^multiplier: got 'x', accepted is a number > 0$"):
        wait_timeouts(5.0, [3, "x"], 3, 2)


@PROPERTY
@given(st.floats(0.001, 1e6), st.integers(1, 100), st.integers(0, 1000))
def test_it_is_never_shorter_than_was_asked_and_never_shorter_for_a_longer_way(s, m, length) -> None:
    assert s <= wait_timeout(s, m, length) <= wait_timeout(s, m, length + 1)


@pytest.mark.parametrize("value", [None, *NONSENSE])
def test_nonsense_is_refused_by_name(value: Any) -> None:
    with pytest.raises(BadArgument, match=r"^transferTimeout: got"):
        wait_timeout(value, 1, 1)
    with pytest.raises(BadArgument, match=r"^multiplier: got"):
        wait_timeout(1, value, 1)


@pytest.mark.parametrize("value", [None, -1, 1.0, True, "1"])
def test_a_way_of_nonsense_is_refused(value: Any) -> None:
    with pytest.raises(BadArgument, match=r"^pathLength: got"):
        wait_timeout(1, 1, value)


@pytest.mark.parametrize("value", [0, 0.0, 1, 0.001, 3600.0])
def test_a_wait_may_last_any_time_or_none_at_all(value: float) -> None:
    assert check_wait(value) == value
    assert type(check_wait(value)) is float


@pytest.mark.parametrize("value", [None, float("inf"), 10**400, 9223372036854775807])
def test_a_wait_without_limit_lasts_for_ever(value: Any) -> None:
    assert check_wait(value) == float("inf")


@pytest.mark.parametrize("value", [given for given in NONSENSE if given is False or given != 0])
def test_a_wait_of_no_time_that_can_be_meant_is_refused(value: Any) -> None:
    with pytest.raises(BadArgument, match=r"^timeout: got .* >= 0, or None for no limit$"):
        check_wait(value)
