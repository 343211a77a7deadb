"""The small grid of ``tests.harness.trees`` in one thread: real switches, control, membership and requests, no sockets.

Nothing moves by itself: ``pump`` carries what was sent to where it goes, until nothing is under way any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.harness.nodes import FakeLink, FakeReactor
from tests.harness.trees import PATHS, TOP, role_of

from softgrid._io.reactor import Waiter
from softgrid._model.errors import PeerLost, SoftgridError
from softgrid._model.names import node_id
from softgrid._model.tokens import token_of
from softgrid._node.control import Control
from softgrid._node.membership import Membership
from softgrid._node.requests import Requests
from softgrid._node.switch import Switch
from softgrid._state.inflight import InFlight
from softgrid._state.tree import Tree
from softgrid._wire.control import decode_control, encode_control
from softgrid._wire.framing import AWAITED, Kind, Outbound
from softgrid._wire.requests import encode_payload

PIECE = 100_000


class Cable(FakeLink):
    """One end of a connection between two executors of the grid."""

    other: Cable
    owner: MemoryNode

    def send_stream(self, destination: int, frames: Any) -> Waiter:
        waiter = super().send_stream(destination, frames)
        waiter.set()
        return waiter

    def carry(self) -> bool:
        """Carry what was sent here to the other end; False when nothing was."""
        data, self.outgoing = bytes(self.outgoing), bytearray()
        if not data or self.other.closed:
            return False
        for start in range(0, len(data), PIECE):
            self.other.incoming.append(data[start : start + PIECE])
            self.other.owner.switch.on_readable(self.other)  # type: ignore[arg-type]
        return True


class NoSegments:
    def share(self, parts: Any, size: int) -> None:
        return None


class MemoryNode:
    """One executor: what it says in the log stands in ``said``."""

    def __init__(self, grid: MemoryGrid, name: str) -> None:
        self.grid = grid
        self.name = name
        self.id = node_id(name)
        self.said: list[str] = []
        self.links: dict[str, Cable] = {}
        self.reactor = FakeReactor()
        self.reactor.while_waiting = self._while_waiting
        self.tree: Tree[Any] = Tree(name, role_of(name))  # type: ignore[arg-type]
        self.switch = Switch(self.tree, NoSegments(), lambda work: work(), self._on_unroutable)  # type: ignore[arg-type]
        self.switch.on_bug = self._on_bug
        self.inflight = InFlight()
        self.control = Control(self.switch, self.reactor, self.inflight, self.tree)  # type: ignore[arg-type]
        self.membership = Membership(
            self.tree,
            self.switch,
            self.control,
            self,
            self,
            frozenset(),
            lambda reason: None,  # type: ignore[arg-type]
        )
        self.requests = Requests(self.tree, self.switch, self.reactor, self.control, self.inflight, self)  # type: ignore[arg-type]
        self.membership.gone_hooks.append(self.requests.on_gone)
        self.switch.deliver.update({Kind.CONTROL: self.control.on_control, Kind.REFUSED: self._on_refused})
        self.meanwhile: list[Callable[[], Any]] = []

    # what stands for transfers, logs and the node

    def on_gone(self, targets: set[int], cause_of: Callable[[int], str]) -> None:
        self.inflight.lose(targets, lambda name, who, call: PeerLost(f"{name} is gone: {cause_of(who)}"))

    def say(self, log_type: str, message: str) -> None:
        self.said.append(f"{log_type}: {message}")

    def forget(self, origin: int) -> None:
        return

    def _on_bug(self, error: BaseException) -> None:
        raise error

    def _on_unroutable(self, link: Any, header: Any, why: str) -> None:
        if header.kind in (Kind.CONTROL, *AWAITED):
            known = self.tree.departure(header.destination)
            message = {"op": "refused", "target": header.destination, "reason": f"is gone: {known}" if known else why}
            body = Outbound(encode_control(message))
            self.switch.send(Kind.REFUSED, header.source, header.message_id, body)

    def _on_refused(self, link: Any, source: int, message_id: int, body: bytes) -> None:
        message = decode_control(body)
        target, reason = message["target"], message["reason"]
        self.inflight.refuse(message_id, target, lambda name: SoftgridError(f"{name} {reason}"))
        self.requests.on_refused(message_id, target, reason)

    # what tests do

    def _while_waiting(self, waiter: Waiter) -> None:
        self.grid.pump()
        while self.meanwhile and not waiter.done:
            self.meanwhile.pop(0)()
            self.grid.pump()

    def ask(self, responder: str, password: str, value: object, **how: Any) -> None:
        self.requests.requester.ask(responder, token_of(password), encode_payload(value, "request"), **how)
        self.grid.pump()

    def respond(self, requester: str, password: str, value: object, **how: Any) -> None:
        self.requests.responder.respond(requester, token_of(password), encode_payload(value, "response"), **how)
        self.grid.pump()

    def hand_over(self, requester: str, new_responder: str, password: str, value: object) -> None:
        payload = encode_payload(value, "request")
        self.requests.responder.hand_over(requester, new_responder, token_of(password), payload)
        self.grid.pump()

    def take_request(self, password: str, timeout: float = 5.0) -> Any:
        """(requester, value), or the error."""
        (came,) = self.requests.responder.collect({token_of(password): timeout}).values()
        return came if isinstance(came, SoftgridError) else came[:2]

    def take_response(self, password: str, timeout: float = 5.0) -> Any:
        """(responder, value), or the error."""
        (came,) = self.requests.requester.collect({token_of(password): timeout}).values()
        return came if isinstance(came, SoftgridError) else came[:2]


class MemoryGrid:
    """All executors of the small grid, by name."""

    def __init__(self) -> None:
        self.nodes = {name: MemoryNode(self, name) for name in (TOP, *PATHS)}
        self.cables: list[Cable] = []
        self.frames = 0
        for name, path in PATHS.items():
            self._connect(path[-1], name)
        for name, path in PATHS.items():
            self.nodes[name].tree.upgrid_path = path
            for above in path:
                way = (*path, name)
                hop = self.nodes[above].links[way[way.index(above) + 1]]
                self.nodes[above].tree.join(name, path, hop, cores=1, now_utc=0.0)

    def _connect(self, upgrid: str, name: str) -> None:
        down, up = Cable(name), Cable(upgrid)
        down.other, up.other = up, down
        down.owner, up.owner = self.nodes[upgrid], self.nodes[name]
        self.nodes[upgrid].links[name] = down
        self.nodes[name].links[upgrid] = up
        self.nodes[name].switch.uplink = up  # type: ignore[assignment]
        self.cables += [down, up]

    def __getitem__(self, name: str) -> MemoryNode:
        return self.nodes[name]

    def pump(self) -> None:
        """Carry everything that is under way to where it goes."""
        while any(cable.carry() for cable in self.cables):
            continue

    def kill(self, name: str, reason: str = "killed") -> None:
        """End an executor: its links break, and its upgrid learns of what."""
        for link in self.nodes[name].links.values():
            link.carry()  # what it had sent is still read
            link.closed = True
            link.other.closed = True
        upgrid = PATHS[name][-1]
        link = self.nodes[upgrid].links[name]
        self.nodes[upgrid].membership.on_link_closed(link, reason)  # type: ignore[arg-type]
        self.pump()

    def said(self) -> dict[str, list[str]]:
        """What anybody has said in the log, apart from deaths."""
        deaths = tuple(f"error: {name} is gone: " for name in self.nodes)
        found = {name: [text for text in node.said if not text.startswith(deaths)] for name, node in self.nodes.items()}
        return {name: texts for name, texts in found.items() if texts}
