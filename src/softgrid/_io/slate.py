"""What an executor is running, written where its supervisor can still read it when the executor is dead or stuck.

A page of memory that the two share: writing to it costs a fraction of a microsecond, where telling somebody of each
call would cost more than the call. So the supervisor knows which call was running when its executor died, whatever it
died of, and can end an executor on condition that it still runs a certain call, also while C code holds its
interpreter.
"""

from __future__ import annotations

import mmap
import struct

_RUNNING = struct.Struct("=QQ")


class Slate:
    """Which call an executor runs, as (caller, message id)."""

    __slots__ = ("_page",)

    def __init__(self, page: mmap.mmap | bytearray | None = None) -> None:
        self._page = bytearray(_RUNNING.size) if page is None else page

    @classmethod
    def shared(cls) -> Slate:
        """Make one that this process will have in common with those it forks from now on."""
        return cls(mmap.mmap(-1, _RUNNING.size))

    def begin(self, caller: int, message_id: int) -> None:
        """A call is about to run."""
        _RUNNING.pack_into(self._page, 0, caller, message_id)

    def end(self) -> None:
        """Nothing runs any more."""
        _RUNNING.pack_into(self._page, 0, 0, 0)

    def running(self) -> tuple[int, int] | None:
        """Give what runs, or ran at last when the process is dead."""
        caller, message_id = _RUNNING.unpack_from(self._page)
        return (caller, message_id) if message_id else None

    def close(self) -> None:
        """Let go of the page."""
        if isinstance(self._page, mmap.mmap):
            self._page.close()
