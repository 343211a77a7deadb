"""A connection that carries channels: a socket, or a pipe in each direction, shared by many streams.

Each channel has a window: so much may be on its way before the other end has taken it. One that nobody reads holds back
nobody else.

    kind u8 | channel u32 | number u32        DATA: as many bytes follow; GRANT: as many more may be sent;
                                              END: nothing follows on this channel; BEAT: somebody is there;
                                              TOLD: so many bytes have come over the carrier (64 bits of both)

The connection may be cut, and another one go on where it was (``hold_on``): each end goes on after the last byte that
the other one has.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from softgrid._io.channel import WINDOW, Channel, is_broken
from softgrid._io.incoming import Incoming
from softgrid._io.outgoing import Outgoing
from softgrid._io.poller import READ, WRITE
from softgrid._io.reactor import Reactor, Timer
from softgrid._model.errors import Undecodable
from softgrid._wire.replay import TELL_AFTER_BYTES, tell_after

HEADER = struct.Struct(">BII")
DATA, GRANT, END, BEAT, TOLD = 1, 2, 3, 4, 5
SEGMENT = 256 * 1024
FILLS_PER_TURN = 8
TELL_AFTER_S = 0.2
FAREWELL_S = 0.1
"""When reading comes to an end and writing does not follow within that, the connection stands and was left."""
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
        self._told_of_told = 0  # how many of the bytes that came are receipts, for which alone none is sent
        self._tell_after = TELL_AFTER_BYTES
        self._tell_timer: Timer | None = None
        self._on_lost: Callable[[bool], None] | None = None
        self._parked: set[int] = set()
        self._connections, self._lost = 0, -1
        self.is_connected = True
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

    # -- a connection that may be cut -----------------------------------------------------------------------------

    def hold_on(self, limit: int | None, on_lost: Callable[[bool], None]) -> None:
        """From now on the loss of the connection is not the end: *on_lost* is told, for somebody to ``resume`` it.

        It is told whether the other end has only closed its side, while the connection itself still stands. *limit*
        bounds what is kept for that; with 0 nothing is, and a cut is the end.
        """
        with self._lock:
            if limit == 0 or self._outgoing.replay is None:
                self._outgoing.replay = None
            else:
                self._outgoing.replay.limit = limit
                self._tell_after = tell_after(limit)
                self._on_lost = on_lost

    @property
    def received(self) -> int:
        """How many bytes have come, over all connections."""
        return self._incoming.received.count

    @property
    def quiet_s(self) -> float:
        """For how many seconds a receipt has been awaited and nothing was heard."""
        replay = self._outgoing.replay
        if replay is None or not replay.unacknowledged or not self.is_connected:
            return 0.0
        return monotonic() - max(self.heard_at, self._outgoing.waits_since)

    def detach(self) -> None:
        """Neither read nor write the connection any more, before it is said how much has come over it.

        It is closed only when the next one is there: the other end would take that for a farewell.
        """
        with self._lock:
            if self.closed or not self.is_connected:
                return
            self.is_connected = self._writes = False
            self._outgoing.detach()
            self._incoming.detach()
            self._parked = {self._read_fd, self._write_fd}
        for fd in self._parked:
            self._reactor.unwatch(fd)

    def _lose(self) -> None:
        if self._on_lost is None:
            self.close("the connection is gone")
        elif self.is_connected and self._lost != self._connections:
            number = self._lost = self._connections
            with self._lock:
                self._writes = True  # so that writing, which is possible or fails, is not watched meanwhile
            for fd in {self._read_fd, self._write_fd}:
                self._reactor.unwatch(fd)
            wait_s = 0.0 if self._read_fd == self._write_fd else FAREWELL_S
            self._reactor.call_later(wait_s, lambda: self._lose_whole(number))

    def _lose_whole(self, number: int) -> None:
        if self._on_lost is not None and self.is_connected and self._connections == number:
            stands = self._read_fd != self._write_fd and not is_broken(self._write_fd)
            self.detach()
            self._close_parked()
            self._on_lost(stands)

    def _close_parked(self) -> None:
        for fd in self._parked:
            os.close(fd)
        self._parked = set()

    def resume(self, read_fd: int, write_fd: int, peer_received: int) -> None:
        """Go on over a new connection, whose other end has received so much; raises Undecodable when it cannot be.

        The descriptors are this one's from then on. For callbacks; the carrier has been detached.
        """
        with self._lock:
            if self.closed or self._outgoing.replay is None:
                raise Undecodable("nothing is left that could be resumed")
            self._outgoing.go_on(write_fd, peer_received)
            self._incoming.go_on(read_fd)
            self._incoming.received.tell()
            self._close_parked()
            self._connections += 1
            self._read_fd, self._write_fd = read_fd, write_fd
            self._told_of_told = 0
            self.is_connected = True
        self._reactor.watch(read_fd, self._on_ready)
        with self._lock:
            self._ask_to_write()
        self._let_in()

    def _see_to_receipt(self) -> None:
        """Tell the other end how much has come, at once or soon."""
        owed = self._incoming.received.owed()
        if owed >= self._tell_after:
            self._tell_received()
        elif owed > self._told_of_told and self._tell_timer is None:
            self._tell_timer = self._reactor.call_later(TELL_AFTER_S, self._on_tell_due)

    def _on_tell_due(self) -> None:
        self._tell_timer = None
        if self._incoming.received.owed() > self._told_of_told:
            self._tell_received()

    def _tell_received(self) -> None:
        if self._outgoing.replay is not None and self.is_connected:
            self._told_of_told = 0
            self._tell(TOLD, *divmod(self._incoming.received.tell(), 1 << 32))

    def _on_told(self, count: int) -> None:
        self._told_of_told += HEADER.size
        try:
            with self._lock:
                self._outgoing.on_acknowledged(count)
        except Undecodable as error:
            self.close(str(error))
        else:
            self._let_in()

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
            room = min(channel.credit, SEGMENT, self._outgoing.room)
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
        return min(channel.credit, SEGMENT, self._outgoing.room) if self._outgoing.is_clear else 0

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
            if not self.is_connected or not self._outgoing.flush():
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
        if mask & ~WRITE and not self.closed and self.is_connected:
            for _ in range(FILLS_PER_TURN):
                is_direct = self._remaining > 0 and self._current is not None
                if not is_direct and not self._checked(self._incoming.fill()):
                    return
                if not self._take_segments():
                    return

    def _checked(self, came: int) -> int:
        """See to what it means that something came, or that the connection has ended; gives what came."""
        if self._incoming.is_over:
            self._lose()
        if came > 0:
            self._see_to_receipt()
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
        elif kind == TOLD:
            self._on_told((number << 32) + count)
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
            was_connected, self.is_connected = self.is_connected, False
        if was_connected:
            for fd in {self._read_fd, self._write_fd}:
                self._reactor.unwatch(fd)
                os.close(fd)
        self._close_parked()
        for channel in list(self._channels.values()):
            channel.on_end()
        self._on_closed(reason)

    def abandon(self) -> None:
        """In a forked process: let go of the parent's connection."""
        self.closed = True
        for fd in {self._read_fd, self._write_fd} if self.is_connected else self._parked:
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
