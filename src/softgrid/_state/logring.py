"""Log records that wait to be written out: so many bytes of them, then the oldest make room and are counted."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, NamedTuple, TypeVar

Record = TypeVar("Record")


class Kept(NamedTuple):
    """A record that waits; *origin* is who waits for its room, if anybody does."""

    record: Any
    origin: int | None
    size: int


class LogRing(Generic[Record]):
    """What waits to be written, oldest first. A record of any size may be the only one.

    >>> ring = LogRing(max_bytes=10)
    >>> [kept.record for record in 'abc' for kept in ring.put(record, None, 6)]
    ['a', 'b']
    >>> ring.take_dropped(), ring.take().record, ring.take()
    (2, 'c', None)
    """

    def __init__(self, max_bytes: int | None) -> None:
        self.max_bytes = max_bytes
        self._kept: deque[Kept] = deque()
        self._bytes = 0
        self._dropped = 0

    def put(self, record: Record, origin: int | None, size: int) -> list[Kept]:
        """Keep a record until it is taken; gives those that had to make room."""
        self._kept.append(Kept(record, origin, size))
        self._bytes += size
        dropped: list[Kept] = []
        while self.max_bytes is not None and self._bytes > self.max_bytes and len(self._kept) > 1:
            dropped.append(self._take_oldest())
        self._dropped += len(dropped)
        return dropped

    def take(self) -> Kept | None:
        """Give the oldest record, or None when there is none."""
        return self._take_oldest() if self._kept else None

    def _take_oldest(self) -> Kept:
        oldest = self._kept.popleft()
        self._bytes -= oldest.size
        return oldest

    def take_dropped(self) -> int:
        """Give how many records were dropped since last asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def __len__(self) -> int:
        return len(self._kept)
