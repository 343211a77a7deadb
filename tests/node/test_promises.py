"""Promises that an executor holds: who may ask for one, what runs in it, and who is told when it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.harness.nodes import FakeReactor, FakeSwitch, Sent
from tests.harness.trees import A1, A2, STRANGER, TOP, A, tree_of

from softgrid._model.errors import BadArgument, PeerLost
from softgrid._model.names import node_id
from softgrid._model.rules import Rules
from softgrid._node import promises as promises_module
from softgrid._node.control import Control
from softgrid._node.execution import Execution, Task
from softgrid._node.functions import FunctionTable
from softgrid._node.promises import Promises
from softgrid._state.inflight import InFlight
from softgrid._wire.calls import RETURN, Failure, decode_result, encode_call
from softgrid._wire.control import encode_control
from softgrid._wire.framing import Kind
from softgrid._wire.functions import FunctionName, FunctionPickler, PickledFunction, digest_of, encode_function

HOLDER, CREATOR, OTHER = A1, A2, STRANGER
UNSET: Any = object()


class Holding:
    """Worker A1 with its queue, whose neighbours and time are the test."""

    def __init__(self) -> None:
        self.tree = tree_of(HOLDER)
        self.switch = FakeSwitch(self.tree.node_id, uplink="up")
        self.reactor = FakeReactor()
        self.control = Control(self.switch, self.reactor, InFlight(), self.tree)  # type: ignore[arg-type]
        self.switch.deliver[Kind.CONTROL] = self.control.on_control
        self.functions = FunctionTable(self, frozenset({"ping"}), frozenset({"ping"}))
        self.execution = Execution(
            self,
            self.switch,  # type: ignore[arg-type]
            self.reactor,  # type: ignore[arg-type]
            Rules(),
            self.functions,
            allows_udf=True,
            on_event=None,
            on_options=lambda task: False,
        )
        self.said: list[tuple[str, str]] = []
        self.asked_for: list[bytes] = []
        self.execution.ask_for = lambda source, digest: self.asked_for.append(digest)  # type: ignore[method-assign]
        self.promises = Promises(self.tree, self.execution, self.reactor, self.control, self)  # type: ignore[arg-type]
        self.ran: list[Any] = []
        self.functions.stored["note"] = (self.ran.append, False)
        self.during: Callable[[], Any] = lambda: None
        self.functions.stored["during"] = (lambda: self.during(), False)
        self.ids = 0

    def ping(self) -> str:
        return "pong"

    def say(self, log_type: str, message: str) -> None:
        self.said.append((log_type, message))

    # -- what comes over the wire

    def asks(self, op: str, source: str = CREATOR, **message: Any) -> Any:
        """A control question comes in; gives the answer, and keeps what else was sent."""
        self.ids += 1
        self.control.on_control(None, node_id(source), self.ids, encode_control({"op": op, **message}))
        answers = [sent for sent in self.switch.sent if sent.kind == Kind.CONTROL and sent.message_id == self.ids]
        (answer,) = [sent for sent in answers if sent.message["op"] in ("answer", "error")]
        self.switch.sent.remove(answer)
        assert answer.destination == node_id(source)
        return answer.message

    def adds(self, password: str = "p", source: str = CREATOR, **more: Any) -> Any:
        asked = {"creator": source, "timeout": 60, "force": True, "kept": False, **more}
        return self.asks("add_promise", source, password=password, **asked)

    def removes(self, password: str = "p", *, force: bool = False, source: str = CREATOR) -> Any:
        return self.asks("remove_promise", source, password=password, force=force)

    def calls(
        self,
        mark: Any,
        password: Any = None,
        *,
        source: str = CREATOR,
        priority: float | None = 1.0,
        function: Any = None,
        is_known: bool = False,
    ) -> int:
        self.ids += 1
        section = encode_function(function or FunctionName("note"), is_known=is_known)
        options = {} if password is None else {"promise": password}
        args = () if mark is None else (mark,)
        body = encode_call(section, args, {}, flags=RETURN, priority=priority, options=options)
        self.execution.on_call(None, node_id(source), self.ids, body.joined())  # type: ignore[arg-type]
        return self.ids

    # -- what came of it

    def take(self, kind: Kind) -> list[Sent]:
        taken = [sent for sent in self.switch.sent if sent.kind == kind]
        self.switch.sent = [sent for sent in self.switch.sent if sent.kind != kind]
        return taken

    def refusals(self) -> dict[int, str]:
        """The refused calls by their ids; fails when others were answered."""
        refused = {}
        for sent in self.take(Kind.RESULT):
            with pytest.raises(Failure) as caught:
                decode_result(sent.body)
            assert not caught.value.was_run
            refused[sent.message_id] = str(caught.value)
        return refused

    def notices(self) -> list[tuple[int, dict[str, Any]]]:
        return [(sent.destination, sent.message) for sent in self.take(Kind.CONTROL)]

    def run(self) -> list[Any]:
        """Run the queue; gives what ran, whose callers are answered."""
        self.execution.run_queue()
        ran, self.ran[:] = list(self.ran), []
        return ran

    def check_nothing_else(self) -> None:
        assert self.switch.sent == []
        assert self.said == []


def ended(password: str, reason: str) -> tuple[int, dict[str, Any]]:
    return node_id(CREATOR), {"op": "promise_ended", "password": password, "reason": reason}


@pytest.fixture
def holding() -> Holding:
    return Holding()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time: ``clock[0] = 5.0``."""
    now = [0.0]
    monkeypatch.setattr(promises_module, "monotonic", lambda: now[0])
    return now


# -- asked for ------------------------------------------------------------------------------------


def test_a_promise_is_placed_and_the_answer_says_what_it_found(holding: Holding) -> None:
    answer = holding.adds()
    assert answer.pop("promise_create_time") > 1.7e9
    assert answer == {
        "op": "answer",
        "placed": True,
        "at_head": True,
        "queue_length": 0,
        "number_of_existing_promises": 0,
        "number_of_running_executions": 0,
        "promise_password": "p",
        "promise_executor": HOLDER,
        "reason": None,
    }
    holding.check_nothing_else()


def test_a_promise_that_is_refused_says_why_and_gives_no_password(holding: Holding) -> None:
    holding.adds()
    holding.calls("waits")
    answer = holding.adds(source=OTHER)
    assert (answer["placed"], answer["at_head"]) == (False, False)
    assert (answer["promise_password"], answer["promise_create_time"]) == (None, None)
    assert (answer["queue_length"], answer["number_of_existing_promises"]) == (1, 1)
    assert answer["reason"] == "a promise with that password is held here already"
    holding.check_nothing_else()


def test_what_runs_is_counted_and_only_force_places_a_promise_behind_it(holding: Holding) -> None:
    answers: list[Any] = []
    holding.during = lambda: answers.extend([holding.adds(force=False), holding.adds(force=True)])
    holding.calls(None, function=FunctionName("during"))
    holding.run()
    assert [(answer["placed"], answer["number_of_running_executions"]) for answer in answers] == [(False, 1), (True, 1)]
    assert "one call is running" in answers[0]["reason"]
    assert [answer["at_head"] for answer in answers] == [False, False]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"creator": OTHER}, "asked for by its creator itself"),
        ({"creator": "nonsense"}, "gridUniqueName: got"),
        ({"creator": 5}, "without a proper 'creator'"),
        ({"password": ""}, "promisePassword: got"),
        ({"password": None}, "without a proper 'password'"),
        ({"timeout": None}, "promiseTimeout: got"),
        ({"timeout": 0}, "promiseTimeout: got"),
        ({"timeout": "1"}, "promiseTimeout: got"),
        ({"force": 1}, "without a proper 'force'"),
        ({"kept": "yes"}, "without a proper 'kept'"),
    ],
)
def test_what_cannot_be_meant_is_answered_with_an_error(holding: Holding, message: Any, said: str) -> None:
    asked = {"creator": CREATOR, "password": "p", "timeout": 60, "force": True, "kept": False, **message}
    answer = holding.asks("add_promise", **asked)
    assert answer["op"] == "error"
    assert said in answer["reason"]
    assert holding.execution.decide(lambda queue: queue.promises) == 0
    holding.check_nothing_else()


def test_nobody_is_promised_anything_in_the_name_of_the_dead(holding: Holding) -> None:
    holding.tree.note_departed(node_id(CREATOR), "killed")
    answer = holding.adds()
    assert (answer["op"], answer["is_lost"]) == ("error", True)
    with pytest.raises(PeerLost, match="killed"):
        holding.promises.add_for(CREATOR, "p", 60, force=True)


# -- by code of this process ----------------------------------------------------------------------


def test_a_promise_for_another_is_told_to_it(holding: Holding) -> None:
    placed = holding.promises.add_for(CREATOR, "p", 60, force=True)
    assert (placed["placed"], placed["promise_password"]) == (True, "p")
    assert holding.notices() == [(node_id(CREATOR), {"op": "promise_made", "password": "p", "holder": HOLDER})]
    assert not holding.promises.add_for(CREATOR, "p", 60, force=True)["placed"]
    holding.check_nothing_else()


def test_without_a_password_each_promise_gets_one_that_nobody_can_guess(holding: Holding) -> None:
    passwords = {holding.promises.add_for(CREATOR, None, 60, force=True)["promise_password"] for _ in range(3)}
    assert len(passwords) == 3
    assert all(len(password) == 64 for password in passwords)


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        ("creatorGUN", {"creator": "me"}),
        ("promisePassword", {"password": 5}),
        ("promiseTimeout", {"timeout": -1}),
        ("force", {"force": None}),
    ],
)
def test_bad_parameters_are_named(holding: Holding, parameter: str, given: Any) -> None:
    with pytest.raises(BadArgument, match=f"^{parameter}: got"):
        holding.promises.add_for(**{"creator": CREATOR, "password": "p", "timeout": 60, "force": True, **given})
    for bad in ({"password": None, "force": True}, {"password": "p", "force": 1}):
        with pytest.raises(BadArgument):
            holding.promises.remove(**bad)
    holding.check_nothing_else()


# -- work -----------------------------------------------------------------------------------------


def test_while_a_promise_is_at_the_head_only_its_calls_run(holding: Holding) -> None:
    holding.calls("before")
    holding.adds()
    for mark, password, priority in [("stranger", None, -9), ("second", "p", 2), ("first", "p", 1)]:
        holding.calls(mark, password, priority=priority)
    assert holding.run() == ["before", "first", "second", "stranger"]
    assert holding.notices() == [ended("p", "its work is done")]
    assert len(holding.take(Kind.RESULT)) == 4
    holding.check_nothing_else()


def test_whoever_has_the_password_may_use_a_promise(holding: Holding) -> None:
    holding.adds()
    holding.calls("his", "p", source=OTHER)
    assert holding.run() == ["his"]


def test_priority_none_runs_beside_a_promise_with_its_password_or_without(holding: Holding) -> None:
    holding.adds()
    for password in (None, "p"):
        holding.calls(None, password, priority=None, function=FunctionName("ping"))
        assert decode_result(holding.take(Kind.RESULT)[0].body) == "pong"
    holding.calls(None, "wrong", priority=None, function=FunctionName("ping"))
    (refusal,) = holding.refusals().values()
    assert "no promise with that password" in refusal
    assert holding.execution.decide(lambda queue: queue.promises) == 1
    holding.check_nothing_else()


@pytest.mark.parametrize("password", ["wrong", 5, ["p"], {}])
def test_a_call_with_a_wrong_password_is_refused_and_not_run(holding: Holding, password: Any) -> None:
    holding.adds()
    message_id = holding.calls("lost", password)
    assert holding.refusals() == {message_id: "no promise with that password is held here"}
    assert holding.run() == []
    holding.check_nothing_else()


def test_a_call_after_the_end_is_refused_and_told_why(holding: Holding) -> None:
    holding.adds()
    holding.removes()
    message_id = holding.calls("late", "p")
    assert "has ended: it was removed" in holding.refusals()[message_id]


def test_a_promise_has_ended_before_the_caller_of_its_last_call_has_the_answer(holding: Holding) -> None:
    holding.adds()
    holding.calls("only", "p")
    holding.execution.run_queue()
    assert [sent.kind for sent in holding.switch.sent] == [Kind.CONTROL, Kind.RESULT]
    assert holding.notices() == [ended("p", "its work is done")]


def test_a_function_that_is_not_here_yet_does_not_end_the_promise_of_its_call(holding: Holding) -> None:
    function: PickledFunction = FunctionPickler().pickle(lambda mark: mark * 2)
    holding.adds()
    message_id = holding.calls("x", "p", function=function, is_known=True)
    holding.calls("stranger")
    assert holding.run() == []
    assert holding.asked_for == [function.digest]
    holding.check_nothing_else()
    holding.execution.on_function(node_id(CREATOR), function.digest, function.body)
    assert holding.run() == ["stranger"]
    first, _ = holding.take(Kind.RESULT)
    assert (first.message_id, decode_result(first.body)) == (message_id, "xx")
    assert holding.notices() == [ended("p", "its work is done")]


def test_a_function_that_never_comes_ends_the_promise_of_its_call(holding: Holding) -> None:
    function: PickledFunction = FunctionPickler().pickle(lambda mark: mark * 3)
    holding.adds()
    message_id = holding.calls("x", "p", function=function, is_known=True)
    holding.calls("stranger")
    holding.run()
    holding.execution.on_function(node_id(CREATOR), function.digest, b"")
    assert list(holding.refusals()) == [message_id]
    assert holding.notices() == [ended("p", "its work is done")]
    assert holding.execution.work.done
    assert holding.run() == ["stranger"]


def test_a_function_whose_caller_is_gone_ends_the_promise_of_its_call(holding: Holding) -> None:
    function: PickledFunction = FunctionPickler().pickle(lambda mark: mark * 5)
    holding.adds()
    lost = holding.calls("x", "p", function=function, is_known=True, source=OTHER)
    holding.calls("y", "p", function=function, is_known=True)
    holding.run()
    holding.execution.forget({node_id(OTHER), node_id(A)})
    assert holding.refusals() == {lost: "its caller is gone"}
    assert holding.execution.decide(lambda queue: queue.promises) == 1, "the other call waits still"
    holding.execution.forget({node_id(CREATOR)})
    assert len(holding.refusals()) == 1
    assert holding.notices() == [ended("p", "its work is done")]


def test_a_function_that_has_to_be_translated_does_not_end_the_promise_of_its_call(holding: Holding) -> None:
    put_aside: list[Task] = []
    holding.execution.translate = put_aside.append  # type: ignore[method-assign]
    function: PickledFunction = FunctionPickler().pickle(lambda mark: mark * 6)
    foreign = b"\x01" + function.body[1:]
    holding.adds()
    for mark in "ab":
        holding.calls(mark, "p", function=PickledFunction(digest_of(foreign), foreign))
    holding.calls("stranger")
    assert holding.run() == []
    assert [task.source for task in put_aside] == [node_id(CREATOR)] * 2
    first, second = put_aside
    first.call.function = function
    holding.execution.bring_back(first)
    holding.execution.give_up(second, "no source")
    assert holding.notices() == []
    assert holding.run() == ["stranger"]
    values = [sent.message_id for sent in holding.take(Kind.RESULT)]
    assert values == [second.message_id, first.message_id, values[2]]
    assert holding.notices() == [ended("p", "its work is done")]


def test_a_function_that_comes_after_the_end_finds_its_call_refused(holding: Holding) -> None:
    function: PickledFunction = FunctionPickler().pickle(lambda mark: mark * 4)
    holding.adds()
    message_id = holding.calls("x", "p", function=function, is_known=True)
    holding.run()
    assert holding.removes(force=True)["remaining_queue_length"] == 1
    holding.notices()
    holding.execution.on_function(node_id(CREATOR), function.digest, function.body)
    assert "it was removed" in holding.refusals()[message_id]
    holding.check_nothing_else()


# -- the four ends --------------------------------------------------------------------------------


def test_removing_says_how_much_waited_which_is_refused(holding: Holding) -> None:
    holding.adds()
    ids = [holding.calls(mark, "p") for mark in "ab"]
    holding.calls("stranger")
    kept = holding.removes()
    assert (kept["removed"], kept["remaining_queue_length"]) == (False, 2)
    assert "2 calls wait" in kept["reason"]
    holding.check_nothing_else()
    removed = holding.removes(force=True, source=OTHER)
    assert (removed["removed"], removed["remaining_queue_length"], removed["reason"]) == (True, 2, None)
    refusals = holding.refusals()
    assert list(refusals) == ids
    assert set(refusals.values()) == {"the promise in which it waited has ended: it was removed"}
    assert holding.notices() == [ended("p", "it was removed")]
    holding.check_nothing_else()
    assert holding.run() == ["stranger"]


def test_what_runs_in_a_promise_runs_on_when_it_is_removed(holding: Holding) -> None:
    answers: list[Any] = []
    holding.adds()
    holding.during = lambda: answers.append(holding.removes(force=True))
    running = holding.calls(None, "p", function=FunctionName("during"))
    waiting = holding.calls("waiting", "p")
    assert holding.run() == []
    assert answers[0]["removed"]
    refused, answered = holding.take(Kind.RESULT)
    assert (refused.message_id, answered.message_id) == (waiting, running)
    assert decode_result(answered.body) is None
    assert holding.notices() == [ended("p", "it was removed")]


def test_a_promise_to_which_no_work_comes_ends_in_time_and_the_log_says_so(holding: Holding, clock: Any) -> None:
    holding.adds(timeout=60)
    holding.calls("stranger")
    assert holding.run() == []
    clock[0] = 60.0
    assert holding.reactor.run_timers() == [60.0]
    assert holding.notices() == [ended("p", "no work came within 60 s")]
    assert holding.said == [("warn", f"a promise made to {CREATOR} has ended: no work came within 60 s")]
    assert holding.run() == ["stranger"]
    assert holding.reactor.timers == []


def test_time_is_looked_after_by_one_timer_for_the_promise_that_is_next(holding: Holding, clock: Any) -> None:
    for password, timeout in [("long", 60), ("short", 10), ("longer", 70)]:
        holding.adds(password, timeout=timeout)
    assert [delay for delay, _ in holding.reactor.timers] == [10.0]
    clock[0] = 10.0
    holding.reactor.run_timers()
    assert [delay for delay, _ in holding.reactor.timers] == [50.0]
    holding.calls("work", "long")
    clock[0] = 60.0
    holding.reactor.run_timers()
    assert [delay for delay, _ in holding.reactor.timers] == [10.0]
    assert holding.notices() == [ended("short", "no work came within 10 s")]


def test_a_promise_whose_creator_is_gone_ends_and_what_waits_in_it_is_refused(holding: Holding) -> None:
    holding.adds("hers")
    holding.promises.add_for(OTHER, "his", 60, force=True)
    holding.notices()
    message_id = holding.calls("waiting", "hers", source=OTHER)
    holding.promises.on_gone({node_id(CREATOR)})
    assert holding.refusals() == {message_id: "the promise in which it waited has ended: its creator is gone"}
    assert holding.said == [
        (
            "warn",
            f"a promise made to {CREATOR} has ended: its creator is gone; 1 calls that waited in it are refused",
        )
    ]
    assert holding.notices() == [ended("hers", "its creator is gone")]
    assert holding.execution.decide(lambda queue: queue.promises) == 1


def test_the_loss_of_others_ends_nothing(holding: Holding) -> None:
    holding.adds()
    holding.promises.on_gone({node_id(A), node_id(TOP), 5})
    assert holding.execution.decide(lambda queue: queue.promises) == 1
    holding.check_nothing_else()


def test_the_queue_is_looked_at_again_when_a_promise_has_ended(holding: Holding) -> None:
    holding.adds()
    holding.calls("stranger")
    holding.execution.work.clear()
    holding.removes()
    assert holding.execution.work.done


# -- kept promises --------------------------------------------------------------------------------


def test_a_kept_promise_is_announced_when_its_turn_comes_and_outlives_its_work(holding: Holding) -> None:
    holding.calls("before")
    assert not holding.adds(kept=True)["at_head"]
    holding.check_nothing_else()
    assert holding.run() == ["before"]
    assert holding.notices() == [(node_id(CREATOR), {"op": "promise_granted", "password": "p"})]
    holding.calls("work", "p")
    assert holding.run() == ["work"]
    assert holding.execution.decide(lambda queue: queue.promises) == 1
    assert holding.notices() == []


def test_a_kept_promise_that_is_idle_at_the_head_ends_in_time(holding: Holding, clock: Any) -> None:
    holding.adds(kept=True, timeout=5)
    clock[0] = 5.0
    assert holding.reactor.run_timers() == [5.0]
    assert holding.said[0][0] == "warn"
    assert holding.execution.decide(lambda queue: queue.promises) == 0
