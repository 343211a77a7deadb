"""Functions of users in whatever form they were given: as callable, as source text, serialised, from afar.

Called by the node where a function is to be stored, or is to write or read a file.  Source text is
run when it is compiled, as its author expects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from softgrid._model.errors import BadArgument, SoftgridError
from softgrid._store.objects import revive
from softgrid._wire.functions import (
    FunctionPickler,
    FunctionSource,
    PickledFunction,
    compile_source,
    source_in,
    unpickle_function,
)

Travelling = FunctionSource | PickledFunction
"""A function on its way: its source where that is known, which every Python can read."""


class StoredFunction(NamedTuple):
    """A function that calls can name."""

    function: Callable[..., Any]
    wants_executor: bool
    source: str | None = None


def function_from(given: object, parameter: str, name: str | None = None) -> Callable[..., Any]:
    """Give the function that *given* stands for; source text with several must define one called *name*."""
    if isinstance(given, PickledFunction):
        return unpickle_function(given.body)
    source = source_of(given)
    if source is None and isinstance(given, Mapping) and "object" not in given:
        source = source_in(given, parameter)
    if source is not None:
        return _compiled(source, parameter, name)
    function: Any = revive(given).value if isinstance(given, Mapping) else given
    if not callable(function):
        raise BadArgument(parameter, function, "a callable, the source text of a function, or a dictionary of one")
    return cast(Callable[..., Any], function)


def source_of(given: object) -> str | None:
    """Give the source text, where a function was given by it."""
    return given.text if isinstance(given, FunctionSource) else given if isinstance(given, str) else None


def to_travel(function: object, source: str | None = None) -> Travelling:
    """Give a function as it is sent to another executor; raises Unserializable."""
    if source is not None:
        return FunctionSource(source)
    if not callable(function):
        raise BadArgument("func", function, "a callable, or the source text of a function")
    return FunctionPickler().pickle(function)


def _compiled(text: str, parameter: str, name: str | None) -> Callable[..., Any]:
    try:
        return compile_source(text, name, parameter)
    except SoftgridError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"source text that can be run ({type(error).__name__}: {error})"
        raise BadArgument(parameter, text, reason) from error
