"""The supervisor of a machine that was reached over ssh: standard input and output are the line to its owner."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from time import monotonic

from softgrid._io.carrier import Carrier
from softgrid._io.channel import link_over
from softgrid._io.descriptors import Descriptors
from softgrid._io.link import Link
from softgrid._io.machine_id import machine_id
from softgrid._io.reactor import Reactor
from softgrid._io.shared_texts import SharedTexts
from softgrid._io.tcp_info import ends_of_ssh, silence_between
from softgrid._launch.boot_there import READY
from softgrid._launch.keeper import start_keeper
from softgrid._launch.lease import Lease
from softgrid._launch.messages import MessageReader
from softgrid._launch.relay import Relay
from softgrid._launch.supervisor import OnClosed, RunChild, Supervisor
from softgrid._wire.control import Message

READ_AHEAD = 4096
"""Little, since large messages go from the connection to an executor without passing through this process."""
PIPE_SIZE = 1024 * 1024
_F_SETPIPE_SZ = 1031


def supervise_for_owner(nonce: str, run_child: RunChild) -> None:
    """Supervise this machine until the connection that this process is at the end of is gone."""
    with contextlib.suppress(OSError):  # sshd makes what it runs the leader of a session
        os.setsid()
    start_keeper(nonce)
    FarSide(nonce, run_child).serve()


class FarSide:
    """Joins the supervisor to the connection."""

    def __init__(self, nonce: str, run_child: RunChild) -> None:
        self._nonce = nonce
        self._reactor: Reactor
        self._carrier: Carrier
        self._supervisor = Supervisor(self._open_root, run_child, self._open_end, SharedTexts.make(), self._on_begin)
        self._ends = ends_of_ssh(os.environ)
        self._lease: Lease
        self._beat_s = 0.0

    def serve(self) -> None:
        """Run until the owner is gone or says so."""
        self._supervisor.run()

    def _open_root(self, reactor: Reactor, reader: MessageReader, on_closed: OnClosed) -> Link:
        about = {"python": sys.version.split()[0], "machine": machine_id()}
        said = f"{self._nonce} {READY} {json.dumps(about)}\n"
        read_fd, write_fd = os.dup(0), os.dup(1)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        with contextlib.suppress(OSError, ImportError):
            import fcntl

            for fd in (read_fd, write_fd):
                fcntl.fcntl(fd, _F_SETPIPE_SZ, PIPE_SIZE)
        os.write(write_fd, said.encode())
        self._reactor = reactor
        self._carrier = Carrier(read_fd, write_fd, reactor, lambda reason: None, read_ahead=READ_AHEAD)
        link = link_over(self._carrier.channel(0), reader, on_closed)
        link.open()
        self._carrier.begin()
        return link

    def _open_end(self, number: int) -> Descriptors:
        mine, theirs = socket.socketpair()
        Relay(mine, self._carrier.channel(number), self._reactor)
        return Descriptors(theirs.detach())

    def _on_begin(self, message: Message) -> None:
        self._beat_s = message["beat_s"]
        self._lease = Lease(message["tolerance_s"], monotonic())
        self._beat_later()

    def _beat_later(self) -> None:
        self._lease.due_in(self._beat_s, monotonic())
        self._reactor.call_later(self._beat_s, self._beat)

    def _beat(self) -> None:
        """Give the owner a sign of life, and end when it has given none for too long."""
        now, heard_s = monotonic(), self._carrier.heard_at
        is_silent = now - heard_s > 2 * self._beat_s
        silence_s = silence_between(self._ends) if is_silent and self._ends is not None else None
        if self._lease.is_over(now, heard_s, None if silence_s is None else now - silence_s):
            self._carrier.close("its owner is silent")
            return
        self._carrier.beat()
        self._beat_later()
