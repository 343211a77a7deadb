"""What the methods of TaskScheduler take and give, between the dialect and the inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from softgrid._model.errors import BadArgument, SoftgridError
from softgrid._model.status import SoftgridStatus
from softgrid._state.jobs import read_tasks
from softgrid._state.reservations import Wish

if TYPE_CHECKING:
    from softgrid._node.scheduling import Removed

_FIELDS = {
    "ntasks": "ntasks",
    "workers": "workers",
    "nworkersMin": "nworkers_min",
    "promisePassword": "password",
    "promiseTimeout": "promise_timeout",
    "transferTimeout": "transfer_timeout",
    "force": "force",
}


def task_templates(funcs: object, result_name: object, template: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the transfer kwargs of each task."""
    return [template(task.function, task.args, task.kwargs, resultName=result_name) for task in read_tasks(funcs)]


def job_wish(ntasks: int, given: object) -> Wish:
    """Give what a job of so many tasks asks for; *given* are keyword arguments of ``create_job_promise``."""
    kwargs = {} if given is None else given
    if not isinstance(kwargs, dict) or kwargs.keys() - _FIELDS.keys() - {"verbose"}:
        raise BadArgument("jobPromiseKwargs", given, f"None or a dictionary of {', '.join(_FIELDS)}, verbose")
    wish = Wish(force=True)._replace(**{_FIELDS[key]: value for key, value in kwargs.items() if key in _FIELDS})
    return wish if wish.ntasks is not None else wish._replace(ntasks=ntasks)


def without_failures(promises: object) -> object:
    """Give the promises in what ``transfer_add_promise`` gave: some may have failed."""
    if not isinstance(promises, (list, tuple)):
        return promises
    return [promise for promise in promises if not isinstance(promise, SoftgridStatus)]


def removal_statuses(removed: list[Removed]) -> list[SoftgridStatus]:
    """Give a status for each promise that was to be removed."""
    return [_removal_status(each) for each in removed]


def _removal_status(removed: Removed) -> SoftgridStatus:
    name, outcome = removed
    if isinstance(outcome, SoftgridError):
        return SoftgridStatus(False, error=str(outcome), name=name, exception=outcome)
    message = "promise removed" if outcome["removed"] else None
    return SoftgridStatus(outcome["removed"], message, outcome["reason"], outcome, name)
