"""The requester's side of requests: what was asked, who holds it, who may answer it, and what became of it.

A token stands for one request at a time. Each asking has a number of its own, which goes with the request and comes
back with the response, so that an answer that is late is never taken for the answer to what was asked afterwards. A
request is open until it is answered, lost with its holder or out of time; what became of it is kept until it is
collected, released or asked anew under the same token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Any

from softgrid._model.errors import Duplicate, Missing, SoftgridError, TimedOut
from softgrid._model.tokens import HIDDEN
from softgrid._state.waits import Lines, Wait

FAILED_KEPT = 4096


class Request:
    """One request as its requester sees it; *holder* is whom it was sent or handed over to."""

    __slots__ = ("allowed", "deadline", "hand_overs", "holder", "name", "number", "response", "token")

    def __init__(
        self,
        token: bytes,
        number: int,
        holder: int,
        name: str,
        deadline: float = inf,
        allowed: frozenset[int] | None = None,
    ) -> None:
        self.token = token
        self.number = number
        self.holder = holder
        self.name = name
        self.deadline = deadline
        self.allowed = allowed
        self.hand_overs = 0
        self.response: Any = None
        """The caller's business; None while there is none."""

    def __repr__(self) -> str:
        return f"<Request {self.number} to {self.name}>"


class Asked:
    """All requests of one executor that are not collected."""

    def __init__(self) -> None:
        self._open: dict[bytes, Request] = {}
        self._answered: dict[bytes, Request] = {}
        self._failed: OrderedDict[bytes, SoftgridError] = OrderedDict()
        self._lines: Lines[Request] = Lines()

    # -- asking ---------------------------------------------------------------------------------------------------

    def register(self, request: Request) -> None:
        """Expect an answer; raises Duplicate when its token is in use."""
        token = request.token
        if token in self._open or token in self._answered:
            raise Duplicate("password", HIDDEN, "one whose last request is collected; release_request() frees this one")
        self._failed.pop(token, None)
        self._open[token] = request

    def move(self, token: bytes, number: int, hand_overs: int, holder: int, name: str) -> Request | None:
        """Its holder has handed a request over; gives it when that is news, None otherwise."""
        request = self._open.get(token)
        if request is None or request.number != number or request.hand_overs >= hand_overs:
            return None
        request.hand_overs, request.holder, request.name = hand_overs, holder, name
        return request

    # -- what becomes of it ---------------------------------------------------------------------------------------

    def answer(self, token: bytes, number: int, responder: int, response: object, now: float) -> str | None:
        """Take a response; gives why it is refused, or None. Number 0: from one who knows only the password."""
        request = self._open.get(token)
        if request is None:
            return self._why_not(token)
        if number not in (0, request.number):
            return "what it answers is over, and its password was used again since"
        if request.allowed is not None and responder not in request.allowed:
            return "this responder is not among those that the requester allows"
        if request.deadline <= now:
            self._fail(request, _late(request))
            return self._why_not(token)
        del self._open[token]
        request.response = response
        wait = self._lines.take_first(token)
        if wait is None:
            self._answered[token] = request
        else:
            wait.give(token, request)
            if token in self._lines:
                self._lines.give_all(token, _unknown("was collected by another thread"))
        return None

    def _why_not(self, token: bytes) -> str:
        if token in self._answered:
            return "another response came before it"
        failed = self._failed.get(token)
        if failed is not None:
            return f"its request is over: {failed}"
        return "no request with that password waits for a response (wrong password, answered, released or out of time)"

    def fail(self, token: bytes, number: int, error: SoftgridError, holder: int | None = None) -> None:
        """Nobody will answer a request; with *holder*, only if it is there."""
        request = self._open.get(token)
        if request is not None and request.number == number and holder in (None, request.holder):
            self._fail(request, error)

    def lose(self, gone: set[int], error_for: Callable[[int, str], SoftgridError]) -> int:
        """Executors are gone, and with them the requests that they held; gives how many."""
        lost = [request for request in self._open.values() if request.holder in gone]
        for request in lost:
            self._fail(request, error_for(request.holder, request.name))
        return len(lost)

    def expire(self, now: float) -> float:
        """End what is out of time; gives when to do so next."""
        for request in [request for request in self._open.values() if request.deadline <= now]:
            self._fail(request, _late(request))
        return min((request.deadline for request in self._open.values()), default=inf)

    def _fail(self, request: Request, error: SoftgridError) -> None:
        del self._open[request.token]
        if not self._lines.give_all(request.token, error):
            self._keep_failed(request.token, error)

    def _keep_failed(self, token: bytes, error: SoftgridError) -> None:
        self._failed[token] = error
        if len(self._failed) > FAILED_KEPT:
            self._failed.popitem(last=False)

    # -- collecting -----------------------------------------------------------------------------------------------

    def join(self, token: bytes, wait: Wait[Request], now: float) -> None:
        """Give what became of a request to *wait*, now or when it is known."""
        request = self._open.get(token)
        if request is not None and request.deadline > now:
            self._lines.join(token, wait)
            return
        if request is not None:
            self._fail(request, _late(request))
        outcome = self._answered.pop(token, None) or self._failed.pop(token, None)
        wait.give(token, outcome or _unknown("was not asked, or was collected or released"))

    def leave(self, token: bytes, wait: Wait[Request], seconds: float) -> None:
        """A wait has lasted too long; its request goes on."""
        self._lines.leave(token, wait)
        wait.give(token, TimedOut(f"{self._open[token].name} has not answered within {seconds:g} s; it still may"))

    def abandon(self, wait: Wait[Request]) -> None:
        """A wait was cut short: what it has got already can be collected by another."""
        for token in wait.missing:
            self._lines.leave(token, wait)
        for token, outcome in wait.got.items():
            if token in self._open or isinstance(outcome, Missing):
                continue
            if isinstance(outcome, SoftgridError):
                self._keep_failed(token, outcome)
            else:
                self._answered[token] = outcome

    def release(self, token: bytes, error: SoftgridError) -> bool:
        """Forget a request and let go whoever waits for it; False when there is none."""
        known = [table.pop(token, None) for table in (self._open, self._answered, self._failed)]
        self._lines.give_all(token, error)
        return any(known)

    def __len__(self) -> int:
        return len(self._open)


def _late(request: Request) -> SoftgridError:
    return TimedOut(f"{request.name} has not answered within the timeout of the request")


def _unknown(what: str) -> SoftgridError:
    return Missing("password", HIDDEN, f"the password of a request from here that is not collected (this one {what})")
