"""Transfers: each receiver's part is answered in its place, by a result or by what went wrong, and only once."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
from tests.harness.nodes import FakeLink, FakeReactor, split_frames
from tests.harness.sockets import LinkEnd, a_reactor
from tests.harness.trees import A1, A2, B1, STRANGER, TOP, A, B, R

from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.segments import THRESHOLD
from softgrid._model.errors import BadArgument, NoRoute, PeerLost, SoftgridError, TimedOut
from softgrid._model.names import node_id
from softgrid._node.bridge import Bridge
from softgrid._node.switch import Switch
from softgrid._node.transfers import Failed, Transfers, TransferSpec
from softgrid._state.tree import Tree
from softgrid._state.windows import QUEUED_BYTES
from softgrid._wire.calls import (
    FIRST_ARGUMENT,
    RETURN,
    STORE,
    Call,
    decode_call,
    encode_exception,
    encode_refusal,
    encode_result,
)
from softgrid._wire.framing import MORE, Assembler, Header, Kind, Outbound
from softgrid._wire.functions import FunctionName, FunctionSource, PickledFunction


class NoSegments:
    def share(self, parts: Any, size: int) -> None:
        return None


class Sending:
    """The transfers of the orchestrator, which has manager A behind one link and router R behind another."""

    def __init__(self, reactor: Any = None, **links: Any) -> None:
        self.reactor = reactor or FakeReactor()
        self.to_a = links.get("to_a") or FakeLink(A)
        self.to_r = links.get("to_r") or FakeLink(R)
        self.tree: Tree[Any] = Tree(TOP, "orchestrator")
        for name, path, link in (
            (A, (TOP,), self.to_a),
            (A1, (TOP, A), self.to_a),
            (A2, (TOP, A), self.to_a),
            (R, (TOP,), self.to_r),
            (B, (TOP, R), self.to_r),
            (B1, (TOP, R, B), self.to_r),
        ):
            self.tree.join(name, path, link, cores=1, now_utc=0.0)
        self.switch = Switch(self.tree, NoSegments(), lambda work: work(), lambda *given: None)  # type: ignore[arg-type]
        self.uncollected: list[tuple[str, Any]] = []
        self.transfers = Transfers(self.tree, self.switch, self.reactor, self._on_uncollected)
        self.script: list[Any] = []
        self.sent: list[tuple[int, int, Call]] = []

    def _on_uncollected(self, name: str, kwargs: Any, read: Any) -> None:
        self.uncollected.append((name, read()))

    def transfer(self, receivers: Any, kwargs: Any = None, *, answers: Any = (), **more: Any) -> Any:
        """Transfer, and let *answers* come in while it waits: (name, outcome) in their order."""
        self.script = list(answers)
        self.reactor.while_waiting = (lambda waiter: self.play()) if answers else self.reactor.while_waiting
        kwargs = kwargs if kwargs is not None else {"function": "f"}
        return self.transfers.transfer(TransferSpec(kwargs, receivers, **{"collect": True, **more}))

    def play(self) -> None:
        self.take_calls()
        for name, outcome in self.script:
            ids = [
                mid
                for target, mid, call in self.sent
                if target == node_id(name) or name in call.options.get("bounce", ())
            ]
            self.answer(name, ids[-1], outcome)

    def answer(self, name: str, message_id: int, outcome: Any) -> None:
        body = outcome if isinstance(outcome, Outbound) else encode_result(outcome)
        self.transfers.on_result(None, node_id(name), message_id, body.joined())

    def take_calls(self) -> list[tuple[int, int, Call]]:
        """Give the calls that were sent since last asked."""
        calls = []
        for link in (self.to_a, self.to_r):
            assembler = Assembler()
            for header, body in link.take_frames():
                assert header.source == node_id(TOP)
                whole = assembler.add(header.kind, header.source, header.message_id, header.flags, body)
                if whole is not None:
                    calls.append((header.destination, header.message_id, decode_call(whole)))
        self.sent += calls
        return calls

    def check_nothing_sent(self) -> None:
        assert self.take_calls() == []
        assert len(self.transfers.inflight) == 0


@pytest.fixture
def sending() -> Sending:
    return Sending()


def errors_of(results: list[Any]) -> list[Any]:
    return [type(result.error) if isinstance(result, Failed) else result for result in results]


# -- out ------------------------------------------------------------------------------------------


def test_each_receiver_gets_the_call_and_results_stand_in_their_order(sending: Sending) -> None:
    results = sending.transfer([A1, B1, A2], answers=[(B1, "b"), (A2, "c"), (A1, "a")])
    assert results == ["a", "b", "c"]
    assert sorted(target for target, _, _ in sending.sent) == sorted(map(node_id, (A1, A2, B1)))
    sending.check_nothing_sent()


def test_a_call_says_what_is_to_be_done_and_how(sending: Sending) -> None:
    kwargs = {
        "function": "lambda x: x",
        "args": [1, "two"],
        "kwargs": {"three": 3},
        "priority": -2,
        "first_argument_executor": True,
        "result_handling": {"return_result": False, "store_result": True, "result_name": "r"},
        "promise_password": "p",
        "propagate_workers": True,
    }
    sending.transfer([A1], kwargs, answers=[(A1, None)])
    ((_, _, call),) = sending.sent
    assert call.function == FunctionSource("lambda x: x")
    assert call.arguments() == ((1, "two"), {"three": 3})
    assert (call.priority, call.flags) == (-2.0, FIRST_ARGUMENT | STORE)
    options = {key: value for key, value in call.options.items() if key != "op"}
    assert options == {"result_name": "r", "promise": "p", "propagate": ["propagate_workers"]}


@pytest.mark.parametrize("pairs", [[("a", 1), ("b", 2)], (["a", 1], ["b", 2])])
def test_keyword_arguments_may_come_as_pairs(sending: Sending, pairs: Any) -> None:
    sending.transfer([A1], {"function": "f", "kwargs": pairs}, answers=[(A1, None)])
    ((_, _, call),) = sending.sent
    assert call.arguments() == ((), {"a": 1, "b": 2})


def test_a_call_says_nothing_that_was_not_asked_for(sending: Sending) -> None:
    sending.transfer([A1], {"function": "f"}, answers=[(A1, None)])
    ((_, _, call),) = sending.sent
    assert (call.function, call.flags, call.priority, call.options) == (FunctionName("f"), RETURN, 1.0, {})
    assert call.arguments() == ((), {})


def test_each_receiver_may_get_its_own(sending: Sending) -> None:
    kwargs = [{"function": "f", "args": (1,)}, {"function": "g", "args": (2,)}]
    sending.transfer([A1, A2], kwargs, answers=[(A1, 0), (A2, 0)])
    assert [(call.function.name, call.arguments()[0]) for _, _, call in sending.sent] == [("f", (1,)), ("g", (2,))]  # type: ignore[union-attr]


def test_of_many_small_calls_the_first_leaves_at_once_and_the_others_in_one_write(sending: Sending) -> None:
    sending.transfer([A1, A2] * 50, collect=False)
    assert len(sending.to_a.passed) == 2
    assert len(sending.take_calls()) == 100


def test_a_function_is_sent_once_and_called_by_its_digest_afterwards(sending: Sending) -> None:
    for _ in range(2):
        sending.transfer([A1, A2], {"function": len}, answers=[(A1, 0), (A2, 0)])
    bodies = [bool(call.function.body) for _, _, call in sending.sent]  # type: ignore[union-attr]
    assert bodies == [True, True, False, False]
    function = sending.sent[0][2].function
    assert isinstance(function, PickledFunction)
    assert sending.transfers.encoder.kept_function(function.digest) == function.body


def test_an_executor_that_came_back_gets_the_function_again(sending: Sending) -> None:
    sending.transfer([A1], {"function": len}, answers=[(A1, 0)])
    sending.transfers.on_gone({node_id(A1)}, lambda target: "killed")
    sending.transfer([A1], {"function": len}, answers=[(A1, 0)])
    assert all(call.function.body for _, _, call in sending.sent)  # type: ignore[union-attr]


def test_nobody_to_send_to_is_no_results(sending: Sending) -> None:
    assert sending.transfer([]) == []
    sending.check_nothing_sent()


# -- nonsense -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "parameter"),
    [
        (5, "transferKwargs"),
        ([{"function": "f"}], "transferKwargs"),
        ([{"function": "f"}, 5], "transferKwargs"),
        ({}, "func"),
        ({"function": 5}, "func"),
        ({"function": " "}, "func"),
        ({"function": "f", "mode": "dance"}, "mode"),
        ({"function": "f", "args": 5}, "args"),
        ({"function": "f", "args": "text"}, "args"),
        ({"function": "f", "kwargs": [1]}, "kwargs"),
        ({"function": "f", "kwargs": [("a", 1), ("b",)]}, "kwargs"),
        ({"function": "f", "kwargs": ((1, 2),)}, "kwargs"),
        ({"function": "f", "kwargs": {1: 2}}, "kwargs"),
        ({"function": "f", "priority": "high"}, "priority"),
        ({"function": "f", "promise_password": 5}, "promisePassword"),
        ({"function": "f", "result_handling": {"result_name": 5}}, "resultName"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_and_nothing_is_sent(
    sending: Sending, kwargs: Any, parameter: str
) -> None:
    with pytest.raises(BadArgument, match=f"^{parameter}: got"):
        sending.transfer([A1, A2], kwargs)
    sending.check_nothing_sent()


@pytest.mark.parametrize(
    ("more", "parameter"),
    [
        ({"timeout": -1}, "transferTimeout"),
        ({"timeout": 1, "multiplier": 0}, "multiplier"),
        ({"timeout": 1, "multiplier": [3]}, "multiplier"),
        ({"bounce": [[A1]]}, "bounce"),
        ({"bounce": 5}, "bounce"),
    ],
)
def test_what_cannot_be_meant_for_the_whole_is_refused_too(sending: Sending, more: Any, parameter: str) -> None:
    with pytest.raises(BadArgument, match=f"^{parameter}: got"):
        sending.transfer([A1, A2], **more)
    sending.check_nothing_sent()


def test_an_argument_that_cannot_travel_is_refused_and_nothing_is_sent(sending: Sending) -> None:
    import threading

    with pytest.raises(SoftgridError, match="cannot serialise"):
        sending.transfer([A1, A2], {"function": "f", "args": (threading.Lock(),)})
    sending.check_nothing_sent()


def test_of_many_kwargs_one_that_makes_no_sense_fails_alone(sending: Sending) -> None:
    kwargs = [{"function": 5}, {"function": "f"}]
    results = sending.transfer([A1, A2], kwargs, answers=[(A2, "ok")])
    assert errors_of(results) == [BadArgument, "ok"]


def test_kwargs_that_make_no_sense_fail_for_each_receiver_that_they_are_for(sending: Sending) -> None:
    bad = {"function": "g", "args": 5}
    results = sending.transfer([A1, A2, B1], [{"function": "f"}, bad, bad], answers=[(A1, "ok")], timeout=1.0)
    assert errors_of(results) == ["ok", BadArgument, BadArgument]
    assert len(sending.sent) == 1


@pytest.mark.parametrize("handling", [5, "text", ["return_result"]])
def test_a_result_handling_that_is_no_dictionary_is_refused(sending: Sending, handling: Any) -> None:
    with pytest.raises(BadArgument, match=r"^resultHandling|^result_handling"):
        sending.transfer([A1], {"function": "f", "result_handling": handling})


# -- one receiver, the short way ------------------------------------------------------------------


def test_one_receiver_by_name_is_called_like_one_in_a_list(sending: Sending) -> None:
    assert sending.transfer(A1, {"function": "f", "args": (1,)}, answers=[(A1, "ok")]) == ["ok"]
    ((target, _, call),) = sending.sent
    assert (target, call.function, call.arguments()) == (node_id(A1), FunctionName("f"), ((1,), {}))
    sending.check_nothing_sent()


@pytest.mark.parametrize("kwargs", [{}, {"function": "f", "args": 5}, {"function": "f", "priority": "high"}])
def test_nonsense_for_one_receiver_is_refused_too(sending: Sending, kwargs: Any) -> None:
    with pytest.raises(BadArgument):
        sending.transfer(A1, kwargs)
    sending.check_nothing_sent()


def test_one_receiver_behind_a_closed_link_is_lost(sending: Sending) -> None:
    sending.to_a.closed = True
    assert errors_of(sending.transfer(A1)) == [PeerLost]
    sending.check_nothing_sent()


def test_one_receiver_that_has_enough_to_do_is_waited_for(sending: Sending) -> None:
    kwargs = {"function": "f", "args": ("x" * 40_000,)}
    sending.transfer([A1] * 40, kwargs, collect=False, timeout=5.0)
    before = [message_id for _, message_id, _ in sending.take_calls()]

    def answer_all(waiter: Any) -> None:
        while before:
            sending.answer(A1, before.pop(0), "ok")
            before.extend(message_id for _, message_id, _ in sending.take_calls())

    sending.reactor.while_waiting = answer_all
    assert sending.transfer(A1, kwargs) == ["ok"]


def test_one_large_call_goes_in_frames(sending: Sending) -> None:
    sending.reactor.while_waiting = lambda waiter: None
    sending.reactor.is_closed = True
    sending.transfer(A1, {"function": "f", "args": (b"x" * 600_000,)})
    assert [header.flags for header, _ in sending.to_a.take_frames()] == [MORE, MORE, 0]


@pytest.mark.parametrize("name", ["nonsense", STRANGER, "workers"])
def test_a_text_that_is_no_executor_below_goes_the_long_way(sending: Sending, name: str) -> None:
    if name == "nonsense":
        with pytest.raises(BadArgument):
            sending.transfer(name)
    elif name == STRANGER:
        assert errors_of(sending.transfer(name)) == [NoRoute]
    else:
        assert sending.transfer(name, answers=[(A1, 1), (A2, 2), (B1, 3)]) == [1, 2, 3]


# -- back -----------------------------------------------------------------------------------------


def test_an_exception_over_there_is_a_failure_here_with_the_kwargs_to_send_it_again(sending: Sending) -> None:
    kwargs = {"function": "f"}
    error = ValueError("v")
    results = sending.transfer([A1, A2], kwargs, answers=[(A1, encode_exception(error)), (A2, encode_refusal("no"))])
    raised, refused = results
    assert isinstance(raised, Failed)
    assert (raised.name, raised.kwargs) == (A1, kwargs)
    assert "ValueError: v" in str(raised)
    assert str(refused) == f"{A2}: no"


def test_a_result_that_cannot_be_read_is_a_failure(sending: Sending) -> None:
    (result,) = sending.transfer([A1], answers=[(A1, Outbound(b"\x00\x00garbage"))])
    assert "the result arrived but cannot be read here" in str(result)


def test_who_is_gone_fails_in_its_place_and_the_others_are_answered(sending: Sending) -> None:
    sending.tree.leave(A1, "killed")
    results = sending.transfer([A1, STRANGER, A2], answers=[(A2, "ok")])
    assert errors_of(results) == [PeerLost, NoRoute, "ok"]
    assert "killed" in str(results[0])


def test_a_link_that_is_closed_is_no_way(sending: Sending) -> None:
    sending.to_a.closed = True
    results = sending.transfer([A1, B1], answers=[(B1, "ok")])
    assert errors_of(results) == [PeerLost, "ok"]
    assert sending.to_a.take_frames() == []


def test_a_refusal_on_the_way_is_a_failure(sending: Sending) -> None:
    sending.reactor.while_waiting = lambda waiter: sending.transfers.on_refused(
        sending.take_calls()[0][1], node_id(A1), "is nowhere on the grid"
    )
    (result,) = sending.transfer([A1])
    assert errors_of([result]) == [NoRoute]
    assert "is nowhere on the grid" in str(result)


def test_a_death_while_waiting_is_a_failure_that_says_so(sending: Sending) -> None:
    sending.reactor.while_waiting = lambda waiter: sending.transfers.on_gone(
        {node_id(A1)}, lambda target: "killed by signal 9"
    )
    (result,) = sending.transfer([A1])
    assert errors_of([result]) == [PeerLost]
    assert "killed by signal 9" in str(result)
    assert "may have run" in str(result)


def test_when_the_time_is_up_what_is_missing_fails_and_comes_too_late(sending: Sending) -> None:
    results = sending.transfer([A1, A2], answers=[(A1, "ok")], timeout=2.0)
    assert errors_of(results) == ["ok", TimedOut]
    assert "within 2 s" in str(results[1])
    assert sending.reactor.waits == [2.0]
    sending.answer(A2, sending.sent[-1][1], "late")
    sending.check_nothing_sent()


def test_each_receiver_may_have_a_time_of_its_own(sending: Sending) -> None:
    over: list[list[float]] = []

    def first_time_is_over(waiter: Any) -> None:
        ids = {target: message_id for target, message_id, _ in sending.take_calls()}
        over.append(sending.reactor.run_timers())
        sending.answer(A1, ids[node_id(A1)], "late")
        sending.answer(A2, ids[node_id(A2)], "in time")

    sending.reactor.while_waiting = first_time_is_over
    results = sending.transfer([A1, A2, B1], timeout=2.0, multiplier=[1, 0.25, 0.25])
    assert errors_of(results) == [TimedOut, "in time", TimedOut]
    assert [str(results[0]), str(results[2])] == [
        f"{name}: no answer from {name} within {seconds} s; it may still be running"
        for name, seconds in ((A1, 2), (B1, 8))
    ]
    assert (over, sending.reactor.waits) == ([[2.0]], [8.0])
    sending.check_nothing_sent()


def test_a_time_of_its_own_is_not_kept_when_all_have_answered(sending: Sending) -> None:
    answers = [(A1, 1), (A2, 2)]
    assert sending.transfer([A1, A2], timeout=2.0, multiplier=[1, 0.25], answers=answers) == [1, 2]
    assert sending.reactor.timers == []


def test_what_is_not_waited_for_any_longer_is_tracked_no_longer_when_the_rest_has_ended(sending: Sending) -> None:
    sending.transfer([A1, A2], timeout=2.0, multiplier=[1, 0.25], collect=False)
    _, (_, second, _) = sending.take_calls()
    (short, give_up), (long, _) = sending.reactor.timers
    assert (short, long) == (2.0, 8.0)
    give_up()
    assert errors_of([result for _, result in sending.uncollected]) == [TimedOut]
    sending.answer(A2, second, "ok")
    assert errors_of([result for _, result in sending.uncollected]) == [TimedOut, "ok"]
    assert (len(sending.transfers.inflight), sending.reactor.timers) == (0, [])


def test_an_interrupt_while_waiting_takes_back_what_is_waited_for_and_nothing_else(sending: Sending) -> None:
    def interrupt(waiter: Any) -> None:
        raise KeyboardInterrupt

    sending.transfer([A2], collect=False)
    taken_back: list[Any] = []
    sending.transfers.cancel = taken_back.append
    sending.reactor.while_waiting = interrupt
    with pytest.raises(KeyboardInterrupt):
        sending.transfer([A1])
    ((message_id, target, name),) = taken_back.pop()
    assert (target, name) == (node_id(A1), A1)
    assert sending.transfers.inflight.is_open(message_id)
    assert taken_back == []


def test_an_interrupt_while_calls_are_sent_takes_them_back_if_they_were_to_be_collected(sending: Sending) -> None:
    def interrupt(shielded: bool) -> None:
        raise KeyboardInterrupt

    taken_back: list[Any] = []
    sending.transfers.cancel = taken_back.append
    sending.reactor.unshield = interrupt
    for receivers, more in (([A1, A2], {}), (B1, {}), ([A1], {"collect": False})):
        with pytest.raises(KeyboardInterrupt):
            sending.transfer(receivers, **more)
    assert [[name for _, _, name in calls] for calls in taken_back] == [[A1, A2], [B1]]


def test_leaving_the_grid_while_waiting_fails_what_is_missing(sending: Sending) -> None:
    sending.reactor.is_closed = True
    (result,) = sending.transfer([A1])
    assert errors_of([result]) == [PeerLost]
    assert "left the grid" in str(result)


def test_a_call_to_oneself_is_delivered_here(sending: Sending) -> None:
    from softgrid._wire.framing import Kind

    delivered: list[Any] = []
    sending.switch.deliver[Kind.CALL] = lambda *given: delivered.append(given)
    sending.transfer([TOP], collect=False)
    ((_, source, message_id, body),) = delivered
    assert source == node_id(TOP)
    assert decode_call(body).function == FunctionName("f")
    sending.answer(TOP, message_id, "me")
    assert sending.uncollected == [(TOP, "me")]


# -- not collected --------------------------------------------------------------------------------


def test_what_is_not_collected_is_told_as_it_comes(sending: Sending) -> None:
    assert sending.transfer([A1, A2], collect=False) is None
    (_, first, _), (_, second, _) = sending.take_calls()
    sending.answer(A2, second, "two")
    assert sending.uncollected == [(A2, "two")]
    sending.answer(A1, first, encode_refusal("no"))
    assert errors_of([result for _, result in sending.uncollected]) == ["two", type(sending.uncollected[1][1].error)]
    assert len(sending.transfers.inflight) == 0


@pytest.mark.parametrize("answered", [True, False])
def test_what_is_not_collected_is_given_up_when_its_time_is_up(sending: Sending, answered: bool) -> None:
    sending.transfer([A1], collect=False, timeout=2.0)
    if answered:
        sending.answer(A1, sending.take_calls()[0][1], "ok")
    assert sending.reactor.run_timers() == ([] if answered else [2.0])
    assert errors_of([result for _, result in sending.uncollected]) == ["ok" if answered else TimedOut]


# -- bounced --------------------------------------------------------------------------------------


def test_a_bounced_call_goes_once_to_its_receiver_and_is_answered_by_the_fan(sending: Sending) -> None:
    results = sending.transfer([A, R], bounce=[[A1, A2], None], answers=[(A2, 2), (R, 3), (A1, 1)])
    assert results == [1, 2, 3]
    assert [target for target, _, _ in sending.sent] == [node_id(A), node_id(R)]
    assert sending.sent[0][2].options["bounce"] == [A1, A2]


def test_each_of_many_calls_bounces_as_it_says_itself(sending: Sending) -> None:
    kwargs = [{"function": "f"}, {"function": "g", "bounce_transfer": [None, [A1, A2]]}]
    assert sending.transfer([R, A], kwargs, answers=[(A2, 2), (R, 3), (A1, 1)]) == [3, 1, 2]
    assert {target: call.options.get("bounce") for target, _, call in sending.sent} == {
        node_id(R): None,
        node_id(A): [A1, A2],
    }


def test_what_is_large_goes_once_over_a_link_and_is_spread_behind_it(sending: Sending) -> None:
    array = np.zeros(THRESHOLD)
    kwargs = {"function": "f", "args": (array,)}
    answers = [(A2, 2), (B1, 3), (A1, 1)]
    assert sending.transfer([A1, B1, A2], kwargs, answers=answers) == [1, 3, 2]
    sent = {target: call.options.get("bounce") for target, _, call in sending.sent}
    assert sent == {node_id(A): [A1, A2], node_id(B1): None}


def test_what_is_large_goes_to_each_over_a_link_that_shares_memory() -> None:
    sending = Sending(to_a=FakeLink(A, passes_descriptors=True))
    kwargs = {"function": "f", "args": (np.zeros(THRESHOLD),)}
    assert sending.transfer([A1, A2], kwargs, answers=[(A2, 2), (A1, 1)]) == [1, 2]
    assert {target for target, _, _ in sending.sent} == {node_id(A1), node_id(A2)}


@pytest.mark.parametrize(("receivers", "size"), [([A1, A2], 1), ([A, A1], THRESHOLD)])
def test_what_is_small_or_has_a_way_of_its_own_goes_to_each(sending: Sending, receivers: Any, size: int) -> None:
    kwargs = {"function": "f", "args": (np.zeros(size),)}
    answers = [(receiver, receiver) for receiver in receivers]
    assert sending.transfer(receivers, kwargs, answers=answers) == receivers
    assert all("bounce" not in call.options for _, _, call in sending.sent)


def test_a_fan_that_names_somebody_twice_is_answered_twice(sending: Sending) -> None:
    results = sending.transfer([A], bounce=[[A1, A1]], answers=[(A1, 1), (A1, 2)])
    assert results == [1, 2]


def test_a_fan_of_nobody_is_no_results(sending: Sending) -> None:
    assert sending.transfer([A, R], bounce=[[], None], answers=[(R, 1)]) == [1]
    assert [target for target, _, _ in sending.sent] == [node_id(R)]


def test_a_fan_behind_a_closed_link_fails_as_a_whole(sending: Sending) -> None:
    sending.to_a.closed = True
    results = sending.transfer([A, R], bounce=[[A1, A2], None], answers=[(R, 1)])
    assert errors_of(results) == [PeerLost, PeerLost, 1]


# -- much -----------------------------------------------------------------------------------------


def test_more_than_a_receiver_can_bear_waits_here_in_order_and_others_do_not(sending: Sending) -> None:
    kwargs = {"function": "f", "args": ("x" * 40_000,)}
    sending.transfer([A1] * 40 + [B1], kwargs, collect=False, timeout=5.0)
    first = sending.take_calls()
    assert node_id(B1) in [target for target, _, _ in first]
    to_a1 = [message_id for target, message_id, _ in first if target == node_id(A1)]
    assert 1 < len(to_a1) < 40
    order = list(to_a1)
    while len(order) < 40:
        sending.answer(A1, to_a1.pop(0), "ok")
        more = [message_id for _, message_id, _ in sending.take_calls()]
        to_a1 += more
        order += more
        assert to_a1 or len(order) == 40, "nothing is on its way, and something waits"
    assert order == sorted(order)


def ends_of(frames: list[tuple[Header, bytes]]) -> list[int]:
    """Give the ids of messages in the order in which they were complete."""
    assembler, ends = Assembler(), []
    for header, body in frames:
        if assembler.add(header.kind, header.source, header.message_id, header.flags, body) is not None:
            ends.append(header.message_id)
    return ends


def test_a_small_call_does_not_overtake_a_large_one_to_the_same_executor() -> None:
    with a_reactor() as reactor, closing(LinkEnd(reactor)) as end:
        sending = Sending(_Watching(reactor), to_a=end.link)
        large = {"function": "f", "args": (np.zeros(2_000_000, dtype=np.uint8),)}
        sending.transfer([A1, A1], [large, {"function": "f"}], collect=False)
        data = bytearray()
        while len(ends_of(whole_frames(data))) < 2:
            data += end.take(1)
            data += _available(end)
        assert ends_of(whole_frames(data)) == [1, 2]


class _Watching:
    """A real reactor, except that nobody waits."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self.while_waiting: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def wait(self, waiter: Any, timeout: float | None = None) -> bool:
        return False


def _available(end: LinkEnd) -> bytes:
    try:
        return end.peer.recv(1 << 20)
    except BlockingIOError:
        return b""


def whole_frames(data: bytearray) -> list[tuple[Header, bytes]]:
    from softgrid._wire.framing import HEADER, HEADER_SIZE

    stop = 0
    while len(data) - stop >= HEADER_SIZE:
        length = HEADER.unpack_from(data, stop)[0]
        if stop + HEADER_SIZE + length > len(data):
            break
        stop += HEADER_SIZE + length
    return list(split_frames(bytes(data[:stop])))


def test_a_large_call_goes_in_frames_and_comes_together() -> None:
    sending = Sending()
    array = np.arange(100_000.0)
    sending.transfer([A1], {"function": "f", "args": (array,)}, collect=False)
    frames = sending.to_a.take_frames()
    assert [header.flags for header, _ in frames] == [MORE] * (len(frames) - 1) + [0]
    (got,), _ = decode_call(bytearray(b"".join(body for _, body in frames))).arguments()
    assert (got == array).all()


# -- bridges --------------------------------------------------------------------------------------


class FakeBridge(Bridge):
    """A bridge that keeps what it is given."""

    def __init__(self, name: str) -> None:
        self.name, self.peer = name, node_id(name)
        self.given: list[tuple[int, Call, bool]] = []
        self.told = 0
        self.gone = False
        self.waiter: Any = None

    @property
    def is_gone(self) -> bool:
        return self.gone

    def send(self, kind: int, message_id: int, outbound: Outbound, may_bridge: bool = True) -> Any:
        assert kind == Kind.CALL
        self.given.append((message_id, decode_call(outbound.joined()), may_bridge))
        return self.waiter

    def note_sent_through_tree(self) -> None:
        self.told += 1


def bridged(sending: Sending, name: str = A1) -> FakeBridge:
    bridge = sending.transfers.bridges[node_id(name)] = FakeBridge(name)
    return bridge


def answer_bridged(sending: Sending, bridge: FakeBridge, *results: Any) -> None:
    def answer(waiter: Any) -> None:
        sending.take_calls()
        for (message_id, _, _), result in zip(bridge.given, results, strict=True):
            sending.answer(bridge.name, message_id, result)

    sending.reactor.while_waiting = answer


@pytest.mark.parametrize("receivers", [A1, [A1]])
@pytest.mark.parametrize(
    ("allowed", "template", "may_bridge"),
    [(True, {}, True), (False, {}, False), (None, {}, True), (None, {"allow_bridging": False}, False)],
)
def test_a_call_to_the_other_end_of_a_bridge_is_given_to_it(sending, receivers, allowed, template, may_bridge) -> None:
    bridge = bridged(sending)
    answer_bridged(sending, bridge, "answer")
    kwargs = {"function": "f", **template}
    assert sending.transfer(receivers, kwargs, allow_bridging=allowed) == ["answer"]
    [(_, call, may)] = bridge.given
    assert (call.function, may) == (FunctionName("f"), may_bridge)
    assert bridge.told == 0
    sending.check_nothing_sent()


def test_others_take_the_tree_beside_a_bridge(sending: Sending) -> None:
    bridge = bridged(sending)
    answer_bridged(sending, bridge, "over")
    results = sending.transfer([A1, A2], collect=False)
    assert results is None
    [(target, _, _)] = sending.take_calls()
    assert target == node_id(A2)
    assert len(bridge.given) == 1


def test_a_bounced_call_goes_directly_to_whoever_has_a_bridge(sending: Sending) -> None:
    bridge = bridged(sending)
    sending.transfer([A], bounce=[[A1, A2]], collect=False)
    assert len(bridge.given) == 1
    [(target, _, call)] = sending.take_calls()
    assert (target, call.options["bounce"]) == (node_id(A), [A2])


@pytest.mark.parametrize(
    ("allowed", "template", "named"),
    [
        ("yes", {}, "allowBridging"),
        ([True, False], {}, "allowBridging"),
        ([], {}, "allowBridging"),
        ([1], {}, "allowBridging"),
        (None, {"allow_bridging": 1}, "allow_bridging"),
    ],
)
@pytest.mark.parametrize("receivers", [A1, [A1]])
def test_a_permission_that_cannot_be_is_refused(sending: Sending, receivers, allowed, template, named) -> None:
    with pytest.raises(BadArgument, match=named):
        sending.transfer(receivers, {"function": "f", **template}, allow_bridging=allowed)
    sending.check_nothing_sent()


def test_a_bridge_opened_while_a_call_goes_through_the_tree_is_told(sending: Sending) -> None:
    bridge = FakeBridge(A1)
    send = sending.to_a.send

    def open_meanwhile(*given: Any) -> None:
        sending.transfers.bridges[bridge.peer] = bridge
        send(*given)

    sending.to_a.send = open_meanwhile  # type: ignore[method-assign]
    sending.transfer(A1, answers=[(A1, "answer")])
    assert bridge.told == 1
    sending.transfers.bridges.clear()
    sending.transfer([A1], answers=[(A1, "answer")], timeout=5)
    assert bridge.told == 2
    assert bridge.given == []


def test_a_call_that_waited_for_room_takes_the_bridge_that_is_there_by_then(sending: Sending) -> None:
    eighth = {"function": "f", "args": ["x" * (QUEUED_BYTES // 8 - 100)]}
    sending.transfer([A1] * 11, eighth, collect=False, allow_bridging=[True] * 8 + [True, False, True])
    first, second = [message_id for _, message_id, _ in sending.take_calls()][:2]
    assert len(sending.sent) == 8
    bridge = bridged(sending)
    sending.answer(A1, first, "answer")
    assert [may for _, _, may in bridge.given] == [True]
    sending.answer(A1, second, "answer")
    sending.answer(A1, bridge.given[0][0], "answer")
    assert [may for _, _, may in bridge.given] == [True, False, True]
    assert sending.take_calls() == []


def test_a_call_over_a_bridge_to_one_that_went_meanwhile_is_told(sending: Sending) -> None:
    bridge = bridged(sending)
    bridge.gone = True
    for receivers in (A1, [A1]):
        assert errors_of(sending.transfer(receivers)) == [PeerLost]
    assert bridge.given == []


def test_memory_that_a_bridge_still_needs_is_waited_for(sending: Sending) -> None:
    bridge = bridged(sending)
    bridge.waiter = Waiter()
    sending.reactor.while_waiting = lambda waiter: waiter.set()
    sending.transfer([A1], collect=False)
    assert bridge.waiter.done
