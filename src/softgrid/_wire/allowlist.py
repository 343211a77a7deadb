"""Reading what an executor sent that joined by hand: as any pickle, except that it may only name what stands here.

A pickle names the classes and functions that make its values, and whoever reads it calls them; so the list holds types
of plain data and nothing that does anything else. What is written in C can be given as it is, since a pickle cannot
change it; a class written in Python is hidden behind a function that is made anew for every pickle, so that a pickle
that tries to change it changes its own.
"""

from __future__ import annotations

import builtins
import collections
import datetime
import decimal
import fractions
import io
import pickle
from collections.abc import Callable
from importlib import import_module
from itertools import dropwhile, islice
from typing import Any

from softgrid._model import errors, status
from softgrid._model.errors import Refused, SoftgridError, _revived
from softgrid._model.rules import TRUST_RULE

LOOKED_AT = 100_000
_MODULES = ("softgrid._model.errors", "softgrid._model.status", "softgrid.Collections")
_NUMPY = {
    "numpy": ("ndarray", "dtype"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.core.numeric": ("_frombuffer",),
}
_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")

_HEAP = 1 << 9
"""Flag of types that are made while Python runs, which can be changed (ExceptionGroup, alone among exceptions)."""
_EXCEPTIONS = [each for each in vars(builtins).values() if isinstance(each, type) and issubclass(each, BaseException)]
_TYPES: tuple[type, ...] = (
    *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice),
    *(collections.OrderedDict, collections.deque, collections.defaultdict),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal),
    *(each for each in _EXCEPTIONS if not each.__flags__ & _HEAP),
)
"""Written in C."""


def loads(data: Any, *, buffers: Any = None) -> Any:
    """Read a pickle; raises Refused, which names the type that is not taken and the remedy."""
    try:
        return _Unpickler(io.BytesIO(data), buffers=buffers).load()
    except _NotAllowed as refusal:
        raise Refused(
            f"it holds {_own_class(data, refusal) or f'a {refusal}'}; from an executor that joined by hand only values "
            "of plain types are taken (numbers, text, bytes, containers, dates, arrays, Python's own exceptions); "
            f"have it send one of these, or set the rule {TRUST_RULE!r} if you trust all who know the password"
        ) from None


class _NotAllowed(Exception):
    """The name of what a pickle asked for."""


def _own_class(data: Any, refusal: _NotAllowed) -> str | None:
    """Find the name of a class that a pickle brings along: its text follows on what would make it."""
    module, _, maker = str(refusal).rpartition(".")
    if not module.startswith("cloudpickle"):
        return None
    if "class" not in maker:
        return "a function"
    from pickletools import genops

    texts = (text for operation, text, _ in islice(genops(io.BytesIO(data)), LOOKED_AT) if "UNICODE" in operation.name)
    after = islice(dropwhile(lambda text: text != maker, texts), 1, None)
    try:
        name = next(text for text in after if text not in ("builtins", "type", "object", "abc", "ABCMeta"))
    except (StopIteration, ValueError):  # it ends there, or is no pickle from there on
        return "a class"
    return f"the class {name}, which is defined there"


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        given = _GIVEN.get((module, name))
        if given is not None:
            return given
        make = _MAKERS.get((module, name))
        if make is not None:
            return lambda *args: make(*args)
        if module == errors.__name__ and name in _ERRORS:
            return _Kind(name)
        if name in _NUMPY.get(module, ()):
            return _of_numpy(module, name)
        raise _NotAllowed(f"{module}.{name}")


def _of_numpy(module: str, name: str) -> Any:
    try:
        found = getattr(import_module(module.replace("numpy.core.", "numpy._core.")), name)
    except ImportError:  # before numpy 2 it stood there
        found = getattr(import_module(module.replace("numpy._core.", "numpy.core.")), name)
    return (lambda *args: found(*args)) if name == "_frombuffer" else found


_ERRORS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, SoftgridError) and kind.__module__ == errors.__name__
}


class _Kind:
    """Stands for a class of errors, which a pickle could change if it had it in hand."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def found(self) -> type[SoftgridError]:
        return _ERRORS[self._name]


def _revive(kind: object, args: tuple[Any, ...], attributes: dict[str, Any]) -> SoftgridError:
    if not isinstance(kind, _Kind) or not isinstance(attributes, dict):
        raise Refused("it holds an error that is none")
    return _revived(kind.found(), args, attributes)


def _counter(counts: object = None) -> collections.Counter[Any]:
    if not isinstance(counts, (dict, type(None))):
        raise Refused("it holds a Counter that is none")
    return collections.Counter(counts)


def _path(kind: str) -> Callable[..., Any]:
    def make(*parts: str) -> Any:
        import pathlib

        return getattr(pathlib, kind)(*parts)

    return make


def _fraction(*parts: Any) -> fractions.Fraction:
    if any(isinstance(part, str) and "e" in part.lower() for part in parts):  # '1e999999999' would take for ever
        raise Refused("it holds a Fraction that is none")
    return fractions.Fraction(*parts)


_GIVEN: dict[tuple[str, str], Any] = {(kind.__module__, kind.__qualname__): kind for kind in _TYPES}
_MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    **{("builtins", each.__name__): each for each in _EXCEPTIONS if each.__flags__ & _HEAP},
    ("collections", "Counter"): _counter,
    ("fractions", "Fraction"): _fraction,
    ("softgrid._model.errors", "_revived"): _revive,
    **{(module, "SoftgridStatus"): status.SoftgridStatus for module in _MODULES},
    **{(module, kind): _path(kind) for module in ("pathlib", "pathlib._local") for kind in _PATHS},
}
