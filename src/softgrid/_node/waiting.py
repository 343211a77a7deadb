"""How a thread waits for what comes under tokens, and one timer for many deadlines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic
from typing import Any, Protocol, TypeVar

from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import Closed, SoftgridError
from softgrid._state.waits import Wait

Thing = TypeVar("Thing")

Came = tuple[str, Any, float]
"""What has come to the thread that waited: from whom, the value, and when (UTC, seconds since the epoch)."""


class Side(Protocol[Thing]):
    """Where things come to: the requester's or the responder's side of requests."""

    def join(self, token: bytes, wait: Wait[Thing], now: float) -> None: ...
    def leave(self, token: bytes, wait: Wait[Thing], seconds: float) -> None: ...
    def abandon(self, wait: Wait[Thing]) -> None: ...


def wait_for(
    side: Side[Thing], lock: threading.Lock, reactor: Reactor, timeouts: Mapping[bytes, float]
) -> dict[bytes, Thing | SoftgridError]:
    """Block until something has come under each token or its seconds are over; gives what came, or why nothing did.

    When the thread is interrupted nothing is lost: what has come is left to whoever asks next.
    """
    waiter = Waiter()
    wait: Wait[Thing] = Wait(timeouts, waiter.set)
    started = monotonic()
    try:
        shielded = reactor.shield()
        try:
            with lock:
                for token in timeouts:
                    side.join(token, wait, started)
            if not waiter.done:
                _wait_out(side, lock, reactor, timeouts, wait, waiter, started)
        finally:
            reactor.unshield(shielded)
    except BaseException:
        with lock:
            side.abandon(wait)
        raise
    return wait.got


def _wait_out(
    side: Side[Thing],
    lock: threading.Lock,
    reactor: Reactor,
    timeouts: Mapping[bytes, float],
    wait: Wait[Thing],
    waiter: Waiter,
    started: float,
) -> None:
    for seconds in sorted(set(timeouts.values())) if len(timeouts) > 1 else timeouts.values():
        left = None if seconds == inf else max(0.0, started + seconds - monotonic())
        if reactor.wait(waiter, left):
            return
        with lock:
            for token in [token for token in wait.missing if reactor.is_closed or timeouts[token] == seconds]:
                if reactor.is_closed:
                    wait.give(token, Closed("this executor left the grid while it waited"))
                else:
                    side.leave(token, wait, seconds)


class Alarm:
    """Calls *expire* when the earliest of many deadlines has come; it gives when to call it next."""

    def __init__(self, reactor: Reactor, expire: Callable[[float], float]) -> None:
        self._reactor = reactor
        self._expire = expire
        self.due = inf

    def note(self, deadline: float) -> None:
        """Something has a deadline; any thread."""
        if deadline < self.due:
            self.due = deadline
            self._reactor.call_later(deadline - monotonic(), self._ring)

    def _ring(self) -> None:
        self.due = inf
        self.note(self._expire(monotonic()))
