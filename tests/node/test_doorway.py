"""The doorway: who proves the password comes in, everybody else costs little and learns nothing."""

from __future__ import annotations

import errno
import random
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.sockets import Clock, a_reactor, turn_until, turn_until_idle
from tests.harness.tls import PATIENCE_S, Visitor, an_identity

from softgrid._io import reactor as reactor_module
from softgrid._io.certificate import Identity, client_context
from softgrid._io.ports import reserve_port
from softgrid._io.reactor import Reactor
from softgrid._io.tls import TlsStream
from softgrid._model.errors import TlsUnavailable
from softgrid._node import doorway as doorway_module
from softgrid._node.doorway import Doorway
from softgrid._wire.handshake import MAGIC, NONCE_SIZE, ClientHandshake

HOST = "127.0.0.1"
HELLO = b"\x16\x03\x01\x02\x00"


class Door:
    """A doorway on loopback, and everybody who came to it."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        listener = reserve_port(HOST, 0, fetch=False, listen=True)
        self.port: int = listener.getsockname()[1]
        self.entered: list[tuple[TlsStream, str]] = []
        self.refused: list[tuple[str, str]] = []
        self.makes_identity: Any = an_identity
        self.doorway = Doorway(
            listener,
            reactor,
            "right",
            lambda stream, source: self.entered.append((stream, source)),
            lambda source, reason: self.refused.append((source, reason)),
            lambda: self.makes_identity(),
        )
        self.visitors: list[Visitor] = []

    def visit(self) -> Visitor:
        """Come to the door and say nothing yet."""
        waiting = self.doorway.waiting + self.doorway.refused
        visitor = Visitor(self.reactor, socket.create_connection((HOST, self.port), timeout=PATIENCE_S))
        self.visitors.append(visitor)
        turn_until(self.reactor, lambda: self.doorway.waiting + self.doorway.refused > waiting)
        return visitor

    def visit_privately(self) -> Visitor:
        """Come to the door and speak TLS."""
        visitor = self.visit()
        visitor.begin_tls()
        return visitor

    def shake(self, visitor: Visitor, password: str, certificate: bytes | None = None) -> ClientHandshake:
        if visitor.stream is None:
            visitor.begin_tls()
        assert visitor.stream is not None
        shown = visitor.stream.peer_certificate if certificate is None else certificate
        client = ClientHandshake(password, bytes(range(NONCE_SIZE)), shown)
        visitor.say(client.begin())
        visitor.say(client.receive(visitor.hear(32)))
        client.receive(visitor.hear(32))
        return client

    def close(self) -> None:
        self.doorway.close()
        for each in (*self.visitors, *(stream for stream, _ in self.entered)):
            each.close()


@pytest.fixture
def door() -> Iterator[Door]:
    with a_reactor() as reactor:
        made = Door(reactor)
        yield made
        made.close()


def test_whoever_knows_the_password_comes_in(door: Door) -> None:
    visitor = door.visit()
    client = door.shake(visitor, "right")
    assert client.is_done
    ((stream, source),) = door.entered
    assert source == HOST
    assert door.doorway.waiting == 0
    stream.send(b"welcome")
    assert visitor.hear(7) == b"welcome"
    assert door.refused == []


def test_what_is_shown_to_visitors_is_what_the_proof_is_bound_to(door: Door) -> None:
    visitor = door.visit_privately()
    assert visitor.stream is not None
    assert visitor.stream.peer_certificate == an_identity().certificate
    client = door.shake(visitor, "right", certificate=b"that of somebody in between")
    assert not client.is_done
    assert door.refused == [(HOST, "wrong password")]
    assert door.entered == []


def test_whoever_came_in_is_out_of_the_doors_reach(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "DEADLINE_S", 0.05)
    door.visit()  # its deadline passes after that of the one who comes in
    monkeypatch.setattr(doorway_module, "DEADLINE_S", 60.0)
    inside = door.visit()
    door.shake(inside, "right")
    turn_until(door.reactor, lambda: door.doorway.refused)
    door.doorway.close()
    ((stream, _),) = door.entered
    assert stream.fileno() >= 0
    stream.send(b"still here")
    assert inside.hear(10) == b"still here"


def test_a_wrong_password_is_refused_without_a_proof(door: Door) -> None:
    visitor = door.visit()
    client = door.shake(visitor, "wrong")
    assert not client.is_done
    assert str(client.ended()) == "wrong password"
    assert visitor.is_shut_out()
    assert door.refused == [(HOST, "wrong password")]
    assert door.entered == []


@pytest.mark.parametrize(
    "said",
    [b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", MAGIC + b"n" * NONCE_SIZE, b"x" * 100_000],
    ids=["zero", "http", "ssh", "no tls", "much"],
)
def test_whoever_does_not_speak_tls_hears_nothing(door: Door, said: bytes) -> None:
    visitor = door.visit()
    with_room = visitor.sock
    with_room.setblocking(True)
    with_room.settimeout(PATIENCE_S)
    threading.Thread(target=lambda: _send_quietly(with_room, said), daemon=True).start()
    turn_until(door.reactor, lambda: door.refused)
    assert visitor.is_shut_out()
    assert door.refused == [(HOST, "it does not speak TLS")]
    assert door.doorway.waiting == 0


def _send_quietly(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError:
        return


@pytest.mark.parametrize("rest", [b"", b"\x00" * 600, b"\xff" * 600, b"\x16\x03\x01" * 200])
def test_whoever_speaks_broken_tls_hears_nothing(door: Door, rest: bytes, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "DEADLINE_S", 0.3)
    visitor = door.visit()
    visitor.say(HELLO + rest)
    assert visitor.is_shut_out()
    ((_, reason),) = door.refused
    assert "does not speak TLS 1.3" in reason or reason == "it did not say who it is in time"


def test_older_tls_is_not_spoken(door: Door) -> None:
    import ssl

    visitor = door.visit()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    visitor.stream = TlsStream(visitor.sock, context, is_server=False)
    assert not visitor.stream.shake()
    visitor.stream = None
    assert visitor.is_shut_out()
    ((_, reason),) = door.refused
    assert "does not speak TLS 1.3" in reason


def test_random_bytes_are_refused_whatever_they_are(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "DEADLINE_S", 0.05)
    chance = random.Random(7)
    for count in range(30):
        visitor = door.visit()
        visitor.say((HELLO if count % 2 else b"") + chance.randbytes(chance.randrange(1, 300)))
        assert visitor.is_shut_out()
    assert len(door.refused) == 30
    assert door.entered == []


def test_random_bytes_after_the_magic_word_get_no_proof(door: Door) -> None:
    chance = random.Random(8)
    for _ in range(5):
        visitor = door.visit_privately()
        visitor.say(MAGIC + chance.randbytes(NONCE_SIZE) + chance.randbytes(32))
        assert len(visitor.hear(64)) in (0, 32)
    assert [reason for _, reason in door.refused] == ["wrong password"] * 5


def test_random_bytes_in_private_are_refused(door: Door) -> None:
    visitor = door.visit_privately()
    visitor.say(b"GET / HTTP/1.1")
    assert visitor.is_shut_out()
    ((_, reason),) = door.refused
    assert "does not speak softgrid" in reason


def test_nobody_says_more_than_a_handshake_before_the_proof(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "MAX_SAID", 1000)
    visitor = door.visit()
    visitor.say(HELLO + b"\x01\x00\x01\xfc")  # the beginning of a message of 508 bytes
    visitor.say(b"\x00" * 400)
    turn_until_idle(door.reactor)
    assert door.refused == []
    visitor.say(b"\x00" * 600)
    turn_until(door.reactor, lambda: door.refused)
    assert door.refused == [(HOST, "it said more than a handshake")]


def test_a_visitor_who_goes_away_is_forgotten(door: Door) -> None:
    door.visit().close()
    turn_until(door.reactor, lambda: door.refused)
    assert door.refused == [(HOST, "it went away")]
    assert door.doorway.waiting == 0


def test_a_visitor_who_resets_the_connection_is_forgotten(door: Door) -> None:
    visitor = door.visit()
    visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visitor.close()
    turn_until(door.reactor, lambda: door.refused)
    assert door.doorway.waiting == 0


@pytest.mark.parametrize("said", [b"", HELLO[:1], HELLO])
def test_whoever_does_not_come_to_the_point_in_time_is_turned_away(door: Door, monkeypatch: Any, said: bytes) -> None:
    monkeypatch.setattr(doorway_module, "DEADLINE_S", 0.05)
    visitor = door.visit()
    visitor.say(said)
    turn_until(door.reactor, lambda: door.refused)
    assert door.refused == [(HOST, "it did not say who it is in time")]
    assert door.doorway.waiting == 0
    assert visitor.is_shut_out()


def test_whoever_speaks_tls_and_proves_nothing_is_turned_away_in_time(door: Door, monkeypatch: Any) -> None:
    clock = Clock()
    monkeypatch.setattr(reactor_module, "monotonic", clock)
    visitor = door.visit_privately()
    visitor.say(MAGIC + b"n" * NONCE_SIZE)
    assert len(visitor.hear(32)) == 32
    clock.now += doorway_module.DEADLINE_S
    turn_until_idle(door.reactor)
    assert door.refused == [(HOST, "it did not say who it is in time")]


def test_a_trickle_of_bytes_does_not_put_off_the_deadline(door: Door, monkeypatch: Any) -> None:
    clock = Clock()
    monkeypatch.setattr(reactor_module, "monotonic", clock)
    visitor = door.visit()
    for byte in HELLO + b"\x01\x00\x01\xfc" + b"\x03" * 40:
        visitor.say(bytes([byte]))
        clock.now += doorway_module.DEADLINE_S / 20
        turn_until_idle(door.reactor)
        if door.refused:
            break
    assert door.refused == [(HOST, "it did not say who it is in time")]
    assert door.doorway.waiting == 0


def test_half_a_word_does_not_keep_the_reactor_busy(door: Door) -> None:
    visitor = door.visit()
    visitor.say(HELLO[:1])
    turn_until_idle(door.reactor)
    assert turn_until_idle(door.reactor) == 0


# -- the certificate ------------------------------------------------------------------------------


def test_no_certificate_is_made_before_somebody_asks_for_tls(door: Door) -> None:
    made: list[int] = []
    door.makes_identity = lambda: made.append(1) or an_identity()
    door.visit()
    door.visit().say(b"no tls")
    turn_until_idle(door.reactor)
    assert made == []
    for _ in range(3):
        assert door.shake(door.visit(), "right").is_done
    assert made == [1]


def test_all_who_come_while_it_is_made_wait_for_it_and_nobody_else_waits(door: Door) -> None:
    may_go_on = threading.Event()

    def slowly() -> Identity:
        assert may_go_on.wait(PATIENCE_S)
        return an_identity()

    door.makes_identity = slowly
    early = door.visit()
    early.stream = TlsStream(early.sock, client_context(), is_server=False)
    assert not early.stream.shake()
    turn_until(door.reactor, lambda: door.doorway._is_making)
    assert turn_until_idle(door.reactor) < 5, "who waits does not keep the reactor busy"
    door.visit().say(b"no tls")
    turn_until(door.reactor, lambda: door.refused)
    assert [reason for _, reason in door.refused] == ["it does not speak TLS"]
    may_go_on.set()
    assert door.shake(door.visit(), "right").is_done
    assert early.stream.take()
    assert early.stream.shake()
    assert door.shake(early, "right").is_done
    assert len(door.refused) == 1


def test_without_a_certificate_nobody_comes_in_and_the_remedy_is_said_and_it_is_tried_again(door: Door) -> None:
    def fail() -> Identity:
        raise TlsUnavailable("install this or that")

    door.makes_identity = fail
    with pytest.raises(AssertionError, match="the door was shut"):
        door.visit_privately()
    assert door.refused == [(HOST, "install this or that")]
    door.makes_identity = lambda: 1 / 0
    with pytest.raises(AssertionError, match="the door was shut"):
        door.visit_privately()
    assert "could not be made: ZeroDivisionError" in door.refused[1][1]
    door.makes_identity = an_identity
    assert door.shake(door.visit(), "right").is_done


# -- a crowd --------------------------------------------------------------------------------------


def test_of_too_many_from_one_place_the_oldest_goes(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "MAX_AT_THE_DOOR", 3)
    first, *others = [door.visit() for _ in range(4)]
    assert door.doorway.waiting == 3
    assert door.refused == [(HOST, "too many were at the door")]
    assert first.is_shut_out()
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
    elsewhere = FromElsewhere(door.doorway._listener)
    door.doorway._listener = elsewhere  # type: ignore[assignment]
    elsewhere.sources = ["a", "b", "b", "c", "d", "e"]
    for _ in range(4):
        door.visit()
    assert door.refused == []
    door.visit()
    assert [source for source, _ in door.refused] == ["b"], "the crowd, not the oldest of all"
    door.visit()
    assert [source for source, _ in door.refused] == ["b", "a"], "without a crowd the oldest"
    assert door.doorway.waiting == 4


def test_a_visitor_who_is_gone_before_the_door_opens_is_no_harm(door: Door) -> None:
    door.doorway._on_ready(1)
    assert door.doorway.waiting == 0
    assert door.refused == []


def test_closing_turns_everybody_away_and_listens_no_more(door: Door) -> None:
    visitors = [door.visit() for _ in range(3)]
    door.doorway.close()
    door.doorway.close()
    assert all(visitor.is_shut_out() for visitor in visitors)
    assert door.doorway.waiting == 0
    assert door.refused == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, door.port))
    assert turn_until_idle(door.reactor) < 5


class Deaf:
    """A socket that takes a little less than it is given."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def send(self, data: bytes) -> int:
        if len(data) == 1:
            raise BlockingIOError
        return len(data) - 1


@pytest.mark.parametrize("is_private", [False, True])
def test_a_visitor_who_does_not_read_is_turned_away(door: Door, is_private: bool) -> None:
    visitor = door.visit()
    (at_the_door,) = door.doorway._visitors.values()
    if is_private:
        visitor.begin_tls()
        assert at_the_door._stream is not None
        at_the_door._stream.sock = Deaf(at_the_door.sock)  # type: ignore[assignment]
        visitor.say(MAGIC + b"n" * NONCE_SIZE)
    else:
        at_the_door.sock = Deaf(at_the_door.sock)  # type: ignore[assignment]
        visitor.stream = TlsStream(visitor.sock, client_context(), is_server=False)
        assert not visitor.stream.shake()
    turn_until(door.reactor, lambda: door.refused)
    assert door.refused == [(HOST, "it does not read")]


def test_news_without_anything_to_read_changes_nothing(door: Door) -> None:
    door.visit()
    (at_the_door,) = door.doorway._visitors.values()
    at_the_door._on_ready(1)
    assert door.doorway.waiting == 1
    assert door.refused == []


def test_those_go_first_who_have_come_least_far(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "MAX_AT_THE_DOOR", 3)
    private = door.visit_privately()
    heard = door.visit()
    heard.say(HELLO)
    turn_until_idle(door.reactor)
    silent = door.visit()
    for _ in range(20):
        another = door.visit()
        assert silent.is_shut_out()
        silent = another
    silent.say(HELLO)
    turn_until_idle(door.reactor)
    door.visit()
    assert heard.is_shut_out(), "of those who have come as far the oldest"
    assert door.shake(private, "right").is_done


def test_a_door_without_descriptors_rests_and_opens_again(door: Door, monkeypatch: Any) -> None:
    class Full:
        def __init__(self, listener: socket.socket) -> None:
            self.listener = listener
            self.asked = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.listener, name)

        def accept(self) -> Any:
            self.asked += 1
            raise OSError(errno.EMFILE, "too many open files")

    clock = Clock()
    monkeypatch.setattr(reactor_module, "monotonic", clock)
    listener = door.doorway._listener
    full = door.doorway._listener = Full(listener)  # type: ignore[assignment]
    waits = socket.create_connection((HOST, door.port), timeout=PATIENCE_S)
    turn_until(door.reactor, lambda: full.asked)
    turn_until_idle(door.reactor)
    assert full.asked == 1, "it is not asked again at every turn"
    door.doorway._listener = listener
    clock.now += doorway_module.REST_S
    turn_until(door.reactor, lambda: door.doorway.waiting)
    waits.close()
    assert door.refused == []


def test_a_door_that_closes_while_it_rests_does_not_open_again(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr(doorway_module, "REST_S", 0.01)
    door.doorway._rest()
    door.doorway.close()
    turn_until(door.reactor, lambda: not door.reactor._timers)
    assert turn_until_idle(door.reactor) == 0
