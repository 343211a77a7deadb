"""Which call an executor was running when it died, as far as it is known: what to blame, and nothing else."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

KEPT = 4096

Running = tuple[int, int]
"""A call: who made it, and its message id."""


class LastCall(NamedTuple):
    """What ran at the end, None if nothing did; and whether somebody had asked for that end."""

    running: Running | None
    is_asked: bool = False


class LastCalls:
    """The last calls of executors that are gone, the newest of them."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, LastCall] = OrderedDict()

    def note(self, executor: int, last: LastCall) -> None:
        """An executor has died."""
        self._known[executor] = last
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    def of(self, executor: int) -> LastCall | None:
        """Give what is known of that end; None: nothing is."""
        return self._known.get(executor)

    def was_running(self, executor: int, call: Running) -> bool | None:
        """Whether *call* was running there at the end; None when nobody knows."""
        last = self._known.get(executor)
        return None if last is None else last.running == call

    def is_blamed(self, executor: int, call: Running) -> bool:
        """Whether *call* is to be blamed for the end."""
        last = self._known.get(executor)
        return last is not None and last.running == call and not last.is_asked
