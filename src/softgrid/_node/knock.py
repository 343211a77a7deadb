"""At somebody else's door: connect, speak TLS, prove the password and have it proved."""

from __future__ import annotations

import os
from random import uniform
from time import monotonic, sleep

from softgrid._io.tcp import await_input, dial
from softgrid._io.tls import SMALL, TlsStream
from softgrid._model.errors import HandshakeFailed, TimedOut
from softgrid._wire.handshake import ClientHandshake

TRIES = 12
PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.4


class _TurnedAway(HandshakeFailed):
    """The door was shut before anything was proved: it may have been too crowded, or no door at all."""


def knock(address: str, port: int, password: str, deadline: float) -> TlsStream:
    """Give a private connection to whoever listens there and knows the password; *deadline* is on the monotonic clock.

    Blocks. Raises NoRoute, TimedOut, HandshakeFailed or TlsUnavailable.
    """
    pause = PAUSE_S
    for left in reversed(range(TRIES)):
        try:
            return _knock_once(address, port, password, deadline)
        except _TurnedAway:
            if not left or monotonic() + pause > deadline:
                raise
            sleep(pause * uniform(0.5, 1))  # a crowd at the door is gone in a moment, if it does not come back as one
            pause = min(2 * pause, LONGEST_PAUSE_S)
    raise AssertionError("unreachable")


def _knock_once(address: str, port: int, password: str, deadline: float) -> TlsStream:
    from softgrid._io.certificate import client_context

    stream = TlsStream(dial(address, port, deadline), client_context(), is_server=False)
    try:
        _make_private(stream, deadline)
        _prove(stream, password, deadline)
    except HandshakeFailed:
        stream.close()
        raise
    except TimedOut:
        stream.close()
        raise TimedOut(f"{address}:{port} did not answer in time") from None
    except OSError as error:
        stream.close()
        raise _TurnedAway(f"the connection to {address}:{port} broke: {error.strerror}") from None
    except BaseException:
        stream.close()
        raise
    return stream


def _make_private(stream: TlsStream, deadline: float) -> None:
    while not stream.shake():
        await_input(stream, deadline)
        if not stream.take():
            raise _TurnedAway("the server closed the connection: it does not speak softgrid, or is too crowded")


def _prove(stream: TlsStream, password: str, deadline: float) -> None:
    handshake = ClientHandshake(password, os.urandom(32), stream.peer_certificate)
    said = memoryview(bytearray(SMALL))
    stream.send(handshake.begin())
    while not handshake.is_done:
        await_input(stream, deadline)
        try:
            size = stream.recv_into(said)
        except BlockingIOError:
            continue
        if not size:
            raise handshake.ended() if handshake.is_heard else _TurnedAway(str(handshake.ended()))
        answer = handshake.receive(bytes(said[:size]))
        if answer:
            stream.send(answer)
