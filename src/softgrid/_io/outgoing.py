"""What goes out over a connection: written at once as far as it is taken, kept in order as far as it is not.

The connection may be cut, and another one go on where it was: all is kept as well until the other end has said that it
came (``_wire.replay``). Its owner sees to it that only one thread is in here at a time.
"""

from __future__ import annotations

import os
from collections import deque
from time import monotonic
from typing import Any

from softgrid._wire.replay import Replay

PIECES_AT_ONCE = 64
UNTOLD_LIMIT = 16 * 1024 * 1024
"""So much may be on its way without a receipt, until it is said how much."""
UNLIMITED = 1 << 40


class Outgoing:
    """The writing end of a connection. It writes nothing before ``begun``; what is put before waits in line."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._kept: deque[Any] = deque()
        self.begun = False
        self.is_attached = True
        self.replay: Replay | None = Replay(UNTOLD_LIMIT)
        """What was put and is not acknowledged; None where a cut is the end."""
        self.waits_since = monotonic()

    @property
    def room(self) -> int:
        """How much more may be put; what must be put goes beyond it."""
        room = self.replay.room if self.replay is not None else None
        return UNLIMITED if room is None else room

    @property
    def is_clear(self) -> bool:
        """Whether something may be written at once."""
        return self._may_write and self.room > 0

    @property
    def _may_write(self) -> bool:
        return self.begun and self.is_attached and not self._kept

    @property
    def waits(self) -> bool:
        """Whether there is something to be written when the connection takes more."""
        return self.begun and self.is_attached and bool(self._kept)

    def put(self, pieces: list[Any]) -> None:
        """Write now what the connection takes, keep the rest."""
        if self.replay is not None:
            pieces = [b"".join(pieces)]
            if not self.replay.unacknowledged:
                self.waits_since = monotonic()
            self.replay.keep(pieces[0])
            if not self.is_attached:
                return
        sent = self._write(pieces) if self._may_write else 0
        for piece in pieces:
            if sent < len(piece):
                rest = memoryview(piece)[sent:] if sent else piece
                self._kept.append(rest if isinstance(piece, bytes) else bytes(rest))
            sent = max(0, sent - len(piece))

    def on_acknowledged(self, count: int) -> None:
        """So many bytes have come at the other end; raises Undecodable for more than were put."""
        if self.replay is not None:
            self.replay.on_acknowledged(count)
            self.waits_since = monotonic()

    def detach(self) -> None:
        """The connection is there no more."""
        self.is_attached = False
        self._kept.clear()

    def go_on(self, fd: int, count: int) -> None:
        """There is another, at whose end *count* bytes have come; raises Undecodable when that cannot be."""
        assert self.replay is not None
        again = self.replay.since(count)
        os.set_blocking(fd, False)
        self._fd = fd
        self._kept.extend(again)
        self.is_attached = True
        self.waits_since = monotonic()

    def flush(self) -> bool:
        """Write of what is kept as much as is taken; whether that was all."""
        while self._kept and self.is_attached:
            sent = self._write([self._kept[index] for index in range(min(PIECES_AT_ONCE, len(self._kept)))])
            if not sent:
                return not self._kept
            while sent and self._kept:
                piece = self._kept[0]
                if sent < len(piece):
                    self._kept[0] = memoryview(piece)[sent:]
                    break
                sent -= len(piece)
                self._kept.popleft()
        return True

    def clear(self) -> None:
        """Drop what is kept."""
        self._kept.clear()

    def _write(self, pieces: list[Any]) -> int:
        try:
            return os.writev(self._fd, pieces)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # the other end is gone: reading will say so, after what it had still sent
            self._kept.clear()
            return sum(map(len, pieces))
