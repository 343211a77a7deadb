"""Functions for a Python of another version: as source, since byte code does not fit.

The pickle of such a function is like any other one, with its globals, defaults and closure, but each code object in it
travels as the piece of source it was compiled from. That piece is compiled here first: what does not give the same
code again (a file that was edited since it was imported) is not sent.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from softgrid._model.errors import Unserializable
from softgrid._wire.values import PLAIN

ANY_VERSION = b"\x00"
"""In front of a pickled function that any Python reads, where others have the minor version of theirs."""
_FUTURES = 0x1FE0000
_NESTED = 0x10


class _Source(NamedTuple):
    """A code object as text, and how to find it again in what is compiled from that."""

    text: str
    name: str
    freevars: tuple[str, ...]
    flags: int
    filename: str
    line: int


def pickle_portably(function: Callable[..., Any]) -> bytes:
    """Give *function* as bytes for any version; raises Unserializable when its source is not to be had."""
    import io
    import pickle

    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc,name-defined,unused-ignore]
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, types.CodeType):
                return code_from_source, tuple(source_of(value))
            return super().reducer_override(value)

    file = io.BytesIO()
    try:
        Pickler(file, 5).dump(function)
    except Unserializable:
        raise
    except (pickle.PicklingError, TypeError, ValueError, RecursionError) as error:
        raise Unserializable(f"cannot serialise the function as source: {error}") from error
    return ANY_VERSION + PLAIN + file.getvalue()


def code_from_source(
    text: str, name: str, freevars: tuple[str, ...], flags: int, filename: str, line: int
) -> types.CodeType:
    """Compile a piece of source again; raises SyntaxError where it is of a language that this Python does not know."""
    whole = compile(text, filename, "exec", flags=flags, dont_inherit=True)
    found = next((code for code in _codes_in(whole) if code.co_name == name and code.co_freevars == freevars), None)
    if found is None:
        raise SyntaxError(f"the source of {name} is not that of a function of this Python")
    return found.replace(co_firstlineno=line)


def source_of(code: types.CodeType) -> _Source:
    """Give the source of a code object; raises Unserializable when it is not to be had."""
    import ast
    import linecache

    lines = linecache.getlines(code.co_filename)
    absent = f"{_label(code)} is not there as source (was it typed in, or made by exec?): {_REMEDY}"
    if not lines:
        raise Unserializable(absent)
    whole = "".join(lines)
    try:
        tree = ast.parse(whole)
    except SyntaxError:
        raise Unserializable(f"{code.co_filename} is no Python any more, so {_label(code)} has no source") from None
    for node, owner in _functions_in(tree, None):
        if not node.lineno >= code.co_firstlineno or getattr(node, "name", "<lambda>") != code.co_name:
            continue
        source = _wrapped(ast.get_source_segment(whole, node, padded=True) or "", code, owner)
        if _gives(source, code):
            return source
    if code.co_filename.startswith("<"):  # what Python keeps under that name may be of something else
        raise Unserializable(absent)
    raise Unserializable(f"{_label(code)} is not what stands in its file now: {_REMEDY}")


_REMEDY = "a Python of another version needs it; give it as source text, or run the same version there"


def _label(code: types.CodeType) -> str:
    return f"function {code.co_name} ({code.co_filename}, line {code.co_firstlineno})"


def _functions_in(node: Any, owner: str | None) -> Iterator[tuple[Any, str | None]]:
    """Find functions in a tree, each with the name of the class whose body it stands in, if it does."""
    import ast

    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child, owner
        yield from _functions_in(child, child.name if isinstance(child, ast.ClassDef) else None)


def _wrapped(text: str, code: types.CodeType, owner: str | None) -> _Source:
    """Put a piece of source where its closure and its class would be."""
    indent = text[: len(text) - len(text.lstrip())]
    cells = [name for name in code.co_freevars if name != "__class__" or owner is None]
    bound = f"{' = '.join(cells)} = None" if cells else "pass"
    if code.co_name == "<lambda>":
        text = f"def outer():\n {bound}\n return ({text.lstrip()}\n)"
    elif owner is not None:
        text = f"def outer():\n {bound}\n class {owner}:\n{text}"
    elif indent:
        text = f"def outer():\n{indent}{bound}\n{text}"
    return _Source(
        text + "\n", code.co_name, code.co_freevars, code.co_flags & _FUTURES, code.co_filename, code.co_firstlineno
    )


def _gives(source: _Source, code: types.CodeType) -> bool:
    try:
        return _likeness(code_from_source(*source)) == _likeness(code)
    except SyntaxError:
        return False


def _likeness(code: types.CodeType) -> tuple[Any, ...]:
    """What two code objects have in common that do the same, wherever they stand."""
    constants = [_likeness(each) if isinstance(each, types.CodeType) else _kind_of(each) for each in code.co_consts]
    return (
        code.co_code,
        repr(constants),
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_NESTED),
    )


def _kind_of(constant: Any) -> tuple[Any, ...]:
    """Give a constant so that equal ones of other types differ, and qualified names do not tell where they stand."""
    if isinstance(constant, str):
        constant = constant.rpartition("<locals>.")[2]
    return type(constant), constant


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes_in(constant)
