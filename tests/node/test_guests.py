"""Executors that joined by hand are guests: what they send is marked at their upgrid, and nobody takes the mark off."""

from __future__ import annotations

import os
from typing import Any

import pytest
from tests.harness.nodes import FakeLink, FakeReactor, FakeSwitch
from tests.harness.trees import A1, A2, B1, TOP, B, R, tree_of

from softgrid._io.descriptors import Descriptors
from softgrid._io.segments import THRESHOLD
from softgrid._model.names import node_id
from softgrid._model.rules import Rules
from softgrid._node.control import Control
from softgrid._node.execution import Execution, Task
from softgrid._node.fanout import FanOut
from softgrid._node.functions import FunctionTable
from softgrid._node.switch import Switch
from softgrid._state.inflight import InFlight
from softgrid._state.tree import Tree
from softgrid._wire.calls import Failure, decode_call, decode_result, encode_call, encode_result
from softgrid._wire.compression import compressed_frames
from softgrid._wire.control import decode_control, encode_control
from softgrid._wire.framing import ATTACHED, FROM_GUEST, MAX_BODY, MORE, FromGuest, Kind, Outbound, frame, frames
from softgrid._wire.functions import FunctionName, FunctionPickler, encode_function

ME, TOP_ID, B_ID, B1_ID, A1_ID = map(node_id, (R, TOP, B, B1, A1))


class Own:
    """A class of the user's own, which is not taken from guests."""


class Board:
    """The switch of router R, whose manager B joined by hand; A1 is elsewhere on the grid."""

    def __init__(self) -> None:
        self.up, self.to_b = FakeLink("up"), FakeLink("B")
        self.to_b.is_guest = True
        self.tree: Tree[Any] = Tree(R, "router")
        self.tree.upgrid_path = (TOP,)
        self.tree.join(B, (TOP, R), self.to_b, cores=1, now_utc=0.0)
        self.tree.join(B1, (TOP, R, B), self.to_b, cores=1, now_utc=0.0)
        self.delivered: list[tuple[Any, ...]] = []
        self.segments: Any = None
        self.switch = Switch(self.tree, self, lambda work: work(), lambda *refused: None)  # type: ignore[arg-type]
        self.switch.uplink = self.up  # type: ignore[assignment]
        for kind in Kind:
            self.switch.deliver[kind] = lambda *given, kind=kind: self.delivered.append((kind, *given))

    def share(self, parts: Any, size: int) -> Any:
        return self.segments

    def comes(self, link: FakeLink, *pieces: bytes) -> None:
        for piece in pieces:
            link.incoming.append(piece)
            self.switch.on_readable(link)  # type: ignore[arg-type]

    def body(self) -> Any:
        ((_, _, _, _, body),) = self.delivered
        self.delivered.clear()
        return body


@pytest.fixture
def board() -> Board:
    return Board()


# -- the mark -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_what_comes_from_a_guest_is_delivered_as_such(board: Board, kind: Kind) -> None:
    board.comes(board.to_b, frame(kind, ME, B1_ID, 7, b"body"))
    body = board.body()
    assert type(body) is FromGuest
    assert body == b"body"


def test_what_comes_from_anybody_else_is_not_marked(board: Board) -> None:
    board.comes(board.up, frame(Kind.RESULT, ME, TOP_ID, 7, b"body"))
    assert type(board.body()) is bytes


def test_what_goes_on_is_marked_on_its_way(board: Board) -> None:
    large = list(frames(Kind.RESULT, TOP_ID, B1_ID, 8, [os.urandom(2 * MAX_BODY)]))
    board.comes(board.to_b, frame(Kind.CALL, A1_ID, B_ID, 7, b"x"), *(b"".join(each) for each in large))
    sent = [header for header, _ in board.up.take_frames()]
    assert [header.flags & FROM_GUEST for header in sent] == [FROM_GUEST] * 3
    assert [header.flags & MORE for header in sent] == [0, MORE, 0]


def test_a_mark_that_came_stays(board: Board) -> None:
    board.comes(board.up, frame(Kind.RESULT, ME, A1_ID, 7, b"body", flags=FROM_GUEST))
    assert type(board.body()) is FromGuest
    board.comes(board.up, frame(Kind.RESULT, B1_ID, A1_ID, 7, b"body", flags=FROM_GUEST))
    assert [header.flags for header, _ in board.to_b.take_frames()] == [FROM_GUEST]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_large_message_of_a_guest_is_marked_as_a_whole(board: Board, is_compressed: bool) -> None:
    data = os.urandom(2 * MAX_BODY)
    cut = (
        compressed_frames(Kind.RESULT, ME, B1_ID, 7, [data], 1)
        if is_compressed
        else frames(Kind.RESULT, ME, B1_ID, 7, [data])
    )
    board.comes(board.to_b, *(b"".join(each) for each in cut))
    body = board.body()
    assert type(body) is FromGuest
    assert body == data


def test_a_guest_cannot_pass_descriptors(board: Board) -> None:
    board.comes(board.to_b, frame(Kind.RESULT, ME, B1_ID, 7, b"\0" * 16, flags=ATTACHED, descriptors=2))
    assert board.to_b.closed
    assert board.delivered == []


def test_what_is_sent_on_for_a_guest_is_marked_and_never_shared_by_memory(board: Board) -> None:
    board.up.passes_descriptors = True
    board.segments = Descriptors()
    outbound = Outbound(b"head", [b"x" * (THRESHOLD + 1)], flags=FROM_GUEST)
    board.switch.send(Kind.CALL, TOP_ID, 7, outbound)
    board.switch.send(Kind.CALL, TOP_ID, 7, Outbound(b"head", [b"x" * (2 * MAX_BODY)], flags=FROM_GUEST))
    sent = [header for header, _ in board.up.take_frames()]
    assert len(sent) == 4
    assert all(header.flags & FROM_GUEST and not header.descriptors for header in sent)


def test_what_an_executor_sends_itself_for_a_guest_is_marked_too(board: Board) -> None:
    board.switch.send(Kind.CALL, ME, 7, Outbound(b"head", [b"payload"], flags=FROM_GUEST))
    body = board.body()
    assert type(body) is FromGuest
    assert body == b"headpayload"


# -- what is believed of it -----------------------------------------------------------------------


def test_the_result_of_a_guest_is_read_as_far_as_it_is_plain() -> None:
    assert decode_result(FromGuest(encode_result([1, "a"]).joined())) == [1, "a"]
    with pytest.raises(Exception, match=r"only values of plain types"):
        decode_result(FromGuest(encode_result(Own()).joined()))


def test_the_exception_of_a_guest_comes_as_itself_or_as_text() -> None:
    from softgrid._wire.calls import encode_exception

    class OwnError(Exception):
        pass

    failures = []
    for error in (ValueError("no"), OwnError("never")):
        with pytest.raises(Failure) as caught:
            decode_result(FromGuest(encode_exception(error).joined()))
        failures.append(caught.value)
    assert type(failures[0].exception) is ValueError
    assert failures[1].exception is None
    assert "OwnError: never" in str(failures[1])


class Owner:
    """An executor with one method that others may call."""

    def method(self, value: object) -> object:
        return value


class Running:
    """The execution of an executor, which runs functions of users or not."""

    def __init__(self, *, allows_udf: bool) -> None:
        self.switch = FakeSwitch(1)
        self.execution = Execution(
            Owner(),
            self.switch,  # type: ignore[arg-type]
            FakeReactor(),  # type: ignore[arg-type]
            Rules(),
            FunctionTable(Owner(), frozenset({"method"})),
            allows_udf=allows_udf,
            on_event=None,
            on_options=lambda task: False,
        )

    def call(self, function: Any, argument: object, body_type: Any = FromGuest) -> Any:
        named = FunctionName(function) if isinstance(function, str) else FunctionPickler().pickle(function)
        outbound = encode_call(encode_function(named), (argument,), {}, flags=1, priority=1.0, options={})
        self.execution.on_call(None, 9, 5, body_type(outbound.joined()))  # type: ignore[arg-type]
        self.execution.run_queue()
        return decode_result(self.switch.take_one(Kind.RESULT).body)


def test_a_guest_calls_methods_with_plain_arguments_only() -> None:
    running = Running(allows_udf=False)
    assert running.call("method", [1, 2]) == [1, 2]
    with pytest.raises(Failure, match="only values of plain types"):
        running.call("method", Own())
    assert type(running.call("method", Own(), bytes)) is Own


def test_where_functions_of_users_run_a_guest_may_call_them_with_anything() -> None:
    running = Running(allows_udf=True)
    assert running.call(lambda own: type(own).__name__, Own()) == "Own"
    with pytest.raises(Failure, match="only values of plain types"):
        running.call("method", Own())


@pytest.mark.parametrize("options", [{"bounce": [A1, TOP]}, {"propagate": ["propagate_managers"]}])
def test_a_call_that_is_passed_on_for_a_guest_stays_marked(options: Any) -> None:
    tree = tree_of(TOP)
    sent: list[Outbound] = []
    switch = FakeSwitch(tree.node_id)
    switch.send = lambda kind, target, message_id, outbound, source=None: sent.append(outbound)  # type: ignore[method-assign]
    fanout = FanOut(tree, switch, FunctionTable(object(), frozenset()))  # type: ignore[arg-type]
    call = encode_call(encode_function(FunctionName("f")), (1,), {}, flags=1, priority=1.0, options=options)
    for body, flags in ((FromGuest(call.joined()), FROM_GUEST), (call.joined(), 0)):
        fanout.on_options(Task(node_id(A2), 9, decode_call(body)))
        assert sent
        assert {outbound.flags for outbound in sent} == {flags}
        sent.clear()


# -- what they may ask ----------------------------------------------------------------------------


class Asked:
    def __init__(self) -> None:
        self.switch = FakeSwitch(1)
        self.asked: list[str] = []
        self.control = Control(self.switch, FakeReactor(), InFlight(), tree_of(TOP))  # type: ignore[arg-type]
        for op in ("open", "closed"):
            self.control.methods[op] = lambda message, source, answer: (
                self.asked.append(message["op"]),
                answer({}),
            )
        self.control.guest_methods["open"] = self.control.methods["open"]

    def ask(self, op: str, body_type: Any) -> dict[str, Any]:
        self.control.on_control(None, 9, 5, body_type(encode_control({"op": op})))
        return decode_control(self.switch.take_one(Kind.CONTROL).body)


def test_guests_ask_what_is_open_to_them_and_nothing_else() -> None:
    asked = Asked()
    assert asked.ask("open", FromGuest)["op"] == "answer"
    refusal = asked.ask("closed", FromGuest)
    assert refusal["reason"] == "'closed' is not for executors that joined by hand"
    assert asked.ask("nothing", FromGuest)["reason"] == "no control method is named 'nothing'"
    assert asked.asked == ["open"]
    assert asked.ask("closed", bytes)["op"] == "answer"
