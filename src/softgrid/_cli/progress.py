"""A progress bar in a few lines: one redrawn line on a terminal, a line per quarter elsewhere.

Used by the demo.  Writes to the stream that it is given (standard error, so that results can be
piped away), reads time from the clock that it is given, and never starts a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

BAR_WIDTH = 28
REDRAW_S = 0.05


def render(label: str, done: int, total: int, elapsed_s: float) -> str:
    """One line of text for *done* of *total*; an empty total counts as finished."""
    share = 1.0 if total <= 0 else min(done / total, 1.0)
    filled = int(share * BAR_WIDTH)
    bar = "#" * filled + "." * (BAR_WIDTH - filled)
    return f"{label:<8} [{bar}] {int(share * 100):>3} %  {done}/{total} files  {elapsed_s:.1f} s"


class Progress:
    """Counts towards *total* and shows it; with no stream it only counts."""

    def __init__(
        self,
        label: str,
        total: int,
        stream: TextIO | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = 0
        self._label = label
        self._total = total
        self._stream = stream
        self._clock = clock
        self._is_terminal = stream is not None and stream.isatty()
        self._started = clock()
        self._drawn_at = self._started - REDRAW_S
        self._quarters = 0

    def advance(self, steps: int) -> None:
        """Note *steps* more as done, and show it when there is something new to see."""
        self.done += steps
        if self._stream is None:
            return
        if self._is_terminal:
            self._redraw()
        else:
            self._write_quarter()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # also when interrupted: the next text must not start in the middle of the bar
        if self._stream is not None and self._is_terminal:
            self._stream.write("\r" + self._line() + "\n")
            self._stream.flush()

    def _redraw(self) -> None:
        now = self._clock()
        if now - self._drawn_at < REDRAW_S:
            return
        self._drawn_at = now
        assert self._stream is not None
        self._stream.write("\r" + self._line())
        self._stream.flush()

    def _write_quarter(self) -> None:
        quarters = 4 if self._total <= 0 else min(4 * self.done // self._total, 4)
        if quarters > self._quarters:
            self._quarters = quarters
            assert self._stream is not None
            self._stream.write(self._line() + "\n")
            self._stream.flush()

    def _line(self) -> str:
        return render(self._label, self.done, self._total, self._clock() - self._started)
