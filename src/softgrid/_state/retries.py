"""Whether a call is tried again: asked for, counted, and stopped when it keeps killing whoever runs it.

Losses and failures are counted apart. A call that was waiting, not running, when its executor died has done nothing to
cause that: it moves on without being charged for it. One that was running through ``MAX_KILLS`` deaths is poison,
whatever it was granted. Nothing is ever tried again unless that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from softgrid._model.errors import BadArgument, class_name

MAX_KILLS = 3
"""So many executors may die of one call; then it is not run again."""
MAX_MOVES = 100
"""So often a call may lose its place in the queue of an executor that dies."""
MAX_RETRIES = 1_000_000
FIRST_WAIT_S, LONGEST_WAIT_S = 0.001, 0.5
CAUSES_KEPT = 20
"""Of so many attempts the last causes are told; of those before only their number."""

_RETRIES = "a number >= 0 of retries of either kind, or a dictionary {'lost': number, 'failed': number}"
_CLASSES = "None (any Exception), an exception class, or a list of them"


class RetryPolicy(NamedTuple):
    """How often a call may be tried again after a loss and after a failure, and which exceptions are such failures."""

    lost: int = 0
    failed: int = 0
    retry_on: frozenset[str] = frozenset({"Exception"})


def read_policy(retries: object, retry_on: object = None) -> RetryPolicy | None:
    """Read what a user asked for; None when that is nothing. Raises BadArgument."""
    names = _class_names(retry_on)
    if retries is None:
        return None
    if isinstance(retries, Mapping):
        if not retries or retries.keys() - {"lost", "failed"}:
            raise BadArgument("retries", retries, _RETRIES)
        lost, failed = retries.get("lost", 0), retries.get("failed", 0)
    else:
        lost = failed = retries
    for number in (lost, failed):
        if type(number) is not int or not 0 <= number <= MAX_RETRIES:
            raise BadArgument("retries", retries, _RETRIES)
    return RetryPolicy(lost, failed, names) if lost or failed else None


def _class_names(retry_on: object) -> frozenset[str]:
    if retry_on is None:
        return RetryPolicy().retry_on
    given = list(retry_on) if isinstance(retry_on, (list, tuple, set, frozenset)) else [retry_on]
    classes = [each for each in given if isinstance(each, type) and issubclass(each, BaseException)]
    if not classes or len(classes) < len(given):
        raise BadArgument("retry_on", retry_on, _CLASSES)
    return frozenset(map(class_name, classes))


class Attempts:
    """The attempts of one call.

    >>> attempts = Attempts(RetryPolicy(lost=1))
    >>> attempts.on_lost('w1 died', was_running=True), attempts.number
    (True, 2)
    >>> attempts.on_lost('w2 died', was_running=True), attempts.number
    (False, 2)
    """

    __slots__ = ("_causes", "_ended", "_failures", "_losses", "_moves", "kills", "number", "policy")

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.number = 1
        self.kills = 0
        self._losses = self._failures = self._moves = self._ended = 0
        self._causes: list[str] = []

    def on_failed(self, classes: Iterable[str], cause: str) -> bool:
        """The function raised an exception of these *classes*: whether to try again."""
        counts = not self.policy.retry_on.isdisjoint(classes)
        if counts:
            self._failures += 1
        return self._note(cause, counts and self._failures <= self.policy.failed)

    def on_lost(self, cause: str, *, was_running: bool | None, is_blamed: bool = False) -> bool:
        """Its executor is gone: whether to try again.

        *was_running*: None when nobody knows. *is_blamed*: it was, and nobody had asked for that end.
        """
        if was_running is False:
            self._moves += 1
            return self._note(cause, self.policy.lost > 0 and self._moves <= MAX_MOVES)
        self._losses += 1
        self.kills += is_blamed
        return self._note(cause, self._losses <= self.policy.lost and not self.is_poison)

    def on_final(self, cause: str) -> None:
        """It ended in a way that no further attempt can cure, or that must not be followed by one."""
        self._note(cause, False)

    @property
    def wait_s(self) -> float:
        """Seconds to wait before the next attempt: none, unless it keeps losing its place."""
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._moves, 32)) if self._moves > 1 else 0.0

    @property
    def is_poison(self) -> bool:
        """Whether too many executors have died of it."""
        return self.kills >= MAX_KILLS

    def _note(self, cause: str, is_tried_again: bool) -> bool:
        self._ended += 1
        self._causes.append(cause.partition("\n")[0])
        del self._causes[:-CAUSES_KEPT]
        self.number += is_tried_again
        return is_tried_again

    def account(self) -> str:
        """Say how each attempt ended; nothing when there was only one."""
        if self._ended < 2:
            return ""
        why = f", and not again: {self.kills} executors died while they ran it" if self.is_poison else ""
        first = self._ended - len(self._causes) + 1
        lines = [f"it was tried {self._ended} times{why}:"]
        lines += [f"  (the first {first - 1} are not listed)"] if first > 1 else []
        lines += [f"  attempt {number}: {cause}" for number, cause in enumerate(self._causes, first)]
        return "\n".join(lines)
