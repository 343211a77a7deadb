"""Running functions for others: allowed? resolved? run, answered.

Calls with a priority wait in the queue and run one at a time in the thread that serves it (the main thread of a
launched executor); calls with priority None run at once in a thread of their own. Whatever a call does, its caller
is answered. The queue is a decision of ``_state.workqueue``, which several threads ask through one lock.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from threading import get_ident
from time import monotonic, perf_counter
from typing import Any, Protocol, TypeVar

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.slate import Slate
from softgrid._io.threads import IdleThreads, Lanes
from softgrid._model.errors import Refused, SoftgridError, Undecodable
from softgrid._model.rules import Rules
from softgrid._node.attempt import the_attempt
from softgrid._node.functions import FunctionTable, UnknownDigest
from softgrid._node.interrupting import Interrupts
from softgrid._state.promise import Change, Promise
from softgrid._state.workqueue import WorkQueue, check_priority
from softgrid._wire.calls import (
    FIRST_ARGUMENT,
    RETURN,
    STORE,
    Call,
    decode_call,
    encode_exception,
    encode_refusal,
    encode_result,
)
from softgrid._wire.framing import Body, Kind, Outbound
from softgrid._wire.functions import ForeignByteCode, FunctionName, PickledFunction, digest_of

POLL_EVERY_S = 0.002
EARLY_KEPT = 4096
"""So many calls are remembered that were taken back before they came."""

NOT_BEGUN = "cancelled before it began"
INTERRUPTED = "cancelled while it ran"
RETURNED = "cancelled while it ran, though its function returned all the same"

Decided = TypeVar("Decided")


class Sends(Protocol):
    """What answers are given to, to be sent."""

    def send(self, kind: int, destination: int, message_id: int, outbound: Outbound) -> Waiter | None: ...


class Task:
    """A call that waits to be run, or is running."""

    __slots__ = ("arguments", "call", "is_cancelled", "message_id", "promise", "source", "thread")

    def __init__(self, source: int, message_id: int, call: Call) -> None:
        self.source = source
        self.message_id = message_id
        self.call = call
        self.promise: Promise[Task] | None = None
        """The promise in whose queue it stands or runs."""
        self.arguments: Any = None
        """What the call was run with; unmapping it takes longer than sending the answer, so it waits for that."""
        self.thread: int | None = None
        """The thread that is inside of its function."""
        self.is_cancelled = False

    def label(self) -> str:
        function = self.call.function
        if isinstance(function, FunctionName):
            return function.name
        return "a function"


class Execution:
    """Takes calls, runs them, answers them."""

    def __init__(
        self,
        owner: object,
        switch: Sends,
        reactor: Reactor,
        rules: Rules,
        functions: FunctionTable,
        *,
        allows_udf: bool,
        on_event: Callable[[str, str], None] | None,
        on_options: Callable[[Task], bool],
    ) -> None:
        self._owner = owner
        self._switch = switch
        self._reactor = reactor
        self._rules = rules
        self._functions = functions
        self.allows_udf = allows_udf
        self._on_event = on_event
        self._on_options = on_options
        self._queue: WorkQueue[Task] = WorkQueue()
        self._lock = threading.Lock()
        self._running_beside: set[Task] = set()
        self._threads_beside = 0
        self.on_changes: Callable[[list[Change]], None] = lambda changes: None
        self._beside = IdleThreads("softgrid-beside")
        self._in_order = Lanes(self._beside)
        self._parked: dict[bytes, list[Task]] = {}
        self.interrupts = Interrupts(reactor, lambda: self._queue.running)
        self.slate = Slate()
        """Where the supervisor sees which call of the queue is running."""
        self._cancelled_early: OrderedDict[tuple[int, int], None] = OrderedDict()
        self.withdraw_elsewhere: Callable[[Callable[[Task], bool]], Task | None] = lambda is_it: None
        """Takes a task out of where it waits, neither in the queue nor for its function; set by the node."""
        self.work = Waiter()
        self.serve_elsewhere: Callable[[], None] | None = None
        self.after_run: Callable[[], None] | None = None
        self.stored_results: dict[str, Any] = {}
        self.finished = self.failed = 0
        self.busy_s = 0.0

    def close(self) -> None:
        """Nothing is run here any more: let go of the threads that wait for work."""
        self._beside.close()

    def go_by(self, rules: Rules, *, allows_udf: bool) -> None:
        """Heed other rules from now on."""
        self._rules = rules
        self.allows_udf = allows_udf

    @property
    def queued(self) -> int:
        """How many calls wait in the queue."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """How many calls are running."""
        return (self._queue.running is not None) + len(self._running_beside)

    def decide(self, decision: Callable[[WorkQueue[Task]], Decided]) -> Decided:
        """Look at the queue, or change it, from any thread."""
        with self._lock:
            return decision(self._queue)

    # -- a call arrives -------------------------------------------------------------------------------------------

    def on_call(self, link: Link, source: int, message_id: int, body: Body) -> None:
        """Take a CALL from the wire."""
        try:
            task = Task(source, message_id, decode_call(body))
            if self._cancelled_early and (source, message_id) in self._cancelled_early:
                self._refuse_cancelled(task, NOT_BEGUN)
                return
            self._functions.note(task.call.function)
            if task.call.options and self._on_options(task):
                return
        except Undecodable as error:
            self.refuse(source, message_id, str(error))
            return
        self.accept(task)

    def accept(self, task: Task) -> None:
        """Queue a call, or run it beside the queue, or refuse it."""
        call = task.call
        if not self.allows_udf and self._functions.is_users(call.function):
            self.refuse(
                task.source,
                task.message_id,
                "this executor runs no functions of users "
                "(rules '<role>_allow_executing_udf', parameter allowExecutingUDF)",
            )
            return
        password = call.options.get("promise")
        try:
            priority = self._priority_of(call)
            with self._lock:
                if priority is not None:
                    self._check_room("execution_maximum_queued_calls", len(self._queue), "wait in the queue")
                    task.promise = self._queue.push(priority, task, password)
                elif password is not None:
                    self._queue.find(password)
        except SoftgridError as error:
            self.refuse(task.source, task.message_id, str(error))
            return
        if priority is not None:
            self.go_on()
        elif self._functions.is_prompt(call.function):
            self.run(task)
        else:
            is_ordered = self._functions.is_ordered(call.function)
            if not is_ordered:
                try:
                    self._check_room("execution_maximum_calls_beside", self._threads_beside, "run beside the queue")
                except Refused as error:
                    self.refuse(task.source, task.message_id, str(error))
                    return
                self._threads_beside += 1
            self._running_beside.add(task)
            if is_ordered:
                self._in_order.run(task.source, lambda: self._run_beside(task))
            else:
                self._beside.run(lambda: self._run_unordered(task))

    def _check_room(self, rule: str, count: int, what: str) -> None:
        limit = self._rules[rule]
        if limit is not None and count >= limit:
            raise Refused(f"{count} calls {what} already (rule '{rule}')")

    def _run_unordered(self, task: Task) -> None:
        try:
            self._run_beside(task)
        finally:
            with self._lock:
                self._threads_beside -= 1

    def _priority_of(self, call: Call) -> float | None:
        """Give the priority of a call, if the rules allow it; they are about functions of users."""
        if call.priority is not None and call.priority >= 0:  # which takes no privilege
            return call.priority
        return check_priority(call.priority, self._rules if self._functions.is_users(call.function) else None)

    def _run_beside(self, task: Task) -> None:
        try:
            self.run(task)
        finally:
            self._running_beside.discard(task)

    def go_on(self) -> None:
        """There may be something to run: have whoever serves the queue look."""
        self.work.set()
        if self.serve_elsewhere is not None:
            self.serve_elsewhere()

    def refuse(self, source: int, message_id: int, reason: str) -> None:
        """Answer a call that is not run."""
        self.failed += 1
        self._switch.send(Kind.RESULT, source, message_id, encode_refusal(reason))

    # -- a call is taken back -------------------------------------------------------------------------------------

    def cancel(self, source: int, message_id: int) -> None:
        """Its caller takes a call back: out of the queue, or by an interrupt in its function."""

        def is_it(task: Task) -> bool:
            return task.message_id == message_id and task.source == source

        with self._lock:
            waiting, changes = self._queue.withdraw(is_it, monotonic())
        if waiting is not None:
            self._refuse_cancelled(waiting, NOT_BEGUN)
            if changes:
                self.on_changes(changes)
            return
        running = self._queue.running
        for task in [*self._running_beside, *([] if running is None else [running])]:
            if is_it(task):
                if not task.is_cancelled:
                    task.is_cancelled = True
                    self.interrupts.interrupt(task)
                return
        waiting = self._withdraw_parked(is_it) or self.withdraw_elsewhere(is_it)
        if waiting is not None:
            self._refuse_cancelled(waiting, NOT_BEGUN)
            self._came_back(waiting.promise)
            return
        self._cancelled_early[source, message_id] = None  # it has ended, or has been overtaken on its way
        if len(self._cancelled_early) > EARLY_KEPT:
            self._cancelled_early.popitem(last=False)

    def _withdraw_parked(self, is_it: Callable[[Task], bool]) -> Task | None:
        for parked in self._parked.values():
            for task in parked:
                if is_it(task):
                    parked.remove(task)
                    return task
        return None

    def _refuse_cancelled(self, task: Task, how: str) -> None:
        self.failed += 1
        self._switch.send(Kind.RESULT, task.source, task.message_id, encode_refusal(how, cancelled=True))

    # -- the queue ------------------------------------------------------------------------------------------------

    def run_queue(self) -> None:
        """Run what is queued until nothing is; for one thread at a time."""
        polled = perf_counter()
        while self._queue and (task := self.decide(WorkQueue.take_next)) is not None:
            self.slate.begin(task.source, task.message_id)
            try:
                self.run(task)
            finally:
                self.slate.end()
                self._finish(task)
            now = perf_counter()
            if now - polled > POLL_EVERY_S:
                self._reactor.poll_now()
                polled = now

    def _finish(self, task: Task) -> None:
        """A task is over; harmless twice, and for one beside the queue."""
        if self._queue.running is not task:
            return
        with self._lock:
            changes = self._queue.finish(monotonic())
        if changes:
            self.on_changes(changes)

    # -- one call -------------------------------------------------------------------------------------------------

    def run(self, task: Task) -> None:
        """Run a call and answer it, whatever happens."""
        started = perf_counter()
        if self._on_event is not None:
            self._on_event("execution_started", task.label())
        try:
            outcome = self._outcome(task)
        except UnknownDigest:
            self._put_aside(task)
            self._ask_for_function(task)
            return
        except ForeignByteCode:
            self._put_aside(task)
            self.translate(task)
            return
        self.busy_s += perf_counter() - started
        self._finish(task)  # before the answer: who has it knows that the promise is used up, if that was its last
        if self._on_event is not None:
            self._on_event("execution_finished", task.label())
        if self.after_run is not None:
            with contextlib.suppress(Exception):  # whatever it is, the caller is waiting
                self.after_run()
        waiter = self._switch.send(Kind.RESULT, task.source, task.message_id, outcome)
        if waiter is not None and not self._reactor.holds_turn():
            self._reactor.wait(waiter)

    def _outcome(self, task: Task) -> Outbound:
        call = task.call
        try:
            resolved = self._functions.resolve(call.function)
            args, kwargs = task.arguments = call.arguments(is_trusted=resolved.is_users)
        except (UnknownDigest, ForeignByteCode):
            raise
        except SoftgridError as error:
            self.failed += 1
            return encode_refusal(str(error))
        except BaseException as error:
            self.failed += 1
            return encode_refusal(f"the function or its arguments cannot be read here: {type(error).__name__}: {error}")
        if call.flags & FIRST_ARGUMENT or resolved.wants_executor:
            args = (self._owner, *args)
        try:
            value = self._call_function(task, resolved.function, args, kwargs)
        except BaseException as error:
            self.failed += 1
            return encode_refusal(INTERRUPTED, cancelled=True) if task.is_cancelled else encode_exception(error, 2)
        if task.is_cancelled:
            self.failed += 1
            return encode_refusal(RETURNED, cancelled=True)
        return self._result(call, value)

    def _result(self, call: Call, value: Any) -> Outbound:
        """Keep what a function gave where that was asked for, and give what its caller is told."""
        self.finished += 1
        if call.flags & STORE and call.options.get("result_name"):
            refusal = self._store(call.options["result_name"], value)
            if refusal is not None:
                return refusal
        try:
            return encode_result(value if call.flags & RETURN else None)
        except BaseException as error:
            self.failed += 1
            self.finished -= 1
            return encode_refusal(f"the function ran, but {error}", was_run=True)

    def _store(self, name: str, value: Any) -> Outbound | None:
        """Keep a result under a name; gives what the caller is told when there are too many names."""
        limit = self._rules["execution_maximum_stored_results"]
        if limit is not None and name not in self.stored_results and len(self.stored_results) >= limit:
            reason = f"results are kept under {limit} names already (rule 'execution_maximum_stored_results')"
            return encode_refusal(f"the function ran, but {reason}", was_run=True)
        self.stored_results[name] = value
        return None

    def _call_function(
        self, task: Task, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call the function; only in here may it be interrupted."""
        try:
            task.thread = get_ident()
            if task.is_cancelled:  # just now: nobody has seen the thread
                raise KeyboardInterrupt
            attempt = task.call.options.get("attempt")
            if attempt is None:
                return function(*args, **kwargs)
            with the_attempt(attempt):
                return function(*args, **kwargs)
        finally:
            self.interrupts.end(task)

    # -- functions that are not here ------------------------------------------------------------------------------

    def _put_aside(self, task: Task) -> None:
        """A task cannot run yet; its promise waits for it."""
        if self._queue.running is task:
            self.decide(WorkQueue.set_aside)

    def bring_back(self, task: Task) -> None:
        """A task that was put aside can run now."""
        promise, task.promise = task.promise, None
        self.accept(task)
        self._came_back(promise)

    def give_up(self, task: Task, reason: str) -> None:
        """A task that was put aside can never run."""
        self.refuse(task.source, task.message_id, reason)
        self._came_back(task.promise)

    def _came_back(self, promise: Promise[Task] | None) -> None:
        if promise is None:
            return
        with self._lock:
            changes = self._queue.came_back(promise, monotonic())
        if changes:
            self.on_changes(changes)

    def forget(self, sources: set[int]) -> None:
        """Callers are gone, and with them the functions that they were asked for."""
        for digest, parked in list(self._parked.items()):
            kept = self._parked[digest] = [task for task in parked if task.source not in sources]
            if not kept:
                del self._parked[digest]
            for task in parked:
                if task.source in sources:
                    self.give_up(task, "its caller is gone")

    def _ask_for_function(self, task: Task) -> None:
        function = task.call.function
        assert isinstance(function, PickledFunction)
        parked = self._parked.setdefault(function.digest, [])
        parked.append(task)
        if sum(1 for other in parked if other.source == task.source) == 1:
            self.ask_for(task.source, function.digest)

    def ask_for(self, source: int, digest: bytes) -> None:
        """Ask a caller for a function that it believes to be here; set by the node."""
        raise NotImplementedError

    def translate(self, task: Task) -> None:
        """Run a call whose function is byte code of another Python; set by the node."""
        raise NotImplementedError

    def on_function(self, source: int, digest: bytes, body: bytes) -> None:
        """A function that *source* was asked for has come, or (empty, or another) will not come from there."""
        body = body if digest_of(body) == digest else b""
        function = PickledFunction(digest, body)
        self._functions.note(function)
        parked = self._parked.pop(digest, [])
        mine = parked if body else [task for task in parked if task.source == source]
        others = [task for task in parked if task not in mine]
        if others:
            self._parked[digest] = others
        for task in mine:
            if not body:
                self.give_up(task, "its function is no longer kept by the caller; send it again")
                continue
            task.call.function = function
            self.bring_back(task)
