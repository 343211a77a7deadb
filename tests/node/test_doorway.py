"""The doorway: who proves the password comes in, everybody else costs little and learns nothing."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.sockets import PATIENCE_S, Clock, a_reactor, turn_until, turn_until_idle

from softgrid._io import reactor as reactor_module
from softgrid._io.ports import reserve_port
from softgrid._io.reactor import Reactor
from softgrid._node import doorway as doorway_module
from softgrid._node.doorway import Doorway
from softgrid._wire.handshake import MAGIC, NONCE_SIZE, ClientHandshake

HOST = "127.0.0.1"


class Door:
    """A doorway on loopback, and everybody who came to it."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        listener = reserve_port(HOST, 0, fetch=False, listen=True)
        self.port: int = listener.getsockname()[1]
        self.entered: list[tuple[socket.socket, str]] = []
        self.refused: list[tuple[str, str]] = []
        self.doorway = Doorway(
            listener,
            reactor,
            "right",
            lambda sock, source: self.entered.append((sock, source)),
            lambda source, reason: self.refused.append((source, reason)),
        )
        self.visitors: list[socket.socket] = []

    def visit(self) -> socket.socket:
        """Come to the door and say nothing yet."""
        waiting = self.doorway.waiting + self.doorway.refused
        visitor = socket.create_connection((HOST, self.port), timeout=PATIENCE_S)
        self.visitors.append(visitor)
        turn_until(self.reactor, lambda: self.doorway.waiting + self.doorway.refused > waiting)
        return visitor

    def hear(self, visitor: socket.socket, size: int) -> bytes:
        """Give what the door says to a visitor: *size* bytes, or what comes before it closes."""
        data = b""
        visitor.setblocking(False)
        while len(data) < size:
            try:
                piece = visitor.recv(size - len(data))
            except BlockingIOError:
                self.reactor.turn(0.05)
                continue
            except ConnectionResetError:
                return data
            if not piece:
                return data
            data += piece
        return data

    def shake(self, visitor: socket.socket, password: str) -> ClientHandshake:
        client = ClientHandshake(password, bytes(range(NONCE_SIZE)))
        visitor.sendall(client.begin())
        visitor.sendall(client.receive(self.hear(visitor, 32)))
        client.receive(self.hear(visitor, 32))
        return client

    def is_shut(self, visitor: socket.socket) -> bool:
        """Whether the door has closed this connection, without another word."""
        return self.hear(visitor, 1) == b""

    def close(self) -> None:
        self.doorway.close()
        for sock in (*self.visitors, *(sock for sock, _ in self.entered)):
            sock.close()


@pytest.fixture
def door() -> Iterator[Door]:
    with a_reactor() as reactor:
        made = Door(reactor)
        yield made
        made.close()


def test_whoever_knows_the_password_comes_in(door: Door) -> None:
    client = door.shake(door.visit(), "right")
    assert client.is_done
    ((sock, source),) = door.entered
    assert source == HOST
    assert door.doorway.waiting == 0
    door.visitors[0].setblocking(True)
    sock.send(b"welcome")
    assert door.visitors[0].recv(99) == b"welcome"
    assert door.refused == []


def test_whoever_came_in_is_out_of_the_doors_reach(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "DEADLINE_S", 0.01)
    door.visit()  # its deadline passes after that of the one who comes in
    door.shake(door.visit(), "right")
    turn_until(door.reactor, lambda: door.doorway.refused)
    door.doorway.close()
    ((sock, _),) = door.entered
    assert sock.fileno() >= 0
    sock.send(b"still here")
    assert door.hear(door.visitors[1], 10) == b"still here"


def test_a_wrong_password_is_refused_without_a_proof(door: Door) -> None:
    visitor = door.visit()
    client = door.shake(visitor, "wrong")
    assert not client.is_done
    assert str(client.ended()) == "wrong password"
    assert door.is_shut(visitor)
    assert door.refused == [(HOST, "wrong password")]
    assert door.entered == []


@pytest.mark.parametrize(
    "said",
    [b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01\x02\x00", b"x" * 100_000],
    ids=["zero", "http", "ssh", "tls", "much"],
)
def test_whoever_speaks_another_language_hears_nothing(door: Door, said: bytes) -> None:
    visitor = door.visit()
    visitor.sendall(said)
    assert door.is_shut(visitor)
    ((_, reason),) = door.refused
    assert "does not speak softgrid" in reason
    assert door.doorway.waiting == 0


def test_random_bytes_are_refused_whatever_they_are(door: Door) -> None:
    chance = random.Random(7)
    for _ in range(30):
        visitor = door.visit()
        said = chance.randbytes(chance.randrange(1, 300))
        assert not said.startswith(MAGIC[:1]) or len(said) > 1
        visitor.sendall(said)
        assert door.is_shut(visitor)
    assert len(door.refused) == 30
    assert door.entered == []


def test_random_bytes_after_the_magic_word_get_no_proof(door: Door) -> None:
    chance = random.Random(8)
    for _ in range(10):
        visitor = door.visit()
        visitor.sendall(MAGIC + chance.randbytes(NONCE_SIZE) + chance.randbytes(32))
        assert len(door.hear(visitor, 64)) in (0, 32)
    assert [reason for _, reason in door.refused] == ["wrong password"] * 10


def test_a_visitor_who_goes_away_is_forgotten(door: Door) -> None:
    door.visit().close()
    turn_until(door.reactor, lambda: door.refused)
    assert door.refused == [(HOST, "it went away")]
    assert door.doorway.waiting == 0


def test_a_visitor_who_resets_the_connection_is_forgotten(door: Door) -> None:
    import struct

    visitor = door.visit()
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visitor.close()
    turn_until(door.reactor, lambda: door.refused)
    assert door.doorway.waiting == 0


@pytest.mark.parametrize("said", [b"", MAGIC[:3], MAGIC + b"n" * NONCE_SIZE])
def test_whoever_does_not_come_to_the_point_in_time_is_turned_away(door: Door, monkeypatch: Any, said: bytes) -> None:
    monkeypatch.setattr(doorway_module, "DEADLINE_S", 0.02)
    visitor = door.visit()
    visitor.sendall(said)
    turn_until(door.reactor, lambda: door.refused)
    assert door.refused == [(HOST, "it did not say who it is in time")]
    assert door.doorway.waiting == 0
    heard = door.hear(visitor, 64)
    assert len(heard) == (32 if len(said) > 3 else 0)


def test_a_trickle_of_bytes_does_not_put_off_the_deadline(door: Door, monkeypatch: Any) -> None:
    clock = Clock()
    monkeypatch.setattr(reactor_module, "monotonic", clock)
    visitor = door.visit()
    for byte in client_words():
        visitor.send(bytes([byte]))
        clock.now += doorway_module.DEADLINE_S / 20
        turn_until_idle(door.reactor)
        if door.refused:
            break
    assert door.refused == [(HOST, "it did not say who it is in time")]
    assert door.doorway.waiting == 0


def client_words() -> bytes:
    return ClientHandshake("right", b"n" * NONCE_SIZE).begin()


def test_of_too_many_from_one_place_the_oldest_goes(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "MAX_PER_SOURCE", 3)
    first, *others = [door.visit() for _ in range(4)]
    assert door.doorway.waiting == 3
    assert door.refused == [(HOST, "too many were at the door")]
    assert door.is_shut(first)
    for visitor in others:
        assert door.shake(visitor, "right").is_done
    assert len(door.entered) == 3


class FromElsewhere:
    """A listening socket whose visitors come from where the test says."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.sources: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.listener, name)

    def accept(self) -> Any:
        sock, _ = self.listener.accept()
        return sock, (self.sources.pop(0), 1)


def test_of_too_many_altogether_the_oldest_goes_and_a_crowd_from_one_place_pays_itself(
    door: Door, monkeypatch: Any
) -> None:
    monkeypatch.setattr(doorway_module, "MAX_AT_THE_DOOR", 4)
    monkeypatch.setattr(doorway_module, "MAX_PER_SOURCE", 2)
    elsewhere = FromElsewhere(door.doorway._listener)
    door.doorway._listener = elsewhere  # type: ignore[assignment]
    elsewhere.sources = ["a", "b", "b", "c", "b", "d"]
    for _ in range(4):
        door.visit()
    assert door.refused == []
    door.visit()
    assert [source for source, _ in door.refused] == ["b"], "the crowd, not the oldest of all"
    door.visit()
    assert [source for source, _ in door.refused] == ["b", "a"]
    assert door.doorway.waiting == 4


def test_a_visitor_who_is_gone_before_the_door_opens_is_no_harm(door: Door) -> None:
    door.doorway._on_ready(1)
    assert door.doorway.waiting == 0
    assert door.refused == []


def test_closing_turns_everybody_away_and_listens_no_more(door: Door) -> None:
    visitors = [door.visit() for _ in range(3)]
    door.doorway.close()
    door.doorway.close()
    assert all(door.is_shut(visitor) for visitor in visitors)
    assert door.doorway.waiting == 0
    assert door.refused == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, door.port))
    assert turn_until_idle(door.reactor) < 5


def test_a_visitor_who_does_not_read_is_turned_away(door: Door, monkeypatch: Any) -> None:
    class Deaf:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

        def send(self, data: bytes) -> int:
            return len(data) - 1

    visitor = door.visit()
    (at_the_door,) = door.doorway._visitors.values()
    at_the_door._sock = Deaf(at_the_door._sock)  # type: ignore[assignment]
    visitor.sendall(MAGIC + b"n" * NONCE_SIZE)
    turn_until(door.reactor, lambda: door.refused)
    assert door.refused == [(HOST, "it does not read")]


def test_news_without_anything_to_read_changes_nothing(door: Door) -> None:
    door.visit()
    (at_the_door,) = door.doorway._visitors.values()
    at_the_door._on_ready(1)
    assert door.doorway.waiting == 1
    assert door.refused == []
