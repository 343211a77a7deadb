"""A file cut into rows: the quick way and the careful way agree, and damage is found in its place."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._store import table_reader
from softgrid._store.columns import Column, MalformedTable
from softgrid._store.table_reader import TableReader


def read(raw: bytes, *dtypes: type, separator: str = ",") -> list[list[Any]]:
    reader = TableReader(io.BytesIO(raw), separator)
    columns = [Column(name, dtype) for name, dtype in zip(reader.header, dtypes, strict=True)]
    return [row for chunk in reader.chunks(columns) for row in chunk]


def test_the_first_line_is_the_header() -> None:
    reader = TableReader(io.BytesIO(b'a,"b,\nc",\x02\n1,2,3\n'), ",")
    assert reader.header == ["a", "b,\nc", ""]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_both_line_ends_are_read(end: bytes) -> None:
    assert read(end.join([b"a,b", b"1,x", b"2,y", b""]), int, str) == [[1, "x"], [2, "y"]]


def test_quotes_fields_and_line_ends_inside_are_read() -> None:
    raw = b'a,b\n1,"x,y"\n2,"x\ny"\n3,"say ""x"""\n4,it"s\n5,plain\n'
    assert read(raw, int, str) == [
        [1, "x,y"],
        [2, "x\ny"],
        [3, 'say "x"'],
        [4, 'it"s'],
        [5, "plain"],
    ]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
@PROPERTY
@given(
    rows=st.lists(st.lists(st.text(alphabet='ab,"\n', min_size=1), min_size=2, max_size=2)),
)
def test_where_blocks_end_does_not_matter(block: int, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["a", "b"], *rows])
    usual, table_reader.BLOCK = table_reader.BLOCK, block
    try:
        assert read(text.getvalue().encode(), str, str) == rows
    finally:
        table_reader.BLOCK = usual


@PROPERTY
@given(
    rows=st.lists(st.lists(st.sampled_from(["1", "", "22"]), min_size=1, max_size=4), min_size=1),
    width=st.integers(1, 3),
)
def test_the_quick_way_finds_every_row_of_the_wrong_width(rows: list[list[str]], width: int) -> None:
    raw = "".join(",".join(row) + "\n" for row in rows)
    texts = TableReader(io.BytesIO(b"a\n"), ",")._split_plain(raw, width)
    if all(len(row) == width for row in rows):
        assert [list(row) for row in zip(*texts, strict=True)] == rows
    else:
        assert texts == []


def test_a_field_may_be_larger_than_csv_usually_allows() -> None:
    large = "x" * 200_000
    limit = csv.field_size_limit()
    assert read(f'a,b\n1,"{large}\n"\n'.encode(), int, str) == [[1, large + "\n"]]
    assert csv.field_size_limit() == limit


def test_a_blank_line_is_a_null_in_a_table_of_one_column() -> None:
    assert read(b"a\n\n1\n", int) == [[None], [1]]
    assert read(b'a\n\n"1"\n', int) == [[None], [1]]


@pytest.mark.parametrize("quote", [b"", b'"'])
@pytest.mark.parametrize(
    ("line", "place"),
    [
        (b"2", r"row 2, column 'b': got 1 columns, accepted is 2"),
        (b"2,y,z", r"row 2, column 'number 3': got 3 columns, accepted is 2"),
        (b"", r"row 2, column 'a': got 0 columns"),
        (b"x,y", r"row 2, column 'a': got 'x', accepted is an integer"),
        (b"2,\xff", r"row 2, column 'b': got b'\\xff', which is no UTF-8: invalid start byte"),
        (b"\xc3,y", r"row 2, column 'a': got b'\\xc3', which is no UTF-8"),
        (b"2,\x02\\", r"row 2, column 'b': .*"),
    ],
)
def test_a_bad_row_is_told_with_its_place(quote: bytes, line: bytes, place: str) -> None:
    raw = b"a,b\n1," + quote + b"x" + quote + b"\n" + line + b"\n3,z\n"
    with pytest.raises(MalformedTable, match=f"^{place}"):
        read(raw, int, str)


@pytest.mark.parametrize("block", [1, 1 << 18])
def test_rows_before_a_bad_one_are_counted_through_all_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "BLOCK", block)
    lines = b"".join(b"%d,x\n" % number for number in range(1, 8))
    with pytest.raises(MalformedTable, match=r"^row 8, column 'a': got 'bad'"):
        read(b"a,b\n" + lines + b"bad,x\n", int, str)
    with pytest.raises(MalformedTable, match=r"^row 8, column 'b': got b'\\xff"):
        read(b"a,b\n" + lines + b'8,"\xff"\n', int, str)


@pytest.mark.parametrize(
    ("cut", "place"),
    [
        (b"1,x\n2,y", r"row 2, column 'b': the file ends within this row"),
        (b"1,x\n2", r"row 2, column 'a': the file ends within"),
        (b"1,x\n2,", r"row 2, column 'b': the file ends within"),
        (b'1,x\n2,"y', r"row 2, column 'b': the file ends within"),
        (b'1,x\n2,"y\n', r"row 2, column 'number 2': not a row of csv text: unexpected end"),
        (b'1,x\n2,"y\nand', r"row 2, column 'number 2': not a row of csv text: unexpected end"),
        (b'1,x\n2,"y"z\n', r"row 2, column 'number 2': not a row of csv text: "),
    ],
)
def test_a_truncated_file_is_told_with_its_place(cut: bytes, place: str) -> None:
    with pytest.raises(MalformedTable, match=f"^{place}"):
        read(b"a,b\n" + cut, int, str)


def test_rows_before_a_cut_are_given_first() -> None:
    reader = TableReader(io.BytesIO(b"a\n1\n2\n3"), ",")
    chunks = reader.chunks([Column("a", int)])
    assert next(chunks) == [[1], [2]]
    with pytest.raises(MalformedTable, match="row 3, column 'a'"):
        next(chunks)


@pytest.mark.parametrize("raw", [b"", b"a,b", b"\n", b"a,\xff\n", b'a,"b', b'a,"b"c\n', b"\x02\\x\n"])
def test_a_file_without_a_header_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedTable, match="first line"):
        TableReader(io.BytesIO(raw), ",")
