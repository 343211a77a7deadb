"""Whoever below keeps saying what no executor may say is put out, and does not come back.

What it says is dropped each time, wherever it comes from. It is blamed only where there is no doubt, by its upgrid:
when it spoke in the name of somebody who is known to be elsewhere, or sent of its own what no honest one sends. Frames
of executors that have just gone are no offence.
"""

from __future__ import annotations

from collections.abc import Callable

from softgrid._io.link import Link
from softgrid._model.names import node_id
from softgrid._node.logs import Logs
from softgrid._node.membership import Membership
from softgrid._state.offences import Offences
from softgrid._state.tree import Tree


class Quarantine:
    """Puts liars out that stand directly below."""

    def __init__(self, tree: Tree[Link], membership: Membership, logs: Logs, kill_child: Callable[[str], bool]) -> None:
        self._tree = tree
        self._membership = membership
        self._logs = logs
        self._kill_child = kill_child
        self._offences = Offences()
        self._cause_of = membership.cause_of
        membership.cause_of = self._on_lost

    def on_forged(self, link: Link, source: int) -> None:
        """A message came over *link* from somebody who is not known to be behind it; it was dropped."""
        name = link.peer
        member = self._tree.find(name) if name is not None else None
        if name is None or member is None or member.upgrid != self._tree.name:
            return
        is_leaf = member.role == "worker"
        if is_leaf or self._tree.routes.get(source) not in (None, link) or source in {*map(node_id, self._tree.path)}:
            self._note(link, name, "in the name of another executor")

    def on_nonsense(self, link: Link, source: int, why: str) -> None:
        """A message of *source* could not be understood; it was dropped."""
        name = link.peer
        if name is not None and node_id(name) == source and self._tree.find(name) is not None:
            self._note(link, name, f"without a meaning ({why})")

    def _note(self, link: Link, name: str, what: str) -> None:
        verdict = self._offences.note(name, what)
        if verdict.is_first:
            self._logs.say("warn", f"{name} sent a message {what}; what is like it is dropped, and not told again")
        if verdict.is_enough:
            self._membership.dismissed.add(name)
            self._logs.say("error", f"{name} is {self._offences.account(name)}")
            if not self._kill_child(name):
                link.close(self._offences.account(name))

    def _on_lost(self, name: str, tell: Callable[[str | None], None]) -> None:
        if not self._offences.is_out(name):
            self._offences.forget(name)
            self._cause_of(name, tell)
            return
        account = self._offences.account(name)
        self._offences.forget(name)
        self._cause_of(name, lambda cause: self._tell_last(name, account, tell))

    def _tell_last(self, name: str, account: str, tell: Callable[[str | None], None]) -> None:
        tell(account)
        self._membership.dismissed.discard(name)
