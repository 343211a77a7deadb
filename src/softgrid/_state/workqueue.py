"""The execution queue of an executor: smaller priorities first, ties first in first out, one at a time; and promises.

While a promise is at the head of the queue nothing else starts. It ends when its own queue has drained, when it is
removed, when its time passes without work, or when its creator is gone.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from itertools import count, takewhile
from typing import Generic

from softgrid._model.errors import BadArgument, Refused
from softgrid._model.rules import Rules
from softgrid._state.promise import (
    CREATOR_GONE,
    DRAINED,
    REMOVED,
    AtHead,
    Change,
    Ended,
    Entry,
    Promise,
    Removal,
    Task,
)

MAX_PROMISES = 10_000
PAST_KEPT = 1024
"""How many promises that have ended are remembered, with the reason."""


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
    """What waits to be run, and what is running.

    A promise stands where it came: what was there before it runs first, in whatever order the priorities say; what
    comes later waits behind it, however urgent, unless it comes with its password. Every method that may end a promise
    or bring one to the head gives the changes, for somebody else to act upon.
    """

    def __init__(self) -> None:
        self._front: list[Entry[Task]] = []
        self._promises: dict[str, Promise[Task]] = {}
        self._past: OrderedDict[str, str] = OrderedDict()
        self._alarms: list[tuple[float, int, Promise[Task]]] = []
        self._arrivals = count()
        self._queued = 0
        self._running_in: Promise[Task] | None = None
        self.running: Task | None = None

    def __len__(self) -> int:
        return self._queued

    @property
    def promises(self) -> int:
        """How many promises are held."""
        return len(self._promises)

    # -- tasks ----------------------------------------------------------------------------------------------------

    def push(self, priority: float, task: Task, password: object = None) -> Promise[Task] | None:
        """Put a task in its place: with a password in that promise, which is given; raises Refused if there is none."""
        entry = (priority, next(self._arrivals), task)
        if password is None:
            line = next(reversed(self._promises.values())).after if self._promises else self._front
            heapq.heappush(line, entry)
            self._queued += 1
            return None
        promise = self.find(password)
        heapq.heappush(promise.queue, entry)
        promise.deadline = None
        self._queued += 1
        return promise

    def take_next(self) -> Task | None:
        """Give the next task and mark it running, or None when there is none or one is running."""
        if self.running is not None:
            return None
        promise = None if self._front or not self._promises else next(iter(self._promises.values()))
        line = self._front if promise is None else promise.queue
        if not line:
            return None
        self._running_in = promise
        self.running = heapq.heappop(line)[2]
        self._queued -= 1
        return self.running

    def finish(self, now: float = 0.0) -> list[Change]:
        """The running task has ended."""
        promise, self._running_in, self.running = self._running_in, None, None
        changes: list[Change] = []
        if promise is not None:
            self._note_rest(promise, now, changes)
        if self._promises:
            self._note_head(now, changes)
        return changes

    def set_aside(self) -> None:
        """The running task cannot run yet: it will come back, which keeps its promise."""
        if self._running_in is not None:
            self._running_in.set_aside += 1

    def came_back(self, promise: Promise[Task], now: float) -> list[Change]:
        """A task that was set aside was pushed again, or will never be."""
        changes: list[Change] = []
        if not promise.is_ended:
            promise.set_aside -= 1
            self._note_rest(promise, now, changes)
        return changes

    def withdraw(self, is_it: Callable[[Task], bool], now: float) -> tuple[Task | None, list[Change]]:
        """Take one task that waits out of the queue, wherever it stands; None when none of those waiting is it."""
        changes: list[Change] = []
        for promise in (None, *self._promises.values()):
            for line in (self._front,) if promise is None else (promise.queue, promise.after):
                for entry in line:
                    if is_it(entry[2]):
                        line.remove(entry)
                        heapq.heapify(line)
                        self._queued -= 1
                        if promise is not None and line is promise.queue:
                            self._note_rest(promise, now, changes)
                        self._note_head(now, changes)
                        return entry[2], changes
        return None, changes

    # -- promises -------------------------------------------------------------------------------------------------

    def add(self, promise: Promise[Task], now: float, *, force: bool) -> list[Change]:
        """Put a promise in its place; without *force* only where it holds at once. Raises Refused."""
        if promise.password in self._promises:
            raise Refused("a promise with that password is held here already")
        if len(self._promises) >= MAX_PROMISES:
            raise Refused(f"{MAX_PROMISES} promises are held here already")
        if not force and (self.running is not None or self._queued or self._promises):
            running = "one call is running" if self.running is not None else "nothing is running"
            raise Refused(f"it is busy: {running}, {self._queued} wait, {len(self._promises)} promises are held")
        self._promises[promise.password] = promise
        self._past.pop(promise.password, None)
        changes: list[Change] = []
        self._note_head(now, changes)
        if not promise.is_kept:
            self._start_clock(promise, now)
        return changes

    def find(self, password: object) -> Promise[Task]:
        """Give the promise with that password; raises Refused, saying what is known of a past one."""
        promise = self._promises.get(password) if isinstance(password, str) else None
        if promise is None:
            past = self._past.get(password) if isinstance(password, str) else None
            known = f"; the promise that had it has ended: {past}" if past else ""
            raise Refused(f"no promise with that password is held here{known}")
        return promise

    def remove(self, password: str, now: float, *, force: bool) -> tuple[Removal, list[Change]]:
        """Take a promise away; without *force* only when nothing waits in it. What runs goes on."""
        changes: list[Change] = []
        try:
            promise = self.find(password)
        except Refused as error:
            return Removal(False, 0, str(error)), changes
        remaining = len(promise.queue) + promise.set_aside
        if remaining and not force:
            return Removal(False, remaining, f"{remaining} calls wait in it, and it is not to be forced"), changes
        self._end(promise, REMOVED, now, changes)
        return Removal(True, remaining), changes

    def creators_gone(self, creators: set[int], now: float) -> list[Change]:
        """Executors are gone: what they had been promised is over."""
        changes: list[Change] = []
        for promise in [promise for promise in self._promises.values() if promise.creator_id in creators]:
            self._end(promise, CREATOR_GONE, now, changes)
        return changes

    # -- time -----------------------------------------------------------------------------------------------------

    def next_alarm(self) -> float | None:
        """When to call ``expire`` next."""
        return self._alarms[0][0] if self._alarms else None

    def expire(self, now: float) -> list[Change]:
        """End the promises whose time has passed without work."""
        changes: list[Change] = []
        while self._alarms and self._alarms[0][0] <= now:
            promise = heapq.heappop(self._alarms)[2]
            promise.has_alarm = False
            if promise.is_ended or promise.deadline is None:
                continue
            if promise.deadline <= now:
                self._end(promise, promise.expiry(), now, changes)
            else:
                self._set_alarm(promise, promise.deadline)
        return changes

    def _start_clock(self, promise: Promise[Task], now: float) -> None:
        promise.deadline = now + promise.timeout_s
        if not promise.has_alarm:
            self._set_alarm(promise, promise.deadline)

    def _set_alarm(self, promise: Promise[Task], when: float) -> None:
        promise.has_alarm = True
        heapq.heappush(self._alarms, (when, next(self._arrivals), promise))

    # -- what follows ---------------------------------------------------------------------------------------------

    def _note_rest(self, promise: Promise[Task], now: float, changes: list[Change]) -> None:
        """Some work of a promise is over: was it the last?"""
        if promise.queue or promise.set_aside or self._running_in is promise:
            return
        if promise.is_kept:
            self._start_clock(promise, now)
        else:
            self._end(promise, DRAINED, now, changes)

    def _note_head(self, now: float, changes: list[Change]) -> None:
        """Say so if a promise has come to the head."""
        if self.running is not None or self._front or not self._promises:
            return
        promise = next(iter(self._promises.values()))
        if not promise.is_at_head:
            promise.is_at_head = True
            changes.append(AtHead(promise))
            if promise.is_kept and not promise.queue:
                self._start_clock(promise, now)

    def _end(self, promise: Promise[Task], reason: str, now: float, changes: list[Change]) -> None:
        line = self._front
        for before in takewhile(lambda each: each is not promise, self._promises.values()):
            line = before.after
        if promise.after:  # as if it had never stood between them
            line.extend(promise.after)
            heapq.heapify(line)
        del self._promises[promise.password]
        self._past[promise.password] = reason
        if len(self._past) > PAST_KEPT:
            self._past.popitem(last=False)
        promise.is_ended = True
        if self._running_in is promise:
            self._running_in = None
        self._queued -= len(promise.queue)
        changes.append(Ended(promise, reason, [entry[2] for entry in sorted(promise.queue)]))
        self._note_head(now, changes)
