"""Who has least to do, as far as one executor can know without asking around.

What it knows for certain is its own: calls of its own that are not answered, promises of its own that are held there.
What others keep a worker busy with is known from the worker's answers, for a while. Among equals whoever was chosen
longest ago comes first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import count

BELIEVED_S = 5.0
"""How long it is believed what a worker has said of others' work."""


class Loads:
    """What is known of the workers' loads."""

    def __init__(self) -> None:
        self._told: dict[int, tuple[int, float]] = {}
        self._chosen: defaultdict[int, int] = defaultdict(int)
        self._choices = count(1)

    def on_told(self, worker: int, total: int, own: int, now: float) -> None:
        """The worker says how much it has to do in all; *own* of that comes from here."""
        self._told[worker] = (max(0, total - own), now + BELIEVED_S)

    def of_others(self, worker: int, now: float) -> int:
        """How much others are believed to have given it to do."""
        foreign, until = self._told.get(worker, (0, 0.0))
        return foreign if now < until else 0

    def sorted(self, workers: Iterable[int], own: Callable[[int], int], now: float) -> list[int]:
        """Give *workers*, who has least to do first; *own* says how much each has to do for this executor."""
        in_turn = sorted(workers, key=self._chosen.__getitem__)
        return sorted(in_turn, key=lambda worker: own(worker) + self.of_others(worker, now))

    def choose(self, workers: Iterable[int], own: Callable[[int], int], now: float) -> int:
        """Give the one of *workers* that has least to do; among its equals it comes last from now on."""
        chosen, least = 0, math.inf
        for worker in sorted(workers, key=self._chosen.__getitem__):
            load = own(worker) + self.of_others(worker, now)
            if load < least:
                chosen, least = worker, load
            if not load:
                break
        self._chosen[chosen] = next(self._choices)
        return chosen

    def on_gone(self, workers: set[int]) -> None:
        """Executors are gone."""
        for worker in workers:
            self._told.pop(worker, None)
            self._chosen.pop(worker, None)
