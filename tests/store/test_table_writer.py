"""Rows to a file: kinds of rows that are taken, and the place of those that cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softgrid._model.errors import BadArgument
from softgrid._store import table_writer
from softgrid._store.columns import Column, MalformedTable
from softgrid._store.table_writer import checked_rows, write_table


def written(path: Path, rows: Any, *dtypes: type, separator: str = ",") -> str:
    columns = [Column(f"c{number}", dtype) for number, dtype in enumerate(dtypes, 1)]
    write_table(str(path / "t"), separator, checked_rows(rows), lambda width: columns)
    return (path / "t").read_bytes().decode()


@pytest.mark.parametrize(
    "rows",
    [
        [[1, "a"], [2, "b"]],
        ((1, "a"), (2, "b")),
        iter([[1, "a"], (2, "b")]),
        (row for row in ([1, "a"], [2, "b"])),
        np.array([[1, "a"], [2, "b"]], dtype=object),
        [np.array([1, "a"], dtype=object), [2, "b"]],
    ],
)
def test_rows_come_as_lists_arrays_or_one_by_one(tmp_path: Path, rows: Any) -> None:
    assert written(tmp_path, rows, int, str) == "c1,c2\n1,a\n2,b\n"


def test_arrays_of_numbers_are_written_exactly(tmp_path: Path) -> None:
    assert written(tmp_path, np.array([[0.1, 2.0]]), float, float) == "c1,c2\n0.1,2.0\n"


def test_quotes_are_used_where_they_are_needed_and_nowhere_else(tmp_path: Path) -> None:
    assert written(tmp_path, [["a,b", 'c"d', "e\nf", "g h"]], str, str, str, str) == (
        'c1,c2,c3,c4\n"a,b","c""d","e\nf",g h\n'
    )


def test_no_rows_leave_the_names(tmp_path: Path) -> None:
    assert written(tmp_path, [], int) == "c1\n"


def test_the_width_of_the_first_row_is_told(tmp_path: Path) -> None:
    seen: list[int | None] = []

    def columns_for(width: int | None) -> list[Column]:
        seen.append(width)
        return [Column("c", int)] * (width or 1)

    write_table(str(tmp_path / "a"), ",", checked_rows([[1, 2, 3]]), columns_for)
    write_table(str(tmp_path / "b"), ",", checked_rows([]), columns_for)
    assert seen == [3, None]


def test_rows_are_taken_a_chunk_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_writer, "ROWS_AT_ONCE", 2)
    taken: list[int] = []
    rows = ([taken.append(number) or number] for number in range(7))
    chunks = checked_rows(rows)
    assert next(chunks) == [[0], [1]]
    assert taken == [0, 1]
    assert [len(chunk) for chunk in checked_rows(np.zeros((5, 2)))] == [2, 2, 1]


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ([[1, 2], [3]], r"row 2, column 'c2': got 1 columns, accepted is 2"),
        ([[1, 2], [3, 4, 5]], r"row 2, column 'number 3': got 3 columns, accepted is 2"),
        ([[1], [2]], r"row 1, column 'c2': got 1 columns"),
        ([[1, 2], []], r"row 2, column 'c1': got 0 columns"),
        ([[1, 2], [3, "x"]], r"row 2, column 'c2': got 'x', accepted is an integer"),
        ([[1, 2], [3, 10**5000]], r"row 2, column 'c2': Exceeds the limit"),
        ([[1, 2], "34"], r"row 2: got '34', accepted is a list of columns"),
        ([[1, 2], None], r"row 2: got None"),
        ([[1, 2], {3: 4}], r"row 2: got \{3: 4\}"),
        (["12"], r"row 1: got '12'"),
    ],
)
def test_what_cannot_be_written_is_told_with_its_place(tmp_path: Path, rows: Any, place: str) -> None:
    if "Exceeds" in place and not hasattr(__import__("sys"), "get_int_max_str_digits"):
        place = ""
    with pytest.raises(MalformedTable, match=f"^{place}"):
        written(tmp_path, rows, int, int)


def test_rows_are_counted_through_all_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_writer, "ROWS_AT_ONCE", 2)
    for bad in ("x", "y"):
        with pytest.raises(MalformedTable, match=rf"row 5, column 'c1': got '{bad}'"):
            written(tmp_path, [[1], [2], [3], [4], [bad], [6]], int)
        (tmp_path / "t").unlink()


@pytest.mark.parametrize("rows", [None, 5, "text", b"bytes", {"a": [1]}, {1, 2}])
def test_what_is_no_rows_is_refused(rows: Any) -> None:
    with pytest.raises(BadArgument, match="data: got"):
        checked_rows(rows)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)])
def test_arrays_have_two_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadArgument, match=r"data: got .*2 dimensions"):
        checked_rows(np.zeros(shape))
