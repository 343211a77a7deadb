"""Two executors that may have a bridge, in one process: real sockets between them, the tree in the test's own hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.harness.nodes import FakeLink
from tests.harness.sockets import a_reactor, turn_until_idle
from tests.harness.trees import PATHS, TOP, role_of

from softgrid._io.reactor import Reactor
from softgrid._io.segments import SegmentPool
from softgrid._model.names import node_id
from softgrid._node.bridge import Bridge
from softgrid._node.bridge_building import BridgeBuilding
from softgrid._node.bridges import Bridges
from softgrid._node.control import Control
from softgrid._node.switch import Switch
from softgrid._state.inflight import InFlight
from softgrid._state.tree import Tree
from softgrid._wire.control import decode_control, encode_control
from softgrid._wire.framing import CARRYING, HEADER, Header, Kind, Outbound

PIECE = 64 * 1024


class Shore:
    """What of an executor has to do with bridges; what it sends through the tree stays here until the test moves it."""

    def __init__(self, name: str, reactor: Reactor, bind_host: str = "127.0.0.1") -> None:
        self.name, self.id = name, node_id(name)
        self.reactor = reactor
        self.up = FakeLink("up", passes_descriptors=True)
        self.tree: Tree[Any] = Tree(name, role_of(name))  # type: ignore[arg-type]
        self.tree.upgrid_path = PATHS.get(name, (TOP,))
        self.refused: list[Header] = []
        self.bugs: list[BaseException] = []
        self.segments = SegmentPool(reactor, lambda: 1 << 30)
        self.switch = Switch(self.tree, self.segments, reactor.run_in_turn, self._on_refused)
        self.switch.on_bug = self.bugs.append
        self.switch.uplink = self.up  # type: ignore[assignment]
        self.inflight = InFlight()
        self.control = Control(self.switch, reactor, self.inflight, self.tree)
        self.bridges = Bridges(self.tree, self.switch, self.control, reactor)
        self.building = BridgeBuilding(self.tree, self.bridges, self.control, reactor, bind_host)
        self.got: list[tuple[Kind, int, bytes]] = []
        self.warnings: list[str] = []
        self.lost: list[tuple[str, str]] = []
        self.bridges.warn = self.warnings.append
        self.bridges.on_lost = lambda name, reason: self.lost.append((name, reason))
        self.switch.deliver[Kind.CONTROL] = self.control.on_control
        for kind in (Kind.CALL, Kind.RESULT):
            self.switch.deliver[kind] = lambda link, source, number, body, kind=kind: self._take(kind, number, body)

    def _on_refused(self, link: Any, header: Header, why: str) -> None:
        self.refused.append(header)

    def _take(self, kind: Kind, number: int, body: Any) -> None:
        whole = body if isinstance(body, (bytes, bytearray)) else body.head + bytes(body.payload.view())
        self.got.append((kind, number, bytes(whole)))

    @property
    def bridge(self) -> Bridge:
        """Its only bridge."""
        [bridge] = self.bridges.table.values()
        return bridge

    def take_got(self) -> list[tuple[Kind, int, bytes]]:
        taken, self.got = self.got, []
        return taken

    def numbers(self) -> list[int]:
        """The numbers of the messages that have come since last asked."""
        return [number for _, number, _ in self.take_got()]

    def in_tree(self) -> list[Any]:
        """What stands in the tree, readable: the ops of control messages, the numbers of others; it stays there."""
        frames = self.up.take_frames()
        self.up.outgoing += b"".join(HEADER.pack(*header) + body for header, body in frames)
        return [
            decode_control(body)["op"] if header.kind == Kind.CONTROL else header.message_id for header, body in frames
        ]

    def comes(self, other: Shore, message: dict[str, Any], message_id: int = 77, descriptors: Any = None) -> None:
        """A control message of *other* comes through the tree that it never sent."""
        body = encode_control(message)
        flags, count = (CARRYING, len(descriptors)) if descriptors is not None else (0, 0)
        if descriptors is not None:
            self.up.descriptors.append(descriptors)
        self.up.incoming.append(
            HEADER.pack(len(body), Kind.CONTROL, flags, 0, count, self.id, other.id, message_id) + body
        )
        self.switch.on_readable(self.up)  # type: ignore[arg-type]

    def answers(self) -> list[dict[str, Any]]:
        """The answers that stand in the tree, taken out of it."""
        found = self.up.take_messages()
        return [message for message in found if message["op"] in ("answer", "error")]

    def send(self, number: int, may_bridge: bool = True, body: bytes = b"call", payload: Any = None) -> Any:
        return self.bridge.send(Kind.CALL, number, Outbound(body, payload), may_bridge)

    def close(self) -> None:
        self.bridges.leave()
        self.building.leave()
        for link in self.bridges.links():
            link.close("end of the test")
        self.segments.close()


class World:
    """The two of them."""

    def __init__(self, one: Shore, other: Shore) -> None:
        self.one, self.other = one, other
        self.reactor = one.reactor

    def tree(self, *which: Shore, until_idle: bool = True) -> None:
        """Let the tree carry what stands in it (of *which*, or of both), until there is nothing more."""
        moved = True
        while moved:
            if until_idle:
                turn_until_idle(self.reactor)
            moved = False
            for source in which or (self.one, self.other):
                target = self.other if source is self.one else self.one
                data, source.up.outgoing = bytes(source.up.outgoing), bytearray()
                if data:
                    target.up.descriptors.extend(each for each in source.up.passed if each is not None)
                    source.up.passed.clear()
                    for start in range(0, len(data), PIECE):
                        target.up.incoming.append(data[start : start + PIECE])
                        target.switch.on_readable(target.up)  # type: ignore[arg-type]
                    moved = True

    def build(self) -> None:
        """Have the one build a bridge to the other, over which nothing has gone yet."""
        answers: list[Any] = []
        question = {"op": "bridge_build", "to": self.other.name, "timeout": 60}
        self.reactor.run_in_turn(lambda: self.one.control.ask(self.one.name, question, answers.append))
        self.tree()
        assert [answer["op"] for answer in answers] == ["answer"], answers

    def check_no_bugs(self) -> None:
        assert self.one.bugs == self.other.bugs == []


@contextmanager
def a_world(one: str, other: str) -> Iterator[World]:
    """Two executors without a bridge yet."""
    with a_reactor() as reactor:
        world = World(Shore(one, reactor), Shore(other, reactor))
        try:
            yield world
            world.check_no_bugs()
        finally:
            world.one.close()
            world.other.close()
