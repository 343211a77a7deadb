"""Tokens: one for each password, always the same, and nothing of the password in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument
from softgrid._model.tokens import TOKEN_SIZE, token_of


@PROPERTY
@given(st.text(min_size=1), st.text(min_size=1))
def test_two_passwords_have_the_same_token_only_when_they_are_the_same(one: str, other: str) -> None:
    assert (token_of(one) == token_of(other)) == (one == other)
    assert len(token_of(one)) == TOKEN_SIZE


def test_a_password_may_be_any_text() -> None:
    assert len({token_of(text) for text in ("\ud800", "\x00", " ", "ä", "p" * 1_000_000)}) == 5


def test_the_token_is_what_other_executors_have_computed_for_ever() -> None:
    assert token_of("a password").hex() == "300b7fb8c5cef5ceb102bdc46f92b72c"


@pytest.mark.parametrize(
    ("given", "shown"), [(None, "None"), ("", "''"), (5, "'int'"), (b"secret", "'bytes'"), (["secret"], "'list'")]
)
def test_what_is_no_password_is_refused_without_being_shown(given: Any, shown: str) -> None:
    with pytest.raises(BadArgument) as caught:
        token_of(given)
    assert str(caught.value) == f"password: got {shown}, accepted is a string that is not empty"
