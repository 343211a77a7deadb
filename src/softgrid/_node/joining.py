"""Executors that join by hand: at the door of their upgrid, before the orchestrator, and at their own end.

guest → upgrid          TLS and the proof of the password (``_node.doorway``), then join {name, cores, password, key}
upgrid → orchestrator   admit {name, cores}           it knows all rules and all machines
back                    {rules, tolerance_s}, or why not
upgrid → guest          welcome {path, rules, tolerance_s}, or turned_away {reason}
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Timer, Waiter
from softgrid._model.errors import Refused, SoftgridError, TimedOut
from softgrid._model.names import NodeId, node_id, parse_name
from softgrid._model.roles import LAUNCHABLE, Role
from softgrid._model.rules import TRUST_RULE, Rules
from softgrid._node.control import Answer, Control
from softgrid._node.launching import Launching
from softgrid._node.logs import Logs
from softgrid._node.membership import Membership, Tell
from softgrid._node.switch import Switch
from softgrid._state.tree import Member, Tree
from softgrid._wire.control import Message, field

if TYPE_CHECKING:
    from softgrid._io.tls import TlsStream
    from softgrid._io.tls_link import TlsLink

JOIN_S = 10.0
"""How long one who has proved the password may take to say its name, and the orchestrator to answer."""
FAREWELL_S = 1.0


class _Place(NamedTuple):
    """A place on a machine, kept for somebody who was admitted and is not there yet."""

    address: str
    role: Role
    expiry: Timer


class Joining:
    """Comings by hand of one executor: those through its door, and its own."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        control: Control,
        membership: Membership,
        launching: Launching,
        logs: Logs,
        reactor: Reactor,
        rules: Callable[[], Rules],
        link_over: Callable[[TlsStream], TlsLink],
        tolerance_s: float,
    ) -> None:
        self._tree = tree
        self._switch = switch
        self._control = control
        self._membership = membership
        self._launching = launching
        self._logs = logs
        self._reactor = reactor
        self._rules = rules
        self._link_over = link_over
        self._tolerance_s = tolerance_s
        self._places: dict[NodeId, _Place] = {}
        self._arrival: _Arrival | None = None
        self._lock = threading.Lock()
        self.adopt_rules: Callable[[Message], None] = lambda rules: None
        control.methods["admit"] = control.guest_methods["admit"] = self._on_admit
        membership.on_member = self._on_member

    # -- the door -------------------------------------------------------------------------------------------------

    def on_entered(self, stream: TlsStream, source: str) -> None:
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
                self._logs.say("info", f"{name} joined by hand from {source}{key}")
            else:
                self._logs.say("warn", f"{name or 'somebody'} came from {source}{key} and did not join: {error}")
                self._reactor.call_later(FAREWELL_S, lambda: link.close("it was turned away"))

        self._membership.expect(link, on_joined, admit)
        link.open()

    def _admit(self, name: str, message: Message, link: TlsLink, tell: Tell) -> None:
        """Ask the orchestrator, which may be this executor itself."""

        def on_answer(answer: Message | SoftgridError) -> None:
            if isinstance(answer, SoftgridError):
                tell(answer, {})
            else:
                link.tolerate(answer["tolerance_s"])
                tell(None, {key: answer[key] for key in ("rules", "tolerance_s")})

        question = {"op": "admit", "name": name, "cores": message["cores"]}
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
        self._launching.take_place(name.address, name.role, field(message, "cores", int))
        expiry = self._reactor.call_later(JOIN_S, lambda: self._give_back(who))
        self._places[who] = _Place(name.address, name.role, expiry)
        answer({"rules": self._rules().as_dict(), "tolerance_s": self._tolerance_s})

    def _on_member(self, member: Member[Link]) -> None:
        self._give_back(member.node_id)

    def _give_back(self, who: NodeId) -> None:
        place = self._places.pop(who, None)
        if place is not None:
            place.expiry.cancel()
            self._launching.give_back_place(place.address, place.role)

    # -- the one who comes ----------------------------------------------------------------------------------------

    def connect(self, address: str, port: int, password: str, timeout: float, introduction: Message) -> Message:
        """Join a grid under the executor that listens there; gives its welcome. Blocks, *timeout* seconds at most.

        Raises Refused when this executor is on a grid already or is not let in, NoRoute, HandshakeFailed, TimedOut,
        TlsUnavailable.
        """
        if not self._lock.acquire(blocking=False):
            raise Refused("this executor is connecting to a grid already")
        try:
            self._check_alone()
            deadline = monotonic() + timeout
            stream = _Knock(self._reactor, address, port, password, deadline).wait()
            return self._arrive(stream, f"{address}:{port}", deadline, introduction)
        finally:
            self._lock.release()

    def _check_alone(self) -> None:
        if self._switch.uplink is not None or self._tree.upgrid_path:
            raise Refused(f"this executor is connected already: {' > '.join(self._tree.path)}")
        if self._tree.members:
            raise Refused("executors stand below this one already: connect first, launch afterwards")

    def _arrive(self, stream: TlsStream, where: str, deadline: float, introduction: Message) -> Message:
        link = self._link_over(stream)
        arrival = self._arrival = _Arrival(link, self.adopt_rules)
        self._membership.on_welcome = arrival.on_welcome
        self._membership.on_turned_away = arrival.on_turned_away

        def begin() -> None:
            link.open()
            self._membership.ask_to_join(link, introduction)

        def withdraw() -> None:
            link.close("not welcome")
            self._tree.upgrid_path = ()
            arrival.is_over.set()

        self._reactor.run_in_turn(begin)
        try:
            self._reactor.wait(arrival.waiter, max(0.0, deadline - monotonic()))
        finally:
            if arrival.welcome is None:
                self._reactor.run_in_turn(withdraw)
                self._reactor.wait(arrival.is_over)
            self._arrival = None
        if arrival.welcome is None:
            raise arrival.error or TimedOut(f"{where} knows the password and did not let this executor in in time")
        self._launching.is_at_home = False
        return arrival.welcome

    def on_uplink_lost(self, reason: str) -> bool:
        """The way up is gone; whether this was before it had led anywhere."""
        arrival = self._arrival
        if arrival is None or arrival.welcome is not None:
            return False
        arrival.fail(SoftgridError(f"the connection broke before this executor was let in: {reason}"))
        return True


class _Arrival:
    """What became of asking for a place."""

    def __init__(self, link: TlsLink, adopt_rules: Callable[[Message], None]) -> None:
        self._link = link
        self._adopt_rules = adopt_rules
        self.waiter = Waiter()
        self.is_over = Waiter()
        self.welcome: Message | None = None
        self.error: SoftgridError | None = None

    def on_welcome(self, message: Message) -> None:
        try:
            self._adopt_rules(field(message, "rules", dict))
            self._link.tolerate(field(message, "tolerance_s", (int, float)))
        except SoftgridError as error:
            self.fail(Refused(f"the grid goes by rules that this version of softgrid does not know: {error}"))
            return
        self.welcome = message
        self.waiter.set()

    def on_turned_away(self, reason: str) -> None:
        self.fail(Refused(reason))

    def fail(self, error: SoftgridError) -> None:
        self.error = self.error or error
        self.waiter.set()


class _Knock:
    """Knocking in a thread of its own, since looking up a name heeds no deadline."""

    def __init__(self, reactor: Reactor, address: str, port: int, password: str, deadline: float) -> None:
        self._reactor = reactor
        self._where = f"{address}:{port}"
        self._deadline = deadline
        self._waiter = Waiter()
        self._lock = threading.Lock()
        self._outcome: TlsStream | Exception | None = None
        self._is_given_up = False
        work = threading.Thread(
            target=self._run, args=(address, port, password), name="softgrid-connecting", daemon=True
        )
        work.start()

    def _run(self, address: str, port: int, password: str) -> None:
        from softgrid._node.knock import knock

        outcome: TlsStream | Exception
        try:
            outcome = knock(address, port, password, self._deadline)
        except Exception as error:
            outcome = error
        with self._lock:
            if not self._is_given_up:
                self._outcome = outcome
            elif not isinstance(outcome, Exception):
                outcome.close()
        self._waiter.set()

    def wait(self) -> TlsStream:
        """Give the connection; raises what went wrong."""
        try:
            self._reactor.wait(self._waiter, max(0.0, self._deadline - monotonic()))
        finally:
            with self._lock:
                self._is_given_up = self._outcome is None
        if self._outcome is None:
            raise TimedOut(f"{self._where} did not answer in time")
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome
