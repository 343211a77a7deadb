"""The far side of a machine that was reached over ssh waits for its owner to come back by another ssh connection.

It listens at an abstract Unix socket: no file, nothing to clean up, and only processes of its own user are heard. The
new connection runs a short program that passes its standard input and output on and waits; over these the owner proves
the secret that it gave when the first connection was new, and each end says how many bytes have come to it.

    owner     a handshake as at a door, over the secret          far side  NONCE back, then its part of the handshake
    owner     received u64                                       far side  received u64; then the carrier goes on
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
import sys
from collections.abc import Callable

from softgrid._io.carrier import Carrier
from softgrid._io.reactor import Reactor
from softgrid._model.errors import HandshakeFailed, Undecodable
from softgrid._wire.handshake import DEADLINE_S, ServerHandshake

COUNT = struct.Struct(">Q")
BACK, GONE = "back", "gone"
PROGRAM = (
    "import socket,sys;s=socket.socket(1);s.connect(chr(0)+sys.argv[1]);"
    "socket.send_fds(s,[sys.argv[2].encode()],[0,1]);s.recv(1)"
)
"""What the new connection runs; it holds no quote, since it passes through login shells of any kind."""
PIPE_SIZE = 1024 * 1024
_F_SETPIPE_SZ = 1031
_NONCE = re.compile(rb"[0-9a-f]{32}")
_UCRED = struct.Struct("3i")


def widen_pipes(*descriptors: int) -> None:
    """Have pipes hold more, where the system can."""
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        for fd in descriptors:
            fcntl.fcntl(fd, _F_SETPIPE_SZ, PIPE_SIZE)


class Returning:
    """Lets the owner of one carrier back in."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._carrier: Carrier | None = None
        self._secret = ""
        self._on_back: Callable[[int], None] = lambda passer: None
        self._listener: socket.socket | None = None
        self._holder: socket.socket | None = None
        self.place: str | None = None
        """Where it listens; None where there are no abstract sockets."""
        if sys.platform == "linux":
            self._listen()

    def _listen(self) -> None:
        place = f"softgrid-{os.urandom(16).hex()}"
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind("\0" + place)
            listener.listen(4)
        except OSError:
            listener.close()
            return
        listener.setblocking(False)
        self._listener, self.place = listener, place
        self._reactor.watch(listener.fileno(), self._on_ready)

    def expect(self, carrier: Carrier, secret: str, on_back: Callable[[int], None]) -> None:
        """From now on whoever proves that secret takes the carrier up again.

        *on_back* is given the process that its connection has started.
        """
        self._carrier, self._secret, self._on_back = carrier, secret, on_back

    def _on_ready(self, mask: int) -> None:
        assert self._listener is not None
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            if uid != os.getuid() or self._carrier is None:
                sock.close()
            else:
                _Visitor(self, sock, pid, self._reactor, ServerHandshake(self._secret, os.urandom(32)))

    def take_up(self, visitor: _Visitor, peer_received: int) -> None:
        """The owner is back; raises Undecodable when it is not where it was."""
        carrier = self._carrier
        if carrier is None or carrier.closed:
            raise Undecodable("it is over")
        carrier.detach()
        os.write(visitor.write_fd, COUNT.pack(carrier.received))
        carrier.resume(visitor.read_fd, visitor.write_fd, peer_received)
        self.let_go()
        self._holder = visitor.sock
        self._on_back(visitor.pid)

    def let_go(self) -> None:
        """The program that has passed its ends on waits no longer."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None


class _Visitor:
    """A new connection, which first passes its ends on and then proves whose it is."""

    def __init__(
        self, returning: Returning, sock: socket.socket, pid: int, reactor: Reactor, handshake: ServerHandshake
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.pid = pid
        self.read_fd = self.write_fd = -1
        self._returning = returning
        self._reactor = reactor
        self._handshake = handshake
        self._count = b""
        self._deadline = reactor.call_later(DEADLINE_S, self._turn_away)
        reactor.watch(sock.fileno(), self._on_descriptors)

    def _on_descriptors(self, mask: int) -> None:
        try:
            nonce, descriptors, _, _ = socket.recv_fds(self.sock, 64, 2)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            nonce, descriptors = b"", []
        self._reactor.unwatch(self.sock.fileno())
        if len(descriptors) == 2:
            self.read_fd, self.write_fd = descriptors
        if self.read_fd < 0 or not _NONCE.fullmatch(nonce):
            for descriptor in descriptors if self.read_fd < 0 else ():
                os.close(descriptor)
            self._turn_away()
            return
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, False)
        widen_pipes(*descriptors)
        self._reactor.watch(self.read_fd, self._on_ready)
        self._say(nonce + f" {BACK}\n".encode())

    def _on_ready(self, mask: int) -> None:
        try:
            self._hear()
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, HandshakeFailed, Undecodable):
            self._turn_away()

    def _hear(self) -> None:
        is_proved = self._handshake.is_done
        said = os.read(self.read_fd, COUNT.size - len(self._count) if is_proved else 256)
        if not said:
            raise HandshakeFailed("it went away")
        if not is_proved:
            answer = self._handshake.receive(said)
            if answer:
                self._say(answer)
            return
        self._count += said
        if len(self._count) == COUNT.size:
            self._deadline.cancel()
            self._reactor.unwatch(self.read_fd)
            self._returning.take_up(self, COUNT.unpack(self._count)[0])
            self.read_fd = self.write_fd = -1  # they are the carrier's now

    def _say(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # reading will say so
            os.write(self.write_fd, data)

    def _turn_away(self) -> None:
        self._deadline.cancel()
        for fd in {self.read_fd, self.write_fd} - {-1}:
            self._reactor.unwatch(fd)
            os.close(fd)
        self.read_fd = self.write_fd = -1
        self._reactor.unwatch(self.sock.fileno())
        self.sock.close()
