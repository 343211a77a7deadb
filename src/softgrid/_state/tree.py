"""Who is on the grid as one executor sees it: the path up to the orchestrator, and everybody below.

An executor knows its whole subtree and its own path, and nothing else; everybody else is "up". ``hop`` is whatever
the caller uses to reach a neighbour (a link, in a running node); this module only keeps it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from softgrid._model.causes import headline
from softgrid._model.errors import NoRoute, PeerLost, Refused
from softgrid._model.names import NodeId, node_id, parse_name
from softgrid._model.roles import DOWNGRIDS, Role
from softgrid._state.population import Population

Hop = TypeVar("Hop")

DEPARTED_KEPT = 4096


class Member(Generic[Hop]):
    """An executor below this one; *path* are the names from the orchestrator down to its upgrid."""

    __slots__ = (
        "allows_udf",
        "cores",
        "hop",
        "joined_utc",
        "name",
        "node_id",
        "parsed",
        "password",
        "path",
        "suspicion",
    )

    def __init__(
        self,
        name: str,
        path: tuple[str, ...],
        hop: Hop,
        *,
        cores: int,
        joined_utc: float,
        password: str | None,
        allows_udf: bool = True,
    ) -> None:
        self.name = name
        self.parsed = parse_name(name)
        self.node_id = node_id(name)
        self.path = path
        self.hop = hop
        self.cores = cores
        self.joined_utc = joined_utc
        self.password = password
        self.suspicion: str | None = None
        """Why it does not work although it is there."""
        self.allows_udf = allows_udf

    def __repr__(self) -> str:
        return f"<Member {self.name}>"

    @property
    def role(self) -> Role:
        return self.parsed.role

    @property
    def upgrid(self) -> str:
        return self.path[-1]


class Tree(Generic[Hop]):
    """The part of the grid that one executor knows."""

    def __init__(self, name: str, role: Role) -> None:
        self.take_name(name)
        self.role = role
        self.upgrid_path: tuple[str, ...] = ()
        self.members: dict[NodeId, Member[Hop]] = {}
        self.routes: dict[int, Hop] = {}
        self.population = Population()
        self._children: dict[str, dict[NodeId, Member[Hop]]] = {}
        self._departed: OrderedDict[NodeId, str] = OrderedDict()

    def take_name(self, name: str) -> None:
        """From now on this executor is *name*; before anybody knows it."""
        self.name = name
        self.node_id = node_id(name)

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the orchestrator down to this executor."""
        return (*self.upgrid_path, self.name)

    @property
    def upgrid(self) -> str | None:
        """Name of the neighbour one hop nearer to the orchestrator."""
        return self.upgrid_path[-1] if self.upgrid_path else None

    def check_may_join(self, name: str, accepted: frozenset[Role]) -> None:
        """Raise Refused when an executor of that name may not stand directly under this one."""
        role = parse_name(name).role
        if role not in DOWNGRIDS[self.role]:
            raise Refused(f"a {self.role} holds no {role}s")
        if role not in accepted:
            raise Refused(f"{self.name} does not accept {role}s")
        if node_id(name) in self.members or name in self.path:
            raise Refused(f"{name} is on the grid already")

    def join(
        self,
        name: str,
        path: tuple[str, ...],
        hop: Hop,
        *,
        cores: int,
        now_utc: float,
        password: str | None = None,
        allows_udf: bool = True,
    ) -> Member[Hop]:
        """Take an executor into the subtree; *path* leads to its upgrid."""
        member = Member(name, path, hop, cores=cores, joined_utc=now_utc, password=password, allows_udf=allows_udf)
        self.members[member.node_id] = member
        self.routes[member.node_id] = hop
        self.population.add(member.parsed, cores)
        self._children.setdefault(member.upgrid, {})[member.node_id] = member
        self._departed.pop(member.node_id, None)
        return member

    def leave(self, name: str, reason: str) -> list[Member[Hop]]:
        """Remove an executor and everybody below it; gives those removed, the executor itself first."""
        gone = self.members.get(node_id(name))
        if gone is None:
            return []
        beside = self._children[gone.upgrid]
        del beside[gone.node_id]
        if not beside:
            del self._children[gone.upgrid]
        removed = [gone]
        for member in removed:
            removed += self._children.pop(member.name, {}).values()
            del self.members[member.node_id]
            del self.routes[member.node_id]
            self.population.remove(member.parsed)
            self.note_departed(member.node_id, reason if member is gone else f"{name} is gone: {headline(reason)}")
        return removed

    def note_departed(self, who: NodeId, reason: str) -> None:
        """Remember why somebody is gone (bounded: the oldest are forgotten)."""
        self._departed[who] = reason
        self._departed.move_to_end(who)
        if len(self._departed) > DEPARTED_KEPT:
            self._departed.popitem(last=False)

    def departure(self, who: NodeId) -> str | None:
        """Why that executor is gone, as far as is remembered."""
        return self._departed.get(who)

    def find(self, name: str) -> Member[Hop] | None:
        """Give the executor of that name if it is below this one."""
        return self.members.get(node_id(name))

    def below(self) -> list[Member[Hop]]:
        """All executors below this one, in the order in which they were acknowledged; a copy, for any thread."""
        return list(self.members.values())

    def names(self, role: Role) -> list[str]:
        """Names of all executors of *role* below this one, in the order in which they were acknowledged."""
        return [member.name for member in self.below() if member.parsed.role == role]

    def direct(self) -> list[Member[Hop]]:
        """The executors directly below this one."""
        return list(self._children.get(self.name, {}).values())

    def is_behind(self, name: object, hop: Hop) -> bool:
        """Whether somebody of that name is below this executor and reached over that neighbour."""
        member = self.find(name) if isinstance(name, str) else None
        return member is not None and member.hop is hop

    def may_speak_of(self, source: int, target: int) -> bool:
        """Whether *source* may lie on the way to *target*, as far as is known here: nobody beside it does."""
        speaker, about = self.members.get(NodeId(source)), self.members.get(NodeId(target))
        return speaker is None or about is None or speaker is about or speaker.name in about.path

    def suspicion(self, name: str) -> str | None:
        """Why somebody below does not work although it is there: for itself, or for who stands above it."""
        member = self.find(name)
        for each in (name, *reversed(member.path)) if member is not None else ():
            doubted = self.find(each)
            if doubted is not None and doubted.suspicion is not None:
                return f"{each} is {doubted.suspicion}"
        return None

    def check_reachable(self, name: str) -> None:
        """Raise when it is certain that nothing can be sent to *name*."""
        who = node_id(name)
        if who in self.members or name in self.path:
            return
        reason = self._departed.get(who)
        if reason is not None:
            raise PeerLost(f"{name} is gone: {reason}")
        if not self.upgrid_path:
            raise NoRoute(f"nobody named {name} is on the grid")

    def path_of(self, name: str) -> tuple[str, ...] | None:
        """Names from the orchestrator down to *name*, if this executor knows it."""
        if name in self.path:
            return self.path[: self.path.index(name) + 1]
        member = self.find(name)
        return (*member.path, name) if member else None

    def check_invariants(self) -> None:
        """Raise AssertionError when the tree contradicts itself; for tests."""
        assert set(self.members) == set(self.routes)
        children = {who: above for above, under in self._children.items() for who in under}
        assert children == {member.node_id: member.upgrid for member in self.below()}
        assert sum(number for _, _, number in self.population.counts()) == len(self.members)
        for member in self.below():
            assert self.name in member.path, f"{member.name} is not below {self.name}"
            assert member.upgrid == self.name or node_id(member.upgrid) in self.members
            assert self.routes[member.node_id] is member.hop
