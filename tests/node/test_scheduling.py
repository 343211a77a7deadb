"""Tasks and jobs from the orchestrator's side: who gets what and when, and every task is answered for once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.harness.nodes import FakeLink, FakeReactor
from tests.harness.trees import A1, A2, B1, PATHS, TOP, A, R

from softgrid._model.errors import BadArgument, NoRoute, PeerLost, Refused, SoftgridError, TimedOut, Unserializable
from softgrid._model.names import node_id
from softgrid._node import jobs as jobs_module
from softgrid._node.control import Control
from softgrid._node.functions import FunctionTable
from softgrid._node.jobs import JobSpec
from softgrid._node.reserving import Reserving
from softgrid._node.scheduling import Scheduling
from softgrid._node.switch import Switch
from softgrid._node.transfers import Failed, Transfers
from softgrid._node.workers import Workers
from softgrid._state.reservations import Reservations, Wish
from softgrid._state.tree import Tree
from softgrid._wire.calls import Call, Failure, decode_call, encode_exception, encode_refusal, encode_result
from softgrid._wire.control import decode_control, encode_control
from softgrid._wire.framing import Kind, Outbound

WORKERS = [A1, A2, B1]


class NoSegments:
    def share(self, parts: Any, size: int) -> None:
        return None


class Grid:
    """The orchestrator of the small grid with everything that schedules; the workers are the test."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.links = {A: FakeLink("A"), R: FakeLink("R")}
        self.tree: Tree[Any] = Tree(TOP, "orchestrator")
        for name, path in PATHS.items():
            hop = self.links[(*path, name)[1]]
            self.tree.join(name, path, hop, cores=1, now_utc=0.0)
        self.switch = Switch(self.tree, NoSegments(), lambda work: work(), lambda *given: None)  # type: ignore[arg-type]
        self.uncollected: list[tuple[str, Any]] = []
        self.said: list[str] = []
        self.transfers = Transfers(
            self.tree,
            self.switch,
            self.reactor,  # type: ignore[arg-type]
            lambda name, kwargs, read: self.uncollected.append((name, read())),
        )
        self.control = Control(self.switch, self.reactor, self.transfers.inflight, self.tree)  # type: ignore[arg-type]
        reservations = self.reservations = Reservations()
        self.workers = Workers(self.tree, self.transfers.inflight, reservations.held_by)
        self.reserving = Reserving(self.tree, self.control, reservations, self.workers)
        table = FunctionTable(self, frozenset({"get_machine_info"}))
        self.scheduling = Scheduling(
            self.tree,
            self.reactor,  # type: ignore[arg-type]
            table,
            self.transfers,
            self.workers,
            self.reserving,
            self,  # type: ignore[arg-type]
        )
        self.at_head = dict.fromkeys(WORKERS, True)
        self.refusing: set[str] = set()
        self.held: dict[str, list[tuple[int, Call]]] = {name: [] for name in WORKERS}
        self.promised: dict[str, str] = {}
        self.removed: list[str] = []
        self.while_waiting: Callable[[], Any] = self.work
        self.reactor.while_waiting = self._wait

    def say(self, log_type: str, text: str) -> None:
        assert log_type == "info"
        self.said.append(text)

    # -- the workers

    def _wait(self, waiter: Any) -> None:
        self.pump()
        if not waiter.done:
            self.while_waiting()
            self.pump()

    def pump(self) -> None:
        """Take what was sent to the workers; their control messages are answered at once."""
        for link in self.links.values():
            for header, body in link.take_frames():
                name = next(name for name in WORKERS if node_id(name) == header.destination)
                if header.kind == Kind.CALL:
                    self.held[name].append((header.message_id, decode_call(body)))
                else:
                    self._on_question(name, header.message_id, decode_control(body))

    def _on_question(self, name: str, message_id: int, message: Any) -> None:
        if message["op"] == "remove_promise":
            self.removed.append(name)
            self.promised.pop(name, None)
            answer = {"removed": True, "remaining_queue_length": 0, "reason": None}
        else:
            placed = name not in self.refusing
            if placed:
                self.promised[name] = message["password"]
            answer = {
                "placed": placed,
                "at_head": placed and self.at_head[name],
                "queue_length": 0,
                "number_of_existing_promises": 0,
                "number_of_running_executions": 0,
                "promise_create_time": 1.0,
                "promise_password": message["password"],
                "reason": None if placed else "it is busy",
            }
        self.says(name, {"op": "answer", **answer}, message_id)

    def says(self, name: str, message: Any, message_id: int = 0) -> None:
        self.control.on_control(None, node_id(name), message_id, encode_control(message))

    def grants(self, name: str) -> None:
        self.says(name, {"op": "promise_granted", "password": self.promised[name]})
        self.pump()

    def answers(self, name: str, outcome: Outbound | None = None) -> None:
        """The first call that a worker holds is over."""
        message_id, call = self.held[name].pop(0)
        if outcome is None:
            (value,), _ = call.arguments()
            outcome = encode_result(value * 10)
        self.transfers.on_result(None, node_id(name), message_id, outcome.joined())
        self.pump()

    def dies(self, name: str) -> None:
        self.held[name].clear()
        self.promised.pop(name, None)
        self.tree.leave(name, "killed")
        self.transfers.on_gone({node_id(name)}, lambda who: "killed")
        self.reserving.on_gone({node_id(name)})
        self.pump()

    def work(self) -> None:
        """All workers do all that they get, in turn."""
        self.pump()
        while any(self.held.values()):
            for name in WORKERS:
                if self.held[name]:
                    self.answers(name)

    def counts(self) -> list[int]:
        return [len(self.held[name]) for name in WORKERS]

    # -- the user

    def task(self, function: Any = len, *args: Any, worker: Any = None, **more: Any) -> Any:
        kwargs = {"function": function, "args": args, **more.pop("template", {})}
        collect = more.pop("collect", True)
        return self.scheduling.task(
            kwargs, worker, more.pop("timeout", None), more.pop("multiplier", 9), collect=collect
        )

    def job(
        self, count: int, *, collect: bool = True, timeout: Any = None, is_verbose: bool = False, **wish: Any
    ) -> Any:
        tasks = [{"function": abs, "args": (number,)} for number in range(count)]
        wished = Wish(**{"ntasks": count, "force": True, **wish})
        return self.scheduling.job(JobSpec(tasks, wished, collect, timeout, is_verbose))

    def check_over(self) -> None:
        """Nothing is in flight, reserved, waited for or to be sent."""
        self.pump()
        assert len(self.transfers.inflight) == 0
        assert len(self.reservations) == 0
        assert self.promised == {}
        assert self.reactor.timers == []
        assert not vars(self.reserving)["_listeners"]


@pytest.fixture
def grid() -> Grid:
    return Grid()


def errors_in(results: list[Any]) -> list[Any]:
    return [type(result.error) if isinstance(result, Failed) else result for result in results]


# -- one task -------------------------------------------------------------------------------------


def test_a_task_goes_to_the_worker_that_is_named(grid: Grid) -> None:
    assert grid.task(abs, 4, worker=B1) == [40]
    assert grid.task(abs, 4, worker=B1, collect=False) is None
    grid.pump()
    assert grid.counts() == [0, 0, 1]


def test_without_a_name_it_goes_to_the_one_with_least_to_do(grid: Grid) -> None:
    for _ in range(4):
        grid.task(abs, 1, collect=False)
        grid.pump()
    assert grid.counts() == [2, 1, 1]
    grid.answers(A2)
    grid.task(abs, 1, collect=False)
    grid.pump()
    assert grid.counts() == [2, 1, 1]


def test_equals_take_turns_when_each_is_waited_for(grid: Grid) -> None:
    chosen = []
    grid.while_waiting = lambda: (chosen.append(next(name for name in WORKERS if grid.held[name])), grid.work())
    for _ in range(4):
        grid.task(abs, 1)
    assert chosen == [A1, A2, B1, A1]


def test_only_workers_that_run_such_functions_are_chosen(grid: Grid) -> None:
    for name in (A1, A2):
        grid.tree.find(name).allows_udf = False  # type: ignore[union-attr]
    for function in (abs, "stored_function", "lambda x: x", {"source": "lambda x: x"}):
        grid.task(function, 1, collect=False)
    grid.pump()
    assert grid.counts() == [0, 0, 4]
    grid.task("get_machine_info", collect=False)
    grid.pump()
    assert grid.counts() == [1, 0, 4]


def test_a_task_with_a_promise_goes_to_those_that_hold_it(grid: Grid) -> None:
    grid.reserving.add([A2, B1], "p", 60, 3.0, force=True)
    for _ in range(3):
        grid.task(abs, 1, template={"promise_password": "p"}, collect=False)
    grid.pump()
    assert grid.counts() == [0, 2, 1]
    assert all(call.options["promise"] == "p" for _, call in grid.held[A2])
    grid.task(abs, 1, worker=A1, template={"promise_password": "p"}, collect=False)
    grid.pump()
    assert grid.counts() == [1, 2, 1], "the worker decides whether it has such a promise"


def test_a_task_with_a_promise_that_nobody_is_known_to_hold_needs_a_worker(grid: Grid) -> None:
    with pytest.raises(Refused, match="name the worker"):
        grid.task(abs, 1, template={"promise_password": "p"})


@pytest.mark.parametrize(
    ("parameter", "given"),
    [
        ("worker", {"worker": A}),
        ("worker", {"worker": "x"}),
        ("taskTimeout", {"timeout": 0}),
        ("multiplier", {"timeout": 1, "multiplier": 0}),
        ("promisePassword", {"template": {"promise_password": 5}}),
        ("priority", {"template": {"priority": "high"}}),
        ("func", {"function": 5}),
        ("args", {"template": {"args": 5}}),
        ("kwargs", {"template": {"kwargs": [1]}}),
    ],
)
def test_what_cannot_be_meant_is_named_and_nothing_is_sent(grid: Grid, parameter: str, given: Any) -> None:
    with pytest.raises(BadArgument, match=f"^{parameter}: got"):
        grid.task(**given)
    grid.pump()
    assert grid.counts() == [0, 0, 0]


def test_without_workers_there_is_nobody_to_do_it(grid: Grid) -> None:
    for name in WORKERS:
        grid.dies(name)
    with pytest.raises(NoRoute, match="no worker below"):
        grid.task()
    with pytest.raises(NoRoute, match="no worker below"):
        grid.job(3)
    grid.check_over()


def test_the_time_for_a_task_grows_with_the_way_to_its_worker(grid: Grid) -> None:
    grid.while_waiting = lambda: None
    for name, multiplier, bound in [(A1, 9, 2.0), (A1, 1, 6.0), (B1, 2, 4.0)]:
        (late,) = grid.task(abs, 1, worker=name, timeout=2, multiplier=multiplier)
        assert isinstance(late.error, TimedOut)
        assert grid.reactor.waits[-1] == bound


# -- a job ----------------------------------------------------------------------------------------


def test_a_job_gives_the_results_in_the_order_of_its_tasks(grid: Grid) -> None:
    assert grid.job(50) == [number * 10 for number in range(50)]
    assert sorted(grid.removed) == sorted(WORKERS)
    grid.check_over()


def test_all_tasks_of_a_job_are_sent_under_its_promise_and_by_the_priority_of_their_kwargs(grid: Grid) -> None:
    grid.job(3, collect=False, password="p")
    grid.pump()
    calls = [call for held in grid.held.values() for _, call in held]
    assert [(call.options["promise"], call.priority) for call in calls] == [("p", 1.0)] * 3


def test_each_worker_is_dealt_to_as_fast_as_it_answers(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(jobs_module, "monotonic", lambda: now[0])
    grid.job(9, collect=False)
    grid.pump()
    assert grid.counts() == [1, 1, 1]
    for _ in range(4):
        now[0] += 10.0
        grid.answers(A1)
    assert grid.counts() == [1, 1, 1]
    grid.work()
    grid.check_over()
    assert sorted(result for _, result in grid.uncollected) == [number * 10 for number in range(9)]


def test_many_small_tasks_for_one_worker_leave_in_two_pieces(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(jobs_module, "monotonic", lambda: now[0])
    grid.job(1000, workers=[B1], collect=False)
    grid.pump()
    for _ in range(7):
        grid.links[R].passed.clear()
        now[0] += 0.000001
        while not grid.links[R].passed:
            grid.answers(B1)
        assert len(grid.links[R].passed) <= 2
    assert len(grid.held[B1]) > 100
    grid.work()
    grid.check_over()


def test_a_worker_whose_promise_waits_in_line_is_dealt_to_when_its_turn_comes(grid: Grid) -> None:
    grid.at_head.update({A2: False, B1: False})
    grid.job(5, collect=False)
    grid.pump()
    assert grid.counts() == [1, 0, 0]
    grid.grants(B1)
    assert grid.counts() == [1, 0, 1]
    grid.work()
    assert sorted(grid.removed) == sorted(WORKERS), "who waited in vain is let go of"
    grid.check_over()


def test_what_strangers_say_of_a_job_changes_nothing(grid: Grid) -> None:
    grid.job(9, workers=[A1], collect=False, password="p")
    grid.pump()
    for op in ("promise_granted", "promise_ended"):
        grid.says(A2, {"op": op, "password": "p", "reason": "none"})
    grid.pump()
    assert grid.counts() == [1, 0, 0]
    grid.work()
    grid.check_over()


def test_a_turn_that_comes_before_all_have_answered_is_not_missed(grid: Grid) -> None:
    grid.at_head.update(dict.fromkeys(WORKERS, False))

    def grant_first() -> None:
        for name in list(grid.promised):
            grid.grants(name)

    asked = grid.control.ask_each
    grid.control.ask_each = lambda *given: (asked(*given), grant_first())[0]  # type: ignore[method-assign, func-returns-value]
    assert grid.job(4) == [0, 10, 20, 30]
    grid.check_over()


def test_a_promise_that_ends_before_all_have_answered_is_not_waited_for(grid: Grid) -> None:
    grid.at_head[A1] = False
    asked = grid.control.ask_each

    def ask_each(*given: Any) -> Any:
        answers = asked(*given)
        grid.says(A1, {"op": "promise_ended", "password": grid.promised[A1], "reason": "it was removed"})
        del grid.promised[A1]
        return answers

    grid.control.ask_each = ask_each  # type: ignore[method-assign]
    assert grid.job(4) == [0, 10, 20, 30]
    assert sorted(grid.removed) == [A2, B1]
    grid.check_over()


def test_a_job_with_more_workers_than_tasks_takes_no_more_than_it_needs(grid: Grid) -> None:
    assert grid.job(2) == [0, 10]
    assert sorted(grid.removed) == [A1, A2]
    grid.check_over()


def test_a_task_that_fails_in_the_middle_stops_no_other(grid: Grid) -> None:
    def work() -> None:
        grid.answers(A1)
        grid.answers(A2, encode_exception(ValueError("no")))
        grid.answers(B1, encode_refusal("not here"))
        grid.work()

    grid.while_waiting = work
    results = grid.job(9, is_verbose=True)
    failed = [result for result in results if isinstance(result, Failed)]
    assert [type(each.error) for each in failed] == [Failure, Failure]
    assert [each.kwargs["args"] for each in failed] == [(1,), (2,)]
    assert "promise_password" not in failed[0].kwargs, "it can be sent again as it is"
    assert [result for result in results if not isinstance(result, Failed)] == [0, *range(30, 90, 10)]
    assert grid.said[0] == "a job of 9 tasks begins with 3 workers"
    assert grid.said[1].startswith("a job of 9 tasks has ended after ")
    assert grid.said[1].endswith(" s: 7 succeeded")
    grid.check_over()


def test_a_worker_that_dies_in_the_middle_loses_what_it_held_and_no_more(grid: Grid) -> None:
    def work() -> None:
        grid.dies(A2)
        grid.work()

    grid.while_waiting = work
    results = grid.job(9)
    lost = [index for index, result in enumerate(results) if isinstance(result, Failed)]
    assert lost == [1]
    assert isinstance(results[1].error, PeerLost)
    assert "may have run" in str(results[1].error)
    assert sorted(grid.removed) == [A1, B1]
    grid.check_over()


def test_when_all_workers_die_what_was_not_started_says_so(grid: Grid) -> None:
    def work() -> None:
        for name in WORKERS:
            grid.dies(name)

    grid.while_waiting = work
    results = grid.job(5)
    assert errors_in(results) == [PeerLost] * 5
    assert ["not started" in str(result.error) for result in results] == [False] * 3 + [True] * 2
    grid.check_over()


def test_a_worker_that_dies_while_its_promise_waits_in_line_is_not_waited_for(grid: Grid) -> None:
    grid.at_head.update(dict.fromkeys(WORKERS, False))
    grid.while_waiting = lambda: [grid.dies(name) for name in WORKERS]
    assert errors_in(grid.job(2)) == [PeerLost, PeerLost]
    grid.check_over()


def test_removing_the_promises_of_a_job_ends_it(grid: Grid) -> None:
    def removed() -> None:
        for name in WORKERS:
            password = grid.promised.pop(name)
            held, grid.held[name] = grid.held[name], []
            grid.says(name, {"op": "promise_ended", "password": password, "reason": "it was removed"})
            for message_id, _ in held:
                refusal = encode_refusal("its promise has ended")
                grid.transfers.on_result(None, node_id(name), message_id, refusal.joined())

    grid.while_waiting = removed
    assert errors_in(grid.job(6)) == [Failure] * 3 + [PeerLost] * 3
    grid.check_over()


def test_when_the_time_is_up_nothing_more_is_dealt_and_nothing_waited_for(grid: Grid) -> None:
    grid.while_waiting = grid.reactor.run_timers
    results = grid.job(5, timeout=3)
    assert errors_in(results) == [TimedOut] * 5
    assert str(results[0].error) == (
        f"the job did not end within 3 s: no answer from {A1}, where it may still be running"
    )
    assert str(results[4].error) == "the job did not end within 3 s: it was not started"
    assert sorted(grid.removed) == sorted(WORKERS)
    assert grid.counts() == [1, 1, 1]
    grid.answers(A1)
    assert grid.counts() == [0, 1, 1]
    grid.check_over()


def test_when_the_time_was_used_up_by_reserving_nothing_begins(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(jobs_module, "monotonic", lambda: now[0])
    asked = grid.control.ask_each

    def slowly(*given: Any) -> Any:
        now[0] += 5.0
        return asked(*given)

    grid.control.ask_each = slowly  # type: ignore[method-assign]
    assert errors_in(grid.job(5, timeout=3)) == [TimedOut] * 5
    grid.check_over()
    assert grid.counts() == [0, 0, 0]
    assert sorted(grid.removed) == sorted(WORKERS)


def test_who_is_interrupted_while_collecting_lets_everybody_go(grid: Grid) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    grid.while_waiting = interrupt
    with pytest.raises(KeyboardInterrupt):
        grid.job(9)
    grid.pump()
    assert sorted(grid.removed) == sorted(WORKERS)
    grid.work()
    grid.check_over()


def test_an_executor_that_leaves_while_a_job_runs_waits_for_nothing(grid: Grid) -> None:
    grid.while_waiting = lambda: setattr(grid.reactor, "is_closed", True)
    assert errors_in(grid.job(5)) == [PeerLost] * 5


def test_tasks_that_cannot_travel_fail_alone(grid: Grid) -> None:
    def unpicklable(number: int) -> Any:
        return (item for item in ())

    tasks: list[Any] = [{"function": abs, "args": (number,)} for number in (1, 2, 3)]
    tasks[1]["args"] = (unpicklable(1),)
    results = grid.scheduling.job(JobSpec(tasks, Wish(ntasks=3, force=True), collect=True))
    assert errors_in(results) == [10, Unserializable, 30]  # type: ignore[arg-type]
    grid.check_over()
    for task in tasks:
        task["args"] = (unpicklable(1),)
    grid.removed.clear()
    results = grid.scheduling.job(JobSpec(tasks, Wish(ntasks=3, force=True), collect=True))
    assert errors_in(results) == [Unserializable] * 3  # type: ignore[arg-type]
    assert grid.removed == [], "nobody was reserved for nothing"
    grid.check_over()


def test_a_task_that_cannot_be_sent_fails_and_the_job_goes_on(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    send = grid.transfers.send_encoded
    broken = [True]

    def send_encoded(batch: Any, calls: Any) -> None:
        if broken:
            broken.pop()
            raise OSError("no descriptors left")
        send(batch, calls)

    monkeypatch.setattr(grid.transfers, "send_encoded", send_encoded)
    first, *others = grid.job(4)
    assert type(first.error) is SoftgridError
    assert "OSError: no descriptors left" in str(first.error)
    assert others == [10, 20, 30]
    grid.check_over()


def test_a_job_that_cannot_have_its_workers_does_not_begin(grid: Grid) -> None:
    grid.refusing.update(WORKERS)
    with pytest.raises(Refused, match="0 of the 1"):
        grid.job(3, password="p")
    grid.check_over()
    grid.refusing.clear()
    assert grid.job(1, password="p") == [0], "the password is free again"


def test_two_jobs_at_a_time_need_two_passwords(grid: Grid) -> None:
    grid.job(3, collect=False, password="p")
    with pytest.raises(Refused, match="under way"):
        grid.job(3, password="p")
    grid.work()
    grid.check_over()


@pytest.mark.parametrize(
    ("parameter", "given"),
    [("jobTimeout", {"timeout": 0}), ("promisePassword", {"password": ""}), ("nworkersMin", {"nworkers_min": 9})],
)
def test_bad_parameters_of_a_job_are_named_and_nothing_is_held(grid: Grid, parameter: str, given: Any) -> None:
    with pytest.raises(BadArgument, match=f"^{parameter}: got"):
        grid.job(3, **given)
    grid.check_over()


# -- promises of jobs -----------------------------------------------------------------------------


def test_reserving_and_taking_back_may_be_told(grid: Grid) -> None:
    held = grid.scheduling.reserve(Wish(password="p"), is_verbose=True)
    assert grid.said == [f"a job is promised {A1}, {A2}, {B1}"]
    removed = grid.scheduling.take_back(held, 3.0, force=True, is_verbose=True)
    assert [name for name, _ in removed] == WORKERS
    assert grid.said[1:] == [f"a promise of {name} is removed" for name in WORKERS]
    grid.check_over()


def test_promises_are_taken_back_by_password_from_all_that_are_known_to_hold_it(grid: Grid) -> None:
    grid.scheduling.reserve(Wish(password="p", workers=[A1, B1]), is_verbose=False)
    removed = grid.scheduling.take_back("p", 3.0, force=True, is_verbose=False)
    assert [name for name, _ in removed] == [A1, B1]
    assert grid.said == []
    grid.check_over()


def test_promises_of_others_are_taken_back_from_whoever_turns_out_to_hold_them(grid: Grid) -> None:
    removed = grid.scheduling.take_back("p", 3.0, force=True, is_verbose=False)
    assert [name for name, _ in removed] == WORKERS
    refuse = {"removed": False, "remaining_queue_length": 0, "reason": "no such promise"}
    grid._on_question = lambda name, message_id, message: grid.says(  # type: ignore[method-assign]
        name, {"op": "answer", **refuse}, message_id
    )
    ((name, error),) = grid.scheduling.take_back("p", 3.0, force=True, is_verbose=True)
    assert (name, type(error)) == (None, Refused)
    assert grid.said == ["a promise of nobody is not removed: no worker below holds a promise with that password"]
