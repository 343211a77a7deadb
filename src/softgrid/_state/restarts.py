"""Whether and when a lost executor is launched anew: a budget that its heirs share, and waits that grow."""

from __future__ import annotations

FIRST_S, LONGEST_S = 0.1, 30.0
HEALTHY_S = 60.0
"""Who has lived that long has the whole budget again."""
JITTER = 0.25
"""By how much a wait may be longer, so that those who were lost together do not come back in one moment."""


class Restarts:
    """The budget of one executor and its heirs.

    >>> restarts = Restarts(2)
    >>> [restarts.next_wait(now_s=1.0, luck=0.0) for _ in range(3)]
    [0.1, 0.2, None]
    """

    def __init__(self, allowed: bool | int) -> None:
        self.allowed = allowed
        self._used = 0
        self._up_since_s: float | None = None

    def came_up(self, now_s: float) -> None:
        """It, or an heir, is on the grid."""
        self._up_since_s = now_s

    def next_wait(self, now_s: float, luck: float) -> float | None:
        """It was lost: give the seconds to wait before its heir is launched, or None when there is to be none.

        *luck*, from 0 to 1, lengthens the wait a little.
        """
        if self._up_since_s is not None and now_s - self._up_since_s >= HEALTHY_S:
            self._used = 0
        self._up_since_s = None
        if self.allowed is not True and self._used >= self.allowed:
            return None
        wait = min(LONGEST_S, FIRST_S * 2.0 ** min(self._used, 32))
        self._used += 1
        return wait * (1.0 + JITTER * luck)
