"""What a connection that may be cut has to remember: what was sent and is not known to have come, and what has come.

Bytes are numbered from the first one that a link ever sent, across all connections that carry it in turn. The receiver
says now and then how many have come; what it has not said is kept. After a cut each end says how many have come to it,
and the other goes on from there. What was on its way twice is dropped by its number.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from softgrid._model.errors import Undecodable

TELL_AFTER_BYTES = 1024 * 1024
"""After so many bytes their receipt is said at once, else soon, or along with whatever is sent."""


def tell_after(limit: int | None) -> int:
    """Give after how many bytes to say so where each end keeps *limit*: in time, since who keeps so many must wait."""
    return min(TELL_AFTER_BYTES, limit // 4) if limit else TELL_AFTER_BYTES


class Replay:
    """What was sent over one link and is not acknowledged; at most *limit* bytes of it (None: any number)."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.acknowledged = self.sent = 0
        self._pieces: deque[bytes | memoryview] = deque()
        self._start = 0  # number of the first byte of the first piece, which may be acknowledged in part

    def __repr__(self) -> str:
        return f"<Replay of {self.acknowledged} to {self.sent}>"

    @property
    def unacknowledged(self) -> int:
        """How many bytes are not known to have come."""
        return self.sent - self.acknowledged

    @property
    def room(self) -> int | None:
        """How many bytes more may be sent before something must be acknowledged; None when there is no limit."""
        return None if self.limit is None else max(0, self.limit - self.unacknowledged)

    def keep(self, piece: bytes | memoryview) -> None:
        """*piece*, which nobody changes any more, is being sent."""
        self._pieces.append(piece)
        self.sent += len(piece)

    def on_acknowledged(self, count: int) -> None:
        """So many bytes have come, from the first one on; raises Undecodable for more than were sent.

        Fewer than were acknowledged before are older news.
        """
        if count > self.sent:
            raise Undecodable(f"a receipt for {count} bytes where {self.sent} were sent")
        self.acknowledged = max(self.acknowledged, count)
        while self._pieces and self._start + len(self._pieces[0]) <= self.acknowledged:
            self._start += len(self._pieces.popleft())

    def since(self, count: int) -> list[bytes | memoryview]:
        """Give what is to be sent again to whom *count* bytes have come; raises Undecodable when that cannot be."""
        self.on_acknowledged(count)
        if count < self.acknowledged:
            raise Undecodable(f"only {count} bytes have come where {self.acknowledged} were acknowledged")
        if not self._pieces:
            return []
        first = memoryview(self._pieces[0])[count - self._start :]
        return [first, *islice(self._pieces, 1, None)]


class Received:
    """How much has come over one link, and what of it was said."""

    def __init__(self) -> None:
        self.count = 0
        self._told = 0
        self._next = 0  # number of the next byte that the present connection brings

    def __repr__(self) -> str:
        return f"<Received {self.count}, {self._told} told>"

    def begin_at(self, number: int) -> None:
        """A new connection brings what follows from byte *number* on; raises Undecodable when something is missing."""
        if not 0 <= number <= self.count:
            raise Undecodable(f"it goes on at byte {number} where {self.count} have come")
        self._next = number

    def take(self, size: int) -> int:
        """So many bytes have come over the connection; gives how many of them, the first, had come before."""
        doubles = min(size, self.count - self._next)
        self._next += size
        self.count += size - doubles
        return doubles

    def owed(self, kept: int = 0) -> int:
        """How many bytes are there to be acknowledged, not counting *kept* ones that nobody has taken yet."""
        return self.count - kept - self._told

    def tell(self, kept: int = 0) -> int:
        """Give how many have come, for the other end, which knows from now on."""
        self._told = self.count - kept
        return self._told
