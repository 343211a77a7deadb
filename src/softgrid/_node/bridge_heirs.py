"""The orchestrator builds the bridges of an executor that was lost again, to the one that was launched in its place.

builder → orchestrator   bridge_is {from, to, password}, bridge_was {from, to}
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from softgrid._model.errors import SoftgridError, Undecodable
from softgrid._model.names import node_id, parse_name
from softgrid._node.control import Control
from softgrid._state.known_bridges import Known, KnownBridges
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field

PATIENCE_S = 10.0


class BridgeHeirs:
    """What the orchestrator knows of the bridges of its grid."""

    def __init__(self, tree: Tree[Any], control: Control, say: Callable[[str, str], None]) -> None:
        self._tree = tree
        self._control = control
        self._say = say
        self.known = KnownBridges()
        control.notices["bridge_is"] = self._on_is
        control.notices["bridge_was"] = self._on_was

    def _on_is(self, link: Any, message: Message, source: int) -> None:
        self.known.on_built(Known(*_ends(message, source), field(message, "password", str)))

    def _on_was(self, link: Any, message: Message, source: int) -> None:
        self.known.on_over(*_ends(message, source))

    def on_heir(self, lost: str, heir: str) -> None:
        """An executor is back under another name."""
        for bridge in self.known.on_heir(lost, heir, lambda name: self._tree.path_of(name) is not None):
            question = {"op": "bridge_build", "to": bridge.ends, "timeout": PATIENCE_S, "password": bridge.password}
            self._control.ask(bridge.begins, question, partial(self._on_answer, bridge))

    def _on_answer(self, bridge: Known, answer: Message | SoftgridError) -> None:
        what = f"the bridge from {bridge.begins} to {bridge.ends}"
        if isinstance(answer, SoftgridError):
            self._say("warn", f"{what} could not be built again: {answer}")
        else:
            self._say("info", f"{what} is there again")


def _ends(message: Message, source: int) -> tuple[str, str]:
    """Read between whom a bridge is; only its builder tells of it."""
    begins, ends = (str(parse_name(message[key])) for key in ("from", "to"))
    if node_id(begins) != source:
        raise Undecodable("somebody else's bridge")
    return begins, ends
