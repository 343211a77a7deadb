"""Execution: allowed, resolved, run, answered; and whatever a call does, its caller is answered once."""

from __future__ import annotations

import contextlib
import threading
from time import monotonic
from typing import Any

import pytest
from tests.harness.nodes import FakeReactor, FakeSwitch, Sent
from tests.harness.sockets import PATIENCE_S

from softgrid._io.reactor import Waiter
from softgrid._model.errors import Cancelled
from softgrid._model.rules import Rules
from softgrid._node import execution as execution_module
from softgrid._node.attempt import current_attempt
from softgrid._node.execution import Execution, Task
from softgrid._node.functions import FunctionTable
from softgrid._wire.calls import FIRST_ARGUMENT, RETURN, STORE, Failure, decode_result, encode_call
from softgrid._wire.framing import Kind
from softgrid._wire.functions import (
    Function,
    FunctionName,
    FunctionPickler,
    FunctionSource,
    PickledFunction,
    encode_function,
)

CALLER, OTHER = 70, 80


class Executor:
    def __init__(self) -> None:
        self.kept: list[Any] = []

    def ping(self) -> str:
        return "pong"

    def keep(self, what: Any) -> None:
        self.kept.append(what)


class Running:
    """The execution of an executor, with everything around it faked."""

    def __init__(self, *, allows_udf: bool = True, **rules: Any) -> None:
        self.owner = Executor()
        self.switch = FakeSwitch()
        self.reactor = FakeReactor()
        self.events: list[tuple[str, str]] = []
        self.asked: list[tuple[int, bytes]] = []
        self.takes_over = False
        self.functions = FunctionTable(
            self.owner, frozenset({"ping", "keep"}), frozenset({"ping"}), ordered_methods=frozenset({"keep"})
        )
        self.execution = Execution(
            self.owner,
            self.switch,  # type: ignore[arg-type]
            self.reactor,  # type: ignore[arg-type]
            Rules(rules),
            self.functions,
            allows_udf=allows_udf,
            on_event=lambda *event: self.events.append(event),
            on_options=lambda task: self.takes_over,
        )
        self.execution.ask_for = lambda *asked: self.asked.append(asked)  # type: ignore[method-assign]
        self.ids = 0

    def comes(
        self,
        function: Function | Any,
        *args: Any,
        flags: int = RETURN,
        priority: float | None = 1.0,
        source: int = CALLER,
        is_known: bool = False,
        **options: Any,
    ) -> int:
        if callable(function):
            function = FunctionPickler().pickle(function)
        section = encode_function(function, is_known=is_known)
        body = encode_call(section, args, {}, flags=flags, priority=priority, options=options)
        self.ids += 1
        self.execution.on_call(None, source, self.ids, body.joined())  # type: ignore[arg-type]
        return self.ids

    def answer(self) -> Any:
        """Give the value of the one answer that was sent; raises when it is none."""
        return value_of(self.switch.take_one(Kind.RESULT))

    def run(self, function: Any, *args: Any, **more: Any) -> Any:
        self.comes(function, *args, **more)
        self.execution.run_queue()
        return self.answer()


def value_of(sent: Sent) -> Any:
    assert sent.source == 1
    return decode_result(sent.body)


@pytest.fixture
def running() -> Running:
    return Running()


# -- running --------------------------------------------------------------------------------------


def test_a_call_is_run_and_its_caller_is_answered(running: Running) -> None:
    message_id = running.comes(lambda x: x + 1, 5)
    running.switch.check_nothing_sent()
    assert running.execution.queued == 1
    assert running.execution.work.done
    running.execution.run_queue()
    sent = running.switch.take_one(Kind.RESULT)
    assert (sent.destination, sent.message_id, value_of(sent)) == (CALLER, message_id, 6)
    assert (running.execution.queued, running.execution.finished, running.execution.failed) == (0, 1, 0)
    assert running.events == [("execution_started", "a function"), ("execution_finished", "a function")]
    assert running.execution.busy_s > 0


@pytest.mark.parametrize(
    ("function", "value"), [(FunctionName("ping"), "pong"), (FunctionSource("lambda: 7"), 7), (int, 0)]
)
def test_functions_of_every_kind_are_run(running: Running, function: Any, value: Any) -> None:
    assert running.run(function) == value


def test_events_name_the_function_where_it_has_a_name(running: Running) -> None:
    running.run(FunctionName("ping"))
    assert running.events == [("execution_started", "ping"), ("execution_finished", "ping")]


def test_calls_run_by_priority_and_in_the_order_in_which_they_came(running: Running) -> None:
    ids = [running.comes(int, priority=priority) for priority in (3, 1, -2, 1)]
    running.execution.run_queue()
    order = [sent.message_id for sent in running.switch.take(Kind.RESULT)]
    assert order == [ids[2], ids[1], ids[3], ids[0]]


@pytest.mark.parametrize("flags", [RETURN | FIRST_ARGUMENT, RETURN])
def test_the_executor_is_the_first_argument_where_that_is_asked_for(running: Running, flags: int) -> None:
    given: list[Any] = []
    running.functions.stored["mine"] = (lambda *args: given.append(args), not flags & FIRST_ARGUMENT)
    running.run(FunctionName("mine"), "x", flags=flags)
    assert given == [(running.owner, "x")]


def test_a_result_that_is_not_asked_for_is_not_sent(running: Running) -> None:
    assert running.run(lambda: "large", flags=0) is None


def test_a_result_is_stored_here_when_that_is_asked_for(running: Running) -> None:
    assert running.run(lambda: 5, flags=STORE, result_name="five") is None
    assert running.run(lambda: 6, flags=STORE | RETURN) == 6
    assert running.run(lambda: 7, result_name="seven") == 7
    assert running.execution.stored_results == {"five": 5}


# -- failing --------------------------------------------------------------------------------------


def _fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [ValueError("v"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()], ids=repr)
def test_whatever_a_function_raises_is_answered(running: Running, error: BaseException) -> None:
    with pytest.raises(Failure) as caught:
        running.run(_fail, error)
    assert caught.value.was_run
    assert type(caught.value.as_exception()) is type(error)
    assert (running.execution.finished, running.execution.failed) == (0, 1)
    assert running.run(int) == 0, "and the next call runs"


def test_arguments_that_cannot_be_read_are_a_refusal(running: Running) -> None:
    class Unreadable:
        def __reduce__(self) -> Any:
            return divmod, (1, 0)

    with pytest.raises(Failure, match="arguments cannot be read here: ZeroDivisionError") as caught:
        running.run(len, Unreadable())
    assert not caught.value.was_run
    assert running.execution.failed == 1


def test_a_result_that_cannot_travel_says_so_and_that_the_function_ran(running: Running) -> None:
    with pytest.raises(Failure, match=r"^the function ran, but cannot serialise result ") as caught:
        running.run(threading.Lock)
    assert caught.value.account["was_run"]
    assert (running.execution.finished, running.execution.failed) == (0, 1)


@pytest.mark.parametrize("name", ["__init__", "nothing"])
def test_a_name_that_is_not_open_is_a_refusal(running: Running, name: str) -> None:
    with pytest.raises(Failure, match=name) as caught:
        running.run(FunctionName(name))
    assert not caught.value.was_run


def test_wrong_arguments_are_told_as_the_error_they_are(running: Running) -> None:
    with pytest.raises(Failure) as caught:
        running.run(FunctionName("ping"), 1, 2, 3)
    assert isinstance(caught.value.as_exception(), TypeError)


@pytest.mark.parametrize("body", [b"", b"garbage", b"\x00" * 40, b"\xff" * 40])
def test_a_call_that_cannot_be_read_is_answered(running: Running, body: bytes) -> None:
    running.execution.on_call(None, CALLER, 5, body)  # type: ignore[arg-type]
    with pytest.raises(Failure) as caught:
        running.answer()
    assert not caught.value.was_run
    assert running.execution.queued == 0


# -- rules ----------------------------------------------------------------------------------------


def test_functions_of_users_are_refused_where_they_are_not_allowed() -> None:
    running = Running(allows_udf=False)
    for function in (len, FunctionSource("lambda: 1"), FunctionName("stored")):
        running.comes(function)
        with pytest.raises(Failure, match=r"runs no functions of users .*allowExecutingUDF"):
            running.answer()
    assert running.execution.queued == 0
    assert running.events == []
    assert running.run(FunctionName("ping")) == "pong"


def test_a_refused_function_is_not_even_unpickled() -> None:
    class Explosive:
        def __reduce__(self) -> Any:
            return _explode, ()

        def __call__(self) -> None:
            return

    running = Running(allows_udf=False)
    running.comes(Explosive())
    assert EXPLOSIONS == []
    running.switch.take_one(Kind.RESULT)


EXPLOSIONS: list[int] = []


def _explode() -> Any:
    EXPLOSIONS.append(1)
    return len


@pytest.mark.parametrize(
    ("rule", "priority"), [("execution_allow_negative_priority", -1.0), ("execution_allow_none_priority", None)]
)
def test_priorities_that_the_rules_forbid_are_refused(rule: str, priority: Any) -> None:
    running = Running(**{rule: False})
    running.comes(int, priority=priority)
    with pytest.raises(Failure, match=rule):
        running.answer()
    assert running.execution.queued == 0


@pytest.mark.parametrize(
    ("rule", "priority"), [("execution_allow_negative_priority", -1.0), ("execution_allow_none_priority", None)]
)
def test_rules_about_priorities_are_about_functions_of_users(rule: str, priority: Any) -> None:
    running = Running(**{rule: False})
    running.comes(FunctionName("ping"), priority=priority)
    running.execution.run_queue()
    assert running.answer() == "pong"


def test_a_priority_that_is_no_number_is_refused(running: Running) -> None:
    running.comes(int, priority=float("nan"))
    with pytest.raises(Failure, match="priority"):
        running.answer()


def test_what_the_options_take_over_is_not_run(running: Running) -> None:
    running.takes_over = True
    running.comes(int, bounce=["x"])
    assert running.execution.queued == 0
    running.comes(int)
    assert running.execution.queued == 1, "without options nobody is asked"
    running.switch.check_nothing_sent()


# -- where it runs --------------------------------------------------------------------------------


def test_priority_none_runs_at_once_beside_the_queue(running: Running) -> None:
    ran = threading.Event()
    where: list[Any] = []
    running.functions.stored["mine"] = (lambda: where.append(threading.current_thread()), False)
    running.execution.after_run = ran.set
    running.comes(int)
    running.comes(FunctionName("mine"), priority=None)
    assert ran.wait(PATIENCE_S)
    assert where[0] is not threading.current_thread()
    assert running.execution.queued == 1


def test_what_runs_is_counted_in_the_queue_and_beside_it(running: Running) -> None:
    begun, go_on = threading.Event(), threading.Event()
    counts: list[int] = []
    ended = threading.Event()
    running.functions.stored["beside"] = (lambda: (begun.set(), go_on.wait(PATIENCE_S), None)[2], False)
    running.functions.stored["queued"] = (lambda: counts.append(running.execution.running), False)
    running.execution.after_run = ended.set
    running.comes(FunctionName("beside"), priority=None)
    assert begun.wait(PATIENCE_S)
    assert running.execution.running == 1
    running.comes(FunctionName("queued"))
    running.execution.run_queue()
    assert counts == [2]
    ended.clear()
    go_on.set()
    assert ended.wait(PATIENCE_S)
    deadline = monotonic() + PATIENCE_S
    while running.execution.running:
        assert monotonic() < deadline


def test_a_method_that_never_waits_runs_where_it_arrives(running: Running) -> None:
    running.comes(FunctionName("ping"), priority=None)
    assert running.answer() == "pong"


def test_methods_that_keep_things_run_beside_the_queue_in_the_order_of_each_caller(running: Running) -> None:
    last = threading.Event()
    running.execution.after_run = lambda: last.set() if 99 in running.owner.kept else None
    running.comes(int)
    for number in range(100):
        running.comes(FunctionName("keep"), number, priority=None)
    assert last.wait(PATIENCE_S)
    assert running.owner.kept == list(range(100))
    assert running.execution.queued == 1


def test_who_serves_elsewhere_is_told_of_each_call(running: Running) -> None:
    told: list[int] = []
    running.execution.serve_elsewhere = lambda: told.append(running.execution.queued)
    running.comes(int)
    running.comes(int)
    assert told == [1, 2]


def test_the_network_is_looked_after_between_long_calls(running: Running, monkeypatch: Any) -> None:
    times = iter(range(1000))
    monkeypatch.setattr(execution_module, "perf_counter", lambda: float(next(times)))
    for _ in range(3):
        running.comes(int)
    running.execution.run_queue()
    assert running.reactor.polls == 3


def test_short_calls_are_run_without_looking(running: Running, monkeypatch: Any) -> None:
    monkeypatch.setattr(execution_module, "perf_counter", lambda: 1.0)
    for _ in range(3):
        running.comes(int)
    running.execution.run_queue()
    assert running.reactor.polls == 0


@pytest.mark.parametrize("in_callback", [True, False])
def test_the_memory_of_a_bulk_result_is_waited_for_outside_of_callbacks(running: Running, in_callback: bool) -> None:
    running.switch.waiter = Waiter()
    running.reactor.in_callback = in_callback
    running.run(int)
    assert len(running.reactor.waits) == (not in_callback)


def test_a_hook_runs_after_the_function_and_before_the_answer(running: Running) -> None:
    seen: list[Any] = []
    running.execution.after_run = lambda: seen.append((running.execution.finished, len(running.switch.sent)))
    running.run(int)
    assert seen == [(1, 0)]


def test_a_hook_that_fails_does_not_keep_the_answer_back(running: Running) -> None:
    running.execution.after_run = lambda: _fail(OSError("broken stdout"))
    running.comes(int)
    with contextlib.suppress(OSError):
        running.execution.run_queue()
    assert running.answer() == 0


def test_arguments_are_let_go_of_before_the_next_call(running: Running) -> None:
    import gc
    import weakref

    kept: list[Any] = []

    class Thing:
        pass

    def remember(args: Any) -> None:
        kept.append(weakref.ref(args))

    running.functions.stored["mine"] = (remember, False)
    running.run(FunctionName("mine"), Thing())
    gc.collect()
    assert kept[0]() is None


# -- functions that are not here ------------------------------------------------------------------


def test_a_function_that_is_not_here_is_asked_for_once_and_its_calls_run_when_it_comes(running: Running) -> None:
    function = FunctionPickler().pickle(lambda x: x * 2)
    ids = [running.comes(function, n, is_known=True) for n in (1, 2)]
    running.execution.run_queue()
    running.switch.check_nothing_sent()
    assert running.asked == [(CALLER, function.digest)]
    running.execution.on_function(CALLER, function.digest, function.body)
    running.execution.run_queue()
    answers = {sent.message_id: value_of(sent) for sent in running.switch.take(Kind.RESULT)}
    assert answers == dict(zip(ids, [2, 4], strict=True))
    running.execution.on_function(CALLER, function.digest, function.body)
    assert running.execution.queued == 0


def test_a_function_that_is_gone_everywhere_is_a_refusal(running: Running) -> None:
    function = FunctionPickler().pickle(lambda x: x * 2)
    running.comes(function, 1, is_known=True)
    running.execution.run_queue()
    running.execution.on_function(CALLER, function.digest, b"")
    with pytest.raises(Failure, match="send it again"):
        running.answer()


def test_a_function_that_is_another_than_the_one_asked_for_is_a_refusal(running: Running) -> None:
    function = FunctionPickler().pickle(lambda x: x * 2)
    running.comes(function, 1, is_known=True)
    running.execution.run_queue()
    running.execution.on_function(CALLER, function.digest, FunctionPickler().pickle(len).body)
    with pytest.raises(Failure, match="send it again"):
        running.answer()


def test_a_function_that_nobody_asked_for_changes_nothing(running: Running) -> None:
    function = FunctionPickler().pickle(len)
    running.execution.on_function(CALLER, function.digest, function.body)
    running.execution.on_function(CALLER, b"d" * 16, b"")
    running.switch.check_nothing_sent()
    assert running.execution.queued == 0


def test_each_caller_is_asked_for_the_function_that_it_believes_to_be_here(running: Running) -> None:
    function = FunctionPickler().pickle(lambda x: x * 2)
    first = running.comes(function, 1, is_known=True, source=CALLER)
    second = running.comes(function, 2, is_known=True, source=OTHER)
    running.execution.run_queue()
    assert [source for source, _ in running.asked] == [CALLER, OTHER]
    running.execution.on_function(CALLER, function.digest, b"")
    assert running.switch.take_one(Kind.RESULT).message_id == first
    running.execution.on_function(OTHER, function.digest, function.body)
    running.execution.run_queue()
    sent = running.switch.take_one(Kind.RESULT)
    assert (sent.message_id, value_of(sent)) == (second, 4)


def test_a_task_says_what_it_runs() -> None:
    from softgrid._wire.calls import Call

    for function, label in ((FunctionName("ping"), "ping"), (PickledFunction(b"", b""), "a function")):
        assert Task(1, 2, Call(0, 1.0, {}, function, b"", 0)).label() == label


# -- taken back -----------------------------------------------------------------------------------


def cancelled(sent: Sent) -> str:
    """What the caller is told, if that its call is cancelled."""
    with pytest.raises(Failure) as caught:
        value_of(sent)
    assert caught.value.account["cancelled"] is True
    assert isinstance(caught.value.as_exception(), Cancelled)
    return str(caught.value)


def test_a_call_that_waits_is_taken_out_and_never_run(running: Running) -> None:
    first, second = (running.comes(FunctionName("keep"), number) for number in (1, 2))
    running.execution.cancel(CALLER, first)
    assert cancelled(running.switch.take_one(Kind.RESULT)) == "cancelled before it began"
    running.execution.run_queue()
    assert running.switch.take_one(Kind.RESULT).message_id == second
    assert running.owner.kept == [2]


def test_nobody_takes_back_the_call_of_another(running: Running) -> None:
    message_id = running.comes(FunctionName("ping"))
    running.execution.cancel(OTHER, message_id)
    running.switch.check_nothing_sent()
    running.execution.run_queue()
    assert running.answer() == "pong"


def test_a_call_that_was_taken_back_before_it_came_is_not_run(running: Running) -> None:
    running.execution.cancel(CALLER, 1)
    running.comes(FunctionName("keep"), 1)
    assert cancelled(running.switch.take_one(Kind.RESULT)) == "cancelled before it began"
    running.comes(FunctionName("keep"), 2)
    running.execution.run_queue()
    assert running.answer() is None
    assert running.owner.kept == [2]


def test_only_so_many_are_remembered_that_were_taken_back_before_they_came(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution_module, "EARLY_KEPT", 2)
    for message_id in (1, 2, 3):
        running.execution.cancel(CALLER, message_id)
    running.comes(FunctionName("ping"))
    assert running.execution.queued == 1
    running.comes(FunctionName("ping"))
    assert running.execution.queued == 1


@pytest.mark.parametrize("behaviour", ["raises", "returns", "raises another"])
def test_a_call_that_is_taken_back_while_it_runs_says_so_whatever_its_function_does(
    running: Running, behaviour: str
) -> None:
    def function() -> Any:
        running.execution.cancel(CALLER, 1)
        running.execution.cancel(CALLER, 1)
        if behaviour == "raises":
            raise KeyboardInterrupt
        if behaviour == "raises another":
            raise ValueError("in the end")
        return "done"

    running.functions.stored["function"] = (function, False)
    interrupted: list[Any] = []
    running.execution.interrupts.interrupt = interrupted.append  # type: ignore[method-assign]
    running.comes(FunctionName("function"))
    running.execution.run_queue()
    assert cancelled(running.switch.take_one(Kind.RESULT)).startswith("cancelled while it ran")
    assert len(interrupted) == 1, "once, however often it is taken back"
    assert (running.execution.finished, running.execution.failed) == (0, 1)


def test_a_call_that_waits_for_its_function_is_taken_back_too(running: Running) -> None:
    function = FunctionPickler().pickle(lambda: 1)
    message_id = running.comes(PickledFunction(function.digest, b""), is_known=True)
    running.execution.run_queue()
    running.switch.check_nothing_sent()
    running.execution.cancel(CALLER, message_id)
    assert cancelled(running.switch.take_one(Kind.RESULT)) == "cancelled before it began"
    running.execution.on_function(CALLER, function.digest, function.body)
    running.execution.run_queue()
    running.switch.check_nothing_sent()


# -- attempts, and what runs ----------------------------------------------------------------------


def test_a_function_knows_its_attempt_and_the_next_one_does_not(running: Running) -> None:
    assert running.run(current_attempt) == 1
    assert running.run(current_attempt, attempt=3) == 3
    assert running.run(current_attempt) == 1


@pytest.mark.parametrize("attempt", ["2", 0, -1, True, 1.5, [2]])
def test_an_attempt_that_is_no_number_is_the_first(running: Running, attempt: Any) -> None:
    assert running.run(current_attempt, attempt=attempt) == 1


def test_what_runs_stands_on_the_slate_and_only_while_it_does(running: Running) -> None:
    slate = running.execution.slate
    running.functions.stored["look"] = (slate.running, False)
    first, second = running.comes(FunctionName("look")), running.comes(FunctionName("look"), source=OTHER)
    assert slate.running() is None
    running.execution.run_queue()
    assert [tuple(value_of(sent)) for sent in running.switch.take(Kind.RESULT)] == [(CALLER, first), (OTHER, second)]
    assert slate.running() is None


# -- bounds ---------------------------------------------------------------------------------------


def refusal(running: Running) -> str:
    with pytest.raises(Failure) as caught:
        running.answer()
    assert not caught.value.was_run
    return str(caught.value)


def test_a_full_queue_refuses_and_takes_calls_again_when_there_is_room() -> None:
    running = Running(execution_maximum_queued_calls=2)
    for _ in range(2):
        running.comes(FunctionName("ping"))
    running.comes(FunctionName("ping"))
    assert refusal(running) == "2 calls wait in the queue already (rule 'execution_maximum_queued_calls')"
    running.execution.run_queue()
    assert [value_of(sent) for sent in running.switch.take(Kind.RESULT)] == ["pong", "pong"]
    assert running.run(FunctionName("ping")) == "pong"


def test_only_so_many_calls_run_beside_the_queue() -> None:
    running = Running(execution_maximum_calls_beside=1)
    gate, begun = threading.Event(), threading.Event()
    running.functions.stored["wait"] = (lambda: begun.set() or gate.wait(PATIENCE_S), False)
    running.comes(FunctionName("wait"), priority=None)
    assert begun.wait(PATIENCE_S)
    running.comes(FunctionName("wait"), priority=None)
    assert refusal(running) == "1 calls run beside the queue already (rule 'execution_maximum_calls_beside')"
    gate.set()


def test_results_are_kept_under_so_many_names_and_replaced_at_will() -> None:
    running = Running(execution_maximum_stored_results=1)
    assert running.run(FunctionName("ping"), flags=STORE, result_name="a") is None
    assert running.run(FunctionName("ping"), flags=STORE, result_name="a") is None
    running.comes(FunctionName("ping"), flags=STORE, result_name="b")
    running.execution.run_queue()
    with pytest.raises(Failure, match="the function ran, but results are kept under 1 names already"):
        running.answer()
    assert running.execution.stored_results == {"a": "pong"}
