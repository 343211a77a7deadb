"""Places on machines, as the orchestrator gives them: one for each executor that is about to come.

A place is taken before anybody connects, on the machine of that address. Which machine it is may turn out only then:
when it is one that is known by another name already, the place has to be one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from softgrid._io.link import Link
from softgrid._model.errors import Refused
from softgrid._model.names import GridName, node_id, parse_name
from softgrid._model.roles import Role
from softgrid._model.rules import Rules
from softgrid._state.capacity import Capacity, Census, census_of, census_of_machines
from softgrid._state.machine_names import MachineNames, is_apart
from softgrid._state.tree import Member, Tree

NAMES_KEPT = 1024
"""So many names of machines are kept before those of executors that are gone are looked for."""


class Place(NamedTuple):
    """A place that was taken; *counted_at* is the name of the machine by which its places are counted."""

    address: str
    counted_at: str
    role: Role
    cores: int
    performer: str
    """Who connects to that address, and may say which machine it is."""
    is_settled: bool
    """Whether that is known, as it is before anybody comes."""

    @property
    def comer(self) -> tuple[str, Role, str]:
        """Who may come for it: address, role and upgrid."""
        return self.address, self.role, self.performer


class Places:
    """Who may come where."""

    def __init__(self, tree: Tree[Link], rules: Callable[[], Rules]) -> None:
        self._tree = tree
        self._rules = rules
        self._capacity = Capacity()
        self._names = MachineNames()
        self._names_at_most = NAMES_KEPT
        self._taken: dict[int, Place] = {}
        self._expected: dict[tuple[str, Role, str], dict[int, None]] = {}
        """The tickets of the places taken, in their order, by who may come for them."""
        self._tickets = count(1)

    def stand_at(self, address: str, machine: str) -> None:
        """This executor is on the machine of that id, which it calls by that address."""
        self._names.learn(self._tree.name, address, machine)

    def knows(self, performer: str, address: str) -> bool:
        """Whether it is known which machine *performer* finds at that address."""
        return self._names.knows(self._caller(performer, address), address)

    def machine_of(self, member: Member[Link]) -> str:
        """Give the name of an executor's machine: another one than that of machines that are called the same."""
        name = self._name_at(member)
        return name if is_apart(name, member.parsed.address) else member.parsed.address

    def census(self) -> Census:
        """Count the executors of each machine."""
        if self._names.has_namesakes:
            return census_of(name._replace(address=machine) for machine, name in self._everybody())
        own = parse_name(self._tree.name)
        counts = [(own.address, own.role, 1), *self._tree.population.counts()]
        return census_of_machines(counts, self._names.first_name)

    def on_machines_of(self, address: str) -> list[list[GridName]]:
        """Give the executors on each machine that anybody calls *address*, as if all of them called it that."""
        everybody = list(self._everybody())
        machines = {machine for machine, name in everybody if name.address == address}
        machines.add(self._names.name(self._tree.name, address))
        return [[name._replace(address=address) for at, name in everybody if at == each] for each in machines]

    def _everybody(self) -> Iterator[tuple[str, GridName]]:
        own = parse_name(self._tree.name)
        yield self._names.name(self._tree.name, own.address), own
        for member in self._tree.below():
            yield self._name_at(member), member.parsed

    def _name_at(self, member: Member[Link]) -> str:
        return self._names.name(self._caller(member.name, member.parsed.address), member.parsed.address)

    def _caller(self, performer: str, address: str) -> str:
        """Give who has connected to that address: who is there launches beside itself, unless it has come by itself."""
        while parse_name(performer).address == address and not self._names.knows(performer, address):
            path = self._tree.path_of(performer)
            if path is None or len(path) < 2:
                break
            performer = path[-2]
        return performer

    def take(self, address: str, role: Role, cores: int, performer: str, census: Census | None = None) -> int:
        """Take a place, to be given back when the executor has come or is known not to come; gives its ticket.

        *cores*: of the machine, as far as nobody there has said. Raises Refused.
        """
        ticket = next(self._tickets)
        census = self.census() if census is None else census
        place = Place(address, address, role, cores, performer, self.knows(performer, address))
        self._keep(ticket, self._reserve(place, census))
        return ticket

    def settle(self, ticket: int, machine: str, performer: int) -> None:
        """The machine at the address of a place is that one; raises Refused, and then the place is given back."""
        place = self._taken.get(ticket)
        if place is None or node_id(place.performer) != performer:
            raise Refused("there is no place that is kept for this launch")
        self._learn(self._caller(place.performer, place.address), place.address, machine)
        place = self._taken[ticket] = place._replace(is_settled=True)
        if self._expected_at(place) != place.counted_at:
            self.give_back(ticket)
            self._keep(ticket, self._reserve(place, self.census()))

    def _learn(self, caller: str, address: str, machine: str) -> None:
        self._names.learn(caller, address, machine)
        if len(self._names) > self._names_at_most:
            coming = {place.performer for place in self._taken.values()}
            self._names.keep_callers(lambda name: name in coming or self._tree.path_of(name) is not None)
            self._names_at_most = 2 * len(self._names) + NAMES_KEPT

    def arrived(self, address: str, role: Role, upgrid: str) -> None:
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
        address, counted_at = place.address, self._expected_at(place)
        known_cores = self._tree.population.cores_at(address)
        cores = place.cores if known_cores is None else known_cores
        try:
            self._capacity.reserve(counted_at, place.role, census, self._rules().for_machine(address), cores)
        except Refused as error:
            if not place.is_settled:  # nobody is there yet who would have to be told apart
                raise Refused(str(error).replace(counted_at, address)) from None
            if counted_at == address or is_apart(counted_at, address):
                raise
            raise Refused(f"{address} is another name of {counted_at}: {error}") from None
        return place._replace(counted_at=counted_at)

    def _expected_at(self, place: Place) -> str:
        return self._names.expected(self._caller(place.performer, place.address), place.address)
