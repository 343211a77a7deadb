"""Parameters that are one for all of a list of executors, or a list with one for each: widened once, with checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrid._model.errors import BadArgument
from softgrid._model.names import parse_name


class Peers:
    """The executors of one call, to each of which every other parameter is widened."""

    def __init__(self, parameter: str, given: object) -> None:
        if not isinstance(given, (list, tuple)):
            raise BadArgument(parameter, given, "a grid unique name or a list of these")
        self._parameter = parameter
        self.names = [check_name(parameter, name) for name in given]

    def each(self, parameter: str, given: Any, check: Callable[[str, Any], Any]) -> list[Any]:
        """Give one checked value for each: those of a list, or the same for all."""
        if not isinstance(given, (list, tuple)):
            return [check(parameter, given)] * len(self.names)
        self._check_length(parameter, given)
        return [check(parameter, item) for item in given]

    def each_value(self, parameter: str, given: Any) -> list[Any]:
        """Give something of the user's for each: only a list holds one for each, anything else is for all."""
        if not isinstance(given, list):
            return [given] * len(self.names)
        self._check_length(parameter, given)
        return given

    def _check_length(self, parameter: str, given: Any) -> None:
        count = len(self.names)
        if len(given) != count:
            raise BadArgument(
                parameter, f"a list of {len(given)}", f"a list of as many as '{self._parameter}' ({count})"
            )


def check_name(parameter: str, given: Any) -> str:
    """Accept a grid unique name."""
    parse_name(given, parameter)
    return given  # type: ignore[no-any-return]


def check_flag(parameter: str, given: object) -> bool:
    """Accept True or False."""
    if given is not True and given is not False:
        raise BadArgument(parameter, given, "True or False")
    return given
