"""The responder's side of requests: what has come, who waits for it, what is to be answered, and to whom.

Requests of one token are given out in the order in which they came, whoever asks. One that was given out is to be
answered by (requester, token), once, or handed over; a newer one of the same requester takes the place of an older
one, which its requester cannot be waiting for any more. Requests whose number is 0 want no answer.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from math import inf
from typing import Any

from softgrid._model.errors import Missing, Refused, SoftgridError, TimedOut
from softgrid._model.tokens import HIDDEN
from softgrid._state.waits import Lines, Wait

TOKENS_KNOWN = 1024
"""Of so many tokens it is remembered who has asked under them, so that the death of the last of these ends a wait."""


class Request:
    """One request as its responder sees it; *content* is the caller's business."""

    __slots__ = ("content", "deadline", "hand_overs", "name", "number", "requester", "token")

    def __init__(
        self,
        token: bytes,
        number: int,
        requester: int,
        name: str,
        deadline: float = inf,
        hand_overs: int = 0,
        content: Any = None,
    ) -> None:
        self.token = token
        self.number = number
        self.requester = requester
        self.name = name
        self.deadline = deadline
        self.hand_overs = hand_overs
        self.content = content

    def __repr__(self) -> str:
        return f"<Request {self.number} of {self.name}>"


class Received:
    """All requests that were sent to one executor and are not answered."""

    def __init__(self) -> None:
        self.maximum: int | None = None
        """How many requests may be here that are not answered."""
        self._waiting = 0
        self._arrived: dict[bytes, deque[Request]] = {}
        self._untaken: dict[tuple[int, bytes], Request] = {}
        self._taken: dict[tuple[int, bytes], Request] = {}
        self._askers: OrderedDict[bytes, dict[int, str]] = OrderedDict()
        self._lines: Lines[Request] = Lines()

    # -- coming and being taken -----------------------------------------------------------------------------------

    def arrive(self, request: Request) -> None:
        """A request has come; raises Refused when too many are here."""
        token = request.token
        count = self._waiting + len(self._taken)
        if self.maximum is not None and count >= self.maximum and (request.requester, token) not in self._untaken:
            raise Refused(f"{count} requests wait there already (rule 'request_maximum_waiting')")
        askers = self._askers.get(token)
        if askers is None:
            askers = self._note_token(token)
        askers[request.requester] = request.name
        self._askers.move_to_end(token)
        wait = self._lines.take_first(token)
        if wait is not None:
            self._give(request, wait)
            return
        if request.number:
            self._take_untaken(request.requester, token)
            self._untaken[request.requester, token] = request
        self._arrived.setdefault(token, deque()).append(request)
        self._waiting += 1

    def _take_untaken(self, requester: int, token: bytes) -> Request | None:
        request = self._untaken.pop((requester, token), None)
        if request is not None:
            self._arrived[token].remove(request)
            self._waiting -= 1
            if not self._arrived[token]:
                del self._arrived[token]
        return request

    def _note_token(self, token: bytes) -> dict[int, str]:
        if len(self._askers) >= TOKENS_KNOWN:
            self._askers.popitem(last=False)
        askers: dict[int, str] = {}
        self._askers[token] = askers
        return askers

    def _give(self, request: Request, wait: Wait[Request]) -> None:
        if request.number:
            self._taken[request.requester, request.token] = request
        wait.give(request.token, request)

    def join(self, token: bytes, wait: Wait[Request], now: float) -> None:
        """Give the oldest request of a token to *wait*, now or when one comes."""
        queue = self._arrived.get(token)
        while queue:
            request = queue.popleft()
            self._waiting -= 1
            if request.number:
                del self._untaken[request.requester, token]
            if not queue:
                del self._arrived[token]
            if request.deadline > now:
                self._give(request, wait)
                return
        self._lines.join(token, wait)

    def leave(self, token: bytes, wait: Wait[Request], seconds: float) -> None:
        """A wait has lasted too long."""
        self._lines.leave(token, wait)
        wait.give(token, TimedOut(f"no request came within {seconds:g} s"))

    def abandon(self, wait: Wait[Request]) -> None:
        """A wait was cut short: what it has got already is given to another, before what came later."""
        for token in wait.missing:
            self._lines.leave(token, wait)
        for token, request in wait.got.items():
            if isinstance(request, Request):
                self._put_back(token, request)

    def _put_back(self, token: bytes, request: Request) -> None:
        self._taken.pop((request.requester, token), None)
        wait = self._lines.take_first(token)
        if wait is not None:
            self._give(request, wait)
        elif (request.requester, token) not in self._untaken:
            self._arrived.setdefault(token, deque()).appendleft(request)
            self._waiting += 1
            if request.number:
                self._untaken[request.requester, token] = request

    # -- answering ------------------------------------------------------------------------------------------------

    def take_unanswered(self, requester: int, token: bytes, now: float) -> Request | None:
        """Take the request that an answer (or a hand-over) is for; raises Missing or TimedOut where there was one.

        None for a requester that never asked anything here under that token: it may still take an answer.
        """
        request = self._taken.pop((requester, token), None) or self._take_untaken(requester, token)
        if request is None:
            if requester in self._askers.get(token, ()):
                raise Missing(
                    "password", HIDDEN, "that of a request which is neither answered, handed over nor out of time"
                )
            return None
        if request.deadline <= now:
            raise TimedOut(f"{request.name} no longer waits for an answer: the time of its request is over")
        return request

    def keep(self, request: Request) -> None:
        """Its answer or hand-over came to nothing: it is still to be answered here."""
        self._taken.setdefault((request.requester, request.token), request)

    # -- ending ---------------------------------------------------------------------------------------------------

    def lose(self, gone: set[int], error_for: Callable[[int, str], SoftgridError]) -> None:
        """Requesters are gone: what they wait for is void, and so is waiting for more when nobody else has asked."""
        for key in [key for key in self._untaken if key[0] in gone]:
            self._take_untaken(*key)
        for key in [key for key in self._taken if key[0] in gone]:
            del self._taken[key]
        for token, askers in list(self._askers.items()):
            lost = [(who, name) for who, name in askers.items() if who in gone]
            for who, _ in lost:
                del askers[who]
            if not askers:
                del self._askers[token]
                self._lines.give_all(token, error_for(*lost[-1]))

    def expire(self, now: float) -> float:
        """Drop what is out of time; gives when to do so next."""
        for token, queue in list(self._arrived.items()):
            left = deque(request for request in queue if request.deadline > now)
            if left:
                self._arrived[token] = left
            else:
                del self._arrived[token]
        for table in (self._untaken, self._taken):
            for key in [key for key, request in table.items() if request.deadline <= now]:
                del table[key]
        self._waiting = sum(map(len, self._arrived.values()))
        unanswered = [request for queue in self._arrived.values() for request in queue] + list(self._taken.values())
        return min((request.deadline for request in unanswered), default=inf)

    def release(self, token: bytes, error: SoftgridError) -> bool:
        """Forget all requests of a token and let go whoever waits for one; False when there is none."""
        released = self._arrived.pop(token, ())
        self._waiting -= len(released)
        is_known = bool(released)
        for table in (self._untaken, self._taken):
            for key in [key for key in table if key[1] == token]:
                del table[key]
                is_known = True
        self._askers.pop(token, None)
        return self._lines.give_all(token, error) or is_known

    def __len__(self) -> int:
        return len(self._untaken) + len(self._taken)
