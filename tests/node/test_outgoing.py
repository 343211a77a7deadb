"""Calls on their way out: gathered per link, sent when they are enough, in their order."""

from __future__ import annotations

from typing import Any

from softgrid._io.reactor import Waiter
from softgrid._node.outgoing import COALESCE_BYTES, Outgoing


class Hop:
    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def send(self, data: bytes, *more: Any) -> None:
        self.writes.append(data)


def test_small_frames_leave_together_per_link_and_in_order_behind_the_first() -> None:
    outgoing, one, other = Outgoing(), Hop(), Hop()
    for index in range(6):
        outgoing.add((one, other)[index % 2], bytes([index]))  # type: ignore[arg-type]
    assert (one.writes, other.writes) == ([b"\x00"], [b"\x01"])
    outgoing.flush_all()
    assert (one.writes, other.writes) == ([b"\x00", b"\x02\x04"], [b"\x01", b"\x03\x05"])


def test_nothing_is_sent_twice() -> None:
    outgoing, hop = Outgoing(), Hop()
    outgoing.flush(hop)  # type: ignore[arg-type]
    outgoing.add(hop, b"a")  # type: ignore[arg-type]
    for _ in range(2):
        outgoing.flush(hop)  # type: ignore[arg-type]
        outgoing.flush_all()
    assert hop.writes == [b"a"]


def test_when_it_is_enough_it_leaves_at_once() -> None:
    outgoing, hop = Outgoing(), Hop()
    half = b"x" * (COALESCE_BYTES // 2 + 1)
    outgoing.add(hop, b"first")  # type: ignore[arg-type]
    for _ in range(3):
        outgoing.add(hop, half)  # type: ignore[arg-type]
    assert hop.writes == [b"first", half * 2]
    outgoing.flush_all()
    assert hop.writes == [b"first", half * 2, half]


def test_there_is_nothing_to_wait_for_when_all_is_sent() -> None:
    assert Outgoing().waiters() == []


def test_memory_and_calls_that_wait_for_room_are_waited_for() -> None:
    outgoing, memory = Outgoing(), Waiter()
    outgoing.memory.append(memory)
    assert outgoing.waiters() == [memory]
    for _ in range(2):
        outgoing.note_waiting()
    waiters = outgoing.waiters()
    assert waiters[0] is memory
    assert len(waiters) == 2
    outgoing.note_sent()
    assert not waiters[1].done
    outgoing.note_sent()
    assert waiters[1].done
    assert outgoing.waiters() == [memory]


class Crossing:
    """A bridge that counts what it is told."""

    def __init__(self, peer: int) -> None:
        self.peer = peer
        self.told = 0

    def note_sent_through_tree(self) -> None:
        self.told += 1


def test_a_bridge_opened_after_a_call_was_gathered_is_told_when_it_has_gone() -> None:
    old, new, hop = Crossing(1), Crossing(2), Hop()
    bridges: dict[int, Any] = {1: old}
    outgoing = Outgoing(bridges)
    for frame in (b"a", b"b"):
        outgoing.add(hop, frame)  # type: ignore[arg-type]
    bridges[2] = new
    outgoing.give_way_to(old, hop)  # type: ignore[arg-type]
    assert (hop.writes, old.told, new.told) == ([b"a"], 0, 0)
    for _ in range(2):
        outgoing.give_way_to(new, hop)  # type: ignore[arg-type]
        assert (hop.writes, old.told, new.told) == ([b"a", b"b"], 0, 1)
    outgoing.flush_all()
    assert (old.told, new.told) == (0, 1)


def test_a_bridge_opened_meanwhile_is_told_at_the_end_and_before_a_call_that_waits() -> None:
    for last in ("give_way", "flush_all"):
        bridge, hop = Crossing(1), Hop()
        bridges: dict[int, Any] = {}
        outgoing = Outgoing(bridges)
        outgoing.add(hop, b"a")  # type: ignore[arg-type]
        bridges[1] = bridge
        getattr(outgoing, last)(*[hop] * (last == "give_way"))
        assert (hop.writes, bridge.told) == ([b"a"], 1)
