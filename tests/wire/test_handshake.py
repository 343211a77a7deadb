"""The handshake: both prove the password or nothing happens, however the bytes are cut."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import HandshakeFailed
from softgrid._wire.handshake import (
    MAGIC,
    NONCE_SIZE,
    PROOF_SIZE,
    ClientHandshake,
    ServerHandshake,
)

KEY = hashlib.sha256(b"pw").digest()
ONE, OTHER = b"\x01" * NONCE_SIZE, b"\x02" * NONCE_SIZE


def client(password: str = "pw", nonce: bytes = ONE, binding: bytes = b"") -> ClientHandshake:
    return ClientHandshake(password, nonce, binding)


def server(password: str = "pw", nonce: bytes = OTHER, binding: bytes = b"") -> ServerHandshake:
    return ServerHandshake(password, nonce, binding)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    yield from (data[start : start + size] for start in range(0, len(data), size))


def shake(one: ClientHandshake, other: ServerHandshake, size: int = 999) -> list[bytes]:
    """Let both talk, *size* bytes at a time, until nobody has anything to say; gives what was said."""
    said = [one.begin()]
    ends = [other, one]
    while said[-1]:
        end = ends[(len(said) - 1) % 2]
        said.append(b"".join([end.receive(piece) for piece in pieces(said[-1], size)]))
    return said


@PROPERTY
@given(st.text(st.characters(codec="utf-8"), max_size=30), st.binary(max_size=40), st.integers(1, 99))
def test_those_who_know_the_password_agree_however_the_bytes_are_cut(password, binding, size) -> None:
    one, other = client(password, binding=binding), server(password, binding=binding)
    said = shake(one, other, size)
    assert one.is_done
    assert other.is_done
    assert [len(each) for each in said] == [len(MAGIC) + NONCE_SIZE, NONCE_SIZE, 32, 32, 0]


def test_the_password_never_passes_and_no_two_talks_are_alike() -> None:
    first = shake(client("secret"), server("secret"))
    second = shake(client("secret", OTHER), server("secret", ONE))
    assert b"secret" not in b"".join(first)
    assert not set(first[:-1]) & set(second[2:-1])


def test_the_proofs_are_what_the_protocol_says() -> None:
    said = shake(client("pw", binding=b"cert"), server("pw", binding=b"cert"))
    bound = ONE + OTHER + hashlib.sha256(b"cert").digest()
    assert said[2] == hmac.digest(KEY, b"client" + bound, "sha256")
    assert said[3] == hmac.digest(KEY, b"server" + bound, "sha256")


@PROPERTY
@given(st.text(st.characters(codec="utf-8"), max_size=9), st.text(st.characters(codec="utf-8"), max_size=9))
def test_the_server_lets_nobody_in_with_another_password(mine: str, theirs: str) -> None:
    one, other = client(mine), server(theirs)
    if mine == theirs:
        shake(one, other)
        return
    with pytest.raises(HandshakeFailed, match=r"^wrong password$"):
        shake(one, other)
    assert not one.is_done
    assert not other.is_done


def test_a_password_that_ends_in_zeros_is_another_password() -> None:
    with pytest.raises(HandshakeFailed, match=r"^wrong password$"):
        shake(client("a"), server("a\0"))


def test_another_channel_is_another_proof() -> None:
    with pytest.raises(HandshakeFailed, match="wrong password"):
        shake(client(binding=b"cert"), server(binding=b"somebody else's cert"))


def test_the_client_believes_no_server_that_does_not_know_the_password() -> None:
    one = client()
    one.begin()
    assert one.receive(OTHER)
    with pytest.raises(HandshakeFailed, match=r"^the server does not know the password$"):
        one.receive(b"\x00" * PROOF_SIZE)
    assert not one.is_done


def test_a_server_cannot_prove_itself_with_the_clients_own_proof() -> None:
    one = client()
    proof = one.receive(OTHER)
    with pytest.raises(HandshakeFailed):
        one.receive(proof)
    assert not one.is_done


def test_a_recorded_talk_does_not_open_the_door_again() -> None:
    said = shake(client(), server())
    fresh = server(nonce=b"\x03" * NONCE_SIZE)
    fresh.receive(said[0])
    with pytest.raises(HandshakeFailed):
        fresh.receive(said[2])
    assert not fresh.is_done


@pytest.mark.parametrize("known", range(len(MAGIC)))
def test_whoever_does_not_say_the_magic_word_is_refused_at_the_first_wrong_byte(known: int) -> None:
    other = server()
    right = MAGIC[:known]
    assert other.receive(right) == b""
    with pytest.raises(HandshakeFailed, match="does not speak softgrid"):
        other.receive(bytes([MAGIC[known] ^ 1]))
    assert not other.is_done


@PROPERTY
@given(st.binary(min_size=1, max_size=200), st.integers(1, 99))
def test_a_stranger_learns_nothing_and_does_no_harm(data: bytes, size: int) -> None:
    other, answer = server(), b""
    try:
        for piece in pieces(data, size):
            answer += other.receive(piece)
    except HandshakeFailed:
        pass
    assert answer == b""
    assert not other.is_done


@PROPERTY
@given(st.binary(min_size=1, max_size=200), st.integers(1, 99))
def test_garbage_after_the_magic_word_is_only_ever_refused(data: bytes, size: int) -> None:
    other, answer = server(), b""
    try:
        for piece in pieces(MAGIC + data, size):
            answer += other.receive(piece)
    except HandshakeFailed:
        pass
    assert answer in (b"", OTHER)
    assert not other.is_done


def test_the_server_says_nothing_until_the_magic_word_and_the_nonce_are_there() -> None:
    other = server()
    first = client().begin()
    assert b"".join([other.receive(bytes([byte])) for byte in first[:-1]]) == b""
    assert other.receive(first[-1:]) == OTHER


def test_a_client_that_says_more_than_a_handshake_is_refused() -> None:
    one, other = client(), server()
    proof = one.receive(other.receive(one.begin()))
    with pytest.raises(HandshakeFailed, match="more than a handshake"):
        other.receive(proof + b"!")
    assert not other.is_done


def test_a_client_that_says_all_at_once_gets_all_at_once() -> None:
    bound = ONE + OTHER + hashlib.sha256(b"").digest()
    other = server()
    answer = other.receive(MAGIC + ONE + hmac.digest(KEY, b"client" + bound, "sha256"))
    assert other.is_done
    assert answer == OTHER + hmac.digest(KEY, b"server" + bound, "sha256")


def test_a_server_that_closes_before_its_nonce_speaks_another_language() -> None:
    one = client()
    one.receive(b"\x00" * (NONCE_SIZE - 1))
    assert "does not speak softgrid" in str(one.ended())


def test_a_server_that_closes_after_the_proof_did_not_like_the_password() -> None:
    one = client()
    one.receive(OTHER)
    assert str(one.ended()) == "wrong password"


@PROPERTY
@given(st.binary(max_size=200), st.integers(1, 99))
def test_a_client_survives_any_server(data: bytes, size: int) -> None:
    one = client()
    try:
        for piece in pieces(data, size):
            one.receive(piece)
    except HandshakeFailed:
        pass
    assert not one.is_done
