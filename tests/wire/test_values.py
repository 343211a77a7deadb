"""Values: they come back equal, large buffers without a copy, and what cannot travel is named."""

from __future__ import annotations

import pickle
import struct
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import SoftgridError, Undecodable, Unserializable
from softgrid._wire.framing import ALIGNMENT
from softgrid._wire.values import (
    FEW,
    IN_BAND_LIMIT,
    are_plain,
    decode_value,
    encode_plain,
    encode_value,
    is_plain,
)

ATOMS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.complex_numbers(allow_nan=False)
    | st.text() | st.binary()
)  # fmt: skip
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
LARGE = st.integers(IN_BAND_LIMIT + 1, IN_BAND_LIMIT + 99)


def message_of(value: object, base: int = 0) -> bytes:
    return b"#" * base + b"".join(encode_value(value))


@PROPERTY
@given(VALUES, st.integers(0, 40))
def test_a_value_comes_back(value: Any, base: int) -> None:
    back = decode_value(message_of(value, base), base)
    assert back == value
    assert type(back) is type(value)


@PROPERTY
@given(ATOMS | st.lists(ATOMS, max_size=FEW) | st.lists(ATOMS, max_size=FEW).map(tuple))
def test_what_is_plain_is_read_by_the_same_reader(value: Any) -> None:
    assert is_plain(value)
    back = decode_value(encode_plain(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    "value", [{}, set(), bytearray(), object(), int, np.int64(1), [[]], (int,), [len], [0] * (FEW + 1)]
)
def test_nothing_else_is_plain(value: object) -> None:
    assert not is_plain(value)


def test_subclasses_are_not_plain() -> None:
    class Text(str):
        pass

    class Texts(list):  # type: ignore[type-arg]
        pass

    assert not is_plain(Text("x"))
    assert not is_plain([Text("x")])
    assert not is_plain(Texts("x"))


def test_what_holds_itself_is_not_plain() -> None:
    value: list[Any] = []
    value.append(value)
    assert not is_plain(value)


@pytest.mark.parametrize(
    ("args", "kwargs", "plain"),
    [
        ((), {}, True),
        ((1, "a", None), {"b": b"c"}, True),
        ((1, [2]), {}, True),
        ((1, [[2]]), {}, False),
        ((1, len), {}, False),
        ((), {"a": 1, "b": {}}, False),
        ([1, 2], {}, True),
    ],
)
def test_arguments_are_plain_when_all_of_them_are(args: Any, kwargs: Any, plain: bool) -> None:
    assert are_plain(args, kwargs) is plain


@PROPERTY
@given(st.lists(LARGE, min_size=1, max_size=4), st.integers(0, 3).map(ALIGNMENT.__mul__))
def test_large_buffers_come_back_writable_and_aligned(sizes: list[int], base: int) -> None:
    value = [np.arange(size, dtype=np.uint8) for size in sizes]
    message = bytearray(message_of(value, base))
    start = np.frombuffer(message, dtype=np.uint8).ctypes.data
    back = decode_value(message, base)
    for sent, got in zip(value, back, strict=True):
        assert (sent == got).all()
        assert (got.ctypes.data - start) % ALIGNMENT == 0
        got[0] = 1


def test_a_large_array_stands_in_the_message_that_carried_it() -> None:
    message = bytearray(message_of(np.zeros(IN_BAND_LIMIT + 1, dtype=np.uint8)))
    back = decode_value(message)
    back[:] = 7
    assert message.endswith(b"\x07" * (IN_BAND_LIMIT + 1))


def test_an_array_from_a_message_that_is_read_only_is_writable_and_leaves_the_message_alone() -> None:
    message = message_of(np.zeros(IN_BAND_LIMIT + 1, dtype=np.uint8), 3)
    before = bytes(bytearray(message))
    decode_value(message, 3)[:] = 7
    assert message == before


def test_large_buffers_are_not_copied_when_sent() -> None:
    value = np.zeros(IN_BAND_LIMIT + 1, dtype=np.uint8)
    parts = encode_value(value)
    value[-1] = 9
    assert parts[-1][-1] == 9


@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_decides_between_inside_and_beside(extra: int) -> None:
    parts = encode_value(np.zeros(IN_BAND_LIMIT + extra, dtype=np.uint8))
    assert (len(parts) > 1) is bool(extra)


def test_an_array_that_is_not_contiguous_travels_as_a_copy() -> None:
    value = np.arange(40_000).reshape(200, 200)[::2, ::3]
    back = decode_value(message_of(value))
    assert (back == value).all()


def test_a_buffer_with_gaps_that_gives_no_copy_of_itself_is_unserializable() -> None:
    class Gaps:
        def __reduce_ex__(self, protocol: Any) -> Any:
            return bytes, (pickle.PickleBuffer(memoryview(bytes(20_000))[::2]),)

    with pytest.raises(Unserializable):
        encode_value(Gaps())


@pytest.mark.parametrize(
    "value",
    [bytearray(b"x" * 9999), np.ones((3, 2000), order="F"), np.zeros((0, 5)), np.float64(1.5)],
    ids=lambda value: type(value).__name__,
)
def test_buffers_of_other_kinds_come_back(value: Any) -> None:
    back = decode_value(message_of([value, value]))
    assert np.array_equal(back[0], value)
    assert type(back[0]) is type(value)


def test_one_array_sent_twice_in_a_value_is_one_array_there_too() -> None:
    value = np.zeros(IN_BAND_LIMIT * 2, dtype=np.uint8)
    back = decode_value(message_of([value, value]))
    back[0][0] = 5
    assert back[1][0] == 5


def test_functions_and_classes_of_nobodys_module_travel() -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    twice = decode_value(message_of(lambda point: Point(point.x * 2)))
    assert twice(Point(4)).x == 8


@pytest.mark.parametrize(
    "make",
    [
        lambda: threading.Lock(),
        lambda: {"a": [1, threading.Lock()]},
        lambda: (value for value in ()),
    ],
)
def test_what_cannot_travel_is_named(make: Any) -> None:
    with pytest.raises(Unserializable, match=r"^cannot serialise value") as caught:
        encode_value(make())
    assert caught.value.__cause__ is not None


def test_what_cannot_travel_is_named_as_the_caller_calls_it() -> None:
    with pytest.raises(Unserializable, match=r"^cannot serialise args\[1\]\['lock'\] \(_thread.lock"):
        encode_value((1, {"lock": threading.Lock()}), what="args")


def test_a_value_that_is_too_deep_is_unserializable() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    try:
        with pytest.raises(Unserializable):
            encode_value(deep)
    finally:
        while deep:
            deep = deep.pop()


def test_what_the_classes_of_a_value_raise_when_read_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        decode_value(b"\x00" + pickle.dumps(_Explosive(), 5))


class _Explosive:
    def __reduce__(self) -> Any:
        return divmod, (1, 0)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x02",
        b"\xff" * 20,
        b"\x01",
        b"\x01\x00\x00\x00",
        b"\x01\x00\x00\x00\x01",
        b"\x01\xff\xff\xff\xff" + b"\x00" * 99,
        b"\x01\x00\x00\x00\x00" + b"\xff" * 8 + b"N.",
        b"\x01\x00\x00\x00\x01" + b"\x00" * 7 + b"\x02" + b"\xff" * 8 + b"N.",
    ],
)
def test_a_payload_that_contradicts_itself_is_undecodable(message: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_value(message)
    with pytest.raises(Undecodable):
        decode_value(b"###" + message, 3)


def test_a_payload_that_was_cut_off_is_undecodable() -> None:
    message = message_of(np.zeros(9999, dtype=np.uint8))
    for size in (4, 5, 12, 20, 100, len(message) - 1):
        with pytest.raises(Undecodable):
            decode_value(message[:size])


@PROPERTY
@given(st.integers(0, 9), st.lists(st.integers(0, 40) | st.integers(0, 2**64 - 1), max_size=9))
def test_no_table_of_buffers_raises_anything_but_softgrid_errors(count, sizes) -> None:
    table = struct.pack(f">I{len(sizes)}Q", count, *sizes)
    try:
        decode_value(b"\x01" + table + b"N." * 30)
    except (SoftgridError, pickle.UnpicklingError, EOFError):
        return  # where the table cuts a pickle in two, it is the pickle that says so
