"""TCP connections to other machines: made within a deadline, and noticed when the other machine falls silent."""

from __future__ import annotations

import contextlib
import select
import socket
from time import monotonic
from typing import Protocol

from softgrid._model.errors import NoRoute, TimedOut

PROBES = 4
"""So many questions without an answer end a silent connection."""


class HasFileno(Protocol):
    def fileno(self) -> int: ...


def dial(address: str, port: int, deadline: float) -> socket.socket:
    """Connect to a machine by any of its addresses; *deadline* is on the monotonic clock.

    Raises NoRoute where nobody can be reached, TimedOut when the deadline has passed. Blocks, and may block beyond its
    deadline while a name is looked up.
    """
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NoRoute(f"no machine is known as {address}: {_reason(error)}") from None
    for place, (family, kind, protocol, _, target) in enumerate(found):
        left = (deadline - monotonic()) / (len(found) - place)
        if left <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left)
            sock.connect(target)
        except TimeoutError:
            sock.close()
        except OSError as error:
            sock.close()
            if place == len(found) - 1:
                raise NoRoute(f"{address} cannot be reached at port {port}: {_reason(error)}") from None
        else:
            sock.setblocking(False)
            return sock
    raise TimedOut(f"{address}:{port} did not answer in time")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def tune(sock: socket.socket, tolerance_s: float) -> None:
    """Send small messages at once, and end the connection when the other side is silent for *tolerance_s* seconds."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    step_s = max(1, round(tolerance_s / (PROBES + 1)))
    options = {
        "TCP_KEEPIDLE": step_s,
        "TCP_KEEPINTVL": step_s,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": max(1, round(tolerance_s * 1000)),
    }
    for name, value in options.items():
        with contextlib.suppress(AttributeError, OSError):  # not every system has each of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def await_input(sock: HasFileno, deadline: float) -> None:
    """Block until there is something to read; raises TimedOut when the deadline has passed."""
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    if not waiting.poll(max(0.0, deadline - monotonic()) * 1000):
        raise TimedOut("the other side did not answer in time")
