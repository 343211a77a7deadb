"""Retries: asked for, counted apart and exactly, and stopped when a call keeps killing whoever runs it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument
from softgrid._state.retries import (
    CAUSES_KEPT,
    LONGEST_WAIT_S,
    MAX_KILLS,
    MAX_MOVES,
    Attempts,
    RetryPolicy,
    read_policy,
)

ANY = frozenset({"Exception"})


class OwnError(OSError):
    pass


class Outer:
    class Inner(OwnError):
        pass


# -- what is asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [None, 0, {"lost": 0}, {"lost": 0, "failed": 0}])
def test_nothing_is_tried_again_unless_it_is_asked_for(retries: Any) -> None:
    assert read_policy(retries) is None


@pytest.mark.parametrize(
    ("retries", "lost", "failed"),
    [(2, 2, 2), ({"lost": 3}, 3, 0), ({"failed": 1}, 0, 1), ({"lost": 2, "failed": 1}, 2, 1)],
)
def test_losses_and_failures_are_granted_together_or_apart(retries: Any, lost: int, failed: int) -> None:
    assert read_policy(retries) == RetryPolicy(lost, failed, ANY)


@pytest.mark.parametrize(
    ("retry_on", "names"),
    [
        (None, {"Exception"}),
        (OSError, {"OSError"}),
        ([ValueError, OwnError], {"ValueError", f"{__name__}.OwnError"}),
        ((KeyboardInterrupt,), {"KeyboardInterrupt"}),
        (Outer.Inner, {f"{__name__}.Inner"}),
    ],
)
def test_the_exceptions_that_count_are_known_by_name(retry_on: Any, names: set[str]) -> None:
    policy = read_policy(1, retry_on)
    assert policy is not None
    assert policy.retry_on == names


@pytest.mark.parametrize("retries", [-1, True, 1.0, "1", [], {}, {"lost": -1}, {"lost": True}, {"losses": 1}, 10**9])
def test_retries_that_cannot_be_meant_are_refused(retries: Any) -> None:
    with pytest.raises(BadArgument, match=r"^retries: got .*, accepted is a number >= 0"):
        read_policy(retries)


@pytest.mark.parametrize("retry_on", ["OSError", int, [], [OSError, 5], OSError()])
def test_exceptions_that_are_none_are_refused(retry_on: Any) -> None:
    with pytest.raises(BadArgument, match=r"^retry_on: got .*, accepted is None \(any Exception\)"):
        read_policy(1, retry_on)


# -- what follows ---------------------------------------------------------------------------------


def lost(attempts: Attempts, was_running: bool | None = True, is_blamed: bool = False) -> bool:
    return attempts.on_lost("w died\nof something", was_running=was_running, is_blamed=is_blamed)


def test_each_kind_of_end_uses_up_its_own_budget() -> None:
    attempts = Attempts(RetryPolicy(lost=1, failed=1))
    assert attempts.on_failed(["ValueError", "Exception"], "ValueError: v")
    assert lost(attempts)
    assert attempts.number == 3
    assert not attempts.on_failed(["ValueError", "Exception"], "ValueError: v")
    assert attempts.number == 3


def test_an_exception_that_does_not_count_is_the_end() -> None:
    attempts = Attempts(RetryPolicy(9, 9, frozenset({"OSError"})))
    assert attempts.on_failed(["FileNotFoundError", "OSError", "Exception"], "missing")
    assert not attempts.on_failed(["KeyboardInterrupt", "BaseException"], "stop")


@pytest.mark.parametrize("was_running", [True, None])
def test_who_may_have_run_is_charged_for_the_loss(was_running: bool | None) -> None:
    attempts = Attempts(RetryPolicy(lost=1))
    assert lost(attempts, was_running)
    assert not lost(attempts, was_running)


def test_who_only_waited_moves_on_free_of_charge_and_is_never_poison() -> None:
    attempts = Attempts(RetryPolicy(lost=1))
    waits = []
    for _ in range(MAX_MOVES):
        assert lost(attempts, was_running=False)
        waits.append(attempts.wait_s)
    assert (waits[0], waits[-1]) == (0.0, LONGEST_WAIT_S)
    assert waits == sorted(waits)
    assert not attempts.is_poison
    assert lost(attempts), "the loss that it was granted is still there"
    assert not lost(attempts, was_running=False), "and so this ends"


def test_who_only_waited_and_asked_for_nothing_does_not_move() -> None:
    assert not lost(Attempts(RetryPolicy(failed=3)), was_running=False)


def test_three_deaths_make_a_poison_whatever_was_granted() -> None:
    attempts = Attempts(RetryPolicy(lost=100))
    verdicts = [lost(attempts, is_blamed=True) for _ in range(MAX_KILLS)]
    assert verdicts == [True, True, False]
    assert attempts.is_poison
    assert attempts.account() == (
        "it was tried 3 times, and not again: 3 executors died while they ran it:\n"
        "  attempt 1: w died\n  attempt 2: w died\n  attempt 3: w died"
    )


def test_ends_that_somebody_asked_for_are_nobodys_fault() -> None:
    attempts = Attempts(RetryPolicy(lost=9))
    assert [lost(attempts) for _ in range(9)] == [True] * 9
    assert not attempts.is_poison


def test_a_single_attempt_needs_no_account() -> None:
    attempts = Attempts(RetryPolicy(failed=1, retry_on=frozenset({"OSError"})))
    assert not attempts.on_failed(["ValueError"], "v")
    assert attempts.account() == ""


def test_of_very_many_attempts_the_last_are_told() -> None:
    attempts = Attempts(RetryPolicy(failed=50))
    for number in range(51):
        attempts.on_failed(ANY, f"cause {number}")
    lines = attempts.account().splitlines()
    assert lines[:3] == ["it was tried 51 times:", "  (the first 31 are not listed)", "  attempt 32: cause 31"]
    assert lines[-1] == "  attempt 51: cause 50"
    assert len(lines) == CAUSES_KEPT + 2


ENDS = st.sampled_from(["failed", "other", "running", "blamed", "waiting", "unknown"])


@PROPERTY
@given(st.integers(0, 4), st.integers(0, 4), st.lists(ENDS, max_size=30))
def test_no_call_is_tried_more_often_than_it_was_granted(may_lose: int, may_fail: int, ends: list[str]) -> None:
    attempts = Attempts(RetryPolicy(may_lose, may_fail, frozenset({"OSError"})))
    losses = failures = moves = kills = 0
    for tried, end in enumerate(ends, 1):
        assert attempts.number == tried
        if end in ("failed", "other"):
            goes_on = attempts.on_failed(["OSError" if end == "failed" else "ValueError"], end)
            failures += end == "failed"
            assert goes_on == (end == "failed" and failures <= may_fail)
        else:
            was_running = {"waiting": False, "unknown": None}.get(end, True)
            goes_on = lost(attempts, was_running, is_blamed=end == "blamed")
            moves += end == "waiting"
            losses += end != "waiting"
            kills += end == "blamed"
            allowed = may_lose > 0 if end == "waiting" else losses <= may_lose and kills < MAX_KILLS
            assert goes_on == allowed
        assert attempts.kills == kills
        if not goes_on:
            assert attempts.number == tried, "nothing else happened"
            break
