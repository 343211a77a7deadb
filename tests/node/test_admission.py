"""Admission: who comes through the door is asked for at the orchestrator, which keeps a place and gives the rules."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeLink, FakeReactor, FakeSwitch
from tests.harness.trees import A1, STRANGER, TOP, A, R, tree_of

from softgrid._model.errors import Refused
from softgrid._model.names import node_id, parse_name
from softgrid._model.rules import TRUST_RULE, Rules
from softgrid._node.admission import JOIN_S, Admission
from softgrid._node.control import Control
from softgrid._node.membership import Membership
from softgrid._state.health import Terms
from softgrid._state.inflight import InFlight
from softgrid._wire.control import decode_control, encode_control
from softgrid._wire.framing import Kind

ADDRESS = parse_name(STRANGER).address


class GuestLink(FakeLink):
    """The link to somebody at the door."""

    def __init__(self, host: Host) -> None:
        super().__init__("guest")
        self.peer = None
        self._host = host

    def tolerate(self, silence_s: float) -> None:
        self.tolerated = silence_s

    def open(self) -> None:
        self._host.links.append(self)

    def close(self, reason: str = "closed here") -> None:
        super().close(reason)
        self._host.membership.on_link_closed(self, reason)  # type: ignore[arg-type]


class Host:
    """An executor with a door: the orchestrator, or one below it."""

    def __init__(self, name: str = TOP, **rules: Any) -> None:
        self.tree = tree_of(name)
        self.up = None if name == TOP else FakeLink("up")
        self.switch = FakeSwitch(self.tree.node_id, self.up)
        self.reactor = FakeReactor()
        self.control = Control(self.switch, self.reactor, InFlight(), self.tree)  # type: ignore[arg-type]
        self.switch.deliver[Kind.CONTROL] = self.control.on_control
        self.said: list[tuple[str, str]] = []
        self.places: list[tuple[Any, ...]] = []
        self.arrivals: list[tuple[str, str, int]] = []
        self.machines: list[str] = []
        self.full: Refused | None = None
        self.rules = Rules(rules)
        self.membership = Membership(
            self.tree,  # type: ignore[arg-type]
            self.switch,  # type: ignore[arg-type]
            self.control,
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            frozenset({"router", "manager", "worker"}),
            lambda reason: None,
        )
        self.admission = Admission(
            self.tree,  # type: ignore[arg-type]
            self.control,
            self.membership,
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            self.reactor,  # type: ignore[arg-type]
            lambda: self.rules,
            lambda stream: GuestLink(self),  # type: ignore[arg-type, return-value]
            self,  # type: ignore[arg-type]
        )
        self.watched: list[str] = []
        self.links: list[GuestLink] = []

    # what stands for launching, transfers, logs and health

    terms = Terms(3.0, 9.0)

    def watch_guest(self, link: GuestLink, name: str) -> None:
        self.watched.append(name)

    def take(self, address: str, role: str, cores: int, performer: str) -> int:
        if self.full is not None:
            raise self.full
        self.performer = performer
        self.places.append((address, role, cores))
        return id(self.places[-1])

    def settle(self, ticket: int, machine: str, performer: int) -> None:
        assert performer == node_id(self.performer), "who comes speaks for itself"
        self.machines.append(machine)

    def arrived(self, address: str, role: str, upgrid: str) -> None:
        self.arrivals.append((address, role, upgrid))

    def give_back(self, ticket: int) -> None:
        self.places.remove(next(place for place in self.places if id(place) == ticket))

    def on_gone(self, targets: set[int], cause_of: Any) -> None:
        return

    def forget(self, origin: int) -> None:
        return

    def say(self, log_type: str, message: str) -> None:
        self.said.append((log_type, message))

    # what happens

    def enters(self) -> GuestLink:
        self.admission.on_entered(None, "10.0.0.9")  # type: ignore[arg-type]
        return self.links.pop()

    def introduces(self, link: FakeLink, name: str = STRANGER, **more: Any) -> None:
        message = {"op": "join", "name": name, "cores": 4, "password": "own", **more}
        self.control.on_control(link, 0, 0, encode_control(message))


# -- at the orchestrator's own door ---------------------------------------------------------------


def test_who_is_let_in_gets_its_path_and_the_rules_and_is_told_of() -> None:
    host = Host(timeout_long=77)
    link = host.enters()
    host.introduces(link, key="the device in the attic")
    (welcome,) = link.take_messages()
    assert welcome == {"op": "welcome", "path": [TOP], "rules": for_guests(host), **host.terms._asdict()}
    assert link.tolerated == 9.0
    member = host.tree.find(STRANGER)
    assert member is not None
    assert (member.hop, member.cores, member.password) == (link, 4, "own")
    assert host.said == [("info", f"{STRANGER} joined by hand from 10.0.0.9 (the device in the attic)")]
    assert host.watched == [STRANGER]
    assert host.places == [], "the place is its own now, not one that is kept"
    assert host.reactor.timers == []
    host.switch.check_nothing_sent()


def for_guests(host: Host) -> dict[str, Any]:
    return {**host.rules.as_dict(), "fetch_modules": False}


def test_one_who_is_trusted_gets_all_the_rules() -> None:
    host = Host(**{TRUST_RULE: True})
    assert asks(host)["rules"] == host.rules.as_dict()


@pytest.mark.parametrize("is_trusted", [False, True])
def test_it_is_a_guest_unless_the_rules_trust_it(is_trusted: bool) -> None:
    assert Host(**{TRUST_RULE: is_trusted}).enters().is_guest is not is_trusted


def test_whom_the_rules_do_not_allow_is_turned_away_with_the_reason_and_the_door_shut_behind_it() -> None:
    host = Host()
    host.full = Refused("the machine is full")
    link = host.enters()
    host.introduces(link)
    assert link.take_messages() == [{"op": "turned_away", "reason": "the machine is full"}]
    assert host.tree.find(STRANGER) is None
    assert host.said == [
        ("warn", f"{STRANGER} came from 10.0.0.9 and did not join: launch failed at step 'join': the machine is full")
    ]
    assert not link.closed
    host.reactor.run_timers()
    assert link.closed


@pytest.mark.parametrize("name", [A1, A])
def test_a_name_that_is_on_the_grid_anywhere_is_taken(name: str) -> None:
    host = Host()
    link = host.enters()
    host.introduces(link, name)
    (refusal,) = link.take_messages()
    assert refusal["op"] == "turned_away"
    assert f"{name} is on the grid already" in refusal["reason"]
    assert "give it another name, or another port" in asks(host, name)["reason"]
    assert host.places == []


@pytest.mark.parametrize("name", ["nonsense", "worker|W@here[x]:1", "emperor|E@10.0.0.1[1]:1"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    host = Host()
    link = host.enters()
    host.introduces(link, name)
    assert link.take_messages()[0]["op"] == "turned_away"


def test_an_orchestrator_joins_nobody() -> None:
    host = Host()
    link = host.enters()
    host.introduces(link, "orchestrator|Other@10.0.0.9[1]:5000")
    assert link.take_messages()[0]["op"] == "turned_away"
    assert asks(host, "orchestrator|Other@10.0.0.9[1]:5000")["reason"] == "an orchestrator joins nobody"
    assert host.places == []


def test_one_who_entered_and_says_no_name_is_shut_out_in_time() -> None:
    host = Host()
    link = host.enters()
    assert [delay for delay, _ in host.reactor.timers] == [JOIN_S]
    host.reactor.run_timers()
    assert link.closings == ["it did not join in time"]
    host.reactor.run_timers()
    assert host.said == [("warn", "somebody came from 10.0.0.9 and did not join: it did not join in time")]
    assert host.membership.joining() == set()


def test_one_who_goes_before_it_is_let_in_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(R)
    link = host.enters()
    host.introduces(link)
    question = host.switch.take_one(Kind.CONTROL)
    link.close("gone")
    answer = encode_control({"op": "answer", "rules": {}, **Terms()._asdict()})
    host.control.on_control(None, node_id(TOP), question.message_id, answer)
    assert host.tree.find(STRANGER) is None
    assert link.take_messages() == []


# -- at a door further down -----------------------------------------------------------------------


def test_a_door_further_down_asks_the_orchestrator_and_announces_who_came() -> None:
    host = Host(R)
    link = host.enters()
    host.introduces(link)
    question = host.switch.take_one(Kind.CONTROL)
    assert question.destination == node_id(TOP)
    assert question.message == {"op": "admit", "name": STRANGER, "cores": 4, "machine": None}
    assert link.take_messages() == []
    terms = {"frequency_s": 1.0, "tolerance_s": 5.0}
    answer = encode_control({"op": "answer", "rules": {"timeout_long": 7}, **terms})
    host.control.on_control(None, node_id(TOP), question.message_id, answer)
    (welcome,) = link.take_messages()
    assert welcome == {"op": "welcome", "path": [TOP, R], "rules": {"timeout_long": 7}, **terms}
    assert link.tolerated == 5.0
    assert host.up is not None
    (joined,) = host.up.take_messages()
    assert (joined["op"], joined["name"], joined["path"]) == ("joined", STRANGER, [TOP, R])
    assert host.places == []


def test_whom_the_orchestrator_refuses_is_turned_away() -> None:
    host = Host(R)
    link = host.enters()
    host.introduces(link)
    question = host.switch.take_one(Kind.CONTROL)
    refusal = encode_control({"op": "error", "reason": "no more of you"})
    host.control.on_control(None, node_id(TOP), question.message_id, refusal)
    assert link.take_messages() == [{"op": "turned_away", "reason": "no more of you"}]
    assert host.tree.find(STRANGER) is None


def test_one_who_asks_twice_is_told_to_wait_its_turn() -> None:
    host = Host(R)
    link = host.enters()
    host.introduces(link)
    host.introduces(link)
    assert link.take_messages() == [{"op": "turned_away", "reason": "a join over a link that is in use"}]
    assert len(host.switch.sent) == 1


# -- deciding -------------------------------------------------------------------------------------


def asks(host: Host, name: str = STRANGER, **more: Any) -> dict[str, Any]:
    """Have router R ask whether somebody may come; gives the answer."""
    host.control.on_control(None, node_id(R), 5, encode_control({"op": "admit", "name": name, "cores": 4, **more}))
    return decode_control(host.switch.take_one(Kind.CONTROL).body)


def test_a_place_is_kept_until_the_one_who_was_let_in_is_announced() -> None:
    host = Host()
    assert asks(host) == {"op": "answer", "rules": for_guests(host), **host.terms._asdict()}
    assert (host.places, host.machines) == ([(ADDRESS, "worker", 4)], [])
    link = host.tree.find(R).hop  # type: ignore[union-attr]
    member = host.tree.join(STRANGER, (TOP, R), link, cores=4, now_utc=0.0)
    host.membership.on_member(member)  # type: ignore[arg-type]
    assert host.places == []
    assert host.arrivals == [], "it was not launched"
    assert host.reactor.timers == []


def test_a_place_of_one_who_never_came_is_given_back_in_time() -> None:
    host = Host()
    asks(host)
    assert asks(host)["op"] == "error", "the same one twice at once"
    host.reactor.run_timers()
    assert host.places == []
    assert "rules" in asks(host)


def test_places_of_others_are_left_alone() -> None:
    host = Host()
    asks(host)
    host.membership.on_member(host.tree.find(A1))  # type: ignore[arg-type]
    assert len(host.places) == 1
    assert [role for _, role, _ in host.arrivals] == ["worker"]


def test_who_comes_says_which_machine_it_is_on() -> None:
    host = Host()
    asks(host, machine="m")
    assert host.machines == ["m"]


@pytest.mark.parametrize("change", [{"name": 7}, {"cores": "many"}, {"name": "x"}, {"cores": None}])
def test_a_question_that_makes_no_sense_is_answered_with_an_error(change: Any) -> None:
    host = Host()
    assert asks(host, **change)["op"] == "error"
    assert host.places == []


def test_who_is_not_the_orchestrator_admits_nobody() -> None:
    assert asks(Host(A))["reason"] == f"{A} is not the orchestrator"


def test_guests_have_doors_too() -> None:
    assert "admit" in Host().control.guest_methods
