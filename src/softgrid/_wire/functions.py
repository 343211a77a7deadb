"""Functions on the wire: by name, by source, or pickled once and then called by digest.

A function is pickled with what it refers to (globals of an interactive session, closure variables, defaults).
Pickling costs more than a whole call, so the bytes are kept; and because what a function refers to can change
between two calls, a kept copy is only believed while everything it was made of is still the same object and of a
kind that cannot change. Otherwise the function is pickled again, and the digest tells whether it became another
one.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from softgrid._model.errors import BadArgument, Refused, Undecodable
from softgrid._wire.framing import Parts
from softgrid._wire.portable import ANY_VERSION
from softgrid._wire.values import decode_value, encode_value

NAME, SOURCE, DIGEST, PICKLED = b"N", b"S", b"D", b"P"
DIGEST_SIZE = 16

_UNCHANGING = frozenset({type(None), bool, int, float, complex, str, bytes, range, type(Ellipsis)})


class FunctionName(NamedTuple):
    """A function that the receiver knows under this name: a method of the executor or a stored function."""

    name: str


class FunctionSource(NamedTuple):
    """A function given as source text."""

    text: str


class PickledFunction(NamedTuple):
    """A function as bytes, with the digest it is known by afterwards."""

    digest: bytes
    body: bytes


Function = FunctionName | FunctionSource | PickledFunction


def encode_function(function: Function, *, is_known: bool = False) -> bytes:
    """Give *function* as it stands in a call; only its digest when the receiver has it already."""
    if isinstance(function, FunctionName):
        return NAME + function.name.encode()
    if isinstance(function, FunctionSource):
        return SOURCE + function.text.encode()
    if is_known:
        return DIGEST + function.digest
    return PICKLED + function.digest + function.body


def decode_function(data: bytes) -> Function:
    """Read a function; one known by its digest comes with an empty body."""
    tag, rest = data[:1], data[1:]
    if tag == DIGEST and len(rest) == DIGEST_SIZE:
        return PickledFunction(rest, b"")
    if tag == PICKLED and len(rest) > DIGEST_SIZE:
        return PickledFunction(rest[:DIGEST_SIZE], rest[DIGEST_SIZE:])
    try:
        if tag == NAME:
            return FunctionName(rest.decode())
        if tag == SOURCE:
            return FunctionSource(rest.decode())
    except UnicodeDecodeError:
        pass
    raise Undecodable("a call without a readable function")


def join_parts(parts: Parts) -> bytes:
    """Give *parts* as one string of bytes."""
    return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)


_VERSION = bytes([sys.version_info[1]])


def digest_of(body: bytes) -> bytes:
    """Give the digest by which a pickled function is known (BLAKE2b, RFC 7693)."""
    return blake2b(body, digest_size=DIGEST_SIZE).digest()


class ForeignByteCode(Refused):
    """A function that was pickled by a Python of another version."""


def unpickle_function(body: bytes) -> Callable[..., Any]:
    """Read a pickled function; raises ForeignByteCode where it is byte code of another Python."""
    if not body:
        raise Undecodable("a function of no bytes")
    if body[:1] not in (_VERSION, ANY_VERSION):
        raise ForeignByteCode(
            f"the function was pickled by Python 3.{body[0]} and this executor runs Python 3.{_VERSION[0]}, which "
            "cannot read its byte code; give the function as source text"
        )
    return decode_value(body, 1)  # type: ignore[no-any-return]


class FunctionPickler:
    """Pickles functions, and keeps the bytes of those that cannot have changed (bounded, least recently used go)."""

    def __init__(self, capacity: int = 512) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[int, tuple[object, list[_Ingredients], PickledFunction]] = OrderedDict()

    def pickle(self, function: Callable[..., Any]) -> PickledFunction:
        """Give *function* as bytes; raises Unserializable, which names the part that will not go."""
        key = id(function)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is function and all([part.are_unchanged() for part in kept[1]]):  # noqa: C419
            self._kept.move_to_end(key)
            return kept[2]
        ingredients = _ingredients(function)
        body = _VERSION + join_parts(encode_value(function, what=f"function {_label(function)}"))
        pickled = PickledFunction(digest_of(body), body)
        if ingredients is not None:
            self._kept[key] = (function, ingredients, pickled)
            self._kept.move_to_end(key)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return pickled

    def __len__(self) -> int:
        return len(self._kept)


def _label(function: object) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__


class _Ingredients:
    """Everything that the pickle of one function was made of, other functions apart."""

    __slots__ = ("_cells", "_code", "_defaults", "_function", "_globals")

    def __init__(self, function: types.FunctionType) -> None:
        self._function = function
        self._code = function.__code__
        self._defaults = function.__defaults__
        self._cells = [(cell, _contents(cell)) for cell in function.__closure__ or ()]
        names = set(_global_names(function.__code__))
        self._globals = [(name, function.__globals__.get(name, _ABSENT)) for name in names]

    def parts(self) -> list[Any]:
        """Give the objects that the function refers to."""
        return [*(self._defaults or ()), *(part for _, part in self._cells), *(part for _, part in self._globals)]

    def are_unchanged(self) -> bool:
        """Whether the function still refers to the same objects."""
        function = self._function
        if function.__code__ is not self._code or function.__defaults__ is not self._defaults:
            return False
        if function.__kwdefaults__ or function.__dict__:
            return False
        for cell, part in self._cells:
            if _contents(cell) is not part:
                return False
        if self._globals:
            globals_ = function.__globals__
            for name, part in self._globals:
                if globals_.get(name, _ABSENT) is not part:
                    return False
        return True


_ABSENT = type("_Absent", (), {})()


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # the variable has no value yet
        return _ABSENT


def _ingredients(function: object) -> list[_Ingredients] | None:
    """Give everything that the pickle of *function* depends on, or None when some of it may change in place."""
    if _travels_by_name(function):
        return []
    if not isinstance(function, types.FunctionType):
        return None
    found: dict[int, _Ingredients] = {}
    return list(found.values()) if _collect(function, found) else None


def _collect(function: types.FunctionType, found: dict[int, _Ingredients]) -> bool:
    if function.__dict__ or function.__kwdefaults__:
        return False
    ingredients = found[id(function)] = _Ingredients(function)
    for part in ingredients.parts():
        if part is _ABSENT or type(part) in _UNCHANGING or _travels_by_name(part):
            continue
        if not isinstance(part, types.FunctionType):
            return False
        if id(part) not in found and not _collect(part, found):
            return False
    return True


def _travels_by_name(part: object) -> bool:
    """Whether *part* is a module, or a built-in of one, which the receiver imports: its inside does not matter."""
    if isinstance(part, types.BuiltinFunctionType):
        return part.__self__ is None or isinstance(part.__self__, types.ModuleType)
    return isinstance(part, types.ModuleType) and sys.modules.get(part.__name__) is part and part.__name__ != "__main__"


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _names_bound_by(node: Any) -> list[str]:
    """Give the names that a top-level definition or assignment binds."""
    targets = getattr(node, "targets", [])
    return [getattr(node, "name", "")] + [target.id for target in targets if hasattr(target, "id")]


def source_in(given: Mapping[str, Any], parameter: str) -> str:
    """Give a function that came as a dictionary as source text, whose last function is the one that is meant."""
    source, name = given.get("source"), given.get("name")
    if not isinstance(source, str) or not source.strip() or given.keys() - {"source", "name"}:
        raise BadArgument(parameter, given, "a dictionary {'source': text, 'name': None or which function in it}")
    if name is None:
        return source
    from textwrap import dedent

    if not isinstance(name, str) or not name.isidentifier():
        raise BadArgument(parameter, given, "None or the name of a function as 'name'")
    return f"{dedent(source)}\n{name} = {name}\n"


def compile_source(text: str, name: str | None = None, parameter: str = "function") -> Callable[..., Any]:
    """Make a function from source text: an expression (a lambda), or definitions of which the last one counts.

    Where *name* is given the definition of that name counts. *parameter* is what errors call the text.
    """
    namespace: dict[str, Any] = {"__name__": "softgrid_source", "__builtins__": __builtins__}
    import textwrap

    text = textwrap.dedent(text)
    try:
        function = eval(compile(text.strip(), "<softgrid source>", "eval"), namespace)
    except SyntaxError:
        function = _defined_by(text, name, namespace)
    if not callable(function):
        raise BadArgument(parameter, text, "source text that defines a function or is a lambda expression")
    return function  # type: ignore[no-any-return]


def _defined_by(text: str, name: str | None, namespace: dict[str, Any]) -> Callable[..., Any] | None:
    """Run definitions, and give the last function among them, or the one of that name."""
    import ast

    tree = ast.parse(text, "<softgrid source>")
    exec(compile(tree, "<softgrid source>", "exec"), namespace)  # noqa: S102  (running what a user sent is the job)
    bound = reversed([each for node in tree.body for each in _names_bound_by(node)])
    functions = {each: namespace[each] for each in bound if isinstance(namespace.get(each), types.FunctionType)}
    if name is not None and functions and name not in functions:
        raise BadArgument("name", name, f"the name of a function that the source defines ({', '.join(functions)})")
    return functions[name or next(iter(functions))] if functions else None
