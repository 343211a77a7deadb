"""How many executors of each role a machine may still take, under the rules; places asked for count until they are
taken."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable

from softgrid._model.errors import Refused
from softgrid._model.names import GridName
from softgrid._model.roles import LAUNCHABLE, Role
from softgrid._model.rules import Rules

Census = Counter[tuple[str, Role]]
"""How many executors of each role each machine holds."""


def census_of(members: Iterable[GridName]) -> Census:
    """Count executors by address and role."""
    return Counter((member.address, member.role) for member in members)


def census_of_machines(counts: Iterable[tuple[str, Role, int]], name_of: Callable[[str], str]) -> Census:
    """Count executors by machine and role, from counts by address and role; *name_of* gives an address's machine."""
    census: Census = Counter()
    for address, role, number in counts:
        census[name_of(address), role] += number
    return census


class Capacity:
    """Places on machines: held by members, or reserved by launches under way."""

    def __init__(self) -> None:
        self._reserved: Counter[tuple[str, Role]] = Counter()

    def reserve(self, address: str, role: Role, census: Census, rules: Rules, cores: int) -> None:
        """Take a place for an executor about to be launched; raises Refused, naming the rule and the numbers."""
        own = rules.for_machine(address)
        limit = own.maximum(role, cores)
        held = census[address, role]
        reserved = self._reserved[address, role]
        if limit is not None and held + reserved >= limit:
            key = f"machine_maximum_number_of_{role}s"
            raise Refused(
                f"machine {address} holds {held} {role}(s)"
                + (f" and {reserved} more are being launched" if reserved else "")
                + f"; the rule {key} = {own[key]} allows {limit}"
                + (f" on {cores} cores" if own[key] is not None and own[key] < 0 else "")
            )
        self._reserved[address, role] += 1

    def release(self, address: str, role: Role) -> None:
        """Give back a reserved place, because it was taken by a member or never will be."""
        self._reserved[address, role] -= 1
        if self._reserved[address, role] <= 0:
            del self._reserved[address, role]


def remaining(address: str, members: Iterable[GridName], rules: Rules, cores: int) -> dict[str, int | None]:
    """How many more executors of each role the machine may take; None where there is no limit."""
    own = rules.for_machine(address)
    census = census_of(members)
    allowed: dict[str, int | None] = {}
    for role in LAUNCHABLE:
        limit = own.maximum(role, cores)
        allowed[f"number_of_{role}s"] = None if limit is None else max(0, limit - census[address, role])
    return allowed


def fewest(machines: list[dict[str, int | None]]) -> dict[str, int | None]:
    """Give what each of these machines may take of what ``remaining`` gives for them."""
    return {key: min((each[key] for each in machines), key=_or_any_number) for key in machines[0]}


def _or_any_number(limit: int | None) -> float:
    return math.inf if limit is None else limit


def check_rules_fit(address: str, members: Iterable[GridName], rules: Rules, cores: int) -> None:
    """Raise Refused when the machine already holds more than *rules* would allow."""
    census = census_of(members)
    for role in LAUNCHABLE:
        limit, held = rules.maximum(role, cores), census[address, role]
        if limit is not None and held > limit:
            raise Refused(f"machine {address} holds {held} {role}s already, more than the new maximum of {limit}")
