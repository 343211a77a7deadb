"""Garbage collection on request, beside whatever an executor is doing and without asking its queue or its rules.

any executor → any executor   collect_garbage, answered with {found}
"""

from __future__ import annotations

import gc

from softgrid._io.threads import Serial
from softgrid._model.errors import SoftgridError
from softgrid._node.control import Answer, Control
from softgrid._wire.control import Message


class Garbage:
    """Collects what nobody refers to any more, here and elsewhere."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._collector = Serial("softgrid-garbage")
        control.methods["collect_garbage"] = self._on_collect

    def collect(self, names: list[str], timeout: float) -> list[int | SoftgridError]:
        """Have executors collect and block until they have; gives for each how many objects were found, or an error."""
        answers = self._control.ask_all([(name, {"op": "collect_garbage"}) for name in names], timeout)
        return [answer if isinstance(answer, SoftgridError) else int(answer["found"]) for answer in answers]

    def _on_collect(self, message: Message, source: int, answer: Answer) -> None:
        self._collector.run(lambda: answer({"found": gc.collect()}))
