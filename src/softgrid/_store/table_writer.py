"""Rows to a table file, many at a time, with the place of whatever cannot be written.

Called by `ddfs` with a path that `roots` has staged.  Takes lists of rows, anything that gives
rows one by one, and two-dimensional numpy arrays, of which it never holds more than a chunk.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Protocol

from softgrid._model.errors import BadArgument, shorten
from softgrid._store.columns import FAILURES, Column, MalformedTable, encode_text

ROWS_AT_ONCE = 1024
Row = Sequence[Any]


class Array2D(Protocol):
    """What is asked of a numpy array, so that numpy need not be there."""

    @property
    def ndim(self) -> int: ...
    def tolist(self) -> Any: ...
    def __getitem__(self, part: slice, /) -> Any: ...
    def __len__(self) -> int: ...


def write_table(
    path: str,
    separator: str,
    chunks: Iterator[list[Any]],
    columns_for: Callable[[int | None], list[Column]],
) -> int:
    """Write a new file and give the number of rows; `columns_for(width of the first row)`."""
    first = next(chunks, [])
    columns = columns_for(len(_row(first[0], 1)) if first else None)
    count = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        writer.writerow([encode_text(column.name) for column in columns])
        for chunk in chain([first] if first else [], chunks):
            _write_rows(writer.writerows, chunk, columns, count)
            count += len(chunk)
    return count


def checked_rows(rows: Iterable[Row] | Array2D) -> Iterator[list[Any]]:
    """*rows* in chunks; raises BadArgument at once for what are no rows."""
    if hasattr(rows, "ndim") and hasattr(rows, "tolist"):
        array: Any = rows
        if array.ndim != 2:
            raise BadArgument("data", rows, f"an array of 2 dimensions, not {array.ndim}")
        starts = range(0, len(array), ROWS_AT_ONCE)
        return (array[start : start + ROWS_AT_ONCE].tolist() for start in starts)
    if isinstance(rows, (str, bytes, dict, set)) or not isinstance(rows, Iterable):
        raise BadArgument("data", rows, "a list of rows or an array of 2 dimensions")
    remaining = iter(rows)
    return iter(lambda: list(islice(remaining, ROWS_AT_ONCE)), [])


def _write_rows(
    write: Callable[[Iterable[Sequence[object]]], object],
    chunk: list[Any],
    columns: list[Column],
    before: int,
) -> None:
    if not set(map(type, chunk)) <= {list, tuple}:
        chunk = [_row(row, before + number) for number, row in enumerate(chunk, 1)]
    try:
        by_column = zip(columns, zip(*chunk, strict=True), strict=True)
        encoded = [column.encode(values) for column, values in by_column]
        write(zip(*encoded, strict=True))
    except FAILURES as error:
        raise _bad_cell(chunk, columns, before) or MalformedTable(str(error)) from error


def _bad_cell(chunk: list[Row], columns: list[Column], before: int) -> MalformedTable | None:
    """What is wrong with the first cell of *chunk* that cannot be written."""
    for number, row in enumerate(chunk, before + 1):
        if len(row) != len(columns):
            return wrong_width(len(row), columns, number)
        for column, value in zip(columns, row, strict=True):
            try:
                column.encode_one(value)
            except FAILURES as error:
                return MalformedTable(str(error), row=number, column=column.name)
    return None


def wrong_width(found: int, columns: list[Column], row: int) -> MalformedTable:
    """The error about a row of *found* columns; names the first that is missing or too many."""
    name = columns[found].name if found < len(columns) else f"number {len(columns) + 1}"
    return MalformedTable(f"got {found} columns, accepted is {len(columns)}", row=row, column=name)


def _row(row: Any, number: int) -> Row:
    if getattr(row, "ndim", None) == 1:
        row = row.tolist()
    if isinstance(row, (str, bytes)) or not isinstance(row, Sequence):
        raise MalformedTable(f"got {shorten(row)}, accepted is a list of columns", row=number)
    return row
