"""The execution queue of an executor: smaller priorities first, ties first in first out, one at a time."""

from __future__ import annotations

import heapq
import math
from itertools import count
from typing import Generic, TypeVar

from softgrid._model.errors import BadArgument, Refused
from softgrid._model.rules import Rules

Task = TypeVar("Task")


def check_priority(priority: object, rules: Rules | None = None, parameter: str = "priority") -> float | None:
    """Accept None (at once, beside the queue) or a number; *rules* may forbid None and negative ones."""
    if priority is None:
        if rules is not None and not rules["execution_allow_none_priority"]:
            raise Refused("priority None is forbidden by the rule execution_allow_none_priority")
        return None
    if isinstance(priority, bool) or not isinstance(priority, (int, float)) or priority != priority:
        raise BadArgument(parameter, priority, "None or a number; smaller numbers run first")
    if priority < 0 and rules is not None and not rules["execution_allow_negative_priority"]:
        raise Refused(f"priority {priority} is forbidden by the rule execution_allow_negative_priority")
    try:
        return float(priority)
    except OverflowError:  # an integer beyond all floating point numbers
        return math.inf if priority > 0 else -math.inf


class WorkQueue(Generic[Task]):
    """What waits to be run, and what is running."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Task]] = []
        self._arrivals = count()
        self.running: Task | None = None

    def push(self, priority: float, task: Task) -> None:
        """Put a task in its place."""
        heapq.heappush(self._heap, (priority, next(self._arrivals), task))

    def take_next(self) -> Task | None:
        """Give the next task and mark it running, or None when there is none or one is running."""
        if self.running is not None or not self._heap:
            return None
        self.running = heapq.heappop(self._heap)[2]
        return self.running

    def finish(self) -> None:
        """The running task has ended."""
        self.running = None

    def __len__(self) -> int:
        return len(self._heap)
