"""Calls that are tried again: the outcomes of one batch, looked at before anybody is told of them.

What is decided is decided by ``_state.retries``; here it is read from outcomes and done, in the reactor's turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from softgrid._io.reactor import Reactor
from softgrid._model.errors import NoRoute, PeerLost, SoftgridError
from softgrid._node.encoder import EncodedCall, Encoder, Kwargs
from softgrid._state.inflight import Batch, Matches, Outcome
from softgrid._state.retries import Attempts, RetryPolicy, read_policy
from softgrid._wire.calls import failure_of

Place = Callable[[int, str, "bool | None", Callable[[str | SoftgridError], None]], None]
"""Says where a call goes next: takes its index, who had it, whether that one is gone (None: it cannot be reached), and
whom to tell."""

Send = Callable[[Batch, Sequence[tuple[int, str, EncodedCall]]], None]


class Told(NamedTuple):
    """An outcome with an account of the attempts that led to it."""

    outcome: Outcome
    account: str


def verdict(attempts: Attempts, outcome: Outcome) -> bool:
    """Count how an attempt ended; gives whether there is to be another one."""
    if isinstance(outcome, PeerLost):
        return attempts.on_lost(str(outcome), was_running=outcome.was_running, is_blamed=outcome.is_blamed)
    if isinstance(outcome, NoRoute):  # it did not get there
        return attempts.on_lost(str(outcome), was_running=False)
    failure = failure_of(outcome)
    if failure is not None and failure.was_run:
        classes = failure.account.get("classes")
        names = [each for each in classes if isinstance(each, str)] if isinstance(classes, list) else []
        return attempts.on_failed(names, failure.headline())
    if failure is not None or isinstance(outcome, SoftgridError):
        attempts.on_final(str(failure or outcome))
    return False


def told(attempts: Attempts, outcome: Outcome) -> Outcome:
    """Give an outcome that is the last one, with an account of all attempts if it is a failure after several."""
    is_failure = isinstance(outcome, SoftgridError) or failure_of(outcome) is not None
    account = attempts.account() if is_failure else ""
    return Told(outcome, account) if account else outcome


class Held(Protocol):
    """Calls that are not on their way yet, or not now."""

    def cancel_waiting(self, matches: Matches, error: SoftgridError) -> list[str]: ...


class Plan:
    """The calls of a batch, encoded, with how often each may be tried again; some are at fault."""

    def __init__(self) -> None:
        self.calls: dict[int, EncodedCall] = {}
        self.attempts: dict[int, Attempts] = {}
        self.errors: dict[int, SoftgridError] = {}

    def check_all(self) -> None:
        """Raise what is wrong with the first that is at fault."""
        for error in self.errors.values():
            raise error


def plan_of(encoder: Encoder, batch: Batch, allowed: Sequence[bool | None], *, is_detached: bool) -> Plan:
    """Encode the calls of a batch, the same kwargs once."""
    plan = Plan()
    encoded: dict[tuple[int, bool | None], tuple[EncodedCall, RetryPolicy | None] | SoftgridError] = {}
    for index, (kwargs, may_bridge) in enumerate(zip(batch.kwargs, allowed, strict=True)):
        key = (id(kwargs), may_bridge)
        if key not in encoded:
            try:
                policy = policy_of(kwargs)
                encoded[key] = encoder.prepare(kwargs, is_detached=is_detached, allowed=may_bridge), policy
            except SoftgridError as error:
                encoded[key] = error
        found = encoded[key]
        if isinstance(found, SoftgridError):
            plan.errors[index] = found
            continue
        plan.calls[index] = found[0]
        if found[1] is not None:
            plan.attempts[index] = Attempts(found[1])
    return plan


def policy_of(kwargs: Kwargs) -> RetryPolicy | None:
    """Read how often a call may be tried again; raises BadArgument."""
    return read_policy(kwargs.get("retries"), kwargs.get("retry_on"))


class Retrying:
    """The calls of one batch that are tried again when that was asked for."""

    def __init__(
        self,
        batch: Batch,
        plan: Plan,
        place: Place,
        send: Send,
        reactor: Reactor,
    ) -> None:
        self._batch = batch
        self._attempts = dict(plan.attempts)
        self._calls = dict(plan.calls)
        self._place = place
        self._send = send
        self._reactor = reactor
        self._waiting: set[int] = set()
        batch.again = self._again

    def _again(self, index: int, outcome: Outcome) -> Outcome | None:
        attempts = self._attempts.get(index)
        if attempts is None:
            return outcome
        if not verdict(attempts, outcome) or self._reactor.is_closed:
            self._forget(index)
            return told(attempts, outcome)
        is_gone = True if isinstance(outcome, PeerLost) else None if isinstance(outcome, NoRoute) else False
        self._waiting.add(index)
        self._reactor.call_later(attempts.wait_s, lambda: self._find_place(index, outcome, is_gone))
        return None

    def _find_place(self, index: int, outcome: Outcome, is_gone: bool | None) -> None:
        if index in self._waiting:
            self._place(index, self._batch.names[index], is_gone, lambda where: self._on_place(index, outcome, where))

    def _on_place(self, index: int, outcome: Outcome, where: str | SoftgridError) -> None:
        if index not in self._waiting:
            return
        attempts, call = self._attempts[index], self._calls[index]
        if isinstance(where, SoftgridError):
            self._finish(index, type(outcome)(f"{outcome}; {where}") if isinstance(outcome, SoftgridError) else where)
            return
        self._waiting.discard(index)
        self._batch.names[index] = where
        try:
            self._send(self._batch, [(index, where, call.again(attempts.number))])
        except Exception as error:  # whatever it is, somebody waits for this
            text = f"the call could not be sent again: {type(error).__name__}: {error}"
            self._finish(index, SoftgridError(text))

    def _finish(self, index: int, outcome: Outcome) -> None:
        attempts = self._forget(index)
        self._batch.fill(index, told(attempts, outcome))

    def _forget(self, index: int) -> Attempts:
        self._waiting.discard(index)
        del self._calls[index]
        return self._attempts.pop(index)

    def cancel_waiting(self, matches: Matches, error: SoftgridError) -> list[str]:
        """Give up the calls that match and wait for their next attempt; gives who had them."""
        found = [index for index in self._waiting if matches(self._batch, index)]
        for index in found:
            self._finish(index, error)
        return [self._batch.names[index] for index in found]
