"""AssessBase: what a grid does, in figures and pictures."""

from __future__ import annotations

from typing import Any

from softgrid._api.methods_base import MethodsBase


class AssessBase(MethodsBase):
    """Methods that look at the grid. Cannot be made itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def statistics(self, gridUniqueName: str | None = None, timeout: float = 10) -> dict[str, Any]:
        """Take stock of an executor: tasks, calls in flight, frames and bytes on its links, log records.

        Parameters
          1. gridUniqueName (None, str): the executor; None: this one
          2. timeout (number): seconds to wait for another executor's answer

        Raises SoftgridError when there is no answer. Blocks until it is there.

        >>> orchestrator.statistics()['tasks_queued']
        0
        """
        return self._node.statistics_of(gridUniqueName or self.gridUniqueName, timeout).as_dict()
