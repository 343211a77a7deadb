"""Calls on their way out: gathered per link, waiting for room, or for their memory to be free again."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple

from softgrid._io.link import Link
from softgrid._io.reactor import Waiter
from softgrid._node.bridge import Bridge
from softgrid._wire.framing import Outbound

COALESCE_BYTES = 64 * 1024
NO_BRIDGES: Mapping[int, Bridge] = {}


class Waiting(NamedTuple):
    """A call that waits at its source for room at its receiver."""

    target: int
    message_id: int
    body: Outbound
    allows_bridge: bool
    outgoing: Outgoing


class Outgoing:
    """Frames that are about to be sent, gathered per link so that many small ones leave in one write."""

    def __init__(self, bridges: Mapping[int, Bridge] = NO_BRIDGES) -> None:
        self._bridges = bridges
        self._known_bridges = dict(bridges)
        """Those that were there when the first call was gathered, or have been given way to."""
        self._gathered: dict[Link, list[bytes]] = {}
        self._sizes: dict[Link, int] = {}
        self._lock = threading.Lock()
        self._waiting = 0
        self.all_sent = Waiter()
        self.memory: list[Waiter] = []

    def note_waiting(self) -> None:
        """A call waits for room."""
        with self._lock:
            self._waiting += 1
            self.all_sent.clear()

    def note_sent(self) -> None:
        """A call that waited is on its way, or never will be."""
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                self.all_sent.set()

    def waiters(self) -> list[Waiter]:
        """What to wait for until the memory of everything sent is its owner's again."""
        with self._lock:
            return [*self.memory, self.all_sent] if self._waiting else self.memory

    def add(self, hop: Link, data: bytes) -> None:
        """Gather a frame; sends what was gathered for the link when it is enough.

        The first goes at once: who gets it has begun to work when the others are put together.
        """
        gathered = self._gathered.get(hop)
        if gathered is None:
            self._gathered[hop] = []
            self._sizes[hop] = 0
            hop.send(data)
            return
        gathered.append(data)
        self._sizes[hop] += len(data)
        if self._sizes[hop] > COALESCE_BYTES:
            self.flush(hop)

    def flush(self, hop: Link) -> None:
        """Send what was gathered for one link."""
        gathered = self._gathered.get(hop)
        if gathered:
            self._gathered[hop] = []
            self._sizes[hop] = 0
            hop.send(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def give_way(self, hop: Link) -> None:
        """Send what was gathered for one link, before something that could overtake it."""
        self.flush(hop)
        self._note_new_bridges()

    def give_way_to(self, bridge: Bridge, hop: Link) -> None:
        """A call goes over a bridge, which may have been opened after others to the same executor were gathered."""
        if self._known_bridges.get(bridge.peer) is not bridge:
            self.give_way(hop)
            self._known_bridges[bridge.peer] = bridge

    def _note_new_bridges(self) -> None:
        for bridge in list(self._bridges.values()):
            if self._known_bridges.get(bridge.peer) is not bridge:
                bridge.note_sent_through_tree()

    def flush_all(self) -> None:
        """Send everything that was gathered; nothing is gathered any more."""
        for hop in list(self._gathered):
            self.flush(hop)
        self._note_new_bridges()
