"""The four roles and what each may hold. One table; nobody else compares role names by hand."""

from __future__ import annotations

from typing import Literal, cast

from softgrid._model.errors import BadArgument

Role = Literal["orchestrator", "router", "manager", "worker"]

LAUNCHABLE: tuple[Role, ...] = ("router", "manager", "worker")
PLURAL: dict[str, Role] = {"routers": "router", "managers": "manager", "workers": "worker"}

DOWNGRIDS: dict[Role, frozenset[Role]] = {
    "orchestrator": frozenset(LAUNCHABLE),
    "router": frozenset(LAUNCHABLE),
    "manager": frozenset({"worker"}),
    "worker": frozenset(),
}
"""Which roles may stand directly under which."""


DEFAULT_RELAUNCH: dict[Role, bool | int] = {"worker": True, "manager": 10, "router": 5}
"""How often an executor is launched anew when it is lost, unless it was launched with another ``relaunch``."""


def parse_role(text: object, parameter: str = "executorType") -> Role:
    """Read a launchable role, in any case: 'Worker', 'worker'."""
    if isinstance(text, str) and text.lower() in LAUNCHABLE:
        return cast(Role, text.lower())
    raise BadArgument(parameter, text, "'Router', 'Manager' or 'Worker'")
