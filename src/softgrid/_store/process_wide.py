"""Two settings of the whole process that reading tables changes for some milliseconds.

Called by `table_reader` around one block.  Several threads may be in there at once: the first one
in changes the setting, the last one out puts back what was found.
"""

from __future__ import annotations

import csv
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SharedSetting:
    """Something changed by *change*, which returns how to undo it, while anyone needs it so."""

    def __init__(self, change: Callable[[], Callable[[], object]]) -> None:
        self._change = change
        self._undo: Callable[[], object] | None = None
        self._users = 0
        self._lock = threading.Lock()

    @contextmanager
    def changed(self) -> Iterator[None]:
        """Have it changed within the block."""
        with self._lock:
            if self._users == 0:
                self._undo = self._change()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._undo is not None:
                    self._undo()


def _widen_fields() -> Callable[[], object]:
    usual = csv.field_size_limit((1 << 31) - 1)
    return lambda: csv.field_size_limit(usual)


def _pause_collection() -> Callable[[], object]:
    if not gc.isenabled():
        return lambda: None
    gc.disable()
    return gc.enable


wide_csv_fields = SharedSetting(_widen_fields)
"""csv refuses fields above 128 KiB unless told otherwise."""

paused_collection = SharedSetting(_pause_collection)
"""A table is nothing but rows that stay: looking through them for cycles took half of the time."""
