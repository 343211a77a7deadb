"""Whether and when a lost executor is launched anew: a budget that its heirs share, and waits that grow.

A crash loop is to slow down; one that did its work and was killed is to come back at once, however often that happens.
What tells them apart is how long each lived: every five seconds take back what one loss adds. So nobody is launched
more than twelve times a minute for long, and only who dies sooner than after these five seconds waits ever longer.
"""

from __future__ import annotations

FIRST_S, LONGEST_S = 0.1, 30.0
HEALTHY_S = 60.0
"""Who has lived that long has the whole budget again."""
FORGIVES_S = 5.0
"""Each time one has lived so long, one doubling is taken back."""
MOST_DOUBLINGS = 9
"""These come to more than the longest wait, and a healthy life takes all of them back."""
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
        self._doublings = 0
        self._up_since_s: float | None = None

    def came_up(self, now_s: float) -> None:
        """It, or an heir, is on the grid."""
        self._up_since_s = now_s

    def went_down(self, now_s: float) -> None:
        """It is not on the grid any more, whoever's loss that is; how long it was there is to its credit."""
        if self._up_since_s is None:
            return
        lived_s = now_s - self._up_since_s
        self._up_since_s = None
        self._doublings = max(0, self._doublings - int(lived_s / FORGIVES_S))
        if lived_s >= HEALTHY_S:
            self._used = 0

    def next_wait(self, now_s: float, luck: float) -> float | None:
        """It was lost: give the seconds to wait before its heir is launched, or None when there is to be none.

        *luck*, from 0 to 1, lengthens the wait a little.
        """
        self.went_down(now_s)
        if self.allowed is not True and self._used >= self.allowed:
            return None
        wait = min(LONGEST_S, FIRST_S * 2.0**self._doublings)
        self._used += 1
        self._doublings = min(self._doublings + 1, MOST_DOUBLINGS)
        return wait * (1.0 + JITTER * luck)
