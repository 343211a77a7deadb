"""Two processes that talk TLS 1.3 over one connection, in plain Python: the floor of what goes over TLS."""

from __future__ import annotations

import os
import socket
import struct
from time import perf_counter
from typing import Any

from softgrid._io.certificate import client_context, make_identity

_COMMAND = struct.Struct(">cQ")
SEND, FETCH, END = b"s", b"f", b"e"
CHUNK = 1024 * 1024


class TlsPair:
    """This process and a fork of it."""

    def __enter__(self) -> TlsPair:
        identity = make_identity()
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._pid = os.fork()
            if self._pid == 0:
                try:
                    _serve(identity.context.wrap_socket(server.accept()[0], server_side=True))
                finally:
                    os._exit(0)
            plain = socket.create_connection(server.getsockname())
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = client_context().wrap_socket(plain)
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.sendall(_COMMAND.pack(END, 0))
        self._socket.close()
        os.waitpid(self._pid, 0)

    def send(self, data: Any) -> float:
        """Seconds until the other process has *data*."""
        start = perf_counter()
        self._socket.sendall(_COMMAND.pack(SEND, len(data)))
        self._socket.sendall(data)
        if self._socket.recv(1) != b"!":
            raise RuntimeError("the pair has come apart")
        return perf_counter() - start

    def fetch(self, size: int) -> float:
        """Seconds until so much has come from the other process."""
        start = perf_counter()
        self._socket.sendall(_COMMAND.pack(FETCH, size))
        _receive(self._socket, size)
        return perf_counter() - start


def _receive(sock: Any, size: int) -> bytearray:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        count = sock.recv_into(view[got : got + CHUNK])
        if not count:
            raise EOFError
        got += count
    return data


def _serve(sock: Any) -> None:
    while True:
        command, size = _COMMAND.unpack(_receive(sock, _COMMAND.size))
        if command == END:
            return
        if command == SEND:
            _receive(sock, size)
            sock.sendall(b"!")
        else:
            sock.sendall(bytearray(size))
