"""How much may be on its way to one executor before it has answered: a bound on memory at every hop.

Every call is answered, so an answer is the credit for what it answers. What does not fit waits at its source, in
order, and only what goes to that executor waits. The small bound is for what stands in the queues of relays; the
large one for payloads beside the queues, in shared memory.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")

QUEUED_BYTES = 512 * 1024
BULK_BYTES = 256 * 1024 * 1024


class _Window(Generic[Item]):
    __slots__ = ("backlog", "bulk", "queued")

    def __init__(self) -> None:
        self.queued = 0
        self.bulk = 0
        self.backlog: deque[tuple[int, int, int, Item]] = deque()


class SendWindows(Generic[Item]):
    """The windows of one sender towards all its receivers."""

    def __init__(self, queued_bytes: int = QUEUED_BYTES, bulk_bytes: int = BULK_BYTES) -> None:
        self._queued_bytes = queued_bytes
        self._bulk_bytes = bulk_bytes
        self._windows: dict[int, _Window[Item]] = {}
        self._sent: dict[int, tuple[_Window[Item], int, int]] = {}

    def admit(self, target: int, message_id: int, queued: int, bulk: int) -> bool:
        """Whether a call may be sent now, which books it; otherwise it is to be deferred. One call always fits."""
        window = self._windows.get(target)
        if window is None:
            window = self._windows[target] = _Window()
        if window.backlog or not self._fits(window, queued, bulk):
            return False
        self._book(window, message_id, queued, bulk)
        return True

    def defer(self, target: int, message_id: int, queued: int, bulk: int, item: Item) -> None:
        """Keep *item* until there is room for it."""
        self._windows[target].backlog.append((message_id, queued, bulk, item))

    def _fits(self, window: _Window[Item], queued: int, bulk: int) -> bool:
        return (not window.queued or window.queued + queued <= self._queued_bytes) and (
            not window.bulk or window.bulk + bulk <= self._bulk_bytes
        )

    def _book(self, window: _Window[Item], message_id: int, queued: int, bulk: int) -> None:
        window.queued += queued
        window.bulk += bulk
        self._sent[message_id] = (window, queued, bulk)

    def credit(self, message_id: int) -> list[Item]:
        """A call was answered or will never be: gives what may be sent now because of it."""
        booked = self._sent.pop(message_id, None)
        if booked is None:
            return []
        window, queued, bulk = booked
        window.queued -= queued
        window.bulk -= bulk
        return self._take_fitting(window)

    def _take_fitting(self, window: _Window[Item]) -> list[Item]:
        if not window.backlog:
            return []
        ready = []
        while window.backlog and self._fits(window, *window.backlog[0][1:3]):
            waiting_id, queued, bulk, item = window.backlog.popleft()
            self._book(window, waiting_id, queued, bulk)
            ready.append(item)
        return ready

    def forget(self, target: int) -> list[Item]:
        """The executor is gone: gives what was still waiting for it."""
        window = self._windows.pop(target, None)
        if window is None:
            return []
        for message_id in [mid for mid, booked in self._sent.items() if booked[0] is window]:
            del self._sent[message_id]
        return [waiting[3] for waiting in window.backlog]

    def withdraw(self, target: int, message_id: int) -> Item | None:
        """Give what was kept of a call that waits here, and keep it no longer; None when it does not wait."""
        window = self._windows.get(target)
        if window is not None:
            for waiting in window.backlog:
                if waiting[0] == message_id:
                    window.backlog.remove(waiting)
                    return waiting[3]
        return None

    def waiting(self) -> int:
        """How many calls wait at their source."""
        return sum(len(window.backlog) for window in self._windows.values())
