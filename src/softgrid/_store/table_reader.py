"""A table file cut into rows of values, a block at a time, with the place of what is wrong in it.

Called by `ddfs` with an open file.  Blocks without quotes, by far the most, are cut by plain string
methods; all others by csv.  A field may be of any size, so the limit that csv has for the whole
process is lifted while a block is parsed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from softgrid._store.columns import FAILURES, Column, MalformedTable, decode_text
from softgrid._store.process_wide import paused_collection, wide_csv_fields
from softgrid._store.table_writer import wrong_width

BLOCK = 1 << 17
"""Bytes read at once. Values take about ten times the room of their text."""


class TableReader:
    """Reads the header when it is made, then rows as `chunks` is asked for them."""

    def __init__(self, file: BinaryIO, separator: str) -> None:
        self._file = file
        self._separator = separator
        self._rows = 0  # given out so far
        self._cut = b""  # what follows the last line end of the file
        self._is_damaged = False  # whether something read was no UTF-8
        self.header = self._read_header()

    def chunks(self, columns: list[Column]) -> Iterator[list[list[Any]]]:
        """The rows of the file, as many at a time as a block holds."""
        while block := self._read_block(BLOCK):
            with paused_collection.changed():
                rows = self._read_rows(block, columns)
            self._rows += len(rows)
            yield rows
        if self._cut:
            raise self._cut_short(columns)

    def _read_header(self) -> list[str]:
        block = self._read_block(0)
        if not block:
            problem = "its first line, with the column names, is missing or has no end"
            raise MalformedTable(problem)
        try:
            names = [decode_text(text) for text in self._parse(block)[0]]
        except FAILURES as error:
            raise MalformedTable(f"its first line is no list of column names: {error}") from error
        if self._is_damaged or not names:
            raise MalformedTable("its first line is no list of column names in UTF-8")
        return names

    def _read_block(self, size: int) -> str:
        """At least *size* bytes of whole lines, and no quoted field left open, or '' at the end."""
        parts = [self._read_lines(size)]
        quotes = parts[0].count('"')
        while quotes % 2:  # line by line: whole blocks could go on to end within a field
            parts.append(self._read_lines(0))
            if not parts[-1]:
                break
            quotes += parts[-1].count('"')
        return "".join(parts)

    def _read_lines(self, size: int) -> str:
        raw = self._file.read(size) + self._file.readline()
        if not raw.endswith(b"\n"):
            end = raw.rfind(b"\n") + 1
            raw, self._cut = raw[:end], self._cut + raw[end:]
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            self._is_damaged = True
            return raw.decode("utf-8", "surrogateescape")

    def _read_rows(self, block: str, columns: list[Column]) -> list[list[Any]]:
        if not ('"' in block or "\r" in block or self._is_damaged):
            texts = self._split_plain(block, len(columns))
            if texts:
                return list(map(list, zip(*self._values(texts, columns), strict=True)))
        rows = self._parse(block)
        self._check_rows(rows, columns)
        values = self._values(list(zip(*rows, strict=True)), columns)
        for row, decoded in zip(rows, zip(*values, strict=True), strict=True):
            row[:] = decoded  # new lists would have the garbage collector at work twice as much
        return rows

    def _check_rows(self, rows: list[list[Any]], columns: list[Column]) -> None:
        for number, row in enumerate(rows, self._rows + 1):
            if not row and len(columns) == 1:
                row.append("")  # a blank line, which csv takes for no columns at all
            if len(row) != len(columns):
                raise wrong_width(len(row), columns, number)
        if self._is_damaged:
            self._check_utf8(rows, columns)

    def _split_plain(self, block: str, width: int) -> list[Sequence[str]]:
        """The same without csv; nothing when the rows are not all of the same width.

        One cut for the whole block: line ends mark the texts that begin a row, and each row has
        the right width when every `width`-th text has such a mark.
        """
        count = block.count("\n")
        texts = block.replace("\n", self._separator + "\n").split(self._separator)
        texts.pop()
        first = "".join(texts[::width]).split("\n")
        if len(texts) != count * width or len(first) != count:
            return []
        return [first, *(texts[start::width] for start in range(1, width))]

    def _parse(self, block: str) -> list[list[Any]]:
        lines = [line + "\n" for line in block.split("\n")[:-1]]
        rows: list[list[Any]] = []
        start = 0
        with wide_csv_fields.changed():
            reader = csv.reader(lines, delimiter=self._separator, strict=True)
            try:
                for row in reader:
                    rows.append(row)
                    start = reader.line_num
            except csv.Error as error:
                column = _width(lines[start:], self._separator)
                raise MalformedTable(
                    f"not a row of csv text: {error}",
                    row=self._rows + len(rows) + 1,
                    column=f"number {column}",
                ) from error
        return rows

    def _check_utf8(self, rows: list[list[Any]], columns: list[Column]) -> None:
        for number, row in enumerate(rows, self._rows + 1):
            for column, text in zip(columns, row, strict=True):
                raw = text.encode("utf-8", "surrogateescape")
                try:
                    raw.decode("utf-8", "surrogatepass")
                except UnicodeDecodeError as error:
                    problem = f"got {raw[:60]!r}, which is no UTF-8: {error.reason}"
                    raise MalformedTable(problem, row=number, column=column.name) from error

    def _values(self, texts: list[Sequence[str]], columns: list[Column]) -> list[Sequence[object]]:
        try:
            return [column.decode(part) for column, part in zip(columns, texts, strict=True)]
        except FAILURES as error:
            raise self._bad_cell(texts, columns) or MalformedTable(str(error)) from error

    def _bad_cell(self, texts: list[Sequence[str]], columns: list[Column]) -> MalformedTable | None:
        for number, row in enumerate(zip(*texts, strict=True), self._rows + 1):
            for column, text in zip(columns, row, strict=True):
                try:
                    column.decode_one(text)
                except FAILURES as error:
                    return MalformedTable(str(error), row=number, column=column.name)
        return None

    def _cut_short(self, columns: list[Column]) -> MalformedTable:
        found = self._cut.decode("utf-8", "replace").count(self._separator)
        name = columns[min(found, len(columns) - 1)].name
        problem = "the file ends within this row; when nothing is missing, end it with a line end"
        return MalformedTable(problem, row=self._rows + 1, column=name)


def _width(lines: list[str], separator: str) -> int:
    """How many columns there are up to where csv gave up."""
    reader = csv.reader(lines, delimiter=separator)
    try:
        return len(next(reader, []))
    except csv.Error:
        return 0
