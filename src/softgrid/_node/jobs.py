"""A job while it runs: its tasks encoded beforehand, dealt out as its workers can take them, its answers collected.

All that follows from an event is decided by ``_state.jobs`` and done in the reactor's turn, where answers arrive: no
thread belongs to a job, and none is woken between two tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

from softgrid._io.reactor import Reactor, Timer, Waiter
from softgrid._model.errors import NoRoute, PeerLost, SoftgridError, TimedOut
from softgrid._model.names import node_id
from softgrid._node.encoder import EncodedCall, Kwargs
from softgrid._node.reserving import Outcome, Reserving
from softgrid._node.retrying import Told, policy_of, told, verdict
from softgrid._node.transfers import Transfers, check_on_timeout
from softgrid._state.inflight import Batch, Matches
from softgrid._state.jobs import Deal, Effect, GiveUp, Job, Release
from softgrid._state.reservations import Wish
from softgrid._state.retries import Attempts
from softgrid._wire.calls import is_failure
from softgrid._wire.control import Message


class JobSpec(NamedTuple):
    """What the caller of ``schedule_job`` asked for."""

    tasks: Sequence[Kwargs]
    wish: Wish
    collect: bool
    timeout: Any = None
    is_verbose: bool = False
    on_timeout: Any = "drop"


class JobRun:
    """One job on its way; a batch whose calls are sent one after the other."""

    def __init__(
        self,
        spec: JobSpec,
        password: str,
        limit: float | None,
        transfers: Transfers,
        reserving: Reserving,
        reactor: Reactor,
        say: Callable[[str], None],
    ) -> None:
        self._spec = spec
        self._password = password
        self._limit = limit
        self._transfers = transfers
        self._reserving = reserving
        self._reactor = reactor
        self._say = say
        self._job = Job([], [])
        self._names: dict[int, str] = {}
        self._early: list[Callable[[], None]] | None = []
        self._dealt: list[str | None] = [None] * len(spec.tasks)
        self._calls: list[EncodedCall | None] = []
        self._timer: Timer | None = None
        self._started = monotonic()
        self._failed = 0
        self._attempts: dict[int, Attempts] = {}
        self._kept: dict[int, EncodedCall] = {}
        """The calls of tasks that may be done once more."""
        self._replaced: set[str] = set()
        self._replaces_lost = False
        self._kills = check_on_timeout(spec.on_timeout)
        self.waiter = Waiter()
        self.batch = Batch(["the worker of a job"] * len(spec.tasks), list(spec.tasks))
        self.batch.on_outcome = self._on_outcome
        self.batch.on_done = self._on_done
        self.batch.again = self._again
        self.batch.is_cancellable = True

    def encode(self) -> bool:
        """Encode the tasks; one that cannot travel has failed already. False when there is none left to do."""
        for index, kwargs in enumerate(self._spec.tasks):
            try:
                policy = policy_of(kwargs)
                call = self._transfers.encoder.prepare(kwargs, self._password, is_detached=not self._spec.collect)
            except SoftgridError as error:
                self._calls.append(None)
                self.batch.fill(index, error)
            else:
                self._calls.append(call)
                if policy is not None:
                    self._attempts[index], self._kept[index] = Attempts(policy), call
                    self._replaces_lost = self._replaces_lost or policy.lost > 0
        return not self.batch.done

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """From here on its tasks can be cancelled, until the job is over or what is done here fails."""
        self._transfers.held.add(self)
        try:
            yield
        except BaseException:
            self._transfers.held.discard(self)
            raise

    # -- in the reactor's turn ------------------------------------------------------------------------------------

    def start(self, held: list[Message]) -> None:
        """Deal to those workers that are free; the others follow as their turn comes."""
        self._names = {node_id(promise["promise_executor"]): promise["promise_executor"] for promise in held}
        self._job = Job((index for index, call in enumerate(self._calls) if call is not None), self._names.values())
        if self._limit is not None:
            left = self._limit - (monotonic() - self._started)
            if left <= 0:
                self._on_timeout()
                return
            self._timer = self._reactor.call_later(left, self._on_timeout)
        self._say(f"a job of {len(self._calls)} tasks begins with {len(held)} workers")
        early, self._early = self._early or [], None
        for promise in held:
            if promise["at_head"]:
                self.on_granted(node_id(promise["promise_executor"]))
        for replay in early:
            replay()

    def on_granted(self, holder: int) -> None:
        """A worker has come so far that nothing keeps it from this job."""
        if self._early is not None:
            self._early.append(lambda: self.on_granted(holder))
        elif holder in self._names:
            self._perform(self._job.on_ready(self._names[holder], monotonic()))

    def on_ended(self, holder: int) -> None:
        """A worker's promise is no more, whoever wanted it."""
        if self._early is not None:
            self._early.append(lambda: self.on_ended(holder))
        elif holder in self._names:
            worker = self._names[holder]
            self._lose(worker, is_dead=not self._reserving.is_there(worker))

    def _lose(self, worker: str, *, is_dead: bool) -> None:
        """A worker does nothing for this job any more; one that has died is replaced where that was asked for."""
        if is_dead and self._replaces_lost and worker not in self._replaced and not self.batch.done:
            self._replaced.add(worker)
            self._job.expect()
            self._reactor.call_later(0.0, lambda: self._transfers.place_again(0, worker, True, self._on_heir))
        self._perform(self._job.on_lost(worker))

    def _on_heir(self, heir: str | SoftgridError) -> None:
        if self.batch.done:
            return
        try:
            if isinstance(heir, SoftgridError):
                if self._spec.wish.workers is not None:
                    raise heir
                heir = self._reserving.another(self._job.workers())
            worker = heir
            self._reserving.add_soon(
                worker, self._password, self._spec.wish.promise_timeout, lambda held: self._on_reserved(worker, held)
            )
        except SoftgridError:
            self._perform(self._job.on_missed())

    def _on_reserved(self, worker: str, outcome: Outcome) -> None:
        is_held = not isinstance(outcome, SoftgridError) and outcome["placed"]
        if self.batch.done:
            if is_held:
                self._reserving.remove_soon([worker], self._password)
        elif not is_held:
            self._perform(self._job.on_missed())
        else:
            self._names[node_id(worker)] = worker
            self._job.on_joined(worker)
            if not isinstance(outcome, SoftgridError) and outcome["at_head"]:
                self.on_granted(node_id(worker))

    def _again(self, index: int, outcome: Any) -> Any:
        """Look at how an attempt at a task ended; None: it is done once more."""
        attempts, worker = self._attempts.get(index), self._dealt[index]
        if attempts is None:
            return outcome
        if not verdict(attempts, outcome) or worker is None:
            self._attempts.pop(index)
            self._kept.pop(index)
            return told(attempts, outcome)
        self._dealt[index] = None
        self._calls[index] = self._kept[index].again(attempts.number)
        self._perform(self._job.on_again(index))
        self._note_end(worker, outcome)
        return None

    def cancel_waiting(self, matches: Matches, error: SoftgridError) -> list[str]:
        """Take back the tasks that match and have not been dealt."""
        found = [
            index
            for index, call in enumerate(self._calls)
            if call is not None and self._dealt[index] is None and matches(self.batch, index)
        ]
        self._job.withdraw(found)
        for index in found:
            self._attempts.pop(index, None)
            self._kept.pop(index, None)
            self._calls[index] = None
            self.batch.fill(index, error)
        return [self.batch.names[index] for index in found]

    def _on_outcome(self, index: int) -> None:
        outcome = self.batch.outcomes[index]
        self._failed += is_failure(outcome)
        if not self._spec.collect:
            self._transfers.hand_on(self.batch, index)
        worker = self._dealt[index]
        if worker is not None:
            self._note_end(worker, outcome.outcome if isinstance(outcome, Told) else outcome)

    def _note_end(self, worker: str, outcome: Any) -> None:
        """A worker has answered for a task, or will never do so."""
        if isinstance(outcome, (PeerLost, NoRoute)):
            self._lose(worker, is_dead=True)
        else:
            self._perform(self._job.on_answer(worker, monotonic()))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Deal):
                self._send(effect)
            elif isinstance(effect, Release):
                self._reserving.remove_soon([effect.worker], self._password)
            else:
                self._give_up(effect)

    def _send(self, deal: Deal) -> None:
        calls = []
        for index in deal.tasks:
            call, self._calls[index] = self._calls[index], None
            assert call is not None
            self._dealt[index] = self.batch.names[index] = deal.worker
            calls.append((index, deal.worker, call))
        try:
            self._transfers.send_encoded(self.batch, calls)
        except Exception as error:  # whatever it is, somebody waits for these
            for index in deal.tasks:
                self.batch.fill(index, SoftgridError(f"the task could not be sent: {type(error).__name__}: {error}"))

    def _give_up(self, effect: GiveUp) -> None:
        for index in effect.tasks:
            self._calls[index] = None
            self.batch.fill(index, PeerLost("the job has no worker left to run this task, which was not started"))

    def _on_timeout(self) -> None:
        self._perform(self._job.stop())
        if self._kills:
            self._transfers.cancel(self._transfers.inflight.cancellable(lambda batch, index: batch is self.batch))
        else:
            self._transfers.inflight.drop(self.batch)
        for index, worker in enumerate(self._dealt):
            where = (
                f"no answer from {worker}, where it {'is being cancelled' if self._kills else 'may still be running'}"
                if worker
                else "it was not started"
            )
            self.batch.fill(index, TimedOut(f"the job did not end within {self._limit:g} s: {where}"))

    def _on_done(self) -> None:
        self._let_go()
        succeeded = len(self._calls) - self._failed
        taken = monotonic() - self._started
        self._say(f"a job of {len(self._calls)} tasks has ended after {taken:.3g} s: {succeeded} succeeded")
        self.waiter.set()

    def _let_go(self) -> None:
        self._perform(self._job.stop())
        self._calls = [None] * len(self._calls)
        self._reserving.unlisten(self._password)
        self._transfers.held.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    # -- by the caller --------------------------------------------------------------------------------------------

    def collect(self) -> list[Any]:
        """Wait for the end of the job and give its results."""
        try:
            return self._transfers.collect(self.batch, self.waiter, None, before_cancel=self._let_go)
        except BaseException:  # nobody waits any more
            self._reactor.run_in_turn(self._let_go)
            raise
