"""Between a channel of the line to another machine and an executor of this one: bytes, not looked into.

Used by the supervisor of a machine that was reached over ssh: its executors have a socket pair to it where those of
the owner's own machine have one to their upgrid.
"""

from __future__ import annotations

import os
import socket

from softgrid._io.channel import Channel, takes_more
from softgrid._io.poller import READ, WRITE
from softgrid._io.reactor import Reactor


class Relay:
    """Moves bytes in both directions until one side ends, and then ends the other one."""

    def __init__(self, sock: socket.socket, channel: Channel, reactor: Reactor) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._channel = channel
        self._reactor = reactor
        self._reads, self._writes = True, False
        self._is_over = False
        reactor.watch(self._fd, self._on_socket)
        channel.watch(channel.number, self._on_channel)

    def _on_channel(self, mask: int) -> None:
        if mask & READ:
            self._move_in()
        if mask & WRITE:
            self._channel.set_mask(0, read=self._channel.wants_read, write=False)
            self._set_mask(read=True)

    def _move_in(self) -> None:
        moved = self._channel.move_to(self._fd)
        if moved < 0 or (not moved and self._channel.ended and not self._channel.inbox):
            self._close()
        elif not moved and not takes_more(self._fd):
            self._channel.set_mask(0, read=False, write=self._channel.wants_write)
            self._set_mask(write=True)

    def _on_socket(self, mask: int) -> None:
        if mask & WRITE and self._writes:
            self._set_mask(write=False)
            self._channel.set_mask(0, read=True, write=self._channel.wants_write)
        if mask & ~WRITE and self._reads:
            self._move_out()

    def _move_out(self) -> None:
        room = self._channel.room
        if not room:
            self._set_mask(read=False)
            self._channel.set_mask(0, read=self._channel.wants_read, write=True)
            return
        try:
            data = os.read(self._fd, room)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        self._channel.send(data)

    def _set_mask(self, *, read: bool | None = None, write: bool | None = None) -> None:
        self._reads = self._reads if read is None else read
        self._writes = self._writes if write is None else write
        self._reactor.set_mask(self._fd, read=self._reads, write=self._writes)

    def _close(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._reactor.unwatch(self._fd)
            self._channel.unwatch(self._channel.number)
            self._channel.close()
            self._sock.close()
