"""Bridges are built once between two, listed, destroyed by whoever has the password, and forgotten at both ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from tests.harness.names import a_name
from tests.harness.shores import Shore, World, a_world
from tests.harness.sockets import in_thread, turn_until, turn_until_idle
from tests.harness.trees import A1, A2, B1, STRANGER

from softgrid._io.descriptors import Descriptors
from softgrid._io.tls_link import TlsLink
from softgrid._model.errors import (
    HandshakeFailed,
    Missing,
    NoRoute,
    PeerLost,
    Refused,
    SoftgridError,
    TimedOut,
    Undecodable,
)
from softgrid._model.names import node_id
from softgrid._node.bridge_door import visit
from softgrid._node.bridges import pairs_in
from softgrid._wire.control import encode_control
from softgrid._wire.framing import FromGuest, Kind, Outbound, frame


@pytest.fixture
def world() -> Iterator[World]:
    with a_world(A1, B1) as made:
        yield made


def ask_to_build(shore: Shore, to: str, timeout: float = 60) -> list[Any]:
    """Ask an executor to build a bridge; gives the list in which the answer will be."""
    answers: list[Any] = []
    question = {"op": "bridge_build", "to": to, "timeout": timeout}
    shore.reactor.run_in_turn(lambda: shore.control.ask(shore.name, question, answers.append))
    turn_until_idle(shore.reactor)
    return answers


# -- building -------------------------------------------------------------------------------------


def test_the_builder_passes_one_end_of_a_socket_pair_through_the_tree(world: World) -> None:
    answers = ask_to_build(world.one, B1)
    assert world.one.in_tree() == ["bridge"]
    world.tree()
    [answer] = answers
    assert len(answer["password"]) == 64
    pair = (A1, B1)
    assert world.one.bridges.pairs() == world.other.bridges.pairs() == [pair]
    assert {world.one.bridge.label.password, world.other.bridge.label.password} == {answer["password"]}
    assert world.one.in_tree() == world.other.in_tree() == []


def test_what_was_in_the_tree_before_a_bridge_comes_before_what_goes_over_it(world: World) -> None:
    one, other = world.one, world.other
    for shore, to in ((one, other), (other, one)):
        shore.switch.send(Kind.CALL, to.id, 1, Outbound(b"call"))
    ask_to_build(one, B1)
    world.tree(one)
    turn_until_idle(world.reactor)
    for number in (2, 3):
        other.send(number)  # its end is open, the builder does not know it yet
    turn_until_idle(world.reactor)
    assert other.numbers() == [1]
    world.tree()
    one.send(2)
    turn_until_idle(world.reactor)
    assert one.numbers() == [1, 2, 3]
    assert other.numbers() == [2]


@pytest.mark.parametrize("first", [True, False])
def test_a_second_bridge_is_refused_at_either_end(world: World, first: bool) -> None:
    world.build()
    shore, to = (world.one, B1) if first else (world.other, A1)
    [answer] = ask_to_build(shore, to)
    assert "no bridge leads yet" in str(answer)
    assert len(world.one.bridges.table) == 1


def test_a_bridge_that_is_being_built_is_not_built_twice(world: World) -> None:
    first = ask_to_build(world.one, B1)
    [second] = ask_to_build(world.one, B1)
    assert "being built" in str(second)
    world.tree()
    assert first[0]["password"]


def test_of_two_that_build_at_once_one_bridge_is_left(world: World) -> None:
    answers = [ask_to_build(world.one, B1), ask_to_build(world.other, A1)]
    world.tree()
    built = [answer for [answer] in answers if isinstance(answer, dict)]
    assert len(built) == 1
    assert len(world.one.bridges.table) == len(world.other.bridges.table) == 1
    assert world.one.bridge.label == world.other.bridge.label
    world.one.send(1)
    turn_until_idle(world.reactor)
    assert world.other.numbers() == [1]


def test_nothing_is_built_to_who_is_known_to_be_gone(world: World) -> None:
    world.one.tree.note_departed(node_id(B1), "killed")
    [answer] = ask_to_build(world.one, B1)
    assert isinstance(answer, PeerLost)
    assert "killed" in str(answer)


@pytest.mark.parametrize(
    "question",
    [
        {"to": "worker", "timeout": 5},
        {"to": B1, "timeout": 0},
        {"to": B1, "timeout": "5"},
        {"to": A1, "timeout": 5},
        {"to": 7, "timeout": 5},
        {"timeout": 5},
        {"to": B1},
    ],
)
def test_a_question_that_cannot_be_meant_is_answered(world: World, question: dict[str, Any]) -> None:
    world.one.comes(world.other, {"op": "bridge_build", **question})
    [answer] = world.one.answers()
    assert answer["op"] == "error"
    assert world.one.in_tree() == []


def test_when_the_time_is_up_the_builder_gives_up_and_the_other_end_too(world: World) -> None:
    answers = ask_to_build(world.one, B1, timeout=0.05)
    turn_until(world.reactor, lambda: answers)
    assert "0.05 s" in str(answers[0])
    world.other.switch.send(Kind.CALL, world.one.id, 1, Outbound(b"call"))
    world.tree(world.one)
    world.other.send(2)
    world.tree()
    assert world.one.numbers() == [1, 2]
    assert world.one.bridges.table == world.other.bridges.table == {}


def test_whoever_dies_while_a_bridge_to_it_is_built_is_not_waited_for(world: World) -> None:
    answers = ask_to_build(world.one, B1)
    world.one.tree.note_departed(node_id(B1), "killed")
    world.one.building.on_gone({node_id(B1)})
    turn_until_idle(world.reactor)
    assert "killed" in str(answers[0])
    assert ask_to_build(world.one, A2) == []
    world.one.building.leave()


# -- the other end --------------------------------------------------------------------------------


def a_pipe_end() -> Descriptors:
    read_end, write_end = os.pipe()
    os.close(write_end)
    return Descriptors(read_end)


def a_socket(*kind: Any) -> Descriptors:
    return Descriptors(socket.socket(*kind).detach())


OFFER = {"op": "bridge", "from": A1, "number": "1", "password": "secret"}


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (a_pipe_end, {}),
        (lambda: a_socket(socket.AF_INET, socket.SOCK_STREAM), {}),
        (lambda: a_socket(socket.AF_UNIX, socket.SOCK_DGRAM), {}),
        (lambda: Descriptors(*a_socket().numbers, os.dup(0)), {}),
        (a_socket, {"from": A2}),
        (a_socket, {"from": "worker"}),
        (a_socket, {"number": 5}),
        (a_socket, {"password": None}),
    ],
)
def test_an_offer_that_cannot_be_a_bridge_is_answered_and_nothing_stays_open(world: World, make, changed) -> None:
    before = set(os.listdir("/proc/self/fd"))
    world.other.comes(world.one, {**OFFER, **changed}, descriptors=make())
    [answer] = world.other.answers()
    assert answer["op"] == "error"
    assert world.other.bridges.table == {}
    assert set(os.listdir("/proc/self/fd")) <= before


def test_an_offer_without_a_descriptor_is_no_question(world: World) -> None:
    world.other.comes(world.one, OFFER)
    [answer] = world.other.answers()
    assert "no control method" in answer["reason"]


# -- across machines ------------------------------------------------------------------------------


@pytest.fixture
def near() -> Iterator[World]:
    """Two executors that listen on loopback, by their names too."""
    with a_world(a_name("worker", "One", "127.0.0.1"), a_name("worker", "Other", "127.0.0.1")) as made:
        yield made


def test_where_no_descriptor_passes_the_other_end_opens_a_door_for_one(near: World) -> None:
    near.one.up.passes_descriptors = False
    answers = ask_to_build(near.one, near.other.name)
    turn_until(near.reactor, lambda: near.tree() or answers)
    assert answers[0]["password"]
    near.tree()
    turn_until(near.reactor, lambda: near.tree() or (near.one.bridge._ways.is_free and near.other.bridge._ways.is_free))
    for shore, number in ((near.one, 1), (near.other, 2)):
        shore.send(number)
        assert isinstance(shore.bridge.link, TlsLink)
        assert not shore.bridge.link.is_guest
    turn_until(near.reactor, lambda: near.one.got and near.other.got)
    assert (near.one.numbers(), near.other.numbers()) == ([2], [1])
    assert near.one.in_tree() == near.other.in_tree() == []
    assert near.other.building._doors == {}


def test_the_other_end_says_nothing_before_the_builder_has_spoken(near: World) -> None:
    """Or its words would come amid the handshake, where nobody expects them."""
    near.other.comes(near.one, {**OFFER, "op": "bridge_door", "from": near.one.name, "timeout": 60})
    [answer] = near.other.answers()
    streams: list[Any] = []
    visitor = in_thread(lambda: streams.append(visit(answer["host"], answer["port"], "secret", monotonic() + 5)))
    turn_until(near.reactor, lambda: not visitor.is_alive() and near.other.bridges.table)
    near.other.send(1)
    near.other.send(2, may_bridge=False)
    turn_until_idle(near.reactor)
    assert near.other.in_tree() == []
    streams[0].send(frame(Kind.CONTROL, 0, 0, 0, encode_control({"op": "open"})))
    turn_until(near.reactor, near.other.in_tree)
    assert near.other.in_tree() == ["arrived"]
    streams[0].close()


def test_a_relay_that_passes_no_descriptors_is_found_out(near: World) -> None:
    answers = ask_to_build(near.one, near.other.name)
    [(header, _)] = near.one.up.take_frames()
    near.one.inflight.refuse(header.message_id, near.other.id, lambda name: NoRoute(f"{name} is elsewhere"))
    turn_until_idle(near.reactor)
    assert near.one.in_tree() == ["bridge_door"]
    turn_until(near.reactor, lambda: near.tree() or answers)
    assert answers[0]["password"]


def test_a_door_lets_nobody_in_without_the_bridges_password(world: World) -> None:
    world.other.comes(world.one, {**OFFER, "op": "bridge_door", "timeout": 60})
    [answer] = world.other.answers()
    found: list[Any] = []

    def knock(password: str) -> None:
        try:
            found.append(visit(answer["host"], answer["port"], password, monotonic() + 5))
        except SoftgridError as error:
            found.append(error)

    for password in ("guessed", "secret"):
        visitor = in_thread(lambda password=password: knock(password))
        turn_until(world.reactor, lambda: not visitor.is_alive())  # noqa: B023
    turn_until(world.reactor, lambda: world.other.bridges.table)
    wrong, right = found
    assert isinstance(wrong, HandshakeFailed)
    right.close()
    assert world.other.bridge.label.built_from == A1
    knock("secret")
    assert isinstance(found[2], NoRoute)


def test_a_door_stays_open_no_longer_than_it_is_waited_for(world: World) -> None:
    world.other.comes(world.one, {**OFFER, "op": "bridge_door", "timeout": 0.02})
    [answer] = world.other.answers()
    turn_until(world.reactor, lambda: world.other.building._doors[world.one.id]._doorway._listener.fileno() < 0)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((answer["host"], answer["port"]), 5).close()


def test_a_door_is_closed_when_its_visitor_is_gone_and_when_another_is_opened(world: World) -> None:
    for _ in range(2):
        world.other.comes(world.one, {**OFFER, "op": "bridge_door", "timeout": 60})
    first, second = world.other.answers()
    assert first["port"] != second["port"]
    world.other.building.on_gone({world.one.id})
    for answer in (first, second):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((answer["host"], answer["port"]), 5).close()


def test_whoever_comes_through_a_door_when_there_is_a_bridge_is_sent_away(world: World) -> None:
    world.other.comes(world.one, {**OFFER, "op": "bridge_door", "timeout": 60})
    [answer] = world.other.answers()
    world.build()
    came: list[Any] = []
    visitor = in_thread(lambda: came.append(visit(answer["host"], answer["port"], "secret", monotonic() + 5)))
    turn_until(world.reactor, lambda: not visitor.is_alive())
    turn_until(world.reactor, lambda: world.other.building._doors == {})
    came[0].sock.settimeout(5)
    assert came[0].sock.recv(1) == b""
    came[0].close()
    assert world.other.bridge.label.number != OFFER["number"]


@pytest.mark.parametrize("is_guest", [True, False])
def test_over_a_bridge_a_guest_stays_a_guest(near: World, is_guest: bool) -> None:
    """Whatever goes over it is marked by the end that is none; a guest itself marks nobody."""
    near.one.up.passes_descriptors = False
    near.one.up.is_guest = near.other.up.is_guest = is_guest
    answers = ask_to_build(near.one, near.other.name)
    turn_until(near.reactor, lambda: near.tree() or answers)
    turn_until(near.reactor, lambda: near.tree() or (near.one.bridge._ways.is_free and near.other.bridge._ways.is_free))
    assert near.one.bridge.link.is_guest is near.other.bridge.link.is_guest is is_guest
    kinds: list[type] = []
    near.other.switch.deliver[Kind.CALL] = lambda link, source, number, body: kinds.append(type(body))
    near.one.send(1)
    turn_until(near.reactor, lambda: kinds)
    assert kinds == [FromGuest if is_guest else bytes]


@pytest.mark.parametrize("op", ["bridges", "bridge_build", "bridge"])
def test_a_guest_may_ask_for_nothing_else(near: World, op: str) -> None:
    near.other.up.is_guest = True
    near.other.comes(near.one, {**OFFER, "op": op, "from": near.one.name, "to": near.one.name, "timeout": 5})
    [answer] = near.other.answers()
    assert answer["op"] == "error"
    assert near.other.bridges.table == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"host": "127.0.0.1", "port": 1}, "address to listen on"),
        ({"host": "198.51.100.9", "port": 22}, "address to listen on"),
        ({"host": 5, "port": 22}, "host"),
        ({"port": 22}, "host"),
        ({"host": "10.0.0.1", "port": None}, "port"),
        ({"op": "error", "reason": "no port is free"}, "no port is free"),
    ],
)
def test_an_answer_that_leads_nowhere_fails_the_building(world: World, answer, said: str) -> None:
    world.one.up.passes_descriptors = False
    answers = ask_to_build(world.one, B1)
    [(header, _)] = world.one.up.take_frames()
    world.one.comes(world.other, {"op": "answer", **answer}, header.message_id)
    turn_until(world.reactor, lambda: answers)
    assert said in str(answers[0])
    assert world.one.bridges.table == {}


# -- destroying -----------------------------------------------------------------------------------


def destroy(world: World, name: str, password: str, timeout: float = 5) -> list[Any]:
    """Have the one destroy its bridge while the tree carries what stands in it; gives what it raised."""
    raised: list[Any] = []

    def work() -> None:
        try:
            world.one.bridges.destroy(name, password, timeout)
        except Exception as error:
            raised.append(error)

    thread = in_thread(work)
    while thread.is_alive():
        world.one.reactor.call_soon(lambda: world.tree(until_idle=False))
        thread.join(0.01)
    return raised


def test_both_ends_forget_a_destroyed_bridge_and_nobody_warns(world: World) -> None:
    world.build()
    world.one.send(1)
    assert destroy(world, B1, world.one.bridge.label.password) == []
    world.tree()
    assert world.one.bridges.table == world.other.bridges.table == {}
    assert world.one.warnings == world.other.warnings == []
    assert world.other.numbers() == [1]
    world.build()


def test_only_who_has_the_password_destroys_a_bridge(world: World) -> None:
    world.build()
    [error] = destroy(world, B1, "guessed")
    assert isinstance(error, Refused)
    [error] = destroy(world, STRANGER, world.one.bridge.label.password)
    assert isinstance(error, Missing)
    assert not world.one.bridge.is_over
    assert world.one.in_tree() == []


def test_an_end_that_does_not_confirm_is_not_waited_for_for_ever(world: World) -> None:
    world.build()
    bridge = world.one.bridge
    raised: list[Any] = []

    def work() -> None:
        try:
            world.one.bridges.destroy(B1, bridge.label.password, 0.05)
        except TimedOut as error:
            raised.append(error)

    thread = in_thread(work)
    thread.join(5)
    assert "did not confirm" in str(raised[0])
    assert bridge.is_over
    assert world.one.bridges.pairs() == []
    world.one.bridges._destroy(bridge, lambda: raised.append("settled"))
    world.tree()
    assert raised[1:] == ["settled"]
    world.one.bridges._destroy(bridge, lambda: raised.append("at once"))
    assert raised[2:] == ["at once"]


def test_an_end_of_which_nothing_is_known_here_had_sent_nothing_here(world: World) -> None:
    over = {"op": "bridge_over", "number": "unknown", "count": 5, "is_wanted": False}
    world.one.comes(world.other, over)
    [answer] = world.one.answers()
    world.build()
    world.one.comes(world.other, over)
    [again] = world.one.answers()
    assert answer["count"] == again["count"] == 0
    assert not world.one.bridge.is_over


@pytest.mark.parametrize("changed", [{"number": 5}, {"count": "1"}, {"count": True}, {"is_wanted": None}])
def test_an_end_that_ends_in_a_way_that_cannot_be_is_answered(world: World, changed: dict[str, Any]) -> None:
    world.build()
    number = world.one.bridge.label.number
    world.one.comes(world.other, {"op": "bridge_over", "number": number, "count": 0, "is_wanted": True, **changed})
    [answer] = world.one.answers()
    assert answer["op"] == "error"
    assert not world.one.bridge.is_over


def test_a_last_count_that_is_none_is_the_end_of_the_other_end(world: World) -> None:
    world.build()
    world.one.bridge.link.close("cut")
    [(header, _)] = world.one.up.take_frames()
    world.one.comes(world.other, {"op": "answer", "count": "many"}, header.message_id)
    turn_until_idle(world.reactor)
    assert [name for name, _ in world.one.lost] == [B1]


# -- listing --------------------------------------------------------------------------------------


def test_an_executor_tells_which_bridges_it_has(world: World) -> None:
    world.build()
    world.one.comes(world.other, {"op": "bridges"})
    [answer] = world.one.answers()
    assert pairs_in(answer) == [(A1, B1)]
    world.one.bridge.end("over")
    assert world.one.bridges.pairs() == []


@pytest.mark.parametrize("said", [None, "x", [1], [[A1]], [[A1, "nobody"]], [[A1, B1, A2]], {}])
def test_bridges_that_cannot_be_are_not_believed(said: Any) -> None:
    assert isinstance(pairs_in({"op": "answer", "bridges": said}), Undecodable)
