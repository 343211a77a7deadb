"""How a link is taken up again over a new connection: who it was, the proof of it, and how far each end had come.

All of it passes inside a connection whose ends have proved the password to each other.

    client  hello   what u8 | link 16 | nonce 32 | received u64 | proof 32    NEW: zeros from the link on
    server  answer  what u8 | link 16 | secret 32 | received u64 | begins u64
                    NEW: the link's name and secret; RESUMED: the proof in place of the secret; GONE: zeros

The secret of a link passes once, when it begins. The client proves it over the certificate that this very server has
shown, the server over the client's nonce. Each side says how many bytes it has received; the client goes on from what
the server has received, the server from *begins*. Then segments follow (``_wire.segments``).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple

from softgrid._model.errors import HandshakeFailed

NEW, RESUME, GONE = 1, 2, 3
NAME_SIZE, SECRET_SIZE = 16, 32
_HELLO = struct.Struct(">B16s32sQ32s")
_ANSWER = struct.Struct(">B16s32sQQ")
HELLO_SIZE, ANSWER_SIZE = _HELLO.size, _ANSWER.size
_NOTHING = bytes(32)


class Hello(NamedTuple):
    """What the client says first."""

    what: int
    link: bytes = bytes(NAME_SIZE)
    nonce: bytes = _NOTHING
    received: int = 0
    proof: bytes = _NOTHING

    def pack(self) -> bytes:
        """Give it as bytes."""
        return _HELLO.pack(*self)

    def check(self, secret: bytes, certificate: bytes) -> None:
        """Raise HandshakeFailed unless it was said by the other end of that link, to this server."""
        expected = _client_proof(secret, self.link, self.nonce, self.received, certificate)
        if not hmac.compare_digest(expected, self.proof):
            raise HandshakeFailed("it wants to resume a link and does not know its secret")


class Answer(NamedTuple):
    """What the server says to that."""

    what: int
    link: bytes = bytes(NAME_SIZE)
    secret: bytes = _NOTHING
    received: int = 0
    begins: int = 0

    def pack(self) -> bytes:
        """Give it as bytes."""
        return _ANSWER.pack(*self)

    def check(self, secret: bytes, hello: Hello) -> None:
        """Raise HandshakeFailed unless it comes from the other end of the link that *hello* was about."""
        expected = _server_proof(secret, hello, self.received, self.begins)
        if self.what != RESUME or self.link != hello.link or not hmac.compare_digest(expected, self.secret):
            raise HandshakeFailed("the server does not know the link that is to be resumed")


def read_hello(said: bytes) -> Hello:
    """Read what a client said; raises HandshakeFailed."""
    hello = Hello(*_HELLO.unpack(said))
    if hello.what not in (NEW, RESUME):
        raise HandshakeFailed("it says neither that it is new nor that it comes back")
    return hello


def read_answer(said: bytes) -> Answer:
    """Read what a server said; raises HandshakeFailed."""
    answer = Answer(*_ANSWER.unpack(said))
    if answer.what not in (NEW, RESUME, GONE):
        raise HandshakeFailed("the server says what no softgrid says")
    return answer


def make_hello(link: bytes, secret: bytes, nonce: bytes, received: int, certificate: bytes) -> Hello:
    """Make what is said to resume a link."""
    return Hello(RESUME, link, nonce, received, _client_proof(secret, link, nonce, received, certificate))


def make_answer(hello: Hello, secret: bytes, received: int, begins: int) -> Answer:
    """Make what is answered to one who may resume."""
    return Answer(RESUME, hello.link, _server_proof(secret, hello, received, begins), received, begins)


def _client_proof(secret: bytes, link: bytes, nonce: bytes, received: int, certificate: bytes) -> bytes:
    said = b"client" + link + nonce + received.to_bytes(8, "big") + hashlib.sha256(certificate).digest()
    return hmac.digest(secret, said, "sha256")


def _server_proof(secret: bytes, hello: Hello, received: int, begins: int) -> bytes:
    counts = received.to_bytes(8, "big") + begins.to_bytes(8, "big")
    return hmac.digest(secret, b"server" + hello.link + hello.nonce + counts, "sha256")
