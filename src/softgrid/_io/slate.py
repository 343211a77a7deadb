"""What an executor is running, written where its supervisor can still read it when the executor is dead or stuck.

A page of memory that the two share: writing to it costs a fraction of a microsecond, where telling somebody of each
call would cost more than the call. So the supervisor knows which call was running when its executor died, whatever it
died of, which calls had not begun, and can end an executor on condition that it still runs a certain call, also while
C code holds its interpreter.
"""

from __future__ import annotations

import mmap
import struct

_PAIR = struct.Struct("=QQ")
CALLERS = 8
"""Of so many callers it is known what has begun; with more, of none."""
_SIZE = _PAIR.size * (1 + CALLERS) + 1


class Slate:
    """Which call an executor runs, as (caller, message id), and the newest that has begun of each caller."""

    __slots__ = ("_newest", "_page", "_places")

    def __init__(self, page: mmap.mmap | bytearray | None = None) -> None:
        self._page = bytearray(_SIZE) if page is None else page
        self._newest: dict[int, int] = {}
        self._places: dict[int, int] = {}

    @classmethod
    def shared(cls) -> Slate:
        """Make one that this process will have in common with those it forks from now on."""
        return cls(mmap.mmap(-1, _SIZE))

    def begin(self, caller: int, message_id: int) -> None:
        """A call is about to run."""
        newest = self._newest.get(caller)
        if newest is None or newest < message_id:
            self._note_newest(caller, message_id)
        _PAIR.pack_into(self._page, 0, caller, message_id)

    def _note_newest(self, caller: int, message_id: int) -> None:
        place = self._places.get(caller, len(self._places) + 1)
        if place > CALLERS:
            self._page[_SIZE - 1] = 1
            return
        self._places[caller] = place
        _PAIR.pack_into(self._page, place * _PAIR.size, caller, message_id)
        self._newest[caller] = message_id

    def end(self) -> None:
        """Nothing runs any more."""
        _PAIR.pack_into(self._page, 0, 0, 0)

    def running(self) -> tuple[int, int] | None:
        """Give what runs, or ran at last when the process is dead."""
        caller, message_id = _PAIR.unpack_from(self._page)
        return (caller, message_id) if message_id else None

    def begun(self) -> list[tuple[int, int]] | None:
        """Give the newest call of each caller that has ever begun; None when there were too many callers to know."""
        if self._page[_SIZE - 1]:
            return None
        pairs = [_PAIR.unpack_from(self._page, place * _PAIR.size) for place in range(1, CALLERS + 1)]
        return [(caller, message_id) for caller, message_id in pairs if message_id]

    def close(self) -> None:
        """Let go of the page."""
        if isinstance(self._page, mmap.mmap):
            self._page.close()
