"""Executors that join by hand: let in at the door of their upgrid, when the orchestrator has agreed.

guest → upgrid          TLS and the proof of the password (``_node.doorway``), then join {name, cores, password, key}
upgrid → orchestrator   admit {name, cores, machine}  it knows all rules and all machines
back                    {rules, frequency_s, tolerance_s}, or why not
upgrid → guest          welcome {path} with the same, or turned_away {reason}

How it looks to the guest stands in ``_node.joining``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Timer
from softgrid._model.errors import Refused, SoftgridError
from softgrid._model.names import NodeId, node_id, parse_name
from softgrid._model.roles import LAUNCHABLE
from softgrid._model.rules import TRUST_RULE, Rules
from softgrid._node.control import Answer, Control
from softgrid._node.health import Health
from softgrid._node.logs import Logs
from softgrid._node.membership import Membership, Tell
from softgrid._node.places import Places
from softgrid._state.tree import Member, Tree
from softgrid._wire.control import Message, field

if TYPE_CHECKING:
    from softgrid._io.resumable import ResumableStream
    from softgrid._io.resumable_link import ResumableLink

JOIN_S = 10.0
"""How long one who has proved the password may take to say its name, and the orchestrator to answer."""
FAREWELL_S = 1.0


class _Place(NamedTuple):
    """A place on a machine, kept for somebody who was admitted and is not there yet."""

    ticket: int
    expiry: Timer


class Admission:
    """Who comes through the door of one executor, and, if it is the orchestrator, through any."""

    def __init__(
        self,
        tree: Tree[Link],
        control: Control,
        membership: Membership,
        places: Places,
        logs: Logs,
        reactor: Reactor,
        rules: Callable[[], Rules],
        link_over: Callable[[ResumableStream], ResumableLink],
        health: Health,
    ) -> None:
        self._tree = tree
        self._control = control
        self._membership = membership
        self._grid_places = places
        self._logs = logs
        self._reactor = reactor
        self._rules = rules
        self._link_over = link_over
        self._health = health
        self._places: dict[NodeId, _Place] = {}
        control.methods["admit"] = control.guest_methods["admit"] = self._on_admit
        membership.on_member = self._on_member

    # -- the door -------------------------------------------------------------------------------------------------

    def on_entered(self, stream: ResumableStream, source: str) -> None:
        """Somebody has proved the password at the door."""
        link = self._link_over(stream)
        link.is_guest = not self._rules()[TRUST_RULE]
        deadline = self._reactor.call_later(JOIN_S, lambda: link.close("it did not join in time"))
        key = ""

        def admit(name: str, message: Message, tell: Tell) -> None:
            nonlocal key
            key = f" ({message['key']})" if isinstance(message.get("key"), str) else ""
            self._admit(name, message, link, tell)

        def on_joined(error: SoftgridError | None, name: str) -> None:
            deadline.cancel()
            if error is None:
                self._health.watch_guest(link, name)
                self._logs.say("info", f"{name} joined by hand from {source}{key}")
            else:
                self._logs.say("warn", f"{name or 'somebody'} came from {source}{key} and did not join: {error}")
                self._reactor.call_later(FAREWELL_S, lambda: link.close("it was turned away"))

        self._membership.expect(link, on_joined, admit)
        link.open()

    def _admit(self, name: str, message: Message, link: ResumableLink, tell: Tell) -> None:
        """Ask the orchestrator, which may be this executor itself."""

        def on_answer(answer: Message | SoftgridError) -> None:
            if isinstance(answer, SoftgridError):
                tell(answer, {})
            else:
                link.tolerate(answer["tolerance_s"])
                tell(None, {key: answer[key] for key in ("rules", "frequency_s", "tolerance_s")})

        question = {"op": "admit", "name": name, "cores": message["cores"], "machine": message.get("machine")}
        self._control.ask(self._tree.path[0], question, on_answer)

    # -- deciding (the orchestrator) ------------------------------------------------------------------------------

    def _on_admit(self, message: Message, source: int, answer: Answer) -> None:
        name = parse_name(field(message, "name", str))
        who = node_id(str(name))
        if self._tree.upgrid_path:
            raise Refused(f"{self._tree.name} is not the orchestrator")
        if name.role not in LAUNCHABLE:
            raise Refused(f"an {name.role} joins nobody")
        if who in self._tree.members or who in self._places:
            raise Refused(f"{name} is on the grid already; give it another name, or another port")
        ticket = self._grid_places.take(name.address, name.role, field(message, "cores", int), str(name))
        if isinstance(message.get("machine"), str):
            self._grid_places.settle(ticket, message["machine"], who)
        expiry = self._reactor.call_later(JOIN_S, lambda: self._give_back(who))
        self._places[who] = _Place(ticket, expiry)
        answer({"rules": self._rules_for_guests(), **self._health.terms._asdict()})

    def _rules_for_guests(self) -> Message:
        """Give the rules, which are not to promise what guests are refused: the sources of all modules here."""
        rules = self._rules()
        return rules.as_dict() if rules[TRUST_RULE] else rules.updated({"fetch_modules": False}).as_dict()

    def _on_member(self, member: Member[Link]) -> None:
        if member.node_id in self._places:
            self._give_back(member.node_id)
        else:
            self._grid_places.arrived(member.parsed.address, member.role, member.upgrid)

    def _give_back(self, who: NodeId) -> None:
        place = self._places.pop(who, None)
        if place is not None:
            place.expiry.cancel()
            self._grid_places.give_back(place.ticket)
