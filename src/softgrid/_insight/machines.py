"""The machines of a grid as one executor sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softgrid._node.node import Node
    from softgrid._state.tree import Member


def machine_table(node: Node, *, with_lost: bool = False) -> dict[str, dict[str, Any]]:
    """Give the executors below *node* by the address of their machine and by role.

    Where several machines have one address, all but the first are told apart by who calls them so.

    Where executors do not work although they are there, 'suspect' says why, by their names; and, if asked for, 'lost'
    says of what those died that were lost lately.
    """
    table: dict[str, dict[str, Any]] = {}
    for member in node.tree.below():
        machine = _machine_of(member, node.launching.places.machine_of(member), table)
        machine[member.role].append(member.name)
        suspicion = node.tree.suspicion(member.name)
        if suspicion is not None:
            machine.setdefault("suspect", {})[member.name] = suspicion
    for member, cause in list(node.membership.lost.values()) if with_lost else ():
        name = node.launching.places.machine_of(member)
        _machine_of(member, name, table).setdefault("lost", {})[member.name] = cause
    return table


def _machine_of(member: Member[Any], name: str, table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return table.setdefault(name, {"router": [], "manager": [], "worker": [], "machine_number_of_cpu": member.cores})
