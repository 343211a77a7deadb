"""A small grid on this machine: one orchestrator, a router under it, a manager, the workers.

Used by the demo as a context manager.  Built from the public names only, as any user's script
would be; what fails is raised as `GridFailed`, with the reason that the grid gave.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from softgrid import Collections, Globals, Orchestrator


class GridFailed(Exception):
    """An executor did not start, or a call did not come back; the text says which and why."""


class Member(NamedTuple):
    """One executor of the grid: how to reach it, and what to call it in a table."""

    grid_name: str
    label: str
    pid: int


class LocalGrid:
    """Enter it to launch the executors, leave it to stop them all."""

    def __init__(self, workers: int) -> None:
        self.relays: list[Member] = []
        self.workers: list[Member] = []
        self.launch_s = 0.0
        self._wanted = workers
        self._orchestrator: Any = None

    def __enter__(self) -> LocalGrid:
        # as many as asked for, even beyond the cores
        Globals.RULES["machine_maximum_number_of_workers"] = None
        started = time.monotonic()
        self._orchestrator = Orchestrator()
        try:
            self._launch()
        except BaseException:
            self._orchestrator.disconnect(kill=False)
            raise
        self.launch_s = time.monotonic() - started
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._orchestrator.disconnect(kill=False)

    def call(self, worker: Member, function: Callable[..., Any], *args: Any) -> Any:
        """Run *function* on *worker* and wait for what it returns; any thread may ask."""
        transfer = self._orchestrator.get_transfer_template(func=function, args=args)
        answer = self._orchestrator.transfer(transferKwargs=transfer, receivers=worker.grid_name, collect=True)
        if not isinstance(answer, Collections.SoftgridStatus):
            [answer] = answer
        if isinstance(answer, Collections.SoftgridStatus) and not answer:
            raise GridFailed(f"{worker.label} ({worker.grid_name}): {answer}")
        return answer

    def _launch(self) -> None:
        orchestrator = self._orchestrator
        here = orchestrator.address
        top = self._member(orchestrator.gridUniqueName, "orchestrator")
        [router] = self._started(
            "router",
            orchestrator.launch_router(executorAddress=here, upgridUniqueName=top.grid_name),
        )
        [manager] = self._started(
            "manager",
            orchestrator.launch_manager(executorAddress=here, upgridUniqueName=router.grid_name),
        )
        self.relays = [top, router, manager]
        self.workers = self._started(
            "worker",
            orchestrator.launch_worker(executorAddress=[here] * self._wanted, upgridUniqueName=manager.grid_name),
        )

    def _started(self, role: str, outcome: Any) -> list[Member]:
        statuses, successful, failed = outcome
        if failed:
            reasons = "; ".join(str(status) for status in statuses if not status)
            raise GridFailed(f"{len(failed)} of {len(statuses)} {role}s did not start: {reasons}")
        names = [executor["gridUniqueName"] for executor in successful]
        if len(names) == 1:
            return [self._member(names[0], role)]
        return [self._member(name, f"{role} {n}") for n, name in enumerate(names, start=1)]

    def _member(self, grid_name: str, label: str) -> Member:
        pid = self._orchestrator.split_grid_unique_name(grid_name)[3]
        return Member(grid_name, label, int(pid))
