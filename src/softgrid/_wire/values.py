"""Values to bytes and back: pickle protocol 5, large buffers out of band, functions and classes by cloudpickle.

A payload is one byte of shape and then
    PLAIN    a pickle
    BUFFERS  count u32, lengths u64…, the pickle, and each buffer at an offset that keeps arrays aligned

Buffers (numpy, pandas, bytearray, memoryview) are not copied here: the parts that come out of ``encode_value``
still are the caller's memory, and arrays that come out of ``decode_value`` stand writable in the message that
carried them.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections import ChainMap
from functools import lru_cache
from types import CodeType
from typing import Any, ClassVar

from softgrid._model.errors import Refused, Undecodable, Unserializable
from softgrid._wire.culprit import find_culprit
from softgrid._wire.framing import ALIGNMENT, FromGuest, Parts

PLAIN, BUFFERS = b"\x00", b"\x01"
IN_BAND_LIMIT = 4096
"""Buffers up to this many bytes are cheaper inside the pickle than beside it."""

FEW = 32

_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})


def is_plain(value: Any) -> bool:
    """Whether plain pickle, which is faster, says the same of *value* as the thorough one, as far as a short look
    tells: an atom, or a list or tuple of few."""
    kind = type(value)
    if kind in _ATOMS:
        return True
    if kind is not list and kind is not tuple:
        return False
    atoms = _ATOMS
    return len(value) <= FEW and all([type(each) in atoms for each in value])  # noqa: C419  (a list is faster)


def are_plain(args: tuple[Any, ...] | list[Any], kwargs: dict[str, Any]) -> bool:
    """Whether all arguments of a call are plain."""
    atoms = _ATOMS
    for value in args:
        if type(value) not in atoms and not is_plain(value):
            return False
    return not kwargs or all([is_plain(value) for value in kwargs.values()])  # noqa: C419


def encode_plain(value: object) -> bytes:
    """Give the payload of a value for which ``is_plain`` or ``are_plain`` holds."""
    return PLAIN + pickle.dumps(value, 5)


def encode_value(value: object, what: str = "value") -> Parts:
    """Give the payload of *value*, which will stand at a multiple of ALIGNMENT in its message.

    Raises Unserializable, which names the part of *what* that cannot travel.
    """
    buffers: list[memoryview] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:  # not contiguous: only a copy can travel
            return True
        if view.nbytes <= IN_BAND_LIMIT:
            return True
        buffers.append(view)
        return False

    body = _pickle(value, keep_in_band, what)
    if not buffers:
        return [PLAIN + body]
    sizes = [len(body), *(view.nbytes for view in buffers)]
    head = BUFFERS + struct.pack(f">I{len(sizes)}Q", len(buffers), *sizes)
    parts: Parts = [head, body]
    offset = len(head) + len(body)
    for view in buffers:
        padding = -offset % ALIGNMENT
        parts += [b"\x00" * padding, view]
        offset += padding + view.nbytes
    return parts


def _pickle(value: object, keep_in_band: Any, what: str) -> bytes:
    file = io.BytesIO()
    try:
        load_pickler()(file, 5, buffer_callback=keep_in_band).dump(value)
    except Exception as error:
        raise Unserializable(f"cannot serialise {find_culprit(value, what, error)}") from error
    return file.getvalue()


@lru_cache(maxsize=1)
def load_pickler() -> Any:
    """Give the class of picklers, in which byte code says of which version it is; 20 ms the first time."""
    from cloudpickle import Pickler

    reduce_code = Pickler.dispatch_table[CodeType]

    def reduce(code: CodeType) -> tuple[Any, ...]:
        return code_of, (_MINOR, *reduce_code(code)[1])

    class ValuePickler(Pickler):  # type: ignore[misc,unused-ignore]
        dispatch_table: ClassVar[Any] = ChainMap({CodeType: reduce}, Pickler.dispatch_table)

    return ValuePickler


_MINOR = sys.version_info[1]


def code_of(minor: int, *parameters: Any) -> CodeType:
    """Make byte code again; raises Refused for that of another version, which would crash the interpreter."""
    if minor != _MINOR:
        raise Refused(f"a function in it is byte code of Python 3.{minor}, and this is Python 3.{_MINOR}")
    return CodeType(*parameters)


def decode_value(message: bytes | bytearray | memoryview, base: int = 0) -> Any:
    """Read the payload that starts *base* bytes into *message*; whatever its classes raise passes through.

    What an executor sent that joined by hand is read only as far as its types are allowed (``_wire.allowlist``).
    """
    loads: Any = pickle.loads
    if type(message) is FromGuest:
        from softgrid._wire.allowlist import loads
    shape = bytes(message[base : base + 1])
    if shape == PLAIN:
        return loads(memoryview(message)[base + 1 :])
    view = memoryview(message)[base:]
    if shape != BUFFERS or len(view) < 5:
        raise Undecodable(f"no payload is of shape {shape!r}")
    if view.readonly:
        view = memoryview(bytearray(view))
    (count,) = struct.unpack_from(">I", view, 1)
    if 5 + 8 * (count + 1) > len(view):
        raise Undecodable(f"a payload of {len(view)} bytes that claims {count} buffers")
    body_size, *sizes = struct.unpack_from(f">{count + 1}Q", view, 5)
    start = 5 + 8 * (count + 1)
    body = view[start : start + body_size]
    offset = start + body_size
    buffers = []
    for size in sizes:
        offset += -offset % ALIGNMENT
        buffers.append(view[offset : offset + size])
        offset += size
    if offset > len(view):
        raise Undecodable("a payload that is shorter than its buffers")
    return loads(body, buffers=buffers)
