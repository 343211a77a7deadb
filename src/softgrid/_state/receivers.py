"""Where a transfer goes: keywords, names and trajectories, widened to a flat list of targets in the order given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from softgrid._model.errors import BadArgument
from softgrid._model.names import parse_name
from softgrid._model.roles import PLURAL
from softgrid._state.tree import Tree

_ACCEPTED = (
    "'upgrid', 'routers', 'managers', 'workers', a grid unique name, a trajectory (a list of connected names "
    "inside the list of receivers), or a list of these"
)


def expand_receivers(tree: Tree[Any], receivers: object) -> list[str]:
    """Give the names that *receivers* stands for; raises BadArgument for what cannot be meant.

    Whether each can be reached is not asked here: one that has died must not keep the others from their work.
    """
    if isinstance(receivers, str):
        return _expand_text(tree, receivers)
    if not isinstance(receivers, (list, tuple)):
        raise BadArgument("receivers", receivers, _ACCEPTED)
    if all([isinstance(item, str) and "|" in item for item in receivers]):  # noqa: C419  (a list is faster)
        for name in set(receivers):
            parse_name(name, "receivers")
        return list(receivers)
    return [name for item in receivers for name in _expand_item(tree, item)]


def _expand_item(tree: Tree[Any], item: object) -> list[str]:
    if isinstance(item, str):
        return _expand_text(tree, item)
    if isinstance(item, (list, tuple)) and item:
        return [_end_of_trajectory(tree, [str(parse_name(name, "receivers")) for name in item])]
    raise BadArgument("receivers", item, _ACCEPTED)


def _expand_text(tree: Tree[Any], text: str) -> list[str]:
    if text in PLURAL:
        return tree.names(PLURAL[text])
    if text == "upgrid":
        if tree.upgrid is None:
            raise BadArgument("receivers", text, f"something else here: {tree.name} has no upgrid")
        return [tree.upgrid]
    if "|" not in text:
        raise BadArgument("receivers", text, _ACCEPTED)
    parse_name(text, "receivers")
    return [text]


def _end_of_trajectory(tree: Tree[Any], names: list[str]) -> str:
    """Check that each name is connected to the next, as far as this executor can know; give the last."""
    hops = names[1:] if names[0] == tree.name else names
    if not hops:
        return names[0]
    for here, there in zip([tree.name, *hops], hops, strict=False):
        if not _may_be_connected(tree, here, there):
            raise BadArgument(
                "receivers",
                names,
                f"a trajectory of connected executors ({here} is not connected to {there})",
            )
    return hops[-1]


def _may_be_connected(tree: Tree[Any], here: str, there: str) -> bool:
    for lower, upper in ((here, there), (there, here)):
        path = tree.path_of(lower)
        if path is not None and len(path) > 1 and path[-2] == upper:
            return True
    known = tree.path_of(here) is not None and tree.path_of(there) is not None
    below = tree.find(here) or tree.find(there) or tree.name in (here, there)
    return not known and not below


def expand_bounce(tree: Tree[Any], bounce: object, count: int) -> list[list[str] | None]:
    """Give for each of *count* receivers the names it fans out to, or None where it is the target itself."""
    if bounce is None:
        return [None] * count
    if isinstance(bounce, str):
        bounce = [bounce]
    if not isinstance(bounce, (list, tuple)) or len(bounce) != count:
        given = f"{len(bounce)} items" if isinstance(bounce, (list, tuple)) else bounce
        raise BadArgument("bounce", given, f"None or a list as long as the receivers ({count})")
    return [_expand_bounce_item(tree, item) for item in bounce]


def _expand_bounce_item(tree: Tree[Any], item: object) -> list[str] | None:
    if item is None:
        return None
    names = [item] if isinstance(item, str) else item
    if not isinstance(names, (list, tuple)):
        raise BadArgument("bounce", item, "None, a grid unique name or a list of grid unique names")
    for name in names:
        parse_name(name, "bounce")
    return list(names)


def common_ways(names: Iterable[str], way_of: Callable[[str], str | None]) -> dict[str, str]:
    """Give the way of each who shares it with another; who has none, or has it alone, is not in it."""
    sharing: dict[str, list[str]] = {}
    for name in names:
        way = way_of(name)
        if way is not None:
            sharing.setdefault(way, []).append(name)
    return {name: way for way, those in sharing.items() if len(those) > 1 for name in those}


def expand_bridging(allowed: object, count: int) -> list[bool | None]:
    """Give for each of *count* receivers whether a bridge may be used; None leaves it to the call itself."""
    if not isinstance(allowed, (list, tuple)):
        allowed = [allowed] * count
    elif len(allowed) != count:
        raise BadArgument("allowBridging", f"{len(allowed)} items", f"a list as long as the receivers ({count})")
    for item in allowed:
        if item is not None and not isinstance(item, bool):
            raise BadArgument("allowBridging", item, "None, True, False or a list of these, one per receiver")
    return list(allowed)


def may_bridge(allowed: bool | None, kwargs: Mapping[str, Any]) -> bool:
    """Say whether a call may take a bridge: as ``transfer`` was told, or else as the call itself says."""
    if allowed is None:
        allowed = kwargs.get("allow_bridging", True)
        if not isinstance(allowed, bool):
            raise BadArgument("allow_bridging", allowed, "True or False")
    return allowed


def managers_with_workers(tree: Tree[Any]) -> tuple[list[str], list[list[str]]]:
    """Give the managers below and, for each, the workers below it."""
    managers = tree.names("manager")
    workers: dict[str, list[str]] = {manager: [] for manager in managers}
    for member in tree.below():
        if member.role == "worker" and member.upgrid in workers:
            workers[member.upgrid].append(member.name)
    return managers, [workers[manager] for manager in managers]


PROPAGATE = (
    "propagate_upgrid",
    "propagate_routers",
    "propagate_managers",
    "propagate_workers",
    "propagate_recursive",
)


def propagation(tree: Tree[Any], flags: set[str], came_from: str | None) -> Iterator[tuple[str, set[str]]]:
    """Say to whom a receiver passes a propagating transfer on, and with which flags left; nobody gets it twice.

    Everybody below is reached by this one step, so what goes down carries no flags. What goes up carries them on only
    when recursive; *came_from* is the neighbour below whose subtree has it already.
    """
    for plural, role in PLURAL.items():
        if f"propagate_{plural}" in flags:
            for name in tree.names(role):
                member = tree.find(name)
                if member and name != came_from and came_from not in member.path:
                    yield name, set()
    if "propagate_upgrid" in flags and tree.upgrid is not None:
        yield tree.upgrid, set(flags) if "propagate_recursive" in flags else set()
