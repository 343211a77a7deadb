"""Messages that need no answer, sent in order and never too many at a time to one executor.

What finds no room at its receiver waits here, and the thread that sends it waits with it; see ``_state.receipts``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import Any

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.segments import THRESHOLD
from softgrid._model.errors import Closed, PeerLost, SoftgridError, TimedOut
from softgrid._model.names import node_id
from softgrid._node.control import Control
from softgrid._node.switch import Switch
from softgrid._state.receipts import Receipts, ReceiptWindows, sizes
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field
from softgrid._wire.framing import Attached, Body, Outbound, frame

POST, QUIET_POST = 1 << 62, 1 << 63
"""Bits of a message id: it is none of the calls; that it could not be delivered is not to be logged."""


NOTHING = Outbound(b"")


class Waiting:
    """A message that waits for room, or for the link to take it out of its owner's memory."""

    __slots__ = ("body", "error", "kind", "message_id", "name", "room", "sent")

    def __init__(
        self, kind: int, name: str, message_id: int, body: Outbound | None, room: tuple[int, int], sent: Waiter
    ) -> None:
        self.kind = kind
        self.name = name
        self.message_id = message_id
        self.body = body
        self.room = room
        self.sent = sent
        self.error: SoftgridError | None = None


class Posts:
    """What one executor sends without being answered."""

    def __init__(self, tree: Tree[Link], switch: Switch, reactor: Reactor, control: Control) -> None:
        self._tree = tree
        self._switch = switch
        self._reactor = reactor
        self._control = control
        self._windows: ReceiptWindows[Waiting] = ReceiptWindows()
        self._receipts = Receipts()
        self._lock = threading.Lock()
        self.reached: dict[int, str] = {}
        """Names of those to whom anything was sent and who are not gone: relays on the way to them know of this one."""
        control.notices["received"] = self._on_received

    # -- out ------------------------------------------------------------------------------------------------------

    def post(self, kind: int, name: str, message_id: int, head: bytes, payload: Outbound = NOTHING) -> Waiting | None:
        """Send a message; raises when it cannot be sent. A *payload* for many is written into shared memory once.

        Gives what to ``wait`` for, until which the payload has to stay as it is; None when that is over already.
        """
        me, target = self._tree.node_id, node_id(name)
        hop = self._tree.routes.get(target) or self._switch.uplink
        large = self._large(head, payload, hop) if payload.size else None
        small = b"" if large else head + payload.head
        if target == me:
            self._switch.send(kind, me, message_id, large or Outbound(small))
            return None
        room = queued, bulk = sizes(len(head) + payload.size if large else len(small))
        with self._lock:
            if target not in self._tree.routes:  # asked under the lock: ``on_gone`` is told of who goes from now on
                self._tree.check_reachable(name)
            if hop is None or hop.closed:
                raise PeerLost(f"{name} cannot be reached: the connection towards it is gone")
            self.reached[target] = name
            if not self._windows.admit(target, message_id, queued, bulk):
                waiting = Waiting(kind, name, message_id, large or Outbound(small), room, Waiter())
                self._windows.defer(target, message_id, queued, bulk, waiting)
                return waiting
            if large is None or not bulk:
                hop.send(frame(kind, target, me, message_id, large.joined() if large else small), target)
                return None
            waiter = self._switch.send_over(hop, kind, target, message_id, large, me)
        return None if waiter is None else Waiting(kind, name, message_id, None, room, waiter)

    def _large(self, head: bytes, payload: Outbound, hop: Link | None) -> Outbound:
        if payload.size > THRESHOLD and hop is not None:
            self._switch.share(hop, payload)  # a long copy, so not under the lock
        body = Outbound(head, payload.parts)
        body.shared = payload.shared
        return body

    def wait(self, waiting: Waiting, timeout: float) -> None:
        """Block until a message has left; raises when it never will, or finds no room within *timeout* seconds."""
        if not self._reactor.wait(waiting.sent, inf if waiting.body is None else timeout):
            with self._lock:
                waiting.body = None
            if self._reactor.is_closed:
                raise Closed(f"this executor left the grid before {waiting.name} could take what was sent to it")
            if not waiting.sent.done:
                raise TimedOut(f"{waiting.name} has not taken what was sent to it before, and this was not sent")
        if waiting.error is not None:
            raise waiting.error

    def _send_fitting(self, fitting: list[Waiting]) -> None:
        """Send what there is room for now. The lock is held: nothing may overtake."""
        for waiting in fitting:
            target = node_id(waiting.name)
            if waiting.body is None:  # given up meanwhile
                self._send_fitting(self._windows.received(target, *waiting.room))
                continue
            self._switch.send(waiting.kind, target, waiting.message_id, waiting.body)
            waiting.sent.set()

    # -- receipts -------------------------------------------------------------------------------------------------

    def note(self, source: int, body: Body) -> None:
        """A message has come; its sender is told when enough has."""
        if source == self._tree.node_id:
            return
        size = len(body.head) + body.payload.size if isinstance(body, Attached) else len(body)
        receipt = self._receipts.note(source, size)
        if receipt is not None:
            self._control.tell_id(source, {"op": "received", "queued": receipt[0], "bulk": receipt[1]})

    def _on_received(self, link: Any, message: Message, source: int) -> None:
        queued, bulk = field(message, "queued", int), field(message, "bulk", int)
        with self._lock:
            self._send_fitting(self._windows.received(source, max(0, queued), max(0, bulk)))

    # -- nobody there ---------------------------------------------------------------------------------------------

    def on_gone(self, targets: set[int], error_for: Callable[[int, str], SoftgridError]) -> None:
        """Executors are gone: whoever waits for room at them is told."""
        for target in targets:
            self.reached.pop(target, None)
            self._receipts.forget(target)
            with self._lock:
                left_waiting = self._windows.forget(target)
            for waiting in left_waiting:
                waiting.error = error_for(target, waiting.name)
                waiting.sent.set()
