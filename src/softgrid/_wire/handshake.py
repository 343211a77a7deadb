"""Who are you, prove it: what passes over a TCP connection before the first message.

    client  magic, version, nonce                (44 bytes; until they are right, the server says nothing at all)
    server  nonce                                (32 bytes)
    client  HMAC-SHA256(password, 'client' | both nonces)
    server  HMAC-SHA256(password, 'server' | both nonces)

Both ends prove the password over fresh nonces and neither sends it (RFC 2104). Sizes are fixed, so nothing is
allocated from a number that a stranger sent, and nothing is decoded from one. *binding* ties the proof to the
channel (a TLS certificate).
"""

from __future__ import annotations

import hashlib
import hmac

from softgrid._model.errors import HandshakeFailed

MAGIC = b"softgrid\x00\x01\x00\x00"
NONCE_SIZE = 32
PROOF_SIZE = 32
DEADLINE_S = 5.0


def _proof(password: str, side: bytes, nonces: bytes, binding: bytes) -> bytes:
    # The key is hashed first: HMAC pads short keys with zeros, so that 'a' and 'a\\0' would be one password.
    return hmac.digest(
        hashlib.sha256(password.encode()).digest(), side + nonces + hashlib.sha256(binding).digest(), "sha256"
    )


class ServerHandshake:
    """The side that listens."""

    def __init__(self, password: str, nonce: bytes, binding: bytes = b"") -> None:
        self._password = password
        self._nonce = nonce
        self._binding = binding
        self._received = b""
        self._client_nonce = b""
        self.is_done = False

    def receive(self, data: bytes) -> bytes:
        """Take what the client sent, give what to answer; raises HandshakeFailed, and then nothing is answered."""
        self._received += data
        answer = b""
        if not self._client_nonce:
            seen = self._received[: len(MAGIC)]
            if seen != MAGIC[: len(seen)]:
                raise HandshakeFailed("the peer does not speak softgrid, or another version of it")
            if len(self._received) < len(MAGIC) + NONCE_SIZE:
                return b""
            self._client_nonce = self._received[len(MAGIC) : len(MAGIC) + NONCE_SIZE]
            self._received = self._received[len(MAGIC) + NONCE_SIZE :]
            answer = self._nonce
        if len(self._received) < PROOF_SIZE:
            return answer
        if len(self._received) > PROOF_SIZE:
            raise HandshakeFailed("the peer sent more than a handshake")
        nonces = self._client_nonce + self._nonce
        if not hmac.compare_digest(self._received, _proof(self._password, b"client", nonces, self._binding)):
            raise HandshakeFailed("wrong password")
        self.is_done = True
        return answer + _proof(self._password, b"server", nonces, self._binding)


class ClientHandshake:
    """The side that connects."""

    def __init__(self, password: str, nonce: bytes, binding: bytes = b"") -> None:
        self._password = password
        self._nonce = nonce
        self._binding = binding
        self._received = b""
        self._server_nonce = b""
        self.is_done = False

    def begin(self) -> bytes:
        """Give what to send first."""
        return MAGIC + self._nonce

    def receive(self, data: bytes) -> bytes:
        """Take what the server sent, give what to answer; raises HandshakeFailed."""
        self._received += data
        if not self._server_nonce:
            if len(self._received) < NONCE_SIZE:
                return b""
            self._server_nonce = self._received[:NONCE_SIZE]
            self._received = self._received[NONCE_SIZE:]
            return _proof(self._password, b"client", self._nonce + self._server_nonce, self._binding)
        if len(self._received) < PROOF_SIZE:
            return b""
        expected = _proof(self._password, b"server", self._nonce + self._server_nonce, self._binding)
        if not hmac.compare_digest(self._received[:PROOF_SIZE], expected):
            raise HandshakeFailed("the server does not know the password")
        self.is_done = True
        return b""

    @property
    def is_heard(self) -> bool:
        """Whether the server has begun to speak."""
        return bool(self._server_nonce)

    def ended(self) -> HandshakeFailed:
        """Say what it means that the server closed the connection now."""
        if self._server_nonce:
            return HandshakeFailed("wrong password")
        return HandshakeFailed("the server closed the connection: it does not speak softgrid, or not this version")
