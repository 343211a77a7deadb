"""What a link remembers of what it sent: in order, bounded, and neither more nor less than a cut may have lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import Undecodable
from softgrid._wire.replay import TELL_AFTER_BYTES, Received, Replay, tell_after
from softgrid._wire.segments import ACK, DATA, END, MAX_SEGMENT, SEGMENT, Segments


def joined(pieces: list[bytes | memoryview]) -> bytes:
    return b"".join(map(bytes, pieces))


def test_what_is_acknowledged_is_forgotten_and_nothing_else() -> None:
    replay = Replay()
    for piece in (b"abc", b"de", b"fgh"):
        replay.keep(piece)
    assert joined(replay.since(0)) == b"abcdefgh"
    replay.on_acknowledged(4)
    assert joined(replay.since(4)) == b"efgh"
    assert (replay.unacknowledged, replay.sent) == (4, 8)
    replay.on_acknowledged(2)
    assert replay.acknowledged == 4
    assert joined(replay.since(8)) == b""
    assert replay.unacknowledged == 0


def test_there_is_room_for_so_much_and_again_when_it_has_come() -> None:
    replay = Replay(5)
    replay.keep(b"abc")
    assert replay.room == 2
    replay.keep(b"defg")
    assert replay.room == 0
    replay.on_acknowledged(7)
    assert replay.room == 5
    assert Replay().room is None


@pytest.mark.parametrize("limit", [None, 0, 16 << 20, 100_000])
def test_a_receipt_comes_before_the_sender_has_to_wait_for_it(limit: int | None) -> None:
    assert tell_after(limit) == (25_000 if limit == 100_000 else TELL_AFTER_BYTES)


def test_a_receipt_for_what_was_never_sent_is_refused() -> None:
    replay = Replay()
    replay.keep(b"abc")
    with pytest.raises(Undecodable, match="4 bytes where 3 were sent"):
        replay.on_acknowledged(4)
    replay.on_acknowledged(3)
    with pytest.raises(Undecodable, match="only 2 bytes have come"):
        replay.since(2)
    assert (replay.acknowledged, replay.sent) == (3, 3)


def test_what_came_before_is_told_apart_by_its_number() -> None:
    received = Received()
    assert received.take(10) == 0
    received.begin_at(4)
    assert received.take(3) == 3
    assert received.take(5) == 3
    assert received.count == 12
    assert received.take(1) == 0
    with pytest.raises(Undecodable, match="goes on at byte 14 where 13 have come"):
        received.begin_at(14)


def test_what_nobody_has_taken_yet_is_not_acknowledged() -> None:
    received = Received()
    received.take(10)
    assert received.owed(kept=4) == 6
    assert received.tell(kept=4) == 6
    assert received.owed() == 4
    assert received.tell() == 10
    assert received.owed() == 0


@pytest.mark.parametrize("wrong", [(4, 0), (0, 0), (DATA, MAX_SEGMENT + 1)])
def test_a_segment_that_nobody_sends_is_refused(wrong: tuple[int, int]) -> None:
    said = bytearray(SEGMENT.pack(*wrong))
    with pytest.raises(Undecodable, match="a segment of kind"):
        Segments().strip(memoryview(said), len(said), Received())


def test_nothing_counts_after_the_end() -> None:
    said = bytearray(SEGMENT.pack(DATA, 2) + b"ab" + SEGMENT.pack(END, 0) + b"\xff" * 20)
    segments, received = Segments(), Received()
    assert segments.strip(memoryview(said), len(said), received) == 2
    assert (segments.ended, received.count) == (True, 2)


class End:
    """One end of a link over wires that are cut now and then."""

    def __init__(self) -> None:
        self.replay, self.received = Replay(), Received()
        self.got = b""
        self.wire = b""
        self.segments = Segments()

    def send(self, data: bytes) -> None:
        self.replay.keep(data)
        self.wire += SEGMENT.pack(DATA, len(data)) + data

    def acknowledge(self) -> None:
        self.wire += SEGMENT.pack(ACK, self.received.tell())

    def hear(self, said: bytes) -> None:
        buffer = bytearray(said)
        size = self.segments.strip(memoryview(buffer), len(buffer), self.received)
        self.got += bytes(buffer[:size])
        if self.segments.acknowledged is not None:
            self.replay.on_acknowledged(self.segments.acknowledged)
            self.segments.acknowledged = None

    def go_on(self, begins: int, peer_received: int) -> None:
        """Over a new connection."""
        self.segments = Segments()
        self.received.begin_at(begins)
        self.wire = b""
        for piece in self.replay.since(peer_received):
            self.wire += SEGMENT.pack(DATA, len(piece)) + bytes(piece)


STEP = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 1), st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("acknowledge"), st.integers(0, 1), st.none()),
    st.tuples(st.just("arrive"), st.integers(0, 1), st.integers(1, 40)),
    st.tuples(st.just("cut"), st.integers(0, 1), st.integers(0, 30)),
)


@PROPERTY.__class__(PROPERTY, max_examples=300)
@given(st.lists(STEP, max_size=60))
def test_whatever_is_cut_wherever_all_arrives_once_and_in_order(steps: list[tuple[str, int, object]]) -> None:
    ends = End(), End()
    sent = [b"", b""]

    def arrive(by: int, size: int) -> None:
        said, ends[by].wire = ends[by].wire[:size], ends[by].wire[size:]
        ends[1 - by].hear(said)

    def cut(late: int) -> None:
        """The client says how far it is, its old connection brings more, and only then the server takes it up."""
        server, client = ends
        stated = client.received.count
        arrive(0, late)
        begins = max(stated, server.replay.acknowledged)
        server_received = server.received.count
        server.go_on(server_received, begins)
        client.go_on(begins, server_received)

    for what, who, value in steps:
        if what == "send":
            assert isinstance(value, bytes)
            ends[who].send(value)
            sent[who] += value
        elif what == "acknowledge":
            ends[who].acknowledge()
        elif what == "arrive":
            assert isinstance(value, int)
            arrive(who, value)
        else:
            assert isinstance(value, int)
            cut(value)
        for by in (0, 1):
            assert sent[by].startswith(ends[1 - by].got)
            assert ends[1 - by].received.count == len(ends[1 - by].got)
    cut(0)
    for by in (0, 1):
        arrive(by, len(ends[by].wire))
        assert ends[1 - by].got == sent[by]
