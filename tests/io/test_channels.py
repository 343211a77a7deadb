"""Channels: many streams over one connection, each whole and in order, none held up by another."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.harness.sockets import a_reactor, turn_until, turn_until_idle

from softgrid._io.carrier import BEAT, DATA, GRANT, HEADER, SEGMENT, Carrier
from softgrid._io.channel import WINDOW, link_over
from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._launch.relay import Relay


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    with a_reactor() as made:
        yield made


class Both:
    """Both ends of a carrier, over a socket pair or over two pipes."""

    def __init__(self, reactor: Reactor, pipes: bool) -> None:
        self.reactor = reactor
        self.closings: list[str] = []
        if pipes:
            (there_read, here_write), (here_read, there_write) = os.pipe(), os.pipe()
        else:
            mine, theirs = socket.socketpair()
            here_read = here_write = mine.detach()
            there_read = there_write = theirs.detach()
        self.here = Carrier(here_read, here_write, reactor, self.closings.append)
        self.there = Carrier(there_read, there_write, reactor, self.closings.append, read_ahead=4096)

    def begin(self) -> None:
        self.here.begin()
        self.there.begin()

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture(params=["socket", "pipes"])
def both(reactor: Reactor, request: pytest.FixtureRequest) -> Iterator[Both]:
    made = Both(reactor, request.param == "pipes")
    yield made
    made.close()


class End:
    """A link over one end of a channel."""

    def __init__(self, carrier: Carrier, number: int, size: int = 512 * 1024) -> None:
        self.received = bytearray()
        self.closings: list[str] = []
        self._view = memoryview(bytearray(size))
        self.channel = carrier.channel(number)
        self.link = link_over(self.channel, self._on_readable, lambda link, reason: self.closings.append(reason))
        self.link.open()

    def _on_readable(self, link: Link) -> None:
        size = link.receive_into(self._view)
        if size < 0:
            link.close("its end")
        self.received += self._view[: max(size, 0)]


def test_what_is_sent_before_the_beginning_waits(both: Both) -> None:
    here, there = End(both.here, 0), End(both.there, 0)
    here.link.send(b"early")
    turn_until_idle(both.reactor)
    assert there.received == b""
    both.begin()
    turn_until(both.reactor, lambda: there.received == b"early")


def test_a_channel_that_is_closed_before_the_beginning_holds_up_no_other(both: Both) -> None:
    End(both.here, 1).link.close()
    here, there = End(both.here, 2), End(both.there, 2)
    here.link.send(b"early")
    both.begin()
    turn_until(both.reactor, lambda: there.received == b"early")


def test_streams_do_not_mix_and_lose_nothing(both: Both) -> None:
    chance = random.Random(1)
    both.begin()
    pairs = [(End(both.here, number), End(both.there, number, chance.choice([1000, 300_000]))) for number in range(3)]
    sent = {id(end): bytearray() for pair in pairs for end in pair}
    for _ in range(60):
        end = chance.choice(chance.choice(pairs))
        data = chance.randbytes(chance.choice([1, 100, 5000, 700_000]))
        sent[id(end)] += data
        end.link.send(data)
        both.reactor.turn(0)
    both_ways = [*pairs, *((there, here) for here, there in pairs)]
    turn_until(both.reactor, lambda: all(len(to.received) == len(sent[id(by)]) for by, to in both_ways))
    assert all(to.received == sent[id(by)] for by, to in both_ways)


def test_a_channel_that_nobody_reads_holds_back_itself_only(both: Both) -> None:
    both.begin()
    stuck_here, stuck_there = End(both.here, 1), End(both.there, 1)
    here, there = End(both.here, 2), End(both.there, 2)
    stuck_there.channel.set_mask(0, read=False, write=False)
    stuck_here.link.send(bytes(3 * WINDOW))
    here.link.send(b"x" * 100_000)
    turn_until(both.reactor, lambda: len(there.received) == 100_000)
    turn_until_idle(both.reactor)
    assert stuck_there.channel.kept == WINDOW
    stuck_there.channel.set_mask(0, read=True, write=False)
    turn_until(both.reactor, lambda: len(stuck_there.received) == 3 * WINDOW)


def test_the_end_of_a_channel_comes_after_what_was_sent(both: Both) -> None:
    both.begin()
    here, there = End(both.here, 1), End(both.there, 1)
    here.link.send(b"last words")
    here.link.close()
    turn_until(both.reactor, lambda: there.closings)
    assert there.received == b"last words"
    assert both.closings == []


def test_the_end_of_the_carrier_is_the_end_of_its_channels(both: Both) -> None:
    both.begin()
    ends = [End(carrier, number) for number in range(2) for carrier in (both.here, both.there)]
    both.there.close("enough")
    turn_until(both.reactor, lambda: len(both.closings) == 2)
    assert all(end.closings for end in ends)
    ends[0].link.send(b"too late")


def test_what_comes_for_a_channel_that_is_closed_is_dropped(both: Both) -> None:
    both.begin()
    gone_here, gone_there = End(both.here, 1), End(both.there, 1)
    here, there = End(both.here, 2), End(both.there, 2)
    gone_here.link.send(bytes(1_000_000))
    gone_there.link.close()
    here.link.send(b"still there")
    turn_until(both.reactor, lambda: there.received == b"still there")
    assert both.closings == []


@pytest.mark.parametrize(
    "wrong", [HEADER.pack(9, 0, 0), HEADER.pack(DATA, 0, SEGMENT + 1), HEADER.pack(GRANT, 0, WINDOW + 1)]
)
def test_nonsense_ends_the_carrier(both: Both, wrong: bytes) -> None:
    both.begin()
    End(both.there, 0)
    os.write(both.here._write_fd, wrong)
    turn_until(both.reactor, lambda: both.there.closed)


def test_more_than_was_granted_ends_the_carrier(both: Both) -> None:
    both.begin()
    here, there = End(both.here, 1), End(both.there, 1)
    there.channel.set_mask(0, read=False, write=False)
    here.channel.credit = 4 * WINDOW
    here.link.send(bytes(3 * WINDOW))
    turn_until(both.reactor, lambda: both.there.closed)


def test_a_beat_is_heard(both: Both) -> None:
    both.begin()
    before = both.there.heard_at
    both.here.beat()
    turn_until(both.reactor, lambda: both.there.heard_at > before)
    assert BEAT == 4


def test_a_relay_joins_a_channel_to_a_socket(both: Both, reactor: Reactor) -> None:
    both.begin()
    mine, theirs = socket.socketpair()
    Relay(mine, both.there.channel(1), reactor)
    here = End(both.here, 1)
    received = bytearray()
    there = Link(theirs, reactor, _reader(received), lambda link, reason: received.extend(b"END"))
    there.open()
    up, down = os.urandom(9_000_000), os.urandom(9_000_000)
    here.link.send(down)
    there.send(up)
    turn_until(reactor, lambda: len(received) == len(down) and len(here.received) == len(up))
    assert received == down
    assert here.received == up
    here.link.close()
    turn_until(reactor, lambda: received.endswith(b"END"))


def test_a_relay_whose_socket_ends_ends_its_channel(both: Both, reactor: Reactor) -> None:
    both.begin()
    mine, theirs = socket.socketpair()
    Relay(mine, both.there.channel(1), reactor)
    here = End(both.here, 1)
    theirs.sendall(b"bye")
    theirs.close()
    turn_until(reactor, lambda: here.closings)
    assert here.received == b"bye"


def test_a_relay_to_a_socket_that_is_not_read_waits(both: Both, reactor: Reactor) -> None:
    both.begin()
    mine, theirs = socket.socketpair()
    Relay(mine, both.there.channel(1), reactor)
    stuck, here, there = End(both.here, 1), End(both.here, 2), End(both.there, 2)
    stuck.link.send(bytes(2 * WINDOW))
    here.link.send(b"past it")
    turn_until(reactor, lambda: there.received == b"past it")
    turn_until_idle(reactor)
    received = bytearray()
    link = Link(theirs, reactor, _reader(received), lambda link, reason: None)
    link.open()
    turn_until(reactor, lambda: len(received) == 2 * WINDOW)
    link.close()


def _reader(received: bytearray) -> Callable[[Link], Any]:
    view = memoryview(bytearray(1 << 18))

    def on_readable(link: Link) -> None:
        size = link.receive_into(view)
        if size < 0:
            link.close("its end")
        received.extend(view[: max(size, 0)])

    return on_readable
