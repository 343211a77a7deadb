"""One end of a bridge: sends and receives what `_state.twoways` decides, over the bridge or through the tree.

A call and its answer cost no question and no acknowledgement of their own; the other end says now and then how many
messages it has counted.

over the bridge     open {} from its builder, counted {count} at times, and when asked by: count {}
through the tree    arrived {}, answered as soon as it arrives: so has everything that was sent before it
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.segments import THRESHOLD
from softgrid._model.errors import SoftgridError, Undecodable
from softgrid._model.names import node_id
from softgrid._node.control import Control
from softgrid._node.switch import Switch
from softgrid._state.tree import Tree
from softgrid._state.twoways import Arrived, Confirm, Effects, TwoWays, Way
from softgrid._wire.control import Message, decode_control, encode_control, field
from softgrid._wire.framing import MAX_BODY, Attached, Body, Carried, Kind, Outbound, frame

LAST_READ_S = 0.5
"""When writing fails, reading mostly says why, after what the other end had still sent; but not always."""

Item = tuple[int, int, "bytes | Outbound", "Waiter | None"]
"""Kind, message id, body, and who waits for its memory to be free again."""


class Label(NamedTuple):
    """What both ends of a bridge know of it."""

    built_from: str
    built_to: str
    number: str
    password: str

    def __repr__(self) -> str:
        return f"<Label {self.built_from} to {self.built_to}>"  # the password is nobody's to read

    def as_message(self, op: str) -> Message:
        """Give it as a question to the other end."""
        return {"op": op, "from": self.built_from, "number": self.number, "password": self.password}


class Surroundings(NamedTuple):
    """What a bridge needs of its executor."""

    tree: Tree[Link]
    switch: Switch
    control: Control
    reactor: Reactor
    on_broken: Callable[[Bridge, str], None]
    on_unreachable: Callable[[Bridge, SoftgridError], None]


class Bridge:
    """The bridge to the executor *name*."""

    def __init__(self, name: str, label: Label, link: Link, surroundings: Surroundings) -> None:
        self.name = name
        self.label = label
        self.peer: int = node_id(name)
        self._around = surroundings
        self._switch = surroundings.switch
        self._me = surroundings.tree.node_id
        self._lock = threading.Lock()
        self._ways: TwoWays[Item] = TwoWays()
        self._asked: set[int] = set()
        self.when_settled: list[Callable[[], None]] = []
        self._flushing: list[Waiter] = []
        self._is_suspect = False
        self.trouble: str | None = None
        """What broke it, if it broke."""
        self.link = link
        self._crossing = self._switch.beside(self.peer, link)
        self._crossing.deliver.update(dict.fromkeys(Kind, _refuse))
        self._crossing.deliver.update(
            {Kind.CALL: self._on_call, Kind.RESULT: self._on_result, Kind.CONTROL: self._on_control}
        )
        link.on_readable = self._crossing.on_readable
        link.on_closed = self._on_closed

    def __repr__(self) -> str:
        return f"<Bridge to {self.name}>"

    def open(self) -> None:
        """Begin to use it: the builder says so, and only then the other end, lest its words come amid a handshake."""
        self.link.open()
        if self.label.built_to == self.name:
            self._tell_other({"op": "open"})
            self._on_open()

    def _on_open(self) -> None:
        with self._lock:
            self._perform(self._ways.on_open())

    # -- out ------------------------------------------------------------------------------------------------------

    def send(self, kind: int, message_id: int, outbound: Outbound, may_bridge: bool = True) -> Waiter | None:
        """Send to the other end, over the bridge where it may; any thread. Gives what ``Switch.send`` does."""
        if outbound.size > THRESHOLD and self._switch.share(self.link, outbound) is not None:
            item: Item = (kind, message_id, outbound, None)
        elif outbound.size + len(outbound.head) <= MAX_BODY:
            item = (kind, message_id, outbound.joined(), None)
        else:  # so large that the other end counts it as soon as it is there
            item = (kind, message_id, outbound, Waiter())
        with self._lock:  # what is kept stands in the order in which it is sent
            if may_bridge and self._ways.is_free:
                self._ways.kept.append(item)
                self._send_over(item)
            else:
                self._perform(self._ways.on_send(item, may_bridge))
        return item[3]

    def take_asked(self, message_id: int) -> bool:
        """Whether that call came over the bridge, so that its answer may go back over it; asked once."""
        if message_id not in self._asked:
            return False
        self._asked.discard(message_id)
        return True

    def note_sent_through_tree(self) -> None:
        """A call to the other end went through the tree by a thread that did not know of the bridge yet."""
        with self._lock:
            self._ways.on_sent_through_tree()

    def _send_over(self, item: Item) -> None:
        kind, message_id, body, _ = item
        if isinstance(body, bytes) and len(body) <= MAX_BODY:
            self.link.send(frame(kind, self.peer, self._me, message_id, body), self.peer)
        else:
            self._crossing.send_over(self.link, kind, self.peer, message_id, _outbound(body), self._me)
        if self.link.closed and not self._is_suspect:
            self._is_suspect = True
            self._around.reactor.call_later(LAST_READ_S, lambda: self.link.close("nothing can be written to it"))

    def _send_through_tree(self, item: Item) -> None:
        kind, message_id, body, waiter = item
        if waiter is not None and isinstance(body, Outbound):
            body = body.joined()  # rare, and so its memory need not be waited for a second time
            waiter.set()
        self._switch.send(kind, self.peer, message_id, _outbound(body))

    def _perform(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Arrived):
                for _, _, _, waiter in effect.items:
                    if waiter is not None:
                        waiter.set()
            elif isinstance(effect, Confirm):
                self._ask(effect.way)
            elif effect.way is Way.BRIDGE:
                self._send_over(effect.item)
            else:
                self._send_through_tree(effect.item)
        while self._flushing and not self._ways.has_waiting:
            self._flushing.pop().set()

    def _ask(self, way: Way) -> None:
        if way is Way.BRIDGE:
            self._tell_other({"op": "count"}, behind=self.peer)
        else:
            self._around.control.ask(self.name, {"op": "arrived"}, self._on_arrived)

    def _tell_other(self, message: Message, behind: int = 0) -> None:
        self.link.send(frame(Kind.CONTROL, 0, 0, 0, encode_control(message)), behind)

    # -- in -------------------------------------------------------------------------------------------------------

    def _on_call(self, link: Any, source: int, message_id: int, body: Body) -> None:
        if self._count(body):
            self._asked.add(message_id)
            self._switch.deliver[Kind.CALL](link, source, message_id, body)

    def _on_result(self, link: Any, source: int, message_id: int, body: Body) -> None:
        if self._count(body):
            self._switch.deliver[Kind.RESULT](link, source, message_id, body)

    def _count(self, body: Body) -> bool:
        """Count a message; False when the other end has been told that it has not arrived and sends it again."""
        if self._ways.is_over:
            return False
        if self._ways.on_received(body.payload.size if isinstance(body, Attached) else len(body)):
            self._tell_other({"op": "counted", "count": self._ways.tell()})
        return True

    def _on_control(self, link: Any, source: int, message_id: int, body: Body | Carried) -> None:
        message = decode_control(body if isinstance(body, (bytes, bytearray)) else b"")
        if self._ways.is_over:
            return
        if message["op"] == "open":
            self._on_open()
        elif message["op"] == "count":
            self._tell_other({"op": "counted", "count": self._ways.tell()})
        elif message["op"] == "counted":
            with self._lock:
                self._perform(self._ways.on_counted(field(message, "count", int)))
        else:
            _refuse()

    def _on_arrived(self, answer: Message | SoftgridError) -> None:
        # soon and not at once: a question that finds no way is answered while it is being asked
        self._around.reactor.call_soon(lambda: self._on_confirmed(answer))

    def _on_confirmed(self, answer: Message | SoftgridError) -> None:
        if isinstance(answer, SoftgridError):
            self._around.on_unreachable(self, answer)
            return
        with self._lock:
            self._perform(self._ways.on_confirmed())

    def flush(self, timeout: float) -> None:
        """Block until everything is on its way, at most *timeout* seconds; not for callbacks."""
        waiter = Waiter()
        with self._lock:
            if self._ways.has_waiting:
                self._flushing.append(waiter)
            else:
                waiter.set()
        self._around.reactor.wait(waiter, timeout)
        self.link.flush(timeout)

    # -- the end --------------------------------------------------------------------------------------------------

    def _on_closed(self, link: Link, reason: str) -> None:
        if not self._ways.is_over:
            self._around.on_broken(self, reason)

    @property
    def is_over(self) -> bool:
        """Whether it carries nothing any more."""
        return self._ways.is_over

    @property
    def is_settled(self) -> bool:
        """Whether it is over, and it is known what had arrived."""
        return self._ways.is_settled

    @property
    def is_gone(self) -> bool:
        """Whether the executor at the other end is gone."""
        return self._ways.is_gone

    def end(self, reason: str) -> int:
        """Carry nothing any more; gives how many messages had arrived here."""
        with self._lock:
            self._ways.on_over()
        self.link.close(reason)
        return self._ways.received

    def settle(self, count: int) -> None:
        """The other end had counted so many messages: send it the rest through the tree."""
        with self._lock:
            self._perform(self._ways.on_settled(count))
        self._tell_settled()

    def lose(self) -> None:
        """The executor at the other end is gone."""
        with self._lock:
            self._perform(self._ways.on_gone())
        self.link.close("its other end is gone")
        self._tell_settled()

    def _tell_settled(self) -> None:
        waiting, self.when_settled = self.when_settled, []
        for tell in waiting:
            tell()


def _outbound(body: bytes | Outbound) -> Outbound:
    return Outbound(body) if isinstance(body, bytes) else body


def _refuse(*message: Any) -> None:
    raise Undecodable("what does not travel over a bridge")
