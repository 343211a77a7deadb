"""One end of a bridge: what goes over it, what is believed of what comes, and nothing lost when it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.harness.shores import World, a_world
from tests.harness.sockets import in_thread, turn_until_idle
from tests.harness.trees import A1, A2, B1

from softgrid._io.segments import THRESHOLD
from softgrid._model.errors import NoRoute
from softgrid._model.names import node_id
from softgrid._node.bridge import Label
from softgrid._state.twoways import TELL_AFTER_BYTES, TELL_AFTER_MESSAGES
from softgrid._wire.control import encode_control
from softgrid._wire.framing import MAX_BODY, Kind, Outbound, frame

CALL, RESULT = Kind.CALL, Kind.RESULT


@pytest.fixture
def world() -> Iterator[World]:
    """Two workers of different managers with a bridge that is in use."""
    with a_world(A1, B1) as made:
        made.build()
        yield made


def settle(world: World) -> None:
    turn_until_idle(world.reactor)


# -- over it --------------------------------------------------------------------------------------


def test_messages_go_over_it_both_ways_and_nothing_through_the_tree(world: World) -> None:
    one, other = world.one, world.other
    one.send(1, body=b"to the other")
    other.send(5, body=b"to the one")
    settle(world)
    assert other.take_got() == [(CALL, 1, b"to the other")]
    assert one.take_got() == [(CALL, 5, b"to the one")]
    assert one.in_tree() == other.in_tree() == []


def test_an_answer_goes_back_the_way_its_call_came(world: World) -> None:
    one, other = world.one, world.other
    one.send(1)
    settle(world)
    for number in (1, 1, 2):  # a second answer is none, and call 2 came through the tree
        other.bridges.send(RESULT, one.id, number, Outbound(b"answer"))
    settle(world)
    assert one.take_got() == [(RESULT, 1, b"answer")]
    assert other.in_tree() == [1, 2]
    other.bridges.send(RESULT, node_id(A2), 1, Outbound(b"to somebody else"))
    assert other.in_tree() == [1, 2, 1]


@pytest.mark.parametrize("size", [0, THRESHOLD, THRESHOLD + 1, MAX_BODY, 4 * MAX_BODY])
@pytest.mark.parametrize("passes", [True, False])
def test_messages_of_every_size_arrive_whole_and_in_order(world: World, size: int, passes: bool) -> None:
    for shore in (world.one, world.other):
        shore.bridge.link.passes_descriptors = passes
    data = bytearray(range(256)) * (size // 256 + 1)
    for number in range(4):
        world.one.send(number, body=b"head", payload=[data[:size]] if number % 2 else None)
    settle(world)
    expected = [(CALL, number, b"head" + bytes(data[:size] if number % 2 else b"")) for number in range(4)]
    assert world.other.take_got() == expected
    assert world.one.in_tree() == []


@pytest.mark.parametrize(
    ("size", "passes", "is_awaited"),
    [(MAX_BODY, False, False), (4 * MAX_BODY, False, True), (4 * MAX_BODY, True, False)],
)
def test_memory_that_is_still_needed_is_waited_for_until_it_has_arrived(world, size, passes, is_awaited) -> None:
    for shore in (world.one, world.other):
        shore.bridge.link.passes_descriptors = passes
    payload = bytearray(size - 4)
    waiter = world.one.send(1, body=b"head", payload=[payload])
    assert (waiter is not None) is is_awaited
    if waiter is not None:
        assert not waiter.done
        settle(world)
        assert waiter.done


def test_a_message_so_large_that_it_is_awaited_is_counted_at_once() -> None:
    assert TELL_AFTER_BYTES <= MAX_BODY


def test_what_has_arrived_is_kept_no_longer_than_so_many_messages(world: World) -> None:
    ways = world.one.bridge._ways
    for number in range(TELL_AFTER_MESSAGES - 1):
        world.one.send(number)
    settle(world)
    assert len(ways.kept) == TELL_AFTER_MESSAGES - 1
    world.one.send(99)
    settle(world)
    assert not ways.kept
    assert len(world.other.take_got()) == TELL_AFTER_MESSAGES


def test_what_may_not_go_over_it_waits_for_what_does_and_the_other_way_round(world: World) -> None:
    one, other = world.one, world.other
    for number, may_bridge in enumerate([True, True, False, False, True, False]):
        one.send(number, may_bridge)
    assert one.in_tree() == []
    settle(world)
    assert other.numbers() == [0, 1]
    assert one.in_tree() == [2, 3, "arrived"]
    world.tree()
    assert other.numbers() == [2, 3, 4, 5]


def test_a_call_that_slipped_into_the_tree_is_not_overtaken(world: World) -> None:
    one, other = world.one, world.other
    one.switch.send(CALL, other.id, 1, Outbound(b"late"))
    one.bridge.note_sent_through_tree()
    one.send(2)
    settle(world)
    assert other.numbers() == []
    world.tree()
    assert other.numbers() == [1, 2]


def test_who_leaves_waits_until_everything_is_on_its_way(world: World) -> None:
    one = world.one
    one.send(1)
    one.bridge.flush(5)  # nothing to wait for
    one.send(2, may_bridge=False)
    flushing = in_thread(lambda: one.bridge.flush(30))
    while flushing.is_alive():
        one.reactor.call_soon(lambda: world.tree(until_idle=False))
        flushing.join(0.01)
    world.tree()
    assert world.other.numbers() == [1, 2]


def test_nobody_waits_for_ever_before_leaving(world: World) -> None:
    world.one.switch.send(CALL, world.other.id, 1, Outbound(b"late"))
    world.one.bridge.note_sent_through_tree()
    world.one.send(2)
    world.one.bridge.flush(0.01)
    assert world.one.in_tree() == [1, "arrived"]


# -- what is believed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "destination"),
    [(A2, B1), (A1, A2), (B1, A1), (B1, B1), (None, A2)],
)
def test_over_a_bridge_nobody_but_its_ends_is_believed_and_nothing_is_passed_on(world, source, destination) -> None:
    data = frame(CALL, node_id(destination), node_id(source) if source else 0, 1, b"spoofed")
    world.one.bridge.link.send(data)
    world.one.send(7)
    settle(world)
    assert world.other.take_got() == [(CALL, 7, b"call")]
    assert world.other.in_tree() == []
    assert not world.other.bridge.is_over


@pytest.mark.parametrize("kind", [Kind.LOG, Kind.REFUSED, Kind.CONTROL])
def test_over_a_bridge_go_calls_and_results_alone(world: World, kind: Kind) -> None:
    body = encode_control({"op": "bridges"})
    world.one.bridge.link.send(frame(kind, world.other.id, world.one.id, 1, body))
    world.one.send(7)
    settle(world)
    assert world.other.numbers() == [7]
    assert world.other.in_tree() == []
    assert not world.other.bridge.is_over


@pytest.mark.parametrize(
    "message", [{"op": "counted", "count": 9}, {"op": "counted"}, {"op": "counted", "count": -1}, {"op": "what"}, b"{"]
)
def test_an_end_that_says_what_cannot_be_is_no_longer_listened_to(world: World, message) -> None:
    one, other = world.one, world.other
    one.send(1)
    other.send(2)
    body = message if isinstance(message, bytes) else encode_control(message)
    one.bridge.link.send(frame(Kind.CONTROL, 0, 0, 0, body))
    one.send(3)
    world.tree()
    assert (one.numbers(), other.numbers()) == ([2], [1, 3])
    assert one.bridges.table == other.bridges.table == {}
    assert any("what no executor sends" in text for text in other.warnings)


def test_nobody_reads_the_password_of_a_bridge() -> None:
    assert "secret" not in repr(Label(A1, B1, "1", "secret"))


# -- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_both", [True, False])
@pytest.mark.parametrize("arrived", [0, 1, 2])
def test_what_had_not_arrived_takes_the_tree_and_what_comes_then_follows(
    world: World, arrived: int, by_both: bool
) -> None:
    one, other = world.one, world.other
    for number in range(arrived):
        one.send(number)
        other.send(10 + number)
    settle(world)
    for number in range(arrived, 3):  # the kernel has them, nobody reads them
        one.send(number)
        other.send(10 + number)
    bridge = one.bridge
    one.bridge.link.close("cut")
    if by_both:
        other.bridge.link.close("cut")
    one.send(3)
    other.send(13, may_bridge=False)
    world.tree()
    assert other.numbers() == [0, 1, 2, 3]
    assert one.numbers() == [10, 11, 12, 13]
    assert one.bridges.table == other.bridges.table == {}
    assert any("broke: cut" in text for text in one.warnings)
    bridge.send(CALL, 4, Outbound(b"by one who still has it"))
    world.tree()
    assert other.numbers() == [4]


def test_what_is_sent_again_is_sent_before_anybody_can_send_past_the_bridge(world: World) -> None:
    one, send, known = world.one, world.one.switch.send, []

    def watched(kind: int, *more: object) -> object:
        if kind == CALL:
            known.append(world.other.id in one.bridges.table)
        return send(kind, *more)  # type: ignore[arg-type]

    one.switch.send = watched  # type: ignore[method-assign]
    one.send(1)
    for shore in (world.other, one):
        shore.bridge.link.close("cut")
    world.tree()
    assert world.other.numbers() == [1]
    assert known == [True]
    assert one.bridges.table == {}


def test_large_messages_that_had_not_arrived_are_sent_again_whole(world: World) -> None:
    for shore in (world.one, world.other):
        shore.bridge.link.passes_descriptors = False
        shore.up.passes_descriptors = False
    waiters = [world.one.send(number, payload=[bytearray([number]) * 3 * MAX_BODY]) for number in range(3)]
    world.reactor.turn(0)
    world.one.bridge.link.close("cut")
    world.tree()
    assert world.other.take_got() == [(CALL, n, b"call" + bytes([n]) * 3 * MAX_BODY) for n in range(3)]
    assert [waiter.done for waiter in waiters] == [True] * 3


def test_what_comes_after_the_count_was_told_is_not_taken_twice(world: World) -> None:
    one, other = world.one, world.other
    one.send(1)
    link, crossing = other.bridge.link, other.bridge._crossing
    ended = other.bridge.end("over")
    crossing.deliver[CALL](link, one.id, 1, b"call")  # it had been read together with what ended the bridge
    assert (ended, other.take_got()) == (0, [])


def test_a_write_that_fails_ends_a_bridge_even_if_reading_does_not(world: World) -> None:
    one, other = world.one, world.other
    one.reactor.unwatch(one.bridge.link._fd)
    other.reactor.unwatch(other.bridge.link._fd)
    one.bridge.link._sock.shutdown(2)
    one.send(1)
    assert one.bridge.link.closed
    while one.bridges.table:
        one.reactor.turn(1)
        world.tree(until_idle=False)
    world.tree()
    assert other.numbers() == [1]
    assert "nothing can be written" in one.warnings[0]


def test_when_the_other_end_is_gone_nothing_waits_for_it(world: World) -> None:
    one = world.one
    bridge = one.bridge
    bridge.link.passes_descriptors = False
    settled: list[int] = []
    bridge.when_settled.append(lambda: settled.append(1))
    waiter = one.send(1, payload=[bytearray(4 * MAX_BODY)])
    one.bridges.on_gone({world.other.id, 12345})
    assert bridge.is_gone
    assert waiter.done
    assert settled == [1]
    assert one.bridges.table == {}
    assert bridge.link.closed
    assert bridge.send(CALL, 2, Outbound(b"late")) is None
    assert one.in_tree() == []


def test_an_end_that_cannot_be_asked_any_more_is_gone(world: World) -> None:
    one = world.one
    one.send(1)
    one.bridge.link.close("cut")
    [(header, _)] = one.up.take_frames()
    one.inflight.refuse(header.message_id, world.other.id, lambda name: NoRoute(f"{name} is gone: killed"))
    settle(world)
    assert one.lost == [(world.other.name, "killed")]


def test_who_leaves_asks_nobody(world: World) -> None:
    one = world.one
    one.bridges.leave()
    one.bridge.link.close("left the grid")
    settle(world)
    assert one.in_tree() == []
    assert one.warnings == []
