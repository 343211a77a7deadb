"""Ending executors by force: ordered by the orchestrator, done by the upgrid, which sees the process gone.

    orchestrator → upgrid   kill {name}, answered when that executor has left the tree
    upgrid → downgrid       die, for one that was launched by somebody's hand and whose process is not ours to end

What stands below it goes with it: the supervisor ends the children of a process that is gone, and an executor that
joined by hand leaves when its upgrid is lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from softgrid._io.reactor import Reactor
from softgrid._model.errors import NoRoute, Refused, SoftgridError
from softgrid._model.names import node_id
from softgrid._node.control import Answer, Control
from softgrid._node.launching import Launching
from softgrid._node.membership import Membership
from softgrid._node.switch import Switch
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field

PATIENCE_S = 2.0
"""How long a process may take to be gone; then its link is cut, and it is no longer on the grid."""

CAUSE = "killed by the orchestrator, as asked"


class Killing:
    """Orders or does the killing of executors."""

    def __init__(
        self,
        tree: Tree[Any],
        switch: Switch,
        control: Control,
        membership: Membership,
        launching: Launching,
        reactor: Reactor,
    ) -> None:
        self._tree = tree
        self._switch = switch
        self._control = control
        self._launching = launching
        self._membership = membership
        self._reactor = reactor
        self._waiting: dict[str, list[Answer]] = {}
        self._cause_of = membership.cause_of
        membership.cause_of = self._on_lost
        control.methods["kill"] = self._on_kill
        control.notices["die"] = self._on_die

    # -- ordering (the orchestrator) ------------------------------------------------------------------------------

    def kill(self, names: list[str], timeout: float) -> list[SoftgridError | None]:
        """End executors and block until they are gone; gives for each what went wrong, or None."""
        outcomes: dict[str, SoftgridError | None] = {}
        orders: list[tuple[str, str]] = []  # who is to die, by whose hand
        for name in dict.fromkeys(names):
            try:
                orders.append((name, self._upgrid_of(name)))
            except SoftgridError as error:
                outcomes[name] = error
        doomed = {name for name, _ in orders}
        above = {name: next(each for each in self._tree.path_of(name) or () if each in doomed) for name in doomed}
        orders = [(name, upgrid) for name, upgrid in orders if above[name] == name]
        answers = self._control.ask_all([(upgrid, {"op": "kill", "name": name}) for name, upgrid in orders], timeout)
        for (name, _), answer in zip(orders, answers, strict=True):
            outcomes[name] = answer if isinstance(answer, SoftgridError) else None
        return [outcomes[above.get(name, name)] for name in names]

    def _upgrid_of(self, name: str) -> str:
        if name == self._tree.name:
            raise Refused("an executor does not kill itself so: use its kill() or disconnect()")
        self._tree.check_reachable(name)
        member = self._tree.find(name)
        if member is None:
            raise NoRoute(f"{name} is not below {self._tree.name}")
        return member.upgrid

    # -- doing (the upgrid) ---------------------------------------------------------------------------------------

    def _on_kill(self, message: Message, source: int, answer: Answer) -> None:
        name = field(message, "name", str)
        if source != node_id(self._tree.path[0]):
            raise Refused("only the orchestrator has executors killed")
        member = self._tree.find(name)
        if member is None or member.upgrid != self._tree.name:
            raise NoRoute(f"{name} is not directly below {self._tree.name}")
        self._membership.dismissed.add(name)
        self._waiting.setdefault(name, []).append(answer)
        if not self._launching.kill_child(name):
            self._control.tell_neighbour(member.hop, {"op": "die"})
        self._reactor.call_later(PATIENCE_S, lambda: self._cut_off(name))

    def _cut_off(self, name: str) -> None:
        member = self._tree.find(name)
        if name in self._waiting and member is not None:
            member.hop.close(f"{CAUSE}, but its process has not ended")
        else:
            self._finish(name)  # it had said goodbye before the blow fell

    def _on_lost(self, name: str, tell: Callable[[str | None], None]) -> None:
        def tell_and_answer(cause: str | None) -> None:
            tell(CAUSE if name in self._waiting else cause)
            self._finish(name)

        self._cause_of(name, tell_and_answer)

    def _finish(self, name: str) -> None:
        self._membership.dismissed.discard(name)
        for answer in self._waiting.pop(name, ()):
            answer({})

    def _on_die(self, link: Any, message: Message, source: int) -> None:
        if link is self._switch.uplink and not source:  # the upgrid's own word, not something it has passed on
            os.kill(os.getpid(), signal.SIGKILL)
