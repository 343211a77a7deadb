"""Where errors become statuses: once, here. A bug (any exception that is not ours) is not turned into a status."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from softgrid._model.errors import SoftgridError
from softgrid._model.status import SoftgridStatus
from softgrid._model.transfer import Failed

P = ParamSpec("P")
R = TypeVar("R")


def status_of(error: BaseException, data: Any = None, name: str | None = None) -> SoftgridStatus:
    """Give the failed status for an error."""
    if isinstance(error, Failed):
        return status_of(error.error, error.kwargs, error.name)
    from softgrid._wire.calls import Failure

    exception = error.as_exception() if isinstance(error, Failure) else error
    return SoftgridStatus(False, error=str(error), data=data, name=name, exception=exception)


def or_status(method: Callable[P, R]) -> Callable[P, R | SoftgridStatus]:
    """Make a method give a failed status where it raises an error of ours."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R | SoftgridStatus:
        try:
            return method(*args, **kwargs)
        except SoftgridError as error:
            return status_of(error)

    return wrapped


def statuses_for_errors(names: list[str], answers: list[Any]) -> list[Any]:
    """Give the answers of executors with a failed status in the place of each error."""
    return [
        status_of(answer, name=name) if isinstance(answer, SoftgridError) else answer
        for name, answer in zip(names, answers, strict=True)
    ]


def statuses_for_failures(results: list[Any] | None) -> list[Any] | None:
    """Give the results of a transfer with a failed status in the place of each failure."""
    if results is None or Failed not in map(type, results):
        return results
    return [status_of(result) if type(result) is Failed else result for result in results]


def cancel_status(name: str, why_not: str | None) -> SoftgridStatus:
    """Give the status of a call that was cancelled at the executor *name*; *why_not*: it still runs."""
    return SoftgridStatus(why_not is None, message=None if why_not else "cancelled", error=why_not, name=name)


def outcome_of(name: str, done: str, outcome: Any) -> SoftgridStatus:
    """Give the status of what was *done* to the executor *name*: a success with *outcome* as data, unless it is an
    error."""
    if isinstance(outcome, SoftgridError):
        return status_of(outcome, name=name)
    return SoftgridStatus(True, message=done, data=outcome, name=name)
