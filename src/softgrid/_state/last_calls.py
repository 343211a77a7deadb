"""Which call an executor was running when it died, as far as it is known: what to blame, and nothing else.

And which of its calls had not begun: their numbers grow with each caller, so that whatever is newer than the newest
that has begun was still waiting, and may be made again without a doubt.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

KEPT = 4096

Running = tuple[int, int]
"""A call: who made it, and its message id."""


class LastCall(NamedTuple):
    """What ran at the end, None if nothing did; and whether somebody had asked for that end."""

    running: Running | None
    is_asked: bool = False
    begun: Mapping[int, int] | None = None
    """The newest call of each caller that has begun; None: nobody knows."""

    def told(self) -> dict[str, Any]:
        """Give it as JSON carries it."""
        begun = None if self.begun is None else list(self.begun.items())
        return {"running": self.running, "is_asked": self.is_asked, "begun": begun}


def read_last_call(told: Mapping[str, Any], *, is_asked: bool | None = None) -> LastCall:
    """Read what was told of an end; raises ValueError or TypeError where it cannot be meant."""
    running, begun = told["running"], told.get("begun")
    return LastCall(
        None if running is None else _pair(running),
        told.get("is_asked") is True if is_asked is None else is_asked,
        None if begun is None else dict(map(_pair, begun)),
    )


def _pair(told: Any) -> Running:
    caller, message_id = told
    if type(caller) is not int or type(message_id) is not int:
        raise ValueError("a call is told by two numbers")
    return caller, message_id


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

    def has_not_begun(self, executor: int, call: Running) -> bool:
        """Whether it is certain that *call*, which had a place in the queue there, has never begun."""
        last = self._known.get(executor)
        return last is not None and last.begun is not None and call[1] > last.begun.get(call[0], 0)

    def is_blamed(self, executor: int, call: Running) -> bool:
        """Whether *call* is to be blamed for the end."""
        last = self._known.get(executor)
        return last is not None and last.running == call and not last.is_asked
