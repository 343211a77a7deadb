"""A request or a response as a message body: a *letter*.

    token 16 bytes | number u64 | seconds left f64 | mark u32 | name size u16 | name | padding | payload

The mark of a request says how often it was handed over, that of a response what its sender wants to hear. The name is
that of the requester in a request and that of the responder in a response.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

from softgrid._model.errors import MalformedName, Undecodable
from softgrid._model.names import NodeId, node_id, parse_name
from softgrid._wire.framing import ALIGNMENT, Attached, Body, Outbound
from softgrid._wire.values import decode_value, encode_plain, encode_value, is_plain

_HEAD = struct.Struct(">16sQdIH")

SMALL = 4096
"""Payloads up to this many bytes stand in one string with the head of their message."""

Packed = tuple[Body, int]
"""A letter as it came, and where its payload begins: bytes until somebody takes the value, see ``decode_payload``."""

Letter = tuple[bytes, int, float, int, str, NodeId, Packed]
"""Token, number, seconds left, mark, name and its id, payload. A plain tuple, since one is made at every message."""

VERDICT, QUIET = 1, 2
"""Marks of a response: its sender waits to hear what becomes of it; does not want to hear that it was refused."""


def encode_payload(value: object, what: str) -> Outbound:
    """Give the payload of a letter, which the letters to many may share; raises Unserializable."""
    if is_plain(value):
        payload = encode_plain(value)
        return Outbound(payload) if len(payload) <= SMALL else Outbound(b"", [payload])
    parts = encode_value(value, what)
    return Outbound(bytes(parts[0])) if len(parts) == 1 and len(parts[0]) <= SMALL else Outbound(b"", parts)


def encode_head(token: bytes, number: int, seconds: float, mark: int, name: bytes) -> bytes:
    """Give what stands before the payload of a letter."""
    head = _HEAD.pack(token, number, seconds, mark, len(name)) + name
    return head.ljust(len(head) + -len(head) % ALIGNMENT, b"\x00")


def decode_letter(body: Body) -> Letter:
    """Read a letter up to its value; raises Undecodable."""
    message = body.head if isinstance(body, Attached) else body
    try:
        token, number, seconds, mark, name_size = _HEAD.unpack_from(message)
        stop = _HEAD.size + name_size
        name, name_id = _read_name(bytes(message[_HEAD.size : stop]))
    except (struct.error, UnicodeDecodeError, MalformedName):
        raise Undecodable("a request or a response that is cut off or of nobody") from None
    offset = stop + -stop % ALIGNMENT
    if not seconds > 0 or offset > len(message) or (message is body and offset == len(message)):
        raise Undecodable("a request or a response that is shorter than its parts or has no time left")
    return token, number, seconds, mark, name, name_id, (body, offset)


def decode_payload(packed: Packed) -> Any:
    """Read the value of a letter; whatever its classes raise passes through."""
    body, offset = packed
    return decode_value(body.payload.view()) if isinstance(body, Attached) else decode_value(body, offset)


@lru_cache(maxsize=4096)
def _read_name(encoded: bytes) -> tuple[str, NodeId]:
    name = encoded.decode()
    parse_name(name)
    return name, node_id(name)
