"""How many executors of each role there are at each address, counted as they come and go.

The orchestrator asks for each launch, so that looking at everybody would make launching a grid cost the square of its
size.
"""

from __future__ import annotations

from collections import Counter

from softgrid._model.names import GridName
from softgrid._model.roles import Role


class Population:
    """Counts of executors."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Role]] = {}
        self._cores: dict[str, int] = {}

    def add(self, name: GridName, cores: int) -> None:
        """One has come, to a machine of so many cores."""
        self._counts.setdefault(name.address, Counter())[name.role] += 1
        self._cores.setdefault(name.address, cores)

    def remove(self, name: GridName) -> None:
        """One of those that came is gone."""
        counts = self._counts[name.address]
        counts[name.role] -= 1
        if not counts.total():
            del self._counts[name.address], self._cores[name.address]

    def cores_at(self, address: str) -> int | None:
        """How many cores that machine has, as the first said who is there; None where nobody is."""
        return self._cores.get(address)

    def counts(self) -> list[tuple[str, Role, int]]:
        """How many there are by address and role; a copy, for any thread."""
        return [
            (address, role, number)
            for address, counts in list(self._counts.items())
            for role, number in list(counts.items())
            if number
        ]
