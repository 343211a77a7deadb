"""Whatever is read from the wire, changed in any way: it is understood or refused by its documented error."""

from __future__ import annotations

import contextlib
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY
from tests.harness.trees import A1

from softgrid._launch.boot_there import read_greeting
from softgrid._model.errors import HandshakeFailed, Undecodable
from softgrid._wire.calls import (
    RETURN,
    Failure,
    decode_call,
    decode_result,
    encode_call,
    encode_exception,
    encode_refusal,
    encode_result,
)
from softgrid._wire.compression import compressed_frames, decompressed
from softgrid._wire.control import decode_control, encode_control, field
from softgrid._wire.framing import (
    HEADER,
    HEADER_SIZE,
    MAX_BODY,
    Assembler,
    FromGuest,
    Header,
    check_header,
    frame,
    pack_attached,
    unpack_attached,
)
from softgrid._wire.functions import FunctionName, decode_function, encode_function
from softgrid._wire.handshake import ClientHandshake, ServerHandshake
from softgrid._wire.requests import decode_letter, encode_head
from softgrid._wire.values import encode_value

NONCE, OTHER = b"n" * 32, b"o" * 32
PASSWORD = "a password"


def _compressed() -> bytes:
    pieces = [b"".join(frame) for frame in compressed_frames(1, 2, 3, 4, [bytes(50_000), os.urandom(0)], 6)]
    return b"".join(piece[HEADER_SIZE:] for piece in pieces)


def _call(function: Any) -> bytes:
    return encode_call(
        encode_function(function), (1, "two"), {"three": [3.0]}, flags=RETURN, priority=1, options={}
    ).joined()


def _shake(side: str) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if side == "server":
            return ServerHandshake(PASSWORD, OTHER).receive(data)
        client = ClientHandshake(PASSWORD, NONCE)
        client.begin()
        return client.receive(data)

    return read


def _from_guest(data: bytes) -> Any:
    """What a guest sent may name anything; what is raised for it is the reader's own business and not ours."""
    with contextlib.suppress(Exception):
        return decode_result(FromGuest(data))
    return None


def _read_header(data: bytes) -> None:
    if len(data) >= HEADER_SIZE:
        check_header(Header(*HEADER.unpack_from(data)))


def _assemble(data: bytes) -> None:
    assembler = Assembler()
    for start in range(0, len(data), 7):
        assembler.add(data[start] % 8, data[start] % 3, 1, data[start], data[start : start + 7])


CLIENT = ClientHandshake(PASSWORD, NONCE)
TALK = CLIENT.begin() + CLIENT.receive(OTHER)

DECODERS: dict[str, tuple[Callable[[bytes], Any], list[bytes], tuple[type[Exception], ...]]] = {
    "a header": (_read_header, [frame(1, 2, 3, 4, b"body")], (Undecodable,)),
    "frames of one message": (_assemble, [bytes(range(64))], (Undecodable,)),
    "an attachment": (unpack_attached, [pack_attached(b"head", 1 << 20)], (Undecodable,)),
    "a compressed body": (decompressed, [_compressed()], (Undecodable,)),
    "a control message": (
        decode_control,
        [encode_control({"op": "join", "name": A1, "cores": 2, "list": [1, None, True, {"a": 1.5}]})],
        (Undecodable,),
    ),
    "a field": (lambda data: field(decode_control(data), "name", str), [b'{"op":"x","name":"y"}'], (Undecodable,)),
    "a call": (decode_call, [_call(FunctionName("statistics"))], (Undecodable,)),
    "a function": (decode_function, [encode_function(FunctionName("statistics"))], (Undecodable,)),
    "an account of a failure": (
        decode_result,
        [encode_refusal("no").joined(), encode_exception(ValueError("no")).joined()],
        (Undecodable, Failure),
    ),
    "a guest's result": (_from_guest, [encode_result({"a": [1, b"2"]}).joined()], ()),
    "a request": (
        decode_letter,
        [encode_head(b"t" * 16, 1, 5.0, 0, A1.encode()) + b"".join(map(bytes, encode_value("?")))],
        (Undecodable,),
    ),
    "a visitor's handshake": (_shake("server"), [TALK], (HandshakeFailed,)),
    "a server's handshake": (_shake("client"), [OTHER + bytes(32)], (HandshakeFailed,)),
    "a greeting over ssh": (lambda data: read_greeting("ab" * 16, data), [b"motd\n" + b"ab" * 16 + b" shell\n"], ()),
}


@st.composite
def changes(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A way to change some bytes: cut, doubled, overwritten, with something put in, or all of it something else."""
    how = draw(st.sampled_from(("cut", "put in", "overwrite", "double", "other")))
    place = draw(st.floats(0, 1, exclude_max=True))
    other = draw(st.binary(min_size=1, max_size=24))

    def change(data: bytes) -> bytes:
        at = int(place * len(data))
        return {
            "cut": data[:at],
            "put in": data[:at] + other + data[at:],
            "overwrite": data[:at] + other + data[at + len(other) :],
            "double": data + data[at:],
            "other": other * 3,
        }[how]

    return change


@pytest.mark.parametrize("name", DECODERS)
@PROPERTY
@given(ways=st.lists(changes(), min_size=1, max_size=3), which=st.integers(0, 9))
def test_what_was_changed_on_the_way_is_refused_by_its_error(
    name: str, ways: list[Callable[[bytes], bytes]], which: int
) -> None:
    decode, valid, documented = DECODERS[name]
    data = valid[which % len(valid)]
    for change in ways:
        data = change(data)
    with contextlib.suppress(*documented):
        decode(data)


@pytest.mark.parametrize("name", DECODERS)
def test_what_was_not_changed_is_understood(name: str) -> None:
    decode, valid, _ = DECODERS[name]
    for data in valid:
        with contextlib.suppress(Failure):
            decode(data)


CLAIMS = [2**14, MAX_BODY + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_of_any_size_has_nothing_allocated(claim: int) -> None:
    bodies = [
        lambda: decompressed(claim.to_bytes(8, "big") + _compressed()[8:]),
        lambda: decompressed(claim.to_bytes(8, "big") + b"x"),
        lambda: decode_letter(encode_head(b"t" * 16, claim, 1.0, 0, b"")[:-2] + b"\xff\xff"),
        lambda: decode_result(b"\x02" + min(claim, 2**32 - 1).to_bytes(4, "big") + b"{}"),
        lambda: _read_header(HEADER.pack(min(claim, 2**32 - 1), 1, 0, 0, 0, 2, 3, 4)),
    ]
    tracemalloc.start()
    try:
        for read in bodies:
            with contextlib.suppress(Undecodable, Failure):
                read()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1 << 20, "a megabyte for a handful of bytes"
