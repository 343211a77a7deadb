"""Frames: a fixed header of 32 bytes and a body, cut out of a stream of bytes.

    length u32 | kind u8 | flags u8 | hops u8 | descriptors u8 | destination u64 | source u64 | message id u64 | body

A relay reads the header and passes the frame on. A message larger than a frame travels in several frames of the
same (kind, source, id), all but the last flagged MORE; frames of other messages may stand between them, which is how a
small call overtakes a gigabyte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from softgrid._model.errors import Undecodable

HEADER = struct.Struct(">IBBBBQQQ")
HEADER_SIZE = HEADER.size
FLAGS_OFFSET, HOPS_OFFSET = 5, 6
MAX_BODY = 256 * 1024
MAX_HOPS = 64
MAX_PARTIAL = 64 * 1024
"""So many messages of several frames may be on their way to one executor over one link."""

MORE, ATTACHED, COMPRESSED, FROM_GUEST, CARRYING = 1, 2, 4, 8, 16
"""Flags: further frames of this message follow; its payload came beside the frame, by descriptor; its body is
compressed; it entered the grid over the link of an executor that joined by hand, whose upgrid sets this, and nobody
takes it off; the descriptors beside it are themselves what it is about, and nobody on the way looks into them."""

ALIGNMENT = 16
"""Payloads begin at a multiple of this in their message, so that arrays in them are aligned."""

_ATTACHED_SIZE = struct.Struct(">Q")


class Kind(IntEnum):
    """What a frame is for."""

    CALL = 1
    RESULT = 2
    REFUSED = 3
    CONTROL = 4
    LOG = 5
    REQUEST = 6
    RESPONSE = 7


LAST_KIND = max(Kind)
REQUEST, RESPONSE = int(Kind.REQUEST), int(Kind.RESPONSE)  # a plain number is packed in half the time
AWAITED = frozenset({REQUEST, RESPONSE})
"""Kinds by which two executors come to depend on each other; only the caller depends on whom it calls."""


class Header(NamedTuple):
    """The 32 bytes in front of a body."""

    length: int
    kind: int
    flags: int
    hops: int
    descriptors: int
    destination: int
    source: int
    message_id: int


Parts = list["bytes | bytearray | memoryview"]


class Payload(Protocol):
    """A payload that came beside its message and is looked into only when it is needed."""

    size: int

    def view(self) -> memoryview: ...


class Attached(NamedTuple):
    """A received message whose payload came beside it."""

    head: bytes
    payload: Payload


class Carried(NamedTuple):
    """A received message that is about the descriptors beside it."""

    head: bytes
    descriptors: Any


class FromGuest(bytearray):
    """A received message that entered the grid at an executor which joined by hand: not all in it is believed."""


Body = bytes | bytearray | Attached
"""A received message."""


class Outbound:
    """A message to be sent: a short head, and a payload of any size that stays where it is until it is sent."""

    __slots__ = ("flags", "head", "parts", "payload", "shared", "size")

    def __init__(
        self, head: bytes, parts: Parts | None = None, payload: Payload | None = None, *, flags: int = 0
    ) -> None:
        self.flags = flags
        self.head = head
        self.parts: Parts = parts or []
        self.payload = payload
        self.size = payload.size if payload is not None else sum(map(len, parts)) if parts else 0
        self.shared: Any = None

    def all_parts(self) -> Parts:
        """Give the whole message in pieces."""
        if self.payload is not None and not self.parts:
            self.parts = [self.payload.view()]
        return [self.head, *self.parts]

    def joined(self) -> bytes:
        """Give the whole message as one string of bytes."""
        return b"".join(self.all_parts()) if self.size else self.head


def pack_attached(head: bytes, size: int) -> bytes:
    """Make the body of a frame whose payload of *size* bytes goes beside it."""
    return _ATTACHED_SIZE.pack(size) + head


def unpack_attached(body: bytes) -> tuple[int, bytes]:
    """Read the size of the payload and the head; raises Undecodable."""
    if len(body) < _ATTACHED_SIZE.size:
        raise Undecodable("a message with an attachment of no size")
    return _ATTACHED_SIZE.unpack_from(body)[0], body[_ATTACHED_SIZE.size :]


def frame(
    kind: int,
    destination: int,
    source: int,
    message_id: int,
    body: bytes = b"",
    *,
    flags: int = 0,
    descriptors: int = 0,
    hops: int = 0,
) -> bytes:
    """Make the one frame of a message whose body fits in it."""
    return HEADER.pack(len(body), kind, flags, hops, descriptors, destination, source, message_id) + body


def frames(kind: int, destination: int, source: int, message_id: int, parts: Parts, flags: int = 0) -> Iterator[Parts]:
    """Cut a message whose body is *parts* into frames, each given as pieces to send in turn; copies nothing."""
    remaining = sum(map(len, parts))
    pieces: Parts = []
    room = MAX_BODY
    for part in parts:
        view = memoryview(part).cast("B")
        while len(view) >= room:
            pieces.append(view[:room])
            view = view[room:]
            remaining -= MAX_BODY
            more = MORE if remaining else 0
            yield [
                HEADER.pack(MAX_BODY, kind, flags | more, 0, 0, destination, source, message_id),
                *pieces,
            ]
            pieces, room = [], MAX_BODY
        if len(view):
            pieces.append(view)
            room -= len(view)
    if pieces or not any(map(len, parts)):
        yield [
            HEADER.pack(MAX_BODY - room, kind, flags, 0, 0, destination, source, message_id),
            *pieces,
        ]


def check_header(header: Header, limit: int = MAX_BODY) -> None:
    """Raise Undecodable when no honest peer sends such a header; called before anything is believed or allocated."""
    if header.length > limit:
        raise Undecodable(f"a frame of {header.length} bytes where at most {limit} are accepted")
    if not 0 < header.kind <= LAST_KIND:
        raise Undecodable(f"no frame is of kind {header.kind}")


def whole_body(body: bytes | bytearray | memoryview, flags: int) -> bytes | bytearray:
    """Give the body of a frame that is a whole message, marked if it is a guest's."""
    return FromGuest(body) if flags & FROM_GUEST else bytes(body)


class TooLarge(Exception):
    """A message is larger than what is put together here; said once of each."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it is larger than {limit} bytes (rule 'transfer_maximum_message_bytes' of its receiver)")


class Assembler:
    """Puts messages back together that came in several frames.

    A call of an executor and its answer to a call of another one may have the same number, but not the same kind.
    """

    def __init__(self, max_bytes: int | None = None) -> None:
        self._max_bytes = max_bytes
        self._partial: dict[tuple[int, int, int], bytearray | None] = {}
        """What has come of each message; None for one that is dropped, until its last frame."""

    def add(
        self, kind: int, source: int, message_id: int, flags: int, body: bytes | bytearray | memoryview
    ) -> bytes | bytearray | None:
        """Take a frame's body, which may be reused afterwards; give the whole message when it is complete.

        Raises TooLarge when it is dropped.
        """
        key = (source, message_id, kind)
        if key not in self._partial:
            if not flags & MORE:
                return whole_body(body, flags)
            if len(self._partial) >= MAX_PARTIAL:
                raise Undecodable(f"more than {MAX_PARTIAL} messages that were begun and not ended")
            self._partial[key] = FromGuest(body) if flags & FROM_GUEST else bytearray(body)
            return None
        partial = self._partial[key] if flags & MORE else self._partial.pop(key)
        if partial is None:
            return None
        if self._max_bytes is not None and len(partial) + len(body) > self._max_bytes:
            if flags & MORE:
                self._partial[key] = None
            raise TooLarge(self._max_bytes)
        partial += body
        return None if flags & MORE else partial

    def forget(self, source: int) -> None:
        """Drop what a source that is gone left unfinished."""
        for key in [key for key in self._partial if key[0] == source]:
            del self._partial[key]

    def __len__(self) -> int:
        return len(self._partial)
