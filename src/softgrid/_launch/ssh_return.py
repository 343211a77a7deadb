"""The owner of a far side comes back to it: a new ssh connection that goes on where the lost one was.

One try after the other until the far side is there again, is known to be no more, or is taken for dead by whoever
listens to it (``_node.health``). Nothing here waits: a try is a process whose output is read as it comes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from time import monotonic

from softgrid._io.carrier import Carrier
from softgrid._io.lifeline import kill_group
from softgrid._io.link import Link
from softgrid._io.process import Process
from softgrid._io.reactor import Reactor
from softgrid._launch.boot_there import read_greeting
from softgrid._launch.returning import BACK, COUNT, GONE
from softgrid._model.errors import HandshakeFailed, Undecodable
from softgrid._wire.handshake import ClientHandshake

TRY_S = 15.0
PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
GRACE_S = 3.0
LATE_S = 1.0
DOUBT_AFTER_S = 3.0
REFUSED = "Connection refused"
REAP_AFTER_S = 0.3

Start = Callable[[str, int], Process]
"""Starts an ssh client for a try: its nonce, and the descriptor that it is to talk over."""


class SshReturn:
    """Brings one carrier back whenever its connection is lost.

    *on_process* is given the client that carries it from now on; *on_over* is told why it does not come back.
    """

    def __init__(
        self,
        carrier: Carrier,
        reactor: Reactor,
        start: Start,
        secret: str,
        tolerance_s: float,
        on_process: Callable[[Process], None],
        on_over: Callable[[str], None],
    ) -> None:
        self._carrier = carrier
        self._reactor = reactor
        self._start = start
        self._secret = secret
        self._tolerance_s = tolerance_s
        self._on_process = on_process
        self._on_over = on_over
        self._try: _Try | None = None
        self._pause_s = PAUSE_S
        self._refused_since: float | None = None
        self._is_over = False
        self._look_soon()

    def on_lost(self) -> None:
        """The connection is gone; for callbacks."""
        if self._is_over:
            return
        self._refused_since = None
        self._pause_s = PAUSE_S
        self._begin()

    def _look_soon(self) -> None:
        """Look now and then whether receipts are overdue: then the connection may be dead without a word."""
        wait_s = min(DOUBT_AFTER_S, self._tolerance_s / 3)
        due = monotonic() + wait_s

        def look() -> None:
            if self._is_over or self._carrier.closed:
                return
            if monotonic() - due < LATE_S and self._carrier.quiet_s >= wait_s:
                self._begin()
            self._look_soon()

        self._reactor.call_later(wait_s, look)

    # -- one try after the other ----------------------------------------------------------------------------------

    @property
    def _is_needed(self) -> bool:
        quiet_s = self._carrier.quiet_s
        return not self._is_over and (not self._carrier.is_connected or quiet_s >= self._tolerance_s / 4)

    def _begin(self) -> None:
        if self._try is None and not self._is_over:
            try:
                self._try = _Try(self._carrier, self._reactor, self._start, self._secret, self._on_outcome)
            except OSError:  # no process or descriptor is to be had just now
                self._try_later()

    def _on_outcome(self, done: _Try) -> None:
        self._try = None
        if self._is_over:
            done.end()
        elif done.error is None:
            self._on_process(done.process)
        elif done.is_final or self._is_refused_for_good(done.error):
            self._give_up(done.error)
        else:
            self._try_later()

    def _try_later(self) -> None:
        self._reactor.call_later(self._pause_s, lambda: self._begin() if self._is_needed else None)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _is_refused_for_good(self, error: str) -> bool:
        """Whether that machine has been reached for a while after a cut, and takes no connection."""
        if REFUSED not in error:
            self._refused_since = None
            return False
        self._refused_since = self._refused_since or monotonic()
        return not self._carrier.is_connected and monotonic() - self._refused_since >= GRACE_S

    def _give_up(self, reason: str) -> None:
        self.end()
        self._on_over(reason)

    def end(self) -> None:
        """Try no more."""
        self._is_over = True
        if self._try is not None:
            self._try.fail("it is not wanted any more")

    def abandon(self) -> None:
        """In a forked process: let go of what is the parent's."""
        self._is_over = True
        if self._try is not None:
            self._try.link.abandon()


class _Try:
    """One ssh client that is to reach the far side; raises OSError when it cannot be started."""

    def __init__(
        self, carrier: Carrier, reactor: Reactor, start: Start, secret: str, on_outcome: Callable[[_Try], None]
    ) -> None:
        self._carrier = carrier
        self._reactor = reactor
        self._on_outcome = on_outcome
        self._nonce = os.urandom(16).hex()
        self._handshake = ClientHandshake(secret, os.urandom(32))
        self._is_back = False
        self._count = b""
        self._sock, theirs = socket.socketpair()
        try:
            self.process = start(self._nonce, theirs.fileno())
        except OSError:
            self._sock.close()
            raise
        finally:
            theirs.close()
        self.error: str | None = None
        self.is_final = self._is_done = False
        self._deadline = reactor.call_later(TRY_S, lambda: self.fail("it did not answer in time"))
        self.link = Link(self._sock, reactor, self._on_readable, self._on_closed)
        self.link.open()

    def _on_readable(self, link: Link) -> None:
        wanted = COUNT.size - len(self._count) if self._handshake.is_done else 4096
        view = memoryview(bytearray(wanted))
        size = link.receive_into(view)
        if size < 0:
            link.close("ssh has ended")
        elif size and not self._is_done:
            try:
                self._hear(bytes(view[:size]))
            except (HandshakeFailed, Undecodable) as error:
                self.is_final = True
                self.fail(str(error))

    def _hear(self, said: bytes) -> None:
        if not self._is_back:
            self._hear_greeting(said)
        elif not self._handshake.is_done:
            answer = self._handshake.receive(said)
            if answer:
                self.link.send(answer)
            if self._handshake.is_done:
                self._carrier.detach()
                self.link.send(COUNT.pack(self._carrier.received))
        else:
            self._count += said
            if len(self._count) == COUNT.size:
                self._take_up(COUNT.unpack(self._count)[0])

    def _hear_greeting(self, said: bytes) -> None:
        self.link.partial += said
        while (greeting := read_greeting(self._nonce, self.link.partial)) is not None:
            self.link.partial = greeting.rest
            if greeting.word == GONE:
                self.is_final = True
                self.fail("nothing of it is left there")
                return
            if greeting.word == BACK:
                self._is_back = True
                self.link.send(self._handshake.begin())
                return

    def _take_up(self, peer_received: int) -> None:
        fd = os.dup(self._sock.fileno())
        self._finish()
        try:
            self._carrier.resume(fd, fd, peer_received)
        except Undecodable:
            os.close(fd)
            raise
        self._on_outcome(self)

    def _on_closed(self, link: Link, reason: str) -> None:
        if not self._is_done:
            cause, tail = self.process.last_words()
            self.fail(f"ssh {cause}: {' / '.join(tail[-3:])}")

    def _finish(self) -> None:
        self._is_done = True
        self._deadline.cancel()
        self.link.close("it is done")

    def fail(self, reason: str) -> None:
        """It does not get there; only the first time counts."""
        if not self._is_done:
            self._finish()
            self.error = reason
            self.end()
            self._on_outcome(self)

    def end(self) -> None:
        """End its client."""
        end_process(self.process, self._reactor)


def end_process(process: Process, reactor: Reactor) -> None:
    """Kill a client, and see it go a little later."""
    kill_group(process.pid)
    reactor.call_later(REAP_AFTER_S, lambda: process.await_end(0.0))
