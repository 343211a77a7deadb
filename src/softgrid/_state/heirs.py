"""Who stands in for an executor that was lost, as soon as that is decided."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

from softgrid._model.errors import Refused

Asker = TypeVar("Asker")

KEPT = 4096
MAX_ASKERS = 10_000


class Decided(NamedTuple):
    """Who stands in for it; None: nobody ever will."""

    heir: str | None


class Heirs(Generic[Asker]):
    """The heirs of executors, and who wants to know of them. Every asker is answered once."""

    def __init__(self) -> None:
        self._decided: OrderedDict[str, str | None] = OrderedDict()
        self._pending: dict[str, list[Asker]] = {}

    def on_lost(self, names: list[str]) -> None:
        """Executors are gone, and it is not decided yet what becomes of them."""
        for name in names:
            self._pending.setdefault(name, [])

    def find(self, name: str) -> Decided | None:
        """Give what is decided about *name*, through all heirs of heirs; None when nothing is."""
        heir: str | None = name
        while heir is not None and heir in self._decided:
            heir = self._decided[heir]
        return None if heir == name else Decided(heir)

    def is_pending(self, name: str) -> bool:
        """Whether it is gone, or somebody has asked for its heir, and nothing is decided."""
        return name in self._pending

    def await_decision(self, name: str, asker: Asker) -> None:
        """Keep *asker* until it is decided; raises Refused when too many ask."""
        askers = self._pending.setdefault(name, [])
        if len(askers) >= MAX_ASKERS:
            raise Refused(f"{MAX_ASKERS} have asked for the heir of {name} already")
        askers.append(asker)

    def decide(self, name: str, heir: str | None) -> list[Asker]:
        """It has an heir now, or never will: gives who is to be told."""
        self._decided[name] = heir
        if len(self._decided) > KEPT:
            self._decided.popitem(last=False)
        return self._pending.pop(name, [])

    def give_up(self, name: str, asker: Asker) -> bool:
        """Keep *asker* no longer; False when it was told meanwhile."""
        waiting = self._pending.get(name)
        if waiting is None or asker not in waiting:
            return False
        waiting.remove(asker)
        return True
