"""Who takes a link up again proves its secret, to this very server and for this very time."""

from __future__ import annotations

import pytest

from softgrid._model.errors import HandshakeFailed
from softgrid._wire.resumption import (
    ANSWER_SIZE,
    GONE,
    HELLO_SIZE,
    NEW,
    Answer,
    Hello,
    make_answer,
    make_hello,
    read_answer,
    read_hello,
)

LINK, SECRET, NONCE, CERTIFICATE = bytes(range(16)), bytes(range(32)), b"n" * 32, b"what the server has shown"


def a_hello() -> Hello:
    return make_hello(LINK, SECRET, NONCE, 12345, CERTIFICATE)


def test_both_sides_prove_the_secret() -> None:
    said = a_hello().pack()
    assert len(said) == HELLO_SIZE
    hello = read_hello(said)
    assert (hello.link, hello.received) == (LINK, 12345)
    hello.check(SECRET, CERTIFICATE)
    answered = make_answer(hello, SECRET, 777, 12000).pack()
    assert len(answered) == ANSWER_SIZE
    answer = read_answer(answered)
    answer.check(SECRET, hello)
    assert (answer.received, answer.begins) == (777, 12000)


@pytest.mark.parametrize(
    "changed",
    [
        {"link": bytes(16)},
        {"nonce": bytes(32)},
        {"received": 12344},
        {"proof": bytes(32)},
    ],
    ids=str,
)
def test_a_client_that_says_anything_else_than_it_has_proved_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(HandshakeFailed, match="does not know its secret"):
        a_hello()._replace(**changed).check(SECRET, CERTIFICATE)  # type: ignore[arg-type]


def test_what_was_said_to_one_server_is_worth_nothing_at_another() -> None:
    with pytest.raises(HandshakeFailed):
        a_hello().check(SECRET, b"the certificate of somebody in between")
    with pytest.raises(HandshakeFailed):
        a_hello().check(bytes(32), CERTIFICATE)


@pytest.mark.parametrize(
    "changed", [{"what": NEW}, {"link": bytes(16)}, {"received": 1}, {"begins": 1}, {"secret": bytes(32)}], ids=str
)
def test_a_server_that_says_anything_else_than_it_has_proved_is_refused(changed: dict[str, object]) -> None:
    answer = make_answer(a_hello(), SECRET, 777, 12000)._replace(**changed)  # type: ignore[arg-type]
    with pytest.raises(HandshakeFailed, match="does not know the link"):
        answer.check(SECRET, a_hello())


def test_an_old_answer_is_no_answer() -> None:
    old = make_answer(a_hello()._replace(nonce=b"o" * 32), SECRET, 777, 12000)
    with pytest.raises(HandshakeFailed):
        old.check(SECRET, a_hello())


def test_what_nobody_says_is_refused() -> None:
    with pytest.raises(HandshakeFailed, match="neither that it is new"):
        read_hello(Hello(7).pack())
    with pytest.raises(HandshakeFailed, match="what no softgrid says"):
        read_answer(Answer(9).pack())
    assert read_answer(Answer(GONE).pack()).what == GONE
    assert read_hello(Hello(NEW).pack()) == Hello(NEW)
