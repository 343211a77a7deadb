"""One column of values to texts and back, many at once and one by one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument
from softgrid._store.columns import DTYPES, FAILURES, MARK, Column, MalformedTable, checked_dtype

ANY_TEXT = st.text(st.characters(codec=None)) | st.text(alphabet="\x02\r\0\\n\"'a,\ud800\udc00")
VALUES: dict[type, st.SearchStrategy[Any]] = {
    str: ANY_TEXT,
    int: st.integers(),
    float: st.floats(),
    list: st.lists(st.integers() | ANY_TEXT, max_size=3),
    tuple: st.lists(st.integers() | ANY_TEXT, max_size=3).map(tuple),
    dict: st.dictionaries(ANY_TEXT, st.integers() | st.none(), max_size=3),
}


def texts_of(column: Column, values: list[Any]) -> list[str]:
    """What a csv writer makes of the encoded values."""
    return ["" if value is None else str(value) for value in column.encode(values)]


def column(dtype: type, null: object = None) -> Column:
    return Column("c", dtype, null)


@pytest.mark.parametrize("dtype", DTYPES)
@PROPERTY
@given(data=st.data())
def test_what_goes_in_comes_out_nulls_and_all(dtype: type, data: st.DataObject) -> None:
    null = data.draw(st.sampled_from([None, "NA", "", -1, float("nan"), 0.0, (), []]))
    nulls = st.just(null)
    values = data.draw(st.lists(VALUES[dtype] | nulls, max_size=6))
    texts = texts_of(column(dtype, null), values)
    assert not set("".join(texts)) & set("\r\0")
    found = column(dtype, null).decode(texts)
    assert list(map(repr, found)) == list(map(repr, values))


@pytest.mark.parametrize("dtype", DTYPES)
@PROPERTY
@given(data=st.data())
def test_many_at_once_are_written_as_one_by_one(dtype: type, data: st.DataObject) -> None:
    values = data.draw(st.lists(VALUES[dtype] | st.none(), max_size=6))
    assert texts_of(column(dtype), values) == [column(dtype).encode_one(value) for value in values]


def test_a_null_is_empty_and_an_empty_string_is_not() -> None:
    assert texts_of(column(str), [None, "", "x"]) == ["", MARK, "x"]
    assert texts_of(column(str, "NA"), ["NA", "", "x"]) == ["", MARK, "x"]
    assert texts_of(column(str, ""), ["", "x"]) == ["", "x"]
    assert texts_of(column(int, -1), [-1, 1]) == ["", "1"]


def test_a_null_is_of_the_same_type() -> None:
    assert texts_of(column(float, 0), [0.0, 1.0]) == ["0.0", "1.0"]
    assert texts_of(column(int, True), [1, True]) == ["1", ""]


def test_ordinary_text_is_written_as_it_is() -> None:
    assert texts_of(column(str), ["plain", "a,b", 'q"q', "two\nlines", "\\x", "ü"]) == [
        "plain",
        "a,b",
        'q"q',
        "two\nlines",
        "\\x",
        "ü",
    ]


def test_numbers_of_other_kinds_are_taken_when_nothing_is_lost() -> None:
    assert texts_of(column(int), [True, np.int64(3), np.uint8(4)]) == ["1", "3", "4"]
    assert texts_of(column(float), [1, np.float32(0.5), np.float64(0.1), Decimal("2.5")]) == [
        "1.0",
        "0.5",
        "0.1",
        "2.5",
    ]
    assert texts_of(column(str), [np.str_("a")]) == ["a"]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (str, 5),
        (str, b"a"),
        (int, 1.0),
        (int, "1"),
        (float, "1.0"),
        (float, 2**53 + 1),
        (float, Decimal("0.1")),
        (float, 1j),
        (float, 10**400),
        (list, (1,)),
        (list, "[1]"),
        (tuple, [1]),
        (dict, [("a", 1)]),
        (list, [object()]),
    ],
)
def test_values_of_the_wrong_type_are_refused(dtype: type, value: object) -> None:
    with pytest.raises(FAILURES):
        column(dtype).encode([value])
    with pytest.raises(FAILURES):
        column(dtype).encode_one(value)


def test_none_is_refused_where_something_else_is_the_null() -> None:
    for dtype in DTYPES:
        with pytest.raises(TypeError, match="got None, accepted is"):
            column(dtype, "NA").encode([None])


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (int, "1.5"),
        (int, "x"),
        (float, "x"),
        (list, "(1,)"),
        (list, "{}"),
        (tuple, "1"),
        (dict, "[]"),
        (dict, "nonsense"),
        (str, MARK + "\\x"),
        (str, MARK + "ü"),
    ],
)
def test_texts_of_the_wrong_type_are_refused(dtype: type, text: str) -> None:
    with pytest.raises(FAILURES):
        column(dtype).decode([text])


def test_foreign_spellings_are_read() -> None:
    assert list(column(int).decode([" 7", "+7"])) == [7, 7]
    assert list(column(float).decode(["7", "1e3", "-inf"])) == [7.0, 1000.0, float("-inf")]
    assert list(column(tuple).decode(["[1]", "(1,)"])) == [(1,), (1,)]


@pytest.mark.parametrize("dtype", [bytes, bool, "int", None, set])
def test_other_types_are_no_column_types(dtype: object) -> None:
    with pytest.raises(BadArgument, match=r"dtypes: got .* one of str, int, float, list"):
        checked_dtype(dtype)


def test_the_error_tells_where() -> None:
    error = MalformedTable("got 'x'", row=3, column="price")
    assert str(error) == "row 3, column 'price': got 'x'"
    assert str(error.at("/t")) == "table '/t', row 3, column 'price': got 'x'"
    assert (error.at("/t").row, error.at("/t").column) == (3, "price")
    assert str(MalformedTable("empty").at("/t")) == "table '/t': empty"
