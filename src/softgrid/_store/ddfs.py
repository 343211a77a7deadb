"""Typed tables as delimited text files: written whole, read whole or some rows at a time.

Called by the facade of `DDFSETL`.  Decides what a table file looks like: one line of column names,
then rows, quoted as csv does it.  `columns` turns values into texts, `table_writer` and
`table_reader` rows into files and back, `roots` keeps paths inside of the folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from softgrid._model.errors import BadArgument
from softgrid._store.columns import Column, MalformedTable, checked_dtype
from softgrid._store.paths import NotRead
from softgrid._store.roots import Root
from softgrid._store.table_reader import TableReader
from softgrid._store.table_writer import Array2D, Row, checked_rows, write_table

Path = str | os.PathLike[str]


class DelimitedTables:
    """Tables of one shape below the folder *root*.

    *dtypes* is one of str, int, float, list, tuple, dict for all columns of however many there
    are, or a list that says it of each.  *null* is what an empty field stands for.  With
    *column_names* every table has just these names.
    """

    def __init__(
        self,
        root: Path,
        dtypes: type | Sequence[type],
        *,
        separator: str = "\x01",
        null: object = None,
        column_names: Sequence[str] | None = None,
    ) -> None:
        self._root = Root(root)
        self._separator = _checked_separator(separator)
        self._null = null
        self._dtypes = _checked_dtypes(dtypes)
        self._names = None if column_names is None else _checked_names("colNames", column_names)
        if self._names is not None:
            self._columns(self._names, "colNames")

    def dump(
        self,
        path: Path,
        rows: Iterable[Row] | Array2D,
        *,
        header: Sequence[str] | None = None,
        replace: bool = True,
    ) -> int:
        """Write a table and give the number of its rows; an existing one is replaced at once.

        Without *header* the columns are called as the column names say, else column_1, column_2, …
        Raises Duplicate, BadArgument, NotWritten, or MalformedTable which says where a value is
        wrong; then the file is as it was before.
        """
        names = self._header_names(header)
        chunks = checked_rows(rows)
        count = 0

        def produce(staged: str) -> None:
            nonlocal count
            count = write_table(staged, self._separator, chunks, lambda k: self._for_dump(names, k))

        try:
            self._root.write(path, produce, replace=replace)
        except MalformedTable as error:
            raise error.at(self._root.locate(path)) from error.__cause__
        return count

    def pull(self, path: Path) -> tuple[list[str], list[list[Any]]]:
        """Read a whole table: the names of its columns, and its rows.

        Raises NotRead, or MalformedTable which says where the file is wrong.
        """
        rows: list[list[Any]] = []
        with self._opened(path) as (header, chunks):
            for chunk in chunks:
                rows += chunk
        return header, rows

    def iter(self, path: Path, n: int = 1, *, header: bool = False) -> Iterator[Any]:
        """Read a table *n* rows at a time: rows where *n* is 1, else lists of at most *n* rows.

        With *header* each comes in a tuple, after the names of the columns.  What can be said
        against the path and the header is raised at once, the rest when it is reached.
        """
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise BadArgument("n", n, "a number of rows, 1 or more")
        with self._opened(path):
            pass
        return self._iterate(path, n, header)

    def __repr__(self) -> str:
        return f"DelimitedTables({self._root.path!r}, separator={self._separator!r})"

    def _iterate(self, path: Path, n: int, has_header: bool) -> Iterator[Any]:
        with self._opened(path) as (header, chunks):
            parts = chain.from_iterable(chunks) if n == 1 else _batches(chunks, n)
            for part in parts:
                yield (header, part) if has_header else part

    @contextmanager
    def _opened(self, path: Path) -> Iterator[tuple[list[str], Iterator[list[list[Any]]]]]:
        location = self._root.locate(path)
        try:
            with (
                self._root.opened(path) as descriptor,
                open(descriptor, "rb", closefd=False) as file,
            ):
                reader = TableReader(file, self._separator)
                yield reader.header, reader.chunks(self._for_file(reader.header))
        except MalformedTable as error:
            raise error.at(location) from error.__cause__
        except OSError as error:
            raise NotRead(f"table {location!r} cannot be read: {error.strerror}") from error

    def _header_names(self, header: Sequence[str] | None) -> list[str] | None:
        if header is None:
            return self._names
        names = _checked_names("header", header)
        self._columns(names, "header")
        if self._names is not None and self._names != names:
            raise BadArgument("header", header, f"the column names {self._names}, or None")
        return names

    def _for_dump(self, names: list[str] | None, width: int | None) -> list[Column]:
        """The columns to write; *width* is that of the first row, where there is one."""
        if names is None:
            width = len(self._dtypes) if isinstance(self._dtypes, list) else width
            if not width:
                raise BadArgument("header", None, "column names, as nothing says how many there are")
            names = [f"column_{number}" for number in range(1, width + 1)]
        return self._columns(names, "header")

    def _for_file(self, names: list[str]) -> list[Column]:
        if self._names is not None and self._names != names:
            raise MalformedTable(f"its first line is {names}, not the column names {self._names}")
        if isinstance(self._dtypes, list) and len(self._dtypes) != len(names):
            raise MalformedTable(f"it has {len(names)} columns, dtypes has {len(self._dtypes)}")
        return self._columns(names, "header")

    def _columns(self, names: list[str], parameter: str) -> list[Column]:
        dtypes = self._dtypes if isinstance(self._dtypes, list) else [self._dtypes] * len(names)
        if len(dtypes) != len(names):
            raise BadArgument(parameter, names, f"{len(dtypes)} names, as many as dtypes")
        return [Column(name, dtype, self._null) for name, dtype in zip(names, dtypes, strict=True)]


def _batches(chunks: Iterator[list[list[Any]]], n: int) -> Iterator[list[list[Any]]]:
    pending: list[list[Any]] = []
    for chunk in chunks:
        pending += chunk
        whole = len(pending) - len(pending) % n
        for start in range(0, whole, n):
            yield pending[start : start + n]
        del pending[:whole]
    if pending:
        yield pending


def _checked_separator(separator: object) -> str:
    if isinstance(separator, str) and len(separator) == 1 and separator not in '"\r\n\0\x02':
        return separator
    raise BadArgument("sep", separator, "one character, but no quote, line end, NUL or \\x02")


def _checked_dtypes(dtypes: object) -> type | list[type]:
    if not isinstance(dtypes, (list, tuple)):
        return checked_dtype(dtypes)
    if not dtypes:
        raise BadArgument("dtypes", dtypes, "at least one type")
    return [checked_dtype(dtype) for dtype in dtypes]


def _checked_names(parameter: str, names: object) -> list[str]:
    if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
        return list(names)
    raise BadArgument(parameter, names, "a list of texts, one for each column")
