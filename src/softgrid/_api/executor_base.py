"""ExecutorBase: what all executors share, and how one is made."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from softgrid import Globals
from softgrid._api import birth, session
from softgrid._api.joining import connect
from softgrid._api.launch_base import LaunchBase
from softgrid._api.methods_table import PROMPT_METHODS, REMOTE_METHODS
from softgrid._io.ports import check_port, own_address
from softgrid._model.errors import BadArgument
from softgrid._model.names import check_given_name
from softgrid._model.roles import Role
from softgrid._model.rules import Rules
from softgrid._model.status import SoftgridStatus
from softgrid._node.logs import LogRecord, Sink
from softgrid._node.node import Node, NodeSpec

LOOPBACK = "127.0.0.1"


class ExecutorBase(LaunchBase):
    """An executor of a grid: Orchestrator, Router, Manager and Worker are made of it.

    Parameters
      1. name (None, str): name of the executor; None: the class name
      2. applicationName (str): name of the application, which heads the log
      3. address (None, str): address of this machine, on which the executor then listens; None: the address is found
         out for the name, and nothing listens beyond loopback
      4. port (int): port of the executor; 0 for any free one
      5. portFetch (bool): whether to take the next free port when that one is in use
      6. password (callable, str): what whoever connects to the port has to prove; by default a random one
      7. allowExecutingUDF (None, bool): whether functions of users are run here; None: as the rules say for the role
      8. relaunch (bool, int): how often the executor may be launched anew when it is lost; True: always
      9. acceptRouters, acceptManagers, acceptWorkers (bool): which roles may stand directly below
      10. temporaryDir, permanentDir, ddfsDir (None, str): folders for what is kept on disk
      11. logKwargs (None, dict): keyword arguments of the Logger, over those of the rules; its 'logTypes' say which
          types of records this executor makes: ``{'logTypes': {'result': {'stdoutFlag': False, 'fileFlag': False}}}``
      12. rules (None, dict): rules that differ from ``softgrid.Globals.RULES``
    """

    def __init__(
        self,
        name: str | None = None,
        applicationName: str = "softgrid_application",
        address: str | None = None,
        port: int = 5000,
        portFetch: bool = True,
        password: str | Callable[[], str] = lambda: random_password(),
        allowExecutingUDF: bool | None = None,
        relaunch: bool | int = True,
        acceptRouters: bool = True,
        acceptManagers: bool = True,
        acceptWorkers: bool = True,
        temporaryDir: str | None = None,
        permanentDir: str | None = None,
        ddfsDir: str | None = None,
        logKwargs: dict[str, Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._heart_monitor_frequency = _positive("heartMonitorFrequency", kwargs.pop("heartMonitorFrequency", 10))
        self._heartbeat_tolerance = _positive("heartbeatTolerance", kwargs.pop("heartbeatTolerance", 60))
        super().__init__(*args, **kwargs)
        launched = birth.launched
        role: Role = self._role  # type: ignore[assignment]
        self._application_name = _text("applicationName", applicationName)
        self._relaunch = _relaunch(relaunch)
        self._accepts = {
            "router": _boolean("acceptRouters", acceptRouters),
            "manager": _boolean("acceptManagers", acceptManagers),
            "worker": _boolean("acceptWorkers", acceptWorkers),
        }
        self._directories = {
            "temporaryDir": temporaryDir,
            "permanentDir": permanentDir,
            "ddfsDir": ddfsDir,
        }
        own_address_given, bind_host = _address(address)
        rules = self._given_rules
        may_run = (
            rules.may_execute(role) if allowExecutingUDF is None else _boolean("allowExecutingUDF", allowExecutingUDF)
        )
        spec = NodeSpec(
            role=role,
            name=check_given_name(type(self).__name__ if name is None else name),
            address=own_address_given,
            bind_host=bind_host,
            port=check_port(port),
            port_fetch=_boolean("portFetch", portFetch),
            password=_text("password", password() if callable(password) else password),
            rules=rules,
            allows_udf=may_run,
            accepted=frozenset(accepted for accepted, is_accepted in self._accepts.items() if is_accepted),  # type: ignore[misc]
            log_kwargs=_log_kwargs(rules, role, logKwargs),
            methods=REMOTE_METHODS,
            prompt_methods=PROMPT_METHODS,
            first_port=port + launched.births if launched else None,
            own_rules=self._rules_given,
            is_udf_given=allowExecutingUDF is not None,
            tolerance_s=self._heartbeat_tolerance,
        )
        self._node = Node(spec, self, self._open_sink, launched.channel if launched else None)
        if launched is None:
            self._node.serve_in_background()
            session.enter(self._node)

    def _open_sink(self) -> Sink:
        kwargs = {**self._node.spec.log_kwargs, "name": self._application_name}
        if birth.launched is not None:
            kwargs["logToStdout"] = False  # what it says is printed where the orchestrator runs
        logger = Globals.Logger(**kwargs)

        def write(record: LogRecord) -> None:
            logger.softgrid_log(record.type, record.message, record.origin, record.utc, record.data, record.tback)
            if logger.flush and sys.stdout is not None:
                sys.stdout.flush()

        return write

    def connect_to_grid(
        self,
        address: str,
        port: int,
        password: str,
        handshakeTrackingKey: str | None = None,
        blocking: bool = False,
        timeout: float = 20,
    ) -> SoftgridStatus:
        """Join a grid by hand, directly below the executor that listens there. Over TCP, in TLS 1.3.

        Parameters
          1. address (str): address or name of the machine of the executor to stand below
          2. port (int): port of that executor
          3. password (str): password of that executor; it is proved in both directions and never sent
          4. handshakeTrackingKey (None, str): a text by which the log of that executor mentions this attempt
          5. blocking (bool): whether to serve the grid in this thread, and return when the grid or this executor's
             part in it has ended. Otherwise the grid is served in the background while the script goes on; functions
             of users run in the main thread only when that is the one that blocks
          6. timeout (number): seconds to connect. When they have passed the process ends with exit status 1, unless
             the session is interactive (``Globals.INTERACTIVE_MODE``): then TimedOut is raised

        Returns
          1. status (Collections.SoftgridStatus): success

        The rules of the grid hold here from then on, with the *rules* given to this executor laid over them. When the
        grid ends, or the connection to it breaks, this executor disconnects, says so in its log, and ends the process
        as ``disconnect()`` would: exit status 0 when the grid has ended in order, else 1.

        Raises Refused when this executor is connected already or is not let in (rules, roles, a name that is taken),
        HandshakeFailed when one of the two does not know the password, NoRoute when nobody can be reached there,
        TlsUnavailable when this machine cannot speak TLS 1.3. Blocks until it is on the grid or has failed.

        >>> from softgrid import Worker
        >>> worker = Worker(killAtDisconnect=False)
        >>> status = worker.connect_to_grid('127.0.0.1', orchestrator.port, orchestrator.password)
        >>> bool(status), worker.gridUniqueName in orchestrator.workers
        (True, True)
        >>> worker.disconnect()
        """
        return connect(self, address, port, password, handshakeTrackingKey, blocking, timeout)

    # -- properties -----------------------------------------------------------------------------------------------

    @property
    def heartMonitorFrequency(self) -> float:
        """Seconds between two looks at whether the executors below are alive."""
        return self._heart_monitor_frequency

    @property
    def heartbeatTolerance(self) -> float:
        """Seconds of silence after which an executor on another machine is taken to be gone."""
        return self._heartbeat_tolerance

    @property
    def relaunch(self) -> bool | int:
        """How often this executor may be launched anew when it is lost; True: always, False: never."""
        return self._relaunch

    @property
    def executorsTransport(self) -> Any:
        """What carries the messages of this executor."""
        return self._node.switch

    @property
    def isOrchestrator(self) -> bool:
        """Whether this is an orchestrator."""
        return self._role == "orchestrator"

    @property
    def isRouter(self) -> bool:
        """Whether this is a router."""
        return self._role == "router"

    @property
    def isManager(self) -> bool:
        """Whether this is a manager."""
        return self._role == "manager"

    @property
    def isWorker(self) -> bool:
        """Whether this is a worker."""
        return self._role == "worker"

    @property
    def allowExecutingUDF(self) -> bool:
        """Whether functions of users are run here."""
        return self._node.execution.allows_udf

    @property
    def machineProperties(self) -> dict[str, Any]:
        """What is known of this machine: address, cores, system, Python."""
        import platform

        return {
            "address": self.address,
            "machine_number_of_cpu": self.machineNumberOfCores,
            "platform": platform.platform(),
            "hostname": platform.node(),
            "python_version": platform.python_version(),
            "python_executable": sys.executable,
        }

    @property
    def softgridProperties(self) -> dict[str, Any]:
        """What is known of this softgrid: its version, the rules."""
        return {"version": self.softgridVersion, "rules": self.rules}

    @property
    def executorProperties(self) -> dict[str, Any]:
        """What is known of this executor; its password is not among it."""
        return {
            "gridUniqueName": self.gridUniqueName,
            "uniqueName": self.uniqueName,
            "name": self.name,
            "role": self.role,
            "pid": self.pid,
            "address": self.address,
            "port": self.port,
            "gridPath": self.gridPath,
            "UTCStartTime": self.UTCStartTime,
            "applicationName": self.applicationName,
            "allowExecutingUDF": self.allowExecutingUDF,
            "relaunch": self.relaunch,
            "acceptRouters": self.acceptRouters,
            "acceptManagers": self.acceptManagers,
            "acceptWorkers": self.acceptWorkers,
        }

    @property
    def acceptRouters(self) -> bool:
        """Whether routers may stand directly below."""
        return self._accepts["router"]

    @property
    def acceptManagers(self) -> bool:
        """Whether managers may stand directly below."""
        return self._accepts["manager"]

    @property
    def acceptWorkers(self) -> bool:
        """Whether workers may stand directly below."""
        return self._accepts["worker"]


def random_password() -> str:
    """Give a password of 256 bits that nobody can guess."""
    return os.urandom(32).hex()


def _text(parameter: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        shown = "an empty string" if value == "" else type(value).__name__ if parameter == "password" else value
        raise BadArgument(parameter, shown, "a string that is not empty")
    return value


def _boolean(parameter: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise BadArgument(parameter, value, "True or False")
    return value


def _positive(parameter: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise BadArgument(parameter, value, "a number of seconds > 0")
    return value


def _relaunch(value: object) -> bool | int:
    if isinstance(value, int) and value >= 0:
        return value
    raise BadArgument("relaunch", value, "True, False or a number of times >= 0")


def _address(given: object) -> tuple[str, str]:
    """Give the address for the name, and the host to bind to."""
    if birth.launched is not None and given is None:
        return birth.launched.address, birth.launched.bind_host
    if given is None:
        return own_address(), LOOPBACK
    address = _text("address", given)
    return address, address


def _log_kwargs(rules: Rules, role: Role, given: object) -> dict[str, Any]:
    if given is not None and not isinstance(given, dict):
        raise BadArgument("logKwargs", given, "None or a dictionary")
    merged = {**rules.log_kwargs(role), **(given or {})}
    types = merged.get("logTypes")
    if types is not None and not isinstance(types, dict):
        raise BadArgument("logKwargs['logTypes']", types, "a dictionary of log types")
    return merged
