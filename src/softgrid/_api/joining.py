"""What ``connect_to_grid`` means for the process: it waits, it serves, and it ends when its grid ends."""

from __future__ import annotations

import sys
import threading
from typing import Any, NoReturn

from softgrid import Globals
from softgrid._api.grid_base import GridBase, end_process
from softgrid._model.errors import BadArgument, TimedOut
from softgrid._model.status import SoftgridStatus
from softgrid._state.timeouts import check_timeout


def connect(
    executor: GridBase, address: Any, port: Any, password: Any, key: Any, blocking: Any, timeout: Any
) -> SoftgridStatus:
    """Join a grid; see ``ExecutorBase.connect_to_grid``."""
    node = executor._node
    seconds = check_timeout(timeout, "timeout", none_allowed=False)
    assert seconds is not None
    if not isinstance(blocking, bool):
        raise BadArgument("blocking", blocking, "True or False")
    if key is not None and not isinstance(key, str):
        raise BadArgument("handshakeTrackingKey", key, "None or a string")
    _check_door(address, port, password)
    if node.tree.upgrid is None:  # one that was launched ends with its grid anyway
        node.on_upgrid_lost = lambda reason: _on_grid_gone(executor, reason)
    background = node.execution.serve_elsewhere
    if blocking:  # what comes before this thread serves waits for it
        node.serve_later()
    try:
        node.join(address, port, password, seconds, key)
    except BaseException as error:
        node.execution.serve_elsewhere = background
        if not isinstance(error, TimedOut) or Globals.INTERACTIVE_MODE:
            raise
        _end_unconnected(executor, error)
    if node.execution.allows_udf and node.rules["fetch_modules"]:
        node.modules.serve_imports()
    message = f"{node.name} is on the grid below {node.tree.upgrid}"
    if blocking:
        node.serve()
        message = f"{node.name} has left the grid"
    return SoftgridStatus(True, message=message, data=node.name)


def _check_door(address: object, port: object, password: object) -> None:
    if not isinstance(address, str) or not address or "\0" in address:
        raise BadArgument("address", address, "the address or name of a machine")
    from softgrid._io.ports import check_port

    if check_port(port) == 0:
        raise BadArgument("port", port, "an integer from 1 to 65535")
    if not isinstance(password, str):
        raise BadArgument("password", type(password).__name__, "a string")


def _end_unconnected(executor: GridBase, error: TimedOut) -> NoReturn:
    if sys.stderr is not None:
        sys.stderr.write(f"{executor.gridUniqueName} could not connect to a grid: {error}\n")
    executor._node.leave()
    end_process(1)


def _on_grid_gone(executor: GridBase, reason: str) -> None:
    """The way up is gone. Called in the reactor's turn, in which nobody waits: leaving takes a thread of its own."""
    kills = executor.killAtDisconnect
    if kills is None:
        kills = not Globals.INTERACTIVE_MODE
    threading.Thread(target=_leave, args=(executor, reason, kills), name="softgrid-leaving").start()


def _leave(executor: GridBase, reason: str, kills: bool) -> None:
    node = executor._node
    is_orderly = node.membership.upgrid_said_bye
    text = f"the grid has ended: {node.tree.upgrid} has left" if is_orderly else f"the grid is gone: {reason}"
    node.logs.say("info" if is_orderly else "error", text)
    node.leave()
    if kills:
        end_process(0 if is_orderly else 1)
