"""Room for messages that may stay unanswered for long, or for ever: receipts are their credit, not answers.

A receiver says now and then how much has come. What has come is no burden to any relay any more, whatever its receiver
does with it, so that any number of requests can stand unanswered at one responder, and still only so much is ever
under way to it.
"""

from __future__ import annotations

from typing import TypeVar

from softgrid._state.windows import SendWindows, _Window

Item = TypeVar("Item")

BULK_FROM = 64 * 1024
"""Messages larger than this are bulk: they go beside the queues of relays, and each has a receipt of its own."""
STEP_BYTES = 64 * 1024
"""Of smaller ones receipts are given by so many bytes."""


def sizes(size: int) -> tuple[int, int]:
    """Give how many bytes of a message of that size count as queued, and how many as bulk."""
    return (0, size) if size > BULK_FROM else (size, 0)


class ReceiptWindows(SendWindows[Item]):
    """The sender's side. What waits is in order, and message ids do not matter."""

    def admit(self, target: int, message_id: int, queued: int, bulk: int) -> bool:
        """Whether a message may be sent now, which books it; otherwise it is to be deferred."""
        window = self._windows.get(target)
        if window is None or window.backlog or bulk or window.queued + queued > self._queued_bytes:
            return super().admit(target, message_id, queued, bulk)
        window.queued += queued  # most messages are small and find room
        return True

    def _book(self, window: _Window[Item], message_id: int, queued: int, bulk: int) -> None:
        window.queued += queued
        window.bulk += bulk

    def received(self, target: int, queued: int, bulk: int) -> list[Item]:
        """So much has come at a receiver: gives what may be sent now because of it."""
        window = self._windows.get(target)
        if window is None:
            return []
        window.queued = max(0, window.queued - queued)
        window.bulk = max(0, window.bulk - bulk)
        return self._take_fitting(window)


class Receipts:
    """The receiver's side: what has come from each sender and was not told yet."""

    def __init__(self, step_bytes: int = STEP_BYTES) -> None:
        self._step_bytes = step_bytes
        self._untold: dict[int, int] = {}

    def note(self, source: int, size: int) -> tuple[int, int] | None:
        """Note that a message has come; gives what to tell its sender now (bytes queued, bulk), mostly nothing."""
        untold = self._untold.get(source, 0)
        if untold + size < self._step_bytes:
            self._untold[source] = untold + size
            return None
        queued, bulk = sizes(size)
        self._untold.pop(source, None)
        return untold + queued, bulk

    def forget(self, source: int) -> None:
        """The sender is gone."""
        self._untold.pop(source, None)
