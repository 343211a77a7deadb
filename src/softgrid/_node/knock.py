"""At somebody else's door: connect, speak TLS, prove the password and have it proved."""

from __future__ import annotations

import os
from random import uniform
from time import monotonic, sleep

from softgrid._io.tcp import await_input, dial
from softgrid._io.tls import SMALL, TlsStream
from softgrid._model.errors import HandshakeFailed, TimedOut
from softgrid._wire.handshake import ClientHandshake
from softgrid._wire.resumption import ANSWER_SIZE, GONE, NEW, Answer, Hello, make_hello, read_answer

TRIES = 12
PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.4


class _TurnedAway(HandshakeFailed):
    """The door was shut before anything was proved: it may have been too crowded, or no door at all."""


class LinkGone(HandshakeFailed):
    """The other end of a link that was to be resumed has given it up, or is no more."""


def knock(address: str, port: int, password: str, deadline: float, connect_s: float = 3600.0) -> TlsStream:
    """Give a private connection to whoever listens there and knows the password; *deadline* is on the monotonic clock.

    *connect_s*: how long one try to connect may take. Blocks. Raises NoRoute, TimedOut, HandshakeFailed or
    TlsUnavailable.
    """
    pause = PAUSE_S
    for left in reversed(range(TRIES)):
        try:
            return _knock_once(address, port, password, deadline, connect_s)
        except _TurnedAway:
            if not left or monotonic() + pause > deadline:
                raise
            sleep(pause * uniform(0.5, 1))  # a crowd at the door is gone in a moment, if it does not come back as one
            pause = min(2 * pause, LONGEST_PAUSE_S)
    raise AssertionError("unreachable")


def _knock_once(address: str, port: int, password: str, deadline: float, connect_s: float) -> TlsStream:
    from softgrid._io.certificate import client_context

    sock = dial(address, port, min(deadline, monotonic() + connect_s))
    stream = TlsStream(sock, client_context(), is_server=False)
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


def begin_link(stream: TlsStream, deadline: float) -> Answer:
    """Begin a link over a new connection; gives what it is called and the secret to resume it by.

    Blocks. Raises TimedOut or HandshakeFailed; the connection is the caller's to close.
    """
    return _ask(stream, Hello(NEW), deadline)


def resume_link(stream: TlsStream, link: bytes, secret: bytes, received: int, deadline: float) -> Answer:
    """Resume a link of which *received* bytes have come, over a new connection; gives how far the other end is.

    Blocks. Raises LinkGone, TimedOut or HandshakeFailed; the connection is the caller's to close.
    """
    hello = make_hello(link, secret, os.urandom(32), received, stream.peer_certificate)
    answer = _ask(stream, hello, deadline)
    if answer.what == GONE:
        raise LinkGone("the other end has given it up")
    answer.check(secret, hello)
    return answer


def _ask(stream: TlsStream, hello: Hello, deadline: float) -> Answer:
    said = memoryview(bytearray(ANSWER_SIZE))
    heard = 0
    try:
        stream.send(hello.pack())
        while heard < ANSWER_SIZE:
            await_input(stream, deadline)
            try:
                size = stream.recv_into(said[heard:])
            except BlockingIOError:
                continue
            if not size:
                raise HandshakeFailed("the server closed the connection")
            heard += size
    except OSError as error:
        raise HandshakeFailed(f"the connection broke: {error.strerror}") from None
    return read_answer(bytes(said))
