"""The requester's side: requests go out, responses come in, and whoever waits for one is told what became of it.

When a responder hands a request over, the requester hears who has it now and *watches* that executor: it sends it a
message of no content, of which the relays on the way take note, so that a death at either end is told at the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from math import inf
from time import monotonic, time
from typing import Any

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._model.errors import Refused, SoftgridError, Undecodable
from softgrid._model.names import node_id, parse_name
from softgrid._model.tokens import TOKEN_SIZE
from softgrid._node.control import Control, error_message
from softgrid._node.logs import Logs
from softgrid._node.posts import QUIET_POST, Posts
from softgrid._node.switch import Switch
from softgrid._node.waiting import Alarm, Came, wait_for
from softgrid._state.asked import Asked, Request
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field
from softgrid._wire.framing import REQUEST, Body, Outbound
from softgrid._wire.requests import QUIET, VERDICT, decode_letter, decode_payload, encode_head


class Requester:
    """What one executor asks of others."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        reactor: Reactor,
        control: Control,
        posts: Posts,
        ids: Iterator[int],
        logs: Logs,
    ) -> None:
        self._tree = tree
        self._switch = switch
        self._reactor = reactor
        self._control = control
        self._posts = posts
        self._ids = ids
        self._logs = logs
        self._asked = Asked()
        self._lock = threading.Lock()
        self._alarm = Alarm(reactor, self._expire)
        control.notices.update(request_moved=self._on_moved, request_unread=self._on_unread)

    # -- out ------------------------------------------------------------------------------------------------------

    def ask(
        self,
        responder: str,
        token: bytes,
        payload: Outbound,
        timeout: float = inf,
        allowed: frozenset[int] | None = None,
        is_registered: bool = True,
        is_logged: bool = True,
    ) -> None:
        """Send a request; raises what keeps it from being sent, which is also what waiting for its response gives."""
        message_id = next(self._ids) if is_logged else next(self._ids) | QUIET_POST
        number = message_id if is_registered else 0
        shielded = self._reactor.shield()
        try:
            if is_registered:
                self._register(Request(token, number, node_id(responder), responder, monotonic() + timeout, allowed))
            head = encode_head(token, number, timeout, 0, self._tree.name.encode())
            waiting = self._posts.post(REQUEST, responder, message_id, head, payload)
            if waiting is not None:
                self._posts.wait(waiting, timeout)
        except SoftgridError as error:
            self._fail(token, number, error)
            raise
        finally:
            self._reactor.unshield(shielded)

    def _register(self, request: Request) -> None:
        with self._lock:
            self._asked.register(request)
        if request.deadline < self._alarm.due:
            self._alarm.note(request.deadline)

    def _fail(self, token: bytes, number: int, error: SoftgridError, holder: int | None = None) -> None:
        with self._lock:
            self._asked.fail(token, number, error, holder)

    # -- back -----------------------------------------------------------------------------------------------------

    def collect(self, timeouts: Mapping[bytes, float]) -> dict[bytes, Came | SoftgridError]:
        """Block until each request is answered or never will be; gives the responses, or why there are none."""
        came: dict[bytes, Any] = wait_for(self._asked, self._lock, self._reactor, timeouts)
        for token, outcome in came.items():
            came[token] = _read(outcome)
        return came

    def on_response(self, link: Any, source: int, message_id: int, body: Body) -> None:
        """Take a RESPONSE from the wire."""
        self._posts.note(source, body)
        token, number, _, mark, name, responder, packed = decode_letter(body)
        if responder != source:
            raise Undecodable("a response in the name of somebody else")
        with self._lock:
            refusal = self._asked.answer(token, number, source, (name, packed, time()), monotonic())
        if mark & VERDICT:
            answer = error_message(Refused(f"{self._tree.name} refused it: {refusal}")) if refusal else {}
            self._control.answer(source, message_id, answer)
        elif refusal and not mark & QUIET:
            told = {"op": "response_refused", "name": self._tree.name, "reason": refusal}
            self._control.tell_id(source, told)

    def _on_unread(self, link: Any, message: Message, source: int) -> None:
        error = SoftgridError(f"the request cannot be read at its responder: {field(message, 'reason', str)}")
        self._fail(token_in(message), field(message, "number", int), error, source)

    # -- who has it now -------------------------------------------------------------------------------------------

    def _on_moved(self, link: Any, message: Message, source: int) -> None:
        name = str(parse_name(field(message, "name", str)))
        number, hand_overs = field(message, "number", int), field(message, "hand_overs", int)
        with self._lock:
            is_news = self._asked.move(token_in(message), number, hand_overs, node_id(name), name)
        if is_news:
            self._watch(name)

    def _watch(self, name: str) -> None:
        """Hear of the death of an executor to which nothing was sent from here."""
        holder = node_id(name)
        if holder in self._posts.reached or self._switch.knows(holder):
            return
        try:
            self._posts.post(REQUEST, name, next(self._ids) | QUIET_POST, b"")
        except SoftgridError as error:
            lost = error
            self.on_gone({holder}, lambda who, name: lost)

    # -- endings --------------------------------------------------------------------------------------------------

    def on_gone(self, gone: set[int], error_for: Callable[[int, str], SoftgridError]) -> None:
        """Executors are gone, and what they were asked with them."""
        with self._lock:
            self._asked.lose(gone, error_for)

    def release(self, token: bytes, error: SoftgridError) -> bool:
        """Forget a request; False when there is none."""
        with self._lock:
            return self._asked.release(token, error)

    def _expire(self, now: float) -> float:
        with self._lock:
            return self._asked.expire(now)


def token_in(message: Message) -> bytes:
    """Read the token in a control message; raises Undecodable."""
    try:
        token = bytes.fromhex(field(message, "token", str))
    except ValueError:
        token = b""
    if len(token) != TOKEN_SIZE:
        raise Undecodable(f"control message '{message.get('op')}' without a proper token")
    return token


def _read(outcome: Request | SoftgridError) -> Came | SoftgridError:
    if isinstance(outcome, SoftgridError):
        return outcome
    responder, packed, utc = outcome.response
    try:
        return responder, decode_payload(packed), utc
    except Exception as error:
        return SoftgridError(f"{responder} has answered, which cannot be read here: {type(error).__name__}: {error}")
