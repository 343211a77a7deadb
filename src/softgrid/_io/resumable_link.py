"""A link to another machine that outlives its connection: cut, resumed, or over when the cut lasts too long.

What tells a cut from the end of the other side:

* it said so (``bye``, the end of the stream): over at once;
* the connection was closed or reset, which takes a machine that can be reached: whoever still lives there comes back
  at once, so after ``GRACE_S`` without that it is over;
* silence: the connection stays, and may be joined by a new one, until the tolerance is used up.

Whoever finds that it was itself late, having been stopped or starved, waits a little longer before it gives up.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, cast

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Timer
from softgrid._io.resumable import SILENT, ResumableStream

GRACE_S = 3.0
LATE_S = 1.0
DOUBT_AFTER_S = 2.0
"""A receipt that does not come for so long is reason to dial anew beside the connection that there is."""


class ResumableLink(Link):
    """A link over a ``ResumableStream``. Until ``tolerate`` is called a lost connection is its end.

    *redial* is set by the side that dials: it brings a new connection, or calls ``give_up``. *on_doubt* is told, with
    the reason, when the connection is lost, and with None when the link has been resumed.
    """

    def __init__(
        self,
        stream: ResumableStream,
        reactor: Reactor,
        on_readable: Callable[[Link], None],
        on_closed: Callable[[Link, str], None],
        silence_s: float,
    ) -> None:
        super().__init__(cast(Any, stream), cast(Any, stream), on_readable, on_closed)
        self.stream = stream
        self._turns = reactor
        self._tolerance_s: float | None = None
        self._deadline: Timer | None = None
        self._doubt: Timer | None = None
        self.redial: Callable[[], None] | None = None
        self.on_doubt: Callable[[Link, str | None], None] = lambda link, reason: None
        self.cut_by: str | None = None
        """How the connection was lost, while there is none."""
        stream.on_lost = self._on_lost
        stream.on_resumed = self._on_resumed
        stream.tolerate(silence_s)

    def tolerate(self, silence_s: float) -> None:
        """From now on, a cut or a silence that is shorter than that is no end."""
        self._tolerance_s = silence_s
        self.stream.tolerate(silence_s)
        if self.redial is not None:
            self.stream.on_waiting = self._await_receipt

    @property
    def is_resumable(self) -> bool:
        """Whether a lost connection is not the end."""
        return self._tolerance_s is not None and self.stream.replay.limit != 0

    # -- lost and found -------------------------------------------------------------------------------------------

    def _on_lost(self, how: str) -> None:
        if self.stream.is_over or self.stream.is_connected:
            return
        tolerance_s = self._tolerance_s
        if tolerance_s is None or not self.is_resumable:
            self.close("its connection is gone")
        elif how == SILENT:  # the kernel has waited for the whole tolerance
            self.close(f"its connection is gone: nothing was heard for {tolerance_s:g} s")
        else:
            self.cut_by = how
            patience_s = tolerance_s if self.redial is not None else min(GRACE_S, tolerance_s)
            self._wait(patience_s)
            self.on_doubt(self, "out of reach: the connection was cut")
            if self.redial is not None:
                self.redial()

    def _wait(self, seconds: float) -> None:
        due = monotonic() + seconds
        reason = f"its connection is gone, and it did not come back within {seconds:g} s"

        def on_due() -> None:
            if monotonic() - due > LATE_S:
                self._wait(min(GRACE_S, seconds))
            else:
                self.close(reason)

        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._turns.call_later(seconds, on_due)

    def _on_resumed(self) -> None:
        self.cut_by = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self.on_doubt(self, None)

    def give_up(self, reason: str) -> None:
        """It is known that the other end is no more, or not to be had back."""
        self.close(f"its connection is gone: {reason}")

    # -- silence --------------------------------------------------------------------------------------------------

    def _await_receipt(self) -> None:
        """Something is on its way: look after a while whether it has come. Any thread."""
        if self._doubt is None:
            self._doubt = self._turns.call_later(self._doubt_after_s, self._on_look)

    @property
    def _doubt_after_s(self) -> float:
        return min(DOUBT_AFTER_S, (self._tolerance_s or DOUBT_AFTER_S) / 3)

    def _on_look(self) -> None:
        self._doubt = None
        stream = self.stream
        if stream.is_over or not stream.is_connected or not stream.replay.unacknowledged:
            return
        if self.is_quiet and self.redial is not None:
            self.redial()
        self._await_receipt()

    @property
    def is_quiet(self) -> bool:
        """Whether a receipt is overdue."""
        quiet_s = monotonic() - max(self.stream.heard_at, self.stream.waits_since)
        return self.stream.replay.unacknowledged > 0 and quiet_s >= self._doubt_after_s * 0.9

    def heard(self) -> tuple[float, float]:
        """When the other process, and when its machine, last gave a sign of life; on the monotonic clock."""
        return self.stream.heard()

    # -- as any link ----------------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        super().flush(timeout)
        self._turns.wait(self.stream.await_written(), max(0.0, deadline - monotonic()))

    def close(self, reason: str = "closed here") -> None:
        for timer in (self._deadline, self._doubt):
            if timer is not None:
                timer.cancel()
        super().close(reason)

    def abandon(self) -> None:
        self.closed = True
        self._fd = -1
        self.stream.abandon()
