"""Messages that are lost, doubled or late: what stands before ``Link.send`` while there is a plan for it.

Each message is hit at its first hop only, whole, and never one that concerns the tree itself: the tree lies over
connections that lose nothing, but whoever is at their ends may.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from softgrid._chaos.plan import DROP, DUPLICATE, Plan
from softgrid._io.link import FrameStream, Link
from softgrid._io.reactor import Waiter
from softgrid._node.switch import Switch
from softgrid._wire.framing import HEADER, HEADER_SIZE, MORE, Header

Held = list[tuple[bytes, int, Any]]


class FaultyWire:
    """Takes over the sending of all links between executors of this process."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._send = Link.send
        self._send_stream = Link.send_stream
        self._held: dict[Link, Held] = {}
        self._lock = threading.RLock()

    def install(self) -> None:
        """Have every message pass through here."""
        links: Any = Link
        links.send = lambda link, data, destination=0, descriptors=None: self.send(link, data, destination, descriptors)
        links.send_stream = lambda link, destination, frames: self.send_stream(link, destination, frames)

    def send(self, link: Link, data: Any, destination: int, descriptors: Any) -> None:
        """Send what is left of some whole frames, now or later."""
        if not _is_between_executors(link):
            self._send(link, data, destination, descriptors)
            return
        for header, piece in _whole_frames(bytes(data)):
            is_fresh = not header.hops and not header.flags & MORE
            fate = self._plan.fate(header.kind, header.message_id) if is_fresh else None
            if fate == DROP:
                continue
            self._hold_or_send(link, header, (piece, destination, descriptors))
            if fate == DUPLICATE and descriptors is None:
                self._hold_or_send(link, header, (piece, destination, None))

    def send_stream(self, link: Link, destination: int, frames: FrameStream) -> Waiter:
        """Send a bulk message behind all that was held up."""
        self.release(link)
        return self._send_stream(link, destination, frames)

    def _hold_or_send(self, link: Link, header: Header, frame: tuple[bytes, int, Any]) -> None:
        with self._lock:
            held = self._held.get(link)
            if held is not None:
                held.append(frame)
                return
            delay = self._plan.held_up_s(header.kind, header.message_id)
            if delay:
                self._held[link] = [frame]
                link._reactor.call_later(delay, lambda: self.release(link))
                return
            self._send(link, *frame)

    def release(self, link: Link) -> None:
        """Send what was held up, in its order."""
        with self._lock:
            for frame in self._held.pop(link, ()):
                self._send(link, *frame)


def _is_between_executors(link: Link) -> bool:
    return isinstance(getattr(link.on_readable, "__self__", None), Switch)


def _whole_frames(data: bytes) -> Iterator[tuple[Header, bytes]]:
    position = 0
    while position < len(data):
        header = Header(*HEADER.unpack_from(data, position))
        stop = position + HEADER_SIZE + header.length
        yield header, data[position:stop]
        position = stop
