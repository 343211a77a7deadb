"""Knocking: a private connection to whoever knows the password, or the reason why there is none, in time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest
from tests.harness.sockets import PATIENCE_S, a_reactor
from tests.harness.tls import an_identity
from tests.system.watching import wait_until

from softgrid._io.ports import reserve_port
from softgrid._io.tls import TlsStream
from softgrid._model.errors import HandshakeFailed, NoRoute, TimedOut
from softgrid._node import knock as knock_module
from softgrid._node.doorway import Doorway
from softgrid._node.knock import knock

HOST = "127.0.0.1"


class Host:
    """Somebody whose door opens for the password 'right'."""

    def __init__(self, reactor: Any) -> None:
        listener = reserve_port(HOST, 0, fetch=False, listen=True)
        self.port: int = listener.getsockname()[1]
        self.guests: list[TlsStream] = []
        self.refused: list[str] = []
        self.entered = threading.Event()
        self.door = Doorway(
            listener, reactor, "right", self.on_entered, lambda source, why: self.refused.append(why), an_identity
        )

    def on_entered(self, stream: TlsStream, source: str) -> None:
        self.guests.append(stream)
        self.entered.set()


@pytest.fixture
def host() -> Iterator[Host]:
    with a_reactor() as reactor:
        made = Host(reactor)
        reactor.start_background()
        yield made
        reactor.call_soon(made.door.close)
        for guest in made.guests:
            guest.close()


def soon() -> float:
    return monotonic() + PATIENCE_S


def test_whoever_knows_the_password_gets_a_private_connection(host: Host) -> None:
    stream = knock(HOST, host.port, "right", soon())
    assert host.entered.wait(PATIENCE_S)
    host.guests[0].send(b"welcome")
    view = memoryview(bytearray(4096))
    stream.setblocking(True)
    assert bytes(view[: stream.recv_into(view)]) == b"welcome"
    stream.close()
    assert host.refused == []


def test_a_wrong_password_is_said_to_be_wrong_and_not_tried_again(host: Host) -> None:
    with pytest.raises(HandshakeFailed, match=r"^wrong password$"):
        knock(HOST, host.port, "wrong", soon())
    wait_until(lambda: host.refused)
    assert host.refused == ["wrong password"]
    assert host.guests == []


def test_nobody_at_home_is_said_at_once() -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        with pytest.raises(NoRoute, match="Connection refused"):
            knock(HOST, unused.getsockname()[1], "right", soon())


@contextlib.contextmanager
def a_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Somebody who does with each visitor what the test says."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    visitor, _ = listener.accept()
                except OSError:
                    return
                with visitor, contextlib.suppress(OSError):
                    answer(visitor)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_S)


def test_a_server_that_speaks_something_else_is_said_to() -> None:
    def http(visitor: socket.socket) -> None:
        visitor.recv(4096)
        visitor.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        visitor.recv(1)

    with a_server(http) as port, pytest.raises(HandshakeFailed, match=r"does not speak TLS 1\.3"):
        knock(HOST, port, "right", soon())


def test_a_server_that_shuts_the_door_at_once_is_tried_again_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knock_module, "PAUSE_S", 0.001)
    visits: list[int] = []

    def shut(visitor: socket.socket) -> None:
        visits.append(1)
        visitor.recv(10_000)

    with a_server(shut) as port, pytest.raises(HandshakeFailed, match="does not speak softgrid, or is too crowded"):
        knock(HOST, port, "right", soon())
    assert len(visits) == knock_module.TRIES


def test_a_crowd_at_the_door_does_not_keep_a_guest_out(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knock_module, "PAUSE_S", 0.001)
    real, turned_away = knock_module._make_private, []

    def crowded(stream: TlsStream, deadline: float) -> None:
        if len(turned_away) < 2:
            turned_away.append(1)
            raise ConnectionResetError(104, "Connection reset by peer")
        real(stream, deadline)

    monkeypatch.setattr(knock_module, "_make_private", crowded)
    knock(HOST, host.port, "right", soon()).close()
    assert len(turned_away) == 2


def test_a_server_that_does_not_know_the_password_is_not_believed() -> None:
    def pretend(visitor: socket.socket) -> None:
        with an_identity().context.wrap_socket(visitor, server_side=True) as private:
            private.recv(44)
            private.sendall(b"n" * 32)
            private.recv(32)
            private.sendall(b"p" * 32)
            private.recv(1)

    with a_server(pretend) as port, pytest.raises(HandshakeFailed, match="the server does not know the password"):
        knock(HOST, port, "right", soon())


def test_somebody_in_between_is_noticed_although_both_ends_know_the_password(host: Host) -> None:
    """The one in between has a certificate of its own, speaks TLS with both, and passes everything on."""
    from softgrid._io.certificate import client_context, make_identity

    def in_between(visitor: socket.socket) -> None:
        with (
            make_identity().context.wrap_socket(visitor, server_side=True) as towards_guest,
            socket.create_connection((HOST, host.port)) as plain,
            client_context().wrap_socket(plain) as towards_host,
        ):
            towards_host.sendall(towards_guest.recv(44))
            towards_guest.sendall(towards_host.recv(32))
            towards_host.sendall(towards_guest.recv(32))
            towards_guest.sendall(towards_host.recv(32))

    with a_server(in_between) as port, pytest.raises(HandshakeFailed):
        knock(HOST, port, "right", soon())
    wait_until(lambda: host.refused == ["wrong password"], what="the host has refused it")
    assert host.guests == []


@pytest.mark.parametrize("says", [b"", b"\x16\x03\x03"])
def test_one_who_does_not_answer_is_given_up_in_time(says: bytes) -> None:
    over = threading.Event()

    def wait(visitor: socket.socket) -> None:
        visitor.sendall(says)
        over.wait(PATIENCE_S)

    started = monotonic()
    with a_server(wait) as port:
        with pytest.raises(TimedOut):
            knock(HOST, port, "right", monotonic() + 0.2)
        over.set()
    assert monotonic() - started < PATIENCE_S


def test_nothing_is_left_open_by_a_failure(host: Host) -> None:
    import os

    def open_sockets() -> int:
        return sum(
            os.path.exists(path) and os.readlink(path).startswith("socket:")
            for path in (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        )

    before = open_sockets()
    for _ in range(3):
        with pytest.raises(HandshakeFailed):
            knock(HOST, host.port, "wrong", soon())
    done = threading.Event()
    host.door._reactor.call_soon(done.set)
    assert done.wait(PATIENCE_S)
    assert open_sockets() == before
