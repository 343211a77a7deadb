"""Executors that say what none may say: how often each did, and when that is enough."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

ENOUGH = 10
"""With so many it is no accident."""
KEPT = 4096


class Verdict(NamedTuple):
    """What follows from an offence: whether it is the first, so that it is to be told, and whether it is enough."""

    is_first: bool
    is_enough: bool


class Offences:
    """Counts them by name.

    >>> offences = Offences()
    >>> offences.note("w1", "a lie"), offences.note("w1", "another")
    (Verdict(is_first=True, is_enough=False), Verdict(is_first=False, is_enough=False))
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._first: dict[str, str] = {}

    def note(self, name: str, what: str) -> Verdict:
        """An executor has said what it may not."""
        count = self._counts[name] = self._counts.get(name, 0) + 1
        self._first.setdefault(name, what)
        if len(self._counts) > KEPT:
            self.forget(next(iter(self._counts)))
        return Verdict(is_first=count == 1, is_enough=count == ENOUGH)

    def is_out(self, name: str) -> bool:
        """Whether it has said enough."""
        return self._counts.get(name, 0) >= ENOUGH

    def account(self, name: str) -> str:
        """Say why it is put out."""
        return f"put out: {ENOUGH} of its messages were none that it may send, the first {self._first.get(name)}"

    def forget(self, name: str) -> None:
        """It is no more."""
        self._counts.pop(name, None)
        self._first.pop(name, None)
