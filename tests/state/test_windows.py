"""Send windows: a bound on what is on its way to one executor, in order, and nobody else waits for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._state.windows import BULK_BYTES, QUEUED_BYTES, SendWindows


class Sender:
    """Sends calls as the windows let it, and keeps account of what it sent and what waits."""

    def __init__(self, queued_bytes: int = 100, bulk_bytes: int = 1000) -> None:
        self.windows: SendWindows[int] = SendWindows(queued_bytes, bulk_bytes)
        self.sent: list[int] = []
        self.ids = 0

    def send(self, target: int, queued: int, bulk: int = 0) -> int:
        self.ids += 1
        if self.windows.admit(target, self.ids, queued, bulk):
            self.sent.append(self.ids)
        else:
            self.windows.defer(target, self.ids, queued, bulk, self.ids)
        return self.ids

    def answer(self, message_id: int) -> list[int]:
        ready = self.windows.credit(message_id)
        self.sent += ready
        return ready


def test_as_much_is_sent_as_fits_and_the_rest_waits() -> None:
    sender = Sender()
    first, second, third = sender.send(1, 60), sender.send(1, 40), sender.send(1, 1)
    assert sender.sent == [first, second]
    assert sender.windows.waiting() == 1
    assert sender.answer(second) == [third]
    assert sender.windows.waiting() == 0


@pytest.mark.parametrize(("queued", "bulk"), [(10_000, 0), (0, 10_000), (10_000, 10_000)])
def test_one_call_always_fits_however_large_it_is(queued: int, bulk: int) -> None:
    sender = Sender()
    first = sender.send(1, queued, bulk)
    assert sender.sent == [first]
    second = sender.send(1, queued, bulk)
    assert sender.sent == [first]
    assert sender.answer(first) == [second]


def test_the_two_bounds_are_counted_apart() -> None:
    sender = Sender()
    sender.send(1, 90, 10)
    sender.send(1, 5, 990)
    assert len(sender.sent) == 2
    sender.send(1, 1, 1)
    assert len(sender.sent) == 2


def test_what_came_later_does_not_overtake_what_waits() -> None:
    sender = Sender()
    first = sender.send(1, 90)
    large, small = sender.send(1, 50), sender.send(1, 1)
    assert sender.sent == [first]
    assert sender.answer(first) == [large, small]


def test_only_what_goes_to_the_same_executor_waits() -> None:
    sender = Sender()
    sender.send(1, 100)
    sender.send(1, 100)
    other = sender.send(2, 100)
    assert sender.sent[-1] == other
    assert sender.windows.waiting() == 1


@pytest.mark.parametrize("message_id", [99, 2])
def test_credit_for_what_was_not_sent_changes_nothing(message_id: int) -> None:
    sender = Sender()
    sender.send(1, 100)
    sender.send(1, 100)
    assert sender.answer(message_id) == []
    assert sender.windows.waiting() == 1


def test_credit_is_given_once() -> None:
    sender = Sender()
    first = sender.send(1, 100)
    for _ in range(3):
        sender.send(1, 100)
    assert len(sender.answer(first)) == 1
    assert sender.answer(first) == []


def test_what_waits_for_an_executor_that_is_gone_is_given_back() -> None:
    sender = Sender()
    first = sender.send(1, 100)
    waiting = [sender.send(1, 100), sender.send(1, 1)]
    other = sender.send(2, 100)
    sender.send(2, 100)
    assert sender.windows.forget(1) == waiting
    assert sender.windows.forget(1) == []
    assert sender.answer(first) == []
    assert sender.windows.waiting() == 1
    assert len(sender.answer(other)) == 1


def test_an_executor_that_comes_back_starts_with_an_open_window() -> None:
    sender = Sender()
    sender.send(1, 100)
    sender.windows.forget(1)
    assert sender.send(1, 100) in sender.sent


def test_the_bounds_are_what_relays_can_bear() -> None:
    assert QUEUED_BYTES <= 1 << 20
    assert QUEUED_BYTES < BULK_BYTES


@PROPERTY
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 150), st.integers(0, 1500), st.booleans()),
        max_size=40,
    )
)
def test_everything_is_sent_in_order_and_the_bounds_hold(steps) -> None:
    sender = Sender()
    given_to: dict[int, list[int]] = {0: [], 1: [], 2: []}
    sizes: dict[int, tuple[int, int, int]] = {}
    open_ids: set[int] = set()
    for target, queued, bulk, answers in steps:
        message_id = sender.send(target, queued, bulk)
        given_to[target].append(message_id)
        sizes[message_id] = (target, queued, bulk)
        open_ids = set(sender.sent) - (set(sizes) - set(sizes) & set(sender.sent)) - _answered(sender)
        if answers and open_ids:
            oldest = min(open_ids)
            _answered(sender).add(oldest)
            sender.answer(oldest)
        for each in range(3):
            under_way = [sizes[i] for i in sender.sent if i not in _answered(sender) and sizes[i][0] == each]
            assert len(under_way) == 1 or sum(size[1] for size in under_way) <= max(
                100, max((size[1] for size in under_way), default=0)
            )
    while left := [i for i in sender.sent if i not in _answered(sender)]:
        _answered(sender).add(left[0])
        sender.answer(left[0])
    for target, ids in given_to.items():
        assert [i for i in sender.sent if sizes[i][0] == target] == ids
    assert sender.windows.waiting() == 0


def _answered(sender: Sender) -> set[int]:
    found: set[int] = sender.__dict__.setdefault("answered", set())
    return found


def test_what_waits_can_be_taken_back_and_what_has_left_cannot() -> None:
    windows: SendWindows[str] = SendWindows(queued_bytes=10, bulk_bytes=10)
    assert windows.admit(1, 100, 10, 0)
    for message_id in (101, 102):
        assert not windows.admit(1, message_id, 10, 0)
        windows.defer(1, message_id, 10, 0, f"item {message_id}")
    assert windows.withdraw(1, 101) == "item 101"
    assert windows.withdraw(1, 101) is None
    assert windows.withdraw(1, 100) is None
    assert windows.withdraw(2, 102) is None
    assert windows.credit(100) == ["item 102"]
