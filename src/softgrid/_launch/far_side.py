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
from softgrid._io.lifeline import environment_of
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
from softgrid._launch.returning import Returning, widen_pipes
from softgrid._launch.supervisor import Executors, OnClosed, Supervisor
from softgrid._wire.control import Message

GRACE_S = 3.0
"""A connection that has ended was ended by somebody: an owner that lives comes back at once, so that after this long
without it everything is ended here. A connection that is merely silent may be so for the whole lease."""
LATE_S = 1.0
"""Who finds that it was itself so late, stopped or starved, has not listened, and waits a little longer."""
READ_AHEAD = 4096
"""Little, since large messages go from the connection to an executor without passing through this process."""


def supervise_for_owner(nonce: str, executors: Executors) -> None:
    """Supervise this machine until the connection that this process is at the end of is gone."""
    with contextlib.suppress(OSError):  # sshd makes what it runs the leader of a session
        os.setsid()
    start_keeper(nonce)
    FarSide(nonce, executors).serve()


class FarSide:
    """Joins the supervisor to the connection."""

    def __init__(self, nonce: str, executors: Executors) -> None:
        self._nonce = nonce
        self._reactor: Reactor
        self._carrier: Carrier
        self._supervisor = Supervisor(self._open_root, executors, self._open_end, SharedTexts.make(), self._on_begin)
        self._ends = ends_of_ssh(os.environ)
        self._lease: Lease
        self._beat_s = self._tolerance_s = 0.0
        self._cuts = 0

    def serve(self) -> None:
        """Run until the owner is gone or says so."""
        self._supervisor.run()

    def _open_root(self, reactor: Reactor, reader: MessageReader, on_closed: OnClosed) -> Link:
        self._returning = Returning(reactor)
        about = {
            "python": sys.version.split()[0],
            "machine": machine_id(),
            "executable": sys.executable,
            "place": self._returning.place,
        }
        said = f"{self._nonce} {READY} {json.dumps(about)}\n"
        read_fd, write_fd = os.dup(0), os.dup(1)
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        widen_pipes(read_fd, write_fd)
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
        """The owner says how often it wants signs of life, and how it will be known again."""
        self._beat_s, self._tolerance_s = message["beat_s"], message["tolerance_s"]
        self._lease = Lease(self._tolerance_s, monotonic())
        self._beat_later()
        resume = message["resume"]
        if resume is None:
            self._carrier.hold_on(0, lambda stands: None)
        else:
            self._returning.expect(self._carrier, resume["secret"], self._on_back)
            self._carrier.hold_on(resume["limit"], self._on_lost)

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

    # -- cut and resumed ------------------------------------------------------------------------------------------

    def _on_lost(self, stands: bool) -> None:
        if stands:  # ssh is there and has nobody to read from
            self._carrier.close("its owner is gone")
            return
        self._cuts += 1
        self._returning.let_go()
        self._wait_for_owner(self._cuts)

    def _wait_for_owner(self, cut: int) -> None:
        grace_s = min(GRACE_S, self._tolerance_s)
        due = monotonic() + grace_s

        def give_up() -> None:
            if self._cuts != cut or self._carrier.is_connected:
                return
            if monotonic() - due > LATE_S:
                self._wait_for_owner(cut)
            else:
                self._carrier.close("its owner is gone")

        self._reactor.call_later(grace_s, give_up)

    def _on_back(self, passer: int) -> None:
        """The owner is back by another connection: that of sshd which has started the process *passer*."""
        self._ends = ends_of_ssh(environment_of(passer))
