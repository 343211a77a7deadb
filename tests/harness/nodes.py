"""Fakes for the parts of an executor: they record what happens, and tests say that nothing else did."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from softgrid._io.reactor import Waiter
from softgrid._model.errors import Undecodable
from softgrid._wire.control import decode_control
from softgrid._wire.framing import HEADER, HEADER_SIZE, Header, Kind, Outbound, frame


def split_frames(data: bytes) -> Iterator[tuple[Header, bytes]]:
    """Cut whole frames apart."""
    position = 0
    while position < len(data):
        header = Header(*HEADER.unpack_from(data, position))
        stop = position + HEADER_SIZE + header.length
        assert stop <= len(data), "half a frame was sent"
        yield header, data[position + HEADER_SIZE : stop]
        position = stop


class FakeLink:
    """A link without a socket: what comes in is given by the test, what goes out is kept."""

    def __init__(self, name: str, *, passes_descriptors: bool = False) -> None:
        self.name = name
        self.peer: str | None = name
        self.passes_descriptors = passes_descriptors
        self.partial = b""
        self.closed = False
        self.is_guest = False
        self.is_full = False
        self.speakers: set[int] = set()
        self.frames_received = self.frames_sent = self.bytes_received = self.bytes_sent = 0
        self.incoming: deque[bytes | None] = deque()
        self.descriptors: deque[Any] = deque()
        self.outgoing = bytearray()
        self.passed: list[Any] = []
        self.pauses: list[FakeLink] = []
        self.closings: list[str] = []
        self.has_streams = False
        self.destinations: list[int] = []

    def __repr__(self) -> str:
        return f"<FakeLink {self.name}>"

    def has_stream_to(self, destination: int) -> bool:
        return False

    def receive_into(self, view: memoryview) -> int:
        if not self.incoming:
            return 0
        piece = self.incoming.popleft()
        if piece is None:
            return -1
        view[: len(piece)] = piece
        return len(piece)

    def take_descriptors(self, count: int) -> Any:
        if not self.descriptors:
            raise Undecodable("no descriptors came")
        return self.descriptors.popleft()

    def send(self, data: Any, destination: int = 0, descriptors: Any = None) -> None:
        self.outgoing += data
        self.passed.append(descriptors)
        self.destinations.append(destination)

    def send_stream(self, destination: int, frames: Any) -> Waiter:
        for pieces in frames:
            for piece in pieces:
                self.outgoing += piece
        return Waiter()

    def pause_for(self, full: FakeLink) -> None:
        self.pauses.append(full)

    def close(self, reason: str = "closed here") -> None:
        self.closed = True
        self.closings.append(reason)

    def take_frames(self) -> list[tuple[Header, bytes]]:
        """Give the frames sent since last asked."""
        data, self.outgoing = bytes(self.outgoing), bytearray()
        return list(split_frames(data))

    def take_messages(self) -> list[dict[str, Any]]:
        """Give the control messages sent since last asked."""
        return [decode_control(body) for header, body in self.take_frames() if header.kind == Kind.CONTROL]


A_LINK = FakeLink("a link")
"""Stands for the way down, where nothing is sent over it."""


class Sent:
    """A message that a part wanted sent."""

    def __init__(self, kind: int, destination: int, message_id: int, body: bytes, source: int) -> None:
        self.kind = Kind(kind)
        self.destination = destination
        self.message_id = message_id
        self.body = body
        self.source = source

    def __repr__(self) -> str:
        return f"<{self.kind.name} {self.message_id} {self.source} to {self.destination}>"

    @property
    def message(self) -> dict[str, Any]:
        return decode_control(self.body)


class FakeSwitch:
    """A switch that sends nothing and keeps everything."""

    def __init__(self, me: int = 1, uplink: Any = None) -> None:
        self.me = me
        self.uplink = uplink
        self.below: set[int] = set()
        self.spreaders: dict[str, str] = {}
        self.sent: list[Sent] = []
        self.forgotten: list[Any] = []
        self.waiter: Waiter | None = None
        self.deliver: dict[int, Any] = {}

    def send(self, kind: int, destination: int, message_id: int, outbound: Outbound, source: int | None = None) -> Any:
        body = outbound.joined()
        if destination == self.me and kind in self.deliver:
            self.deliver[kind](None, self.me if source is None else source, message_id, body)
            return None
        self.sent.append(Sent(kind, destination, message_id, body, self.me if source is None else source))
        return self.waiter

    def send_over(self, hop: Any, kind: int, destination: int, message_id: int, outbound: Outbound, source: int) -> Any:
        hop.send(frame(kind, destination, source, message_id, outbound.joined()))

    def hop_to(self, destination: int) -> Any:
        return A_LINK if destination in self.below else self.uplink

    def spreader_towards(self, name: str) -> str | None:
        return self.spreaders.get(name)

    def knows(self, executor: int) -> bool:
        return executor in self.below

    def forget(self, link: Any) -> None:
        self.forgotten.append(link)

    def forget_sources(self, sources: set[int]) -> None:
        self.forgotten.append(sources)

    def take(self, kind: Kind) -> list[Sent]:
        """Give what was sent since last asked; fails when anything of another kind was sent."""
        taken, self.sent = self.sent, []
        assert all(sent.kind == kind for sent in taken), taken
        return taken

    def take_one(self, kind: Kind) -> Sent:
        (one,) = self.take(kind)
        return one

    def check_nothing_sent(self) -> None:
        assert self.sent == []


class FakeReactor:
    """A reactor whose time passes when the test says so."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.in_callback = False
        self.is_closed = False
        self.polls = 0
        self.waits: list[float | None] = []
        self.while_waiting: Callable[[Waiter], Any] = lambda waiter: None

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        self.timers.append((delay, callback))
        return _FakeTimer(self, callback)

    def run_timers(self) -> list[float]:
        """Run what is waiting now; gives the delays that it had asked for."""
        due, self.timers = self.timers, []
        for _, callback in due:
            callback()
        return [delay for delay, _ in due]

    def wait(self, waiter: Waiter, timeout: float | None = None) -> bool:
        assert not self.in_callback, "a callback must not wait"
        self.waits.append(timeout)
        self.while_waiting(waiter)
        return waiter.done

    def holds_turn(self) -> bool:
        return self.in_callback

    def poll_now(self) -> None:
        self.polls += 1

    def run_in_turn(self, work: Callable[[], None]) -> None:
        work()

    def shield(self) -> bool:
        return False

    def unshield(self, shielded: bool) -> None:
        return


class _FakeTimer:
    def __init__(self, reactor: FakeReactor, callback: Callable[[], None]) -> None:
        self._reactor = reactor
        self._callback = callback

    def cancel(self) -> None:
        self._reactor.timers = [timer for timer in self._reactor.timers if timer[1] is not self._callback]
