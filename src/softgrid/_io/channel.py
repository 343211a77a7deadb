"""One of many streams over one connection: all that an executor has to do with another machine shares one.

A channel looks to a ``Link`` like a socket and like the reactor that watches it, so that links are the same over both.
What carries it is its ``Carrier``.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from softgrid._io.link import Link
from softgrid._io.poller import READ, WRITE
from softgrid._io.reactor import Reactor, Timer, Waiter

WINDOW = 4 * 1024 * 1024
GRANT_FROM = WINDOW // 4

Handler = Callable[[int], None]


class Carries(Protocol):
    """What a channel needs of its carrier."""

    def transmit(self, channel: Channel, pieces: Sequence[Any]) -> int: ...

    def room_for(self, channel: Channel) -> int: ...

    def stand_in_line(self, channel: Channel) -> None: ...

    def is_current(self, channel: Channel) -> bool: ...

    def receive(self, view: memoryview) -> int: ...

    def splice(self, fd: int) -> int: ...

    def grant(self, channel: Channel, count: int) -> None: ...

    def forget(self, channel: Channel) -> None: ...


class Channel:
    """One stream of a carrier: what a ``Link`` needs of a socket and of a reactor."""

    def __init__(self, carrier: Carries, number: int, reactor: Reactor) -> None:
        self._carrier = carrier
        self._reactor = reactor
        self._handler: Handler = lambda mask: None
        self.number = number
        self.credit = WINDOW
        self.inbox: deque[memoryview] = deque()
        self.kept = 0
        self.wants_read = self.wants_write = False
        self.ended = self.closed = False
        self._taken = 0

    # -- as a socket ----------------------------------------------------------------------------------------------

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def fileno(self) -> int:
        """A number that is no descriptor, and that only its own methods look at."""
        return self.number

    def send(self, data: Any) -> int:
        """Send as much as there is room for; raises BlockingIOError when there is none."""
        return self._carrier.transmit(self, (data,))

    def sendmsg(self, pieces: Sequence[Any]) -> int:
        """The same for several pieces."""
        return self._carrier.transmit(self, pieces)

    def recv_into(self, view: memoryview) -> int:
        """Read what is there; 0 at the end, raises BlockingIOError when there is nothing yet."""
        if self.inbox:
            size = self._read_kept(view)
        elif self._carrier.is_current(self):
            size = self._carrier.receive(view)
        elif self.ended:
            return 0
        else:
            raise BlockingIOError
        if not size:
            raise BlockingIOError
        self.taken(size)
        return size

    def close(self) -> None:
        """End it in both directions."""
        if not self.closed:
            self.closed = True
            self.inbox.clear()
            self._carrier.forget(self)

    # -- as the reactor that watches it ---------------------------------------------------------------------------

    def watch(self, fd: int, handler: Handler, mask: int = READ) -> None:
        """Call *handler* whenever there is something to read, or room to write when asked for."""
        self._handler = handler
        self.wants_read = bool(mask & READ)

    def set_mask(self, fd: int, *, read: bool, write: bool) -> None:
        """Say which readiness matters now."""
        resumes = read and not self.wants_read
        self.wants_read = read
        if resumes and (self.inbox or self.ended):
            self._reactor.call_soon(lambda: self.on_ready(READ))
        begins = write and not self.wants_write
        self.wants_write = write
        if begins:
            self._carrier.stand_in_line(self)

    def unwatch(self, fd: int) -> None:
        """Forget the handler."""
        self.wants_read = self.wants_write = False
        self._handler = lambda mask: None

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """As the reactor does."""
        return self._reactor.call_later(delay_s, callback)

    def wait(self, waiter: Waiter, timeout: float | None = None) -> bool:
        """As the reactor does."""
        return self._reactor.wait(waiter, timeout)

    # -- between both ---------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How much would be taken now."""
        return self._carrier.room_for(self)

    def on_ready(self, mask: int) -> None:
        """There may be something to read, or room to write."""
        if mask & WRITE and self.wants_write:
            self._handler(WRITE)
        if mask & READ and self.wants_read:
            self._handler(READ)
            if self.wants_read and (self.inbox or self.ended):
                self._reactor.call_soon(lambda: self.on_ready(READ))

    def on_end(self) -> None:
        """The other end sends no more."""
        self.ended = True
        self.on_ready(READ)

    def keep(self, piece: memoryview) -> None:
        """Keep what came while nobody reads."""
        self.inbox.append(piece)
        self.kept += len(piece)

    def _read_kept(self, view: memoryview) -> int:
        piece = self.inbox[0]
        size = min(len(piece), len(view))
        view[:size] = piece[:size]
        self.drop_kept(size)
        return size

    def drop_kept(self, size: int) -> None:
        """The first *size* bytes of what is kept are somewhere else now."""
        self.kept -= size
        piece = self.inbox.popleft()
        if size < len(piece):
            self.inbox.appendleft(piece[size:])

    def taken(self, size: int) -> None:
        """So much has been taken here, and may be sent again."""
        self._taken += size
        if self._taken >= GRANT_FROM:
            self._carrier.grant(self, self._taken)
            self._taken = 0

    def move_to(self, fd: int) -> int:
        """Move what is there into a socket; 0 when nothing moves, -1 when the socket is broken."""
        if self.inbox:
            try:
                size = os.write(fd, self.inbox[0])
            except (BlockingIOError, InterruptedError):
                return 0
            except OSError:
                return -1
            self.drop_kept(size)
        elif self._carrier.is_current(self):
            size = self._carrier.splice(fd)
        else:
            return 0
        if size > 0:
            self.taken(size)
        return size


def link_over(channel: Channel, on_readable: Callable[[Link], None], on_closed: Callable[[Link, str], None]) -> Link:
    """Give a link whose socket is a channel."""
    stands_in: Any = channel
    return Link(stands_in, stands_in, on_readable, on_closed)


def is_broken(fd: int) -> bool:
    """Whether nobody can read any more what is written to a pipe."""
    poller = select.poll()
    poller.register(fd, 0)
    return bool(poller.poll(0))


def takes_more(fd: int) -> bool:
    """Whether a socket has room."""
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(0))
