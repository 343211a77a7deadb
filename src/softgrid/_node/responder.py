"""The responder's side: requests come in and are given to whoever waits; responses and hand-overs go out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from math import inf
from time import monotonic, time
from typing import Any

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import Missing, PeerLost, Refused, SoftgridError, TimedOut, Undecodable
from softgrid._model.names import node_id
from softgrid._model.tokens import HIDDEN
from softgrid._node.control import Control
from softgrid._node.logs import Logs
from softgrid._node.posts import QUIET_POST, Posts
from softgrid._node.waiting import Alarm, Came, wait_for
from softgrid._state.inflight import Batch, InFlight
from softgrid._state.received import Received, Request
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field
from softgrid._wire.framing import REQUEST, RESPONSE, Body, Outbound
from softgrid._wire.requests import QUIET, VERDICT, decode_letter, decode_payload, encode_head


class Responder:
    """What one executor is asked by others."""

    def __init__(
        self,
        tree: Tree[Link],
        reactor: Reactor,
        control: Control,
        posts: Posts,
        inflight: InFlight,
        ids: Iterator[int],
        logs: Logs,
    ) -> None:
        self._tree = tree
        self._reactor = reactor
        self._control = control
        self._posts = posts
        self._inflight = inflight
        self._ids = ids
        self._logs = logs
        self._received = Received()
        self._lock = threading.Lock()
        self._alarm = Alarm(reactor, self._expire)
        control.notices["response_refused"] = self._on_response_refused

    # -- in -------------------------------------------------------------------------------------------------------

    def limit(self, maximum: int | None) -> None:
        """Say how many requests may be here that are not answered."""
        with self._lock:
            self._received.maximum = maximum

    def on_request(self, link: Any, source: int, message_id: int, body: Body) -> None:
        """Take a REQUEST from the wire; one of no content only makes the relays on its way take note of its source."""
        self._posts.note(source, body)
        if not body:
            return
        token, number, seconds, hand_overs, name, requester, packed = decode_letter(body)
        if requester != source and not hand_overs:
            raise Undecodable("a request in the name of somebody else")
        deadline = monotonic() + seconds
        request = Request(token, number, requester, name, deadline, hand_overs, (packed, time()))
        try:
            with self._lock:
                self._received.arrive(request)
        except Refused as error:
            self._tell_unread(request, str(error))
            return
        if deadline < self._alarm.due:
            self._alarm.note(deadline)

    def collect(self, timeouts: Mapping[bytes, float]) -> dict[bytes, Came | SoftgridError]:
        """Block until a request has come under each token; gives them, or why there is none."""
        came: dict[bytes, Any] = wait_for(self._received, self._lock, self._reactor, timeouts)
        for token, outcome in came.items():
            came[token] = self._read(outcome)
        return came

    def _read(self, outcome: Request | SoftgridError) -> Came | SoftgridError:
        if isinstance(outcome, SoftgridError):
            return outcome
        (packed, utc), outcome.content = outcome.content, None
        try:
            return outcome.name, decode_payload(packed), utc
        except Exception as error:
            self._give_back(outcome, reason := f"{type(error).__name__}: {error}")
            return SoftgridError(f"a request of {outcome.name} has come, which cannot be read here: {reason}")

    def _give_back(self, request: Request, reason: str) -> None:
        """A request cannot be read here: tell its requester, who would wait for its answer."""
        if not request.number:
            return
        with self._lock:
            self._received.take_unanswered(request.requester, request.token, -inf)
        self._tell_unread(request, reason)

    def _tell_unread(self, request: Request, reason: str) -> None:
        if not request.number:
            return
        told = {"op": "request_unread", "token": request.token.hex(), "number": request.number, "reason": reason}
        self._control.tell_id(request.requester, told)

    # -- out ------------------------------------------------------------------------------------------------------

    def respond(
        self, requester: str, token: bytes, payload: Outbound, is_logged: bool = True, wait: float | None = None
    ) -> None:
        """Answer a request; raises what keeps the answer from being sent, or from being taken within *wait* seconds.

        One that was not received here can be answered too, by whoever knows its password: its requester decides.
        """
        shielded = self._reactor.shield()
        try:
            with self._lock:
                request = self._received.take_unanswered(node_id(requester), token, monotonic())
            number = 0 if request is None else request.number
            mark = (0 if is_logged else QUIET) if wait is None else VERDICT
            head = encode_head(token, number, inf, mark, self._tree.name.encode())
            if wait is None:
                message_id = next(self._ids) if is_logged else next(self._ids) | QUIET_POST
                self._send(RESPONSE, request, requester, message_id, head, payload)
            else:
                self._send_and_wait(request, requester, head, payload, wait)
        finally:
            self._reactor.unshield(shielded)

    def hand_over(self, requester: str, new_responder: str, token: bytes, payload: Outbound) -> None:
        """Let another executor answer a request; raises what keeps it from being handed over, which leaves it here."""
        shielded = self._reactor.shield()
        try:
            with self._lock:
                request = self._received.take_unanswered(node_id(requester), token, monotonic())
            if request is None:
                raise Missing("password", HIDDEN, f"that of a request of {requester} which is to be answered here")
            hand_overs, seconds = request.hand_overs + 1, max(request.deadline - monotonic(), 0.001)
            head = encode_head(token, request.number, seconds, hand_overs, requester.encode())
            self._send(REQUEST, request, new_responder, next(self._ids), head, payload)
            told = {"op": "request_moved", "token": token.hex(), "number": request.number, "hand_overs": hand_overs}
            self._control.tell(requester, {**told, "name": new_responder})
        finally:
            self._reactor.unshield(shielded)

    def _send(
        self, kind: int, request: Request | None, receiver: str, message_id: int, head: bytes, payload: Outbound
    ) -> None:
        try:
            waiting = self._posts.post(kind, receiver, message_id, head, payload)
            if waiting is not None:
                self._posts.wait(waiting, inf if request is None else request.deadline - monotonic())
        except SoftgridError:
            if request is not None:
                with self._lock:
                    self._received.keep(request)
            raise

    def _send_and_wait(
        self, request: Request | None, requester: str, head: bytes, payload: Outbound, timeout: float
    ) -> None:
        batch, waiter = Batch([requester], [None]), Waiter()
        batch.on_done = waiter.set
        message_id = self._inflight.open(batch, 0, node_id(requester))
        try:
            self._send(RESPONSE, request, requester, message_id, head, payload)
            if not self._reactor.wait(waiter, timeout):
                raise TimedOut(f"{requester} has not said within {timeout:g} s whether it takes the response")
        finally:
            if not batch.done:
                self._inflight.drop(batch)
        verdict = self._control.read(batch)
        if isinstance(verdict, PeerLost):
            cause = self._tree.departure(node_id(requester))
            raise PeerLost(f"{requester} is gone: {cause}; it may have taken the response")
        if isinstance(verdict, SoftgridError):
            raise verdict

    def _on_response_refused(self, link: Any, message: Message, source: int) -> None:
        name = field(message, "name", str)
        if node_id(name) == source:
            self._logs.say("error", f"{name} refused a response: {field(message, 'reason', str)}")

    # -- endings --------------------------------------------------------------------------------------------------

    def on_gone(self, gone: set[int], error_for: Callable[[int, str], SoftgridError]) -> None:
        """Executors are gone: nobody waits for what they asked, nor for what they would ask next."""
        with self._lock:
            self._received.lose(gone, error_for)

    def release(self, token: bytes, error: SoftgridError) -> bool:
        """Forget all requests under a token; False when there are none."""
        with self._lock:
            return self._received.release(token, error)

    def _expire(self, now: float) -> float:
        with self._lock:
            return self._received.expire(now)
