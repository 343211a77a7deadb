"""A stream over connections that are cut: what arrives is what was sent, in order, once, and little is kept for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY
from tests.harness.sockets import a_reactor, turn_until, turn_until_idle
from tests.harness.wires import Wire

from softgrid._io import resumable_link
from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._io.resumable import ResumableStream
from softgrid._io.resumable_link import ResumableLink
from softgrid._io.tcp_info import silence_of
from softgrid._model.errors import Undecodable

LIMIT = 1 << 20


class End:
    """One end of a link."""

    def __init__(self, connection: Any, reactor: Reactor, limit: int | None, tolerance_s: float | None) -> None:
        self.stream = ResumableStream(connection, reactor, limit)
        self.received = bytearray()
        self.closings: list[str] = []
        self.doubts: list[str | None] = []
        self._view = memoryview(bytearray(512 * 1024))
        self.link = ResumableLink(
            self.stream, reactor, self._on_readable, lambda link, reason: self.closings.append(reason), 60.0
        )
        self.link.on_doubt = lambda link, reason: self.doubts.append(reason)
        self.link.open()
        if tolerance_s is not None:
            self.link.tolerate(tolerance_s)

    def _on_readable(self, link: Link) -> None:
        size = link.receive_into(self._view)
        if size < 0:
            link.close("its connection is gone")
        self.received += self._view[: max(size, 0)]


class Pair:
    """Both ends, and the wire between them that is replaced when it was cut."""

    def __init__(self, reactor: Reactor, limit: int | None = LIMIT, tolerance_s: float | None = 60.0) -> None:
        self.reactor = reactor
        self.wire = Wire()
        self.server = End(self.wire.server, reactor, limit, tolerance_s)
        self.client = End(self.wire.client, reactor, limit, tolerance_s)
        self.ends = (self.server, self.client)

    def move(self, size: int = 1 << 20, **directions: bool) -> None:
        self.wire.move(size, **directions)
        turn_until_idle(self.reactor)

    def until(self, condition: Callable[[], Any]) -> None:
        """Let everything pass until the condition holds."""

        def holds() -> Any:
            self.wire.move()
            return condition()

        turn_until(self.reactor, holds)

    def cut(self) -> None:
        self.wire.cut()
        turn_until_idle(self.reactor)

    def resume(self, stated: int | None = None) -> None:
        """As the two sides do it; *stated*: what the client said of itself, which may be old."""
        old, self.wire = self.wire, Wire()
        said = self.client.stream.received.count if stated is None else stated
        self.server.stream.detach()
        begins = max(said, self.server.stream.replay.acknowledged)
        received = self.server.stream.received.count
        self.server.stream.resume(self.wire.server, begins, received)
        self.client.stream.resume(self.wire.client, received, begins)
        old.cut()
        turn_until_idle(self.reactor)

    def close(self) -> None:
        for end in self.ends:
            end.link.close()
        self.wire.cut()


@contextmanager
def a_pair(**options: Any) -> Iterator[Pair]:
    with a_reactor() as reactor:
        pair = Pair(reactor, **options)
        try:
            yield pair
        finally:
            pair.close()


def test_what_is_sent_arrives_and_receipts_empty_what_is_kept() -> None:
    with a_pair() as pair:
        pair.client.link.send(b"hello")
        pair.until(lambda: pair.server.received == b"hello")
        assert pair.client.stream.replay.unacknowledged == 5
        pair.until(lambda: pair.client.stream.replay.unacknowledged == 0)


def test_a_receipt_goes_along_with_what_is_sent() -> None:
    with a_pair() as pair:
        pair.client.link.send(bytes(10_000))
        pair.until(lambda: len(pair.server.received) == 10_000)
        pair.server.stream._receipt_due.cancel()  # type: ignore[union-attr]
        pair.server.link.send(b"answer")
        pair.until(lambda: pair.client.received)
        assert pair.client.stream.replay.unacknowledged == 0


@pytest.mark.parametrize("passed", [0, 1, 30, 5000, 70_000])
def test_what_a_cut_has_swallowed_goes_over_the_next_connection(passed: int) -> None:
    data = os.urandom(200_000)
    with a_pair() as pair:
        pair.client.link.send(data)
        pair.move(passed)
        pair.cut()
        pair.client.link.send(b"meanwhile")
        pair.resume()
        pair.until(lambda: len(pair.server.received) >= len(data) + 9)
        assert pair.server.received == data + b"meanwhile"
        assert pair.client.closings == pair.server.closings == []
        assert pair.client.doubts == ["out of reach: the connection was cut", None]


STEP = st.one_of(
    st.tuples(st.just("send"), st.booleans(), st.sampled_from([1, 100, 5_000, 70_000, 300_000])),
    st.tuples(st.just("move"), st.booleans(), st.sampled_from([1, 20, 1000, 30_000, 1 << 20])),
    st.tuples(st.just("cut"), st.booleans(), st.integers(0, 1)),
    st.tuples(st.just("pause"), st.booleans(), st.integers(0, 1)),
)


@PROPERTY
@given(st.lists(STEP, max_size=40), st.randoms(use_true_random=False))
def test_whatever_is_cut_wherever_all_arrives_once_and_in_order(
    steps: list[tuple[str, bool, int]], chance: Any
) -> None:
    with a_pair(limit=200_000) as pair:
        sent = {True: bytearray(), False: bytearray()}
        for what, by_client, size in steps:
            if what == "send":
                data = chance.randbytes(size)
                sent[by_client] += data
                pair.ends[by_client].link.send(data)
            elif what == "move":
                pair.move(size, to_server=by_client, to_client=not by_client)
            elif what == "pause":
                end = pair.ends[by_client]
                end.link._reads = bool(size)
                end.stream.set_mask(0, read=bool(size), write=end.link._writes)
            else:
                stated = pair.client.stream.received.count
                if size:  # more comes over the old connection after the client has said how far it is
                    pair.move(1 << 20)
                if by_client:
                    pair.cut()
                pair.resume(stated)
        for end in pair.ends:
            end.link._reads = True
            end.stream.set_mask(0, read=True, write=end.link._writes)

        pair.until(lambda: pair.server.received == sent[True] and pair.client.received == sent[False])
        assert pair.server.closings == pair.client.closings == []


def test_a_sender_that_never_waits_keeps_no_more_than_the_limit_and_goes_on_with_the_receipts() -> None:
    with a_pair(limit=100_000) as pair:
        for _ in range(50):
            pair.client.link.send(bytes(10_000))
            assert pair.client.stream.replay.unacknowledged <= 100_000
        pair.move(to_client=False)
        pair.cut()
        assert pair.client.stream.replay.unacknowledged == 100_000
        assert pair.client.link._queued == 400_000
        pair.resume()

        def arrived() -> bool:
            assert pair.client.stream.replay.unacknowledged <= 100_000
            return len(pair.server.received) == 500_000

        pair.until(arrived)


def test_who_does_not_read_is_sent_no_more_than_the_limit_and_still_hears_receipts() -> None:
    with a_pair(limit=100_000) as pair:
        stuck, sender = pair.server, pair.client
        stuck.link._reads = False
        stuck.stream.set_mask(0, read=False, write=False)
        sender.link.send(bytes(500_000))
        stuck.link.send(bytes(500_000))

        pair.until(lambda: len(sender.received) == 500_000 and stuck.stream._kept == 100_000)
        assert sender.stream.replay.unacknowledged == 100_000
        stuck.link._reads = True
        stuck.stream.set_mask(0, read=True, write=False)
        pair.until(lambda: len(stuck.received) == 500_000)


def test_a_goodbye_is_the_end_at_once() -> None:
    with a_pair() as pair:
        pair.client.link.send(b"last words")
        pair.client.link.close()
        pair.until(lambda: pair.server.closings)
        assert pair.server.received == b"last words"
        assert pair.server.closings == ["its connection is gone"]
        assert pair.server.doubts == []


def test_a_cut_before_the_other_side_is_on_the_grid_is_the_end() -> None:
    with a_pair(tolerance_s=None) as pair:
        pair.cut()
        assert pair.server.closings == pair.client.closings == ["its connection is gone"]


def test_with_a_limit_of_nothing_a_cut_is_the_end() -> None:
    with a_pair(limit=0) as pair:
        pair.client.link.send(bytes(500_000))
        pair.until(lambda: len(pair.server.received) == 500_000)
        pair.server.link.send(b"thanks")  # and a receipt goes along
        pair.until(lambda: pair.client.received == b"thanks")
        assert pair.client.stream.replay.sent == 0
        pair.cut()
        assert pair.server.closings == pair.client.closings == ["its connection is gone"]


def test_who_does_not_come_back_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable_link, "GRACE_S", 0.05)
    with a_pair() as pair:
        pair.cut()
        turn_until(pair.reactor, lambda: pair.server.closings and pair.client.closings)
        assert pair.server.closings == ["its connection is gone, and it did not come back within 0.05 s"]
        with pytest.raises(BrokenPipeError):
            pair.server.stream.send(b"too late")


def test_the_side_that_dials_has_the_whole_tolerance() -> None:
    with a_pair() as pair:
        dialled: list[bool] = []
        pair.client.link.redial = lambda: dialled.append(True)
        pair.client.link.tolerate(0.1)
        pair.cut()
        assert dialled == [True]
        turn_until(pair.reactor, lambda: pair.client.closings)
        assert pair.client.closings == ["its connection is gone, and it did not come back within 0.1 s"]
        assert pair.server.closings == []


def test_a_receipt_that_is_overdue_is_reason_to_dial_anew() -> None:
    with a_pair() as pair:
        dialled: list[bool] = []
        pair.client.link.redial = lambda: dialled.append(True)
        pair.client.link.tolerate(0.3)
        pair.client.link.send(b"is anybody there?")
        turn_until(pair.reactor, lambda: dialled)
        assert pair.client.stream.is_connected
        assert pair.client.link.is_quiet
        pair.resume()
        pair.until(lambda: pair.server.received == b"is anybody there?")
        assert not pair.client.link.is_quiet


def test_the_machine_answers_for_a_busy_process_and_not_during_a_cut() -> None:
    with a_pair() as pair:
        process_s, machine_s = pair.server.link.heard()
        turn_until(pair.reactor, lambda: monotonic() > machine_s + 0.1)
        pair.server.link.send(b"which its kernel takes and nobody reads")
        acknowledged_s = monotonic() - 0.05
        if silence_of(pair.wire.server.sock) is not None:
            turn_until(pair.reactor, lambda: pair.server.link.heard()[1] > acknowledged_s)
        assert pair.server.link.heard()[0] == process_s
        pair.cut()
        assert pair.server.link.heard() == (process_s, process_s)
        pair.resume()
        heard_s = pair.server.link.heard()
        assert process_s < heard_s[0] <= heard_s[1]


def test_ends_that_do_not_fit_together_are_not_joined() -> None:
    with a_pair() as pair:
        pair.client.link.send(b"12345")
        pair.until(lambda: pair.server.received)
        other = Wire()
        with pytest.raises(Undecodable):
            pair.client.stream.resume(other.client, 6, 0)
        with pytest.raises(Undecodable):
            pair.client.stream.resume(other.client, 5, 1)
        assert pair.client.stream.is_connected
        for each in (other.server, other.client):
            each.close()
        other.cut()


def test_flushing_ends_in_time_during_a_cut() -> None:
    with a_pair() as pair:
        pair.client.link.send(b"said")
        pair.client.link.flush(5)
        pair.cut()
        pair.client.link.send(b"not said")
        pair.client.link.flush(0.01)
        assert not pair.client.closings


def test_a_fork_lets_go_without_a_word() -> None:
    with a_pair() as pair:
        connection = pair.client.stream._connection
        assert connection is not None
        pair.reactor.unwatch(connection.fileno())
        with socket.socket(fileno=os.dup(connection.fileno())):  # the parent's
            pair.client.link.abandon()
            pair.move()
            pair.move()
            assert pair.server.stream.is_connected
        pair.client.stream.detach()
