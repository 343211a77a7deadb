"""Garbage collection on request, beside whatever an executor is doing and without asking its queue or its rules.

any executor → any executor   collect_garbage, answered with {found}
"""

from __future__ import annotations

import gc
from typing import Any

from softgrid._io.threads import Serial
from softgrid._model.errors import SoftgridError
from softgrid._node.control import Answer, Control
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field


class Garbage:
    """Collects what nobody refers to any more, here and elsewhere."""

    def __init__(self, tree: Tree[Any], control: Control) -> None:
        self._tree = tree
        self._control = control
        self._collector = Serial("softgrid-garbage")
        control.methods["collect_garbage"] = self._on_collect

    def collect(self, names: list[str], timeout: float) -> list[int | SoftgridError]:
        """Have executors collect and block until they have; gives for each how many objects were found, or an error."""
        answers = self._control.ask_each(names, {"op": "collect_garbage"}, timeout)
        return [self._found(name, answer) for name, answer in zip(names, answers, strict=True)]

    def _found(self, name: str, answer: Message | SoftgridError) -> int | SoftgridError:
        if not isinstance(answer, SoftgridError):
            found: int = field(answer, "found", int)
            return found
        try:
            self._tree.check_reachable(name)
        except SoftgridError as error:  # which knows of what it died
            return error
        return answer

    def _on_collect(self, message: Message, source: int, answer: Answer) -> None:
        self._collector.run(lambda: answer({"found": gc.collect()}))
