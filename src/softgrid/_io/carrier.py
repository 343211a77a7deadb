"""A connection that carries channels: a socket, or a pipe in each direction, shared by many streams.

Each channel has a window: so much may be on its way before the other end has taken it. One that nobody reads holds back
nobody else.

    kind u8 | channel u32 | number u32        DATA: as many bytes follow; GRANT: as many more may be sent;
                                              END: nothing follows on this channel; BEAT: somebody is there
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from softgrid._io.channel import WINDOW, Channel
from softgrid._io.incoming import Incoming
from softgrid._io.outgoing import Outgoing
from softgrid._io.poller import READ, WRITE
from softgrid._io.reactor import Reactor

HEADER = struct.Struct(">BII")
DATA, GRANT, END, BEAT = 1, 2, 3, 4
SEGMENT = 256 * 1024
FILLS_PER_TURN = 8
_ROOT = 0


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
        self._outgoing = Outgoing(write_fd)
        self._waiting: deque[Channel] = deque()
        self._writes = False
        self._incoming = Incoming(read_fd, read_ahead)
        self._current: Channel | None = None
        self._remaining = 0
        self.closed = False

    def begin(self, received: bytes = b"") -> None:
        """Start to send and to read; *received* was read from the connection already."""
        self._incoming.put(received)
        self._reactor.watch(self._read_fd, self._on_ready)
        with self._lock:
            self._outgoing.begun = True
            self._ask_to_write()
        self._let_in()
        if received:
            self._take_segments()

    def channel(self, number: int) -> Channel:
        """Open one end of channel *number*."""
        channel = self._channels[number] = Channel(self, number, self._reactor)
        return channel

    def beat(self) -> None:
        """Tell the other end that somebody is here, unless it is about to hear from here anyway."""
        if self._outgoing.is_clear:
            self._tell(BEAT, _ROOT, 0)

    # -- out ------------------------------------------------------------------------------------------------------

    def transmit(self, channel: Channel, pieces: Sequence[Any]) -> int:
        """Send as much of *pieces* as there is room for."""
        with self._lock:
            if self.closed or channel.closed:
                raise BrokenPipeError
            room = min(channel.credit, SEGMENT)
            if not self._outgoing.is_clear or not room:
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
            if not self._outgoing.is_clear:
                self._wait_in_line(channel)
            return size

    def room_for(self, channel: Channel) -> int:
        """How much of *channel* would be taken now."""
        return min(channel.credit, SEGMENT) if self._outgoing.is_clear else 0

    def _wait_in_line(self, channel: Channel) -> None:
        if channel.credit and channel not in self._waiting:
            self._waiting.append(channel)

    def stand_in_line(self, channel: Channel) -> None:
        """*channel* wants to write: tell it soon, or when there is room."""
        with self._lock:
            if not self.closed and channel.credit and self._outgoing.is_clear:
                self._reactor.call_soon(lambda: channel.on_ready(WRITE))
            else:
                self._wait_in_line(channel)

    def _tell(self, kind: int, number: int, count: int) -> None:
        with self._lock:
            if not self.closed:
                self._put([HEADER.pack(kind, number, count)])

    def _put(self, pieces: list[Any]) -> None:
        """Send or keep; the lock is held."""
        self._outgoing.put(pieces)
        self._ask_to_write()

    def _ask_to_write(self) -> None:
        if self._outgoing.waits and not self._writes:
            self._writes = True
            if self._write_fd == self._read_fd:
                self._reactor.set_mask(self._read_fd, read=True, write=True)
            else:
                self._reactor.watch(self._write_fd, self._on_ready, WRITE)

    def _on_writable(self) -> None:
        with self._lock:
            if not self._outgoing.flush():
                return
            self._writes = False
            if self._write_fd == self._read_fd:
                self._reactor.set_mask(self._read_fd, read=True, write=False)
            else:
                self._reactor.unwatch(self._write_fd)
        self._let_in()

    def _let_in(self) -> None:
        """Let those who wait send, one after the other, while there is room."""
        while self._waiting and self._outgoing.is_clear:
            self._waiting.popleft().on_ready(WRITE)

    # -- in -------------------------------------------------------------------------------------------------------

    @property
    def heard_at(self) -> float:
        """When anything came last, by the monotonic clock."""
        return self._incoming.heard_at

    def _on_ready(self, mask: int) -> None:
        if mask & WRITE:
            self._on_writable()
        if mask & ~WRITE and not self.closed:
            for _ in range(FILLS_PER_TURN):
                is_direct = self._remaining > 0 and self._current is not None
                if not is_direct and not self._checked(self._incoming.fill()):
                    return
                if not self._take_segments():
                    return

    def _checked(self, came: int) -> int:
        """End this when the connection has ended; gives what came."""
        if self._incoming.is_over:
            self.close("the connection is gone")
        return came

    def _take_segments(self) -> bool:
        """Handle what is read; False when the connection has no more for now."""
        while not self.closed:
            if self._remaining:
                if not self._take_data():
                    return False
            elif self._incoming.ready < HEADER.size:
                return True
            else:
                self._on_segment(*HEADER.unpack(self._incoming.take_ahead(HEADER.size)))
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
                return not self.closed and (not self._remaining or self._incoming.ready > 0)
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
        size = min(self._remaining, self._incoming.ready)
        self._incoming.take_ahead(size)
        self._remaining -= size
        return size > 0

    def receive(self, view: memoryview) -> int:
        """Take bytes of the current segment into *view*; 0 when none are there."""
        size = self._incoming.take_into(view[: self._remaining])
        self._remaining -= size
        return self._checked(size)

    def is_current(self, channel: Channel) -> bool:
        """Whether what comes now is for *channel*."""
        return self._current is channel and self._remaining > 0

    def splice(self, fd: int) -> int:
        """Move bytes of the current segment into a socket; 0 when nothing moves, -1 when the socket is broken."""
        size = self._incoming.splice(fd, self._remaining)
        self._remaining -= max(0, size)
        return self._checked(size)

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self, reason: str = "closed here") -> None:
        """End it: every channel comes to its end, then ``on_closed`` is told."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._outgoing.clear()
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
