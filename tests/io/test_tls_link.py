"""A link over TLS: everything that holds for a link, with what is encrypted and not written yet kept in mind."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.harness.sockets import PATIENCE_S, a_reactor, in_thread, turn_until, turn_until_idle
from tests.harness.tls import a_pair

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._io.tls import CHUNK
from softgrid._io.tls_link import TlsLink
from softgrid._wire.framing import frames


class End:
    """A TLS link and what it reported."""

    def __init__(self, stream: object, reactor: Reactor) -> None:
        self.received = bytearray()
        self.closings: list[str] = []
        self._view = memoryview(bytearray(1 << 19))
        self.link = TlsLink(stream, reactor, self._on_readable, self._on_closed)  # type: ignore[arg-type]
        self.link.open()

    def _on_readable(self, link: Link) -> None:
        size = link.receive_into(self._view)
        if size < 0:
            link.close("end of stream")
        else:
            self.received += self._view[: max(0, size)]

    def _on_closed(self, link: Link, reason: str) -> None:
        self.closings.append(reason)


class Ends:
    """Both ends of a TLS link, under one reactor."""

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor
        streams = a_pair()
        self.one, self.other = (End(stream, reactor) for stream in streams)

    def close(self) -> None:
        for end in (self.one, self.other):
            end.link.close("end of the test")


@pytest.fixture
def ends() -> Iterator[Ends]:
    with a_reactor() as reactor:
        made = Ends(reactor)
        yield made
        made.close()


def test_small_messages_arrive_in_order_both_ways(ends: Ends) -> None:
    for count in range(100):
        ends.one.link.send(b"%d," % count)
        ends.other.link.send(b"%d;" % count)
    wanted = b"".join(b"%d," % count for count in range(100))
    turn_until(ends.reactor, lambda: len(ends.other.received) == len(ends.one.received) == len(wanted))
    assert ends.other.received == wanted
    assert ends.one.received == wanted.replace(b",", b";")


def test_much_arrives_whole_and_in_order(ends: Ends) -> None:
    data = random.Random(2).randbytes(9_000_000)
    ends.one.link.send(data)
    ends.one.link.send(b"and that was all")
    turn_until(ends.reactor, lambda: len(ends.other.received) == len(data) + 16)
    assert ends.other.received == data + b"and that was all"
    assert turn_until_idle(ends.reactor) < 5, "a link that has written everything does not ask to write"


def test_a_bulk_message_is_drawn_as_fast_as_it_goes_and_lets_small_ones_pass(ends: Ends) -> None:
    payload = random.Random(3).randbytes(6_000_000)
    waiter = ends.one.link.send_stream(7, frames(1, 7, 1, 1, [payload]))
    ends.one.link.send(b"small", 8)
    turn_until(ends.reactor, lambda: b"small" in ends.other.received)
    assert len(ends.other.received) < len(payload)
    turn_until(ends.reactor, lambda: len(ends.other.received) >= len(payload) + 5 + 32 * 23)
    assert waiter.done


def test_threads_send_while_the_reactor_reads(ends: Ends) -> None:
    each, threads = 400, 4

    def send(number: int) -> None:
        for _ in range(each):
            ends.one.link.send(bytes([number]) * 1000)

    ends.other.link.send(b"x" * 3_000_000)
    senders = [in_thread(lambda number=number: send(number)) for number in range(threads)]  # type: ignore[misc]
    total = each * threads * 1000
    turn_until(ends.reactor, lambda: len(ends.other.received) == total and len(ends.one.received) == 3_000_000)
    for sender in senders:
        sender.join(PATIENCE_S)
    pieces = {bytes(ends.other.received[start : start + 1000]) for start in range(0, total, 1000)}
    assert pieces == {bytes([number]) * 1000 for number in range(threads)}, "messages were mixed up"


def test_a_peer_that_does_not_read_fills_the_link_and_drains_it_later(ends: Ends) -> None:
    ends.reactor.set_mask(ends.other.link._fd, read=False, write=False)
    data = b"y" * (8 << 20)
    ends.one.link.send(data)
    turn_until_idle(ends.reactor)
    assert ends.one.link.is_full
    assert ends.other.received == b""
    ends.reactor.set_mask(ends.other.link._fd, read=True, write=False)
    turn_until(ends.reactor, lambda: len(ends.other.received) == len(data))
    assert not ends.one.link.is_full


def test_a_flush_ends_when_the_last_byte_is_on_its_way(ends: Ends) -> None:
    data = b"z" * (3 << 20)
    ends.one.link.send(data)
    flushed = threading.Event()
    with_background = in_thread(lambda: (ends.one.link.flush(PATIENCE_S), flushed.set()))
    assert flushed.wait(PATIENCE_S)
    with_background.join(PATIENCE_S)
    assert not ends.one.link._stream.is_behind
    turn_until(ends.reactor, lambda: len(ends.other.received) == len(data))


def test_a_flush_of_what_is_only_encrypted_waits_for_it_too(ends: Ends) -> None:
    stream = ends.one.link._stream
    stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ends.reactor.set_mask(ends.other.link._fd, read=False, write=False)
    while not stream.is_behind:
        ends.one.link.send(b"q" * 10_000)
    assert not ends.one.link._queue, "it is in the stream, and in no queue"
    ends.one.link.flush(0.01)
    assert stream.is_behind
    ends.reactor.set_mask(ends.other.link._fd, read=True, write=False)
    ends.one.link.flush(PATIENCE_S)
    assert not stream.is_behind


def test_a_flush_of_nothing_does_not_wait(ends: Ends) -> None:
    ends.one.link.flush(PATIENCE_S)
    ends.one.link.close()
    ends.one.link.flush(PATIENCE_S)
    assert ends.one.closings == ["closed here"]


def test_when_one_end_goes_the_other_hears_all_that_was_said_and_then_of_it(ends: Ends) -> None:
    ends.one.link.send(b"farewell")
    ends.one.link.close("gone")
    turn_until(ends.reactor, lambda: ends.other.closings)
    assert ends.other.received == b"farewell"
    assert ends.other.closings == ["end of stream"]
    assert ends.one.closings == ["gone"]


def test_writing_to_one_who_is_gone_ends_the_link_and_no_more(ends: Ends) -> None:
    ends.other.link.close("gone")
    for _ in range(50):
        ends.one.link.send(b"w" * CHUNK)
    turn_until(ends.reactor, lambda: ends.one.closings)
    assert ends.one.closings == ["end of stream"]
    assert turn_until_idle(ends.reactor) < 5


def test_a_peer_that_goes_while_much_waits_ends_the_link(ends: Ends) -> None:
    ends.reactor.set_mask(ends.other.link._fd, read=False, write=False)
    ends.one.link.send(b"v" * (8 << 20))
    turn_until_idle(ends.reactor)
    ends.other.link.close("gone")
    turn_until(ends.reactor, lambda: ends.one.closings)
    assert turn_until_idle(ends.reactor) < 5


def test_garbage_in_the_stream_ends_the_link(ends: Ends) -> None:
    ends.other.link._stream.sock.send(b"\x17\x03\x03\x00\x20" + b"\xff" * 32)
    turn_until(ends.reactor, lambda: ends.one.closings)
    assert ends.one.closings == ["end of stream"]
    assert ends.one.received == b""
