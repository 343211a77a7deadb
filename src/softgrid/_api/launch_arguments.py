"""What the launch methods accept, widened from "one or a list" and checked before anything is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from softgrid._model.addresses import parse_address
from softgrid._model.errors import BadArgument
from softgrid._model.names import check_given_name, parse_name
from softgrid._model.roles import parse_role

if TYPE_CHECKING:
    from softgrid._wire.control import Message

Item = dict[str, Any]
"""Parameters of one launch, under the names that the public lists of successes and failures use."""


def launch_items(
    executor_address: Any,
    executor_type: Any,
    executor_kwargs: Any,
    upgrid: Any,
    user: Any,
    executable: Any,
    own_name: str,
) -> list[Item]:
    """Give the parameters of each launch; raises BadArgument naming the parameter at fault."""
    addresses = [executor_address] if isinstance(executor_address, str) else executor_address
    if not isinstance(addresses, (list, tuple)):
        raise BadArgument("executorAddress", executor_address, "an address or a list of addresses")
    columns = {
        "executorAddress": list(addresses),
        "executorType": _widen("executorType", executor_type, len(addresses)),
        "executorKwargs": _widen("executorKwargs", executor_kwargs, len(addresses)),
        "upgridUniqueName": [name or own_name for name in _widen("upgridUniqueName", upgrid, len(addresses))],
        "machineUser": _widen("machineUser", user, len(addresses)),
        "machineExecutable": _widen("machineExecutable", executable, len(addresses)),
    }
    items = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for item in items:
        _check_item(item)
    return items


def _widen(parameter: str, value: Any, count: int) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise BadArgument(
            parameter,
            f"{len(value)} items",
            f"one value, or a list as long as executorAddress ({count})",
        )
    return list(value)


def _check_item(item: Item) -> None:
    if not isinstance(item["executorAddress"], str) or not item["executorAddress"]:
        raise BadArgument("executorAddress", item["executorAddress"], "an address or a list of addresses")
    parse_address(item["executorAddress"])
    parse_role(item["executorType"])
    parse_name(item["upgridUniqueName"], "upgridUniqueName")
    for parameter in ("machineUser", "machineExecutable"):
        if item[parameter] is not None and not isinstance(item[parameter], str):
            raise BadArgument(parameter, item[parameter], "None, a string, or a list of these")
    if item["executorKwargs"] is not None and not isinstance(item["executorKwargs"], dict):
        raise BadArgument("executorKwargs", item["executorKwargs"], "None, a dictionary, or a list of these")


def as_message(item: Item, accepted: Callable[[str], frozenset[str]]) -> Message:
    """Give an item as it travels to the executor that performs it; raises BadArgument for kwargs that cannot."""
    from softgrid._io.ports import is_local
    from softgrid._wire.control import encode_control

    role = parse_role(item["executorType"])
    kwargs = dict(item["executorKwargs"] or {})
    for key in kwargs:
        if key not in accepted(role):
            raise BadArgument(
                "executorKwargs",
                key,
                f"parameters of a {role}: {', '.join(sorted(accepted(role)))}",
            )
    if kwargs.get("name") is not None:
        check_given_name(kwargs["name"])
    if callable(kwargs.get("password")):
        kwargs["password"] = kwargs["password"]()
    try:
        encode_control(kwargs)
    except BadArgument:
        raise BadArgument(
            "executorKwargs",
            kwargs,
            "values of plain types: text, numbers, booleans, lists, dictionaries",
        ) from None
    executable = item["machineExecutable"]
    if executable is not None and os.sep in executable and is_local(item["executorAddress"]):
        executable = os.path.abspath(executable)
    return {
        "role": role,
        "kwargs": kwargs,
        "upgrid": item["upgridUniqueName"],
        "address": item["executorAddress"],
        "user": item["machineUser"],
        "executable": executable,
        "path": [os.path.abspath(entry) for entry in sys.path] if executable is None else None,
    }
