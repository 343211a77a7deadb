"""Calls that their caller takes back: before they are sent, in a queue, or while they run.

    caller → receiver              cancel {id}: it is taken out of the queue, or KeyboardInterrupt is raised in it
    caller → orchestrator          end_call {name, id}, when it has not ended within the grace
    orchestrator → upgrid          end_running {name, caller, id}: the receiver is killed if it still runs that call

The call itself says when it is over: by its answer, or by the death of its executor. The last blow is the supervisor's,
who looks for itself at what the executor runs, so that a call which waits kills nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import Cancelled, NoRoute, Refused, SoftgridError
from softgrid._model.names import node_id
from softgrid._model.rules import Rules
from softgrid._node.control import Answer, Control, error_message
from softgrid._node.launching import Launching
from softgrid._node.transfers import OpenCall, Transfers
from softgrid._state.inflight import Matches
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field

UNSENT = "cancelled: it had not left"
WAITING = "cancelled while it waited for its next attempt"
CONFIRM_S = 5.0
"""How long it may take, after the last blow, until it is known that it has fallen."""


class Cancelling:
    """Takes calls back; at the orchestrator and at upgrids, ends those that do not listen."""

    def __init__(
        self,
        tree: Tree[Any],
        control: Control,
        transfers: Transfers,
        launching: Launching,
        reactor: Reactor,
        rules: Callable[[], Rules],
    ) -> None:
        self._tree = tree
        self._control = control
        self._transfers = transfers
        self._launching = launching
        self._reactor = reactor
        self._rules = rules
        self._reasons: dict[int, str] = {}
        transfers.cancel = self.begin
        control.methods["end_call"] = control.guest_methods["end_call"] = self._on_end_call
        control.methods["end_running"] = self._on_end_running

    # -- the caller -----------------------------------------------------------------------------------------------

    def cancel(self, matches: Matches, grace_s: float | None) -> list[tuple[str, str | None]]:
        """Take back all calls that match and block until they are over; gives for each who had it, and why it is not.

        At most the grace and a few seconds.
        """
        grace_s = self._rules()["cancel_grace_time"] if grace_s is None else grace_s
        all_over, calls, ended = Waiter(), [], []

        def begin() -> None:
            for held in list(self._transfers.held):
                ended.extend(held.cancel_waiting(matches, Cancelled(WAITING)))
            calls.extend(self._transfers.inflight.cancellable(matches))
            self.begin(calls, grace_s, all_over.set)

        self._reactor.run_in_turn(begin)
        self._reactor.wait(all_over, grace_s + CONFIRM_S)
        return [(name, None) for name in ended] + [(name, self._why_not_over(mid)) for mid, _, name in calls]

    def _why_not_over(self, message_id: int) -> str | None:
        if not self._transfers.inflight.is_open(message_id):
            return None
        return self._reasons.get(message_id, "its executor does not say that it is over")

    def begin(
        self, calls: list[OpenCall], grace_s: float | None = None, on_all_over: Callable[[], None] = lambda: None
    ) -> None:
        """Take these calls back, in the reactor's turn; *on_all_over* is called when all are over."""
        grace = self._rules()["cancel_grace_time"] if grace_s is None else grace_s
        left = {message_id for message_id, _, _ in calls}

        def on_over(message_id: int) -> None:
            self._transfers.cancelled.pop(message_id, None)
            self._reasons.pop(message_id, None)
            left.discard(message_id)
            if not left:
                on_all_over()

        if not left:
            on_all_over()
            return
        for message_id in list(left):
            self._transfers.inflight.watch(message_id, partial(on_over, message_id))
        for message_id, target, name in calls:
            if self._transfers.withdraw(target, message_id):
                self._transfers.inflight.settle(message_id, target, Cancelled(UNSENT))
                continue
            self._transfers.cancelled[message_id] = (
                f"cancelled: {name} was killed, since the call had not ended {grace:g} s after it was interrupted"
            )
            self._control.tell_id(target, {"op": "cancel", "id": message_id})
        if left:
            self._reactor.call_later(grace, lambda: self._escalate(calls))

    def _escalate(self, calls: list[OpenCall]) -> None:
        for message_id, _, name in calls:
            if self._transfers.inflight.is_open(message_id):
                question = {"op": "end_call", "name": name, "id": message_id}
                self._control.ask(self._tree.path[0], question, partial(self._on_escalated, message_id))

    def _on_escalated(self, message_id: int, answer: Message | SoftgridError) -> None:
        if isinstance(answer, SoftgridError) and self._transfers.inflight.is_open(message_id):
            self._reasons[message_id] = str(answer)

    # -- those who end it -----------------------------------------------------------------------------------------

    def _on_end_call(self, message: Message, source: int, answer: Answer) -> None:
        """At the orchestrator: somebody's call does not end."""
        name, message_id = field(message, "name", str), field(message, "id", int)
        member = self._tree.find(name)
        if self._tree.upgrid is not None or member is None:
            raise NoRoute(f"{name} is not on the grid")
        if member.parsed.role != "worker":
            raise Refused(f"{name} was interrupted and goes on: only workers are killed for a call")
        order = {"op": "end_running", "name": name, "caller": source, "id": message_id}
        self._control.ask(
            member.upgrid, order, lambda done: answer(error_message(done) if isinstance(done, SoftgridError) else {})
        )

    def _on_end_running(self, message: Message, source: int, answer: Answer) -> None:
        """At the upgrid: kill the executor, if it still runs that call."""
        name = field(message, "name", str)
        if source != node_id(self._tree.path[0]):
            raise Refused("only the orchestrator has executors killed")
        running = (field(message, "caller", int), field(message, "id", int))
        if not self._launching.kill_child(name, running):
            raise Refused(f"{name} was interrupted and goes on: it was not launched by the grid, which cannot kill it")
        answer({})
