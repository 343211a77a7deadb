"""Which attempt of a call this is, for the function that runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_here = threading.local()


def current_attempt() -> int:
    """Tell the function that the grid runs which attempt of its call this is.

    Returns
      1. number (int): 1 for the first attempt, and where nothing is run for anybody; see *retries* of ``schedule_task``

    For the thread that runs the function, not for others that it starts. Does not block.

    >>> import softgrid
    >>> softgrid.current_attempt()
    1
    >>> def moody():
    ...     import softgrid
    ...     if softgrid.current_attempt() < 3:
    ...         raise OSError('not yet')
    ...     return 'at last'
    >>> orchestrator.schedule_task(moody, retries={'failed': 2}, retry_on=OSError)
    ['at last']
    """
    number: int = getattr(_here, "number", 1)
    return number


@contextmanager
def the_attempt(number: object) -> Iterator[None]:
    """Have ``current_attempt`` give *number* in this thread; one that is none is the first."""
    _here.number = number if type(number) is int and number > 0 else 1
    try:
        yield
    finally:
        del _here.number
