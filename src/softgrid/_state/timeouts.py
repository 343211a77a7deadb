"""Timeouts as users give them, checked; and how they grow with the way a transfer has to go."""

from __future__ import annotations

import math

from softgrid._model.errors import BadArgument
from softgrid._model.rules import LARGEST

_MULTIPLIER = "a number > 0"


def check_timeout(value: object, parameter: str = "timeout", *, none_allowed: bool = True) -> float | None:
    """Accept a number of seconds > 0, and None (no limit) where that is allowed."""
    if none_allowed and (value is None or (isinstance(value, (int, float)) and value > LARGEST)):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= LARGEST:
        raise BadArgument(
            parameter,
            value,
            "a number of seconds > 0" + (", or None for no limit" if none_allowed else ""),
        )
    return float(value)


def check_seconds(value: object, parameter: str = "timeout") -> float:
    """Accept a number of seconds > 0."""
    seconds = check_timeout(value, parameter, none_allowed=False)
    assert seconds is not None
    return seconds


def check_wait(value: object, parameter: str = "timeout") -> float:
    """Accept a number of seconds >= 0 to wait; None, and what is too large to end, stand for no limit: infinity."""
    if value is None or (isinstance(value, (int, float)) and value > LARGEST):
        return math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise BadArgument(parameter, value, "a number of seconds >= 0, or None for no limit")
    return float(value)


def wait_timeouts(timeout: float | None, multiplier: object, path_length: int, count: int) -> list[float]:
    """Give the time limit of each of *count* receivers, who have one multiplier in common or one each; none at all
    without a timeout."""
    if timeout is None:
        return []
    if not isinstance(multiplier, (list, tuple)):
        return [wait_timeout(timeout, multiplier, path_length)] * count
    if len(multiplier) != count:
        raise BadArgument("multiplier", f"{len(multiplier)} items", f"{_MULTIPLIER}, or one per receiver ({count})")
    return [wait_timeout(timeout, each, path_length) for each in multiplier]


def wait_timeout(transfer_timeout: object, multiplier: object, path_length: object) -> float:
    """Give ``transfer_timeout * ceil(path_length / multiplier)``, but never less than *transfer_timeout*."""
    seconds = check_seconds(transfer_timeout, "transferTimeout")
    if isinstance(multiplier, bool) or not isinstance(multiplier, (int, float)) or not multiplier > 0:
        raise BadArgument("multiplier", multiplier, _MULTIPLIER)
    if isinstance(path_length, bool) or not isinstance(path_length, int) or path_length < 0:
        raise BadArgument("pathLength", path_length, "None or an integer >= 0")
    return seconds * max(1, math.ceil(path_length / multiplier))
