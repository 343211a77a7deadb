"""Connections that a test holds in the middle: bytes pass as it lets them, and it cuts them where it likes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from tests.harness.tls import an_identity

from softgrid._io.certificate import client_context
from softgrid._io.tls import TlsStream


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pair = socket.create_connection(listener.getsockname()), listener.accept()[0]
        for each in pair:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return pair


class Wire:
    """A TLS connection inside one process, of which the test moves the bytes."""

    def __init__(self) -> None:
        (one, self._by_server), (other, self._by_client) = _tcp_pair(), _tcp_pair()
        for each in (one, other, self._by_server, self._by_client):
            each.setblocking(False)
        self.server = TlsStream(one, an_identity().context, is_server=True)
        self.client = TlsStream(other, client_context(), is_server=False)
        done = [self.client.shake(), False]
        while not all(done):
            self.move()
            for place, stream in ((1, self.server), (0, self.client)):
                with contextlib.suppress(BlockingIOError):
                    stream.take()
                    done[place] = stream.shake()

    def move(self, size: int = 1 << 20, *, to_server: bool = True, to_client: bool = True) -> int:
        """Let up to *size* bytes pass in each direction; gives how many did."""
        moved = 0
        for passes, source, target in (
            (to_server, self._by_client, self._by_server),
            (to_client, self._by_server, self._by_client),
        ):
            if passes:
                with contextlib.suppress(OSError):
                    moved += target.send(source.recv(size))
        return moved

    def cut(self) -> None:
        """What has not passed never will."""
        self._by_server.close()
        self._by_client.close()


RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Stands between whoever connects to ``port`` and the port *target*; passes all on until it is told otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Condition()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_dark = self._is_closed = False
        self.connections = 0
        self._reset_after: int | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._lock.wait_for(lambda: not self._is_dark or self._is_closed)
                if self._is_closed:
                    near.close()
                    return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            with self._lock:
                if self._is_closed:
                    near.close()
                    far.close()
                    return
                self.connections += 1
                self._pairs.append((near, far))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    self._lock.wait_for(lambda: not self._is_dark or self._is_closed)
                    if self._reset_after is not None:
                        data, self._reset_after = data[: self._reset_after], max(0, self._reset_after - len(data))
                target.sendall(data)
                if self._reset_after == 0:
                    self._reset_after = None
                    self.reset()
                    return
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def go_dark(self) -> None:
        """Nothing passes any more, and nobody is told."""
        with self._lock:
            self._is_dark = True

    def heal(self) -> None:
        """Everything passes again, also what was held back."""
        with self._lock:
            self._is_dark = False
            self._lock.notify_all()

    def reset(self) -> None:
        """Break all connections; what was on its way is lost."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for each in pair:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def reset_after(self, size: int) -> None:
        """Break all connections when so many bytes more have passed."""
        with self._lock:
            self._reset_after = size

    def close(self) -> None:
        """Take it away."""
        with self._lock:
            self._is_closed = True
            self._lock.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
