"""The machines of a grid as one executor sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softgrid._node.node import Node


def machine_table(node: Node) -> dict[str, dict[str, Any]]:
    """Give the executors below *node* by the address of their machine and by role.

    Where executors do not work although they are there, 'suspect' says why, by their names.
    """
    table: dict[str, dict[str, Any]] = {}
    for member in node.tree.below():
        machine = table.setdefault(
            member.parsed.address,
            {"router": [], "manager": [], "worker": [], "machine_number_of_cpu": member.cores},
        )
        machine[member.role].append(member.name)
        suspicion = node.tree.suspicion(member.name)
        if suspicion is not None:
            machine.setdefault("suspect", {})[member.name] = suspicion
    return table
