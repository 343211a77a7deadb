"""Letters: what goes in comes out, bytes until somebody takes it, and nothing is believed that is cut off."""

from __future__ import annotations

import pickle
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.names import a_name
from tests.harness.properties import PROPERTY

from softgrid._model.errors import Undecodable, Unserializable
from softgrid._model.names import node_id
from softgrid._wire.framing import ALIGNMENT, Attached
from softgrid._wire.requests import SMALL, VERDICT, decode_letter, decode_payload, encode_head, encode_payload

TOKEN = bytes(range(16))
NAME = a_name("worker", "A")


class Memory:
    """A payload beside its message."""

    def __init__(self, data: bytes) -> None:
        self._data = bytearray(data)
        self.size = len(data)

    def view(self) -> memoryview:
        return memoryview(self._data)


def letter(value: object, **head: Any) -> bytes:
    fields = {"token": TOKEN, "number": 7, "seconds": 60.0, "mark": 0, "name": NAME.encode(), **head}
    return encode_head(**fields) + encode_payload(value, "request").joined()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(max_size=2 * SMALL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@PROPERTY
@given(
    VALUES,
    st.integers(0, 2**64 - 1),
    st.floats(min_value=1e-9, allow_nan=False),
    st.integers(0, 2**32 - 1),
    st.text("abcäöü -", min_size=1, max_size=40),
)
def test_what_goes_in_comes_out(value: Any, number: int, seconds: float, mark: int, name: str) -> None:
    full_name = a_name("manager", name)
    body = letter(value, number=number, seconds=seconds, mark=mark, name=full_name.encode())
    *fields, packed = decode_letter(body)
    assert fields == [TOKEN, number, seconds, mark, full_name, node_id(full_name)]
    assert decode_payload(packed) == value


@pytest.mark.parametrize("size", [10, 5_000, 200_000])
def test_arrays_are_aligned_and_writable_and_are_not_copied_into_the_pickle(size: int) -> None:
    array = np.arange(size)
    payload = encode_payload({"array": array}, "request")
    if array.nbytes > SMALL:
        assert any(np.shares_memory(np.frombuffer(part, np.uint8), array) for part in payload.parts)
    head = encode_head(TOKEN, 1, 1.0, 0, NAME.encode())
    assert len(head) % ALIGNMENT == 0
    got = decode_payload(decode_letter(head + payload.joined())[-1])["array"]
    assert np.array_equal(got, array)
    got[0] = -1


def test_a_payload_beside_its_letter_is_read_from_there() -> None:
    payload = encode_payload(b"x" * 100_000, "request")
    head = encode_head(TOKEN, 1, inf, 0, NAME.encode())
    *_, packed = decode_letter(Attached(head, Memory(payload.joined())))
    assert decode_payload(packed) == b"x" * 100_000


def test_nothing_is_unpickled_before_somebody_takes_it() -> None:
    body = encode_head(TOKEN, 1, 1.0, VERDICT, NAME.encode()) + b"\x00" + b"not a pickle"
    *_, packed = decode_letter(body)
    with pytest.raises(pickle.UnpicklingError):
        decode_payload(packed)


def test_what_cannot_travel_is_named() -> None:
    with pytest.raises(Unserializable, match=r"request\['lock'\]"):
        encode_payload({"lock": __import__("threading").Lock()}, "request")


def test_a_letter_that_is_cut_off_is_no_letter() -> None:
    body = letter("value")
    whole = len(encode_head(TOKEN, 7, 60.0, 0, NAME.encode()))
    for length in range(whole + 1):
        with pytest.raises(Undecodable):
            decode_letter(body[:length])
    with pytest.raises(Undecodable):
        decode_letter(Attached(body[: whole - 1], Memory(b"x")))


@pytest.mark.parametrize(
    "head",
    [
        {"seconds": 0.0},
        {"seconds": -1.0},
        {"seconds": nan},
        {"name": b""},
        {"name": b"nobody"},
        {"name": b"\xff" + NAME.encode()},
        {"name": NAME.encode() + b" "},
    ],
)
def test_a_letter_of_nobody_or_out_of_time_is_no_letter(head: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        decode_letter(letter("value", **head))


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_letter_is_read_from_whatever_it_came_in(kind: Any) -> None:
    *_, packed = decode_letter(kind(letter([1, 2])))
    assert decode_payload(packed) == [1, 2]
