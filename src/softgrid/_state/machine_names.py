"""Which addresses mean one machine: it has an id, and may have many names."""

from __future__ import annotations


class MachineNames:
    """What is known of the machines behind addresses."""

    def __init__(self) -> None:
        self._machines: dict[str, str] = {}
        self._first: dict[str, str] = {}

    def learn(self, address: str, machine: str) -> None:
        """At *address* there is the machine of that id."""
        self._machines[address] = machine
        self._first.setdefault(machine, address)

    def knows(self, address: str) -> bool:
        """Whether it is known which machine that is."""
        return address in self._machines

    def first_name(self, address: str) -> str:
        """Give the address by which the machine at *address* became known first."""
        machine = self._machines.get(address)
        return address if machine is None else self._first[machine]
