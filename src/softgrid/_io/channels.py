"""Many streams over one: all that an executor has to do with another machine shares one connection.

A *carrier* is the connection: a socket, or a pipe in each direction. A *channel* is one of the streams in it, and looks
to a ``Link`` like a socket and like the reactor that watches it, so that links are the same over both. Each channel has
a window: so much may be on its way before the other end has taken it. One that nobody reads holds back nobody else.

    kind u8 | channel u32 | number u32        DATA: as many bytes follow; GRANT: as many more may be sent;
                                              END: nothing follows on this channel; BEAT: somebody is there
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from softgrid._io.link import Link
from softgrid._io.poller import READ, WRITE
from softgrid._io.reactor import Reactor, Timer, Waiter

HEADER = struct.Struct(">BII")
DATA, GRANT, END, BEAT = 1, 2, 3, 4
WINDOW = 4 * 1024 * 1024
SEGMENT = 256 * 1024
GRANT_FROM = WINDOW // 4
FILLS_PER_TURN = 8
_ROOT = 0

Handler = Callable[[int], None]


class Carrier:
    """A connection that carries channels. It sends nothing before ``begin``; what is sent before waits in line.

    *read_ahead*: how much is read at once when it is not known whose it is. *on_closed* is told once why it is over,
    after every channel has been.
    """

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        reactor: Reactor,
        on_closed: Callable[[str], None],
        *,
        read_ahead: int = 64 * 1024,
    ) -> None:
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        self._read_fd, self._write_fd = read_fd, write_fd
        self._reactor = reactor
        self._on_closed = on_closed
        self._lock = threading.Lock()
        self._channels: dict[int, Channel] = {}
        self._out: deque[Any] = deque()
        self._waiting: deque[Channel] = deque()
        self._begun = self._writes = False
        self._can_splice = hasattr(os, "splice") and stat.S_ISFIFO(os.fstat(read_fd).st_mode)
        self._ahead = memoryview(bytearray(read_ahead))
        self._start = self._end = 0
        self._current: Channel | None = None
        self._remaining = 0
        self.closed = False
        self.heard_at = monotonic()

    def begin(self, received: bytes = b"") -> None:
        """Start to send and to read; *received* was read from the connection already."""
        self._ahead[: len(received)] = received
        self._end = len(received)
        self._reactor.watch(self._read_fd, self._on_ready)
        with self._lock:
            self._begun = True
            self._ask_to_write()
        self._let_in()
        if received:
            self._take_segments()

    def channel(self, number: int) -> Channel:
        """Open one end of channel *number*."""
        channel = self._channels[number] = Channel(self, number, self._reactor)
        return channel

    def beat(self) -> None:
        """Tell the other end that somebody is here."""
        self._tell(BEAT, _ROOT, 0)

    # -- out ------------------------------------------------------------------------------------------------------

    def _transmit(self, channel: Channel, pieces: Sequence[Any]) -> int:
        """Send as much of *pieces* as there is room for."""
        with self._lock:
            if self.closed or channel.closed:
                raise BrokenPipeError
            room = min(channel.credit, SEGMENT)
            if not self._is_clear() or not room:
                self._wait_in_line(channel)
                raise BlockingIOError
            taken, size = [], 0
            for piece in pieces:
                taken.append(piece if size + len(piece) <= room else memoryview(piece)[: room - size])
                size += len(taken[-1])
                if size == room:
                    break
            channel.credit -= size
            self._put([HEADER.pack(DATA, channel.number, size), *taken])
            if not self._is_clear():
                self._wait_in_line(channel)
            return size

    def _is_clear(self) -> bool:
        return self._begun and not self._out

    def _wait_in_line(self, channel: Channel) -> None:
        if channel.credit and channel not in self._waiting:
            self._waiting.append(channel)

    def stand_in_line(self, channel: Channel) -> None:
        """*channel* wants to write: tell it soon, or when there is room."""
        with self._lock:
            if not self.closed and channel.credit and self._is_clear():
                self._reactor.call_soon(lambda: channel.on_ready(WRITE))
            else:
                self._wait_in_line(channel)

    def _tell(self, kind: int, number: int, count: int) -> None:
        with self._lock:
            if not self.closed:
                self._put([HEADER.pack(kind, number, count)])

    def _put(self, pieces: list[Any]) -> None:
        """Write now what the connection takes, keep the rest; the lock is held."""
        sent = self._write(pieces) if self._is_clear() else 0
        for piece in pieces:
            if sent < len(piece):
                self._out.append(bytes(memoryview(piece)[sent:]) if sent or not isinstance(piece, bytes) else piece)
            sent = max(0, sent - len(piece))
        self._ask_to_write()

    def _ask_to_write(self) -> None:
        if self._out and self._begun and not self._writes:
            self._writes = True
            if self._write_fd == self._read_fd:
                self._reactor.set_mask(self._read_fd, read=True, write=True)
            else:
                self._reactor.watch(self._write_fd, self._on_ready, WRITE)

    def _write(self, pieces: list[Any]) -> int:
        try:
            return os.writev(self._write_fd, pieces)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # the other end is gone: reading will say so, after what it had still sent
            self._out.clear()
            return sum(map(len, pieces))

    def _on_writable(self) -> None:
        with self._lock:
            while self._out:
                sent = self._write([self._out[index] for index in range(min(64, len(self._out)))])
                if not sent:
                    return
                while sent and self._out:
                    piece = self._out[0]
                    if sent < len(piece):
                        self._out[0] = memoryview(piece)[sent:]
                        break
                    sent -= len(piece)
                    self._out.popleft()
            self._writes = False
            if self._write_fd == self._read_fd:
                self._reactor.set_mask(self._read_fd, read=True, write=False)
            else:
                self._reactor.unwatch(self._write_fd)
        self._let_in()

    def _let_in(self) -> None:
        """Let those who wait send, one after the other, while there is room."""
        while self._waiting and self._is_clear():
            self._waiting.popleft().on_ready(WRITE)

    # -- in -------------------------------------------------------------------------------------------------------

    def _on_ready(self, mask: int) -> None:
        if mask & WRITE:
            self._on_writable()
        if mask & ~WRITE and not self.closed:
            for _ in range(FILLS_PER_TURN):
                is_direct = self._remaining > 0 and self._current is not None
                if not is_direct and not self._fill():
                    return
                if not self._take_segments():
                    return

    def _fill(self) -> bool:
        """Read ahead; the buffer holds at most a part of a header."""
        kept = self._end - self._start
        self._ahead[:kept] = bytes(self._ahead[self._start : self._end])
        self._start, self._end = 0, kept
        size = self.read_into(self._ahead[kept:])
        self._end += max(0, size)
        return size > 0

    def read_into(self, view: memoryview) -> int:
        """Read from the connection; 0 when there is nothing, -1 when there never will be again."""
        try:
            size = os.readv(self._read_fd, [view])
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            size = 0
        if not size:
            self.close("the connection is gone")
            return -1
        self.heard_at = monotonic()
        return size

    def _take_segments(self) -> bool:
        """Handle what is read; False when the connection has no more for now."""
        while not self.closed:
            if self._remaining:
                if not self._take_data():
                    return False
            elif self._end - self._start < HEADER.size:
                return True
            else:
                kind, number, count = HEADER.unpack_from(self._ahead, self._start)
                self._start += HEADER.size
                self._on_segment(kind, number, count)
        return False

    def _on_segment(self, kind: int, number: int, count: int) -> None:
        channel = self._channels.get(number)
        if kind == DATA and count <= SEGMENT:
            self._current, self._remaining = channel, count
        elif kind == GRANT and count <= WINDOW:
            if channel is not None:
                with self._lock:
                    channel.credit += count
                channel.on_ready(WRITE)
        elif kind == END:
            if channel is not None:
                channel.on_end()
        elif kind != BEAT:
            self.close(f"it sent what no carrier sends: {kind}, {number}, {count}")

    def _take_data(self) -> bool:
        """Hand the channel what is there of its segment; what it does not want now is kept for it."""
        channel, before = self._current, self._remaining
        if channel is None:
            return self._skip()
        if channel.wants_read and not channel.inbox:
            channel.on_ready(READ)
            if self._remaining < before or self.closed:  # the rest, if it is there, is told of by the next turn
                return not self.closed and (not self._remaining or self._end > self._start)
        if self._current is channel and (channel.inbox or not channel.wants_read):
            return self._keep_for(channel)
        return self._current is None

    def _keep_for(self, channel: Channel) -> bool:
        if channel.kept > WINDOW:
            self.close("it sent more than it was allowed to")
            return False
        piece = memoryview(bytearray(self._remaining))
        size = self.receive(piece)
        if size:
            channel.keep(piece[:size])
        return size > 0

    def _skip(self) -> bool:
        """The channel is no more: nobody wants what is still on its way."""
        size = min(self._remaining, self._end - self._start)
        self._start += size
        self._remaining -= size
        return size > 0

    def receive(self, view: memoryview) -> int:
        """Take bytes of the current segment into *view*; 0 when none are there."""
        view = view[: self._remaining]
        size = min(len(view), self._end - self._start)
        if size:
            view[:size] = self._ahead[self._start : self._start + size]
            self._start += size
        else:
            size = max(0, self.read_into(view))
        self._remaining -= size
        return size

    def is_current(self, channel: Channel) -> bool:
        """Whether what comes now is for *channel*."""
        return self._current is channel and self._remaining > 0

    def splice(self, fd: int) -> int:
        """Move bytes of the current segment into a socket, without a copy where the kernel can.

        Gives how many; 0 when the connection has none or the socket takes none, -1 when the socket is broken.
        """
        if self._start == self._end and not self._can_splice:
            self._fill()
        ahead = min(self._remaining, self._end - self._start)
        try:
            if not self._can_splice and not ahead:
                return 0
            if ahead:
                size = os.write(fd, self._ahead[self._start : self._start + ahead])
                self._start += size
            else:
                size = os.splice(self._read_fd, fd, self._remaining, flags=os.SPLICE_F_NONBLOCK)
                if not size:
                    self.close("the connection is gone")
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return -1
        self.heard_at = monotonic()
        self._remaining -= size
        return size

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self, reason: str = "closed here") -> None:
        """End it: every channel comes to its end, then ``on_closed`` is told."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._out.clear()
            self._waiting.clear()
            self._current, self._remaining = None, 0
        for fd in {self._read_fd, self._write_fd}:
            self._reactor.unwatch(fd)
            os.close(fd)
        for channel in list(self._channels.values()):
            channel.on_end()
        self._on_closed(reason)

    def abandon(self) -> None:
        """In a forked process: let go of the parent's connection."""
        self.closed = True
        for fd in {self._read_fd, self._write_fd}:
            with contextlib.suppress(OSError):
                os.close(fd)

    def forget(self, channel: Channel) -> None:
        """*channel* is closed here."""
        with self._lock:
            self._channels.pop(channel.number, None)
        if self._current is channel:
            self._current = None
        self._tell(END, channel.number, 0)

    def grant(self, channel: Channel, count: int) -> None:
        """Let the other end of *channel* send so much more."""
        self._tell(GRANT, channel.number, count)


class Channel:
    """One stream of a carrier: what a ``Link`` needs of a socket and of a reactor."""

    def __init__(self, carrier: Carrier, number: int, reactor: Reactor) -> None:
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
        return self._carrier._transmit(self, (data,))

    def sendmsg(self, pieces: Sequence[Any]) -> int:
        """The same for several pieces."""
        return self._carrier._transmit(self, pieces)

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
        return min(self.credit, SEGMENT) if self._carrier._is_clear() else 0

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


def takes_more(fd: int) -> bool:
    """Whether a socket has room."""
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(0))
