"""TransferBase: send work to any executor and collect what comes back; make others say things in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrid import Globals
from softgrid._api.boundary import cancel_status, or_status, statuses_for_failures
from softgrid._api.machine_management import MachineManagement
from softgrid._model.errors import BadArgument
from softgrid._model.status import SoftgridStatus
from softgrid._model.transfer import TransferSpec
from softgrid._state.inflight import matching
from softgrid._state.receivers import expand_receivers, managers_with_workers
from softgrid._state.timeouts import check_seconds, wait_timeout

RECEIVERS = """receivers are 'upgrid', 'routers', 'managers', 'workers', a grid unique name, or a list of these"""


class TransferBase(MachineManagement):
    """Everything by which executors reach each other. Cannot be made itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def get_managers_to_workers_receivers_bounce_lists(self) -> tuple[list[str], list[list[str]]]:
        """Give the managers below and, for each, its workers: ready to send to each manager once and bounce from there.

        Returns
          1. receivers (list): names of the managers
          2. bounce (list): a list of names of workers for each of them
        """
        return managers_with_workers(self._node.tree)

    def get_transfer_template(
        self,
        func: str | Callable[..., Any] | None = None,
        args: tuple[Any, ...] | list[Any] | None = None,
        kwargs: dict[str, Any] | list[tuple[str, Any]] | tuple[tuple[str, Any], ...] | None = None,
        priority: float | None = 1,
        bounce: Any = None,
        promisePassword: str | None = None,
        returnResult: bool = True,
        storeResult: bool = False,
        resultName: str | None = None,
        *,
        retries: int | dict[str, int] = 0,
        retry_on: Any = None,
        label: str | None = None,
    ) -> dict[str, Any]:
        """Give a dictionary that describes one call, to be changed at will and handed to ``transfer``.

        Parameters
          1. func (str, callable): what to run: a callable (lambdas, closures, bound methods and callable objects too),
             source text of a function or lambda, or the name of a method of the executor or of a stored function
          2. args (None, tuple, list): positional arguments
          3. kwargs (None, dict, tuple, list): keyword arguments; a tuple or list has pairs of a name and a value
          4. priority (None, number): place in the receiver's queue, smaller first; None runs at once, beside the queue
          5. bounce (None, str, list): see ``transfer``
          6. promisePassword (None, str): password of a promise, whose queue is used then
          7. returnResult (bool): whether the result comes back
          8. storeResult (bool): whether it is kept at the receiver, in ``_executedStored[resultName]``
          9. resultName (None, str): name under which it is kept; a result that comes back is then added to the list
             ``_executedReturned[resultName]`` here, and without a name logged if nobody collects it
          10. retries (int, dict): how often the call is tried again: so often when its executor is lost and so often
              when its function raises, or ``{'lost': 2, 'failed': 1}``. 0: it runs at most once. A lost executor's
              heir runs it then, as soon as it is there (see *relaunch*). Whatever it asks for, a call is not run again
              when three executors have died while they ran it, nor when it was refused, cancelled or timed out
          11. retry_on (None, class, list): exceptions of the function that count; None: every ``Exception``. What tells
              the attempts apart is ``softgrid.current_attempt()``
          12. label (None, str): what the call can be cancelled by, see ``cancel_transfer``

        Returns
          1. template (dict): the keys 'mode', 'function', 'args', 'kwargs', 'first_argument_executor', 'priority',
             'promise_password', 'bounce_transfer', 'allow_bridging', 'result_handling' and the flags
             'propagate_upgrid', 'propagate_routers', 'propagate_managers', 'propagate_workers' and
             'propagate_recursive', by which the receiver passes the call on; and 'retries', 'retry_on' and 'label'

        >>> template = orchestrator.get_transfer_template(func=pow, args=(2, 10))
        >>> orchestrator.transfer(template, receivers='workers', collect=True)
        [1024]
        """
        return {
            "mode": "execute",
            "propagate_upgrid": False,
            "propagate_routers": False,
            "propagate_managers": False,
            "propagate_workers": False,
            "propagate_recursive": False,
            "bounce_transfer": bounce,
            "allow_bridging": True,
            "function": func,
            "first_argument_executor": None,
            "promise_password": promisePassword,
            "args": args,
            "kwargs": kwargs,
            "result_handling": {
                "return_result": returnResult,
                "store_result": storeResult,
                "result_name": resultName,
            },
            "priority": priority,
            "retries": retries,
            "retry_on": retry_on,
            "label": label,
        }

    def get_transfer_wait_timeout(
        self, transferTimeout: float = 10, multiplier: float = 3, pathLength: int | None = None
    ) -> float:
        """Give ``transferTimeout * ceil(pathLength / multiplier)`` in seconds, never less than one *transferTimeout*.

        Parameters
          1. transferTimeout (number): seconds to wait for one transfer
          2. multiplier (number): how many hops one such time is good for
          3. pathLength (None, int): hops of the way; None: up to the orchestrator

        >>> orchestrator.get_transfer_wait_timeout(10, multiplier=3, pathLength=4)
        20.0
        """
        return wait_timeout(transferTimeout, multiplier, len(self.gridPath) if pathLength is None else pathLength)

    def get_small_transfer_wait_timeout(self, pathLength: int | None = None) -> float:
        """``get_transfer_wait_timeout`` with the rules ``timeout_short`` and ``timeout_short_multiplier``."""
        rules = self._node.rules
        return self.get_transfer_wait_timeout(rules["timeout_short"], rules["timeout_short_multiplier"], pathLength)

    def get_big_transfer_wait_timeout(self, pathLength: int | None = None) -> float:
        """``get_transfer_wait_timeout`` with the rules ``timeout_long`` and ``timeout_long_multiplier``."""
        rules = self._node.rules
        return self.get_transfer_wait_timeout(rules["timeout_long"], rules["timeout_long_multiplier"], pathLength)

    @or_status
    def transfer(
        self,
        transferKwargs: dict[str, Any] | list[dict[str, Any]],
        receivers: Any,
        allowBridging: bool | list[Any] | None = True,
        bounce: Any = None,
        collect: bool = False,
        transferTimeout: float | None = None,
        multiplier: float | list[float] = Globals.maxint,
        *,
        onTimeout: str = "drop",
    ) -> Any:
        """Have a function run by other executors.

        Parameters
          1. transferKwargs (dict, list): what to run, see ``get_transfer_template``; a list has one for each receiver
          2. receivers (str, list): 'upgrid', 'routers', 'managers', 'workers' (all below this executor), a grid unique
             name, or a list of these; a list inside the list is a trajectory of connected executors: its last is meant
          3. allowBridging (None, bool, list): whether a bridge to a receiver may be used (see ``build_bridge``); None:
             as 'allow_bridging' of the transfer kwargs says; a list has one item for each receiver
          4. bounce (None, str, list): one item for each receiver: None, or a name or list of names to which it passes
             the call on instead of running it; what is meant for many workers of a manager then travels to it once
          5. collect (bool): whether to wait for the results and return them
          6. transferTimeout (None, number): seconds after which a result is no longer waited for; the call may run on
          7. multiplier (number, list): the timeout is multiplied by ``ceil(len(gridPath) / multiplier)``; a list has
             one for each receiver, so that one may be waited for longer than another
          8. onTimeout (str): what becomes of a call that has not ended then: 'drop': it may run on; 'kill': it is
             cancelled as by ``cancel_transfer``

        Returns
          1. values (list, None, Collections.SoftgridStatus): with *collect* the results in the order of the receivers
             (where one bounces, of those it bounced to); in the place of a result that did not come stands a failed
             status that says why, with the transfer kwargs as data and the function's own exception, if it was one.
             Without *collect*, None. A failed status alone when the transfer as a whole could not be made.

        Blocks with *collect* until all receivers have answered, failed or died; otherwise until the data has left.
        Ctrl-C meanwhile cancels these calls.
        """
        spec = TransferSpec(
            transferKwargs, receivers, bounce, bool(collect), transferTimeout, multiplier, allowBridging, onTimeout
        )
        return statuses_for_failures(self._node.transfer(spec))

    @or_status
    def cancel_transfer(
        self, label: str | None = None, receivers: Any = None, grace: float | None = None
    ) -> list[SoftgridStatus] | SoftgridStatus:
        """Cancel calls that this executor has made and that have not ended: queued ones never run, running ones stop.

        In a function that runs KeyboardInterrupt is raised, once. If its call has not ended *grace* seconds later its
        worker is killed, with all that waits there, and launched anew (see *relaunch*). Only workers that the grid has
        launched are killed; elsewhere a function that does not listen runs on.

        Parameters
          1. label (None, str): the calls with that *label* (see ``get_transfer_template``); None: all
          2. receivers (None, str, list): only those at these executors, as the receivers of ``transfer``; None: all
          3. grace (None, number): seconds; None: as the rule ``cancel_grace_time`` says

        Returns
          1. statuses (list): for each of these calls a Collections.SoftgridStatus with its receiver as name: successful
             when it is over, failed when it still runs, with the reason. Whoever collects the call has a failed status
             in the place of its result, with a ``softgrid.Collections.Cancelled`` as exception. Empty when there are no
             such calls. A failed status alone when a parameter cannot be meant

        Blocks until all of them are over, at most *grace* and some seconds.

        >>> def endless():
        ...     import time
        ...     while True:
        ...         time.sleep(3600)
        >>> orchestrator.schedule_task(endless, collect=False, label='endless')
        >>> [status.successful for status in orchestrator.cancel_transfer('endless')]
        [True]
        >>> orchestrator.cancel_transfer('endless')
        []
        """
        names = None if receivers is None else frozenset(expand_receivers(self._node.tree, receivers))
        outcomes = self._node.cancel(matching(label, names), None if grace is None else check_seconds(grace, "grace"))
        return [cancel_status(name, why) for name, why in outcomes]

    @property
    def _executedReturned(self) -> dict[str, list[Any]]:
        """Results that came back under a name: for each name the list of them, in the order in which they came."""
        return self._node.returned_results

    @property
    def _executedStored(self) -> dict[str, Any]:
        """Results that this executor was asked to keep: for each name the last one."""
        return self._node.execution.stored_results

    def log_and_transfer(  # type: ignore[override]
        self,
        logType: str,
        message: Any,
        data: Any = None,
        tback: Any = None,
        gridUniqueName: str | None = None,
        utcTime: float | None = None,
        transferRoute: list[str] | None = None,
        logLocally: bool = True,
    ) -> None:
        """Log something here and send it up the grid, where the orchestrator logs it with its origin and time.

        Parameters
          1. logType (str): type of the record: 'debug', 'info', 'warn', 'error', 'critical' or one of ``logKwargs``
          2. message (object): what to say
          3. data (object): something to show with it, as text
          4. tback (None, str, traceback.StackSummary): a traceback to show with it
          5. gridUniqueName (None, str): who says it; None: this executor
          6. utcTime (None, float): when it was said, seconds since the epoch; None: now
          7. transferRoute (None, list): not to be given
          8. logLocally (bool): whether to log it here too

        Blocks only while more than a MiB of this executor's records is under way.
        """
        self._node.logs.say(
            _checked_type(logType),
            message,
            data=data,
            tback=_text_of(tback),
            origin=gridUniqueName,
            utc=utcTime,
            locally=logLocally,
        )

    @or_status
    def _log_elsewhere(self, receiver: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        template = self.get_transfer_template("log_and_transfer", args, kwargs, None, returnResult=False)
        return statuses_for_failures(self._node.transfer(TransferSpec(template, receiver)))

    def transfer_to_executor_and_log(
        self,
        receiver: Any,
        logType: str,
        message: Any,
        tback: Any = None,
        largs: tuple[Any, ...] | list[Any] | None = None,
        lkwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Have other executors log something and send it up the grid from there.

        Parameters
          1. receiver (str, list): as the receivers of ``transfer``
          2. logType (str), message (object), tback (None, str): as for ``log_and_transfer``
          3. largs (None, list, tuple): further positional arguments of ``log_and_transfer``
          4. lkwargs (None, dict): further keyword arguments of ``log_and_transfer``

        Returns a failed status when it could not be sent, else None. Does not wait for the record to be written.
        """
        keywords = {**(lkwargs or {}), **({} if tback is None else {"tback": _text_of(tback)})}
        return self._log_elsewhere(receiver, (_checked_type(logType), message, *(largs or ())), keywords)


def _checked_type(log_type: object) -> str:
    if not isinstance(log_type, str) or not log_type:
        raise BadArgument("logType", log_type, "a string, e.g. 'info'")
    return log_type


def _text_of(tback: Any) -> str | None:
    if tback is None or isinstance(tback, str):
        return tback
    import traceback

    return "".join(traceback.format_list(tback))
