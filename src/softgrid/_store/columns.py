"""Values of one table column to text and back: six types, a null, and nothing lost on the way.

Called by `ddfs` with many values at a time, so the common case runs in C and only what is special
is looked at one by one.  A null is an empty text; an empty string is told from it by a mark.
Knows nothing of files, separators and quotes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import NamedTuple

from softgrid._model.errors import BadArgument, SoftgridError, shorten
from softgrid._store.literals import decode_container, encode_container, encode_containers

MARK = "\x02"
"""A text that begins with it is escaped: empty, or with characters that rows cannot hold."""

_UNHOLDABLE = ("\r", "\0", MARK)
DTYPES: tuple[type, ...] = (str, int, float, list, tuple, dict)
FAILURES = (ValueError, TypeError, OverflowError, RecursionError, MemoryError, SyntaxError)


class MalformedTable(SoftgridError, ValueError):
    """A table that cannot be written or read: says in which row (counted from 1) and column."""

    def __init__(self, problem: str, *, row: int | None = None, column: str | None = None, path: str = "") -> None:
        where = (
            f"table {path!r}" if path else "",
            "" if row is None else f"row {row}",
            "" if column is None else f"column {column!r}",
        )
        super().__init__(": ".join(filter(None, (", ".join(filter(None, where)), problem))))
        self.problem, self.row, self.column, self.path = problem, row, column, path

    def at(self, path: str) -> MalformedTable:
        """The same about the table at *path*."""
        return MalformedTable(self.problem, row=self.row, column=self.column, path=path)


class Column(NamedTuple):
    """How the values of one column are written and read."""

    name: str
    dtype: type
    null: object = None

    def encode(self, values: Sequence[object]) -> Sequence[object]:
        """Give what a csv writer turns into the right texts; raises one of FAILURES."""
        kinds = set(map(type, values))
        if self.null is None:
            is_simple = kinds <= {self.dtype, type(None)}
        else:
            is_simple = kinds == {self.dtype} and type(self.null) is not self.dtype
        if is_simple and self.dtype in (int, float):
            return values
        if is_simple and self.dtype is str and not _has_special(values):
            return values
        if is_simple and kinds == {self.dtype} and self.dtype in (list, tuple, dict):
            return encode_containers(values)
        return [self.encode_one(value) for value in values]

    def decode(self, texts: Sequence[str]) -> Sequence[object]:
        """Give the values that *texts* stand for; raises one of FAILURES."""
        if self.dtype is str:
            if "" in texts or MARK in "".join(texts):
                return [self.decode_one(text) for text in texts]
            return texts
        if self.dtype in (int, float):
            try:
                return list(map(self.dtype, texts))
            except ValueError:  # a null, most likely
                pass
        return [self.decode_one(text) for text in texts]

    def encode_one(self, value: object) -> str:
        """The text of one value, which says exactly what is wrong with a bad one."""
        return "" if self._is_null(value) else _ENCODERS[self.dtype](value)

    def decode_one(self, text: str) -> object:
        """The value of one text, which says exactly what is wrong with a bad one."""
        return self.null if text == "" else _DECODERS[self.dtype](text)

    def _is_null(self, value: object) -> bool:
        if value is self.null:
            return True
        if type(value) is not type(self.null):
            return False
        return bool(value == self.null) or (value != value and self.null != self.null)


def checked_dtype(dtype: object) -> type:
    """Raise BadArgument for a type that no column can have."""
    if dtype not in DTYPES:
        names = ", ".join(kind.__name__ for kind in DTYPES)
        raise BadArgument("dtypes", dtype, f"one of {names}, or a list of them")
    return dtype


def _has_special(values: Sequence[object]) -> bool:
    if "" in values:
        return True
    together = "".join(value for value in values if value)  # type: ignore[misc]
    return any(character in together for character in _UNHOLDABLE)


def encode_text(value: object) -> str:
    """Give *value* as it is where that can be read back, else marked and escaped."""
    if not isinstance(value, str):
        raise _wrong(value, "text")
    if value and not any(character in value for character in _UNHOLDABLE):
        return str(value)
    return MARK + value.encode("unicode_escape").decode("ascii")


def decode_text(text: str) -> str:
    """Undo `encode_text`."""
    if not text.startswith(MARK):
        return text
    return text[1:].encode("ascii").decode("unicode_escape")


def _encode_int(value: object) -> str:
    try:
        return str(index(value))  # type: ignore[arg-type]
    except TypeError:
        raise _wrong(value, "an integer") from None


def _encode_float(value: object) -> str:
    if not hasattr(value, "__float__") or isinstance(value, str):
        raise _wrong(value, "a number")
    number = float(value)
    if number != value and value == value:
        raise ValueError(f"got {shorten(value)}, which no float is equal to")
    return repr(number)


def _wrong(value: object, accepted: str) -> TypeError:
    return TypeError(f"got {shorten(value)}, accepted is {accepted} or the null value")


def _container(dtype: type) -> tuple[Callable[[object], str], Callable[[str], object]]:
    def encode(value: object) -> str:
        if not isinstance(value, dtype):
            raise _wrong(value, f"a {dtype.__name__}")
        return encode_container(value)

    def decode(text: str) -> object:
        value = decode_container(text)
        if dtype is tuple and type(value) is list:
            return tuple(value)
        if type(value) is not dtype:
            raise ValueError(f"got {shorten(text)}, accepted is a {dtype.__name__} as text")
        return value

    return encode, decode


def _number(dtype: Callable[[str], object], accepted: str) -> Callable[[str], object]:
    def decode(text: str) -> object:
        try:
            return dtype(text)
        except ValueError:
            raise ValueError(f"got {shorten(text)}, accepted is {accepted}") from None

    return decode


_ENCODERS: dict[type, Callable[[object], str]] = {
    str: encode_text,
    int: _encode_int,
    float: _encode_float,
    **{dtype: _container(dtype)[0] for dtype in (list, tuple, dict)},
}
_DECODERS: dict[type, Callable[[str], object]] = {
    str: decode_text,
    int: _number(int, "an integer"),
    float: _number(float, "a number"),
    **{dtype: _container(dtype)[1] for dtype in (list, tuple, dict)},
}
