"""Lists, tuples and dictionaries as text: what goes in comes out, of the very same types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._store.literals import decode_container, encode_container, encode_containers

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=5))
KEYS = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.tuples(st.integers()))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(st.integers(), max_size=3),
    ),
    max_leaves=12,
)
CONTAINERS = st.one_of(
    st.lists(VALUES, max_size=4),
    st.dictionaries(KEYS, VALUES, max_size=4),
)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types all the way down, and a nan for a nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    return bool(one == other) or (one != one and other != other)


@PROPERTY
@given(CONTAINERS)
def test_what_goes_in_comes_out(value: object) -> None:
    text = encode_container(value)
    assert same(decode_container(text), value)
    assert not set("\r\0") & set(text)


@PROPERTY
@given(st.lists(st.lists(VALUES, max_size=4), min_size=1, max_size=4))
def test_many_at_once_give_the_same_texts_as_one_by_one(values: list[object]) -> None:
    assert encode_containers(values) == [encode_container(value) for value in values]


def test_many_tuples_are_told_apart_from_lists_inside_only() -> None:
    values = [(1, 2), (1, (2,)), ()]
    assert encode_containers(values) == ["[1, 2]", "(1, (2,))", "[]"]


def test_a_value_that_holds_the_mark_between_values_is_no_trouble() -> None:
    values = [["a", "\x02", "b"], ["c"]]
    assert list(map(decode_container, encode_containers(values))) == values


def test_what_json_keeps_is_json_and_readable() -> None:
    value = {"a": [1, 2.5, None, True, "ü\n"], "b": {"c": []}}
    text = encode_container(value)
    assert json.loads(text) == value
    assert "ü" in text


def test_surrogates_stay_apart() -> None:
    value = ["\ud83d\ude00", "\ud800"]
    assert decode_container(encode_container(value)) == value
    assert decode_container(encode_container([tuple(value)])) == [tuple(value)]


def test_complex_numbers_come_back_when_they_are_finite() -> None:
    assert decode_container(encode_container([1 - 2j, 3j])) == [1 - 2j, 3j]


def test_subclasses_come_back_as_what_they_extend() -> None:
    class Special(dict[str, int]):
        pass

    assert decode_container(encode_container(Special(a=1))) == {"a": 1}


@pytest.mark.parametrize("inside", [object(), frozenset(), 1 + float("nan") * 1j, print])
def test_what_no_text_stands_for_is_refused(inside: object) -> None:
    for value in ([inside], {"a": inside}, [({"deep": [inside]},)]):
        with pytest.raises(ValueError, match="inside"):
            encode_container(value)


def test_a_list_that_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(RecursionError):
        encode_container(value)


@pytest.mark.parametrize("text", ["", "[1", "nonsense", "[1] [2]", "__import__('os')", "[open('x')]", "{nan", "a.b"])
def test_other_texts_are_refused_and_nothing_is_run(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        decode_container(text)


@pytest.mark.parametrize("text", ["[1,2]", "[1, 2]", " [1, 2] ", "(1, 2)", "{'a': (1,)}", "[nan]"])
def test_json_and_python_text_of_others_is_read(text: str) -> None:
    assert decode_container(text)
