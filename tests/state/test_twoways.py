"""What goes over a bridge and what through the tree: in order, each once, whatever breaks and whenever."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import Undecodable
from softgrid._state.twoways import (
    TELL_AFTER_BYTES,
    TELL_AFTER_MESSAGES,
    Arrived,
    Confirm,
    Send,
    TwoWays,
    Way,
)

BRIDGE, TREE = Way.BRIDGE, Way.TREE


def opened() -> TwoWays[str]:
    """A bridge that is in use: what was on its way through the tree has arrived."""
    ways: TwoWays[str] = TwoWays()
    assert ways.on_open() == [Confirm(TREE)]
    assert ways.on_confirmed() == []
    return ways


def over_bridge(ways: TwoWays[str], *items: str) -> None:
    for item in items:
        assert ways.on_send(item, True) == [Send(BRIDGE, item)]


# -- the first message ----------------------------------------------------------------------------


def test_nothing_goes_over_a_new_bridge_before_what_is_in_the_tree_has_arrived() -> None:
    ways: TwoWays[str] = TwoWays()
    assert ways.on_open() == [Confirm(TREE)]
    assert not ways.is_free
    assert ways.on_send("a", True) == []
    assert ways.on_send("b", True) == []
    assert ways.on_confirmed() == [Send(BRIDGE, "a"), Send(BRIDGE, "b")]
    assert list(ways.kept) == ["a", "b"]
    assert ways.is_free


def test_what_is_sent_before_the_bridge_is_open_waits_for_that() -> None:
    ways: TwoWays[str] = TwoWays()
    for item, may_bridge in (("a", True), ("b", False)):
        assert ways.on_send(item, may_bridge) == []
    assert ways.on_open() == [Confirm(TREE)]
    assert ways.on_open() == []
    assert ways.on_confirmed() == [Send(BRIDGE, "a"), Confirm(BRIDGE)]
    assert ways.on_counted(1) == [Arrived(["a"]), Send(TREE, "b")]


def test_a_bridge_that_is_over_before_it_is_open_is_not_opened() -> None:
    ways: TwoWays[str] = TwoWays()
    ways.on_send("a", True)
    ways.on_over()
    assert ways.on_open() == []
    assert ways.on_settled(0) == [Arrived([]), Send(TREE, "a")]


def test_what_may_not_take_a_new_bridge_takes_the_tree_at_once_and_is_waited_for() -> None:
    ways = opened()
    assert ways.on_send("a", False) == [Send(TREE, "a")]
    assert not ways.is_free
    assert ways.on_send("b", True) == [Confirm(TREE)]
    assert ways.on_send("c", True) == []
    assert ways.on_confirmed() == [Send(BRIDGE, "b"), Send(BRIDGE, "c")]


def test_a_free_bridge_takes_what_comes_without_asking() -> None:
    ways = opened()
    assert ways.is_free
    over_bridge(ways, "a", "b")
    assert ways.is_free
    assert list(ways.kept) == ["a", "b"]


# -- taking the other way -------------------------------------------------------------------------


def test_the_tree_is_taken_when_the_other_end_has_all_that_went_over_the_bridge() -> None:
    ways = opened()
    over_bridge(ways, "a", "b")
    assert ways.on_send("c", False) == [Confirm(BRIDGE)]
    assert not ways.is_free
    assert ways.on_send("d", False) == []
    assert ways.on_counted(1) == [Arrived(["a"])]
    assert ways.on_counted(2) == [Arrived(["b"]), Send(TREE, "c"), Send(TREE, "d")]
    assert not ways.is_free


def test_with_nothing_on_its_way_the_tree_is_taken_at_once() -> None:
    ways = opened()
    over_bridge(ways, "a")
    assert ways.on_counted(1) == [Arrived(["a"])]
    assert ways.on_send("b", False) == [Send(TREE, "b")]


def test_there_and_back_again_each_change_waits_for_the_one_before() -> None:
    ways = opened()
    over_bridge(ways, "a")
    assert ways.on_send("b", False) == [Confirm(BRIDGE)]
    assert ways.on_send("c", True) == []
    assert ways.on_send("d", False) == []
    assert ways.on_counted(1) == [Arrived(["a"]), Send(TREE, "b"), Confirm(TREE)]
    assert ways.on_confirmed() == [Send(BRIDGE, "c"), Confirm(BRIDGE)]
    assert ways.on_counted(2) == [Arrived(["c"]), Send(TREE, "d")]


def test_what_takes_the_tree_behind_a_question_is_not_covered_by_its_answer() -> None:
    ways: TwoWays[str] = TwoWays()
    ways.on_open()
    assert ways.on_send("a", False) == [Send(TREE, "a")]
    assert ways.on_send("b", True) == []
    assert ways.on_confirmed() == [Confirm(TREE)]
    assert ways.on_confirmed() == [Send(BRIDGE, "b")]


def test_what_slipped_into_the_tree_unseen_is_waited_for() -> None:
    ways = opened()
    ways.on_sent_through_tree()
    assert not ways.is_free
    assert ways.on_send("a", True) == [Confirm(TREE)]
    ways.on_sent_through_tree()  # behind the question, which says nothing about it
    assert ways.on_confirmed() == [Confirm(TREE)]
    assert ways.on_confirmed() == [Send(BRIDGE, "a")]


# -- what has arrived -----------------------------------------------------------------------------


def test_what_the_other_end_counted_is_kept_no_longer() -> None:
    ways = opened()
    over_bridge(ways, *"abc")
    assert ways.on_counted(2) == [Arrived(["a", "b"])]
    assert list(ways.kept) == ["c"]
    assert ways.on_counted(2) == [Arrived([])]


@pytest.mark.parametrize("count", [-1, 1, 4])
def test_a_count_of_what_was_never_sent_is_not_believed(count: int) -> None:
    ways = opened()
    over_bridge(ways, *"abc")
    ways.on_counted(2)
    with pytest.raises(Undecodable):
        ways.on_counted(count)
    assert list(ways.kept) == ["c"]


def test_the_other_end_is_told_after_so_many_messages() -> None:
    ways = opened()
    due = [ways.on_received(1) for _ in range(TELL_AFTER_MESSAGES)]
    assert due == [False] * (TELL_AFTER_MESSAGES - 1) + [True]
    assert ways.tell() == TELL_AFTER_MESSAGES
    assert ways.on_received(1) is False


def test_the_other_end_is_told_at_once_of_something_large() -> None:
    ways = opened()
    assert ways.on_received(TELL_AFTER_BYTES) is False
    assert ways.on_received(1) is True
    assert ways.tell() == 2
    assert ways.on_received(TELL_AFTER_BYTES + 1) is True
    ways.tell()
    assert ways.on_received(1) is False


# -- the end --------------------------------------------------------------------------------------


def test_when_the_bridge_is_over_everything_waits_until_it_is_known_what_arrived() -> None:
    ways = opened()
    over_bridge(ways, *"abc")
    ways.on_over()
    assert not ways.is_free
    assert ways.on_send("d", True) == []
    assert ways.on_send("e", False) == []
    assert ways.on_confirmed() == []
    assert ways.on_counted(1) == [Arrived(["a"])]
    assert ways.on_settled(2) == [Arrived(["b"]), Send(TREE, "c"), Send(TREE, "d"), Send(TREE, "e")]
    assert ways.is_settled


def test_after_the_end_everything_takes_the_tree() -> None:
    ways = opened()
    ways.on_over()
    ways.on_settled(0)
    assert ways.on_send("a", True) == [Send(TREE, "a")]
    assert ways.on_send("b", False) == [Send(TREE, "b")]
    assert ways.on_settled(1) == []
    assert not ways.kept


def test_a_bridge_that_ends_before_it_was_used_gives_up_what_waited_for_it() -> None:
    ways: TwoWays[str] = TwoWays()
    ways.on_open()
    ways.on_send("a", True)
    ways.on_over()
    assert ways.on_settled(0) == [Arrived([]), Send(TREE, "a")]


@pytest.mark.parametrize(("count", "rest"), [(-5, "bcd"), (0, "bcd"), (99, "d")])
def test_a_last_count_that_cannot_be_is_taken_as_far_as_it_can(count: int, rest: str) -> None:
    ways = opened()
    over_bridge(ways, *"abc")
    ways.on_counted(1)
    ways.on_over()
    ways.on_send("d", True)
    sent = [effect.item for effect in ways.on_settled(count) if isinstance(effect, Send)]
    assert sent == list(rest)


def test_nothing_is_sent_to_who_is_gone_and_nobody_waits_for_it() -> None:
    ways = opened()
    over_bridge(ways, "a")
    ways.on_send("b", False)
    assert ways.on_gone() == [Arrived(["a", "b"])]
    assert ways.is_gone
    assert ways.is_settled
    assert ways.on_send("c", True) == [Arrived(["c"])]
    assert ways.on_settled(1) == []


# -- two ends, four channels, any order of events -------------------------------------------------


class End:
    """One end as `softgrid._node` makes it of the rules, over channels that the test empties as it likes."""

    def __init__(self) -> None:
        self.ways: TwoWays[int] = TwoWays()
        self.bridge: deque[Any] = deque()
        self.tree: deque[Any] = deque()
        self.got: list[int] = []
        self.is_closed = False

    def perform(self, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                self.channel(effect.way).append(("item", effect.item))
            elif isinstance(effect, Confirm):
                self.channel(effect.way).append(("count" if effect.way is BRIDGE else "arrived?", None))

    def channel(self, way: Way) -> deque[Any]:
        return self.bridge if way is BRIDGE else self.tree

    def send(self, item: int, may_bridge: bool) -> None:
        if may_bridge and self.ways.is_free:
            self.ways.kept.append(item)
            self.bridge.append(("item", item))
        else:
            self.perform(self.ways.on_send(item, may_bridge))

    def send_late(self, item: int) -> None:
        self.tree.append(("item", item))
        self.ways.on_sent_through_tree()

    def notice(self) -> None:
        """See that the connection is over."""
        if not self.is_closed:
            self.close()
            self.tree.append(("over?", self.ways.received))

    def close(self) -> None:
        self.is_closed = True
        self.ways.on_over()
        self.bridge.clear()

    def take(self, way: Way, kind: str, value: Any) -> None:
        if way is BRIDGE:
            self.take_from_bridge(kind, value)
        elif kind == "item":
            self.got.append(value)
        elif kind == "arrived?":
            self.tree.append(("arrived!", None))
        elif kind == "arrived!":
            self.perform(self.ways.on_confirmed())
        elif kind == "over?":
            self.close()
            self.tree.append(("over!", self.ways.received))
            self.perform(self.ways.on_settled(value))
        else:
            self.perform(self.ways.on_settled(value))

    def take_from_bridge(self, kind: str, value: Any) -> None:
        if self.is_closed:
            return
        if kind == "item":
            self.got.append(value)
            if self.ways.on_received(TELL_AFTER_BYTES // 2):
                self.bridge.append(("counted", self.ways.tell()))
        elif kind == "count":
            self.bridge.append(("counted", self.ways.tell()))
        else:
            self.perform(self.ways.on_counted(value))


class World:
    def __init__(self) -> None:
        self.a, self.b = End(), End()
        self.sent: dict[End, list[int]] = {self.a: [], self.b: []}
        self.late: dict[End, list[tuple[int, int]]] = {self.a: [], self.b: []}
        for end in (self.a, self.b):
            end.perform(end.ways.on_open())
        self.count = 0

    def step(self, what: str, which: bool) -> None:
        end, other = (self.a, self.b) if which else (self.b, self.a)
        if what in ("bridge", "tree", "late"):
            self.count += 1
            if what == "late":
                self.late[end].append((self.count, len(self.sent[end])))
                end.send_late(self.count)
            else:
                self.sent[end].append(self.count)
                end.send(self.count, what == "bridge")
        elif what.startswith("take"):
            way = BRIDGE if what == "take bridge" else TREE
            if end.channel(way):
                other.take(way, *end.channel(way).popleft())
        elif what == "break":
            self.a.bridge.clear()
            self.b.bridge.clear()
            end.notice()
        else:
            end.notice()

    def drain(self) -> None:
        while any((self.a.bridge, self.b.bridge, self.a.tree, self.b.tree)):
            for what in ("take bridge", "take tree"):
                for which in (True, False):
                    self.step(what, which)
            if self.a.is_closed != self.b.is_closed:
                (self.b if self.a.is_closed else self.a).notice()

    def check(self) -> None:
        for end, other in ((self.a, self.b), (self.b, self.a)):
            late = {item for item, _ in self.late[end]}
            assert [item for item in other.got if item not in late] == self.sent[end]
            assert sorted(other.got) == sorted([*self.sent[end], *late])
            for item, before in self.late[end]:
                after = self.sent[end][before:]
                assert not after or other.got.index(item) < other.got.index(after[0])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["bridge"] * 4 + ["tree", "late", "take bridge", "take bridge", "take tree", "take tree"]),
        st.booleans(),
    ),
    max_size=60,
)


@PROPERTY
@given(STEPS, st.one_of(st.none(), st.tuples(st.booleans(), STEPS)))
def test_whatever_happens_everything_arrives_once_and_in_order(steps, broken) -> None:
    world = World()
    for step in steps:
        world.step(*step)
    if broken is not None:
        noticed_by, more = broken
        world.step("break", noticed_by)
        for step in more:
            world.step(*step)
        world.step("notice", not noticed_by)
    world.drain()
    world.check()
