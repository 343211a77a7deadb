"""A carrier whose connection is cut and replaced: all its channels go on, and nothing is missed or repeated."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY
from tests.harness.sockets import a_reactor, turn_until, turn_until_idle
from tests.io.test_channels import End

from softgrid._io.carrier import SEGMENT, Carrier
from softgrid._io.reactor import Reactor
from softgrid._launch.relay import Relay
from softgrid._model.errors import Undecodable


class Wire:
    """What connects both, over pipes to the far one and over a socket from the near one, as with ssh."""

    def __init__(self) -> None:
        near, self.middle = socket.socketpair()
        self.middle.setblocking(False)
        self.near = near.detach()
        self.far_read, self.to_far = os.pipe()
        self.from_far, self.far_write = os.pipe()
        for fd in (self.to_far, self.from_far):
            os.set_blocking(fd, False)
        self._held = [b"", b""]
        self._is_cut = False

    def move(self, size: int = 1 << 20) -> None:
        """Let up to *size* bytes pass in each direction."""
        ways = (
            (lambda: self.middle.recv(size), lambda data: os.write(self.to_far, data)),
            (lambda: os.read(self.from_far, size), self.middle.send),
        )
        for place, (read, write) in enumerate(ways):
            with contextlib.suppress(BlockingIOError):
                self._held[place] = self._held[place] or read()
                if self._held[place]:
                    self._held[place] = self._held[place][write(self._held[place]) :]

    def cut(self) -> None:
        if not self._is_cut:
            self._is_cut = True
            self.middle.close()
            os.close(self.to_far)
            os.close(self.from_far)


class Both:
    """Both ends of a carrier that holds on."""

    def __init__(self, reactor: Reactor, limit: int = 1 << 22) -> None:
        self.reactor = reactor
        self.closings: list[str] = []
        self.lost: list[tuple[str, bool]] = []
        self.wire = Wire()
        self.near = Carrier(self.wire.near, self.wire.near, reactor, self.closings.append)
        self.far = Carrier(self.wire.far_read, self.wire.far_write, reactor, self.closings.append, read_ahead=4096)
        self.near.hold_on(limit, lambda stands: self.lost.append(("near", stands)))
        self.far.hold_on(limit, lambda stands: self.lost.append(("far", stands)))
        self.near.begin()
        self.far.begin()

    def cut(self) -> None:
        self.wire.cut()
        turn_until_idle(self.reactor)

    def resume(self) -> None:
        self.near.detach()
        near = self.near.received
        self.far.detach()
        far = self.far.received
        old, self.wire = self.wire, Wire()
        self.far.resume(self.wire.far_read, self.wire.far_write, near)
        self.near.resume(self.wire.near, self.wire.near, far)
        old.cut()

    def close(self) -> None:
        self.near.close()
        self.far.close()
        self.wire.cut()


@contextlib.contextmanager
def both_ends(limit: int = 1 << 22) -> Iterator[Both]:
    with a_reactor() as reactor:
        made = Both(reactor, limit)
        try:
            yield made
        finally:
            made.close()


@PROPERTY
@given(st.integers(0, 2**32), st.lists(st.sampled_from(["cut", "replace"]), max_size=6))
def test_streams_over_a_carrier_that_is_cut_are_whole_and_in_order(seed: int, cuts: list[str]) -> None:
    chance = random.Random(seed)
    with both_ends(limit=300_000) as both:
        pairs = [(End(both.near, number), End(both.far, number, chance.choice([1000, 300_000]))) for number in range(3)]
        sent = {id(end): bytearray() for pair in pairs for end in pair}
        for how in [*cuts, ""]:
            for _ in range(6):
                end = chance.choice(chance.choice(pairs))
                data = chance.randbytes(chance.choice([1, 100, 5000, 200_000]))
                sent[id(end)] += data
                end.link.send(data)
                both.wire.move(chance.choice([1, 500, 1 << 20]))
                both.reactor.turn(0)
            if how == "cut":
                both.cut()
            if how:
                both.resume()
        both_ways = [*pairs, *((there, here) for here, there in pairs)]

        def all_is_there() -> bool:
            both.wire.move()
            return all(len(to.received) >= len(sent[id(by)]) for by, to in both_ways)

        turn_until(both.reactor, all_is_there)
        assert all(to.received == sent[id(by)] for by, to in both_ways)
        assert both.closings == []


def test_what_is_spliced_is_counted() -> None:
    with both_ends() as both:
        mine, theirs = socket.socketpair()
        Relay(mine, both.far.channel(1), both.reactor)
        here = End(both.near, 1)
        theirs.setblocking(False)
        data, received = os.urandom(3_000_000), bytearray()
        here.link.send(data)
        for cut in range(8):
            both.wire.move(100_000 + cut)
            both.reactor.turn(0)
            with contextlib.suppress(BlockingIOError):
                received += theirs.recv(1 << 20)
            both.cut()
            both.resume()

        def came() -> bool:
            both.wire.move()
            with contextlib.suppress(BlockingIOError):
                received.extend(theirs.recv(1 << 20))
            return len(received) >= len(data)

        turn_until(both.reactor, came)
        assert received == data
        theirs.close()


def test_a_cut_is_told_from_a_farewell() -> None:
    with both_ends() as both:
        os.close(both.wire.to_far)
        turn_until(both.reactor, lambda: both.lost)
        assert both.lost == [("far", True)]
        both.wire.to_far = os.open(os.devnull, os.O_WRONLY)
    with both_ends() as both:
        both.cut()
        turn_until(both.reactor, lambda: len(both.lost) == 2)
        assert sorted(both.lost) == [("far", False), ("near", False)]
        assert both.closings == []


def test_no_more_is_kept_than_the_limit_and_what_waits_goes_on_after_the_cut() -> None:
    with both_ends(limit=2 * SEGMENT) as both:
        here, there = End(both.near, 1), End(both.far, 1)
        here.link.send(bytes(8 * SEGMENT))
        turn_until_idle(both.reactor)
        assert both.near._outgoing.replay is not None
        assert both.near._outgoing.replay.unacknowledged <= 2 * SEGMENT + 100
        both.cut()
        both.resume()

        def came() -> bool:
            both.wire.move()
            return len(there.received) == 8 * SEGMENT

        turn_until(both.reactor, came)


def test_ends_that_do_not_fit_together_are_not_joined() -> None:
    with both_ends() as both:
        both.near.detach()
        wire = Wire()
        with pytest.raises(Undecodable):
            both.near.resume(wire.near, wire.near, 99)
        for fd in (wire.near, wire.far_read, wire.far_write):
            os.close(fd)
        wire.cut()
