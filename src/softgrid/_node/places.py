"""Places on machines, as the orchestrator gives them: one for each executor that is about to come.

A place is taken before anybody connects, on the machine of that address. Which machine it is may turn out only then:
when it is one that is known by another name already, the place has to be one of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from softgrid._io.link import Link
from softgrid._model.errors import Refused
from softgrid._model.names import GridName, parse_name
from softgrid._model.roles import Role
from softgrid._model.rules import Rules
from softgrid._state.capacity import Capacity, Census, census_of_machines
from softgrid._state.machine_names import MachineNames
from softgrid._state.tree import Tree


class Place(NamedTuple):
    """A place that was taken; *counted_at* is the name of the machine by which its places are counted."""

    address: str
    counted_at: str
    role: Role
    cores: int
    performer: int
    """Who may say which machine it is on."""
    is_settled: bool
    """Whether that is known, as it is before anybody comes."""

    @property
    def comer(self) -> tuple[str, Role, int]:
        """Who may come for it: address, role and upgrid."""
        return self.address, self.role, self.performer


class Places:
    """Who may come where."""

    def __init__(self, tree: Tree[Link], rules: Callable[[], Rules], address: str, machine: str) -> None:
        self._tree = tree
        self._rules = rules
        self._capacity = Capacity()
        self._names = MachineNames()
        self._names.learn(address, machine)
        self._taken: dict[int, Place] = {}
        self._expected: dict[tuple[str, Role, int], dict[int, None]] = {}
        """The tickets of the places taken, in their order, by who may come for them."""
        self._tickets = count(1)

    def knows(self, address: str) -> bool:
        """Whether it is known which machine is at that address."""
        return self._names.knows(address)

    def census(self) -> Census:
        """Count the executors of each machine."""
        own = parse_name(self._tree.name)
        return census_of_machines([(own.address, own.role, 1), *self._tree.population.counts()], self._names)

    def on_machine_of(self, address: str, names: list[GridName]) -> list[GridName]:
        """Give those of *names* on the machine at *address*, as if all of them called it that."""
        first = self._names.first_name(address)
        return [name._replace(address=address) for name in names if self._names.first_name(name.address) == first]

    def take(self, address: str, role: Role, cores: int, census: Census | None = None, performer: int = 0) -> int:
        """Take a place, to be given back when the executor has come or is known not to come; gives its ticket.

        *cores*: of the machine, as far as nobody there has said. Raises Refused.
        """
        ticket = next(self._tickets)
        census = self.census() if census is None else census
        place = Place(address, address, role, cores, performer, self.knows(address))
        self._keep(ticket, self._reserve(place, census))
        return ticket

    def settle(self, ticket: int, machine: str, performer: int = 0) -> None:
        """The machine at the address of a place is that one; raises Refused, and then the place is given back."""
        place = self._taken.get(ticket)
        if place is None or place.performer != performer:
            raise Refused("there is no place that is kept for this launch")
        self._names.learn(place.address, machine)
        place = self._taken[ticket] = place._replace(is_settled=True)
        if self._names.first_name(place.address) != place.counted_at:
            self.give_back(ticket)
            self._keep(ticket, self._reserve(place, self.census()))

    def arrived(self, address: str, role: Role, upgrid: int) -> None:
        """An executor that was launched has come, and counts itself from now on: no place is kept for it any more."""
        for ticket in self._expected.get((address, role, upgrid), ()):
            if self._taken[ticket].is_settled:
                self.give_back(ticket)
                return

    def give_back(self, ticket: int) -> None:
        """Give back a place; one that was given back already is no harm."""
        place = self._taken.pop(ticket, None)
        if place is not None:
            self._capacity.release(place.counted_at, place.role)
            expected = self._expected[place.comer]
            del expected[ticket]
            if not expected:
                del self._expected[place.comer]

    def _keep(self, ticket: int, place: Place) -> None:
        self._taken[ticket] = place
        self._expected.setdefault(place.comer, {})[ticket] = None

    def _reserve(self, place: Place, census: Census) -> Place:
        address, counted_at = place.address, self._names.first_name(place.address)
        known_cores = self._tree.population.cores_at(address)
        cores = place.cores if known_cores is None else known_cores
        try:
            self._capacity.reserve(counted_at, place.role, census, self._rules().for_machine(address), cores)
        except Refused as error:
            if counted_at == address:
                raise
            raise Refused(f"{address} is another name of {counted_at}: {error}") from None
        return place._replace(counted_at=counted_at)
