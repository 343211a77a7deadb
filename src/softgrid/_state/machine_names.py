"""Which addresses mean one machine, and which one means several: a machine has an id, and may have many names.

What an address means depends on who connects to it: behind two gateways there may be two machines of one name. Each
machine is counted by one name, the address by which it became known first; where another has that already, it is told
apart by whose machine of that name it is.
"""

from __future__ import annotations

from collections.abc import Callable

_AS = " (as "  # no address has a blank


def apart(address: str, caller: str) -> str:
    """Give the name of the machine that *caller* calls so, where another machine is called that too."""
    return f"{address}{_AS}{caller} calls it)"


def is_apart(name: str, address: str) -> bool:
    """Whether *name* is one that tells a machine apart from others which are called *address* too."""
    return name.startswith(address + _AS)


class MachineNames:
    """What is known of the machines behind addresses; *caller* is the executor that connects to them."""

    def __init__(self) -> None:
        self._machines: dict[tuple[str, str], str] = {}
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self._latest: dict[str, str] = {}
        """The machine at an address, whoever called it so at last."""
        self.has_namesakes = False
        """Whether there are several machines that are called the same."""

    def learn(self, caller: str, address: str, machine: str) -> None:
        """What *caller* finds at *address* is the machine of that id."""
        former = self._machines.get((caller, address))
        self._machines[caller, address] = self._latest[address] = machine
        if machine in self._names:
            return
        if former is not None and former not in self._machines.values():  # another one has taken its place
            name = self._names.pop(former)
        else:
            self.has_namesakes |= address in self._taken
            name = apart(address, caller) if address in self._taken else address
        self._taken.add(name)
        self._names[machine] = name

    def __len__(self) -> int:
        return len(self._machines)

    def keep_callers(self, is_there: Callable[[str], bool]) -> None:
        """Forget what those called machines who are not there any more."""
        self._machines = {key: machine for key, machine in self._machines.items() if is_there(key[0])}
        known = set(self._machines.values())
        self._names = {machine: name for machine, name in self._names.items() if machine in known}
        self._taken = set(self._names.values())
        self._latest = {address: machine for (_, address), machine in self._machines.items()}

    def knows(self, caller: str, address: str) -> bool:
        """Whether it is known which machine that is."""
        return (caller, address) in self._machines

    def name(self, caller: str, address: str) -> str:
        """Give the name of the machine by which it is counted; of one that is not known, its address."""
        machine = self._machines.get((caller, address))
        return address if machine is None else self._names[machine]

    def first_name(self, address: str) -> str:
        """Give the name of the one machine that anybody calls so; where there are no namesakes."""
        machine = self._latest.get(address)
        return address if machine is None else self._names[machine]

    def expected(self, caller: str, address: str) -> str:
        """Give the name for who is about to connect: what is not known may be another one than others call so."""
        return self.name(caller, address) if self.knows(caller, address) else apart(address, caller)
