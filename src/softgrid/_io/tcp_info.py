"""What the kernel knows of a TCP connection: how long ago the machine at the other end gave a sign of life.

The other machine's kernel acknowledges what it is sent, whatever its processes are doing, so this tells a machine that
is gone from a process that is busy. Of a connection of another process (that of sshd, say) the kernel tells too.
"""

from __future__ import annotations

import os
import socket
import struct

_LAST_RECEIVED = struct.Struct("=52xII")
"""Milliseconds since data, and since an acknowledgement, came; in the kernel's ``struct tcp_info``."""
_NETLINK_SOCK_DIAG, _BY_FAMILY, _REQUEST = 4, 20, 1
_HEADER = struct.Struct("=IHHII")
_QUERY = struct.Struct("=BBBxI")
_PORTS = struct.Struct(">HH16s16s")
_ANY_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_ANSWER_SIZE, _INFO = 72, 2
_ATTRIBUTE = struct.Struct("=HH")
_PATIENCE_S = 0.2

Ends = tuple[str, int, str, int]
"""A connection: the address and port here, then those there."""


def silence_of(sock: socket.socket) -> float | None:
    """Give the seconds since something came over a connection of this process, or None where nobody can tell."""
    try:
        return _silence_in(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256))
    except (OSError, AttributeError):
        return None


def _silence_in(info: bytes) -> float | None:
    if len(info) < _LAST_RECEIVED.size:
        return None
    since_data_ms, since_acknowledged_ms = _LAST_RECEIVED.unpack_from(info)
    return float(min(since_data_ms, since_acknowledged_ms)) / 1000


def ends_of_ssh(environment: dict[str, str] | os._Environ[str]) -> Ends | None:
    """Give the connection over which sshd started this process, as its server has it."""
    words = environment.get("SSH_CONNECTION", "").split()
    try:
        there, its_port, here, port = words
        return here, int(port), there, int(its_port)
    except ValueError:
        return None


def silence_between(ends: Ends) -> float | None:
    """Give the seconds since something came over a connection of any process of this machine, or None."""
    try:
        query = _query(ends)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(_PATIENCE_S)
            kernel.send(query)
            return _silence_in(_info_in(kernel.recv(8192)))
    except (OSError, AttributeError, ValueError, struct.error):
        return None


def _query(ends: Ends) -> bytes:
    here, port, there, its_port = ends
    family = socket.AF_INET6 if ":" in here else socket.AF_INET
    addresses = [socket.inet_pton(family, address.partition("%")[0]) for address in (here, there)]
    body = _QUERY.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0xFFFFFFFF)
    body += _PORTS.pack(port, its_port, *addresses) + _ANY_COOKIE
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body


def _info_in(answer: bytes) -> bytes:
    """Give the ``tcp_info`` in an answer; raises ValueError when it says that there is no such connection."""
    length, kind, *_ = _HEADER.unpack_from(answer)
    position, end = _HEADER.size + _ANSWER_SIZE, min(length, len(answer))
    while kind == _BY_FAMILY and position + _ATTRIBUTE.size <= end:
        size, attribute = _ATTRIBUTE.unpack_from(answer, position)
        if attribute == _INFO:
            return answer[position + _ATTRIBUTE.size : position + size]
        position += max(_ATTRIBUTE.size, (size + 3) & ~3)
    raise ValueError("the kernel knows no such connection")
