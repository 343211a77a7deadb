"""Visitors at a real door who say anything: before TLS, instead of it, within it, and in place of a proof."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
from time import monotonic, sleep
from typing import Any

from softgrid import Router
from softgrid._node.knock import knock
from softgrid._wire.handshake import MAGIC, NONCE_SIZE, PROOF_SIZE

PASSWORD = "correct horse battery staple of the visits"
IN_PRIVATE_EVERY = 10
"""Speaking TLS costs a hundred times what garbage does, on both sides."""
LISTENS_S = 0.02
"""Whoever has not said enough yet is not waited for any longer."""


def visit_with_garbage(seed: int, count: int) -> int:
    """Have a door visited so often; afterwards nobody may be at it, nothing may be wrong, and a guest must get in."""
    chance = random.Random(seed)
    said: list[str] = []
    host = Router(password=PASSWORD, logKwargs={"logToStdout": False}, killAtDisconnect=False)
    node = host._node
    record: Any = node.logs.record
    node.logs.record = lambda log_type, text, **more: (  # type: ignore[method-assign]
        said.append(text) if "softgrid itself failed" in text else None,
        record(log_type, text, **more),
    )
    node.reactor.start_background()
    try:
        for number in range(count):
            with contextlib.suppress(OSError):
                _visit(host.port, chance, is_private=number % IN_PRIVATE_EVERY == 0)
        knock("127.0.0.1", host.port, PASSWORD, monotonic() + 20).close()
        door = node._doorway
        assert door is not None
        deadline = monotonic() + 10
        while door.waiting or node.membership.joining():
            assert monotonic() < deadline, f"{door.waiting} are still at the door"
            sleep(0.01)
    finally:
        host.disconnect(kill=False)
    assert said == [], said[:3]
    return count


def _visit(port: int, chance: random.Random, *, is_private: bool) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        if not is_private:
            plain.sendall(_garbage(chance))
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as private:
            private.settimeout(LISTENS_S)
            private.sendall(_words(chance))
            with contextlib.suppress(OSError):
                private.recv(4096)


def _garbage(chance: random.Random) -> bytes:
    """Sometimes what begins as TLS does."""
    begin = chance.choice((b"", b"\x16", b"\x16\x03\x01", b"\x16\x03\x01" + chance.randbytes(2) + b"\x01"))
    return begin + chance.randbytes(chance.randrange(400))


def _words(chance: random.Random) -> bytes:
    """A handshake of ours with something wrong in it."""
    words = bytearray(MAGIC + chance.randbytes(NONCE_SIZE) + chance.randbytes(chance.choice((0, 5, PROOF_SIZE, 99))))
    if chance.random() < 0.5:
        words[chance.randrange(len(words))] = chance.randrange(256)
    return bytes(words[: chance.randrange(1, len(words) + 1)])
