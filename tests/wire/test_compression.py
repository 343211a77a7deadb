"""Compressed bodies: what goes in comes out, in frames that are never too large, and nothing that lies is believed."""

from __future__ import annotations

import random
import struct
import zlib

import pytest

from softgrid._model.errors import Undecodable
from softgrid._wire.compression import STEP, compressed_frames, decompressed
from softgrid._wire.framing import COMPRESSED, HEADER, HEADER_SIZE, MAX_BODY, MORE, Assembler, Header, TooLarge

RANDOM = random.Random(5).randbytes(3 * MAX_BODY)


def pieces_of(parts: list[bytes], level: int = 1) -> list[tuple[Header, bytes]]:
    sent = []
    for pieces in compressed_frames(1, 2, 3, 4, list(parts), level):
        data = b"".join(pieces)
        sent.append((Header(*HEADER.unpack_from(data)), data[HEADER_SIZE:]))
    return sent


def through(parts: list[bytes], level: int = 1) -> bytes:
    assembler = Assembler()
    for header, body in pieces_of(parts, level):
        assert (header.kind, header.destination, header.source, header.message_id) == (1, 2, 3, 4)
        assert header.length == len(body) <= MAX_BODY
        whole = assembler.add(header.kind, header.source, header.message_id, header.flags, body)
    assert whole is not None
    return bytes(decompressed(whole))


@pytest.mark.parametrize("parts", [[b""], [b"x"], [b"head", RANDOM, b""], [bytes(3 * STEP), RANDOM[:5]], [b"a" * STEP]])
@pytest.mark.parametrize("level", [1, 9])
def test_what_goes_in_comes_out(parts: list[bytes], level: int) -> None:
    assert through(parts, level) == b"".join(parts)


def test_all_frames_say_what_they_are_and_only_the_last_that_it_is_the_last() -> None:
    flags = [header.flags for header, _ in pieces_of([RANDOM])]
    assert flags == [MORE | COMPRESSED] * (len(flags) - 1) + [COMPRESSED]
    assert len(flags) > 2


def test_what_can_be_compressed_is() -> None:
    assert sum(len(body) for _, body in pieces_of([bytes(8 * STEP)])) < STEP / 20


def test_a_frame_leaves_for_each_step_that_was_compressed() -> None:
    assert len(pieces_of([bytes(4 * STEP), bytes(2 * STEP)])) == 4 + 2 + 1


def packed(size: int, body: bytes) -> bytes:
    return struct.pack(">Q", size) + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"1234567",
        packed(5, b"not zlib"),
        packed(4, zlib.compress(b"12345")),
        packed(6, zlib.compress(b"12345")),
        packed(5, zlib.compress(b"12345")[:-2]),
        packed(1 << 60, zlib.compress(b"12345")),
    ],
)
def test_what_is_not_what_it_says_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable):
        decompressed(body)


def test_what_would_become_larger_than_allowed_is_not_expanded() -> None:
    body = packed(100_000, zlib.compress(bytes(100_000)))
    assert decompressed(body, 100_000) == bytes(100_000)
    with pytest.raises(TooLarge, match="larger than 99999 bytes"):
        decompressed(body, 99_999)
