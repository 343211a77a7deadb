"""Keeping things with other executors: one call by name to all of them, and its results as users get them.

Called by MethodsBase. Where *receivers* can only mean one executor the result is its own, else a list in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrid._api.boundary import status_of, statuses_for_failures
from softgrid._model.errors import SoftgridError
from softgrid._model.roles import PLURAL
from softgrid._model.status import SoftgridStatus
from softgrid._model.transfer import TransferSpec
from softgrid._state.timeouts import check_timeout

if TYPE_CHECKING:
    from softgrid._node.node import Node


def call_elsewhere(
    node: Node, method: str, args: tuple[Any, ...], receivers: Any, timeout: Any, *, bounce: Any = None, waits: bool
) -> Any:
    """Have executors call one of their methods; gives its results, or None at once when nobody waits for them."""
    call = {
        "function": method,
        "args": args,
        "priority": None,
        "result_handling": {"return_result": waits},
    }
    seconds = check_timeout(timeout, "timeout")
    results = statuses_for_failures(node.transfer(TransferSpec(call, receivers, bounce, waits, seconds)))
    if results is None or not _means_one(receivers, bounce):
        return results
    return results[0]


def _means_one(receivers: Any, bounce: Any) -> bool:
    return isinstance(receivers, str) and receivers not in PLURAL and bounce is None


def fetch(
    node: Node,
    kind: str,
    name: str,
    receivers: Any,
    timeout: Any,
    default: Any,
    *,
    must_exist: bool,
    pops: bool = False,
) -> Any:
    """Have executors hand over what they keep under a name, and make it anew here."""
    waits = not pops or timeout is not None
    args = (kind, name, bool(must_exist), pops, waits)
    found = call_elsewhere(node, "_hand_over", args, receivers, timeout, waits=waits)
    if not waits:
        return None
    if isinstance(found, list):
        return [_unpacked(kind, name, each, default) for each in found]
    return _unpacked(kind, name, found, default)


def _unpacked(kind: str, name: str, found: Any, default: Any) -> Any:
    if found is None:
        return default
    if isinstance(found, SoftgridStatus):
        return found
    from softgrid._store.callables import function_from
    from softgrid._store.objects import revive

    try:
        if kind == "data":
            return found[0]
        return function_from(found, "func", name) if kind == "function" else revive(found).value
    except SoftgridError as error:
        return status_of(error)
