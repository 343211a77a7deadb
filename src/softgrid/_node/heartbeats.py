"""Signs of life, given and looked for, over links that may fall silent without breaking: those to other machines.

Between executors of one machine there are none, since there the kernel tells of every end at once. One timer serves all
links of a process, and there is none where there is no such link. What silence means is decided in ``_state.health``.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from softgrid._io.reactor import Reactor, Timer
from softgrid._state.health import Heard, Standing, Terms, Vigil

OnStanding = Callable[[Standing, float], None]
"""Told of each change, with the seconds of silence."""


class Pulse(Protocol):
    """Whoever gives signs of life while it lives; whatever comes over its link is one."""

    @property
    def closed(self) -> bool: ...

    def heard(self) -> tuple[float, float]:
        """When the process, and when its machine, last gave one; on the monotonic clock."""

    def beat(self) -> None:
        """Give it one."""


class Heartbeats:
    """The links of one executor that are listened to."""

    def __init__(self, reactor: Reactor, terms: Terms) -> None:
        self._reactor = reactor
        self._vigil: Vigil[Pulse] = Vigil(terms)
        self._listeners: dict[Pulse, OnStanding] = {}
        self._timer: Timer | None = None

    @property
    def terms(self) -> Terms:
        """How often there must be a sign of life, and for how long there may be none."""
        return self._vigil.terms

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self._vigil.terms = terms
        self._look_soon()

    def watch(self, pulse: Pulse, on_standing: OnStanding) -> None:
        """Listen to *pulse* until it is closed, found dead or forgotten. In the reactor's turn, like all of this."""
        self._listeners[pulse] = on_standing
        self._vigil.watch(pulse, monotonic())
        if self._timer is None:
            self._look_soon()

    def forget(self, pulse: Pulse) -> None:
        """Listen to it no more; harmless when nobody does."""
        self._listeners.pop(pulse, None)
        self._vigil.forget(pulse)

    def _look_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s = self._vigil.next_look_s(monotonic())
        self._timer = None if wait_s is None else self._reactor.call_later(wait_s, self._look)

    def _look(self) -> None:
        for pulse in [pulse for pulse in self._listeners if pulse.closed]:
            self.forget(pulse)
        for pulse in self._listeners:
            pulse.beat()
        changes = self._vigil.look(monotonic(), lambda pulse: Heard(*pulse.heard()))
        self._look_soon()
        for pulse, standing, silence_s in changes:
            on_standing = self._listeners.get(pulse)
            if standing == "dead":
                self._listeners.pop(pulse, None)
            if on_standing is not None:
                on_standing(standing, silence_s)
