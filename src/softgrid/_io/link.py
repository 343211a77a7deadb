"""A live connection to another process: bytes out without blocking the reactor, bytes in when the reactor says so.

A thread that sends writes to the socket itself while nothing waits in line; the rest is queued and written when the
socket takes more. Small messages go in the order in which they were sent. A bulk message is a stream of frames that
is drawn only as fast as the socket takes it, one frame at a time between the small ones, so that it is never held
in memory twice; whatever is sent to the same destination afterwards keeps behind it.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Union

from softgrid._io.descriptors import Descriptors
from softgrid._io.poller import WRITE
from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import Undecodable

HIGH_WATER = 4 * 1024 * 1024
LOW_WATER = 256 * 1024
RETRY_S = 0.005
MAX_DESCRIPTORS = 16
_DESCRIPTOR_SPACE = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4) if hasattr(socket, "CMSG_SPACE") else 0

FrameStream = Iterator[list[Any]]
_Behind = Union["tuple[bytes, Descriptors | None]", "Stream"]


class Stream:
    """A bulk message on its way: the frames not yet drawn, and what was sent to the same destination after it."""

    __slots__ = ("behind", "destination", "frames", "waiter")

    def __init__(self, destination: int, frames: FrameStream, waiter: Waiter) -> None:
        self.destination = destination
        self.frames = frames
        self.waiter = waiter
        self.behind: deque[_Behind] = deque()


class Link:
    """One stream socket under a reactor.

    *on_readable* is called with the link when there is something to read, *on_closed* once, when it is over, with why.
    Both run in the thread that holds the reactor's turn.
    """

    def __init__(
        self,
        sock: socket.socket,
        reactor: Reactor,
        on_readable: Callable[[Link], None],
        on_closed: Callable[[Link, str], None],
        *,
        passes_descriptors: bool = False,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._reactor = reactor
        self._lock = threading.Lock()
        self._queue: deque[tuple[Any, Descriptors | None]] = deque()
        self._streams: deque[Stream] = deque()
        self._queued = 0
        self._writes = False
        self._reads = True
        self._paused_for: set[Link] = set()
        self._feeders: set[Link] = set()
        self.passes_descriptors = passes_descriptors
        self.on_readable = on_readable
        self.on_closed = on_closed
        self.partial = b""
        self._received: deque[int] = deque()
        self.closed = False
        self.peer: Any = None
        self.is_guest = False
        """Whether what comes over it is marked as coming from an executor that joined by hand."""
        self.speakers: set[int] = set()
        """Who has sent calls, questions or answers over this link; told when it breaks."""
        self.bytes_sent = self.bytes_received = self.frames_sent = self.frames_received = 0

    def open(self) -> None:
        """Begin to read."""
        self._reactor.watch(self._fd, self._on_ready)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<Link {self._fd} {state}, {self._queued} bytes queued>"

    # -- out ------------------------------------------------------------------------------------------------------

    def send(self, data: Any, destination: int = 0, descriptors: Descriptors | None = None) -> None:
        """Send one frame (or several whole ones) now or as soon as the socket takes it; never blocks, never raises.

        What goes to a link that is closed is dropped: its end is told by ``on_closed``. *data* may be reused.
        """
        with self._lock:
            self.bytes_sent += len(data)
            self.frames_sent += 1
            if self._streams and self._keep_behind((bytes(data), descriptors), destination):
                return
            sent = 0
            if not self._queue and not self.closed:
                sent = self._write(data, descriptors)
                if sent == len(data):
                    return
            if self.closed:
                return
            rest = data if isinstance(data, bytes) and not sent else bytes(memoryview(data)[sent:])
            self._queue.append((rest, None if sent else descriptors))
            self._queued += len(rest)
            self._ask_to_write()

    def send_stream(self, destination: int, frames: FrameStream) -> Waiter:
        """Send a bulk message; the waiter is set when its last byte is out of the caller's memory."""
        waiter = Waiter()
        stream = Stream(destination, frames, waiter)
        with self._lock:
            if self.closed:
                waiter.set()
                return waiter
            if not self._keep_behind(stream, destination):
                self._streams.append(stream)
            if not self._queue:
                self._draw()
            if self._queue:
                self._ask_to_write()
        return waiter

    @property
    def has_streams(self) -> bool:
        """Whether any bulk message is on its way."""
        return bool(self._streams)

    def has_stream_to(self, destination: int) -> bool:
        """Whether a bulk message to *destination* is on its way, which what follows must keep behind."""
        return bool(self._streams) and any(stream.destination == destination for stream in list(self._streams))

    def _keep_behind(self, item: _Behind, destination: int) -> bool:
        for stream in self._streams:
            if stream.destination == destination:
                stream.behind.append(item)
                return True
        return False

    def _write(self, data: Any, descriptors: Descriptors | None) -> int:
        try:
            if descriptors is not None:
                return socket.send_fds(self._sock, [data], descriptors.numbers)
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:  # too many descriptors are on their way: later
                self._reactor.call_later(RETRY_S, self._on_writable)
                return 0
            # The peer is gone; reading will say so, after what it had still sent.
            self._give_up_writing()
            return 0

    def _give_up_writing(self) -> None:
        self.closed = True
        for item, _ in self._queue:
            if isinstance(item, Waiter):
                item.set()
        self._queue.clear()
        self._queued = 0
        for stream in self._streams:
            _let_go(stream)
        self._streams.clear()

    def _draw(self) -> None:
        """Move frames of bulk messages to the queue while it is short, one of each message in turn."""
        while self._streams and self._queued < LOW_WATER:
            stream = self._streams.popleft()
            pieces = next(stream.frames, None)
            if pieces is not None:
                for piece in pieces:
                    self._queue.append((piece, None))
                    self._queued += len(piece)
                    self.bytes_sent += len(piece)
                self.frames_sent += 1
                self._streams.append(stream)
                continue
            self._end_stream(stream)

    def _end_stream(self, stream: Stream) -> None:
        self._queue.append((stream.waiter, None))
        while stream.behind:
            item = stream.behind.popleft()
            if isinstance(item, Stream):
                item.behind.extend(stream.behind)
                self._streams.append(item)
                return
            self._queue.append(item)
            self._queued += len(item[0])

    def _ask_to_write(self) -> None:
        if not self._writes:
            self._writes = True
            try:
                self._reactor.set_mask(self._fd, read=self._reads, write=True)
            except OSError:  # code of a user's has closed the descriptor
                self._give_up_writing()

    def _on_writable(self) -> None:
        with self._lock:
            while self._queue:
                data, descriptors = self._queue[0]
                if isinstance(data, Waiter):
                    self._queue.popleft()
                    data.set()
                    continue
                sent = self._write_many() if descriptors is None else self._write(data, descriptors)
                if self.closed:
                    break
                if not sent:
                    return
                self._take_off(sent)
                if self._queued < LOW_WATER and self._streams:
                    self._draw()
            self._writes = False
            if not self.closed:
                self._reactor.set_mask(self._fd, read=self._reads, write=False)
        if self._feeders and self._queued < LOW_WATER:
            self._resume_feeders()

    def _write_many(self) -> int:
        pieces: list[Any] = []
        for data, descriptors in self._queue:
            if descriptors is not None or isinstance(data, Waiter) or len(pieces) == 64:
                break
            pieces.append(data)
        try:
            return self._sock.sendmsg(pieces)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._give_up_writing()
            return 0

    def _take_off(self, sent: int) -> None:
        self._queued -= sent
        while sent:
            data, _ = self._queue[0]
            if isinstance(data, Waiter):
                self._queue.popleft()
                data.set()
                continue
            if len(data) > sent:
                self._queue[0] = (memoryview(data)[sent:], None)
                return
            sent -= len(data)
            self._queue.popleft()

    # -- back pressure --------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be written that its sources should pause."""
        return self._queued > HIGH_WATER

    def pause_for(self, full: Link) -> None:
        """Read no more from this link until *full* has drained."""
        with full._lock:
            if full.closed or full._queued <= LOW_WATER:
                return
            full._feeders.add(self)
            self._paused_for.add(full)
        with self._lock:
            if self._reads:
                self._reads = False
                self._reactor.set_mask(self._fd, read=False, write=self._writes)

    def _resume_feeders(self) -> None:
        feeders, self._feeders = self._feeders, set()
        for feeder in feeders:
            feeder._paused_for.discard(self)
            with feeder._lock:
                if not feeder._paused_for and not feeder._reads:
                    feeder._reads = True
                    feeder._reactor.set_mask(feeder._fd, read=True, write=feeder._writes)

    # -- in -------------------------------------------------------------------------------------------------------

    def _on_ready(self, mask: int) -> None:
        if mask & WRITE:
            self._on_writable()
        if mask & ~WRITE and self._reads:
            self.on_readable(self)

    def receive_into(self, view: memoryview) -> int:
        """Read what is there; 0 when there is nothing, -1 when there never will be again."""
        try:
            if self.passes_descriptors:
                size, control, _, _ = self._sock.recvmsg_into([view], _DESCRIPTOR_SPACE)
                if control:
                    self._gather_descriptors(control)
            else:
                size = self._sock.recv_into(view)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return -1
        self.bytes_received += size
        return size or -1

    def _gather_descriptors(self, control: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(data[: len(data) - len(data) % received.itemsize])
                for descriptor in received:
                    os.set_inheritable(descriptor, False)
                    self._received.append(descriptor)

    def take_descriptors(self, count: int) -> Descriptors:
        """Take the descriptors that came with a frame; raises Undecodable when they did not come."""
        if len(self._received) < count:
            raise Undecodable(f"a frame with {count} descriptors that did not come with it")
        return Descriptors(*(self._received.popleft() for _ in range(count)))

    # -- the end --------------------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> None:
        """Block until everything is written, at most *timeout* seconds; not for callbacks."""
        last = Waiter()
        with self._lock:
            if self.closed or not (self._queue or self._streams):
                return
            waiters = [last, *(stream.waiter for stream in self._streams)]
            self._queue.append((last, None))
            self._ask_to_write()
        deadline = monotonic() + timeout
        for waiter in waiters:
            self._reactor.wait(waiter, max(0.0, deadline - monotonic()))

    def close(self, reason: str = "closed here") -> None:
        """End it; ``on_closed`` is told once."""
        with self._lock:
            self._give_up_writing()
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # code of a user's may have closed it before
                self._reactor.unwatch(fd)
            with contextlib.suppress(OSError):
                self._sock.close()
            Descriptors(*self._received).close()
            self._received.clear()
        self._resume_feeders()
        self.on_closed(self, reason)

    def abandon(self) -> None:
        """In a forked process: close the descriptor, and with it nothing of the parent's connection."""
        self.closed = True
        self._fd = -1
        self._sock.close()


def _let_go(stream: Stream) -> None:
    stream.waiter.set()
    for item in stream.behind:
        if isinstance(item, Stream):
            _let_go(item)
