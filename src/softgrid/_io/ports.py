"""TCP ports: reserve one at birth, listen where there is a reason to. Nothing binds beyond what it is told."""

from __future__ import annotations

import contextlib
import errno
import socket
from itertools import chain

from softgrid._model.errors import BadArgument, PortTaken

PORT_TRIES = 4096
LOOPBACK = "127.0.0.1"
MAX_WAITING = 1024
"""So many wait outside for a process that accepts nobody now. Whoever comes when it is full tries again a second later,
and so would one who knows the password behind a crowd that does not."""


def check_port(port: object) -> int:
    """Accept a TCP port number; 0 stands for any free one."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise BadArgument("port", port, "an integer from 0 to 65535 (0: any free port)")
    return port


def reserve_port(host: str, port: int, *, fetch: bool, listen: bool, first_try: int | None = None) -> socket.socket:
    """Give a socket bound to *port* of *host*, or to the next free port when *fetch* is set.

    A socket that does not listen refuses connections and keeps the port for its owner. *first_try* is where the search
    begins when somebody knows that the ports before it are taken. Raises PortTaken.
    """
    candidates = range(port, min(port + PORT_TRIES, 65536) if fetch and port else port + 1)
    first = first_try if fetch and first_try is not None and first_try in candidates else port
    for candidate in chain(range(first, candidates.stop), range(port, first)):
        bound = _bind(host, candidate, listen)
        if bound is not None:
            return bound
    if fetch:
        raise PortTaken(f"no free port among {len(candidates)} from {port} on {host}")
    raise PortTaken(f"port {port} of {host} is in use; give another one, or portFetch=True to take the next free one")


def _bind(host: str, port: int, listen: bool) -> socket.socket | None:
    """Give a socket bound to the port, or None when it is taken."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if listen:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if listen:
            sock.listen(MAX_WAITING)
        sock.setblocking(False)
    except (UnicodeError, TypeError):  # no host can be named like that
        sock.close()
        raise BadArgument("address", host, "an address of this machine") from None
    except OSError as error:
        sock.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise BadArgument("address", host, f"an address of this machine ({error.strerror})") from None
    return sock


def own_address() -> str:
    """Give the address by which other machines are likely to know this one; no packet is sent to find out."""
    for family, probe in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((probe, 9))
            return str(sock.getsockname()[0])
    return "127.0.0.1"


def is_local(address: str) -> bool:
    """Whether *address* is this machine."""
    if address in ("localhost", "", socket.gethostname()):
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.inet_pton(family, address)
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True
