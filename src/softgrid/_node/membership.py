"""Who comes, who stays, who goes: joining, announcing it up the grid, and telling everybody concerned of a loss.

child → upgrid     join {name, cores, password, allows_udf}      upgrid → child   welcome {path}, turned_away {reason}
up, hop by hop     joined {name, path, cores, utc, allows_udf, heir_of}
                   left {name, reason, orderly}    suspect {name, reason}
to who had spoken  gone {names, reason}
either way         bye: it leaves on purpose
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from time import time
from typing import Any

from softgrid._io.link import Link
from softgrid._model.causes import remarked
from softgrid._model.errors import LaunchFailed, SoftgridError
from softgrid._model.names import NodeId, node_id, parse_name
from softgrid._model.roles import Role
from softgrid._node.control import Control
from softgrid._node.logs import Logs
from softgrid._node.switch import Switch
from softgrid._node.transfers import Transfers
from softgrid._state.health import Doubts
from softgrid._state.last_calls import LastCalls, read_last_call
from softgrid._state.tree import Member, Tree
from softgrid._wire.control import Message, field

LOST_KEPT = 100
BELOW_TOLD = 256
"""Of so many who ended with another it is told what they were doing."""

Tell = Callable[[SoftgridError | None, Message], None]
Admit = Callable[[str, Message, Tell], None]
"""Asks whether an executor of that name may come at all; answered with an error, or with what to add to its welcome."""

CauseOf = Callable[[str, Callable[[str | None], None]], None]
"""Asks what an executor died of; answered with None when nobody knows."""

GoneHook = Callable[[set[int], Callable[[int], str]], None]
"""Told who is gone, and how to learn of what; runs in the reactor's turn."""


class _Expected:
    """Somebody who is about to join."""

    def __init__(
        self, on_joined: Callable[[SoftgridError | None, str], None], admit: Admit | None, heir_of: str | None
    ) -> None:
        self.on_joined = on_joined
        self.admit = admit
        self.heir_of = heir_of
        self.is_asking = False


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
        self._joining: dict[Link, _Expected] = {}
        self.cause_of: CauseOf = lambda name, tell: tell(None)
        self.on_welcome: Callable[[Message], None] = lambda message: None
        self.gone_hooks: list[GoneHook] = [transfers.on_gone]
        self.on_turned_away: Callable[[str], None] = lambda reason: None
        self.on_lost: Callable[[list[Member[Link]], str, bool], None] = lambda gone, reason, is_orderly: None
        self.on_left: Callable[[list[str]], None] = lambda names: None
        """Told of those who have left in good order, with all below them."""
        self.on_heir: Callable[[str, str, tuple[str, ...], Link], None] = lambda lost, heir, path, link: None
        """Told of one who comes in the place of one that was lost, before anybody can know of it."""
        self.before_gone: Callable[[set[int]], None] = lambda gone: None
        """Told of executors that are gone, before anybody who waits for them."""
        self.on_gone: list[Callable[[set[int]], None]] = []
        """Told of executors that are gone, after everybody who waits for them."""
        self.dismissed: set[str] = set()  # whose end was asked for
        self.last_calls = LastCalls()
        self._doubts = Doubts()
        self.lost: OrderedDict[str, tuple[Member[Link], str]] = OrderedDict()
        """Who was lost lately without having left, with the cause."""
        self.on_member: Callable[[Member[Link]], None] = lambda member: None
        self.leaves = False
        self.upgrid_said_bye = False
        control.notices.update(
            join=self._on_join,
            stillborn=self._on_stillborn,
            welcome=self._on_welcome,
            turned_away=self._on_turned_away,
            joined=self._on_joined,
            left=self._on_left,
            gone=self._on_gone,
            bye=self._on_bye,
            suspect=self._on_suspect,
        )
        control.own_words |= {"join", "stillborn", "welcome", "turned_away", "joined", "left", "bye", "suspect"}

    # -- coming ---------------------------------------------------------------------------------------------------

    def expect(
        self,
        link: Link,
        on_joined: Callable[[SoftgridError | None, str], None],
        admit: Admit | None = None,
        heir_of: str | None = None,
    ) -> None:
        """Somebody at the other end of *link* is about to join; *on_joined* is told of success or of the error.

        *admit* is asked before, about one whom nobody on the grid has decided to launch. *heir_of*: in whose place.
        """
        self._joining[link] = _Expected(on_joined, admit, heir_of)

    def joining(self) -> set[Link]:
        """The links whose executors have not joined yet."""
        return set(self._joining)

    def ask_to_join(self, link: Link, message: Message) -> None:
        """Make *link* the way up and ask whoever is there for a place."""
        self._switch.uplink = link
        self._control.tell_neighbour(link, {"op": "join", **message})

    def _on_join(self, link: Link, message: Message, source: int) -> None:
        name = field(message, "name", str)
        field(message, "cores", int)
        expected = self._joining.get(link)
        if expected is None or expected.is_asking:
            self._turn_away(link, SoftgridError("a join over a link that is in use"))
            return
        error = self._objection(name)
        if expected.admit is None or error is not None:
            self._on_admitted(link, message, error, {})
            return
        expected.is_asking = True
        expected.admit(name, message, lambda error, more: self._on_admitted(link, message, error, more))

    def _objection(self, name: str) -> SoftgridError | None:
        try:
            self._tree.check_may_join(name, self._accepted)
        except SoftgridError as error:
            return error
        return None

    def _on_admitted(self, link: Link, message: Message, error: SoftgridError | None, more: Message) -> None:
        expected = self._joining.pop(link, None)
        if expected is None:  # gone meanwhile
            return
        name = message["name"]
        error = error or self._objection(name)
        if error is not None:
            self._turn_away(link, error)
            expected.on_joined(LaunchFailed("join", str(error), is_final=True), name)
            return
        if expected.heir_of is not None:
            self.on_heir(expected.heir_of, name, self._tree.path, link)
        member = self._tree.join(
            name,
            self._tree.path,
            link,
            cores=message["cores"],
            now_utc=time(),
            password=message.get("password"),
            allows_udf=message.get("allows_udf") is not False,
        )
        link.peer = name
        self._control.tell_neighbour(link, {"op": "welcome", "path": list(self._tree.path), **more})
        self._announce(member, expected.heir_of)
        expected.on_joined(None, name)

    def _turn_away(self, link: Link, error: SoftgridError) -> None:
        self._control.tell_neighbour(link, {"op": "turned_away", "reason": str(error)})

    def _on_stillborn(self, link: Link, message: Message, source: int) -> None:
        expected = self._joining.pop(link, None)
        if expected is not None:
            expected.on_joined(LaunchFailed("start", field(message, "reason", str), is_final=True), "")

    def _announce(self, member: Member[Link], heir_of: str | None) -> None:
        self.on_member(member)
        uplink = self._switch.uplink
        if uplink is not None:
            joined = {
                "name": member.name,
                "path": list(member.path),
                "cores": member.cores,
                "utc": member.joined_utc,
                "allows_udf": member.allows_udf,
                **({} if heir_of is None else {"heir_of": heir_of}),
            }
            self._control.tell_neighbour(uplink, {"op": "joined", **joined})

    def _on_joined(self, link: Link, message: Message, source: int) -> None:
        name, path = field(message, "name", str), tuple(field(message, "path", list))
        known = node_id(name) in self._tree.members or name in self._tree.path
        if known or link.peer is None or link.peer not in path or self._tree.name not in path:
            return
        if not self._tree.is_behind(path[-1], link):  # when that link ends nobody would take it out again
            return
        utc, heir_of = field(message, "utc", (int, float)), message.get("heir_of")
        if isinstance(heir_of, str):
            self.on_heir(heir_of, name, path, link)
        else:
            heir_of = None
        member = self._tree.join(
            name,
            path,
            link,
            cores=field(message, "cores", int),
            now_utc=utc,
            allows_udf=message.get("allows_udf") is not False,
        )
        self._announce(member, heir_of)

    def _on_welcome(self, link: Link, message: Message, source: int) -> None:
        if link is self._switch.uplink:
            self._tree.upgrid_path = tuple(field(message, "path", list))
            self.on_welcome(message)

    def _on_turned_away(self, link: Link, message: Message, source: int) -> None:
        if link is self._switch.uplink:
            self.on_turned_away(field(message, "reason", str))

    # -- doubted --------------------------------------------------------------------------------------------------

    def suspect(self, name: str, reason: str | None, kind: str = "cut", *, is_said: bool = False) -> None:
        """Somebody directly below does not work although it is there, for a reason of that *kind*; with None: no more.

        There may be several at a time. It is logged, unless it *is_said* already.
        """
        member = self._tree.find(name)
        if member is None:
            return
        reason = self._doubts.note(name, kind, reason)
        if member.suspicion == reason:
            return
        if not is_said:
            self._logs.say("warn", f"{name} is {reason}" if reason else f"{name} goes on")
        self._doubt(member, reason)

    def _doubt(self, member: Member[Link], reason: str | None) -> None:
        member.suspicion = reason
        uplink = self._switch.uplink
        if uplink is not None:
            self._control.tell_neighbour(uplink, {"op": "suspect", "name": member.name, "reason": reason})

    def _on_suspect(self, link: Link, message: Message, source: int) -> None:
        reason = message.get("reason")
        member = self._tree.find(field(message, "name", str))
        if member is not None and member.hop is link and isinstance(reason, (str, type(None))):
            self._doubt(member, reason)

    # -- going ----------------------------------------------------------------------------------------------------

    def on_link_closed(self, link: Link, reason: str) -> None:
        """A link is over, for whatever reason."""
        self._switch.forget(link)
        if link is self._switch.uplink:
            self._switch.uplink = None
            if not self.leaves:
                self._on_upgrid_lost(reason)
            return
        expected = self._joining.pop(link, None)
        if expected is not None:
            expected.on_joined(SoftgridError(reason), "")
            return
        name = link.peer
        if name is None or self.leaves:
            return
        self.cause_of(name, lambda cause: self._lose(name, cause or reason, link, is_orderly=name in self.dismissed))

    def _on_bye(self, link: Link, message: Message, source: int) -> None:
        if link is self._switch.uplink:
            self.upgrid_said_bye = True
        elif link.peer is not None:
            name, link.peer = link.peer, None
            self._lose(name, "it left the grid", link, is_orderly=True)

    def _lose(self, name: str, reason: str, link: Link, *, is_orderly: bool = False) -> None:
        gone = self._tree.leave(name, reason)
        if not gone or self.leaves:
            return
        self._doubts.forget(name)
        self._note_lost(gone, reason, is_orderly)
        gone_ids: set[int] = {member.node_id for member in gone}
        self._forget(gone_ids)
        names = [member.name for member in gone]
        told = {"op": "gone", "names": names, "reason": reason, **self._last_calls_of(names)}
        for speaker in link.speakers - gone_ids - {self._tree.node_id}:
            self._control.tell_id(speaker, told)
        self._pass_left(names, reason, is_orderly)
        if not is_orderly:
            below = f", and with it {len(gone) - 1} executors below it" if len(gone) > 1 else ""
            self._logs.say("error", remarked(f"{name} is gone: {reason}", below))
        self.on_lost(gone, reason, is_orderly)

    def _note_lost(self, gone: list[Member[Link]], reason: str, is_orderly: bool) -> None:
        if is_orderly:
            self.on_left([member.name for member in gone])
            return
        for member in gone:
            cause = reason if member is gone[0] else self._departure(member.node_id)
            self.lost[member.name] = (member, cause)
        while len(self.lost) > LOST_KEPT:
            self.lost.popitem(last=False)

    def _forget(self, gone_ids: set[int]) -> None:
        self._switch.forget_sources(gone_ids)
        uplink = self._switch.uplink
        for link in (*(member.hop for member in self._tree.direct()), *([uplink] if uplink else [])):
            link.speakers -= gone_ids
        self.before_gone(gone_ids)
        for hook in self.gone_hooks:
            hook(gone_ids, self._departure)
        for gone in gone_ids:
            self._logs.forget(gone)
        for tell in self.on_gone:
            tell(gone_ids)

    def _departure(self, who: int) -> str:
        return self._tree.departure(NodeId(who)) or "its connection broke"

    def _pass_left(self, names: list[str], reason: str, is_orderly: bool) -> None:
        uplink = self._switch.uplink
        if uplink is not None:
            left = {"op": "left", "name": names[0], "reason": reason, "orderly": is_orderly}
            self._control.tell_neighbour(uplink, {**left, **self._last_calls_of(names)})

    def _last_calls_of(self, names: list[str]) -> Message:
        """Give what tells others which call to blame for a death, and what had not begun; nothing of others."""
        known = {name: last.told() for name in names[: BELOW_TOLD + 1] if (last := self.last_calls.of(node_id(name)))}
        first = known.pop(names[0], {})
        return {**first, **({"below": known} if known else {})}

    def _note_last_calls(self, names: list[str], message: Message) -> None:
        """Take what is told of the end of the first of *names*, and of the others, which stood below it."""
        if "running" in message:
            self.last_calls.note(node_id(names[0]), read_last_call(message))
        for name, told in field(message, "below", dict).items() if "below" in message else ():
            if name in names[1:]:
                self.last_calls.note(node_id(name), read_last_call(told, is_asked=True))

    def note_last_calls_below(self, lost: str, ended: Iterable[Message]) -> None:
        """A supervisor tells of those that ended since *lost* did: by their process ids."""
        machine = parse_name(lost).address
        below = [member for member in self._tree.below() if lost in member.path and member.parsed.address == machine]
        names = {member.parsed.pid: member.name for member in below}
        for told in ended:
            if told["pid"] in names:
                self.last_calls.note(node_id(names[told["pid"]]), read_last_call(told, is_asked=True))

    def _on_left(self, link: Link, message: Message, source: int) -> None:
        name, reason = field(message, "name", str), field(message, "reason", str)
        member = self._tree.find(name)
        if member is None or member.hop is not link:
            return
        is_orderly = message.get("orderly") is True
        gone = self._tree.leave(name, reason)
        names = [each.name for each in gone]
        self._note_last_calls(names, message)
        self._note_lost(gone, reason, is_orderly)
        self._forget({each.node_id for each in gone})
        self._pass_left(names, reason, is_orderly)
        self.on_lost(gone, reason, is_orderly)

    def _on_gone(self, link: Any, message: Message, source: int) -> None:
        names, reason = field(message, "names", list), field(message, "reason", str)
        gone_ids: set[int] = set()
        for name in names:
            if not isinstance(name, str) or node_id(name) in self._tree.members:
                continue
            if self._switch.hop_to(node_id(name)) is link:
                self._tree.note_departed(node_id(name), reason)
                gone_ids.add(node_id(name))
        if gone_ids:
            self._note_last_calls(names, message)
            self._forget(gone_ids)

    def mourn(self, name: str, reason: str) -> None:
        """An executor elsewhere on the grid cannot be reached any more; of those below, their upgrids tell."""
        if node_id(name) not in self._tree.members:
            self._tree.note_departed(node_id(name), reason)
            self._forget({node_id(name)})

    def say_bye(self) -> None:
        """Tell the neighbours that this executor leaves on purpose."""
        uplink = self._switch.uplink
        for link in (*({member.hop for member in self._tree.direct()}), *([uplink] if uplink else [])):
            self._control.tell_neighbour(link, {"op": "bye"})
