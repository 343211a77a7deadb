"""TaskScheduler: tasks and jobs laid over the workers of a grid."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from softgrid import Globals
from softgrid._api.boundary import or_status, status_of, statuses_for_failures
from softgrid._api.job_arguments import job_wish, removal_statuses, task_templates, without_failures
from softgrid._model.errors import SoftgridError
from softgrid._model.status import SoftgridStatus
from softgrid._state.receivers import expand_receivers
from softgrid._state.reservations import Wish
from softgrid._state.timeouts import check_timeout

if TYPE_CHECKING:
    from softgrid._node.node import Node

Bridges = dict[str, list[tuple[str, str]]]
Function = str | dict[str, Any] | Callable[..., Any]


class TaskScheduler:
    """What schedules tasks; an executor class inherits it beside ExecutorBase."""

    _node: Node

    @or_status
    def schedule_task(
        self,
        func: Function,
        fargs: list[Any] | tuple[Any, ...] | None = None,
        fkwargs: dict[str, Any] | None = None,
        worker: str | None = None,
        priority: float | None = 1,
        promisePassword: str | None = None,
        collect: bool = True,
        returnResult: bool = True,
        storeResult: bool = False,
        resultName: str | None = None,
        taskTimeout: float | None = None,
        multiplier: float = Globals.maxint,
        *,
        retries: int | dict[str, int] = 0,
        retry_on: Any = None,
        label: str | None = None,
        onTimeout: str = "drop",
    ) -> Any:
        """Have a worker run a function.

        Parameters
          1. func (str, dict, callable): what to run: a callable, source text, source text in a dictionary (``{'source':
             text}``, with a 'name' too where the text defines several functions), or the name of a method of the
             worker or of a function stored there
          2. fargs (None, list): positional arguments
          3. fkwargs (None, dict): keyword arguments
          4. worker (None, str): grid unique name of the worker; None: of the workers below that may run it, the one
             that has least to do as far as is known here; with a promise, of those that hold it
          5. priority (None, number): place in the queue, smaller first, in order within one number; None: beside it
          6. promisePassword (None, str): password of a promise, in whose queue the task is put then
          7. collect (bool): whether to wait for the result and return it
          8. returnResult (bool): whether the result comes back: under *resultName* it is added to the list
             ``_executedReturned[resultName]``, without a name and not collected it is logged
          9. storeResult (bool): whether the worker keeps the result, in its ``_executedStored[resultName]``; not
             without a name
          10. resultName (None, str): name under which the result is kept
          11. taskTimeout (None, number): seconds after which the result is no longer waited for; the task may run on
          12. multiplier (number): the timeout is multiplied by ``ceil(executors on the way / multiplier)``
          13. retries (int, dict), retry_on (None, class, list), label (None, str): see ``get_transfer_template``. Where
              no worker was named, whoever has least to do then tries the task again
          14. onTimeout (str): 'drop' or 'kill', see ``transfer``

        Returns
          1. result (list, None, Collections.SoftgridStatus): with *collect* a list of one item: the result, or a
             failed status if the task failed, was refused (no such promise), or its worker died; of a task that was
             tried several times it says how each attempt ended. Without *collect* None. A failed status alone when the
             task could not be given to anybody.

        Blocks with *collect* until the task has ended; otherwise until it has left. Ctrl-C meanwhile cancels it.

        >>> orchestrator.schedule_task(pow, [2, 10])
        [1024]
        """
        template = self.get_transfer_template(  # type: ignore[attr-defined]
            func,
            fargs,
            fkwargs,
            priority,
            promisePassword=promisePassword,
            returnResult=returnResult,
            storeResult=storeResult,
            resultName=resultName,
            retries=retries,
            retry_on=retry_on,
            label=label,
        )
        self._node.check_open()
        results = self._node.scheduling.task(
            template, worker, taskTimeout, multiplier, collect=bool(collect), on_timeout=onTimeout
        )
        return statuses_for_failures(results)

    @or_status
    def create_job_promise(
        self,
        ntasks: int | None = None,
        workers: list[str] | None = None,
        nworkersMin: int | None = None,
        promisePassword: str | None = None,
        promiseTimeout: float = 60,
        transferTimeout: float | None = 10,
        force: bool = False,
        verbose: bool = False,
    ) -> Any:
        """Reserve several workers for one job, under one password: at least so many as there must be, or none.

        Workers are asked in the order of what they have to do; for one that refuses, the next one is asked.

        Parameters
          1. ntasks (None, int): the number of tasks; no more workers than that are reserved. None: it is not known,
             and all that can be had are
          2. workers (None, list): grid unique names of the workers to choose from; None: all below that run functions
             of users
          3. nworkersMin (None, int): how many there must be; with fewer nothing stays reserved. None: one
          4. promisePassword (None, str): the password; None: one that nobody can guess. A worker that holds a promise
             with that password already refuses
          5. promiseTimeout (number): seconds after which a promise to which no work has come ends
          6. transferTimeout (None, number): seconds in which all must be reserved; None: as *promiseTimeout*
          7. force (bool): whether to reserve a busy worker too, which then serves this job after what it has to do
             already; otherwise only idle ones are reserved, and all of them serve it at once
          8. verbose (bool): whether to log what comes of it

        Returns
          1. statuses (list, Collections.SoftgridStatus): for each promise a dictionary as ``add_promise`` gives it,
             with 'promise_password' and 'promise_executor'. A failed status when there are too few.

        Blocks until every worker that was asked has answered or died, at most *transferTimeout*.

        >>> promises = orchestrator.create_job_promise(ntasks=1)
        >>> one = promises[0]
        >>> orchestrator.schedule_task(abs, [-7], worker=one['promise_executor'],
        ...                            promisePassword=one['promise_password'])
        [7]
        """
        self._node.check_open()
        wish = Wish(ntasks, workers, nworkersMin, promisePassword, promiseTimeout, transferTimeout, force)
        return self._node.scheduling.reserve(wish, is_verbose=bool(verbose))

    @or_status
    def remove_job_promise(
        self, promises: str | dict[str, Any] | list[Any], force: bool = True, verbose: bool = True
    ) -> Any:
        """Take the promises of a job back.

        Parameters
          1. promises (str, dict, list): a password, for all promises with it; a dictionary as ``create_job_promise``
             and ``transfer_add_promise`` give it; or a list of these (failed statuses in it are passed over)
          2. force (bool): whether also a promise in whose queue calls wait, which are refused then; what runs goes on
          3. verbose (bool): whether to log what comes of it

        Returns
          1. results (list): for each promise a Collections.SoftgridStatus, with the worker as its name and the
             dictionary of ``remove_promise`` as its data

        Blocks until the workers have answered or died.

        >>> promises = orchestrator.create_job_promise()
        >>> removed = orchestrator.remove_job_promise(promises, verbose=False)
        >>> all(removed), len(removed) == len(promises)
        (True, True)
        """
        self._node.check_open()
        patience = self.get_big_transfer_wait_timeout()  # type: ignore[attr-defined]
        given = without_failures(promises)
        return removal_statuses(self._node.scheduling.take_back(given, patience, force=force, is_verbose=bool(verbose)))

    @or_status
    def schedule_job(
        self,
        funcs: Function | list[Any],
        collect: bool = True,
        resultName: str | None = None,
        jobTimeout: float | None = None,
        jobPromiseKwargs: dict[str, Any] | None = None,
        verbose: bool = True,
        *,
        retries: int | dict[str, int] = 0,
        retry_on: Any = None,
        label: str | None = None,
        onTimeout: str = "drop",
    ) -> Any:
        """Have many tasks run by workers that are reserved for them.

        Each worker is dealt tasks as fast as it can take them, and let go of when nothing is left for it; a worker
        that is busy takes part as soon as its turn has come. The promises of a job last until then.

        Parameters
          1. funcs (list, str, dict, callable): the tasks: tuples (function, None or list of arguments, None or
             dictionary of keyword arguments), of which the last ones may be missing; or one function, see
             ``schedule_task``, for a job of one task
          2. collect (bool): whether to wait for the results and return them
          3. resultName (None, str): the results are added to the list ``_executedReturned[resultName]``
          4. jobTimeout (None, number): seconds after which the job is over: what has not begun is not begun any more,
             and what runs is not waited for
          5. jobPromiseKwargs (None, dict): parameters of ``create_job_promise``; unless given, *ntasks* is the number
             of tasks, and *force* is True, so that a job waits for busy workers instead of failing
          6. verbose (bool): whether to log the begin and the end of the job
          7. retries (int, dict), retry_on (None, class, list), label (None, str): of each task, see
             ``get_transfer_template``. With retries after a loss the heir of a lost worker, or else any other worker,
             takes its part in the job
          8. onTimeout (str): what becomes of tasks that run when *jobTimeout* is over: 'drop' or 'kill', see
             ``transfer``

        Returns
          1. values (list, None, Collections.SoftgridStatus): with *collect* the results in the order of the tasks; in
             the place of a task that failed, or whose worker died, a failed status, with the transfer kwargs as data;
             the others go on. Without *collect* None. A failed status alone when the job could not begin: no tasks,
             too few workers.

        Blocks with *collect* until all tasks have ended; otherwise until the workers are reserved.

        >>> orchestrator.schedule_job([(pow, [2, n]) for n in range(5)], verbose=False)
        [1, 2, 4, 8, 16]
        """
        template = partial(self.get_transfer_template, retries=retries, retry_on=retry_on, label=label)  # type: ignore[attr-defined]
        tasks = task_templates(funcs, resultName, template)
        wish = job_wish(len(tasks), jobPromiseKwargs)
        self._node.check_open()
        from softgrid._node.jobs import JobSpec

        spec = JobSpec(tasks, wish, bool(collect), jobTimeout, bool(verbose), onTimeout)
        return statuses_for_failures(self._node.scheduling.job(spec))

    def get_executors_bridges(
        self, receivers: Any = None, timeout: float | None = 20, keepDuplicates: bool = False
    ) -> tuple[list[SoftgridStatus], Bridges]:
        """Ask executors which bridges they have.

        Parameters
          1. receivers (None, str, list): whom to ask, as the receivers of ``transfer``; None: all routers, managers and
             workers below
          2. timeout (None, number): seconds to wait for the answers; None: no limit
          3. keepDuplicates (bool): every bridge has two ends; True: list it at both, if both were asked; False: only at
             the first of them

        Returns
          1. errors (list): a failed Collections.SoftgridStatus for each executor that gave no answer
          2. bridges (dict): for each executor that answered, its bridges: a list of pairs of grid unique names, from
             where to where each was built

        Blocks until all have answered, failed or died.

        >>> worker = orchestrator.workers[0]
        >>> status = orchestrator.build_bridge(worker)
        >>> errors, bridges = orchestrator.get_executors_bridges()
        >>> errors, bridges[worker] == [(orchestrator.gridUniqueName, worker)]
        ([], True)
        >>> bool(orchestrator.destroy_bridge(worker, status.data['bridgePassword']))
        True
        """
        everybody = ["routers", "managers", "workers"]
        try:
            names = expand_receivers(self._node.tree, everybody if receivers is None else receivers)
            found = dict(zip(names, self._node.bridges_of(names, check_timeout(timeout)), strict=True))
        except SoftgridError as error:
            return [status_of(error)], {}
        errors = [status_of(answer, name=name) for name, answer in found.items() if isinstance(answer, SoftgridError)]
        bridges = {name: answer for name, answer in found.items() if not isinstance(answer, SoftgridError)}
        return errors, bridges if keepDuplicates else _each_once(bridges)


def _each_once(bridges: Bridges) -> Bridges:
    seen: set[tuple[str, str]] = set()
    once: Bridges = {}
    for name, pairs in bridges.items():
        once[name] = [pair for pair in pairs if pair not in seen]
        seen.update(pairs)
    return once
