"""Who comes, who stays, who goes: joining, announcing it up the grid, and telling everybody concerned of a loss.

child → upgrid     join {name, cores, password}       upgrid → child   welcome {path} or turned_away {reason}
up, hop by hop     joined {name, path, cores, utc}    left {name, reason}
to who had called  gone {names, reason}
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any

from softgrid._io.link import Link
from softgrid._model.errors import LaunchFailed, SoftgridError
from softgrid._model.names import NodeId, node_id
from softgrid._model.roles import Role
from softgrid._node.control import Control
from softgrid._node.logs import Logs
from softgrid._node.switch import Switch
from softgrid._node.transfers import Transfers
from softgrid._state.tree import Member, Tree
from softgrid._wire.control import Message, field

CauseOf = Callable[[str, Callable[[str | None], None]], None]
"""Asks what an executor died of; answered with None when nobody knows."""

GoneHook = Callable[[set[int], Callable[[int], str]], None]
"""Told who is gone, and how to learn of what; runs in the reactor's turn."""


class Membership:
    """Keeps the tree in step with the links."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        control: Control,
        transfers: Transfers,
        logs: Logs,
        accepted: frozenset[Role],
        on_upgrid_lost: Callable[[str], None],
    ) -> None:
        self._tree = tree
        self._switch = switch
        self._control = control
        self._logs = logs
        self._accepted = accepted
        self._on_upgrid_lost = on_upgrid_lost
        self._joining: dict[Link, Callable[[SoftgridError | None, str], None]] = {}
        self.cause_of: CauseOf = lambda name, tell: tell(None)
        self.gone_hooks: list[GoneHook] = [transfers.on_gone]
        self.on_welcome: Callable[[], None] = lambda: None
        self.on_turned_away: Callable[[str], None] = lambda reason: None
        self.leaves = False
        control.notices.update(
            join=self._on_join,
            stillborn=self._on_stillborn,
            welcome=self._on_welcome,
            turned_away=self._on_turned_away,
            joined=self._on_joined,
            left=self._on_left,
            gone=self._on_gone,
            bye=self._on_bye,
        )

    # -- coming ---------------------------------------------------------------------------------------------------

    def expect(self, link: Link, on_joined: Callable[[SoftgridError | None, str], None]) -> None:
        """Somebody at the other end of *link* is about to join; *on_joined* is told of success or of the error."""
        self._joining[link] = on_joined

    def joining(self) -> set[Link]:
        """The links whose executors have not joined yet."""
        return set(self._joining)

    def ask_to_join(self, link: Link, message: Message) -> None:
        """Make *link* the way up and ask whoever is there for a place."""
        self._switch.uplink = link
        self._control.tell_neighbour(link, {"op": "join", **message})

    def _on_join(self, link: Link, message: Message, source: int) -> None:
        name, cores = field(message, "name", str), field(message, "cores", int)
        on_joined = self._joining.pop(link, None)
        try:
            if on_joined is None:
                raise SoftgridError("a join over a link that is in use")
            self._tree.check_may_join(name, self._accepted)
        except SoftgridError as error:
            self._control.tell_neighbour(link, {"op": "turned_away", "reason": str(error)})
            if on_joined is not None:
                on_joined(LaunchFailed("join", str(error), is_final=True), name)
            return
        assert on_joined is not None
        now = time()
        member = self._tree.join(
            name, self._tree.path, link, cores=cores, now_utc=now, password=message.get("password")
        )
        link.peer = name
        self._control.tell_neighbour(link, {"op": "welcome", "path": list(self._tree.path)})
        self._announce(member)
        on_joined(None, name)

    def _on_stillborn(self, link: Link, message: Message, source: int) -> None:
        on_joined = self._joining.pop(link, None)
        if on_joined is not None:
            on_joined(LaunchFailed("start", field(message, "reason", str), is_final=True), "")

    def _announce(self, member: Member[Link]) -> None:
        uplink = self._switch.uplink
        if uplink is not None:
            joined = {
                "name": member.name,
                "path": list(member.path),
                "cores": member.cores,
                "utc": member.joined_utc,
            }
            self._control.tell_neighbour(uplink, {"op": "joined", **joined})

    def _on_joined(self, link: Link, message: Message, source: int) -> None:
        name, path = field(message, "name", str), tuple(field(message, "path", list))
        known = node_id(name) in self._tree.members or name in self._tree.path
        if known or link.peer is None or link.peer not in path or self._tree.name not in path:
            return
        utc = field(message, "utc", (int, float))
        member = self._tree.join(name, path, link, cores=field(message, "cores", int), now_utc=utc)
        self._announce(member)

    def _on_welcome(self, link: Link, message: Message, source: int) -> None:
        if link is self._switch.uplink:
            self._tree.upgrid_path = tuple(field(message, "path", list))
            self.on_welcome()

    def _on_turned_away(self, link: Link, message: Message, source: int) -> None:
        if link is self._switch.uplink:
            self.on_turned_away(field(message, "reason", str))

    # -- going ----------------------------------------------------------------------------------------------------

    def on_link_closed(self, link: Link, reason: str) -> None:
        """A link is over, for whatever reason."""
        self._switch.forget(link)
        if link is self._switch.uplink:
            self._switch.uplink = None
            if not self.leaves:
                self._on_upgrid_lost(reason)
            return
        on_joined = self._joining.pop(link, None)
        if on_joined is not None:
            on_joined(SoftgridError(reason), "")
            return
        name = link.peer
        if name is None or self.leaves:
            return
        self.cause_of(name, lambda cause: self._lose(name, cause or reason, link))

    def _on_bye(self, link: Link, message: Message, source: int) -> None:
        if link.peer is not None:
            name, link.peer = link.peer, None
            self._lose(name, "it left the grid", link, is_orderly=True)

    def _lose(self, name: str, reason: str, link: Link, *, is_orderly: bool = False) -> None:
        gone = self._tree.leave(name, reason)
        if not gone or self.leaves:
            return
        gone_ids: set[int] = {member.node_id for member in gone}
        self._forget(gone_ids)
        told = {"op": "gone", "names": [member.name for member in gone], "reason": reason}
        for speaker in link.speakers - gone_ids - {self._tree.node_id}:
            self._control.tell_id(speaker, told)
        self._pass_left(name, reason)
        if not is_orderly:
            below = f", and with it {len(gone) - 1} executors below it" if len(gone) > 1 else ""
            self._logs.say("error", f"{name} is gone: {reason}{below}")

    def _forget(self, gone_ids: set[int]) -> None:
        for hook in self.gone_hooks:
            hook(gone_ids, self._departure)
        for gone in gone_ids:
            self._logs.forget(gone)

    def _departure(self, who: int) -> str:
        return self._tree.departure(NodeId(who)) or "its connection broke"

    def _pass_left(self, name: str, reason: str) -> None:
        uplink = self._switch.uplink
        if uplink is not None:
            self._control.tell_neighbour(uplink, {"op": "left", "name": name, "reason": reason})

    def _on_left(self, link: Link, message: Message, source: int) -> None:
        name, reason = field(message, "name", str), field(message, "reason", str)
        member = self._tree.find(name)
        if member is None or member.hop is not link:
            return
        self._forget({each.node_id for each in self._tree.leave(name, reason)})
        self._pass_left(name, reason)

    def _on_gone(self, link: Any, message: Message, source: int) -> None:
        names, reason = field(message, "names", list), field(message, "reason", str)
        gone_ids: set[int] = set()
        for name in names:
            if isinstance(name, str) and node_id(name) not in self._tree.members:
                self._tree.note_departed(node_id(name), reason)
                gone_ids.add(node_id(name))
        self._forget(gone_ids)

    def say_bye(self) -> None:
        """Tell the upgrid that this executor leaves on purpose."""
        uplink = self._switch.uplink
        if uplink is not None:
            self._control.tell_neighbour(uplink, {"op": "bye"})
