"""What comes is read ahead a little, and taken in any pieces; large things go past the buffer."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from softgrid._io.incoming import Incoming

AHEAD = 64
Make = Callable[[], tuple[Incoming, int]]


@pytest.fixture(params=["pipe", "socket"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes the reading end of a connection, and gives the descriptor to write to."""
    opened: list[int] = []

    def make() -> tuple[Incoming, int]:
        if request.param == "pipe":
            read_end, write_end = os.pipe()
        else:
            read_end, write_end = (end.detach() for end in socket.socketpair())
        opened.extend((read_end, write_end))
        os.set_blocking(read_end, False)
        return Incoming(read_end, AHEAD), write_end

    yield make
    for each in opened:
        try:
            os.close(each)
        except OSError:
            continue


def take(incoming: Incoming, size: int) -> bytes:
    view = memoryview(bytearray(size))
    return bytes(view[: incoming.take_into(view)])


def test_what_was_read_before_comes_first(make: Make) -> None:
    incoming, write_end = make()
    incoming.put(b"before")
    os.write(write_end, b" after")
    assert bytes(incoming.take_ahead(3)) == b"bef"
    assert incoming.fill()
    assert incoming.ready == 9
    assert take(incoming, 100) == b"ore after"


def test_nothing_there_is_not_the_end(make: Make) -> None:
    incoming, write_end = make()
    assert not incoming.fill()
    assert take(incoming, 5) == b""
    assert not incoming.is_over
    os.close(write_end)
    assert not incoming.fill()
    assert incoming.is_over


def test_what_came_before_the_end_is_taken_first(make: Make) -> None:
    incoming, write_end = make()
    os.write(write_end, b"last words")
    os.close(write_end)
    assert incoming.fill()
    assert take(incoming, 4) + take(incoming, 100) == b"last words"
    assert not incoming.is_over
    assert take(incoming, 1) == b""
    assert incoming.is_over


def test_no_more_is_read_ahead_than_there_is_room_for(make: Make) -> None:
    incoming, write_end = make()
    os.write(write_end, bytes(range(200)))
    assert incoming.fill()
    assert incoming.ready == AHEAD
    assert take(incoming, 200) + take(incoming, 200) == bytes(range(200))


def test_bytes_move_into_a_socket_first_those_read_ahead(make: Make) -> None:
    incoming, write_end = make()
    mine, theirs = socket.socketpair()
    with mine, theirs:
        os.write(write_end, b"x" * 200 + b"not these")
        incoming.fill()
        moved = 0
        while moved < 200:
            moved += incoming.splice(mine.fileno(), 200 - moved)
        assert moved == 200
        assert theirs.recv(200, socket.MSG_WAITALL) == b"x" * 200
        incoming.fill()
        assert take(incoming, 100) == b"not these"
        assert incoming.splice(mine.fileno(), 10) == 0
        assert not incoming.is_over


def test_a_socket_that_is_gone_is_told_apart_from_a_connection_that_is(make: Make) -> None:
    incoming, write_end = make()
    mine, theirs = socket.socketpair()
    theirs.close()
    os.write(write_end, b"x")
    with mine:
        assert incoming.splice(mine.fileno(), 10) == -1
    assert not incoming.is_over


def test_the_end_is_seen_while_bytes_move(make: Make) -> None:
    incoming, write_end = make()
    os.close(write_end)
    mine, theirs = socket.socketpair()
    with mine, theirs:
        assert incoming.splice(mine.fileno(), 10) == 0
    assert incoming.is_over


def test_it_is_known_when_anything_came_last(make: Make) -> None:
    incoming, write_end = make()
    before = incoming.heard_at
    incoming.fill()
    assert incoming.heard_at == before
    os.write(write_end, b"x")
    incoming.fill()
    assert incoming.heard_at > before
