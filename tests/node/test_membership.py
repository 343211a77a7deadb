"""Membership: who comes is checked and announced, who goes is mourned by all concerned, once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeLink, FakeReactor, FakeSwitch
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R

from softgrid._model.errors import LaunchFailed, SoftgridError, Undecodable
from softgrid._model.names import node_id
from softgrid._model.roles import LAUNCHABLE
from softgrid._node.control import Control
from softgrid._node.membership import Membership
from softgrid._state.inflight import InFlight
from softgrid._state.last_calls import LastCall
from softgrid._state.tree import Tree
from softgrid._wire.control import encode_control
from softgrid._wire.framing import Kind

CALLER = node_id(A1)


class Joining:
    """The membership of router R, which has an upgrid when it is told so."""

    def __init__(self, *, has_uplink: bool = True, accepted: Any = LAUNCHABLE) -> None:
        self.tree: Tree[Any] = Tree(R, "router")
        self.up = FakeLink("up")
        self.up.peer = None
        if has_uplink:
            self.tree.upgrid_path = (TOP,)
        self.switch = FakeSwitch(self.tree.node_id, self.up if has_uplink else None)
        self.control = Control(self.switch, FakeReactor(), InFlight(), self.tree)  # type: ignore[arg-type]
        self.gone: list[set[int]] = []
        self.causes: list[str] = []
        self.forgotten: list[int] = []
        self.said: list[tuple[str, str]] = []
        self.lost: list[str] = []
        self.outcomes: list[tuple[Any, str]] = []
        self.membership = Membership(
            self.tree,
            self.switch,  # type: ignore[arg-type]
            self.control,
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            frozenset(accepted),
            self.lost.append,
        )
        self.mourned: list[tuple[list[str], str, bool]] = []
        self.membership.on_lost = lambda gone, *how: self.mourned.append(([member.name for member in gone], *how))

    # what stands for transfers and logs

    def on_gone(self, targets: set[int], cause_of: Any) -> None:
        self.gone.append(targets)
        self.causes += [cause_of(target) for target in targets]

    def forget(self, origin: int) -> None:
        self.forgotten.append(origin)

    def say(self, log_type: str, message: str) -> None:
        self.said.append((log_type, message))

    # what happens

    def comes(self, link: FakeLink, op: str, source: int = 0, **fields: Any) -> None:
        self.control.on_control(link, source, 0, encode_control({"op": op, **fields}))

    def joins(self, name: str, link: FakeLink | None = None, **fields: Any) -> FakeLink:
        link = link or FakeLink(name)
        link.peer = None
        self.membership.expect(link, lambda *outcome: self.outcomes.append(outcome))  # type: ignore[arg-type]
        self.comes(link, "join", name=name, **{"cores": 4, **fields})
        return link

    def has_joined(self, name: str) -> FakeLink:
        link = self.joins(name)
        link.take_frames()
        self.up.take_frames()
        self.outcomes.clear()
        return link

    def names(self) -> set[str]:
        self.tree.check_invariants()
        return {member.name for member in self.tree.members.values()}

    def check_nothing_else(self) -> None:
        assert self.gone == []
        assert self.said == []
        assert self.lost == []
        assert self.outcomes == []
        assert self.up.take_frames() == []
        self.switch.check_nothing_sent()


@pytest.fixture
def joining() -> Joining:
    return Joining()


# -- coming ---------------------------------------------------------------------------------------


def test_who_joins_is_welcomed_announced_and_told_to_who_waits(joining: Joining) -> None:
    link = joining.joins(B, password="pw")
    assert joining.names() == {B}
    assert link.peer == B
    assert link.take_messages() == [{"op": "welcome", "path": [TOP, R]}]
    (announced,) = joining.up.take_messages()
    assert (announced["op"], announced["name"], announced["path"]) == ("joined", B, [TOP, R])
    assert announced["cores"] == 4
    assert "pw" not in str(announced)
    assert joining.outcomes == [(None, B)]
    joining.outcomes.clear()
    joining.check_nothing_else()


def test_the_topmost_announces_to_nobody() -> None:
    joining = Joining(has_uplink=False)
    joining.has_joined(B)
    assert joining.names() == {B}
    joining.check_nothing_else()


@pytest.mark.parametrize(
    ("name", "accepted", "reason"),
    [
        (R, LAUNCHABLE, "already"),
        (STRANGER, ("router",), "does not accept workers"),
        ("nonsense", LAUNCHABLE, "gridUniqueName"),
        (TOP, LAUNCHABLE, "holds no orchestrators"),
    ],
)
def test_who_may_not_join_is_turned_away_with_the_reason(name: str, accepted: Any, reason: str) -> None:
    joining = Joining(accepted=accepted)
    link = joining.joins(name)
    (message,) = link.take_messages()
    assert message["op"] == "turned_away"
    assert reason in message["reason"]
    ((error, told),) = joining.outcomes
    assert isinstance(error, LaunchFailed)
    assert (error.step, error.is_final, told) == ("join", True, name)
    assert joining.names() == set()
    joining.outcomes.clear()
    joining.check_nothing_else()


def test_nobody_joins_over_a_link_on_which_nobody_is_expected(joining: Joining) -> None:
    link = joining.has_joined(B)
    for each in (link, FakeLink("unexpected")):
        joining.comes(each, "join", name=STRANGER, cores=1)
        (message,) = each.take_messages()
        assert (message["op"], message["reason"]) == ("turned_away", "a join over a link that is in use")
    assert joining.names() == {B}
    joining.check_nothing_else()


@pytest.mark.parametrize("fields", [{"name": 5, "cores": 1}, {"cores": 1}])
def test_a_join_without_a_name_is_undecodable(joining: Joining, fields: Any) -> None:
    with pytest.raises(Undecodable):
        joining.comes(FakeLink("x"), "join", **fields)


@pytest.mark.parametrize("fields", [{"name": B}, {"name": B, "cores": "many"}, {"cores": 1}])
def test_who_waits_for_a_join_that_makes_no_sense_is_told(joining: Joining, fields: Any) -> None:
    link = FakeLink("x")
    joining.membership.expect(link, lambda *outcome: joining.outcomes.append(outcome))  # type: ignore[arg-type]
    with pytest.raises(Undecodable):
        joining.comes(link, "join", **fields)
    joining.membership.on_link_closed(link, "it sent what no executor sends")  # type: ignore[arg-type]
    assert len(joining.outcomes) == 1


def test_who_cannot_start_says_so_and_who_waits_is_told(joining: Joining) -> None:
    link = FakeLink("x")
    joining.membership.expect(link, lambda *outcome: joining.outcomes.append(outcome))  # type: ignore[arg-type]
    for _ in range(2):
        joining.comes(link, "stillborn", reason="no port")
    ((error, name),) = joining.outcomes
    assert (error.step, error.reason, error.is_final, name) == ("start", "no port", True, "")


def test_who_goes_before_joining_is_told_to_who_waits(joining: Joining) -> None:
    link = FakeLink("x")
    joining.membership.expect(link, lambda *outcome: joining.outcomes.append(outcome))  # type: ignore[arg-type]
    for _ in range(2):
        joining.membership.on_link_closed(link, "gone")  # type: ignore[arg-type]
    ((error, name),) = joining.outcomes
    assert (type(error), str(error), name) == (SoftgridError, "gone", "x" * 0)
    assert joining.gone == []


def test_who_asks_to_join_asks_over_its_way_up(joining: Joining) -> None:
    link = FakeLink("new up")
    joining.membership.ask_to_join(link, {"name": R, "cores": 2})  # type: ignore[arg-type]
    assert joining.switch.uplink is link
    assert link.take_messages() == [{"op": "join", "name": R, "cores": 2}]


def test_a_welcome_and_a_refusal_are_believed_over_the_way_up_only(joining: Joining) -> None:
    told: list[Any] = []
    joining.membership.on_welcome = lambda message: told.append("welcome")
    joining.membership.on_turned_away = told.append
    for link in (FakeLink("other"), joining.up):
        joining.comes(link, "welcome", path=[TOP, link.name])
        joining.comes(link, "turned_away", reason=f"full {link.name}")
    assert told == ["welcome", "full up"]
    assert joining.tree.upgrid_path == (TOP, "up")


# -- who comes further down -----------------------------------------------------------------------


def test_who_joined_further_down_is_known_and_announced_on(joining: Joining) -> None:
    link = joining.has_joined(B)
    joining.comes(link, "joined", name=B1, path=[TOP, R, B], cores=2, utc=5.0, allows_udf=False)
    assert joining.names() == {B, B1}
    assert joining.tree.find(B1).hop is link  # type: ignore[union-attr]
    expected = {"op": "joined", "name": B1, "path": [TOP, R, B], "cores": 2, "utc": 5.0, "allows_udf": False}
    assert joining.up.take_messages() == [expected]
    joining.check_nothing_else()


@pytest.mark.parametrize(
    "path", [[TOP], [TOP, R], [TOP, R, A], [TOP, R, B, A], [TOP, R, B, 5], [TOP, R, B, {}], [B], []]
)
def test_who_joined_elsewhere_is_none_of_our_business(joining: Joining, path: Any) -> None:
    link = joining.has_joined(B)
    joining.comes(link, "joined", name=B1, path=path, cores=2, utc=5.0)
    assert joining.names() == {B}
    joining.check_nothing_else()


def test_nobody_joins_under_somebody_who_is_reached_over_another_link(joining: Joining) -> None:
    joining.has_joined(A2)
    link = joining.has_joined(B)
    joining.comes(link, "joined", name=B1, path=[TOP, R, B, A2], cores=2, utc=5.0)
    assert joining.names() == {B, A2}
    joining.check_nothing_else()


def test_over_a_link_on_which_nobody_has_joined_nobody_is_announced(joining: Joining) -> None:
    for link in (FakeLink("x"), joining.up):
        link.peer = None
        joining.comes(link, "joined", name=B1, path=[TOP, R, B], cores=2, utc=5.0)
    assert joining.names() == set()
    joining.check_nothing_else()


@pytest.mark.parametrize("name", [A2, R, TOP])
def test_nobody_announces_somebody_who_is_elsewhere(joining: Joining, name: str) -> None:
    other = joining.has_joined(A2)
    link = joining.has_joined(B)
    routes = dict(joining.tree.routes)
    joining.comes(link, "joined", name=name, path=[TOP, R, B], cores=2, utc=5.0)
    assert joining.tree.routes == routes
    assert joining.tree.find(A2).hop is other  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["nonsense", ""])
def test_an_announcement_of_no_name_is_undecodable(joining: Joining, name: str) -> None:
    link = joining.has_joined(B)
    with pytest.raises(Undecodable):
        joining.comes(link, "joined", name=name, path=[TOP, R, B], cores=2, utc=5.0)
    assert joining.names() == {B}


# -- going ----------------------------------------------------------------------------------------


def with_two_below() -> tuple[Joining, FakeLink]:
    joining = Joining()
    link = joining.has_joined(B)
    joining.comes(link, "joined", name=B1, path=[TOP, R, B], cores=2, utc=5.0)
    joining.up.take_frames()
    return joining, link


def test_a_link_that_breaks_loses_everybody_behind_it_and_all_concerned_are_told() -> None:
    joining, link = with_two_below()
    link.speakers = {CALLER, node_id(B1), joining.tree.node_id}
    joining.membership.on_link_closed(link, "its connection is gone")  # type: ignore[arg-type]
    assert joining.names() == set()
    assert joining.gone == [{node_id(B), node_id(B1)}]
    assert set(joining.causes) == {"its connection is gone", f"{B} is gone: its connection is gone"}
    assert set(joining.forgotten) == {node_id(B), node_id(B1)}
    told = joining.switch.take_one(Kind.CONTROL)
    assert told.destination == CALLER
    assert told.message == {"op": "gone", "names": [B, B1], "reason": "its connection is gone"}
    (left,) = joining.up.take_messages()
    assert left == {"op": "left", "name": B, "reason": "its connection is gone", "orderly": False}
    assert joining.mourned == [([B, B1], "its connection is gone", False)]
    assert joining.said == [("error", f"{B} is gone: its connection is gone, and with it 1 executors below it")]
    assert joining.switch.forgotten == [link, {node_id(B), node_id(B1)}]


def test_who_wants_to_know_is_told_of_the_gone_last() -> None:
    joining, link = with_two_below()
    told: list[Any] = []
    joining.membership.on_gone += [lambda gone: told.append((gone, len(joining.gone)))] * 2
    joining.membership.on_link_closed(link, "its connection is gone")  # type: ignore[arg-type]
    assert told == [({node_id(B), node_id(B1)}, 1)] * 2


def test_everybody_who_wants_to_know_is_told_who_is_gone_and_of_what() -> None:
    joining, link = with_two_below()
    told: list[Any] = []
    joining.membership.gone_hooks.append(lambda gone, cause_of: told.append((gone, cause_of(node_id(B)))))
    joining.membership.on_link_closed(link, "killed")  # type: ignore[arg-type]
    assert told == [({node_id(B), node_id(B1)}, "killed")]
    assert joining.gone == [{node_id(B), node_id(B1)}]


def test_the_cause_of_death_is_asked_for_and_told_when_it_is_known() -> None:
    joining, link = with_two_below()
    asked: list[Any] = []
    joining.membership.cause_of = lambda name, tell: asked.append((name, tell))
    joining.membership.on_link_closed(link, "its connection is gone")  # type: ignore[arg-type]
    ((name, tell),) = asked
    assert name == B
    assert joining.names() == {B, B1}
    tell("killed by signal 9 (SIGKILL)")
    assert joining.names() == set()
    assert "killed by signal 9" in joining.said[0][1]
    tell("again")
    assert len(joining.gone) == 1


def test_who_says_bye_is_gone_without_an_error_and_its_link_may_break_after() -> None:
    joining, link = with_two_below()
    joining.comes(link, "bye")
    joining.comes(link, "bye")
    joining.membership.on_link_closed(link, "its connection is gone")  # type: ignore[arg-type]
    assert joining.names() == set()
    assert joining.gone == [{node_id(B), node_id(B1)}]
    assert joining.said == []
    assert [(message["op"], message["orderly"]) for message in joining.up.take_messages()] == [("left", True)]
    assert joining.mourned == [([B, B1], "it left the grid", True)]


@pytest.mark.parametrize("orderly", [{}, {"orderly": False}, {"orderly": True}, {"orderly": "yes"}])
def test_who_left_further_down_is_forgotten_and_announced_on(orderly: dict[str, Any]) -> None:
    joining, link = with_two_below()
    joining.comes(link, "left", name=B1, reason="killed", **orderly)
    assert joining.names() == {B}
    assert joining.gone == [{node_id(B1)}]
    was_orderly = orderly.get("orderly") is True
    assert joining.up.take_messages() == [{"op": "left", "name": B1, "reason": "killed", "orderly": was_orderly}]
    assert joining.mourned == [([B1], "killed", was_orderly)]
    assert joining.tree.departure(node_id(B1)) == "killed"
    assert joining.said == [], "its upgrid has said it"


def test_nobody_says_that_somebody_behind_another_link_has_left() -> None:
    joining, _ = with_two_below()
    other = joining.has_joined(A2)
    for link in (other, joining.up, FakeLink("x")):
        joining.comes(link, "left", name=B1, reason="killed")
    joining.comes(other, "left", name=STRANGER, reason="killed")
    assert joining.names() == {B, B1, A2}
    joining.check_nothing_else()


def test_news_of_a_death_elsewhere_ends_the_calls_to_the_dead() -> None:
    joining, _ = with_two_below()
    joining.comes(joining.up, "gone", source=node_id(TOP), names=[A1, B1, 5], reason="killed")
    assert joining.gone == [{node_id(A1)}], "who is below is known better here"
    assert joining.causes == ["killed"]
    assert joining.switch.forgotten == [{node_id(A1)}], "half a message from the dead is not kept"
    assert joining.names() == {B, B1}


def test_news_of_a_death_is_believed_only_from_where_the_dead_would_have_answered() -> None:
    joining, link = with_two_below()
    joining.comes(link, "gone", source=node_id(B1), names=[A1], reason="said so")
    assert joining.gone == []
    assert joining.tree.departure(node_id(A1)) is None


@pytest.mark.parametrize("leaves", [True, False])
def test_the_loss_of_the_upgrid_is_told_unless_this_executor_leaves_itself(joining: Joining, leaves: bool) -> None:
    joining.membership.leaves = leaves
    joining.membership.on_link_closed(joining.up, "its connection is gone")  # type: ignore[arg-type]
    assert joining.lost == ([] if leaves else ["its connection is gone"])
    assert joining.switch.uplink is None


def test_whoever_leaves_itself_mourns_nobody() -> None:
    joining, link = with_two_below()
    joining.membership.leaves = True
    joining.membership.on_link_closed(link, "left the grid")  # type: ignore[arg-type]
    joining.comes(link, "bye")
    joining.check_nothing_else()


def test_a_link_on_which_nobody_had_joined_may_break_unnoticed(joining: Joining) -> None:
    link = FakeLink("x")
    link.peer = None
    joining.membership.on_link_closed(link, "gone")  # type: ignore[arg-type]
    joining.check_nothing_else()


def test_bye_is_said_up_where_there_is_an_up(joining: Joining) -> None:
    joining.membership.say_bye()
    assert joining.up.take_messages() == [{"op": "bye"}]
    Joining(has_uplink=False).membership.say_bye()


# -- heirs ----------------------------------------------------------------------------------------


def test_an_heir_is_told_of_before_it_is_known_and_announced_as_one(joining: Joining) -> None:
    told: list[Any] = []

    def on_heir(*about: Any) -> None:
        told.append(about)
        assert joining.tree.find(B1) is None, "nobody can ask it for anything yet"

    joining.membership.on_heir = on_heir
    link = joining.has_joined(B)
    joining.comes(link, "joined", name=B1, path=[TOP, R, B], cores=2, utc=5.0, heir_of=A1)
    assert told == [(A1, B1, (TOP, R, B), link)]
    assert [message["heir_of"] for message in joining.up.take_messages()] == [A1]
    joining.comes(link, "joined", name=B1, path=[TOP, R, B], cores=2, utc=5.0, heir_of=A1)
    assert len(told) == 1, "it is here already"


def test_an_heir_directly_below_is_told_of_first_and_welcome_when_it_is_known(joining: Joining) -> None:
    link = FakeLink(B)
    link.peer = None
    steps: list[Any] = []

    def on_heir(*about: Any) -> None:
        steps.append((about, joining.tree.find(B), link.take_messages()))

    joining.membership.on_heir = on_heir
    joining.membership.expect(link, lambda *outcome: None, heir_of=A)  # type: ignore[arg-type]
    joining.comes(link, "join", name=B, cores=4)
    assert steps == [((A, B, (TOP, R), link), None, [])], "it is not known yet, and nothing was said"
    assert joining.tree.find(B) is not None
    assert [message["op"] for message in link.take_messages()] == ["welcome"]
    assert [message["heir_of"] for message in joining.up.take_messages()] == [A]


def test_who_is_said_to_be_no_name_of_anybody_is_no_heir(joining: Joining) -> None:
    joining.membership.on_heir = lambda *about: pytest.fail("nobody's heir")
    link = joining.has_joined(B)
    joining.comes(link, "joined", name=B1, path=[TOP, R, B], cores=2, utc=5.0, heir_of=5)
    assert joining.tree.find(B1) is not None
    assert "heir_of" not in joining.up.take_messages()[-1]


@pytest.mark.parametrize("is_orderly", [True, False])
def test_of_those_who_are_lost_the_cause_is_kept_and_of_those_who_left_nothing(is_orderly: bool) -> None:
    joining, link = with_two_below()
    left: list[list[str]] = []
    joining.membership.on_left = left.append
    joining.comes(link, "left", name=B, reason="killed\nits last output:\n    x", orderly=is_orderly)
    lost = {name: cause for name, (_, cause) in joining.membership.lost.items()}
    if is_orderly:
        assert (lost, left) == ({}, [[B, B1]])
    else:
        assert (lost, left) == (
            {B: "killed\nits last output:\n    x", B1: f"{B} is gone: killed"},
            [],
        )


# -- doubted --------------------------------------------------------------------------------------


def test_a_doubt_is_said_once_passed_up_and_taken_back() -> None:
    joining, _ = with_two_below()
    for reason in ("stopped", "stopped", None, None):
        joining.membership.suspect(B, reason)
    assert joining.said == [("warn", f"{B} is stopped"), ("warn", f"{B} goes on")]
    assert [(told["op"], told["name"], told["reason"]) for told in joining.up.take_messages()] == [
        ("suspect", B, "stopped"),
        ("suspect", B, None),
    ]
    assert joining.tree.suspicion(B1) is None


def test_a_doubt_further_down_is_passed_up_and_only_believed_from_there() -> None:
    joining, link = with_two_below()
    for way in (joining.up, joining.has_joined(A2)):
        joining.comes(way, "suspect", name=B1, reason="stopped")
    joining.comes(link, "suspect", name=STRANGER, reason="stopped")
    joining.comes(link, "suspect", name=B1, reason=5)
    joining.check_nothing_else()
    joining.comes(link, "suspect", name=B1, reason="stopped")
    assert joining.tree.suspicion(B1) == f"{B1} is stopped"
    assert joining.up.take_messages() == [{"op": "suspect", "name": B1, "reason": "stopped"}]
    joining.check_nothing_else()


def test_a_doubt_with_two_reasons_is_taken_back_with_the_last_of_them() -> None:
    joining, _ = with_two_below()
    for kind, reason in (("silence", "silent"), ("pause", "stopped"), ("silence", None)):
        joining.membership.suspect(B, reason, kind, is_said=True)
    assert [told["reason"] for told in joining.up.take_messages()] == ["silent", "stopped"]
    joining.membership.suspect(B, None, "pause", is_said=True)
    assert [told["reason"] for told in joining.up.take_messages()] == [None]
    joining.check_nothing_else()


def test_nobody_is_doubted_who_is_not_there() -> None:
    joining, _ = with_two_below()
    joining.membership.suspect(STRANGER, "stopped")
    joining.check_nothing_else()


# -- what ran at the end --------------------------------------------------------------------------


@pytest.mark.parametrize("running", [[7, 3], None])
def test_what_ran_at_the_end_is_told_to_all_who_had_spoken_and_up(joining: Joining, running: Any) -> None:
    link = joining.has_joined(B)
    link.speakers = {CALLER}
    joining.membership.last_calls.note(node_id(B), LastCall(running and (7, 3), is_asked=True))
    joining.membership.on_link_closed(link, "killed")  # type: ignore[arg-type]
    told = joining.switch.take_one(Kind.CONTROL).message
    (left,) = joining.up.take_messages()
    assert (told["op"], left["op"]) == ("gone", "left")
    assert (told["running"], told["is_asked"]) == (left["running"], left["is_asked"]) == (running, True)


def test_of_what_ran_nothing_is_said_where_nobody_knows(joining: Joining) -> None:
    link = joining.has_joined(B)
    joining.membership.on_link_closed(link, "killed")  # type: ignore[arg-type]
    (left,) = joining.up.take_messages()
    assert "running" not in left
    assert joining.membership.last_calls.of(node_id(B)) is None


@pytest.mark.parametrize(("running", "known"), [([7, 3], (7, 3)), (None, None)])
def test_what_is_told_of_a_death_is_believed_of_the_first_of_the_dead(
    joining: Joining, running: Any, known: Any
) -> None:
    joining.comes(joining.up, "gone", names=[A, A1], reason="killed", running=running, is_asked=False)
    assert joining.membership.last_calls.of(node_id(A)) == LastCall(known)
    assert joining.membership.last_calls.of(node_id(A1)) is None


def test_of_those_below_who_ended_with_it_is_told_what_they_did_and_they_are_not_blamed(joining: Joining) -> None:
    below = {A1: {"running": [7, 3], "begun": [[7, 3]]}, B: {"running": [7, 4]}}
    joining.comes(joining.up, "gone", names=[A, A1], reason="killed", running=None, is_asked=False, below=below)
    assert joining.membership.last_calls.of(node_id(A1)) == LastCall((7, 3), True, {7: 3})
    assert joining.membership.last_calls.of(node_id(B)) is None  # it is not said to be gone
    assert not joining.membership.last_calls.is_blamed(node_id(A1), (7, 3))


def test_the_dead_are_not_kept_among_those_who_have_spoken(joining: Joining) -> None:
    one, two = joining.has_joined(B), joining.has_joined(A)
    two.speakers = {node_id(B), CALLER}
    joining.up.speakers = {node_id(B)}
    joining.membership.on_link_closed(one, "killed")  # type: ignore[arg-type]
    assert two.speakers == {CALLER}
    assert joining.up.speakers == set()
