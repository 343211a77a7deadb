"""What others were given to keep, as long as those who are launched in their place are to be given it again.

Bounded by its size: the oldest is forgotten first, and what is larger than the bound is not remembered at all. What one
call gave to many is remembered once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count
from typing import Generic, NamedTuple, TypeVar

Call = TypeVar("Call")


class Label(NamedTuple):
    """What a thing is kept under: its kind ('data', 'object', ...) and its name."""

    kind: str
    name: str


class _Gift(Generic[Call]):
    __slots__ = ("call", "label", "receivers", "size")

    def __init__(self, label: Label, call: Call, size: int, receivers: set[str]) -> None:
        self.label = label
        self.call = call
        self.size = size
        self.receivers = receivers


class Keepsakes(Generic[Call]):
    """What is remembered.

    >>> keepsakes = Keepsakes(100)
    >>> keepsakes.on_given(["w1", "w2"], Label("data", "primes"), "the call", size=40)
    []
    >>> keepsakes.on_heir("w1", "w3"), keepsakes.on_heir("w1", "w4")
    (['the call'], [])
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._numbers = count()
        self._gifts: OrderedDict[int, _Gift[Call]] = OrderedDict()
        self._of: dict[str, dict[Label, int]] = {}
        self.size = 0

    def on_given(self, receivers: Iterable[str], label: Label, call: Call, size: int) -> list[Label]:
        """*receivers* keep something by *call*, instead of what they had under that name: gives what is forgotten."""
        given_to = set(receivers)
        for receiver in given_to:
            self.on_taken(receiver, label)
        if not given_to:
            return []
        number = next(self._numbers)
        self._gifts[number] = _Gift(label, call, size, given_to)
        self.size += size
        for receiver in given_to:
            self._of.setdefault(receiver, {})[label] = number
        return self._make_room()

    def on_taken(self, receiver: str, label: Label) -> None:
        """*receiver* no longer keeps that; harmless when it never did."""
        number = self._of.get(receiver, {}).pop(label, None)
        if number is None:
            return
        if not self._of[receiver]:
            del self._of[receiver]
        gift = self._gifts[number]
        gift.receivers.discard(receiver)
        if not gift.receivers:
            self._drop(number)

    def on_heir(self, lost: str, heir: str) -> list[Call]:
        """*heir* is there in the place of *lost*: gives the calls by which it gets everything, in their order."""
        self.forget(heir)
        labels = self._of.pop(lost, {})
        if not labels:
            return []
        self._of[heir] = labels
        numbers = sorted(labels.values())
        for number in numbers:
            self._gifts[number].receivers.discard(lost)
            self._gifts[number].receivers.add(heir)
        return [self._gifts[number].call for number in numbers]

    def forget(self, receiver: str) -> None:
        """*receiver* is gone for good."""
        for label in list(self._of.get(receiver, {})):
            self.on_taken(receiver, label)

    def _make_room(self) -> list[Label]:
        forgotten = []
        while self._limit is not None and self.size > self._limit:
            number, gift = next(iter(self._gifts.items()))
            forgotten.append(gift.label)
            for receiver in list(gift.receivers):
                self.on_taken(receiver, gift.label)
            assert number not in self._gifts
        return forgotten

    def _drop(self, number: int) -> None:
        self.size -= self._gifts.pop(number).size

    def __len__(self) -> int:
        return len(self._gifts)

    def check_invariants(self) -> None:
        """Raise AssertionError when it contradicts itself; for tests."""
        assert self.size == sum(gift.size for gift in self._gifts.values())
        pairs = {(receiver, number) for number, gift in self._gifts.items() for receiver in gift.receivers}
        assert pairs == {(receiver, number) for receiver, of in self._of.items() for number in of.values()}
        assert all(self._of.values())
