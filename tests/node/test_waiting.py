"""Waiting: one thing under each token or the reason why not, and one timer for many deadlines."""

from __future__ import annotations

import threading
from math import inf
from typing import Any

import pytest
from tests.harness.nodes import FakeReactor

from softgrid._model.errors import Closed, TimedOut
from softgrid._node import waiting as waiting_module
from softgrid._node.waiting import Alarm, wait_for
from softgrid._state.waits import Lines, Wait

P, Q, S = b"p", b"q", b"s"


class Post:
    """A side to which things come when the test says so."""

    def __init__(self) -> None:
        self.lines: Lines[str] = Lines()
        self.left: list[tuple[bytes, float]] = []
        self.abandoned: list[Wait[str]] = []
        self.there: dict[bytes, str] = {}

    def join(self, token: bytes, wait: Wait[str], now: float) -> None:
        if token in self.there:
            wait.give(token, self.there.pop(token))
        else:
            self.lines.join(token, wait)

    def leave(self, token: bytes, wait: Wait[str], seconds: float) -> None:
        self.left.append((token, seconds))
        wait.give(token, TimedOut("late"))

    def abandon(self, wait: Wait[str]) -> None:
        self.abandoned.append(wait)

    def comes(self, token: bytes, thing: str) -> None:
        wait = self.lines.take_first(token)
        assert wait is not None
        wait.give(token, thing)


class Waiting:
    def __init__(self) -> None:
        self.side = Post()
        self.reactor = FakeReactor()
        self.lock = threading.Lock()

    def wait(self, timeouts: dict[bytes, float], *meanwhile: Any) -> dict[bytes, Any]:
        """Wait, and let something happen at each poll."""
        happens = list(meanwhile)
        self.reactor.while_waiting = lambda waiter: happens.pop(0)() if happens else None
        return wait_for(self.side, self.lock, self.reactor, timeouts)  # type: ignore[arg-type]


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    monkeypatch.setattr(waiting_module, "monotonic", lambda: 100.0)
    return Waiting()


def test_what_is_there_is_given_without_waiting(waiting: Waiting) -> None:
    waiting.side.there = {P: "1", Q: "2"}
    assert waiting.wait({P: 5.0, Q: 6.0}) == {P: "1", Q: "2"}
    assert waiting.wait({}) == {}
    assert waiting.reactor.waits == []


def test_what_comes_ends_the_wait(waiting: Waiting) -> None:
    got = waiting.wait({P: inf, Q: inf}, lambda: (waiting.side.comes(Q, "2"), waiting.side.comes(P, "1")))
    assert got == {P: "1", Q: "2"}
    assert waiting.side.left == []


def test_each_token_is_waited_for_as_long_as_was_said_for_it(waiting: Waiting) -> None:
    got = waiting.wait({P: 9.0, Q: 2.0, S: 2.0}, lambda: waiting.side.comes(S, "s"), lambda: None)
    assert waiting.reactor.waits == [2.0, 9.0]
    assert waiting.side.left == [(Q, 2.0), (P, 9.0)]
    assert got[S] == "s"
    assert isinstance(got[Q], TimedOut)


def test_no_time_at_all_is_one_look(waiting: Waiting) -> None:
    waiting.wait({P: 0.0})
    assert waiting.reactor.waits == [0.0]
    assert waiting.side.left == [(P, 0.0)]


def test_no_limit_is_no_timeout(waiting: Waiting) -> None:
    waiting.wait({P: inf}, lambda: waiting.side.comes(P, "x"))
    assert waiting.reactor.waits == [None]


def test_leaving_the_grid_ends_every_wait(waiting: Waiting) -> None:
    got = waiting.wait({P: 3.0, Q: inf}, lambda: setattr(waiting.reactor, "is_closed", True))
    assert all(isinstance(error, Closed) for error in got.values())
    assert waiting.side.left == []


def test_an_interrupted_wait_is_abandoned(waiting: Waiting) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        waiting.wait({P: 3.0}, interrupt)
    (wait,) = waiting.side.abandoned
    assert wait.missing == {P}
    assert not waiting.lock.locked()


# -- one timer for many deadlines -----------------------------------------------------------------


class Clockwork:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.reactor = FakeReactor()
        self.rung: list[float] = []
        self.next = inf
        monkeypatch.setattr(waiting_module, "monotonic", lambda: self.now)
        self.alarm = Alarm(self.reactor, self._expire)  # type: ignore[arg-type]

    def _expire(self, now: float) -> float:
        self.rung.append(now)
        return self.next

    def delays(self) -> list[float]:
        return [delay for delay, _ in self.reactor.timers]


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> Clockwork:
    return Clockwork(monkeypatch)


def test_only_an_earlier_deadline_sets_another_timer(clockwork: Clockwork) -> None:
    for deadline in (110.0, 110.0, 150.0, inf, 105.0):
        clockwork.alarm.note(deadline)
    assert clockwork.delays() == [10.0, 5.0]


def test_a_deadline_that_has_come_is_told_and_the_next_one_is_waited_for(clockwork: Clockwork) -> None:
    clockwork.alarm.note(110.0)
    clockwork.now, clockwork.next = 110.0, 130.0
    clockwork.reactor.run_timers()
    assert clockwork.rung == [110.0]
    assert clockwork.delays() == [20.0]
    clockwork.now, clockwork.next = 130.0, inf
    clockwork.reactor.run_timers()
    assert clockwork.delays() == []
    clockwork.alarm.note(200.0)
    assert clockwork.delays() == [70.0]
