"""What goes out is written whole and in order, whatever the connection takes at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from softgrid._io.outgoing import PIECES_AT_ONCE, Outgoing


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def read_all(end: int) -> bytes:
    """Give what is there."""
    data = b""
    while True:
        try:
            data += os.read(end, 1 << 20)
        except BlockingIOError:
            return data


def test_nothing_is_written_before_it_has_begun(pipe: tuple[int, int]) -> None:
    outgoing = Outgoing(pipe[1])
    outgoing.put([b"one", b"two"])
    assert (read_all(pipe[0]), outgoing.is_clear, outgoing.waits) == (b"", False, False)
    outgoing.begun = True
    assert outgoing.waits
    assert outgoing.flush()
    assert (read_all(pipe[0]), outgoing.is_clear, outgoing.waits) == (b"onetwo", True, False)


def test_what_is_not_taken_is_kept_as_it_was(pipe: tuple[int, int]) -> None:
    """Also when its owner writes over it in the meantime."""
    outgoing = Outgoing(pipe[1])
    outgoing.begun = True
    large = bytearray(os.urandom(1 << 20))
    expected = b"head" + bytes(large) + b"tail"
    outgoing.put([b"head", large, b"tail"])
    large[:] = bytes(len(large))
    received = b""
    while not outgoing.is_clear:
        received += read_all(pipe[0])
        outgoing.flush()
    assert received + read_all(pipe[0]) == expected


def test_many_small_pieces_go_in_order(pipe: tuple[int, int]) -> None:
    outgoing = Outgoing(pipe[1])
    pieces = [b"%d," % number for number in range(3 * PIECES_AT_ONCE)]
    outgoing.put(pieces)
    outgoing.begun = True
    assert outgoing.flush()
    assert read_all(pipe[0]) == b"".join(pieces)


def test_an_end_that_is_gone_takes_everything_and_keeps_nothing(pipe: tuple[int, int]) -> None:
    outgoing = Outgoing(pipe[1])
    outgoing.put([b"before"])
    outgoing.begun = True
    os.close(pipe[0])
    assert outgoing.flush()
    outgoing.put([b"after"])
    assert outgoing.is_clear


def test_what_is_kept_can_be_dropped(pipe: tuple[int, int]) -> None:
    outgoing = Outgoing(pipe[1])
    outgoing.put([b"x"])
    outgoing.clear()
    outgoing.begun = True
    assert outgoing.is_clear
    assert read_all(pipe[0]) == b""
