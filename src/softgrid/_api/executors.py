"""The four executors: one class per role, differing in their defaults and in what may stand below them."""

from __future__ import annotations

import sys
from typing import Any

from softgrid import Globals
from softgrid._api.boundary import or_status, outcome_of
from softgrid._api.executor_base import ExecutorBase
from softgrid._api.task_scheduler import TaskScheduler
from softgrid._model.errors import Refused
from softgrid._model.status import SoftgridStatus
from softgrid._state.receivers import expand_receivers


class Worker(ExecutorBase):
    """Runs functions of users, one of a queue at a time, in the main thread of its process. Nothing stands below it."""

    _role = "worker"

    def __init__(
        self,
        address: str | None = None,
        port: int = 5001,
        relaunch: bool | int = True,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        kwargs.update(address=address, port=port, relaunch=relaunch)
        super().__init__(*args, **kwargs)

    @property
    def isWorker(self) -> bool:
        """True."""
        return True

    @property
    def role(self) -> str:
        """'worker'"""
        return "worker"


class Manager(ExecutorBase):
    """Holds the workers of a machine."""

    _role = "manager"

    def __init__(
        self,
        address: str | None = None,
        port: int = 5000,
        relaunch: bool | int = 10,
        allowExecutingUDF: bool | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        kwargs.update(address=address, port=port, relaunch=relaunch, allowExecutingUDF=allowExecutingUDF)
        super().__init__(*args, **kwargs)

    @property
    def launchScripts(self) -> None:
        """Print the script by which a worker joins below this manager, by hand and from any machine.

        See ``Orchestrator.launchScripts``.
        """
        _print_launch_script(self)

    @property
    def isManager(self) -> bool:
        """True."""
        return True

    @property
    def role(self) -> str:
        """'manager'"""
        return "manager"


class Router(ExecutorBase):
    """Splits the grid into branches: routers, managers and workers stand below it."""

    _role = "router"

    def __init__(
        self,
        address: str | None = None,
        port: int = 5001,
        relaunch: bool | int = 5,
        allowExecutingUDF: bool | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        kwargs.update(address=address, port=port, relaunch=relaunch, allowExecutingUDF=allowExecutingUDF)
        super().__init__(*args, **kwargs)

    @property
    def launchScripts(self) -> None:
        """Print the script by which a router, manager or worker joins below this router, by hand and from any machine.

        See ``Orchestrator.launchScripts``.
        """
        _print_launch_script(self)

    @property
    def isRouter(self) -> bool:
        """True."""
        return True

    @property
    def role(self) -> str:
        """'router'"""
        return "router"


class Orchestrator(ExecutorBase, TaskScheduler):
    """The first executor of a grid, which it creates; lives in the process of the script that makes it.

    Parameters: those of ExecutorBase, and
      1. heartMonitorFrequency (number): seconds within which it is noticed that another machine is silent
      2. heartbeatTolerance (number): seconds of silence after which it is given up, with the executors on it
      3. acceptManagers, acceptWorkers (None, bool): whether they may stand directly below; None: as the rules say
    """

    _role = "orchestrator"

    def __init__(
        self,
        address: str | None = None,
        port: int = 5000,
        allowExecutingUDF: bool | None = False,
        heartMonitorFrequency: float = 10,
        heartbeatTolerance: float = 60,
        acceptManagers: bool | None = None,
        acceptWorkers: bool | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        from softgrid._launch.starting import start_supervisor

        given = kwargs.get("rules")
        rules = {**Globals.RULES, **(given if isinstance(given, dict) else {})}
        kwargs.update(
            address=address,
            port=port,
            allowExecutingUDF=allowExecutingUDF,
            heartMonitorFrequency=heartMonitorFrequency,
            heartbeatTolerance=heartbeatTolerance,
            acceptManagers=rules.get("orchestrator_allow_managers") if acceptManagers is None else acceptManagers,
            acceptWorkers=rules.get("orchestrator_allow_workers") if acceptWorkers is None else acceptWorkers,
        )
        started = start_supervisor()  # which loads what executors need while this process does so too
        try:
            super().__init__(*args, **kwargs)
        except BaseException:
            started.give_up()
            raise
        self._node.launching.take_supervisor(started)

    @property
    def role(self) -> str:
        """'orchestrator'"""
        return "orchestrator"

    @property
    def isOrchestrator(self) -> bool:
        """True."""
        return True

    @property
    def launchScripts(self) -> None:
        """Print the script by which a router, manager or worker joins below this orchestrator, by hand and from any
        machine.

        The script is complete: it needs a Python 3.10 or newer there, and nothing installed. It is saved and run
        (``python3 join.py --role manager``), or pasted at a Python prompt. It does not hold the password: it asks for
        it at the terminal, or reads it from the file given as ``--password-file``, so that it may be sent by mail;
        whoever has the script alone cannot join.

        An executor that was made without an address listens on its own machine only, and its script says so. To keep
        the script, redirect what is printed: ``with contextlib.redirect_stdout(file): orchestrator.launchScripts``.

        Does not block beyond writing; a tenth of a second the first time.
        """
        _print_launch_script(self)

    def connect_to_grid(self, *args: Any, **kwargs: Any) -> SoftgridStatus:
        """Raise Refused: an orchestrator makes its grid and stands below nobody."""
        raise Refused(f"{self.gridUniqueName} is an orchestrator: it makes a grid and joins none")

    @property
    def gridPath(self) -> list[str]:
        """The orchestrator's own name, alone: every way begins here."""
        return [self.gridUniqueName]

    @or_status
    def kill_executor(self, receivers: Any) -> Any:
        """End executors by force, whatever they are doing; everything below them ends with them.

        Parameters
          1. receivers (str, list): 'routers', 'managers', 'workers' (all of them), a grid unique name, or a list of
             these; a list inside the list is a trajectory of connected executors: its last is meant

        Returns
          1. statuses (list, Collections.SoftgridStatus): one for each receiver: success when it is gone (then nothing
             knows its name any more), or failure with the reason: nobody of that name, gone before, its upgrid did not
             answer. A failed status alone when the receivers as a whole make no sense.

        A killed executor finishes nothing and cleans up nothing; who waits for its answers is told at once; it is not
        launched anew, whatever its ``relaunch`` says. Nobody kills the orchestrator so, which has ``kill`` and
        ``disconnect``. Blocks until all are gone, usually some milliseconds, at most
        ``get_big_transfer_wait_timeout()``.

        >>> [str(status) for status in orchestrator.kill_executor('workers')]
        ['worker|Worker@...: succeeded: killed']
        >>> orchestrator.workers
        []
        """
        names = expand_receivers(self._node.tree, receivers)
        errors = self._node.killing.kill(names, self.get_big_transfer_wait_timeout())
        return [outcome_of(name, "killed", error) for name, error in zip(names, errors, strict=True)]

    @or_status
    def garbage_collect(self, receivers: Any = None) -> Any:
        """Have executors run Python's garbage collector, beside whatever they are doing.

        Parameters
          1. receivers (None, str, list): as for ``kill_executor``; None: all routers, managers and workers

        Returns
          1. statuses (list, Collections.SoftgridStatus): one for each receiver, whose data is the number of objects
             found that nobody could reach; or failure with the reason. A failed status alone when the receivers as a
             whole make no sense.

        Blocks until all have answered, at most ``get_big_transfer_wait_timeout()``.

        >>> [type(status.data).__name__ for status in orchestrator.garbage_collect('workers')]
        ['int']
        """
        names = expand_receivers(
            self._node.tree, ["routers", "managers", "workers"] if receivers is None else receivers
        )
        found = self._node.garbage.collect(names, self.get_big_transfer_wait_timeout())
        return [outcome_of(name, "collected", each) for name, each in zip(names, found, strict=True)]


def _print_launch_script(executor: ExecutorBase) -> None:
    from softgrid._api.launch_script import launch_script

    sys.stdout.write(launch_script(executor._node))
