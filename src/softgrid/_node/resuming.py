"""What a visitor says first who has proved the password: that it is new, or which link it resumes.

A new one gets a name and a secret for its link. Whoever comes back proves that secret over the certificate that it was
shown, and its link goes on over the new connection. A link that has been given up here, for which everybody behind it
was reported lost, is never taken up again: who asks for it is told so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from softgrid._io.reactor import Reactor
from softgrid._model.errors import HandshakeFailed, Undecodable
from softgrid._wire.handshake import DEADLINE_S
from softgrid._wire.resumption import (
    GONE,
    HELLO_SIZE,
    NAME_SIZE,
    NEW,
    SECRET_SIZE,
    Answer,
    Hello,
    make_answer,
    read_hello,
)

if TYPE_CHECKING:
    from softgrid._io.resumable import ResumableStream
    from softgrid._io.tls import TlsStream


class Resuming:
    """The links that began at one door, and may be resumed there."""

    def __init__(
        self,
        reactor: Reactor,
        limit: Callable[[], int | None],
        certificate: Callable[[], bytes],
        on_new: Callable[[ResumableStream, str], None],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self._reactor = reactor
        self._limit = limit
        self._certificate = certificate
        self._on_new = on_new
        self._on_refused = on_refused
        self._links: dict[bytes, tuple[ResumableStream, bytes]] = {}
        self._visits: set[_Visit] = set()

    def on_entered(self, connection: TlsStream, source: str) -> None:
        """Somebody has proved the password."""
        self._visits.add(_Visit(self, connection, source, self._reactor))

    def on_said(self, visit: _Visit, hello: Hello) -> None:
        """A visitor has said what it wants; raises HandshakeFailed when it may not have it."""
        self.forget(visit)
        if hello.what == NEW:
            self._begin(visit)
        else:
            self._resume(visit, hello)

    def _begin(self, visit: _Visit) -> None:
        from softgrid._io.resumable import ResumableStream  # loads what only those need whom somebody joins by hand

        name, secret = os.urandom(NAME_SIZE), os.urandom(SECRET_SIZE)
        visit.say(Answer(NEW, name, secret))
        stream = ResumableStream(visit.connection, self._reactor, self._limit())
        self._links[name] = stream, secret
        stream.on_over = lambda: self._forget_link(name)
        self._on_new(stream, visit.source)

    def _forget_link(self, name: bytes) -> None:
        self._links.pop(name, None)

    def _resume(self, visit: _Visit, hello: Hello) -> None:
        stream, secret = self._links.get(hello.link, (None, b""))
        if stream is None or stream.is_over or stream.replay.limit == 0:
            visit.say(Answer(GONE))
            raise HandshakeFailed("it wants to resume a link that is over")
        hello.check(secret, self._certificate())
        if hello.received > stream.replay.sent:
            raise HandshakeFailed("it wants to resume a link of which it has more than was sent")
        stream.detach()
        begins = max(hello.received, stream.replay.acknowledged)
        received = stream.received.count
        visit.say(make_answer(hello, secret, received, begins))
        try:
            stream.resume(visit.connection, begins, received)
        except Undecodable as error:
            raise HandshakeFailed(str(error)) from None

    def refuse(self, visit: _Visit, reason: str) -> None:
        """A visitor said what it may not, or nothing."""
        self.forget(visit)
        self._on_refused(visit.source, reason)

    def forget(self, visit: _Visit) -> None:
        """A visit is over."""
        self._visits.discard(visit)

    def close(self) -> None:
        """Nobody is let in any more."""
        for visit in list(self._visits):
            visit.leave()
            visit.connection.close()
        self._visits.clear()


class _Visit:
    """A connection whose other end has not said yet what it wants."""

    def __init__(self, resuming: Resuming, connection: TlsStream, source: str, reactor: Reactor) -> None:
        self._resuming = resuming
        self.connection = connection
        self.source = source
        self._reactor = reactor
        self._said = memoryview(bytearray(HELLO_SIZE))
        self._heard = 0
        self._deadline = reactor.call_later(DEADLINE_S, lambda: self._turn_away("it did not say what it wants in time"))
        reactor.watch(connection.fileno(), self._on_ready)

    def _on_ready(self, mask: int) -> None:
        try:
            size = self.connection.recv_into(self._said[self._heard :])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._turn_away(str(error))
            return
        self._heard += size
        if not size:
            self._turn_away("it went away")
        elif self._heard == HELLO_SIZE:
            self.leave()
            try:
                self._resuming.on_said(self, read_hello(bytes(self._said)))
            except HandshakeFailed as error:
                self._resuming.refuse(self, str(error))
                self.connection.close()

    def say(self, answer: Answer) -> None:
        """Answer; when that fails, reading will say so."""
        with contextlib.suppress(OSError):
            self.connection.send(answer.pack())

    def leave(self) -> None:
        """Watch the connection no more."""
        self._deadline.cancel()
        self._reactor.unwatch(self.connection.fileno())

    def _turn_away(self, reason: str) -> None:
        self.leave()
        self.connection.close()
        self._resuming.refuse(self, reason)
