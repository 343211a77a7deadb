"""How much of an executor's log may be on its way at once, so that a flood waits at its source and drowns nobody."""

from __future__ import annotations

WINDOW = 1024 * 1024
CREDIT_STEP = 128 * 1024


class LogWindow:
    """The sender's side: bytes sent that the orchestrator has not written out yet, and what had to be dropped."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._outstanding = 0
        self.dropped = 0

    @property
    def is_open(self) -> bool:
        """Whether more may be sent; a record of any size may be the one that closes the window."""
        return self._outstanding < self._window

    def sent(self, size: int) -> None:
        """Note that *size* bytes are on their way."""
        self._outstanding += size

    def credited(self, size: int) -> None:
        """Note that *size* bytes have been written out."""
        self._outstanding = max(0, self._outstanding - size)

    def drop(self, records: int = 1) -> None:
        """Note records that could not be sent."""
        self.dropped += records

    def take_dropped(self) -> int:
        """Give how many records were dropped since last asked."""
        dropped, self.dropped = self.dropped, 0
        return dropped


class LogCredit:
    """The orchestrator's side: bytes written out per origin, told back in steps."""

    def __init__(self, step: int = CREDIT_STEP) -> None:
        self._step = step
        self._written: dict[int, int] = {}

    def written(self, origin: int, size: int) -> int:
        """Note that a record was written out; gives how many bytes to credit to its origin now, mostly 0."""
        total = self._written.get(origin, 0) + size
        if total < self._step:
            self._written[origin] = total
            return 0
        self._written.pop(origin, None)
        return total

    def forget(self, origin: int) -> None:
        """The origin is gone."""
        self._written.pop(origin, None)
