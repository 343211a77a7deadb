"""Restarts: waits that double, a budget that is used up, and health that gives it back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from softgrid._state.restarts import FIRST_S, FORGIVES_S, HEALTHY_S, JITTER, LONGEST_S, Restarts


def waits(restarts: Restarts, count: int, now_s: float = 0.0, luck: float = 0.0) -> list[float | None]:
    return [restarts.next_wait(now_s, luck) for _ in range(count)]


def test_each_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    got = waits(Restarts(True), 12)
    assert got[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert got[-1] == LONGEST_S


def starts_of(restarts: Restarts, life_s: float, until_s: float) -> list[float]:
    """When one is launched anew that lives so long each time."""
    starts, now = [], 0.0
    while now < until_s:
        now += restarts.next_wait(now, luck=0.0) or 0.0
        restarts.came_up(now)
        starts.append(now)
        now += life_s
    return starts


def test_a_crash_loop_is_a_dozen_starts_in_its_first_minute_and_two_in_later_ones() -> None:
    starts = starts_of(Restarts(True), 0.0, 600)
    assert sum(start < 60 for start in starts) <= 12
    assert sum(540 <= start < 600 for start in starts) <= 2


@pytest.mark.parametrize("life_s", [FORGIVES_S, 8.0, 30.0])
def test_who_lives_for_a_while_each_time_comes_back_at_once_each_time(life_s: float) -> None:
    starts = starts_of(Restarts(True), life_s, 600)
    gaps = [later - sooner - life_s for sooner, later in pairwise(starts)]
    assert max(gaps) == pytest.approx(FIRST_S)


@pytest.mark.parametrize("life_s", [0.5, 2.0, FORGIVES_S - 0.1])
def test_who_lives_for_a_moment_only_comes_back_ever_more_slowly(life_s: float) -> None:
    starts = starts_of(Restarts(True), life_s, 600)
    assert sum(start < 60 for start in starts) <= 12
    assert starts[-1] - starts[-2] >= LONGEST_S


def test_a_life_that_ended_by_the_loss_of_somebody_above_is_to_its_credit_too() -> None:
    restarts = Restarts(True)
    assert waits(restarts, 3)[-1] == 4 * FIRST_S
    restarts.came_up(0.0)
    restarts.went_down(2 * FORGIVES_S)
    assert restarts.next_wait(100.0, 0.0) == 2 * FIRST_S
    restarts.came_up(200.0)
    restarts.went_down(200.0 + FORGIVES_S - 0.1)
    assert restarts.next_wait(300.0, 0.0) == 4 * FIRST_S


@pytest.mark.parametrize(("allowed", "count"), [(False, 0), (0, 0), (1, 1), (3, 3)])
def test_a_budget_is_used_up(allowed: bool | int, count: int) -> None:
    got = waits(Restarts(allowed), count + 2)
    assert None not in got[:count]
    assert got[count:] == [None, None]


def test_true_is_without_end() -> None:
    assert None not in waits(Restarts(True), 100)


def test_who_lived_long_has_the_whole_budget_again() -> None:
    restarts = Restarts(2)
    assert waits(restarts, 3) == [FIRST_S, 2 * FIRST_S, None]
    restarts.came_up(100.0)
    assert restarts.next_wait(100.0 + HEALTHY_S - 0.01, 0.0) is None
    restarts.came_up(200.0)
    assert waits(restarts, 3, now_s=200.0 + HEALTHY_S) == [FIRST_S, 2 * FIRST_S, None]


def test_who_never_came_up_has_no_health_to_show() -> None:
    restarts = Restarts(1)
    restarts.came_up(0.0)
    assert restarts.next_wait(HEALTHY_S, 0.0) == FIRST_S
    assert restarts.next_wait(10 * HEALTHY_S, 0.0) is None


def test_luck_lengthens_a_wait_a_little() -> None:
    assert Restarts(1).next_wait(0.0, luck=1.0) == pytest.approx(FIRST_S * (1 + JITTER))
