"""The workers below: who may be given what, and who has least to do.

Nobody is asked: what counts is what this executor has in flight and has reserved, and what workers have said of
themselves in answers that they gave anyway (``_state.loads``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from softgrid._io.link import Link
from softgrid._model.errors import BadArgument, NoRoute, Refused
from softgrid._model.names import node_id, parse_name
from softgrid._state.inflight import InFlight
from softgrid._state.loads import Loads
from softgrid._state.tree import Tree


class Workers:
    """Chooses among the workers below."""

    def __init__(self, tree: Tree[Link], inflight: InFlight, held_by: Callable[[int], int]) -> None:
        self._tree = tree
        self._inflight = inflight
        self._held_by = held_by
        self._loads = Loads()
        self._lock = threading.Lock()

    def allowed(self, *, runs_udf: bool) -> list[str]:
        """Give the workers that may run such a function and, where there are such, can; raises when there are none."""
        members = self._tree.below()
        workers = [member for member in members if member.parsed.role == "worker"]
        if not workers:
            raise NoRoute(f"there is no worker below {self._tree.name}")
        allowed = [worker.name for worker in workers if worker.allows_udf or not runs_udf]
        if not allowed:
            raise Refused(f"none of the {len(workers)} workers below runs functions of users")
        if any(member.suspicion for member in members):
            return [name for name in allowed if self._tree.suspicion(name) is None] or allowed
        return allowed

    def by_load(self, names: list[str]) -> list[str]:
        """Give *names*, who has least to do first, and at the end who does not work although it is there."""
        known: dict[int, str] = {node_id(name): name for name in names}
        with self._lock:
            by_load = [known[worker] for worker in self._loads.sorted(known, self._own_at, monotonic())]
        return sorted(by_load, key=lambda name: self._tree.suspicion(name) is not None)

    def choose(self, names: list[str]) -> str:
        """Give the one that has least to do; of equals each in turn."""
        known: dict[int, str] = {node_id(name): name for name in names}
        with self._lock:
            return known[self._loads.choose(known, self._own_at, monotonic())]

    def on_told(self, name: str, total: int) -> None:
        """A worker has said how much it has to do in all."""
        worker = node_id(name)
        with self._lock:
            self._loads.on_told(worker, total, self._own_at(worker), monotonic())

    def _own_at(self, worker: int) -> int:
        return self._inflight.open_at(worker) + self._held_by(worker)

    def on_gone(self, gone: set[int]) -> None:
        """Executors are gone."""
        with self._lock:
            self._loads.on_gone(gone)


def check_worker(name: object, parameter: str) -> str:
    """Accept the name of a worker."""
    parsed = parse_name(name, parameter)
    if parsed.role != "worker":
        raise BadArgument(parameter, name, "the grid unique name of a worker")
    return str(parsed)
