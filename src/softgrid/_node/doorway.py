"""The listening port of an executor: whoever connects must prove the password before a single message is read.

Strangers cost little and learn nothing: fixed small reads, a deadline, a bound on how many may be at the door at
once, and not one byte of answer before they have said the magic word.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from softgrid._io.reactor import Reactor, Timer
from softgrid._model.errors import HandshakeFailed
from softgrid._wire.handshake import DEADLINE_S, ServerHandshake

MAX_AT_THE_DOOR = 64
MAX_PER_SOURCE = 8
READ_SIZE = 256


class Doorway:
    """Accepts connections on a listening socket and hands over those that proved the password."""

    def __init__(
        self,
        listener: socket.socket,
        reactor: Reactor,
        password: str,
        on_entered: Callable[[socket.socket, str], None],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self._listener = listener
        self._reactor = reactor
        self._password = password
        self._on_entered = on_entered
        self._on_refused = on_refused
        self._visitors: dict[int, _Visitor] = {}
        self.refused = 0
        reactor.watch(listener.fileno(), self._on_ready)

    def _on_ready(self, mask: int) -> None:
        try:
            sock, address = self._listener.accept()
        except OSError:  # the visitor is gone again, or there are no descriptors left: the next turn tries again
            return
        source = str(address[0])
        same_source = sum(1 for visitor in self._visitors.values() if visitor.source == source)
        if len(self._visitors) >= MAX_AT_THE_DOOR or same_source >= MAX_PER_SOURCE:
            oldest = next(v for v in self._visitors.values() if same_source < MAX_PER_SOURCE or v.source == source)
            oldest.turn_away("too many were at the door")
        sock.setblocking(False)
        visitor = _Visitor(self, sock, source)
        self._visitors[sock.fileno()] = visitor

    def close(self) -> None:
        """Stop listening and turn away whoever is at the door."""
        if self._listener.fileno() >= 0:
            self._reactor.unwatch(self._listener.fileno())
            self._listener.close()
        for visitor in list(self._visitors.values()):
            visitor.leave().close()

    @property
    def waiting(self) -> int:
        """How many are at the door."""
        return len(self._visitors)


class _Visitor:
    """A connection that has not proved anything yet."""

    def __init__(self, doorway: Doorway, sock: socket.socket, source: str) -> None:
        self._doorway = doorway
        self._sock = sock
        self.source = source
        self._handshake = ServerHandshake(doorway._password, os.urandom(32))
        reactor = doorway._reactor
        self._deadline: Timer = reactor.call_later(
            DEADLINE_S, lambda: self.turn_away("it did not say who it is in time")
        )
        reactor.watch(sock.fileno(), self._on_ready)

    def _on_ready(self, mask: int) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
            if not data:
                raise HandshakeFailed("it went away")
            answer = self._handshake.receive(data)
            if answer and self._sock.send(answer) != len(answer):
                raise HandshakeFailed("it does not read")
        except (BlockingIOError, InterruptedError):
            return
        except (HandshakeFailed, OSError) as error:
            self.turn_away(str(error))
            return
        if self._handshake.is_done:
            self._doorway._on_entered(self.leave(), self.source)

    def leave(self) -> socket.socket:
        """Take the connection away from the door."""
        self._deadline.cancel()
        del self._doorway._visitors[self._sock.fileno()]
        self._doorway._reactor.unwatch(self._sock.fileno())
        return self._sock

    def turn_away(self, reason: str) -> None:
        """Close without a word to the visitor."""
        self.leave().close()
        self._doorway.refused += 1
        self._doorway._on_refused(self.source, reason)
