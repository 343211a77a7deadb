"""Fanning out: a bounced call goes to each in its caller's name, a propagating one to whom its flags say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeSwitch
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R, tree_of

from softgrid._io.segments import THRESHOLD
from softgrid._model.errors import SoftgridError
from softgrid._model.names import node_id
from softgrid._node.execution import Task
from softgrid._node.fanout import FanOut
from softgrid._node.functions import FunctionTable
from softgrid._wire.calls import decode_call, encode_call
from softgrid._wire.framing import Kind
from softgrid._wire.functions import FunctionName, FunctionPickler, PickledFunction, encode_function

CALLER = node_id(A1)


class Fanning:
    def __init__(self, at: str = TOP) -> None:
        self.tree = tree_of(at)
        self.switch = FakeSwitch(self.tree.node_id)
        self.functions = FunctionTable(object(), frozenset())
        self.fanout = FanOut(self.tree, self.switch, self.functions)  # type: ignore[arg-type]

    def comes(
        self, function: Any = None, *, is_known: bool = False, argument: Any = "argument", **options: Any
    ) -> bool:
        section = encode_function(function or FunctionName("f"), is_known=is_known)
        outbound = encode_call(section, (argument,), {}, flags=1, priority=2.0, options=options)
        return self.fanout.on_options(Task(CALLER, 9, decode_call(outbound.joined())))

    def take(self) -> dict[int, Any]:
        """Give the calls that were sent, by destination; each is checked to be the call that came."""
        calls = {}
        for sent in self.switch.take(Kind.CALL):
            assert sent.destination not in calls, "somebody would get it twice"
            call = decode_call(sent.body)
            assert call.arguments() == (("argument",), {})
            assert call.priority == 2.0
            calls[sent.destination] = (sent.source, sent.message_id, call)
        return calls


def ids(*names: str) -> set[int]:
    return {node_id(name) for name in names}


@pytest.mark.parametrize("is_large", [False, True])
def test_what_is_large_is_bounced_on_where_several_share_a_way_without_shared_memory(is_large: bool) -> None:
    fanning = Fanning()
    fanning.switch.spreaders = {A1: A, A2: A, B1: R}
    fanning.comes(argument="x" * (THRESHOLD if is_large else 1), bounce=[A1, B1, A2])
    sent = {sent.destination: decode_call(sent.body).options.get("bounce") for sent in fanning.switch.take(Kind.CALL)}
    each = dict.fromkeys(ids(A1, A2, B1))
    assert sent == ({node_id(A): [A1, A2], node_id(B1): None} if is_large else each)


def test_a_bounced_call_goes_to_each_in_the_name_of_its_caller_and_is_not_run_here() -> None:
    fanning = Fanning()
    assert fanning.comes(bounce=[A2, B1, TOP], keep="x")
    calls = fanning.take()
    assert set(calls) == ids(A2, B1, TOP)
    for source, message_id, call in calls.values():
        assert (source, message_id) == (CALLER, 9)
        assert "bounce" not in call.options
        assert call.options["keep"] == "x"


def test_those_who_cannot_be_reached_are_refused_to_the_caller_and_the_others_get_it() -> None:
    fanning = Fanning()
    fanning.tree.leave(A2, "killed")
    fanning.comes(bounce=[A2, STRANGER, B1])
    refused = [sent for sent in fanning.switch.sent if sent.kind == Kind.REFUSED]
    assert [(sent.destination, sent.message_id) for sent in refused] == [(CALLER, 9)] * 2
    assert [sent.message["target"] for sent in refused] == [node_id(A2), node_id(STRANGER)]
    assert "killed" in refused[0].message["reason"]
    fanning.switch.sent = [sent for sent in fanning.switch.sent if sent.kind != Kind.REFUSED]
    assert set(fanning.take()) == ids(B1)


def test_a_propagating_call_goes_to_whom_its_flags_say_and_is_run_here_too() -> None:
    fanning = Fanning()
    assert not fanning.comes(propagate=["propagate_managers"])
    calls = fanning.take()
    assert set(calls) == ids(A, B)
    for source, message_id, call in calls.values():
        assert (source, message_id) == (fanning.tree.node_id, 0)
        assert "propagate" not in call.options


def test_what_goes_up_carries_its_flags_and_from_where_it_came() -> None:
    fanning = Fanning(R)
    flags = ["propagate_recursive", "propagate_upgrid", "propagate_workers"]
    fanning.comes(propagate=flags)
    calls = fanning.take()
    assert set(calls) == ids(TOP, B1)
    up = calls[node_id(TOP)][2].options
    assert (up["propagate"], up["came_from"]) == (flags, R)
    assert "propagate" not in calls[node_id(B1)][2].options


def test_what_came_from_below_does_not_go_there_again() -> None:
    fanning = Fanning()
    fanning.comes(propagate=["propagate_workers"], came_from=R)
    assert set(fanning.take()) == ids(A1, A2)


def test_options_of_other_kinds_concern_nobody_here() -> None:
    fanning = Fanning()
    assert not fanning.comes(promise="x")
    fanning.switch.check_nothing_sent()


@pytest.mark.parametrize("option", [{"bounce": [A2]}, {"propagate": ["propagate_workers"]}])
def test_a_function_that_is_known_here_by_its_digest_is_sent_on_in_full(option: Any) -> None:
    fanning = Fanning()
    function = FunctionPickler().pickle(len)
    fanning.functions.note(function)
    fanning.comes(function, is_known=True, **option)
    calls = fanning.take()
    assert calls
    assert all(call.function == function for _, _, call in calls.values())


def test_a_function_that_is_not_known_here_is_sent_on_by_its_digest() -> None:
    fanning = Fanning()
    fanning.comes(PickledFunction(b"d" * 16, b"x"), is_known=True, bounce=[A2])
    ((_, _, call),) = fanning.take().values()
    assert call.function == PickledFunction(b"d" * 16, b"")


@pytest.mark.parametrize(
    "options",
    [{"bounce": [5]}, {"bounce": [None]}, {"bounce": "text"}, {"propagate": 5}, {"propagate": None}],
    ids=str,
)
def test_options_that_make_no_sense_are_an_error_of_softgrid(options: Any) -> None:
    fanning = Fanning()
    with pytest.raises(SoftgridError):
        fanning.comes(**options)
    fanning.switch.check_nothing_sent()


def test_who_is_not_below_is_refused_to_a_caller_who_is_not_either() -> None:
    fanning = Fanning(A)
    fanning.comes(bounce=[A2, B1])
    assert set(fanning.take()) == ids(A2, B1)
    section = encode_function(FunctionName("f"), is_known=False)
    outbound = encode_call(section, (), {}, flags=1, priority=2.0, options={"bounce": [A2, B1]})
    fanning.fanout.on_options(Task(node_id(TOP), 9, decode_call(outbound.joined())))
    refused = [sent for sent in fanning.switch.sent if sent.kind == Kind.REFUSED]
    assert [(sent.destination, sent.message["target"]) for sent in refused] == [(node_id(TOP), node_id(B1))]
    assert {sent.destination for sent in fanning.switch.sent if sent.kind == Kind.CALL} == ids(A2)
