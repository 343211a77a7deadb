"""The machines of a grid as one executor sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softgrid._node.node import Node


def machine_table(node: Node) -> dict[str, dict[str, Any]]:
    """Give the executors below *node* by the address of their machine and by role."""
    table: dict[str, dict[str, Any]] = {}
    for member in node.tree.below():
        machine = table.setdefault(
            member.parsed.address,
            {"router": [], "manager": [], "worker": [], "machine_number_of_cpu": member.cores},
        )
        machine[member.role].append(member.name)
    return table
