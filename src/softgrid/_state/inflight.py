"""Calls that were sent and are not answered yet.

A batch is one ``transfer``: as many slots as receivers, in their order. Every slot is filled exactly once, by a
result, a refusal, the death of its target or by giving up; what comes later finds nobody waiting and is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from softgrid._model.errors import BadArgument, SoftgridError

Outcome = Any
"""The body of a RESULT, still encoded, or why there is none."""


class Batch:
    """The answers to one transfer, in the order of its receivers."""

    __slots__ = ("again", "done", "is_cancellable", "kwargs", "names", "on_done", "on_outcome", "outcomes", "remaining")

    def __init__(self, names: list[str], kwargs: list[Any]) -> None:
        self.names = names
        self.kwargs = kwargs
        self.outcomes: list[Outcome] = [None] * len(names)
        self.remaining = len(names)
        self.done = not names
        self.on_done: Callable[[], None] | None = None
        self.on_outcome: Callable[[int], None] | None = None
        self.again: Callable[[int, Outcome], Outcome | None] | None = None
        """Asked what to make of an outcome; None: nothing, since the call is tried again."""
        self.is_cancellable = False
        """Whether these are calls of users, and not questions of our own."""

    def fill(self, index: int, outcome: Outcome) -> None:
        """Take the answer of one receiver."""
        if self.outcomes[index] is not None:
            return
        if self.again is not None:
            outcome = self.again(index, outcome)
            if outcome is None:
                return
        self.outcomes[index] = outcome
        self.remaining -= 1
        if self.on_outcome is not None:
            self.on_outcome(index)
        if not self.remaining:
            self.done = True
            if self.on_done is not None:
                self.on_done()

    def fill_rest(self, outcome_for: Callable[[str], SoftgridError]) -> None:
        """Give up on all receivers that have not answered."""
        for index, outcome in enumerate(self.outcomes):
            if outcome is None:
                self.fill(index, outcome_for(self.names[index]))


Matches = Callable[[Batch, int], bool]
"""Says whether the call at that index of a batch is meant."""


def matching(label: object, names: frozenset[str] | None) -> Matches:
    """Say which calls are meant: those with that label (None: any), at these executors (None: any)."""
    if label is not None and not isinstance(label, str):
        raise BadArgument("label", label, "None or a string")

    def matches(batch: Batch, index: int) -> bool:
        is_meant = label is None or batch.kwargs[index].get("label") == label
        return is_meant and (names is None or batch.names[index] in names)

    return matches


class InFlight:
    """Which message id fills which slot of which batch."""

    def __init__(self) -> None:
        self._ids = count(1)
        self.slots: dict[int, tuple[Batch, int, int]] = {}
        """What each open message is for: a batch, its index there, and the target; to be changed here only."""
        self._fans: dict[int, tuple[Batch, dict[int, list[int]], int]] = {}
        self._open_at: dict[int, set[int]] = {}
        self._watched: dict[int, list[Callable[[], None]]] = {}

    def open(self, batch: Batch, index: int, target: int) -> int:
        """Give the message id for a call that fills one slot."""
        message_id = next(self._ids)
        self.slots[message_id] = (batch, index, target)
        open_there = self._open_at.get(target)
        if open_there is None:
            open_there = self._open_at.setdefault(target, set())
        open_there.add(message_id)
        return message_id

    def open_fan(self, batch: Batch, via: int, targets: dict[int, int]) -> int:
        """Give the message id for a call that *via* bounces on; *targets* says who fills which slot."""
        message_id = next(self._ids)
        slots: dict[int, list[int]] = {}
        for index, target in targets.items():
            slots.setdefault(target, []).append(index)
            self._open_at.setdefault(target, set()).add(message_id)
        self._fans[message_id] = (batch, slots, via)
        return message_id

    def new_id(self) -> int:
        """Give a message id that nobody waits for."""
        return next(self._ids)

    def open_at(self, target: int) -> int:
        """How many calls that *target* has not answered somebody waits for."""
        return len(self._open_at.get(target, ()))

    def is_open(self, message_id: int) -> bool:
        """Whether somebody still waits for the answer to this call."""
        return message_id in self.slots or message_id in self._fans

    def settle(self, message_id: int, source: int, outcome: Outcome) -> bool:
        """Take an answer; False when nobody waits for it any more or it is not from whom it should be."""
        slot = self.slots.get(message_id)
        if slot is not None:
            if slot[2] != source or self.slots.pop(message_id, None) is None:
                return False
            self._close(message_id, source)
            slot[0].fill(slot[1], outcome)
            if self._watched:
                self._tell_watcher(message_id)
            return True
        fan = self._fans.get(message_id)
        if fan is None or source not in fan[1]:
            return False
        batch, slots, _ = fan
        index = slots[source].pop(0)
        if not slots[source]:
            del slots[source]
            self._close(message_id, source)
        if not slots:
            self._fans.pop(message_id, None)
        batch.fill(index, outcome)
        if not slots:
            self._tell_watcher(message_id)
        return True

    def kwargs_of(self, message_id: int) -> Any:
        """Give what an open call was asked for with."""
        slot, fan = self.slots.get(message_id), self._fans.get(message_id)
        if slot is not None:
            return slot[0].kwargs[slot[1]]
        return None if fan is None else fan[0].kwargs[next(iter(fan[1].values()))[0]]

    def watch(self, message_id: int, on_over: Callable[[], None]) -> None:
        """Call *on_over* once when nobody waits for the answers to this call any more."""
        self._watched.setdefault(message_id, []).append(on_over)

    def _tell_watcher(self, message_id: int) -> None:
        for on_over in self._watched.pop(message_id, ()):
            on_over()

    def cancellable(self, matches: Matches) -> list[tuple[int, int, str]]:
        """Give the open calls of users that match: message id, target and name of each."""
        found = [
            (message_id, target, batch.names[index])
            for message_id, (batch, index, target) in list(self.slots.items())
            if batch.is_cancellable and matches(batch, index)
        ]
        for message_id, (batch, slots, _) in list(self._fans.items()):
            if batch.is_cancellable:
                found += [
                    (message_id, target, batch.names[index])
                    for target, indexes in list(slots.items())
                    for index in indexes[:1]
                    if matches(batch, index)
                ]
        return found

    def _close(self, message_id: int, target: int) -> None:
        open_there = self._open_at.get(target)
        if open_there is not None:
            open_there.discard(message_id)

    def refuse(self, message_id: int, target: int, error_for: Callable[[str], SoftgridError]) -> None:
        """A relay could not pass a call on to *target*: its first receiver, or one of those it is bounced to.

        An answer that could not be passed on comes back with the id that its asker gave, which means nothing here.
        """
        slot = self.slots.get(message_id)
        if slot is not None:
            self.settle(message_id, target, error_for(slot[0].names[slot[1]]))
            return
        fan = self._fans.get(message_id)
        if fan is not None:
            batch, slots, via = fan
            for each in [target] if target in slots else self._targets(slots) if target == via else []:
                self.settle(message_id, each, error_for(batch.names[slots[each][0]]))

    @staticmethod
    def _targets(slots: dict[int, list[int]]) -> list[int]:
        return [target for target, indexes in slots.items() for _ in indexes]

    def refuse_all(self, message_id: int, error_for: Callable[[str], SoftgridError]) -> None:
        """Nobody whom a call was meant for can be reached."""
        fan, slot = self._fans.get(message_id), self.slots.get(message_id)
        self.refuse(message_id, fan[2] if fan is not None else slot[2] if slot is not None else 0, error_for)

    def lose(self, targets: set[int], error_for: Callable[[str, int, int], SoftgridError]) -> int:
        """Fail every call that depends on one of *targets*; gives how many.

        *error_for* takes the name of a target, its id, and the message id of the call.
        """
        lost = [(mid, slot[2]) for mid, slot in list(self.slots.items()) if slot[2] in targets]
        lost += [
            (mid, each) for mid, fan in list(self._fans.items()) for each in self._targets(fan[1]) if each in targets
        ]
        for message_id, target in lost:
            self.settle(message_id, target, error_for(self._name(message_id, target), target, message_id))
        for target in targets:
            self._open_at.pop(target, None)
        return len(lost)

    def _name(self, message_id: int, target: int) -> str:
        slot = self.slots.get(message_id)
        if slot is not None:
            return slot[0].names[slot[1]]
        fan = self._fans.get(message_id)
        return fan[0].names[fan[1][target][0]] if fan is not None and target in fan[1] else "the receiver"

    def drop(self, batch: Batch) -> None:
        """Stop tracking what is left of *batch*."""
        for message_id in [mid for mid, slot in list(self.slots.items()) if slot[0] is batch]:
            slot = self.slots.pop(message_id, None)
            if slot is not None:
                self._close(message_id, slot[2])
                self._tell_watcher(message_id)
        for message_id in [mid for mid, fan in list(self._fans.items()) if fan[0] is batch]:
            fan = self._fans.pop(message_id, None)
            for target in fan[1] if fan is not None else ():
                self._close(message_id, target)
            self._tell_watcher(message_id)

    def __len__(self) -> int:
        return len(self.slots) + sum(len(self._targets(slots)) for _, slots, _ in self._fans.values())
