"""The side that dialled dials again when its link is cut, or when nothing has been heard for a while.

In a thread of its own, since looking up a name and waiting for a stranger heed no reactor. It goes on until the link
has been resumed or is over; the link itself knows when the tolerance is used up (``_io.resumable_link``).
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import NamedTuple

from softgrid._io.reactor import Reactor
from softgrid._io.resumable_link import GRACE_S, ResumableLink
from softgrid._io.tls import TlsStream
from softgrid._model.errors import NoRoute, SoftgridError, TimedOut, Undecodable
from softgrid._node.knock import LinkGone, knock, resume_link
from softgrid._wire.resumption import Answer

CONNECT_S = 1.5
"""Short, since a packet that was lost during the cut is sent again only after as long again as has passed."""
ATTEMPT_S = 6.0
PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.4
BUSY_PAUSE_S = 15.0
"""A machine that lets connect and then says nothing is busy, or stopped: knocking often would only be in its way."""


class Way(NamedTuple):
    """How the other end of a link is found again."""

    address: str
    port: int
    password: str
    link: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"<Way to {self.address}:{self.port}>"  # the password is nobody's to read


class Redialling:
    """Dials for one link."""

    def __init__(self, link: ResumableLink, reactor: Reactor, way: Way) -> None:
        self._link = link
        self._reactor = reactor
        self._way = way
        self._is_dialling = False
        self._refused_since: float | None = None
        self._hurry = threading.Event()
        link.redial = self.begin
        link.stream.on_over = self._hurry.set

    def begin(self) -> None:
        """Dial until there is a new connection, or no need for one; for callbacks."""
        if not self._is_dialling and self._is_needed:
            self._is_dialling = True
            threading.Thread(target=self._run, name="softgrid-redialling", daemon=True).start()
        elif self._link.cut_by is not None:  # it was only doubted before
            self._hurry.set()

    def _run(self) -> None:
        pause = PAUSE_S
        self._refused_since = None
        while self._is_needed:
            begun = monotonic()
            if self._try_once():
                break
            is_busy = monotonic() - begun >= ATTEMPT_S
            self._hurry.clear()
            if self._is_needed:
                self._hurry.wait(BUSY_PAUSE_S if is_busy and self._link.cut_by is None else pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        self._reactor.call_soon(self._on_stopped)

    def _on_stopped(self) -> None:
        self._is_dialling = False
        self.begin()  # the link may have been cut again meanwhile

    def _try_once(self) -> bool:
        """Whether this was the last time to try."""
        try:
            connection, answer = self._dial()
        except (SoftgridError, OSError) as error:
            why = str(error)
            if not isinstance(error, LinkGone) and not self._is_refused_for_good(error):
                return False
            self._reactor.call_soon(lambda: self._link.give_up(why))
        else:
            self._reactor.call_soon(lambda: self._on_connected(connection, answer))
        return True

    def _is_refused_for_good(self, error: Exception) -> bool:
        """Whether, after a cut, that machine has been reached for a while, and the other end was not there."""
        is_refusal = isinstance(error.__context__, ConnectionRefusedError)
        if isinstance(error, TimedOut) or (isinstance(error, NoRoute) and not is_refusal):
            self._refused_since = None
            return False
        self._refused_since = self._refused_since or monotonic()
        return self._link.cut_by is not None and monotonic() - self._refused_since >= GRACE_S

    @property
    def _is_needed(self) -> bool:
        stream = self._link.stream
        return not stream.is_over and (not stream.is_connected or self._link.is_quiet)

    def _dial(self) -> tuple[TlsStream, Answer]:
        way, deadline = self._way, monotonic() + ATTEMPT_S
        connection = knock(way.address, way.port, way.password, deadline, CONNECT_S)
        try:
            received = self._link.stream.received.count
            return connection, resume_link(connection, way.link, way.secret, received, deadline)
        except BaseException:
            connection.close()
            raise

    def _on_connected(self, connection: TlsStream, answer: Answer) -> None:
        if self._link.stream.is_over:
            connection.close()
            return
        try:
            self._link.stream.resume(connection, answer.received, answer.begins)
        except Undecodable as error:
            connection.close()
            self._link.give_up(str(error))
