"""A bridge between machines: the other end opens a door for one visitor, who proves the bridge's own password.

Nothing listens longer than this one visitor takes to come, and nowhere but where the executor was told to listen.
What passes is TLS, as at every door.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from softgrid._io.link import Link
from softgrid._io.ports import reserve_port
from softgrid._io.reactor import Reactor
from softgrid._node.doorway import Doorway

if TYPE_CHECKING:
    from softgrid._io.tls import TlsStream

SILENCE_S = 10.0
"""After so long without an acknowledgement the connection is broken, and what it carried takes the tree."""


class Door:
    """A listening socket for one visitor, open for *patience_s* seconds."""

    def __init__(
        self, host: str, reactor: Reactor, password: str, patience_s: float, on_entered: Callable[[Link], None]
    ) -> None:
        self._reactor = reactor
        self._on_entered = on_entered
        listener = reserve_port(host, 0, fetch=False, listen=True)
        self.port: int = listener.getsockname()[1]
        self._doorway = Doorway(listener, reactor, password, self._enter, lambda source, reason: None)
        self._patience = reactor.call_later(patience_s, self.close)

    def _enter(self, stream: TlsStream, source: str) -> None:
        self.close()
        self._on_entered(link_over(stream, self._reactor))

    def close(self) -> None:
        """Nobody comes in any more."""
        self._patience.cancel()
        self._doorway.close()


def visit(host: str, port: int, password: str, deadline: float) -> TlsStream:
    """Connect to a door, and give the connection when each side has proved the password; blocks.

    *deadline* is on the monotonic clock. Raises NoRoute, TimedOut, HandshakeFailed or TlsUnavailable.
    """
    from softgrid._node.knock import knock  # loads what only those need who have other machines

    return knock(host, port, password, deadline)


def link_over(stream: TlsStream, reactor: Reactor) -> Link:
    """Make a link of a connection; a bridge says what is to become of what it reads."""
    from softgrid._io.tls_link import TlsLink

    link = TlsLink(stream, reactor, lambda link: None, lambda link, reason: None)
    link.tolerate(SILENCE_S)
    return link
