"""Who stands in for an executor that was lost: asked of the orchestrator, which launches executors anew.

anybody → orchestrator   heir {name, is_lost} → {heir}, as soon as it is decided; None: there will be none
"""

from __future__ import annotations

from collections.abc import Callable

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._model.errors import NoRoute, SoftgridError
from softgrid._model.names import node_id
from softgrid._node.control import Answer, Control
from softgrid._state import heirs
from softgrid._state.tree import Member, Tree
from softgrid._wire.control import Message, field

STILL_THERE_S = 2.0
"""Who is said to be lost and is on the grid all that time is not lost: only somebody's way to it is."""

OnHeir = Callable[[str | SoftgridError], None]


class Heirs:
    """Asks for heirs; at the orchestrator, answers."""

    def __init__(self, tree: Tree[Link], control: Control, reactor: Reactor) -> None:
        self._tree = tree
        self._control = control
        self._reactor = reactor
        self._asking: dict[str, list[OnHeir]] = {}
        self._known: heirs.Heirs[Answer] = heirs.Heirs()

    # -- asking, in the reactor's turn ----------------------------------------------------------------------------

    def ask(self, name: str, on_heir: OnHeir, *, is_lost: bool) -> None:
        """Have *on_heir* told who stands in for *name*, or that nobody does; one question for all who want to know."""
        waiting = self._asking.setdefault(name, [])
        waiting.append(on_heir)
        if len(waiting) == 1:
            question = {"op": "heir", "name": name, "is_lost": is_lost}
            self._control.ask(self._tree.path[0], question, lambda answer: self._on_answer(name, answer))

    def _on_answer(self, name: str, answer: Message | SoftgridError) -> None:
        found: str | SoftgridError
        if isinstance(answer, SoftgridError):
            found = answer
        else:
            heir = answer.get("heir")
            found = heir if isinstance(heir, str) else NoRoute(f"nobody stands in for {name}")
        for on_heir in self._asking.pop(name, ()):
            on_heir(found)

    # -- answering (the orchestrator) -----------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer whoever asks; for the orchestrator."""
        self._control.methods["heir"] = self._control.guest_methods["heir"] = self._on_question

    def on_lost(self, gone: list[Member[Link]]) -> None:
        """Executors are gone."""
        self._known.on_lost([member.name for member in gone])

    def on_decided(self, name: str, heir: str | None) -> None:
        """It is decided who stands in for *name*, or that nobody does."""
        for answer in self._known.decide(name, heir):
            answer({"heir": heir})

    def _on_question(self, message: Message, source: int, answer: Answer) -> None:
        name, is_lost = field(message, "name", str), field(message, "is_lost", bool)
        decided = self._known.find(name)
        is_there = self._tree.find(name) is not None
        has_left = self._tree.departure(node_id(name)) is not None
        if decided is not None:
            answer({"heir": decided.heir})
        elif not is_there and (has_left or self._known.is_pending(name)):
            self._known.await_decision(name, answer)
        elif is_there and is_lost:  # its upgrid has said so to the asker, and is about to say so here
            self._known.await_decision(name, answer)
            self._reactor.call_later(STILL_THERE_S, lambda: self._answer_still_there(name, answer))
        else:
            answer({"heir": name if is_there else None})

    def _answer_still_there(self, name: str, answer: Answer) -> None:
        if self._tree.find(name) is not None and self._known.give_up(name, answer):
            answer({"heir": name})
