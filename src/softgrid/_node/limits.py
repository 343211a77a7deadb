"""Time limits of one transfer that differ from receiver to receiver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from softgrid._io.reactor import Timer
from softgrid._state.inflight import Batch

Later = Callable[[float, Callable[[], None]], Timer]
"""Does something so many seconds from now, in the reactor's turn."""


def watch(
    batch: Batch, limits: Sequence[float], later: Later, give_up: Callable[[frozenset[int], float], None]
) -> bool:
    """Have those receivers of a batch given up whose time is over before the longest; False when there are none.

    *limits* are seconds from now, one for each receiver.
    """
    shorter = set(limits) - {max(limits, default=0.0)}
    for limit in shorter:
        those = frozenset(index for index, own in enumerate(limits) if own == limit)
        timer = later(limit, partial(give_up, those, limit))
        at_the_end(batch, timer.cancel)
    return bool(shorter)


def at_the_end(batch: Batch, work: Callable[[], None]) -> None:
    """Do something when the last receiver has answered or is given up, maybe now; it may be done twice."""
    on_done = batch.on_done

    def both() -> None:
        work()
        if on_done is not None:
            on_done()

    batch.on_done = both
    if batch.done:
        work()
