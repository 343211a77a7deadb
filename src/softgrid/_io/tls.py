"""A TLS connection with the few methods of a non-blocking socket that a link uses.

TLS works in memory here and never touches the socket itself, so that nothing blocks, one read takes what has come and
one write sends many records, and nothing is said to a peer that does not speak TLS. Not for two threads at once: a
link holds its lock.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any

from softgrid._model.errors import HandshakeFailed

RECORD = 17 * 1024
"""No record is larger (RFC 8446, 5.2: 16 KiB and some)."""
CHUNK = 256 * 1024
"""So much is encrypted at a time: bounds what may lie here between two writes."""
SMALL = 2048


class TlsStream:
    """One end of a TLS connection over a connected, non-blocking socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, is_server: bool) -> None:
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=is_server)
        self._unsent = memoryview(b"")
        self._raw = memoryview(bytearray(SMALL))

    def __repr__(self) -> str:
        return f"<TlsStream {self.fileno()}>"

    # -- the handshake --------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what came over the socket."""
        self._incoming.write(data)

    def take(self) -> bool:
        """Take from the socket itself; False at the end."""
        data = self.sock.recv(SMALL)
        self.feed(data)
        return bool(data)

    def shake(self) -> bool:
        """Go on with the handshake; True when it is done, False when more must come. Raises HandshakeFailed."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            is_done = False
        except ssl.SSLError as error:  # what TLS would say to that is not said
            raise HandshakeFailed(f"the peer does not speak TLS 1.3 as it should ({error.reason})") from None
        else:
            is_done = True
        if not self.flush():
            raise HandshakeFailed("it does not read")
        return is_done

    @property
    def peer_certificate(self) -> bytes:
        """What the server has shown, in DER."""
        return self._tls.getpeercert(binary_form=True) or b""

    # -- as a socket ----------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        return self.sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Make the socket under it block or not; everything here wants it not to."""
        self.sock.setblocking(flag)

    def widen(self, raw: memoryview) -> None:
        """Read through this memory from now on, which may be larger."""
        self._raw = raw

    def recv_into(self, view: memoryview) -> int:
        """Read what has come; 0 at the end. Raises BlockingIOError when there is nothing (whole) yet.

        Into a *view* of at least ``2 * RECORD`` bytes goes everything that can be read, so that nothing is left here of
        which the reactor would never hear.
        """
        size = self.sock.recv_into(self._raw[: max(SMALL, min(len(self._raw), len(view) - RECORD))])
        if not size:
            return 0
        self._incoming.write(self._raw[:size])
        return self.read(view)

    def read(self, view: memoryview) -> int:
        """Decrypt what was fed; 0 at the end. Raises BlockingIOError when there is nothing (whole) yet."""
        read = 0
        try:
            while read < len(view):
                size = self._tls.read(len(view) - read, view[read:])
                if not size:
                    return read
                read += int(size)
        except ssl.SSLWantReadError:
            if not read:
                raise BlockingIOError from None
        except ssl.SSLZeroReturnError:
            return read
        return read

    def send(self, data: Any) -> int:
        """Encrypt and write; gives how much of *data* was taken. Raises BlockingIOError when it must wait."""
        return self.sendmsg((data,))

    def sendmsg(self, pieces: Iterable[Any]) -> int:
        """The same for several pieces in a row."""
        if not self.flush():
            raise BlockingIOError
        taken = 0
        for piece in pieces:
            view = memoryview(piece)[: CHUNK - taken]
            written = 0
            while written < len(view):
                written += self._tls.write(view[written:])
            taken += written
            if taken == CHUNK:
                break
        self.flush()
        return taken

    def flush(self) -> bool:
        """Write what is encrypted already; True when nothing of it is left."""
        while self._unsent or self._outgoing.pending:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
            try:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
            except (BlockingIOError, InterruptedError):
                return False
        return True

    @property
    def is_behind(self) -> bool:
        """Whether something that was taken is not written yet."""
        return bool(self._unsent) or bool(self._outgoing.pending)

    def close(self) -> None:
        """Close the socket under it."""
        self.sock.close()
