"""Receipts: what has come is room again, in order, however long it stays unanswered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._state.receipts import BULK_FROM, STEP_BYTES, Receipts, ReceiptWindows, sizes
from softgrid._state.windows import BULK_BYTES, QUEUED_BYTES


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, (0, 0)), (1, (1, 0)), (BULK_FROM, (BULK_FROM, 0)), (BULK_FROM + 1, (0, BULK_FROM + 1))],
)
def test_a_message_counts_as_queued_or_as_bulk(size: int, expected: tuple[int, int]) -> None:
    assert sizes(size) == expected


class Conversation:
    """A sender and a receiver with a wire between them that holds what is under way."""

    def __init__(self) -> None:
        self.windows: ReceiptWindows[tuple[int, int]] = ReceiptWindows()
        self.receipts = Receipts()
        self.wire: list[tuple[int, int]] = []
        self.came: list[int] = []
        self.count = 0

    def send(self, size: int) -> None:
        self.count += 1
        if self.windows.admit(1, 0, *sizes(size)):
            self.wire.append((self.count, size))
        else:
            self.windows.defer(1, 0, *sizes(size), (self.count, size))

    def deliver(self) -> None:
        number, size = self.wire.pop(0)
        self.came.append(number)
        receipt = self.receipts.note(2, size)
        if receipt is not None:
            self.wire += self.windows.received(1, *receipt)

    def under_way(self) -> tuple[int, int]:
        found = [sizes(size) for _, size in self.wire]
        return sum(queued for queued, _ in found), sum(bulk for _, bulk in found)


SIZES = st.one_of(st.integers(0, 2000), st.integers(0, 3 * BULK_FROM), st.integers(0, BULK_BYTES + 5))


@PROPERTY
@given(st.lists(st.tuples(SIZES, st.integers(0, 3)), max_size=300))
def test_everything_comes_in_order_and_only_so_much_is_ever_under_way(steps: list[tuple[int, int]]) -> None:
    talk = Conversation()
    for size, deliveries in steps:
        talk.send(size)
        for _ in range(min(deliveries, len(talk.wire))):
            talk.deliver()
        queued, bulk = talk.under_way()
        assert queued <= QUEUED_BYTES
        largest = max((size for _, size in talk.wire), default=0)
        assert bulk <= max(BULK_BYTES, largest)
    while talk.wire:
        talk.deliver()
    assert talk.came == list(range(1, len(steps) + 1))
    assert talk.windows.waiting() == 0


def test_small_messages_are_receipted_by_the_step_and_bulk_at_once() -> None:
    receipts = Receipts()
    assert receipts.note(1, STEP_BYTES - 1) is None
    assert receipts.note(2, 1) is None
    assert receipts.note(1, 1) == (STEP_BYTES, 0)
    assert receipts.note(1, 1) is None
    assert receipts.note(1, 1_000_000) == (1, 1_000_000)


def test_what_a_gone_sender_sent_is_forgotten() -> None:
    receipts = Receipts()
    receipts.note(1, STEP_BYTES - 1)
    receipts.forget(1)
    receipts.forget(3)
    assert receipts.note(1, 1) is None


def test_too_large_a_receipt_does_no_harm_and_one_from_a_stranger_none() -> None:
    windows: ReceiptWindows[int] = ReceiptWindows()
    assert windows.received(9, 5, 5) == []
    assert windows.admit(1, 0, 10, 0)
    assert windows.received(1, 10**12, 10**12) == []
    assert windows.admit(1, 0, QUEUED_BYTES, 0)
    assert not windows.admit(1, 0, 1, 0)


def test_what_waits_for_a_gone_receiver_is_given_back_and_only_that() -> None:
    windows: ReceiptWindows[str] = ReceiptWindows()
    for target in (1, 2):
        assert windows.admit(target, 0, QUEUED_BYTES, 0)
        windows.defer(target, 0, 1, 0, f"for {target}")
    assert windows.forget(1) == ["for 1"]
    assert windows.forget(1) == []
    assert windows.received(2, QUEUED_BYTES, 0) == ["for 2"]
