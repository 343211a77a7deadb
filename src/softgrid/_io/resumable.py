"""One stream of bytes over connections that may be cut: over one at a time, and none of them is missed.

To a ``Link`` it is a socket and the reactor that watches it. What is sent is kept until the other end has acknowledged
it (``_wire.replay``); a connection that is lost is reported, and a new one goes on where the lost one was. The
connection is read also while the link is not, since receipts come over it: what waits for the link is bounded by what
the other end may send without a receipt.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from softgrid._io.poller import READ, WRITE
from softgrid._io.reactor import Reactor, Timer, Waiter
from softgrid._io.tcp import tune
from softgrid._io.tcp_info import silence_of
from softgrid._io.tls import TlsStream
from softgrid._model.errors import Undecodable
from softgrid._wire.replay import TELL_AFTER_BYTES, Received, Replay, tell_after
from softgrid._wire.segments import ACK, DATA, END, MAX_SEGMENT, SEGMENT, Segments

TELL_AFTER_S = 0.2
PIGGYBACK_FROM = 4096
"""A receipt for less is not worth its reading; it goes when it is due."""
LAST_READ_S = 0.5
"""When writing fails, reading mostly says why, after what the other end had still sent; but not always."""
RAW_SIZE = 256 * 1024
JOIN_BELOW = 4096
ENDED, SILENT = "ended", "silent"
"""How a connection was lost: closed or reset, as by a machine that can be reached; or nobody has answered for long."""

_CLOSED = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.EBADF, errno.ENOTCONN}


class ResumableStream:
    """The bytes of one link. *limit* bounds what is kept for a cut; with 0 nothing is kept, and a cut is the end.

    Reported in the reactor's turn: *on_lost* how the connection was lost, *on_resumed* that there is a new one,
    *on_over* that there never will be again.
    """

    def __init__(self, connection: TlsStream, reactor: Reactor, limit: int | None) -> None:
        self._reactor = reactor
        self._lock = threading.Lock()
        self._connection: TlsStream | None = connection
        self._number = connection.fileno()
        self.replay = Replay(limit)
        self.received = Received()
        self._tell_after = tell_after(limit)
        self._segments = Segments()
        self._again: deque[bytes | memoryview] = deque()
        self._inbox: deque[memoryview] = deque()
        self._kept = 0
        self._handler: Callable[[int], None] = _nothing
        self._reads = self._writes = self._is_watched = False
        self._owes_receipt = self._is_broken = self._has_room_again = False
        self._may_hold = True
        self._mask = True, False
        self._receipt_due: Timer | None = None
        self._caught_up: Waiter | None = None
        self._silence_s: float | None = None
        self.is_over = False
        self._ended = False
        self.heard_at = self.waits_since = monotonic()
        self.on_lost: Callable[[str], None] = _nothing
        self.on_resumed: Callable[[], None] = _nothing
        self.on_over: Callable[[], None] = _nothing
        self.on_waiting: Callable[[], None] = _nothing
        """Something is on its way whose receipt is awaited; said by any thread, when nothing was before."""
        self._widen(connection)

    def __repr__(self) -> str:
        state = "over" if self.is_over else "cut" if self._connection is None else "connected"
        return f"<ResumableStream {state}, {self.replay}, {self.received}>"

    def _widen(self, connection: TlsStream) -> None:
        # Pages of an anonymous map cost nothing until they are touched, which those of an idle link never are.
        connection.widen(memoryview(mmap.mmap(-1, RAW_SIZE)))

    @property
    def is_connected(self) -> bool:
        """Whether a connection carries it just now."""
        return self._connection is not None

    def heard(self) -> tuple[float, float]:
        """When the process at the other end, and when its machine, last gave a sign of life; monotonic."""
        heard_at, connection = self.heard_at, self._connection
        silence_s = silence_of(connection.sock) if connection is not None else None
        return heard_at, heard_at if silence_s is None else max(heard_at, monotonic() - silence_s)

    def tolerate(self, silence_s: float) -> None:
        """Take a connection for lost whose other end is silent for that long."""
        self._silence_s = silence_s
        if self._connection is not None:
            tune(self._connection.sock, silence_s)

    # -- as a socket ----------------------------------------------------------------------------------------------

    def setblocking(self, flag: bool) -> None:
        """It never blocks."""

    def fileno(self) -> int:
        """A number for the eye; only its own methods are given it back."""
        return self._number

    def send(self, data: Any) -> int:
        """Send as much as there is room for; raises BlockingIOError when there is none."""
        return self.sendmsg((data,))

    def sendmsg(self, pieces: Sequence[Any]) -> int:
        """The same for several pieces."""
        with self._lock:
            if self.is_over:
                raise BrokenPipeError
            connection = self._connection
            room = self._room()
            if connection is None or self._is_broken or self._again or not room:
                raise BlockingIOError
            data = _joined(pieces, room)
            self._send_segment(connection, data)
            if self.replay.limit != 0:
                waits = not self.replay.unacknowledged
                self.replay.keep(data)
            else:
                waits = False
            self._see_to_mask()
        if waits:
            self.waits_since = monotonic()
            self.on_waiting()
        return len(data)

    def _room(self) -> int:
        limit = self.replay.limit
        room = limit - self.replay.sent + self.replay.acknowledged if limit else MAX_SEGMENT
        return MAX_SEGMENT if room > MAX_SEGMENT else max(room, 0)

    def _send_segment(self, connection: TlsStream, data: bytes | memoryview) -> None:
        """Send a segment, with the receipt that is owed; raises BlockingIOError, and then nothing of it was sent."""
        header = SEGMENT.pack(DATA, len(data))
        owed = self.received.owed(self._kept)
        if owed >= PIGGYBACK_FROM:
            header = SEGMENT.pack(ACK, self.received.count - self._kept) + header
        try:
            connection.sendmsg((b"".join((header, data)),) if len(data) < JOIN_BELOW else (header, data))
        except BlockingIOError:
            raise
        except OSError:
            self._break(connection)  # it was kept, or is about to be, and goes over the next connection
        if owed >= PIGGYBACK_FROM:
            self.received.tell(self._kept)
            self._owes_receipt = False

    def recv_into(self, view: memoryview) -> int:
        """Read what is there; 0 at the end, raises BlockingIOError when there is nothing yet."""
        with self._lock:
            size = self._take_kept(view) if self._inbox else self._receive(view)
            is_end = self._ended and not self._inbox
            self._see_to_receipt()
            self._see_to_mask()
        if size or is_end:
            return size
        raise BlockingIOError

    def _take_kept(self, view: memoryview) -> int:
        piece = self._inbox.popleft()
        size = min(len(piece), len(view))
        view[:size] = piece[:size]
        if size < len(piece):
            self._inbox.appendleft(piece[size:])
        self._kept -= size
        return size

    def _receive(self, view: memoryview) -> int:
        connection = self._connection
        if connection is None:
            return 0
        try:
            size = self._read(connection, view)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._lose(connection, ENDED if error.errno in _CLOSED or error.errno == 1 else SILENT)
            return 0
        if not size:
            self._lose(connection, ENDED)
            return 0
        self.heard_at = monotonic()
        try:
            return self._understand(view, size)
        except Undecodable:
            self._end()
            return 0

    def _read(self, connection: TlsStream, view: memoryview) -> int:
        if self._may_hold:  # what came in one piece with the handshake; the socket will not tell of it
            self._may_hold = False
            with contextlib.suppress(BlockingIOError):
                return connection.read(view)
        return connection.recv_into(view)

    def _understand(self, view: memoryview, size: int) -> int:
        size = self._segments.strip(view, size, self.received)
        count, self._segments.acknowledged = self._segments.acknowledged, None
        if count is not None and self.replay.limit != 0:
            had_room = self._room() > 0
            self.replay.on_acknowledged(count)
            self.waits_since = self.heard_at
            self._has_room_again = self._has_room_again or (not had_room and self._room() > 0)
        if self._segments.ended:
            self._end()
        return size

    def _end(self) -> None:
        self._ended = True
        self._drop_connection()

    def close(self) -> None:
        """End it, and tell the other end that this is the end."""
        with self._lock:
            was_over, self.is_over = self.is_over, True
            connection = self._connection
            if connection is not None and not self._is_broken:
                with contextlib.suppress(OSError):
                    connection.send(SEGMENT.pack(END, 0))
            self._drop_connection()
            self._inbox.clear()
            self._set_caught_up()
        if not was_over:
            self.on_over()

    def abandon(self) -> None:
        """In a forked process: let go of the parent's connection."""
        self.is_over = True
        if self._connection is not None:
            self._connection.close()

    # -- as the reactor that watches it ---------------------------------------------------------------------------

    def watch(self, fd: int, handler: Callable[[int], None], mask: int = READ) -> None:
        """Call *handler* whenever there is something to read, or room to write when asked for."""
        with self._lock:
            self._handler = handler
            self._reads = bool(mask & READ)
            self._is_watched = True
            if self._connection is not None:
                self._reactor.watch(self._connection.fileno(), self._on_ready)
        if self._may_hold:
            self._reactor.call_soon(lambda: self._on_ready(READ))

    def set_mask(self, fd: int, *, read: bool, write: bool) -> None:
        """Say which readiness matters now."""
        with self._lock:
            resumes = read and not self._reads
            self._reads, self._writes = read, write
            if resumes and (self._inbox or self._ended):
                self._reactor.call_soon(self._on_kept)
            self._see_to_mask()

    def unwatch(self, fd: int) -> None:
        """Forget the handler."""
        self._handler = _nothing
        self._reads = self._writes = False

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """As the reactor does."""
        return self._reactor.call_later(delay_s, callback)

    def wait(self, waiter: Waiter, timeout: float | None = None) -> bool:
        """As the reactor does."""
        return self._reactor.wait(waiter, timeout)

    # -- readiness ------------------------------------------------------------------------------------------------

    def _see_to_mask(self) -> None:
        connection = self._connection
        if connection is None or not self._is_watched:
            return
        writes = connection.is_behind or self._again or self._owes_receipt or (self._writes and self._room())
        limit = self.replay.limit
        reads = not self._kept or limit is None or self._kept <= max(limit, TELL_AFTER_BYTES)
        mask = reads, bool(writes) and not self._is_broken
        if mask != self._mask:
            self._mask = mask
            self._reactor.set_mask(connection.fileno(), read=mask[0], write=mask[1])

    def _on_ready(self, mask: int) -> None:
        if mask & WRITE:
            self._on_writable()
        if mask & ~WRITE:
            if self._reads and not self._inbox:
                self._handler(READ)
            else:
                self._read_ahead()
        if self._has_room_again:
            self._has_room_again = False
            if self._writes:
                self._handler(WRITE)
        if self._ended and self._reads:
            self._handler(READ)

    def _on_kept(self) -> None:
        if self._reads and (self._inbox or self._ended):
            self._handler(READ)
            if self._reads and self._inbox:
                self._reactor.call_soon(self._on_kept)

    def _read_ahead(self) -> None:
        """The link does not read: receipts must be read all the same."""
        with self._lock:
            piece = memoryview(bytearray(RAW_SIZE))
            size = self._receive(piece)
            if size:
                self._inbox.append(piece[:size])
                self._kept += size
            self._see_to_mask()

    def _on_writable(self) -> None:
        with self._lock:
            is_clear = self._catch_up()
            self._see_to_mask()
            may_write = is_clear and self._writes and self._room() > 0
        if may_write:
            self._handler(WRITE)

    def _catch_up(self) -> bool:
        """Write what is behind, and what is to be sent again; True when all of it is written."""
        connection = self._connection
        if connection is None or self._is_broken:
            return False
        try:
            if not connection.flush():
                return False
            while self._again:
                self._send_segment(connection, self._again[0])
                self._again.popleft()
            if self._owes_receipt:
                self._tell(connection)
        except BlockingIOError:
            return False
        except OSError:
            self._break(connection)
            return False
        if not connection.is_behind:
            self._set_caught_up()
        return True

    # -- receipts -------------------------------------------------------------------------------------------------

    def _see_to_receipt(self) -> None:
        owed = self.received.owed(self._kept)
        if owed >= self._tell_after:
            self._owes_receipt = True
            self._catch_up()
        elif owed and self._receipt_due is None:
            self._receipt_due = self._reactor.call_later(TELL_AFTER_S, self._on_receipt_due)

    def _on_receipt_due(self) -> None:
        with self._lock:
            self._receipt_due = None
            if self.received.owed(self._kept):
                self._owes_receipt = True
                self._catch_up()
                self._see_to_mask()

    def _tell(self, connection: TlsStream) -> None:
        connection.send(SEGMENT.pack(ACK, self.received.count - self._kept))
        self.received.tell(self._kept)
        self._owes_receipt = False

    # -- one connection after the other ---------------------------------------------------------------------------

    def _break(self, connection: TlsStream) -> None:
        """Nothing can be written any more."""
        if not self._is_broken:
            self._is_broken = True
            self._reactor.call_later(LAST_READ_S, lambda: self._lose_after_all(connection))

    def _lose_after_all(self, connection: TlsStream) -> None:
        with self._lock:
            if self._connection is connection:
                self._lose(connection, ENDED)

    def _lose(self, connection: TlsStream, how: str) -> None:
        self._drop_connection()
        if not self.is_over:
            self._reactor.call_soon(lambda: self.on_lost(how))

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._again.clear()
        if connection is not None:
            with contextlib.suppress(OSError):  # code of a user's may have closed it before
                self._reactor.unwatch(connection.fileno())
            with contextlib.suppress(OSError):
                connection.close()

    def detach(self) -> None:
        """Let go of the connection, if there is one, before it is said how much has come over it."""
        with self._lock:
            self._drop_connection()

    def resume(self, connection: TlsStream, peer_received: int, begins: int) -> None:
        """Go on over a new connection to the other end, which has received so much and goes on with byte *begins*.

        For callbacks. Raises Undecodable when the two ends do not fit together; then nothing has changed.
        """
        with self._lock:
            again = self.replay.since(peer_received)
            self.received.begin_at(begins)
            self._drop_connection()
            self._segments = Segments()
            self._again.extend(again)
            self._connection, self._is_broken, self._may_hold = connection, False, True
            self.heard_at = monotonic()
            self._widen(connection)
            if self._silence_s is not None:
                tune(connection.sock, self._silence_s)
            self._mask = True, False
            if self._is_watched:
                self._reactor.watch(connection.fileno(), self._on_ready)
            self._owes_receipt = False
            self.received.tell(self._kept)
            self._catch_up()
            self._see_to_mask()
        self._reactor.call_soon(lambda: self._on_ready(READ | WRITE))
        self.on_resumed()

    def await_written(self) -> Waiter:
        """Give what is set when all that was sent so far has left this process, which it does not during a cut."""
        waiter = Waiter()
        with self._lock:
            connection = self._connection
            if self.is_over or (connection is not None and not connection.is_behind and not self._again):
                waiter.set()
            else:
                self._caught_up = waiter
        return waiter

    def _set_caught_up(self) -> None:
        if self._caught_up is not None:
            self._caught_up.set()
            self._caught_up = None


def _joined(pieces: Sequence[Any], room: int) -> bytes | memoryview:
    """Give the first *room* bytes of *pieces*, copied unless nobody can change them."""
    first = pieces[0]
    if len(pieces) == 1 or len(first) >= room:
        if type(first) is bytes and len(first) <= room:
            return first
        if isinstance(first.obj if type(first) is memoryview else first, bytes):
            return memoryview(first)[:room]
    taken, size = [], 0
    for piece in pieces:
        taken.append(piece if size + len(piece) <= room else memoryview(piece)[: room - size])
        size += len(taken[-1])
        if size == room:
            break
    return b"".join(taken)


def _nothing(*told: Any) -> None:
    """What is told until somebody wants to know."""
