"""Connections to other machines: reached within a deadline, or a reason; silence is noticed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from softgrid._io import tcp
from softgrid._io.tcp import await_input, dial, tune
from softgrid._model.errors import NoRoute, TimedOut


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def soon(seconds: float = 5.0) -> float:
    return monotonic() + seconds


def test_whoever_listens_is_reached(listener: socket.socket) -> None:
    with dial("127.0.0.1", listener.getsockname()[1], soon()) as sock:
        other, _ = listener.accept()
        assert sock.gettimeout() == 0.0
        other.send(b"hello")
        await_input(sock, soon())
        assert sock.recv(5) == b"hello"
        other.close()


def test_a_name_is_looked_up_and_all_its_addresses_are_tried(listener: socket.socket, monkeypatch: Any) -> None:
    port = listener.getsockname()[1]
    real = socket.getaddrinfo

    def two(*args: Any, **kwargs: Any) -> Any:
        return [*real("127.0.0.1", 1, type=socket.SOCK_STREAM), *real("127.0.0.1", port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    dial("some.name", port, soon()).close()


def test_nobody_listening_is_a_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NoRoute, match=rf"^127\.0\.0\.1 cannot be reached at port {port}: Connection refused$"):
            dial("127.0.0.1", port, soon())


@pytest.mark.parametrize("name", ["no.such.host.invalid", "a" * 300, "ü.invalid" + "x" * 70])
def test_a_name_of_no_machine_is_a_reason(name: str) -> None:
    with pytest.raises(NoRoute, match=r"^no machine is known as "):
        dial(name, 5000, soon())


def test_one_who_does_not_answer_is_given_up_in_time(monkeypatch: Any) -> None:
    class Silent(socket.socket):
        def connect(self, target: Any) -> None:
            raise TimeoutError

    monkeypatch.setattr(tcp.socket, "socket", Silent)
    with pytest.raises(TimedOut, match=r"127\.0\.0\.1:5000 did not answer in time"):
        dial("127.0.0.1", 5000, soon())
    with pytest.raises(TimedOut):
        dial("127.0.0.1", 5000, monotonic() - 1)


def test_waiting_for_input_ends_at_the_deadline() -> None:
    one, other = socket.socketpair()
    with one, other, pytest.raises(TimedOut):
        await_input(one, monotonic() + 0.01)


def test_silence_ends_a_connection_within_the_tolerance() -> None:
    with socket.socket() as sock:
        tune(sock, 60.0)
        options = {
            name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
            for name in ("TCP_NODELAY", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        }
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert options["TCP_NODELAY"]
    assert options["TCP_KEEPIDLE"] + options["TCP_KEEPINTVL"] * options["TCP_KEEPCNT"] == 60
    assert options["TCP_USER_TIMEOUT"] == 60_000


def test_the_shortest_tolerance_is_what_the_system_can() -> None:
    with socket.socket() as sock:
        tune(sock, 0.01)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10


def test_a_system_without_these_options_is_used_without(monkeypatch: Any) -> None:
    for name in ("TCP_KEEPIDLE", "TCP_USER_TIMEOUT"):
        monkeypatch.delattr(tcp.socket, name)
    with socket.socket() as sock:
        tune(sock, 60.0)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
