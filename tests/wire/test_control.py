"""Control messages: JSON objects with an op, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument, Undecodable
from softgrid._wire.control import decode_control, encode_control, field

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@PROPERTY
@given(st.dictionaries(st.text(), JSON, max_size=4), st.text())
def test_a_message_reads_back(fields: dict[str, Any], op: str) -> None:
    message = {**fields, "op": op}
    assert decode_control(encode_control(message)) == message


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_a_message_is_read_from_any_buffer(wrap: Any) -> None:
    assert decode_control(wrap(b'{"op":"x"}')) == {"op": "x"}


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), float("nan"), float("inf"), {(1, 2): 3}, [[object]]])
def test_what_json_cannot_carry_is_a_bad_argument(value: object) -> None:
    with pytest.raises(BadArgument, match=r"^message: got .*what JSON can carry"):
        encode_control({"op": "x", "value": value})


def test_a_message_that_holds_itself_is_a_bad_argument() -> None:
    message: dict[str, Any] = {"op": "x"}
    message["self"] = message
    with pytest.raises(BadArgument):
        encode_control(message)


def test_a_message_that_is_too_deep_to_send_is_a_bad_argument() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    try:
        with pytest.raises(BadArgument):
            encode_control({"op": "x", "value": deep})
    finally:
        while deep:  # taken apart by hand, for a deep list is also deep to free
            deep = deep.pop()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"{",
        b'{"op"}',
        b'{"op":"x"} trailing',
        b"null",
        b"7",
        b'"op"',
        b"[]",
        b'["op"]',
        b"{}",
        b'{"op":null}',
        b'{"op":7}',
        b'{"op":["x"]}',
        b'{"Op":"x"}',
        b"\xff\xfe\xfd",
        b'{"op":"\xff"}',
        b"[" * 200_000,
        b'{"op":' * 100_000,
        b'{"op":"x","n":' + b"9" * 100_000 + b"}",
    ],
    ids=lambda body: body[:16].decode(errors="replace"),
)
def test_anything_else_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match=r"^not a control message"):
        decode_control(body)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_are_none_are_undecodable(number: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_control(b'{"op":"x","n":' + number + b"}")


@PROPERTY
@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_garbage_raises_nothing_but_undecodable(body: bytes) -> None:
    try:
        message = decode_control(body)
    except Undecodable:
        return
    assert isinstance(message["op"], str)


def test_a_field_of_the_right_kind_is_given() -> None:
    message = {"op": "x", "name": "W", "cores": 3, "utc": 1.5}
    assert field(message, "name", str) == "W"
    assert field(message, "cores", int) == 3
    assert field(message, "utc", (int, float)) == 1.5


@pytest.mark.parametrize("key", ["cores", "absent", "none"])
def test_a_field_that_is_absent_or_of_another_kind_is_undecodable(key: str) -> None:
    with pytest.raises(Undecodable, match=f"^control message 'join' without a proper '{key}'$"):
        field({"op": "join", "cores": "3", "none": None}, key, int)


def test_a_boolean_is_no_number() -> None:
    with pytest.raises(Undecodable):
        field({"op": "join", "cores": True}, "cores", int)
