"""The promises of a job: as many workers as there must be, or none.

The workers are asked in the order of what they have to do, and for one that refuses the next one is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from softgrid._model.errors import BadArgument, Refused, SoftgridError, TimedOut
from softgrid._node.promises import new_password
from softgrid._node.reserving import Reserving
from softgrid._node.workers import Workers, check_worker
from softgrid._state.promise import check_password
from softgrid._state.reservations import Wish
from softgrid._state.timeouts import check_timeout
from softgrid._wire.control import Message

ROLL_BACK_S = 1.0
"""How long to wait until it is certain that nothing is held; it will be, even if that is not waited for."""


class JobPromises:
    """Reserves workers for the jobs of one executor, for one job at a time."""

    def __init__(self, reserving: Reserving, workers: Workers) -> None:
        self._reserving = reserving
        self._workers = workers
        self._turn = threading.Lock()

    def reserve(self, wish: Wish, at_most: float | None = None) -> list[Message]:
        """Make the promises of a job, within *at_most* seconds; raises, with nothing held, when there are too few."""
        names = self._candidates(wish.workers)
        least, most = wish.bounds(len(names))
        patience = _patience(wish, at_most)
        deadline = monotonic() + patience
        wish = wish._replace(password=new_password() if wish.password is None else check_password(wish.password))
        held: list[Message] = []
        with self._in_turn(patience):
            try:
                failures = self._ask(wish, self._workers.by_load(names), least, most, deadline, held)
            except BaseException:
                self._reserving.remove_soon(_holders(held), wish.password)
                raise
            if len(held) < least:
                self._reserving.remove(_holders(held), wish.password, ROLL_BACK_S, force=True)
                raise Refused(_shortage(least, len(held), failures))
        return held

    @contextmanager
    def _in_turn(self, patience: float) -> Iterator[None]:
        """Two jobs at a time would each get some workers and, when they need more, both give up."""
        if not self._turn.acquire(timeout=patience):
            raise TimedOut(f"other jobs were being given their workers for {patience:g} s")
        try:
            yield
        finally:
            self._turn.release()

    def _ask(
        self, wish: Wish, left: list[str], least: int, most: int, deadline: float, held: list[Message]
    ) -> list[str]:
        """Ask as many as are needed, and others for those that refuse; fills *held*, gives why others are not."""
        failures: list[str] = []
        while left and len(held) < most and len(held) + len(left) >= least:
            asked, left = left[: most - len(held)], left[most - len(held) :]
            patience = max(0.001, deadline - monotonic())
            outcomes = self._reserving.add(
                asked, wish.password, wish.promise_timeout, patience, force=wish.force, is_kept=wish.is_kept
            )
            for name, outcome in zip(asked, outcomes, strict=True):
                if isinstance(outcome, SoftgridError):
                    failures.append(f"{name}: {outcome}")
                elif outcome["placed"]:
                    held.append(outcome)
                else:
                    failures.append(f"{name}: {outcome['reason']}")
        return failures

    def _candidates(self, workers: object) -> list[str]:
        if workers is None:
            return self._workers.allowed(runs_udf=True)
        given = [workers] if isinstance(workers, str) else workers
        if not isinstance(given, (list, tuple)) or not given:
            raise BadArgument("workers", workers, "None or a list of grid unique names of workers")
        return list(dict.fromkeys(check_worker(name, "workers") for name in given))


def _patience(wish: Wish, at_most: float | None) -> float:
    promise_timeout = check_timeout(wish.promise_timeout, "promiseTimeout", none_allowed=False)
    patience = check_timeout(wish.transfer_timeout, "transferTimeout") or promise_timeout
    assert patience is not None
    return patience if at_most is None else min(patience, at_most)


def _holders(held: list[Message]) -> list[str]:
    return [promise["promise_executor"] for promise in held]


def _shortage(least: int, held: int, failures: list[str]) -> str:
    shown = "; ".join(failures[:3]) + (f"; and {len(failures) - 3} more" if len(failures) > 3 else "")
    return f"{held} of the {least} workers that there must be could be reserved, so none is: {shown}"
