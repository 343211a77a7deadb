"""What comes over a connection whose reader learns only as it goes whose bytes are next.

Little is read ahead, for headers and small things; what is large goes from the connection straight to where it belongs,
into memory or, without a copy where the kernel can, into a socket. All is counted, also across a change of connections.
"""

from __future__ import annotations

import os
import stat
from time import monotonic

from softgrid._wire.replay import Received


class Incoming:
    """The reading end of a connection. *read_ahead*: how much is read at once when it is not known whose it is."""

    def __init__(self, fd: int, read_ahead: int) -> None:
        self._fd = fd
        self._can_splice = _can_splice(fd)
        self.received = Received()
        self._ahead = memoryview(bytearray(read_ahead))
        self._start = self._end = 0
        self.is_over = False
        self.heard_at = monotonic()

    @property
    def ready(self) -> int:
        """How many bytes have been read ahead."""
        return self._end - self._start

    def put(self, received: bytes) -> None:
        """Begin with what was read from the connection already."""
        self._ahead[: len(received)] = received
        self._end = len(received)
        self.received.take(len(received))

    def detach(self) -> None:
        """The connection is there no more."""
        self._fd = -1

    def go_on(self, fd: int) -> None:
        """There is another, which brings what follows."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._can_splice = _can_splice(fd)
        self.is_over = False
        self.heard_at = monotonic()

    def fill(self) -> bool:
        """Read ahead; what is kept is at most a part of a header. False when nothing came."""
        kept = self.ready
        self._ahead[:kept] = bytes(self._ahead[self._start : self._end])
        self._start, self._end = 0, kept
        size = self._read_into(self._ahead[kept:])
        self._end += size
        return size > 0

    def _read_into(self, view: memoryview) -> int:
        """Read from the connection; 0 when there is nothing, and ``is_over`` when there never will be again."""
        if self._fd < 0:
            return 0
        try:
            size = os.readv(self._fd, [view])
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            size = 0
        if size:
            self.heard_at = monotonic()
            self.received.take(size)
        else:
            self.is_over = True
        return size

    def take_ahead(self, size: int) -> memoryview:
        """Take bytes that have been read ahead."""
        self._start += size
        return self._ahead[self._start - size : self._start]

    def take_into(self, view: memoryview) -> int:
        """Take bytes, ahead or straight from the connection; 0 when there are none."""
        size = min(len(view), self.ready)
        if not size:
            return self._read_into(view)
        view[:size] = self.take_ahead(size)
        return size

    def splice(self, fd: int, limit: int) -> int:
        """Move bytes into a socket.

        Gives how many; 0 when the connection has none or the socket takes none, -1 when the socket is broken.
        """
        if not self.ready and not self._can_splice:
            self.fill()
        ahead = min(limit, self.ready)
        try:
            if ahead:
                size = os.write(fd, self._ahead[self._start : self._start + ahead])
                self._start += size
            elif self._can_splice and self._fd >= 0:
                size = os.splice(self._fd, fd, limit, flags=os.SPLICE_F_NONBLOCK)
                self.is_over = not size
                self.received.take(size)
            else:
                return 0
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return -1
        self.heard_at = monotonic()
        return size


def _can_splice(fd: int) -> bool:
    return hasattr(os, "splice") and stat.S_ISFIFO(os.fstat(fd).st_mode)
