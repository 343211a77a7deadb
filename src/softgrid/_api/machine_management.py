"""MachineManagement: the machines below an executor and the rules that hold there."""

from __future__ import annotations

from typing import Any

from softgrid import Globals
from softgrid._api.boundary import or_status
from softgrid._api.grid_base import GridBase
from softgrid._insight.machines import machine_table
from softgrid._model.errors import BadArgument
from softgrid._model.rules import Rules
from softgrid._model.status import SoftgridStatus
from softgrid._state.capacity import check_rules_fit, fewest, remaining


class MachineManagement(GridBase):
    """What an executor knows of machines, its own and those below it.

    Parameters
      1. rules (None, dict): rules that differ from ``softgrid.Globals.RULES``, e.g.
         ``{'machine_maximum_number_of_workers': None}``
    """

    def __init__(self, rules: dict[str, Any] | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if rules is not None and not isinstance(rules, dict):
            raise BadArgument("rules", rules, "None or a dictionary of rules")
        self._rules_given = dict(rules or {})
        self._given_rules = Rules({**Globals.RULES, **self._rules_given})

    @property
    def machines(self) -> dict[str, dict[str, Any]]:
        """Executors below by the address of their machine and by role, with each machine's number of cores.

        Those that do not work although they are there, since they are stopped or their machine is silent, stand in the
        dictionary 'suspect' of the machine too, with the reason; and in its dictionary 'lost' stand those that were
        lost lately (the last hundred of the grid), with the cause. Each is missing where there are none.
        """
        return machine_table(self._node, with_lost=True)

    @property
    def machineNumberOfCores(self) -> int:
        """Number of cores of this machine that this process may use."""
        return self._node.cores

    @property
    def machinesAddress(self) -> list[str]:
        """Addresses of the machines of the executors below."""
        return list(machine_table(self._node))

    @property
    def rules(self) -> dict[str, Any]:
        """Copy of the rules of this executor."""
        return self._node.rules.as_dict()

    def get_machine_rules(self, address: str) -> dict[str, Any]:
        """Give a copy of the rules that hold on a machine; the default rules when it has none of its own.

        Parameters
          1. address (str): address of the machine
        """
        return self._node.rules.for_machine(address).as_dict()

    @or_status
    def set_machine_rules(self, address: str, rules: dict[str, Any]) -> Any:
        """Set rules of a machine, unless it holds more executors already than they would allow.

        Parameters
          1. address (str): address of the machine
          2. rules (dict): the rules that differ from those of the grid, see ``softgrid.Globals``

        Returns
          1. status (Collections.SoftgridStatus): success, or failure with the reason; the old rules hold on then
        """
        new = self._node.rules.for_machine_set(address, _checked(rules))
        for names in self._node.launching.places.on_machines_of(address):
            check_rules_fit(address, names, new.for_machine(address), self._cores_of(address))
        self._node.rules = new
        return SoftgridStatus(True, message=f"rules of machine {address} are set")

    def get_machine_info(self, address: str) -> dict[str, Any]:
        """Give what is known of a machine: its executors by role, its cores, its rules, what it may still take.

        Parameters
          1. address (str): address of the machine
        """
        known = machine_table(self._node).get(address, {"router": [], "manager": [], "worker": []})
        return {
            **known,
            "machine_number_of_cpu": self._cores_of(address),
            "rules": self.get_machine_rules(address),
            "allowed": self.get_remaining_executors_allowed(address),
        }

    def get_remaining_executors_allowed(self, address: str) -> dict[str, int | None]:
        """Give how many more routers, managers and workers a machine may take; None where there is no limit.

        Parameters
          1. address (str): address of the machine; of several that are called the same, what each of them may take

        >>> orchestrator.get_remaining_executors_allowed(orchestrator.address)['number_of_managers']
        1
        """
        rules, cores = self._node.rules, self._cores_of(address)
        machines = self._node.launching.places.on_machines_of(address)
        return fewest([remaining(address, names, rules, cores) for names in machines])

    def _cores_of(self, address: str) -> int:
        known = machine_table(self._node).get(address)
        return known["machine_number_of_cpu"] if known else self._node.cores


def _checked(rules: object) -> dict[str, Any]:
    if not isinstance(rules, dict):
        raise BadArgument("rules", rules, "a dictionary of rules")
    return rules
