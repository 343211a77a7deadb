"""Links: everything sent arrives once and in order, bulk and small ones share the socket, and the end is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.harness.sockets import (
    PATIENCE_S,
    LinkEnd,
    a_reactor,
    in_thread,
    turn_until,
    turn_until_idle,
)

from softgrid._io import link as link_module
from softgrid._io.descriptors import Descriptors
from softgrid._io.link import HIGH_WATER, LOW_WATER, Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import Undecodable

FRAME = 64 * 1024


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    with a_reactor() as made:
        yield made


@pytest.fixture
def make_end(reactor: Reactor) -> Iterator[Callable[..., LinkEnd]]:
    made: list[LinkEnd] = []

    def make(**options: Any) -> LinkEnd:
        made.append(LinkEnd(reactor, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def end(make_end: Callable[..., LinkEnd]) -> LinkEnd:
    return make_end()


class Bulk:
    """A bulk message of numbered frames that knows how many were drawn."""

    def __init__(self, letter: bytes, count: int, size: int = FRAME) -> None:
        self.letter, self.count, self.size, self.drawn = letter, count, size, 0

    def __iter__(self) -> Iterator[list[Any]]:
        for index in range(self.count):
            self.drawn += 1
            half = self.size // 2
            head = self.letter + index.to_bytes(3, "big")
            yield [head, memoryview(self.letter * (half - 4)), self.letter * (self.size - half)]

    @property
    def total(self) -> int:
        return self.count * self.size


def letters(data: bytes) -> list[str]:
    """Give the letters of the frames and small messages in the order in which they came."""
    found, position = [], 0
    while position < len(data):
        letter = chr(data[position])
        found.append(letter)
        position += FRAME if letter.isupper() else 1
    return found


# -- small messages -------------------------------------------------------------------------------


def test_a_small_message_is_sent_at_once_without_the_reactor(end: LinkEnd) -> None:
    end.link.send(b"hello")
    assert end.peer.recv(99) == b"hello"
    assert turn_until_idle(end.reactor) == 0


def test_what_the_socket_does_not_take_at_once_follows_in_order(end: LinkEnd) -> None:
    messages = [bytes([index]) * 300_000 for index in range(1, 20)]
    for message in messages:
        end.link.send(message)
    assert end.take(300_000 * 19) == b"".join(messages)
    end.take_nothing()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_memory_that_was_sent_may_be_used_again(end: LinkEnd, kind: Any) -> None:
    memory = bytearray(b"a" * 3_000_000)
    end.link.send(kind(memory) if kind is not memoryview else memoryview(memory))
    end.link.send(kind(memory[:5]))
    memory[:] = b"b" * len(memory)
    assert end.take(3_000_005) == b"a" * 3_000_005


def test_many_threads_may_send_and_no_message_is_torn(end: LinkEnd) -> None:
    def send(letter: bytes) -> None:
        for _ in range(50):
            end.link.send(letter * 9999)

    threads = [in_thread(lambda letter=bytes([65 + n]): send(letter)) for n in range(4)]  # type: ignore[misc]
    data = end.take(4 * 50 * 9999)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert all(len(set(data[start : start + 9999])) == 1 for start in range(0, len(data), 9999))


def test_what_was_sent_and_received_is_counted(end: LinkEnd) -> None:
    end.link.send(b"12345")
    end.link.send_stream(1, iter(Bulk(b"A", 3)))
    end.take(5 + 3 * FRAME)
    end.peer.send(b"abc")
    turn_until(end.reactor, lambda: end.received)
    assert (end.link.bytes_sent, end.link.frames_sent) == (5 + 3 * FRAME, 4)
    assert end.link.bytes_received == 3


# -- bulk messages --------------------------------------------------------------------------------


def test_a_bulk_message_arrives_whole(end: LinkEnd) -> None:
    bulk = Bulk(b"A", 100)
    waiter = end.link.send_stream(1, iter(bulk))
    assert end.take(bulk.total) == b"".join(b"".join(pieces) for pieces in Bulk(b"A", 100))
    turn_until(end.reactor, lambda: waiter.done)
    end.take_nothing()


def test_a_bulk_message_is_drawn_only_as_fast_as_the_socket_takes_it(end: LinkEnd) -> None:
    bulk = Bulk(b"A", 1000)
    waiter = end.link.send_stream(1, iter(bulk))
    turn_until_idle(end.reactor)
    assert bulk.drawn * FRAME < 4 * LOW_WATER
    assert not waiter.done
    end.take(bulk.total)
    turn_until(end.reactor, lambda: waiter.done)


def test_its_memory_is_its_senders_again_only_when_the_last_byte_is_out(end: LinkEnd) -> None:
    end.fill()
    waiter = end.link.send_stream(1, iter(Bulk(b"A", 1)))
    turn_until_idle(end.reactor)
    assert not waiter.done
    end.take(8 << 20)
    turn_until(end.reactor, lambda: waiter.done)


def test_a_small_message_to_somebody_else_overtakes_a_bulk_message(end: LinkEnd) -> None:
    bulk = Bulk(b"A", 200)
    end.link.send_stream(1, iter(bulk))
    end.link.send(b"s", 2)
    came = letters(end.take(bulk.total + 1))
    assert came.count("A") == 200
    assert came.index("s") < 20


def test_a_small_message_to_the_same_destination_keeps_behind(end: LinkEnd) -> None:
    bulk = Bulk(b"A", 50)
    end.link.send_stream(1, iter(bulk))
    for letter in (b"s", b"t"):
        memory = bytearray(letter)
        end.link.send(memory, 1)
        memory[:] = b"x"
    assert letters(end.take(bulk.total + 2)) == ["A"] * 50 + ["s", "t"]


def test_bulk_messages_to_different_destinations_take_turns(end: LinkEnd) -> None:
    for destination, letter in enumerate((b"A", b"B", b"C")):
        end.link.send_stream(destination, iter(Bulk(letter, 60)))
    came = letters(end.take(180 * FRAME))
    assert "".join(came[30:90]).count("ABC") >= 15
    assert [came.count(letter) for letter in "ABC"] == [60] * 3


def test_bulk_messages_to_the_same_destination_come_one_after_the_other(end: LinkEnd) -> None:
    waiters = []
    for letter in (b"A", b"B", b"C"):
        waiters.append(end.link.send_stream(1, iter(Bulk(letter, 30))))
        end.link.send(letter.lower(), 1)
    end.link.send(b"z", 2)
    came = letters(end.take(90 * FRAME + 4))
    came.remove("z")
    assert "".join(came) == "A" * 30 + "a" + "B" * 30 + "b" + "C" * 30 + "c"
    turn_until(end.reactor, lambda: all(waiter.done for waiter in waiters))


def test_a_bulk_message_of_nothing_is_done_at_once(end: LinkEnd) -> None:
    waiter = end.link.send_stream(1, iter([]))
    turn_until(end.reactor, lambda: waiter.done)
    end.take_nothing()


def test_order_is_kept_after_a_bulk_message_has_been_drawn_but_not_yet_sent(end: LinkEnd) -> None:
    end.fill()
    end.link.send_stream(1, iter(Bulk(b"A", 2)))
    end.link.send(b"s", 1)
    end.take(8 << 20)
    assert letters(end.take(2 * FRAME + 1)) == ["A", "A", "s"]


# -- descriptors ----------------------------------------------------------------------------------


@pytest.fixture
def passing(reactor: Reactor) -> Iterator[tuple[LinkEnd, LinkEnd]]:
    """Two links that are each other's other end, and pass descriptors."""
    one, other = LinkEnd(reactor, passes_descriptors=True), LinkEnd(reactor, passes_descriptors=True)
    mine, theirs = one.peer, other.link
    other.link = Link(mine, reactor, other._on_readable, other._on_closed, passes_descriptors=True)
    other.link.open()
    theirs.close()
    other.closings.clear()
    yield one, other
    one.link.close()
    other.link.close()
    other.peer.close()


def a_file(text: bytes, folder: Any) -> int:
    path = folder / text.decode()
    path.write_bytes(text)
    return os.open(path, os.O_RDONLY)


def contents(descriptors: Descriptors) -> list[bytes]:
    return [os.read(number, 9) for number in descriptors.numbers]


def test_descriptors_come_with_their_frame(passing: Any, tmp_path: Any) -> None:
    one, other = passing
    one.link.send(b"first", 0, Descriptors(a_file(b"a", tmp_path), a_file(b"b", tmp_path)))
    one.link.send(b"none")
    one.link.send(b"second", 0, Descriptors(a_file(b"c", tmp_path)))
    turn_until(one.reactor, lambda: len(other.received) == 15)
    assert other.received == b"firstnonesecond"
    first, second = other.link.take_descriptors(2), other.link.take_descriptors(1)
    assert contents(first) + contents(second) == [b"a", b"b", b"c"]
    assert not any(os.get_inheritable(number) for number in first.numbers)


def test_descriptors_wait_in_line_with_their_frame(passing: Any, tmp_path: Any) -> None:
    one, other = passing
    one.link.send(b"x" * 5_000_000)
    one.link.send(b"late", 0, Descriptors(a_file(b"a", tmp_path)))
    one.link.send(b"later")
    turn_until(one.reactor, lambda: len(other.received) == 5_000_009)
    assert other.received[-9:] == b"latelater"
    assert contents(other.link.take_descriptors(1)) == [b"a"]


def test_descriptors_keep_behind_a_bulk_message_to_the_same_destination(passing: Any, tmp_path: Any) -> None:
    one, other = passing
    one.link.send_stream(1, iter(Bulk(b"A", 30)))
    one.link.send(b"s", 1, Descriptors(a_file(b"a", tmp_path)))
    turn_until(one.reactor, lambda: len(other.received) == 30 * FRAME + 1)
    assert letters(other.received) == ["A"] * 30 + ["s"]
    assert contents(other.link.take_descriptors(1)) == [b"a"]


def test_the_sender_lets_go_of_descriptors_that_are_on_their_way(passing: Any, tmp_path: Any) -> None:
    one, _ = passing
    before = Descriptors.held
    one.link.send(b"x", 0, Descriptors(a_file(b"a", tmp_path)))
    assert Descriptors.held == before


def test_descriptors_that_did_not_come_are_asked_for_in_vain(passing: Any, tmp_path: Any) -> None:
    one, other = passing
    with pytest.raises(Undecodable, match="a frame with 1 descriptors that did not come"):
        other.link.take_descriptors(1)
    one.link.send(b"x", 0, Descriptors(a_file(b"a", tmp_path)))
    turn_until(one.reactor, lambda: other.received)
    with pytest.raises(Undecodable):
        other.link.take_descriptors(2)
    assert len(other.link.take_descriptors(1)) == 1


def test_descriptors_that_nobody_took_are_closed_with_the_link(passing: Any) -> None:
    one, other = passing
    read_end, write_end = os.pipe()
    one.link.send(b"x", 0, Descriptors(write_end))
    turn_until(one.reactor, lambda: other.received)
    other.link.close()
    assert os.read(read_end, 1) == b""
    os.close(read_end)


def test_descriptors_for_a_closed_link_are_let_go(passing: Any) -> None:
    one, _ = passing
    one.link.close()
    read_end, write_end = os.pipe()
    one.link.send(b"x", 0, Descriptors(write_end))
    assert os.read(read_end, 1) == b""
    os.close(read_end)


# -- back pressure --------------------------------------------------------------------------------


def test_a_link_is_full_beyond_its_high_water(end: LinkEnd) -> None:
    assert not end.link.is_full
    end.link.send(b"x" * (HIGH_WATER + (4 << 20)))
    assert end.link.is_full
    end.take(HIGH_WATER + (4 << 20))
    assert not end.link.is_full


def test_nothing_is_read_for_a_full_link_until_it_has_drained(reactor: Reactor, end: LinkEnd, make_end: Any) -> None:
    source = make_end()
    size = end.fill()
    source.link.pause_for(end.link)
    source.peer.send(b"waits")
    turn_until_idle(reactor)
    assert source.received == b""
    end.take(size)
    turn_until(reactor, lambda: source.received == b"waits")


def test_a_paused_link_still_writes(reactor: Reactor, end: LinkEnd, make_end: Any) -> None:
    source = make_end()
    end.fill()
    source.link.pause_for(end.link)
    source.link.send(b"x" * 3_000_000)
    assert source.take(3_000_000) == b"x" * 3_000_000
    source.peer.send(b"waits")
    turn_until_idle(reactor)
    assert source.received == b""


def test_a_link_that_feeds_two_full_ones_waits_for_both(reactor: Reactor, end: LinkEnd, make_end: Any) -> None:
    source, second = make_end(), make_end()
    sizes = [each.fill() for each in (end, second)]
    for each in (end, second):
        source.link.pause_for(each.link)
    source.peer.send(b"waits")
    end.take(sizes[0])
    turn_until_idle(reactor)
    assert source.received == b""
    second.take(sizes[1])
    turn_until(reactor, lambda: source.received == b"waits")


@pytest.mark.parametrize("state", ["empty", "closed"])
def test_there_is_no_pause_for_a_link_that_is_not_full(
    reactor: Reactor, end: LinkEnd, state: str, make_end: Any
) -> None:
    source = make_end()
    if state == "closed":
        end.fill()
        end.link.close()
    source.link.pause_for(end.link)
    source.peer.send(b"comes")
    turn_until(reactor, lambda: source.received == b"comes")


def test_the_end_of_a_full_link_ends_the_pause(reactor: Reactor, end: LinkEnd, make_end: Any) -> None:
    source = make_end()
    end.fill()
    source.link.pause_for(end.link)
    source.peer.send(b"waits")
    end.peer.close()
    turn_until(reactor, lambda: source.received == b"waits")
    assert end.closings == ["end of stream"]


def test_a_paused_link_that_is_closed_is_not_woken_again(reactor: Reactor, end: LinkEnd, make_end: Any) -> None:
    source = make_end()
    size = end.fill()
    source.link.pause_for(end.link)
    source.link.close()
    end.take(size)
    turn_until_idle(reactor)
    assert source.closings == ["closed here"]


def test_a_paused_link_whose_other_end_is_gone_does_not_spin(reactor: Reactor, end: LinkEnd, make_end: Any) -> None:
    source = make_end()
    end.fill()
    source.link.pause_for(end.link)
    source.peer.close()
    turn_until_idle(reactor, limit=100)


# -- the end --------------------------------------------------------------------------------------


def test_the_end_of_the_other_side_is_told_after_what_it_had_sent(end: LinkEnd) -> None:
    end.peer.send(b"last words")
    end.peer.close()
    turn_until(end.reactor, lambda: end.closings)
    assert end.received == b"last words"
    assert end.closings == ["end of stream"]


def test_sending_to_an_end_that_is_gone_raises_nothing_and_the_end_is_told_once(end: LinkEnd) -> None:
    end.peer.send(b"last words")
    end.peer.close()
    for _ in range(3):
        end.link.send(b"x" * 100)
    waiter = end.link.send_stream(1, iter(Bulk(b"A", 3)))
    turn_until(end.reactor, lambda: end.closings)
    assert end.closings == ["end of stream"]
    assert end.received == b"last words"
    assert waiter.done


def test_an_end_that_goes_while_much_waits_to_be_sent_is_told(end: LinkEnd) -> None:
    waiter = end.link.send_stream(1, iter(Bulk(b"A", 1000)))
    behind = end.link.send_stream(1, iter(Bulk(b"B", 1000)))
    turn_until_idle(end.reactor)
    end.peer.close()
    turn_until(end.reactor, lambda: end.closings)
    assert waiter.done
    assert behind.done
    assert turn_until_idle(end.reactor) < 5


def test_what_kept_behind_a_bulk_message_is_let_go_with_it(end: LinkEnd) -> None:
    first = end.link.send_stream(1, iter(Bulk(b"A", 1000)))
    end.link.send(b"s", 1)
    second = end.link.send_stream(1, iter(Bulk(b"B", 1000)))
    end.link.send(b"t", 1)
    end.link.close()
    assert first.done
    assert second.done


def test_closing_tells_once_and_sends_nothing_more(end: LinkEnd) -> None:
    end.link.close("because")
    end.link.close("again")
    end.link.send(b"x")
    assert end.closings == ["because"]
    assert end.link.closed
    assert end.peer.recv(1) == b""
    assert end.link.send_stream(1, iter(Bulk(b"A", 1))).done


def test_a_closed_link_reads_nothing(end: LinkEnd) -> None:
    end.link.close()
    assert end.link.receive_into(end.buffer) == -1
    assert turn_until_idle(end.reactor) == 0


def test_reading_where_nothing_is_gives_nothing(end: LinkEnd) -> None:
    assert end.link.receive_into(end.buffer) == 0


def test_its_repr_says_in_which_state_it_is(end: LinkEnd) -> None:
    assert "open, 0 bytes queued" in repr(end.link)
    end.link.close()
    assert "closed" in repr(end.link)


def test_closing_lets_go_who_waits_for_the_last_bytes_of_a_bulk_message(reactor: Reactor, make_end: Any) -> None:
    end = make_end(buffer_size=4096)
    waiter = end.link.send_stream(1, iter(Bulk(b"A", 1)))
    turn_until_idle(reactor)
    assert not waiter.done
    end.close()
    assert waiter.done


def test_closing_lets_go_who_flushes(end: LinkEnd) -> None:
    end.fill()
    end.reactor.call_later(0.02, end.link.close)
    asked: list[bool] = []
    wait = end.reactor.wait
    end.reactor.wait = lambda waiter, timeout: asked.append(wait(waiter, timeout))  # type: ignore[method-assign,assignment,return-value]
    end.link.flush(0.3)
    assert asked == [True]


def test_flushing_waits_until_everything_is_written(end: LinkEnd) -> None:
    end.link.flush(PATIENCE_S)
    size = end.fill()
    reader = in_thread(lambda: _read(end.peer, size))
    end.link.flush(PATIENCE_S)
    end.link.close()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()


def test_flushing_gives_up_when_its_time_is_up(end: LinkEnd) -> None:
    end.fill()
    end.link.flush(0.001)
    assert not end.link.closed


def test_flushing_waits_for_bulk_messages_too(end: LinkEnd) -> None:
    bulk = Bulk(b"A", 200)
    end.link.send_stream(1, iter(bulk))
    came: list[int] = []
    reader = in_thread(lambda: came.append(_read(end.peer, bulk.total)))
    end.link.flush(PATIENCE_S)
    end.link.close()
    reader.join(PATIENCE_S)
    assert came == [bulk.total]


def _read(peer: socket.socket, size: int) -> int:
    """Read *size* bytes, or what comes before the end; gives how many came."""
    count = 0
    while count < size and (piece := peer.recv(1 << 16)):
        count += len(piece)
    return count


def test_an_abandoned_link_leaves_the_connection_to_its_owner(end: LinkEnd) -> None:
    copy = socket.socket(fileno=os.dup(end.link._fd))
    end.reactor.unwatch(end.link._fd)
    end.link.abandon()
    copy.send(b"still there")
    assert end.peer.recv(99) == b"still there"
    assert end.closings == []
    copy.close()


def test_a_waiter_of_a_bulk_message_can_be_waited_for(end: LinkEnd) -> None:
    bulk = Bulk(b"A", 300)
    waiter: Waiter = end.link.send_stream(1, iter(bulk))
    reader = in_thread(lambda: _read(end.peer, bulk.total))
    assert end.reactor.wait(waiter, PATIENCE_S)
    reader.join(PATIENCE_S)


def test_too_many_descriptors_on_their_way_are_tried_again(passing: Any, tmp_path: Any, monkeypatch: Any) -> None:
    import errno

    one, other = passing
    send_fds, refusals = socket.send_fds, [1, 1]

    def refuse_twice(*args: Any) -> int:
        if refusals:
            refusals.pop()
            raise OSError(errno.ETOOMANYREFS, "too many references")
        return send_fds(*args)

    monkeypatch.setattr(link_module.socket, "send_fds", refuse_twice)
    one.link.send(b"x", 0, Descriptors(a_file(b"a", tmp_path)))
    one.link.send(b"y")
    turn_until(one.reactor, lambda: len(other.received) == 2)
    assert other.received == b"xy"
    assert contents(other.link.take_descriptors(1)) == [b"a"]


@pytest.mark.parametrize("then", ["send", "stream", "close"])
def test_a_descriptor_that_somebody_else_closed_ends_the_link_and_raises_nothing(end: LinkEnd, then: str) -> None:
    os.dup2(os.open(os.devnull, os.O_RDWR), end.link._fd)
    if then == "send":
        end.link.send(b"x")
        assert end.link.closed
    elif then == "stream":
        assert end.link.send_stream(1, iter(Bulk(b"A", 3))).done
        assert end.link.closed
    end.link.close("over")
    assert end.closings == ["over"]


def test_a_link_knows_whether_bulk_messages_are_on_their_way(end: LinkEnd) -> None:
    assert not end.link.has_streams
    end.fill()
    end.link.send_stream(1, iter(Bulk(b"A", 3)))
    assert end.link.has_streams
