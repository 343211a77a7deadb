"""Which part of a value is it that cannot be serialised? Asked only after serialising has failed, so it may take its
time."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Any

from softgrid._model.errors import shorten

_MAX_DEPTH = 12
_FEW_ITEMS = 64


def find_culprit(value: object, what: str, error: BaseException) -> str:
    """Name the innermost part of *value* that will not go, e.g. ``args[1]['lock'] (_thread.lock): …``."""
    path, part = _innermost(value, what, 0)
    reason = f"{type(error).__name__}: {_text_of(error)}"
    return f"{path} ({type(part).__module__}.{type(part).__qualname__} {shorten(part, 60)}): {shorten_reason(reason)}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<its text raised {type(broken).__name__}>"


def shorten_reason(reason: str) -> str:
    """Keep the first line of a reason."""
    return reason.splitlines()[0][:300] if reason else ""


def _innermost(value: object, path: str, depth: int) -> tuple[str, object]:
    if depth < _MAX_DEPTH:
        try:
            for step, part in _parts(value):
                if part is not value and not _can_travel(part):
                    return _innermost(part, path + step, depth + 1)
        except Exception:  # it does not even want to be looked at
            return path, value
    return path, value


def _parts(value: object) -> Iterator[tuple[str, Any]]:
    """Yield what *value* is made of, each with the text that leads to it."""
    if isinstance(value, dict):
        for key, item in _narrowed(list(value.items()))[1]:
            yield f"<key {shorten(key, 40)}>", key
            yield f"[{shorten(key, 40)}]", item
    elif isinstance(value, (list, tuple)):
        start, few = _narrowed(value)
        yield from ((f"[{index}]", item) for index, item in enumerate(few, start))
    elif isinstance(value, (set, frozenset)):
        yield from ((f"<item {shorten(item, 40)}>", item) for item in _narrowed(list(value))[1])
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif isinstance(value, types.FunctionType):
        yield from _function_parts(value)
    elif not isinstance(value, (type, types.ModuleType)):
        yield from ((f".{name}", item) for name, item in _attributes(value).items())


def _narrowed(items: Sequence[Any]) -> tuple[int, Sequence[Any]]:
    """Halve many items until few are left, among them one that will not go; gives where these few begin."""
    start = 0
    while len(items) > _FEW_ITEMS:
        half = len(items) // 2
        if _can_travel(list(items[:half])):
            start, items = start + half, items[half:]
        else:
            items = items[:half]
    return start, items


def _attributes(value: object) -> dict[str, Any]:
    try:
        return dict(vars(value))
    except Exception:  # it has none, or does not want to say
        return {}


def _function_parts(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f"<closure variable '{name}'>", cell.cell_contents
        except ValueError:  # the variable has no value yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f"<global '{name}'>", function.__globals__[name]
    for name, default in (function.__kwdefaults__ or {}).items():
        yield f"<default of '{name}'>", default
    for index, default in enumerate(function.__defaults__ or ()):
        yield f"<default {index}>", default


def _can_travel(part: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(part, 5, buffer_callback=lambda buffer: None)
    except Exception:
        return False
    return True
