"""Giving: what succeeded is remembered for those who may come back, and given first of all to their heirs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeLink, split_frames
from tests.harness.trees import A1, A2, B1, TOP, A, R, tree_of

from softgrid._model.errors import PeerLost, TimedOut
from softgrid._model.names import node_id
from softgrid._model.status import SoftgridStatus
from softgrid._model.transfer import Failed, TransferSpec
from softgrid._node.encoder import Encoder
from softgrid._node.giving import Giving, concerns_stores, label_of
from softgrid._state.inflight import InFlight
from softgrid._state.keepsakes import Label
from softgrid._wire.calls import decode_call, encode_refusal, encode_result
from softgrid._wire.framing import Kind

HEIR = A1.replace("[", "[9")
GOOD, BAD = SoftgridStatus(True), SoftgridStatus(False, error="the name is taken")


class Sending:
    """Transfers whose results the test gives."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        self.inflight = InFlight()
        self.results: Any = None
        self.specs: list[TransferSpec] = []

    def transfer(self, spec: TransferSpec) -> Any:
        self.specs.append(spec)
        return self.results


class Giver:
    """An orchestrator that gives."""

    def __init__(self, limit: int | None = 1000, stay: tuple[str, ...] = ()) -> None:
        self.tree = tree_of(TOP)
        self.transfers = Sending()
        self.link = FakeLink("down")
        self.said: list[tuple[str, str]] = []
        self.expected = {(A1, A)}
        self.giving = Giving(
            self.tree,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            self.transfers,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            limit,
            lambda name: name not in stay,
            lambda lost, upgrid: (lost, upgrid) in self.expected,
        )

    def say(self, log_type: str, message: str) -> None:
        self.said.append((log_type, message))

    def send_over(self, hop: Any, kind: int, destination: int, message_id: int, outbound: Any, source: int) -> None:
        from softgrid._wire.framing import frame

        hop.send(frame(kind, destination, source, message_id, outbound.joined()))

    def gives(self, name: str, value: Any, receivers: Any, results: Any, function: str = "add_data") -> Any:
        self.transfers.results = results
        kwargs = {"function": function, "args": (name, value), "priority": 1}
        return self.giving.transfer(TransferSpec(kwargs, receivers, collect=results is not None))

    def heir_gets(self, lost: str = A1, heir: str = HEIR, path: tuple[str, ...] = (TOP, R, A)) -> list[Any]:
        """The calls that an heir gets: function, name and value."""
        self.giving.on_heir(lost, heir, path, self.link)  # type: ignore[arg-type]
        found = []
        self.message_ids = []
        for header, body in split_frames(bytes(self.link.outgoing)):
            assert (header.kind, header.destination, header.source) == (Kind.CALL, node_id(heir), node_id(TOP))
            call = decode_call(body)
            assert call.priority is None, "beside the queue, before anything in it"
            args, _ = call.arguments(is_trusted=True)
            found.append((call.function.name, *args))  # type: ignore[union-attr]
            self.message_ids.append(header.message_id)
        self.link.outgoing.clear()
        return found

    def answers(self, outbound: Any, place: int = 0) -> None:
        self.transfers.inflight.settle(self.message_ids[place], node_id(HEIR), bytes(outbound.joined()))


def test_an_heir_is_given_what_succeeded_and_nothing_else() -> None:
    giver = Giver()
    results = [GOOD, BAD, Failed(B1, TimedOut("late"), {})]
    assert giver.gives("x", [1], [A1, A2, B1], results) is results
    giver.gives("y", [2], A1, [GOOD])
    assert giver.heir_gets() == [("add_data", "x", [1]), ("add_data", "y", [2])]
    assert giver.heir_gets() == [], "once"
    giver.expected |= {(A2, A), (B1, A)}
    assert giver.heir_gets(A2) == giver.heir_gets(B1) == []
    assert giver.said == []


def test_what_nobody_waited_for_counts_as_given() -> None:
    giver = Giver()
    giver.gives("x", [1], A1, None)
    assert giver.heir_gets() == [("add_data", "x", [1])]


def test_what_was_taken_is_given_no_more() -> None:
    giver = Giver()
    giver.gives("x", [1], A1, [GOOD])
    giver.gives("z", [1], A1, [GOOD], "add_object")
    giver.transfers.results = [b"the value"]
    pop = {"function": "_hand_over", "args": ("data", "x", True, True, True)}
    giver.giving.transfer(TransferSpec(pop, A1, collect=True))
    assert giver.heir_gets() == [("add_object", "z", [1])]


def test_receivers_are_named_so_that_results_are_theirs() -> None:
    giver = Giver()
    giver.gives("x", [1], "workers", [GOOD] * 3)
    assert giver.transfers.specs[0].receivers == [A1, A2, B1]
    giver.gives("x", [1], A1, [GOOD])
    assert giver.transfers.specs[1].receivers == A1


def test_those_it_is_bounced_to_are_those_who_keep_it() -> None:
    giver = Giver()
    giver.transfers.results = [GOOD, GOOD]
    kwargs = {"function": "add_data", "args": ("x", [1])}
    giver.giving.transfer(TransferSpec(kwargs, [A], bounce=[[A1, A2]], collect=True))
    assert giver.heir_gets() == [("add_data", "x", [1])]


def test_an_heir_that_is_not_expected_there_gets_nothing() -> None:
    giver = Giver()
    giver.gives("x", [1], A1, [GOOD])
    assert giver.heir_gets(path=(TOP, R)) == []
    assert giver.heir_gets() == [("add_data", "x", [1])], "and takes nothing from the right one"


def test_who_does_not_come_back_and_who_has_left_is_not_remembered() -> None:
    giver = Giver(stay=(A2,))
    giver.gives("x", [1], [A1, A2], [GOOD] * 2)
    giver.giving.forget([A1, A2])
    giver.expected.add((A2, A))
    assert giver.heir_gets() == giver.heir_gets(A2) == []


@pytest.mark.parametrize("limit", [100, 0])
def test_what_is_too_large_is_not_remembered_and_that_is_said_unless_nothing_is(limit: int) -> None:
    giver = Giver(limit=limit)
    giver.gives("large", bytes(500), A1, [GOOD])
    assert giver.heir_gets() == []
    said = "who is launched anew will be without data 'large': the rule 'relaunch_maximum_remembered' = 100"
    assert giver.said == ([("info", said)] if limit else [])


def test_what_an_heir_does_not_take_is_said_and_that_it_died_is_not() -> None:
    giver = Giver()
    for name in "xyz":
        giver.gives(name, [1], A1, [GOOD])
    giver.heir_gets()
    giver.answers(encode_result(SoftgridStatus(False, error="no room")), 0)
    giver.answers(encode_refusal("not here"), 1)
    assert giver.said == []
    giver.answers(encode_result(GOOD), 2)
    ((kind, text),) = giver.said
    assert kind == "warn"
    assert text.startswith(f"{HEIR} lacks 2 of the things that {A1} kept: ")
    giver.expected.add((HEIR, A))
    giver.heir_gets(HEIR, A1)
    giver.transfers.inflight.lose({node_id(A1)}, lambda name, who, call: PeerLost("killed"))
    assert len(giver.said) == 1


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "label"),
    [
        ("add_data", ("x", 1), {}, (Label("data", "x"), True)),
        ("add_data", (), {"name": "x", "data": 1}, (Label("data", "x"), True)),
        ("_keep_udf", ("f", None, False, True), {}, (Label("function", "f"), True)),
        ("add_file", ("notes", "a/b", "text"), {}, (Label("file", "notes"), True)),
        ("add_package", ({"name": "p"}, "outer"), {}, (Label("package", "outer/p"), True)),
        ("add_package", ({"name": "p"},), {"relativeRoot": "outer"}, (Label("package", "outer/p"), True)),
        ("pop_file", ("notes",), {}, (Label("file", "notes"), False)),
        ("_hand_over", ("object", "m", True, True, True), {}, (Label("object", "m"), False)),
        ("_hand_over", ("object", "m", True, False, True), {}, (None, False)),
        ("add_data", (5, 1), {}, (None, False)),
        ("add_package", ("no package",), {}, (None, False)),
        ("add_data", "x", {}, (None, False)),
    ],
)
def test_what_a_call_concerns(function: str, args: Any, kwargs: Any, label: Any) -> None:
    assert label_of({"function": function, "args": args, "kwargs": kwargs}) == label


def test_calls_of_users_concern_no_stores() -> None:
    assert concerns_stores({"function": "add_data"})
    for kwargs in ({"function": "double"}, {"function": print}, {"function": ["add_data"]}, {}, [], None):
        assert not concerns_stores(kwargs)
