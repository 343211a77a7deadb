"""The promises that this executor holds for others: asked for, used up, timed out, mourned.

to the holder      add_promise {creator, password, timeout, force, kept} → what became of it
                   remove_promise {password, force} → what became of it
to the creator     promise_made {password, holder}   promise_granted {password}   promise_ended {password, reason}

A promise is asked for by its creator itself, so that nobody can be made the owner of what somebody else wants. The
answer, like any control message, marks the way to the creator: whoever notices there that it is gone says so here.
"""

from __future__ import annotations

import os
from time import monotonic, time

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Timer
from softgrid._model.errors import Refused
from softgrid._model.names import node_id, parse_name
from softgrid._node.control import Answer, Control
from softgrid._node.execution import Execution, Task
from softgrid._node.logs import Logs
from softgrid._state.promise import DRAINED, REMOVED, Change, Ended, Promise, check_force, check_password
from softgrid._state.timeouts import check_timeout
from softgrid._state.tree import Tree
from softgrid._state.workqueue import WorkQueue
from softgrid._wire.control import Message, field


def new_password() -> str:
    """Give a password of 256 bits that nobody can guess."""
    return os.urandom(32).hex()


class Promises:
    """Promises in the queue of one executor."""

    def __init__(self, tree: Tree[Link], execution: Execution, reactor: Reactor, control: Control, logs: Logs) -> None:
        self._tree = tree
        self._execution = execution
        self._reactor = reactor
        self._control = control
        self._logs = logs
        self._timer: Timer | None = None
        self._timer_due = 0.0
        execution.on_changes = self._on_changes
        control.methods.update(add_promise=self._on_add, remove_promise=self._on_remove)

    # -- asked for ------------------------------------------------------------------------------------------------

    def add(self, creator: str, password: str, timeout: object, *, force: bool, is_kept: bool = False) -> Message:
        """Place a promise; says what became of it."""
        timeout_s = check_timeout(timeout, "promiseTimeout", none_allowed=False)
        assert timeout_s is not None
        self._tree.check_reachable(creator)
        promise = Promise[Task](check_password(password), creator, timeout_s, is_kept=is_kept)
        placed, changes = self._execution.decide(lambda queue: self._place(queue, promise, force=force))
        self._on_changes(changes)
        return placed

    def _place(self, queue: WorkQueue[Task], promise: Promise[Task], *, force: bool) -> tuple[Message, list[Change]]:
        before: Message = {
            "queue_length": len(queue),
            "number_of_existing_promises": queue.promises,
            "number_of_running_executions": self._execution.running,
            "promise_executor": self._tree.name,
        }
        refused = {"placed": False, "at_head": False, "promise_create_time": None, "promise_password": None}
        try:
            changes = queue.add(promise, monotonic(), force=force)
        except Refused as refusal:
            return {**before, **refused, "reason": str(refusal)}, []
        placed = {"placed": True, "at_head": promise.is_at_head, "promise_create_time": time()}
        return {**before, **placed, "promise_password": promise.password, "reason": None}, changes

    def add_for(self, creator: object, password: object, timeout: object, *, force: object) -> Message:
        """Place a promise in the name of any executor, which is told."""
        name = str(parse_name(creator, "creatorGUN"))
        password = new_password() if password is None else check_password(password)
        placed = self.add(name, password, timeout, force=check_force(force))
        if placed["placed"]:
            self._control.tell(name, {"op": "promise_made", "password": password, "holder": self._tree.name})
        return placed

    def remove(self, password: object, *, force: object) -> Message:
        """Take a promise away; says what became of it."""
        password, force = check_password(password), check_force(force)
        removal, changes = self._execution.decide(lambda queue: queue.remove(password, monotonic(), force=force))
        self._on_changes(changes)
        return {
            "removed": removal.is_removed,
            "reason": removal.reason,
            "remaining_queue_length": removal.remaining,
        }

    def _on_add(self, message: Message, source: int, answer: Answer) -> None:
        creator, password = field(message, "creator", str), field(message, "password", str)
        if node_id(str(parse_name(creator))) != source:
            raise Refused("a promise is asked for by its creator itself")
        force, is_kept = field(message, "force", bool), field(message, "kept", bool)
        answer(self.add(creator, password, message.get("timeout"), force=force, is_kept=is_kept))

    def _on_remove(self, message: Message, source: int, answer: Answer) -> None:
        answer(self.remove(field(message, "password", str), force=field(message, "force", bool)))

    # -- what happens to them -------------------------------------------------------------------------------------

    def on_gone(self, gone: set[int]) -> None:
        """Executors are gone: what they were promised is over."""
        self._on_changes(self._execution.decide(lambda queue: queue.creators_gone(gone, monotonic())))

    def _on_changes(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Ended):
                self._on_ended(change)
            elif change.promise.is_kept:
                self._tell(change, "promise_granted")
        if changes:
            self._execution.go_on()
        self._watch_time()

    def _on_ended(self, ended: Ended) -> None:
        for task in ended.dropped:
            reason = f"the promise in which it waited has ended: {ended.reason}"
            self._execution.refuse(task.source, task.message_id, reason)
        self._tell(ended, "promise_ended", reason=ended.reason)
        if ended.reason not in (DRAINED, REMOVED):
            dropped = f"; {len(ended.dropped)} calls that waited in it are refused" if ended.dropped else ""
            self._logs.say("warn", f"a promise made to {ended.promise.creator} has ended: {ended.reason}{dropped}")

    def _tell(self, change: Change, op: str, **more: str) -> None:
        self._control.tell_id(change.promise.creator_id, {"op": op, "password": change.promise.password, **more})

    # -- time -----------------------------------------------------------------------------------------------------

    def _watch_time(self) -> None:
        """See to it that the next promise to run out of time is looked after then; any thread."""
        alarm = self._execution.decide(lambda queue: queue.next_alarm())
        if alarm is not None and (self._timer is None or alarm < self._timer_due):
            self._reactor.run_in_turn(self._set_timer)

    def _set_timer(self) -> None:
        alarm = self._execution.decide(lambda queue: queue.next_alarm())
        if alarm is None or (self._timer is not None and self._timer_due <= alarm):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = alarm
        self._timer = self._reactor.call_later(max(0.0, alarm - monotonic()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._on_changes(self._execution.decide(lambda queue: queue.expire(monotonic())))
        self._set_timer()
