"""The listening port of an executor: whoever connects must prove the password before a single message is read.

All of it is spoken in TLS, over a certificate that is made when the first visitor comes. Strangers cost little and
learn nothing: small reads, a bound on what one may say before the proof, a deadline, a bound on how many may be at the
door at once, and not one byte of answer to whoever does not speak TLS.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from softgrid._io.reactor import Reactor, Timer
from softgrid._model.errors import HandshakeFailed, SoftgridError
from softgrid._wire.handshake import DEADLINE_S, ServerHandshake

if TYPE_CHECKING:
    from softgrid._io.certificate import Identity
    from softgrid._io.tls import TlsStream

MAX_AT_THE_DOOR = 64
READ_SIZE = 2048
MAX_SAID = 8192
"""A whole handshake, TLS and ours, is a quarter of this; nobody says more before the proof."""
HELLO = b"\x16\x03"
"""Every TLS connection begins like this: a handshake record (RFC 8446, 5.1)."""
REST_S = 0.1
"""How long nobody is let in when this process has no descriptors left."""


def _make_identity() -> Identity:
    from softgrid._io.certificate import make_identity

    return make_identity()


class Doorway:
    """Accepts connections on a listening socket and hands over those that proved the password."""

    def __init__(
        self,
        listener: socket.socket,
        reactor: Reactor,
        password: str,
        on_entered: Callable[[TlsStream, str], None],
        on_refused: Callable[[str, str], None],
        make_identity: Callable[[], Identity] = _make_identity,
    ) -> None:
        self._listener = listener
        self._reactor = reactor
        self._password = password
        self._on_entered = on_entered
        self._on_refused = on_refused
        self._make_identity = make_identity
        self._identity: Identity | None = None
        self._is_making = False
        self._visitors: dict[int, _Visitor] = {}
        self.refused = 0
        reactor.watch(listener.fileno(), self._on_ready)

    def _on_ready(self, mask: int) -> None:
        try:
            sock, address = self._listener.accept()
        except OSError as error:  # the visitor is gone again, or there are no descriptors left
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._rest()
            return
        if len(self._visitors) >= MAX_AT_THE_DOOR:
            self._make_room()
        sock.setblocking(False)
        visitor = _Visitor(self, sock, str(address[0]))
        self._visitors[sock.fileno()] = visitor

    def _make_room(self) -> None:
        """Of those from the place that most came from, turn away who has come least far, and of these the oldest."""
        crowds = Counter(visitor.source for visitor in self._visitors.values())
        least = min(self._visitors.values(), key=lambda visitor: (-crowds[visitor.source], visitor.progress))
        least.turn_away("too many were at the door")

    def _rest(self) -> None:
        self._reactor.set_mask(self._listener.fileno(), read=False, write=False)
        self._reactor.call_later(REST_S, self._go_on)

    def _go_on(self) -> None:
        if self._listener.fileno() >= 0:
            self._reactor.set_mask(self._listener.fileno(), read=True, write=False)

    # -- the certificate ------------------------------------------------------------------------------------------

    def identity(self) -> Identity | None:
        """Give what visitors are shown; None as long as it is being made, and all who wait are called when it is."""
        if self._identity is None and not self._is_making:
            self._is_making = True
            threading.Thread(target=self._make, name="softgrid-certificate", daemon=True).start()
        return self._identity

    def _make(self) -> None:
        try:
            made: Identity | SoftgridError = self._make_identity()
        except SoftgridError as error:
            made = error
        except Exception as error:
            made = SoftgridError(f"the certificate for visitors could not be made: {type(error).__name__}: {error}")
        self._reactor.call_soon(lambda: self._on_made(made))

    def _on_made(self, made: Identity | SoftgridError) -> None:
        self._is_making = False
        if not isinstance(made, SoftgridError):
            self._identity = made
        for visitor in [visitor for visitor in self._visitors.values() if visitor.awaits_identity]:
            if isinstance(made, SoftgridError):
                visitor.turn_away(str(made))
            else:
                visitor.go_on()

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop listening and turn away whoever is at the door."""
        if self._listener.fileno() >= 0:
            self._reactor.unwatch(self._listener.fileno())
            self._listener.close()
        for visitor in list(self._visitors.values()):
            visitor.leave()
            visitor.sock.close()

    @property
    def waiting(self) -> int:
        """How many are at the door."""
        return len(self._visitors)


class _Visitor:
    """A connection that has not proved anything yet: first what it says must be TLS, then the proof."""

    def __init__(self, doorway: Doorway, sock: socket.socket, source: str) -> None:
        self._doorway = doorway
        self.sock = sock
        self.source = source
        self._said = 0
        self._heard = b""
        self._stream: TlsStream | None = None
        self.is_private = False
        self._handshake: ServerHandshake | None = None
        self.awaits_identity = False
        reactor = doorway._reactor
        self._deadline: Timer = reactor.call_later(
            DEADLINE_S, lambda: self.turn_away("it did not say who it is in time")
        )
        reactor.watch(sock.fileno(), self._on_ready)

    @property
    def progress(self) -> int:
        """How far it has come: silent, heard, private."""
        return 2 if self.is_private else 1 if self._said else 0

    def _on_ready(self, mask: int) -> None:
        try:
            data = self.sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.turn_away(str(error))
            return
        self._said += len(data)
        self._heard += data
        if not data:
            self.turn_away("it went away")
        elif self._said > MAX_SAID:
            self.turn_away("it said more than a handshake")
        else:
            self.go_on()

    def go_on(self) -> None:
        """Go on with what was heard so far."""
        try:
            if self._listen():
                assert self._stream is not None
                self.leave()
                self._doorway._on_entered(self._stream, self.source)
        except (HandshakeFailed, OSError) as error:
            self.turn_away(str(error))

    def _listen(self) -> bool:
        """Whether it has proved the password now."""
        if self._stream is None and not self._begin():
            return False
        assert self._stream is not None
        self._stream.feed(self._heard)
        self._heard = b""
        if not self.is_private:
            self.is_private = self._stream.shake()
        return self.is_private and self._shake()

    def _begin(self) -> bool:
        seen = self._heard[: len(HELLO)]
        if seen != HELLO[: len(seen)]:
            raise HandshakeFailed("it does not speak TLS")
        identity = self._doorway.identity() if seen == HELLO else None
        self._await(identity is None and seen == HELLO)
        if identity is None:
            return False
        from softgrid._io.tls import TlsStream

        self._stream = TlsStream(self.sock, identity.context, is_server=True)
        self._handshake = ServerHandshake(self._doorway._password, os.urandom(32), identity.certificate)
        return True

    def _await(self, awaits: bool) -> None:
        """Read no more while the certificate is being made."""
        if awaits != self.awaits_identity:
            self.awaits_identity = awaits
            self._doorway._reactor.set_mask(self.sock.fileno(), read=not awaits, write=False)

    def _shake(self) -> bool:
        assert self._stream is not None
        assert self._handshake is not None
        said = bytearray(READ_SIZE)
        try:
            size = self._stream.read(memoryview(said))
        except BlockingIOError:
            return False
        answer = self._handshake.receive(bytes(said[:size]))
        if answer:
            self._stream.send(answer)
            if self._stream.is_behind:
                raise HandshakeFailed("it does not read")
        return self._handshake.is_done

    def leave(self) -> None:
        """Take the connection away from the door."""
        self._deadline.cancel()
        del self._doorway._visitors[self.sock.fileno()]
        self._doorway._reactor.unwatch(self.sock.fileno())

    def turn_away(self, reason: str) -> None:
        """Close without a word to the visitor."""
        self.leave()
        self.sock.close()
        self._doorway.refused += 1
        self._doorway._on_refused(self.source, reason)
