"""What user code prints in an executor becomes log records: whole lines, gathered for a moment, never lost silently."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

from softgrid._io.reactor import Reactor

GATHER_S = 0.02
UNFINISHED_LINE_S = 0.5
MAX_RECORD = 32 * 1024


class RelayedStream(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``."""

    def __init__(
        self,
        log_type: str,
        reactor: Reactor,
        record: Callable[[str, str], None],
        has_room: Callable[[], bool],
        descriptor: int,
    ) -> None:
        super().__init__()
        self._log_type = log_type
        self._has_room = has_room
        self._reactor = reactor
        self._record = record
        self._descriptor = descriptor
        self._lock = threading.RLock()
        self._gathered: list[str] = []
        self._size = 0
        self._timer_runs = False

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._lock:
            self._gathered.append(text)
            self._size += len(text)
            if self._size >= MAX_RECORD:
                self._emit(whole_lines=True)
            elif not self._timer_runs:
                self._timer_runs = True
                self._reactor.call_later(GATHER_S, self._on_timer)
        return len(text)

    def _on_timer(self) -> None:
        # The thread that holds the reactor's turn must wait neither for the printing thread nor for room.
        if not self._has_room() or not self._lock.acquire(blocking=False):
            self._reactor.call_later(GATHER_S, self._on_timer)
            return
        try:
            self._timer_runs = False
            self._emit(whole_lines=True)
            if self._gathered:
                self._reactor.call_later(UNFINISHED_LINE_S, self._on_unfinished_line)
        finally:
            self._lock.release()

    def _on_unfinished_line(self) -> None:
        if not self._has_room() or not self._lock.acquire(blocking=False):
            self._reactor.call_later(GATHER_S, self._on_unfinished_line)
            return
        try:
            self._emit(whole_lines=False)
        finally:
            self._lock.release()

    def flush(self) -> None:
        """Pass on what has been printed so far, as long as that needs no waiting."""
        if self._has_room():
            self.flush_record()

    def flush_record(self) -> None:
        """Pass on what has been printed so far, a line that is not finished included."""
        # In a callback the printing thread must not be waited for: it may wait for what only callbacks bring.
        if self._gathered and self._lock.acquire(blocking=not self._reactor.holds_turn()):
            try:
                self._emit(whole_lines=False)
            finally:
                self._lock.release()

    def _emit(self, *, whole_lines: bool) -> None:
        text = "".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        end = text.rfind("\n") + 1
        if whole_lines and (end or len(text) < MAX_RECORD):
            rest = text[end:]
            text = text[:end]
            if rest:
                self._gathered.append(rest)
                self._size = len(rest)
        while text:
            end = text.rfind("\n", 0, MAX_RECORD) + 1 if len(text) > MAX_RECORD else len(text)
            piece, text = text[: end or MAX_RECORD], text[end or MAX_RECORD :]
            self._record(self._log_type, piece[:-1] if piece.endswith("\n") else piece)
