"""Bodies that travel compressed, where a rule asks for it: for links that are slower than the processor.

    size of the body u64 | the body as one zlib stream

It is compressed while it is sent, little by little, and never held compressed as a whole by its sender.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from softgrid._model.errors import Undecodable
from softgrid._wire.framing import COMPRESSED, HEADER, MAX_BODY, MORE, FromGuest, Parts, TooLarge

_SIZE = struct.Struct(">Q")
STEP = 1024 * 1024
"""No frame takes longer than compressing this much, since others wait for their turn meanwhile."""
LARGEST_RATIO = 1100
"""What zlib cannot reach; a body that claims more is not believed."""


def compressed_frames(
    kind: int, destination: int, source: int, message_id: int, parts: Parts, level: int
) -> Iterator[Parts]:
    """Cut a message whose body is *parts* into frames that carry it compressed."""

    def framed(body: bytes, flags: int) -> Parts:
        return [HEADER.pack(len(body), kind, flags | COMPRESSED, 0, 0, destination, source, message_id), body]

    squeeze = zlib.compressobj(level)
    views = [memoryview(part).cast("B") for part in parts]
    pending = bytearray(_SIZE.pack(sum(map(len, views))))
    for view in views:
        for start in range(0, len(view), STEP):
            pending += squeeze.compress(view[start : start + STEP]) + squeeze.flush(zlib.Z_SYNC_FLUSH)
            while pending:
                yield framed(bytes(pending[:MAX_BODY]), MORE)
                del pending[:MAX_BODY]
    pending += squeeze.flush()
    while len(pending) > MAX_BODY:
        yield framed(bytes(pending[:MAX_BODY]), MORE)
        del pending[:MAX_BODY]
    yield framed(bytes(pending), 0)


def decompressed(body: bytes | bytearray, max_bytes: int | None = None) -> bytearray:
    """Give a body that came compressed; raises Undecodable for one that is not what it says, and TooLarge."""
    if len(body) < _SIZE.size:
        raise Undecodable("a compressed message that is cut off")
    (size,) = _SIZE.unpack_from(body)
    if size > LARGEST_RATIO * len(body):
        raise Undecodable(f"{len(body)} compressed bytes that claim to be {size}")
    if max_bytes is not None and size > max_bytes:
        raise TooLarge(max_bytes)
    expand = zlib.decompressobj()
    kind = FromGuest if type(body) is FromGuest else bytearray
    try:
        whole = kind(expand.decompress(memoryview(body)[_SIZE.size :], size + 1))
    except zlib.error as error:
        raise Undecodable(f"a compressed message that cannot be read: {error}") from None
    if len(whole) != size or not expand.eof:
        raise Undecodable("a compressed message that is not as long as it says")
    return whole
