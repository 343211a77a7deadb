"""A job: many tasks dealt out to the workers that were reserved for it, as fast as each can take them.

A worker is dealt to when its promise is at the head of its queue. It holds as many tasks as it does in a moment
(HELD_S), as measured, at least one and never more than a fair share of what is left: so many small tasks travel
together, long ones go to whoever is free, and what dies with a worker is little. Who has nothing more to do is
released at once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from softgrid._model.errors import BadArgument

HELD_S = 0.05
MOST_HELD = 1024
GROWTH = 4

_TASK = "a function, or a tuple (function, None or list of arguments, None or dictionary of keyword arguments)"


class TaskSpec(NamedTuple):
    """One task as its user gave it."""

    function: Any
    args: Any = None
    kwargs: Any = None


def read_tasks(funcs: object) -> list[TaskSpec]:
    """Read the tasks of a job; raises BadArgument, naming the task that cannot be meant."""
    if _is_function(funcs):
        return [TaskSpec(funcs)]
    if not isinstance(funcs, (list, tuple)) or not funcs:
        raise BadArgument("funcs", funcs, f"a function or a list, with one item at least: {_TASK}")
    return [_read_task(index, item) for index, item in enumerate(funcs)]


def _read_task(index: int, item: object) -> TaskSpec:
    task = TaskSpec(*item) if isinstance(item, (list, tuple)) and 0 < len(item) < 4 else TaskSpec(item)
    named = task.kwargs is None or (isinstance(task.kwargs, dict) and all(isinstance(key, str) for key in task.kwargs))
    if not _is_function(task.function) or not isinstance(task.args, (list, tuple, type(None))) or not named:
        raise BadArgument(f"funcs[{index}]", item, _TASK)
    return task


def _is_function(function: object) -> bool:
    return callable(function) or isinstance(function, Mapping) or (isinstance(function, str) and bool(function.strip()))


class Deal(NamedTuple):
    """Send these tasks to this worker."""

    worker: str
    tasks: list[int]


class Release(NamedTuple):
    """This worker is not needed any more."""

    worker: str


class GiveUp(NamedTuple):
    """Nobody is left to do these tasks."""

    tasks: list[int]


Effect = Deal | Release | GiveUp


class _Hand:
    """What one worker holds of a job."""

    __slots__ = ("answered", "depth", "held", "is_ready", "since")

    def __init__(self) -> None:
        self.is_ready = False
        self.held = 0
        self.depth = 1
        self.answered = 0
        self.since = 0.0

    def measure(self, now: float) -> None:
        """Say how many tasks it may hold, from how long it took for the last ones."""
        if self.answered:
            per_task = (now - self.since) / self.answered
            fitting = int(HELD_S / per_task) if per_task * MOST_HELD > HELD_S else MOST_HELD
            self.depth = max(1, min(fitting, GROWTH * self.depth))
        self.since, self.answered = now, 0


class Job:
    """Which task goes to whom, and when. Every task is dealt once or given up once."""

    def __init__(self, tasks: Iterable[int], workers: Iterable[str]) -> None:
        self._left = deque(tasks)
        self._hands = {worker: _Hand() for worker in workers}
        self._expected = 0

    def on_ready(self, worker: str, now: float) -> list[Effect]:
        """The worker's promise is at the head: nothing keeps it from working for this job."""
        hand = self._hands.get(worker)
        if hand is None or hand.is_ready:
            return []
        hand.is_ready = True
        return self._deal(worker, hand, now)

    def on_answer(self, worker: str, now: float) -> list[Effect]:
        """A task that the worker held is over, however it ended."""
        hand = self._hands.get(worker)
        if hand is None:
            return []
        hand.held -= 1
        hand.answered += 1
        return self._deal(worker, hand, now)

    def on_lost(self, worker: str) -> list[Effect]:
        """The worker can do nothing for this job any more: it died, or its promise has ended."""
        if self._hands.pop(worker, None) is None:
            return []
        return self._give_up_alone()

    def on_again(self, task: int) -> list[Effect]:
        """A task that had been dealt is to be done once more, after all others; said before its end is told."""
        self._left.append(task)
        return self._give_up_alone()

    def workers(self) -> list[str]:
        """Give those who take part now."""
        return list(self._hands)

    def expect(self) -> None:
        """Another worker is on its way into this job."""
        self._expected += 1

    def on_joined(self, worker: str) -> None:
        """The worker that was expected has made its promise to this job."""
        self._expected -= 1
        self._hands.setdefault(worker, _Hand())

    def on_missed(self) -> list[Effect]:
        """A worker that was expected does not come."""
        self._expected -= 1
        return self._give_up_alone()

    def _give_up_alone(self) -> list[Effect]:
        if self._hands or self._expected or not self._left:
            return []
        return [GiveUp(self._take(len(self._left)))]

    def withdraw(self, tasks: Iterable[int]) -> list[int]:
        """Deal these tasks no more; gives those that had not been dealt."""
        wanted = set(tasks)
        found = [task for task in self._left if task in wanted]
        self._left = deque(task for task in self._left if task not in wanted)
        return found

    def stop(self) -> list[Effect]:
        """Deal no more, and let everybody go."""
        self._left.clear()
        released: list[Effect] = [Release(worker) for worker in self._hands]
        self._hands.clear()
        return released

    def _deal(self, worker: str, hand: _Hand, now: float) -> list[Effect]:
        if not self._left:
            return self._release_idle()
        if hand.held > hand.depth // 2:
            return []
        hand.measure(now)
        share = math.ceil(len(self._left) / (2 * len(self._hands)))
        count = min(hand.depth - hand.held, share)
        if count <= 0:
            return []
        hand.held += count
        return [Deal(worker, self._take(count)), *self._release_idle()]

    def _take(self, count: int) -> list[int]:
        return [self._left.popleft() for _ in range(count)]

    def _release_idle(self) -> list[Effect]:
        """When all is dealt, those who hold nothing have nothing to wait for."""
        idle = [] if self._left else [worker for worker, hand in self._hands.items() if not hand.held]
        for worker in idle:
            del self._hands[worker]
        return [Release(worker) for worker in idle]
