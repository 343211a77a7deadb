"""Links and reactors for tests inside one process: real sockets, the other end in the test's own hand."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor

PATIENCE_S = 10.0
"""How long a test waits for what must happen; never passes when all is well."""


def no_bug(error: BaseException) -> None:
    raise error


@contextmanager
def a_reactor() -> Iterator[Reactor]:
    """A reactor in which a bug ends the test."""
    reactor = Reactor(no_bug)
    try:
        yield reactor
    finally:
        reactor.close()


def turn_until(reactor: Reactor, condition: Callable[[], Any]) -> None:
    """Turn the reactor until the condition holds."""
    deadline = monotonic() + PATIENCE_S
    while not condition():
        assert monotonic() < deadline, "it never happened"
        reactor.turn(0.05)


def turn_until_idle(reactor: Reactor, limit: int = 10_000) -> int:
    """Turn the reactor until nothing is ready; gives how many turns had something to do."""
    for count in range(limit):
        if not reactor.turn(0):
            return count
    raise AssertionError(f"still busy after {limit} turns")


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    """Run *work* in a thread; whoever joins it sees whether it came to an end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


class LinkEnd:
    """A link over a socket pair, what it reported, and the other end as a plain socket."""

    def __init__(self, reactor: Reactor, buffer_size: int | None = None, **options: Any) -> None:
        mine, self.peer = socket.socketpair()
        if buffer_size is not None:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_size)
        self.peer.settimeout(PATIENCE_S)
        self.reactor = reactor
        self.closings: list[str] = []
        self.received = bytearray()
        self.buffer = memoryview(bytearray(1 << 16))
        self.link = Link(mine, reactor, self._on_readable, self._on_closed, **options)
        self.link.open()

    def _on_readable(self, link: Link) -> None:
        size = link.receive_into(self.buffer)
        if size < 0:
            link.close("end of stream")
        else:
            self.received += self.buffer[: max(0, size)]

    def _on_closed(self, link: Link, reason: str) -> None:
        self.closings.append(reason)

    def fill(self) -> int:
        """Send until the socket takes no more; gives how many bytes that were."""
        self.link.send(b"\0" * (8 << 20))
        return 8 << 20

    def take(self, size: int) -> bytes:
        """Turn and read at the other end until *size* bytes have come."""
        data = bytearray()
        self.peer.setblocking(False)
        deadline = monotonic() + PATIENCE_S
        while len(data) < size:
            assert monotonic() < deadline, f"only {len(data)} of {size} bytes came"
            try:
                piece = self.peer.recv(min(1 << 20, size - len(data)))
            except BlockingIOError:
                self.reactor.turn(0.01)
                continue
            assert piece, "the link was closed"
            data += piece
        return bytes(data)

    def take_nothing(self) -> None:
        """Check that nothing more comes."""
        turn_until_idle(self.reactor)
        self.peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.peer.recv(1)

    def close(self) -> None:
        self.link.close("end of the test")
        self.peer.close()


@contextmanager
def interrupts_handled_by(reactor: Reactor) -> Iterator[None]:
    """Have Ctrl-C handled as executors do: kept while the reactor says so, raised otherwise."""

    def on_interrupt(number: int, frame: object) -> None:
        if not reactor.defer_interrupt():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
