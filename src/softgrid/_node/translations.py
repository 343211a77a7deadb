"""Functions pickled by another Python: asked for as source, once for each caller and function.

The calls wait here meanwhile. What comes is believed for the calls of whoever sent it, and of nobody else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from softgrid._node.execution import Task
from softgrid._wire.functions import PickledFunction, digest_of

KEPT = 1024

_Key = tuple[int, bytes]


class Translations:
    """Calls of functions that this Python cannot read as they came."""

    def __init__(
        self,
        ask: Callable[[int, bytes], None],
        accept: Callable[[Task], None],
        refuse: Callable[[Task, str], None],
    ) -> None:
        self._ask = ask
        self._accept = accept
        self._refuse = refuse
        self._known: OrderedDict[_Key, PickledFunction] = OrderedDict()
        self._waiting: dict[_Key, list[Task]] = {}

    def translate(self, task: Task) -> None:
        """Have *task* run as soon as its function can be read."""
        function = task.call.function
        assert isinstance(function, PickledFunction)
        key = (task.source, function.digest)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            task.call.function = known
            self._accept(task)
            return
        waiting = self._waiting.setdefault(key, [])
        waiting.append(task)
        if len(waiting) == 1:
            self._ask(*key)

    def on_translated(self, source: int, digest: bytes, body: bytes, reason: str) -> None:
        """The function has come as source, or (no *body*) will not come, for that reason."""
        waiting = self._waiting.pop((source, digest), [])
        if not body:
            for task in waiting:
                self._refuse(task, reason)
            return
        function = self._known[source, digest] = PickledFunction(digest_of(body), body)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        for task in waiting:
            task.call.function = function
            self._accept(task)

    def withdraw(self, is_it: Callable[[Task], bool]) -> Task | None:
        """Take a task out that waits here; None when it does not."""
        for waiting in self._waiting.values():
            for task in waiting:
                if is_it(task):
                    waiting.remove(task)
                    return task
        return None

    def forget(self, sources: set[int]) -> None:
        """Callers are gone, and with them what they waited for."""
        for key in [key for key in self._known if key[0] in sources]:
            del self._known[key]
        for key in [key for key in self._waiting if key[0] in sources]:
            for task in self._waiting.pop(key):
                self._refuse(task, "its caller is gone")
