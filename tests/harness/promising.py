"""The orchestrator of the small grid while it makes promises; those who are to hold them are the test."""

from __future__ import annotations

from typing import Any

from tests.harness.nodes import FakeReactor, FakeSwitch
from tests.harness.trees import A1, A2, B1, TOP, A, tree_of

from softgrid._model.names import node_id
from softgrid._node.control import Control
from softgrid._node.job_promises import JobPromises
from softgrid._node.reserving import Reserving
from softgrid._node.workers import Workers
from softgrid._state.inflight import InFlight
from softgrid._state.reservations import Reservations
from softgrid._wire.control import encode_control
from softgrid._wire.framing import Kind

PLACED = {
    "placed": True,
    "at_head": True,
    "queue_length": 0,
    "number_of_existing_promises": 0,
    "number_of_running_executions": 0,
    "promise_create_time": 1.5e9,
    "promise_password": "p",
    "reason": None,
}
BUSY = {**PLACED, "placed": False, "at_head": False, "promise_password": None, "reason": "it is busy"}
REMOVED = {"removed": True, "remaining_queue_length": 0, "reason": None}
NOT_HELD = {**REMOVED, "removed": False, "reason": "no such promise"}


class Creating:
    """The orchestrator of the small grid, and what the others answer to it: a message, or an error for a death."""

    def __init__(self) -> None:
        self.tree: Any = tree_of(TOP)
        self.switch = FakeSwitch(self.tree.node_id)
        self.switch.below = {node_id(name) for name in (A, A1, A2, B1)}
        self.reactor = FakeReactor()
        self.inflight = InFlight()
        self.control = Control(self.switch, self.reactor, self.inflight, self.tree)  # type: ignore[arg-type]
        self.reservations = Reservations()
        self.workers = Workers(self.tree, self.inflight, self.reservations.held_by)
        self.reserving = Reserving(self.tree, self.control, self.reservations, self.workers)
        self.jobs = JobPromises(self.reserving, self.workers)
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.reactor.while_waiting = lambda waiter: self.answer()

    def name_of(self, who: int) -> str:
        return next(name for name in (A, A1, A2, B1) if node_id(name) == who)

    def answer(self) -> None:
        for sent in self.switch.take(Kind.CONTROL):
            name = self.name_of(sent.destination)
            self.asked.append((name, sent.message))
            answer = self.answers.get(name, PLACED if sent.message["op"] == "add_promise" else REMOVED)
            if isinstance(answer, dict):
                self.says(name, {"op": "answer", **answer}, sent.message_id)
            else:
                self.inflight.lose({sent.destination}, lambda name, target, call, error=answer: error)

    def says(self, name: str, message: dict[str, Any], message_id: int = 0) -> None:
        self.control.on_control(None, node_id(name), message_id, encode_control(message))

    def add(self, *names: str, password: Any = "p", timeout: Any = 60, force: Any = True, **more: Any) -> Any:
        return self.reserving.add(list(names), password, timeout, 3.0, force=force, **more)

    def told(self) -> list[tuple[str, str]]:
        """What holders were told without being asked: their names and the op."""
        return [(self.name_of(sent.destination), sent.message["op"]) for sent in self.switch.take(Kind.CONTROL)]
