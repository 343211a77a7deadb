"""ExecutorBase: what all executors share, and how one is made."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from softgrid import Globals
from softgrid._api import birth, here, session
from softgrid._api.boundary import or_status, statuses_for_errors
from softgrid._api.joining import connect
from softgrid._api.launch_base import LaunchBase
from softgrid._api.methods_table import ORDERED_METHODS, PROMPT_METHODS, REMOTE_METHODS, USERS_METHODS
from softgrid._model.errors import BadArgument
from softgrid._model.names import check_given_name, checked_names, parse_name
from softgrid._model.roles import Role
from softgrid._model.rules import Rules
from softgrid._model.status import SoftgridStatus
from softgrid._state.timeouts import check_seconds

if TYPE_CHECKING:
    from softgrid._node.logs import LogRecord, Sink


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
      10. temporaryDir (None, str): folder in which the executor makes its own temporary one, which goes with it; None:
          where temporary files go on its machine
      11. permanentDir (None, str): folder for what is to outlive the executor; executors may share one; None:
          ``softgrid/permanent`` in the user's data folder (``$XDG_DATA_HOME``, else ``~/.local/share``)
      12. ddfsDir (None, str): folder for tables
      13. logKwargs (None, dict): keyword arguments of the Logger, over those of the rules; its 'logTypes' say which
          types of records this executor makes: ``{'logTypes': {'result': {'stdoutFlag': False, 'fileFlag': False}}}``
      14. rules (None, dict): rules that differ from ``softgrid.Globals.RULES``
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
        # imported here, since a script that imports softgrid may never make an executor, and this is most of softgrid
        from softgrid._io.ports import check_port
        from softgrid._launch.homes import new_home
        from softgrid._node.home import permanent_folder
        from softgrid._node.node import Node, NodeSpec
        from softgrid._state.health import Terms

        terms = Terms(
            _positive("heartMonitorFrequency", kwargs.pop("heartMonitorFrequency", 10)),
            _positive("heartbeatTolerance", kwargs.pop("heartbeatTolerance", 60)),
        )
        super().__init__(*args, **kwargs)
        self._is_launched = birth.launched is not None
        role: Role = self._role  # type: ignore[assignment]
        self._application_name = _text("applicationName", applicationName)
        self._relaunch = _relaunch(relaunch)
        self._accepts = {
            "router": _boolean("acceptRouters", acceptRouters),
            "manager": _boolean("acceptManagers", acceptManagers),
            "worker": _boolean("acceptWorkers", acceptWorkers),
        }
        temporary, permanent = _folder("temporaryDir", temporaryDir), _folder("permanentDir", permanentDir)
        ddfs = here.ddfs_folder(_folder("ddfsDir", ddfsDir))
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
            rules=rules,
            allows_udf=may_run,
            accepted=frozenset(accepted for accepted, is_accepted in self._accepts.items() if is_accepted),  # type: ignore[misc]
            log_kwargs=_log_kwargs(rules, role, logKwargs),
            methods=REMOTE_METHODS,
            prompt_methods=PROMPT_METHODS,
            ordered_methods=ORDERED_METHODS,
            users_methods=USERS_METHODS,
            permanent=permanent_folder(permanent),
            own_rules=self._rules_given,
            is_udf_given=allowExecutingUDF is not None,
            terms=terms,
        )
        self._password_given = password
        self._ddfs_folder = ddfs
        self._node = Node(spec, self, self._open_sink)
        if not self._is_launched:
            self._begin(new_home(temporary))
            self._node.serve_in_background()
            session.enter(self._node)

    def _begin(self, home: str, first_port: int | None = None, channel: socket.socket | None = None) -> None:
        """Be somebody, in the process that this executor is to live in."""
        self._unique_name = os.urandom(16).hex()
        given = self._password_given
        self._node.open(_text("password", given() if callable(given) else given), home, first_port, channel)
        here.enter(self, self._ddfs_folder)

    def _open_sink(self) -> Sink:
        kwargs = {**self._node.spec.log_kwargs, "name": self._application_name}
        if self._is_launched:
            kwargs["logToStdout"] = False  # what it says is printed where the orchestrator runs
        logger = Globals.Logger(**kwargs)

        def write(record: LogRecord) -> None:
            logger.softgrid_log(record.type, record.message, record.origin, record.utc, record.data, record.tback)
            if logger.flush and sys.stdout is not None:
                sys.stdout.flush()

        return write

    # -- bridges --------------------------------------------------------------------------------------------------

    @or_status
    def build_bridge(self, bridgeToGUN: str, bridgeFromGUN: str | None = None, timeout: float = 10) -> SoftgridStatus:
        """Connect two executors directly, wherever they stand on the grid.

        What either of them then transfers to the other no longer travels the tree, and the results neither, unless
        ``transfer`` is told otherwise by *allowBridging*. Nothing else takes a bridge: neither the calls of other
        executors nor those that are bounced. When it breaks, everything takes the tree again: nothing is lost, nothing
        is run twice, and the order of the calls is kept.

        Parameters
          1. bridgeToGUN (str): grid unique name of the executor to which the bridge leads
          2. bridgeFromGUN (None, str): the executor at which it begins; None: this one
          3. timeout (number): seconds after which it has failed when it is not there

        Returns
          1. status (Collections.SoftgridStatus): its data is a dictionary with 'bridgeFromGUN', 'bridgeToGUN' and
             'bridgePassword', which ``destroy_bridge`` wants. Failed when a name is wrong, nobody of that name is on
             the grid, both names are the same, there is such a bridge already, or no connection comes about: between
             machines that takes an address on which the executor to which the bridge leads can be reached.

        Blocks until the bridge is there or has failed.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.build_bridge(worker)
        >>> bool(status), sorted(status.data)
        (True, ['bridgeFromGUN', 'bridgePassword', 'bridgeToGUN'])
        >>> bool(orchestrator.destroy_bridge(worker, status.data['bridgePassword']))
        True
        """
        to = str(parse_name(bridgeToGUN, "bridgeToGUN"))
        begins = self.gridUniqueName if bridgeFromGUN is None else str(parse_name(bridgeFromGUN, "bridgeFromGUN"))
        if to == begins:
            raise BadArgument("bridgeToGUN", to, "another executor than the one at which the bridge begins")
        password = self._node.build_bridge(to, begins, check_seconds(timeout))
        data = {"bridgeFromGUN": begins, "bridgeToGUN": to, "bridgePassword": password}
        return SoftgridStatus(True, message=f"bridge from {begins} to {to}", data=data, name=to)

    @or_status
    def destroy_bridge(self, bridgeToGUN: str, bridgePassword: str) -> SoftgridStatus:
        """Destroy the bridge between this executor and another one; either of its two ends can.

        What is on its way over it is neither lost nor run twice, and what comes after it takes the tree.

        Parameters
          1. bridgeToGUN (str): grid unique name of the executor at the other end
          2. bridgePassword (str): 'bridgePassword' from the status of ``build_bridge``

        Returns
          1. status (Collections.SoftgridStatus): failed when no bridge leads there from here, or the password is wrong,
             and then the bridge stays as it is

        Blocks until both ends know, as long as ``get_small_transfer_wait_timeout()`` says at most; after that no bridge
        is used any more either, and the status says that the other end has not confirmed it. To destroy a bridge
        between two others, have one of them do it: the function of the transfer is then 'destroy_bridge'.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.build_bridge(worker)
        >>> print(orchestrator.destroy_bridge(worker, 'guessed').error)
        bridgePassword: it is not the one that was given when the bridge was built
        >>> bool(orchestrator.destroy_bridge(worker, status.data['bridgePassword']))
        True
        """
        to = str(parse_name(bridgeToGUN, "bridgeToGUN"))
        password = _text("bridgePassword", bridgePassword)
        self._node.destroy_bridge(to, password, self.get_small_transfer_wait_timeout())
        return SoftgridStatus(True, message=f"no bridge leads to {to} any more", name=to)

    # -- promises -------------------------------------------------------------------------------------------------

    @or_status
    def add_promise(
        self, creatorGUN: str, promisePassword: str | None = None, promiseTimeout: float = 60, force: bool = True
    ) -> Any:
        """Hold a place in this executor's queue: a promise to run what comes with its password.

        A promise stands in line where it came. What is in the queue before it runs first; once it is at the head,
        nothing else starts here but calls with its password, in the order of their priority, and calls with priority
        None, which run beside the queue. It ends when the calls that came to it are done, when it is removed, when
        *promiseTimeout* has passed and none came, or when its creator has left the grid. Calls that still wait in it
        then are refused; what runs goes on.

        Parameters
          1. creatorGUN (str): grid unique name of the executor it is made for
          2. promisePassword (None, str): the password; None: one that nobody can guess
          3. promiseTimeout (number): seconds without a call, from now on, after which it ends; it may run out while
             other calls are still running
          4. force (bool): whether to place it however much there is to do before; otherwise only when nothing is
             running, queued or promised here

        Returns
          1. status (dict, Collections.SoftgridStatus): whether it is 'placed', and if not, the 'reason'; whether it is
             'at_head' already; the 'queue_length', 'number_of_existing_promises' and 'number_of_running_executions'
             that it found; 'promise_create_time' (seconds since the epoch), 'promise_password', or None when it was
             not placed; 'promise_executor', this executor's name. A failed status for parameters that cannot be meant.

        Does not block.

        >>> promise = orchestrator.add_promise(orchestrator.gridUniqueName, promiseTimeout=5)
        >>> promise['placed'], promise['number_of_existing_promises']
        (True, 0)
        >>> orchestrator.remove_promise(promise['promise_password'])['removed']
        True
        """
        self._node.check_open()
        return self._node.promises.add_for(creatorGUN, promisePassword, promiseTimeout, force=force)

    @or_status
    def remove_promise(self, promisePassword: str, force: bool = False) -> Any:
        """Remove a promise from this executor's queue.

        Parameters
          1. promisePassword (str): its password
          2. force (bool): whether to remove it although calls wait in it, which are refused then; what runs goes on

        Returns
          1. status (dict, Collections.SoftgridStatus): whether it is 'removed', and if not, the 'reason';
             'remaining_queue_length', the number of calls that waited in it. A failed status for parameters that
             cannot be meant.

        Does not block.

        >>> orchestrator.remove_promise('never made')['reason']
        'no promise with that password is held here'
        """
        self._node.check_open()
        return self._node.promises.remove(promisePassword, force=force)

    @or_status
    def transfer_remove_promise(self, workerGUN: str | list[str], promisePassword: str, force: bool = False) -> Any:
        """Remove a promise from the queues of other executors.

        Parameters
          1. workerGUN (str, list): grid unique name of the executor that holds it, or a list of them
          2. promisePassword (str), force (bool): as for ``remove_promise``

        Returns
          1. status (list, Collections.SoftgridStatus): for each executor the dictionary of ``remove_promise``, or a
             failed status if it did not answer or has died. A failed status alone for parameters that cannot be meant.

        Blocks until all have answered or died, or ``get_big_transfer_wait_timeout`` has passed.

        >>> orchestrator.transfer_remove_promise(orchestrator.workers, 'never made')[0]['removed']
        False
        """
        self._node.check_open()
        names = checked_names(workerGUN, "workerGUN")
        removed = self._node.reserving.remove(names, promisePassword, self.get_big_transfer_wait_timeout(), force=force)
        return statuses_for_errors(names, removed)

    @or_status
    def transfer_add_promise(
        self,
        workerGUN: str | list[str],
        promisePassword: str | None = None,
        promiseTimeout: float = 60,
        force: bool = True,
    ) -> Any:
        """Have other executors hold a place in their queues, for work of this one or of whoever has the password.

        Parameters
          1. workerGUN (str, list): grid unique name of the executor that is to hold it, or a list of them
          2. promisePassword (None, str): the password, the same everywhere; None: one that nobody can guess
          3. promiseTimeout (number), force (bool): as for ``add_promise``

        Returns
          1. status (list, Collections.SoftgridStatus): for each executor the dictionary of ``add_promise``, or a
             failed status if it did not answer or has died. A failed status alone for parameters that cannot be meant.

        Blocks until all have answered or died, or ``get_big_transfer_wait_timeout`` has passed; what one answers later
        is taken back.

        >>> [promise] = orchestrator.transfer_add_promise(orchestrator.workers[0], promiseTimeout=5)
        >>> promise['placed'], promise['at_head']
        (True, True)
        >>> orchestrator.transfer_remove_promise(promise['promise_executor'], promise['promise_password'])[0]['removed']
        True
        """
        self._node.check_open()
        names = checked_names(workerGUN, "workerGUN")
        patience = self.get_big_transfer_wait_timeout()
        added = self._node.reserving.add(names, promisePassword, promiseTimeout, patience, force=force)
        return statuses_for_errors(names, added)

    @or_status
    def _dump_repository(self, path: Any, info: Any, replace: Any, shipped: Any, replace_files: Any) -> Any:
        """What ``Addons.RepositoryTransfer`` has a receiver do."""
        from softgrid._api.repository_transfer import RepositoryTransfer
        from softgrid._store.repositories import ShippedFiles

        if not isinstance(shipped, ShippedFiles):
            raise BadArgument("files", type(shipped), "what get_repository_transfer_kwargs gives")
        return RepositoryTransfer.dump(self, path, info, replace, shipped.files, replace_files)

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
        """Seconds within which it is noticed that another machine is silent; what holds for the grid is sent down.

        Five signs of life are given within this time; a machine that misses three is *suspect*: its executors are given
        no new tasks, jobs and promises until it answers again. Executors of one machine need no such signs.
        """
        return self._node.health.terms.frequency_s

    @property
    def heartbeatTolerance(self) -> float:
        """Seconds of silence after which another machine, or of being stopped after which an executor, is given up.

        What holds for the grid is sent down. An executor that is busy is never given up, however busy it is.
        """
        return self._node.health.terms.tolerance_s

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
        is_secret = parameter.lower().endswith("password")
        shown = "an empty string" if value == "" else type(value).__name__ if is_secret else value
        raise BadArgument(parameter, shown, "a string that is not empty")
    return value


def _folder(parameter: str, value: object) -> str | None:
    if value is None:
        return None
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise BadArgument(parameter, value, "None, or the path of a folder")
    return os.path.abspath(os.path.expanduser(path))


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
        from softgrid._io.ports import LOOPBACK, own_address

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
