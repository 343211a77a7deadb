"""GridBase: who an executor is, whom it knows, and how it leaves."""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from softgrid import Globals
from softgrid._api import stores
from softgrid._api.package import get_version
from softgrid._model.errors import BadArgument
from softgrid._model.names import parse_name
from softgrid._model.roles import PLURAL

if TYPE_CHECKING:
    from softgrid._node.node import Node


class GridBase:
    """What every executor is: its identity, its place on the grid, and leaving it. Cannot be made itself.

    Parameters
      1. killAtDisconnect (None, bool): whether ``disconnect()`` ends the process when it is not told; None: it does
         unless the session is interactive
    """

    _role: str | None = None
    _node: Node

    def __init__(self, killAtDisconnect: bool | None = None) -> None:
        if self._role is None:
            raise TypeError(f"{type(self).__name__} is a base class: make an Orchestrator, Router, Manager or Worker")
        if killAtDisconnect is not None and not isinstance(killAtDisconnect, bool):
            raise BadArgument("killAtDisconnect", killAtDisconnect, "None, True or False")
        self._kill_at_disconnect = killAtDisconnect
        self._unique_name = ""
        self._application_name = "softgrid_application"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.gridUniqueName}{' (disconnected)' if self.isDisconnected else ''}>"

    # -- identity -------------------------------------------------------------------------------------------------

    @property
    def isDisconnected(self) -> bool:
        """Whether this executor has left its grid."""
        return self._node.is_disconnected

    @property
    def killAtDisconnect(self) -> bool | None:
        """Whether ``disconnect()`` ends the process when it is not told; None leaves it to the session."""
        return self._kill_at_disconnect

    @property
    def applicationName(self) -> str:
        """Name of the application, which heads the log."""
        return self._application_name

    @property
    def gridPath(self) -> list[str]:
        """Grid unique names from the orchestrator down to this executor, both included."""
        return list(self._node.tree.path)

    @property
    def gridUniqueName(self) -> str:
        """Name of this executor on the grid, ``role|name@address[pid]:port``."""
        return self._node.name

    @property
    def role(self) -> str:
        """Role of this executor: 'orchestrator', 'router', 'manager' or 'worker'."""
        return self._node.spec.role

    @property
    def pid(self) -> int:
        """Process id on its machine."""
        return self._node.grid_name.pid

    @property
    def address(self) -> str:
        """Address of its machine."""
        return self._node.grid_name.address

    @property
    def port(self) -> int:
        """Port that this executor holds on its machine; orchestrators, routers and managers listen on it."""
        return self._node.grid_name.port

    @property
    def portFetch(self) -> bool:
        """Whether the next free port was to be taken when the given one was in use."""
        return self._node.spec.port_fetch

    @property
    def password(self) -> str:
        """Password that whoever connects to this executor's port has to prove."""
        return self._node.password

    @property
    def name(self) -> str:
        """Name given by the user; the class name when none was given."""
        return self._node.spec.name

    @property
    def softgridVersion(self) -> str:
        """Version of softgrid that this executor runs."""
        return get_version()

    @property
    def uniqueName(self) -> str:
        """Identifier that no other executor has ever had: 128 random bits."""
        return self._unique_name

    @property
    def UTCStartTime(self) -> float:
        """When this executor was made, seconds since the epoch."""
        return self._node.born_utc

    @property
    def startDateTime(self) -> datetime:
        """When this executor was made, in local time."""
        return datetime.fromtimestamp(self._node.born_utc)

    # -- the grid below -------------------------------------------------------------------------------------------

    @property
    def passwords(self) -> dict[str, dict[str, str | None]]:
        """Passwords of the executors directly below, by role and name: ``{'routers': {name: password}, ...}``."""
        direct = self._node.tree.direct()
        return {
            plural: {each.name: each.password for each in direct if each.role == role}
            for plural, role in PLURAL.items()
        }

    @property
    def paths(self) -> dict[str, dict[str, list[str]]]:
        """Ways from the orchestrator to each executor below, itself left out: ``{'router': {name: [names]}, ...}``."""
        below = self._node.tree.below()
        return {role: {each.name: list(each.path) for each in below if each.role == role} for role in PLURAL.values()}

    @property
    def routers(self) -> list[str]:
        """Names of all routers below, in the order in which they were acknowledged."""
        return self._node.tree.names("router")

    @property
    def managers(self) -> list[str]:
        """Names of all managers below, in the order in which they were acknowledged."""
        return self._node.tree.names("manager")

    @property
    def workers(self) -> list[str]:
        """Names of all workers below, in the order in which they were acknowledged."""
        return self._node.tree.names("worker")

    def split_grid_unique_name(self, gridUniqueName: str) -> tuple[str, str, str, int, int]:
        """Take a grid unique name apart.

        Parameters
          1. gridUniqueName (str): ``role|name@address[pid]:port``

        Returns
          1. role (str), name (str), address (str), pid (int), port (int)

        Raises ValueError (MalformedName), which says what a good name looks like. Does not block.

        >>> orchestrator.split_grid_unique_name('worker|Worker@10.0.0.7[1234]:5001')
        ('worker', 'Worker', '10.0.0.7', 1234, 5001)
        """
        parsed = parse_name(gridUniqueName)
        return parsed.role, parsed.name, parsed.address, parsed.pid, parsed.port

    # -- the log --------------------------------------------------------------------------------------------------

    def log_and_transfer(self, logType: str, message: Any, tback: Any = None, *args: Any, **kwargs: Any) -> None:
        """Print a record; ``TransferBase`` makes it travel."""
        sys.stdout.write(f"{logType} {message} {tback or ''}\n")

    def transfer_to_executor_and_log(
        self,
        receiver: Any,
        logType: str,
        message: Any,
        tback: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Print a record; ``TransferBase`` makes another executor say it."""
        self.log_and_transfer(logType, message, tback)

    # -- what it keeps, and what it makes importable ---------------------------------------------------------------

    add_object, get_object, pop_object = stores.add_object, stores.get_object, stores.pop_object
    add_data, get_data, pop_data = stores.add_data, stores.get_data, stores.pop_data
    add_file, get_file, pop_file = stores.add_file, stores.get_file, stores.pop_file
    add_udf, get_udf, pop_udf = stores.add_udf, stores.get_udf, stores.pop_udf
    add_package = stores.add_package

    # -- leaving --------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End this process at once by SIGKILL. Its supervisor ends what was below and removes its temporary folder."""
        os.kill(os.getpid(), signal.SIGKILL)

    def disconnect(self, kill: bool | None = None, killLocalDowngrids: bool = True) -> None:
        """Leave the grid; the executors below leave with it.

        Parameters
          1. kill (None, bool): whether to end this process afterwards (exit status 0). None: as ``killAtDisconnect``
             says, and where that is None too, unless the session is interactive
          2. killLocalDowngrids (bool): whether to kill the executors below that run on this machine; otherwise they end
             by themselves when they notice

        Blocks until what is still to be logged is written and the processes are gone, 2 s at most, and until what was
        kept in the temporary folder is removed. Harmless twice.
        """
        self._node.leave(kill_local_downgrids=killLocalDowngrids)
        if kill is None:
            kill = self._kill_at_disconnect
        if kill is None:
            kill = not Globals.INTERACTIVE_MODE
        if kill:
            end_process(0)


def end_process(status: int) -> NoReturn:
    """End this process at once, with what it has said so far."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(status)
