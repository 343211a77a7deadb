"""What goes out over a connection: written at once as far as it is taken, kept in order as far as it is not.

Its owner sees to it that only one thread is in here at a time.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Any

PIECES_AT_ONCE = 64


class Outgoing:
    """The writing end of a connection. It writes nothing before ``begun``; what is put before waits in line."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._kept: deque[Any] = deque()
        self.begun = False

    @property
    def is_clear(self) -> bool:
        """Whether something may be written at once."""
        return self.begun and not self._kept

    @property
    def waits(self) -> bool:
        """Whether there is something to be written when the connection takes more."""
        return self.begun and bool(self._kept)

    def put(self, pieces: list[Any]) -> None:
        """Write now what the connection takes, keep the rest."""
        sent = self._write(pieces) if self.is_clear else 0
        for piece in pieces:
            if sent < len(piece):
                self._kept.append(bytes(memoryview(piece)[sent:]) if sent or not isinstance(piece, bytes) else piece)
            sent = max(0, sent - len(piece))

    def flush(self) -> bool:
        """Write of what is kept as much as is taken; whether that was all."""
        while self._kept:
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
