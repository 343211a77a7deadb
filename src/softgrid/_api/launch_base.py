"""LaunchBase: put executors onto machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrid._api.assess_base import AssessBase
from softgrid._api.boundary import status_of
from softgrid._api.launch_arguments import Item, as_message, launch_items
from softgrid._api.parameters import accepted_parameters
from softgrid._model.errors import BadArgument, LaunchFailed, SoftgridError
from softgrid._model.status import SoftgridStatus
from softgrid._state.timeouts import check_timeout

if TYPE_CHECKING:
    from softgrid._wire.control import Message

Launched = tuple[list[SoftgridStatus], list[dict[str, Any]], list[dict[str, Any]]]


class LaunchBase(AssessBase):
    """Launching executors, on this machine and on others. Cannot be made itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def launch_executor(
        self,
        executorAddress: str | list[str],
        executorType: str | list[str],
        executorKwargs: dict[str, Any] | list[Any] | None = None,
        upgridUniqueName: str | list[str] | None = None,
        machineUser: str | list[str] | None = None,
        machineExecutable: str | list[Any] | None = None,
        timeout: float = 10,
        retry: int = 3,
    ) -> Launched:
        """Launch executors and connect them to the grid, all of one call at the same time.

        Parameters (each but the last two may be a list as long as *executorAddress*)
          1. executorAddress (str, list): address of the machine of each executor
          2. executorType (str, list): 'Router', 'Manager' or 'Worker'
          3. executorKwargs (None, dict): parameters of the executor, of plain types
          4. upgridUniqueName (None, str): the executor under which it is to stand; None: this one
          5. machineUser (None, str): user on that machine; means nothing on this one
          6. machineExecutable (None, str): the Python to run it; None: the one that runs the rest of the grid there
          7. timeout (number): seconds after which those not yet on the grid have failed
          8. retry (int): how often to try again when one does not come up

        Returns
          1. status (list): a Collections.SoftgridStatus for each executor
          2. successful (list): for each one that is on the grid a dictionary with 'executorType', 'upgridUniqueName',
             'gridUniqueName', 'executorAddress', 'machineUser' and 'machineExecutable'
          3. failed (list): the same without 'gridUniqueName' for each one that is not

        A failed status says at which step it failed and why, with the last output of the process. Where a parameter
        cannot be meant, there is one failed status for all, and nothing is launched. Blocks until all are on the grid
        or have failed.

        >>> statuses, successful, failed = orchestrator.launch_worker(executorAddress=orchestrator.address)
        >>> [bool(status) for status in statuses], len(failed)
        ([True], 0)
        """
        try:
            seconds = check_timeout(timeout, "timeout", none_allowed=False)
            if isinstance(retry, bool) or not isinstance(retry, int) or retry < 0:
                raise BadArgument("retry", retry, "an integer >= 0")
            items = launch_items(
                executorAddress,
                executorType,
                executorKwargs,
                upgridUniqueName,
                machineUser,
                machineExecutable,
                self.gridUniqueName,
            )
            messages = [as_message(item, accepted_parameters) for item in items]
        except SoftgridError as error:
            return [status_of(error)], [], []
        assert seconds is not None
        return _sorted_out(items, self._launched(messages, seconds, retry))

    def _launched(self, messages: list[Message], timeout: float, retry: int) -> list[Message]:
        try:
            self._node.check_open()
        except SoftgridError as error:
            return [{"step": "ask the orchestrator", "reason": str(error)}] * len(messages)
        return self._node.launching.launch(messages, timeout, retry)

    def launch_router(self, *args: Any, **kwargs: Any) -> Launched:
        """``launch_executor`` with the type 'Router'."""
        return self.launch_executor(*_with_type("Router", args), **_with_type_keyword("Router", args, kwargs))

    def launch_manager(self, *args: Any, **kwargs: Any) -> Launched:
        """``launch_executor`` with the type 'Manager'."""
        return self.launch_executor(*_with_type("Manager", args), **_with_type_keyword("Manager", args, kwargs))

    def launch_worker(self, *args: Any, **kwargs: Any) -> Launched:
        """``launch_executor`` with the type 'Worker'."""
        return self.launch_executor(*_with_type("Worker", args), **_with_type_keyword("Worker", args, kwargs))


def _with_type(executor_type: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (args[0], executor_type, *args[1:]) if args else args


def _with_type_keyword(executor_type: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs if args else {**kwargs, "executorType": executor_type}


def _sorted_out(items: list[Item], results: list[Any]) -> Launched:
    statuses, successful, failed = [], [], []
    for item, result in zip(items, results, strict=True):
        parameters = {key: value for key, value in item.items() if key != "executorKwargs"}
        if "name" in result:
            statuses.append(SoftgridStatus(True, message=f"{result['name']} is on the grid", data=result["name"]))
            successful.append({**parameters, "gridUniqueName": result["name"]})
        else:
            error = LaunchFailed(result["step"], result["reason"])
            statuses.append(status_of(error, data=item, name=f"{item['executorType']} on {item['executorAddress']}"))
            failed.append(parameters)
    return statuses, successful, failed
