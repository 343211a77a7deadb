"""Frames: what is cut apart comes together again, however it is cut, mixed and chopped on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import Undecodable
from softgrid._wire import framing
from softgrid._wire.framing import (
    HEADER,
    HEADER_SIZE,
    HOPS_OFFSET,
    LAST_KIND,
    MAX_BODY,
    MORE,
    Assembler,
    Header,
    Kind,
    Outbound,
    Parts,
    TooLarge,
    check_header,
    frame,
    frames,
    pack_attached,
    unpack_attached,
)

IDS = st.integers(0, 2**64 - 1)
BULK = bytes(range(256)) * (3 * MAX_BODY // 256)


def split(stream: bytes) -> Iterator[tuple[Header, bytes]]:
    """Cut a stream of whole frames at the lengths in their headers."""
    position = 0
    while position < len(stream):
        header = Header(*HEADER.unpack_from(stream, position))
        body = stream[position + HEADER_SIZE : position + HEADER_SIZE + header.length]
        assert len(body) == header.length
        yield header, body
        position += HEADER_SIZE + header.length


def sent(parts: Parts) -> list[tuple[Header, bytes]]:
    return list(split(b"".join(b"".join(pieces) for pieces in frames(2, 8, 9, 7, parts))))


def test_a_header_is_32_bytes() -> None:
    assert HEADER_SIZE == 32


@PROPERTY
@given(st.sampled_from(Kind), IDS, IDS, IDS, st.binary(max_size=99), st.integers(0, 255), IDS)
def test_a_frame_reads_back(kind, destination, source, message_id, body, flags, other) -> None:
    made = frame(kind, destination, source, message_id, body, flags=flags, descriptors=other % 256)
    expected = Header(len(body), kind, flags, 0, other % 256, destination, source, message_id)
    assert list(split(made)) == [(expected, body)]


def test_a_frame_without_a_body_is_a_header() -> None:
    assert list(split(frame(Kind.LOG, 1, 2, 3))) == [(Header(0, 5, 0, 0, 0, 1, 2, 3), b"")]


def test_the_hops_stand_where_relays_count_them() -> None:
    made = bytearray(frame(Kind.CALL, 1, 2, 3, b"x"))
    made[HOPS_OFFSET] = 17
    assert next(split(bytes(made)))[0].hops == 17


def test_a_message_that_fits_is_one_frame_without_more() -> None:
    assert sent([b"ab", b"", bytearray(b"c")]) == [(Header(3, 2, 0, 0, 0, 8, 9, 7), b"abc")]


@pytest.mark.parametrize("size", [MAX_BODY - 1, MAX_BODY, MAX_BODY + 1, 2 * MAX_BODY, len(BULK)])
def test_all_frames_but_the_last_say_that_more_follows(size: int) -> None:
    found = sent([BULK[:size]])
    assert [header.flags for header, _ in found] == [MORE] * (len(found) - 1) + [0]
    assert [header.length for header, _ in found[:-1]] == [MAX_BODY] * (len(found) - 1)
    assert b"".join(body for _, body in found) == BULK[:size]
    assert {header[5:] for header, _ in found} == {(8, 9, 7)}


@PROPERTY
@given(
    st.lists(
        st.sampled_from([0, 1, 5, MAX_BODY - 1, MAX_BODY, MAX_BODY + 1, 2 * MAX_BODY + 3]),
        min_size=1,
        max_size=5,
    ).filter(any)
)
def test_a_message_of_any_parts_comes_together_again(sizes: list[int]) -> None:
    parts: Parts = [memoryview(BULK)[:size] for size in sizes]
    assembler = Assembler()
    results = [assembler.add(h.kind, h.source, h.message_id, h.flags, body) for h, body in sent(parts)]
    assert [whole for whole in results[:-1] if whole is not None] == []
    assert results[-1] == b"".join(parts)
    assert len(assembler) == 0


def test_cutting_a_message_copies_nothing() -> None:
    memory = bytearray(MAX_BODY + 1)
    (_, first), (_, second) = list(frames(1, 2, 3, 4, [memory]))
    memory[0], memory[-1] = 1, 2
    assert (first[0], second[0]) == (1, 2)


@pytest.mark.parametrize("parts", [[], [b""]])
def test_an_empty_message_is_still_a_message(parts: Parts) -> None:
    assert sent(parts) == [(Header(0, 2, 0, 0, 0, 8, 9, 7), b"")]


@PROPERTY
@given(st.randoms(use_true_random=False), st.integers(1, 6), st.booleans())
def test_messages_that_are_mixed_on_the_way_come_apart_again(random, count, one_source) -> None:
    bodies = [BULK[index : index + random.randrange(1, 3 * MAX_BODY)] for index in range(count)]
    queues = [list(frames(1, 5, 0 if one_source else index, index, [body])) for index, body in enumerate(bodies)]
    assembler, found = Assembler(), {}
    while any(queues):
        queue = random.choice([queue for queue in queues if queue])
        ((header, body),) = split(b"".join(queue.pop(0)))
        whole = assembler.add(header.kind, header.source, header.message_id, header.flags, body)
        if whole is not None:
            found[header.message_id] = bytes(whole)
    assert found == dict(enumerate(bodies))
    assert len(assembler) == 0


def test_a_small_message_passes_between_the_frames_of_a_large_one() -> None:
    assembler = Assembler()
    assert assembler.add(Kind.CALL, 1, 1, MORE, b"a") is None
    assert assembler.add(Kind.CALL, 1, 2, 0, b"small") == b"small"
    assert assembler.add(Kind.CALL, 2, 1, 0, b"other source") == b"other source"
    assert assembler.add(Kind.RESULT, 1, 1, 0, b"answer to another's call") == b"answer to another's call"
    assert assembler.add(Kind.CALL, 1, 1, 0, b"b") == b"ab"


def test_what_a_gone_source_left_unfinished_is_dropped_and_nothing_else() -> None:
    assembler = Assembler()
    for source in (1, 2):
        assembler.add(Kind.CALL, source, 1, MORE, b"a")
        assembler.add(Kind.CALL, source, 2, MORE, b"c")
    assembler.forget(1)
    assert len(assembler) == 2
    assert assembler.add(Kind.CALL, 2, 1, 0, b"b") == b"ab"
    assert assembler.add(Kind.CALL, 1, 1, 0, b"new") == b"new"
    assembler.forget(3)
    assert len(assembler) == 1


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("length", [0, MAX_BODY])
def test_an_honest_header_is_accepted(kind: Kind, length: int) -> None:
    check_header(Header(length, kind, 255, 255, 255, 0, 0, 0))


def test_a_frame_that_is_too_long_is_refused_with_both_numbers() -> None:
    with pytest.raises(Undecodable, match=f"{MAX_BODY + 1} bytes where at most {MAX_BODY}"):
        check_header(Header(MAX_BODY + 1, 1, 0, 0, 0, 0, 0, 0))
    with pytest.raises(Undecodable, match="11 bytes where at most 10"):
        check_header(Header(11, 1, 0, 0, 0, 0, 0, 0), 10)


@pytest.mark.parametrize("kind", [0, LAST_KIND + 1, 255])
def test_a_frame_of_no_known_kind_is_refused(kind: int) -> None:
    with pytest.raises(Undecodable, match=f"kind {kind}"):
        check_header(Header(0, kind, 0, 0, 0, 0, 0, 0))


@PROPERTY
@given(st.binary(min_size=HEADER_SIZE, max_size=HEADER_SIZE))
def test_garbage_is_refused_as_undecodable_or_is_a_header(data: bytes) -> None:
    header = Header(*HEADER.unpack(data))
    try:
        check_header(header)
    except Undecodable:
        return
    assert header.length <= MAX_BODY
    assert Kind(header.kind)


# -- messages to be sent --------------------------------------------------------------------------


class Beside:
    def __init__(self, data: bytes) -> None:
        self.data, self.size, self.views = data, len(data), 0

    def view(self) -> memoryview:
        self.views += 1
        return memoryview(self.data)


@pytest.mark.parametrize(
    ("outbound", "size", "whole"),
    [
        (Outbound(b"head"), 0, b"head"),
        (Outbound(b"head", []), 0, b"head"),
        (Outbound(b"head", [b"ab", bytearray(b"c")]), 3, b"headabc"),
        (Outbound(b"head", payload=Beside(b"abc")), 3, b"headabc"),
    ],
)
def test_a_message_knows_the_size_of_its_payload_and_comes_as_a_whole(outbound, size, whole) -> None:
    assert outbound.size == size
    assert outbound.joined() == whole
    assert b"".join(outbound.all_parts()) == whole


def test_a_payload_beside_a_message_is_looked_into_once_and_only_when_needed() -> None:
    payload = Beside(b"abc")
    outbound = Outbound(b"head", payload=payload)
    assert (outbound.size, payload.views) == (3, 0)
    outbound.all_parts()
    outbound.joined()
    assert payload.views == 1


@PROPERTY
@given(st.binary(max_size=40), IDS)
def test_the_head_of_a_message_with_a_payload_beside_it_reads_back(head: bytes, size: int) -> None:
    assert unpack_attached(pack_attached(head, size)) == (size, head)


@pytest.mark.parametrize("size", range(8))
def test_a_message_with_a_payload_of_no_size_is_undecodable(size: int) -> None:
    with pytest.raises(Undecodable, match="attachment of no size"):
        unpack_attached(b"x" * size)


# -- too large ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_message_that_is_too_large_is_dropped_once_to_its_last_frame_and_others_are_not(count: int) -> None:
    assembler = Assembler(max_bytes=10)
    refusals = []
    for number in range(count):
        more = MORE if number < count - 1 else 0
        try:
            assert assembler.add(1, 7, 1, more, b"six6six"[:6]) is None
        except TooLarge as error:
            refusals.append(str(error))
        if more:
            assert assembler.add(1, 8, 1, 0, b"another") == b"another"
    assert refusals == ["it is larger than 10 bytes (rule 'transfer_maximum_message_bytes' of its receiver)"]
    assert len(assembler) == 0
    assert assembler.add(1, 7, 2, MORE, b"fits") is None
    assert assembler.add(1, 7, 2, 0, b" here") == b"fits here"


def test_a_link_with_more_unfinished_messages_than_anybody_sends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_PARTIAL", 3)
    assembler = Assembler()
    for number in range(3):
        assembler.add(1, 7, number, MORE, b"begun")
    assert assembler.add(1, 7, 2, MORE, b"and on") is None
    with pytest.raises(Undecodable, match="more than 3 messages"):
        assembler.add(1, 7, 3, MORE, b"begun")
