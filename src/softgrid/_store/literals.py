"""Lists, tuples and dictionaries as one line of text that reads back as the same value.

Called by `columns`.  What JSON keeps faithfully is written as JSON, because that is fast; all else
(tuples inside, sets, bytes, keys that are no texts) as Python writes it.  No text is both, so the
reader needs no mark.  Runs nothing of what it reads.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Sequence

_SCALARS = frozenset((str, int, float, bool, type(None)))
_LITERALS = _SCALARS | {bytes}
_CUT, _CUT_TEXT = "\x02", ', "\\u0002", '
_NAMES = {"nan": float("nan"), "inf": float("inf")}

_to_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
_from_json = json.JSONDecoder().raw_decode


def encode_container(value: object) -> str:
    """The text of a list, tuple or dict; raises ValueError for what it cannot keep inside."""
    plain = _as_plain(value)
    if _is_plain(plain):
        return _to_json(plain)
    content = tuple(value) if isinstance(value, tuple) else plain
    _check_literal(content)
    return repr(content)


def encode_containers(values: Sequence[object]) -> list[str]:
    """The same for many values, at a third of the cost where JSON keeps them all."""
    plain = [_as_plain(value) for value in values]
    if all(map(_is_plain, plain)):
        parts: list[object] = [_CUT] * (2 * len(plain) - 1)
        parts[::2] = plain
        texts = _to_json(parts)[1:-1].split(_CUT_TEXT)
        if len(texts) == len(values):  # else a value has the cut in itself
            return texts
    return [encode_container(value) for value in values]


def decode_container(text: str) -> object:
    """The value that *text* stands for; raises ValueError or SyntaxError for any other text."""
    try:
        value, end = _from_json(text)
        if end == len(text):
            return value
    except ValueError:
        pass
    return ast.literal_eval(_Numbers().visit(ast.parse(text.strip(), mode="eval")))


class _Numbers(ast.NodeTransformer):
    """Reads the two floats that Python writes as names."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(_NAMES[node.id]) if node.id in _NAMES else node


def _as_plain(value: object) -> object:
    return dict(value) if isinstance(value, dict) else list(value)  # type: ignore[call-overload]


def _is_plain(value: object) -> bool:
    """Whether JSON gives back the very same value: lists, text keys and scalars, nothing else."""
    inner: Collection[object]
    if type(value) is list:
        inner = value
    elif type(value) is dict and set(map(type, value)) <= {str}:
        inner = value.values()
    else:
        return False
    if set(map(type, inner)) <= _SCALARS:
        return True
    return all(type(item) in _SCALARS or _is_plain(item) for item in inner)


def _check_literal(value: object) -> None:
    kind = type(value)
    if kind in (list, tuple, set):
        for item in value:  # type: ignore[attr-defined]
            _check_literal(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_literal(key)
            _check_literal(item)
    elif isinstance(value, complex):
        if value - value != 0:
            raise ValueError(f"got {value!r} inside: complex numbers must be finite")
    elif kind not in _LITERALS:
        raise ValueError(
            f"got a {kind.__module__}.{kind.__qualname__} inside: accepted are numbers, texts, "
            "bytes, True, False, None, and lists, tuples, sets and dictionaries of them"
        )
