"""Heartbeats: one timer for all, none for nobody; signs of life are given as they are looked for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeReactor

from softgrid._node import heartbeats as module
from softgrid._node.heartbeats import Heartbeats
from softgrid._state.health import Terms

TERMS = Terms(10.0, 60.0)


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", lambda: made.now)
    return made


class Somebody:
    """Speaks when the test says so."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.spoke_at = clock.now
        self.closed = False
        self.beats = 0
        self.told: list[tuple[str, float]] = []

    def heard(self) -> tuple[float, float]:
        return self.spoke_at, self.spoke_at

    def beat(self) -> None:
        self.beats += 1

    def on_standing(self, standing: Any, silence_s: float) -> None:
        self.told.append((standing, silence_s))


class Nights:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.reactor = FakeReactor()
        self.heartbeats = Heartbeats(self.reactor, TERMS)  # type: ignore[arg-type]

    def watch(self) -> Somebody:
        made = Somebody(self.clock)
        self.heartbeats.watch(made, made.on_standing)
        return made

    def pass_time(self, seconds: float) -> None:
        until = self.clock.now + seconds
        while self.reactor.timers and self.clock.now + self.reactor.timers[0][0] <= until:
            ((wait_s, _),) = self.reactor.timers
            self.clock.now += wait_s
            self.reactor.run_timers()


@pytest.fixture
def nights(clock: Clock) -> Nights:
    return Nights(clock)


def test_nobody_needs_no_timer_and_many_need_one(nights: Nights) -> None:
    assert nights.reactor.timers == []
    all_of_them = [nights.watch() for _ in range(10)]
    assert [delay for delay, _ in nights.reactor.timers] == [TERMS.beat_s]
    nights.pass_time(10.0)
    assert [each.beats for each in all_of_them] == [5] * 10
    for each in all_of_them:
        each.closed = True
    nights.pass_time(TERMS.beat_s)
    assert nights.reactor.timers == []


def test_a_silent_one_is_told_of_twice_and_never_again(nights: Nights) -> None:
    silent, talker = nights.watch(), nights.watch()
    for _ in range(60):
        talker.spoke_at = nights.clock.now
        nights.pass_time(TERMS.beat_s)
    assert silent.told == [("suspect", 6.0), ("dead", 60.0)]
    assert talker.told == []


def test_one_that_is_closed_or_forgotten_is_told_of_no_more(nights: Nights) -> None:
    closed, forgotten = nights.watch(), nights.watch()
    nights.pass_time(5.0)
    closed.closed = True
    nights.heartbeats.forget(forgotten)
    nights.heartbeats.forget(forgotten)
    nights.pass_time(1000.0)
    assert closed.told == forgotten.told == []
    assert nights.reactor.timers == []


def test_other_terms_hold_at_once(nights: Nights) -> None:
    silent = nights.watch()
    nights.heartbeats.terms = Terms(1.0, 3.0)
    assert nights.heartbeats.terms.tolerance_s == 3.0
    nights.pass_time(3.1)
    assert [standing for standing, _ in silent.told] == ["suspect", "dead"]


def test_what_is_done_about_one_may_end_another(nights: Nights) -> None:
    one, other = nights.watch(), nights.watch()
    nights.heartbeats.watch(one, lambda standing, silence_s: nights.heartbeats.forget(other))
    nights.pass_time(100.0)
    assert other.told == []
