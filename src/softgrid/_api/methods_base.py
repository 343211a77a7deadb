"""MethodsBase: find executors, and keep things with them."""

from __future__ import annotations

from typing import Any

from softgrid._api.boundary import or_status
from softgrid._api.requester_responder_base import RequesterResponderBase
from softgrid._model.names import parse_name


class MethodsBase(RequesterResponderBase):
    """Methods that concern other executors. Cannot be made itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @or_status
    def get_executor_grid_path(self, gridUniqueName: str, transferTimeout: float = 10, multiplier: float = 3) -> Any:
        """Find the way to an executor, asking up the grid where it is not known here.

        Parameters
          1. gridUniqueName (str): the executor to find
          2. transferTimeout (number), multiplier (number): see ``get_transfer_wait_timeout``

        Returns
          1. result (dict): the name of the executor that knew it, with the list of names from the orchestrator to the
             executor sought; empty when nobody of that name is on the grid

        Blocks until it is found or nobody knows it.
        """
        name = str(parse_name(gridUniqueName))
        timeout = self.get_transfer_wait_timeout(transferTimeout, multiplier)
        found = self._node.locate(name, timeout)
        return {found["located_by"]: found["path"]} if found["located_by"] else {}
