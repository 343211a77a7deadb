"""TLS for tests inside one process: one certificate for all, and clients in the test's own hand."""

from __future__ import annotations

import socket
from functools import cache
from time import monotonic

from tests.harness.sockets import PATIENCE_S

from softgrid._io.certificate import Identity, client_context, make_identity
from softgrid._io.reactor import Reactor
from softgrid._io.tls import TlsStream


@cache
def an_identity() -> Identity:
    """The certificate of all servers of the tests."""
    return make_identity()


def a_pair() -> tuple[TlsStream, TlsStream]:
    """Two streams that have shaken hands: server and client."""
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    server = TlsStream(one, an_identity().context, is_server=True)
    client = TlsStream(other, client_context(), is_server=False)
    shake(server, client)
    return server, client


def shake(server: TlsStream, client: TlsStream) -> None:
    """Let both shake hands."""
    done = [client.shake(), False]
    for _ in range(20):
        for place, stream in ((1, server), (0, client)):
            try:
                assert stream.take(), "the other side went away"
            except BlockingIOError:
                continue
            done[place] = stream.shake()
        if all(done):
            return
    raise AssertionError("they do not come to an end")


class Visitor:
    """Somebody at a door: plain, or private once ``begin_tls`` has been called."""

    def __init__(self, reactor: Reactor, sock: socket.socket) -> None:
        self.reactor = reactor
        self.sock = sock
        sock.setblocking(False)
        self.stream: TlsStream | None = None

    def begin_tls(self) -> None:
        """Shake hands, turning the reactor of the other side; fails when it closes."""
        self.stream = TlsStream(self.sock, client_context(), is_server=False)
        deadline = monotonic() + PATIENCE_S
        while not self.stream.shake():
            assert monotonic() < deadline
            self.reactor.turn(0.01)
            try:
                assert self.stream.take(), "the door was shut"
            except BlockingIOError:
                continue

    def say(self, data: bytes) -> None:
        """Say something, privately if it can."""
        if self.stream is None:
            self.sock.sendall(data)
        else:
            assert self.stream.send(data) == len(data)

    def hear(self, size: int) -> bytes:
        """Give what is said back: *size* bytes, or what comes before the end."""
        data = bytearray()
        deadline = monotonic() + PATIENCE_S
        while len(data) < size:
            assert monotonic() < deadline, "nothing more was said"
            try:
                piece = self._read(size - len(data))
            except BlockingIOError:
                self.reactor.turn(0.01)
                continue
            except ConnectionResetError:
                break
            if not piece:
                break
            data += piece
        return bytes(data)

    def _read(self, size: int) -> bytes:
        if self.stream is None:
            return self.sock.recv(size)
        view = bytearray(4096)
        return bytes(view[: self.stream.recv_into(memoryview(view))])

    def is_shut_out(self) -> bool:
        """Whether the door has closed the connection without another word."""
        return self.hear(1) == b""

    def close(self) -> None:
        self.sock.close()
