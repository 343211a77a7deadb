"""Promises in the queue: first come first served, exclusive at the head, ended for four reasons and no other."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.names import a_name

from softgrid._model.errors import BadArgument, Refused
from softgrid._model.names import node_id
from softgrid._state import workqueue
from softgrid._state.promise import (
    CREATOR_GONE,
    DRAINED,
    REMOVED,
    AtHead,
    Promise,
    Removal,
    check_force,
    check_password,
)
from softgrid._state.workqueue import WorkQueue

ANNA, BELA = a_name("worker", "Anna"), a_name("worker", "Bela")


def a_promise(password: str = "p", creator: str = ANNA, timeout: float = 60.0, **more: Any) -> Promise[str]:
    return Promise(password, creator, timeout, **more)


class Queue:
    """A queue whose time the test says, and which tells what changed."""

    def __init__(self) -> None:
        self.queue: WorkQueue[str] = WorkQueue()
        self.now = 100.0

    def add(self, password: str = "p", creator: str = ANNA, timeout: float = 60.0, *, force: bool = True, **more: Any):
        return self.told(self.queue.add(a_promise(password, creator, timeout, **more), self.now, force=force))

    def push(self, task: str, password: str | None = None, priority: float = 1.0) -> None:
        self.queue.push(priority, task, password)

    def run(self) -> tuple[str | None, list[Any]]:
        """Run the next task to its end; gives it, and what changed by that."""
        task = self.queue.take_next()
        return task, self.told(self.queue.finish(self.now)) if task is not None else []

    def run_all(self) -> list[str]:
        ran = []
        while (task := self.run()[0]) is not None:
            ran.append(task)
        return ran

    def remove(self, password: str = "p", *, force: bool = False) -> tuple[Removal, list[Any]]:
        removal, changes = self.queue.remove(password, self.now, force=force)
        return removal, self.told(changes)

    def expire(self, at: float) -> list[Any]:
        self.now = at
        return self.told(self.queue.expire(at))

    def told(self, changes: list[Any]) -> list[Any]:
        return [
            ("head", change.promise.password)
            if isinstance(change, AtHead)
            else ("ended", change.promise.password, change.reason, change.dropped)
            for change in changes
        ]


@pytest.fixture
def held() -> Queue:
    """A queue with one promise, at the head, and nothing else."""
    queue = Queue()
    assert queue.add() == [("head", "p")]
    return queue


# -- first come, first served ---------------------------------------------------------------------


def test_a_promise_in_an_idle_queue_is_at_the_head_at_once(held: Queue) -> None:
    assert (held.queue.promises, len(held.queue)) == (1, 0)
    assert held.queue.take_next() is None


def test_while_a_promise_is_at_the_head_nothing_else_starts(held: Queue) -> None:
    held.push("stranger", priority=-1e9)
    assert held.queue.take_next() is None
    assert len(held.queue) == 1


def test_what_was_there_before_runs_before_and_what_came_later_waits_however_urgent() -> None:
    queue = Queue()
    queue.push("before 2", priority=2)
    queue.push("before 1", priority=1)
    assert queue.add() == []
    queue.push("after", priority=-5)
    queue.push("promised", "p", priority=100)
    assert queue.run() == ("before 1", [])
    assert queue.run() == ("before 2", [("head", "p")])
    assert queue.run() == ("promised", [("ended", "p", DRAINED, [])])
    assert queue.run() == ("after", [])
    assert queue.queue.take_next() is None


def test_a_promise_is_not_at_the_head_while_something_else_runs() -> None:
    queue = Queue()
    queue.push("running")
    assert queue.queue.take_next() == "running"
    assert queue.add() == []
    queue.push("promised", "p")
    assert queue.queue.take_next() is None, "one at a time"
    assert queue.told(queue.queue.finish(queue.now)) == [("head", "p")]
    assert queue.run()[0] == "promised"


def test_promises_follow_each_other_in_the_order_in_which_they_came() -> None:
    queue = Queue()
    queue.add("first")
    assert queue.add("second", BELA) == []
    queue.push("b", "second", priority=-9)
    queue.push("between", priority=-10)
    queue.add("third")
    queue.push("a", "first")
    assert queue.run() == ("a", [("ended", "first", DRAINED, []), ("head", "second")])
    assert queue.run() == ("b", [("ended", "second", DRAINED, [])])
    assert queue.run() == ("between", [("head", "third")])
    assert queue.queue.promises == 1


def test_calls_in_a_promise_run_by_priority_and_ties_in_order(held: Queue) -> None:
    for task, priority in [("d", 3), ("b", 1), ("a", -2), ("c", 1)]:
        held.push(task, "p", priority)
    assert held.run_all() == ["a", "b", "c", "d"]
    assert held.queue.promises == 0


def test_without_promises_a_queue_changes_nothing_for_anybody() -> None:
    queue = Queue()
    queue.push("a")
    assert queue.run() == ("a", [])
    assert queue.queue.next_alarm() is None


# -- placing --------------------------------------------------------------------------------------


def test_a_password_that_is_taken_is_refused_and_changes_nothing(held: Queue) -> None:
    held.push("promised", "p")
    with pytest.raises(Refused, match="held here already"):
        held.add("p", BELA)
    assert (held.queue.promises, len(held.queue)) == (1, 1)
    assert held.run() == ("promised", [("ended", "p", DRAINED, [])])


def _running(queue: Queue) -> None:
    queue.push("running")
    queue.queue.take_next()


def _waiting(queue: Queue) -> None:
    queue.push("waiting")


def _promised(queue: Queue) -> None:
    queue.add("other")


@pytest.mark.parametrize(
    ("busy_with", "said"),
    [(_running, "one call is running, 0 wait, 0"), (_waiting, "nothing is running, 1 wait"), (_promised, "1 promises")],
)
def test_without_force_a_promise_is_only_placed_where_it_holds_at_once(busy_with: Any, said: str) -> None:
    queue = Queue()
    busy_with(queue)
    promises = queue.queue.promises
    with pytest.raises(Refused, match=f"it is busy: .*{said}"):
        queue.add(force=False)
    assert queue.queue.promises == promises
    queue.add(force=True)
    assert queue.queue.promises == promises + 1


def test_without_force_an_idle_queue_takes_it() -> None:
    assert Queue().add(force=False) == [("head", "p")]


def test_promises_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "MAX_PROMISES", 2)
    queue = Queue()
    queue.add("a")
    queue.add("b")
    with pytest.raises(Refused, match="2 promises are held here already"):
        queue.add("c")
    queue.remove("a")
    queue.add("c")


# -- the password ---------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["wrong", "", 5, ["p"]])
def test_a_call_with_another_password_is_refused_and_not_queued(held: Queue, password: Any) -> None:
    with pytest.raises(Refused, match=r"^no promise with that password is held here$"):
        held.push("lost", password)
    assert len(held.queue) == 0


def test_a_call_for_a_past_promise_is_told_what_became_of_it(held: Queue) -> None:
    held.push("promised", "p")
    held.run()
    with pytest.raises(Refused, match=f"has ended: {DRAINED}"):
        held.push("late", "p")


def test_only_so_many_past_promises_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workqueue, "PAST_KEPT", 1)
    queue = Queue()
    for password in ("a", "b"):
        queue.add(password)
        queue.remove(password)
    with pytest.raises(Refused, match=r"held here$"):
        queue.push("x", "a")
    with pytest.raises(Refused, match=REMOVED):
        queue.push("x", "b")


def test_a_password_may_be_used_again_when_its_promise_has_ended(held: Queue) -> None:
    held.remove()
    assert held.add("p", BELA) == [("head", "p")]
    held.push("promised", "p")
    assert held.run() == ("promised", [("ended", "p", DRAINED, [])])


@pytest.mark.parametrize("given", [None, 5, b"p", "", "x" * 1025])
def test_what_is_no_password_is_refused_without_being_shown(given: Any) -> None:
    with pytest.raises(BadArgument, match=r"^promisePassword: got .*accepted is a text of 1 to 1024") as caught:
        check_password(given)
    assert "xxx" not in str(caught.value)
    assert check_password("x" * 1024) == "x" * 1024


@pytest.mark.parametrize("given", [None, 1, "yes"])
def test_force_is_true_or_false(given: Any) -> None:
    with pytest.raises(BadArgument, match=r"^force: got "):
        check_force(given)
    assert check_force(True) is True


def test_a_promise_never_shows_its_password() -> None:
    assert "secret" not in repr(a_promise("secret"))
    assert ANNA in repr(a_promise("secret"))


# -- it ends when its queue has drained -----------------------------------------------------------


def test_a_promise_ends_when_its_last_call_has_ended_and_not_before(held: Queue) -> None:
    held.push("one", "p")
    held.push("two", "p")
    held.push("stranger")
    assert held.run() == ("one", [])
    assert held.queue.take_next() == "two"
    assert held.queue.promises == 1, "it runs still"
    held.push("three", "p")
    assert held.told(held.queue.finish(held.now)) == []
    assert held.run() == ("three", [("ended", "p", DRAINED, [])])
    assert held.run() == ("stranger", [])


def test_a_promise_without_work_does_not_end_because_others_do(held: Queue) -> None:
    queue = Queue()
    queue.push("running")
    queue.queue.take_next()
    queue.add()
    assert queue.told(queue.queue.finish(queue.now)) == [("head", "p")]
    assert queue.queue.promises == 1


def test_a_call_that_is_set_aside_keeps_its_promise_until_it_is_back_and_done(held: Queue) -> None:
    promise = held.queue.push(1.0, "unknown", "p")
    assert promise is not None
    held.queue.take_next()
    held.queue.set_aside()
    assert held.told(held.queue.finish(held.now)) == []
    held.push("stranger")
    assert held.queue.take_next() is None
    assert held.remove() == (Removal(False, 1, "1 calls wait in it, and it is not to be forced"), [])
    held.push("unknown", "p")
    assert held.told(held.queue.came_back(promise, held.now)) == []
    assert held.run() == ("unknown", [("ended", "p", DRAINED, [])])
    assert held.run_all() == ["stranger"]


def test_a_call_that_is_set_aside_and_never_comes_back_ends_its_promise(held: Queue) -> None:
    promise = held.queue.push(1.0, "unknown", "p")
    assert promise is not None
    held.queue.take_next()
    held.queue.set_aside()
    held.queue.finish(held.now)
    assert held.told(held.queue.came_back(promise, held.now)) == [("ended", "p", DRAINED, [])]
    assert held.told(held.queue.came_back(promise, held.now)) == []


def test_what_is_set_aside_outside_of_promises_holds_nothing() -> None:
    queue = Queue()
    queue.push("unknown")
    queue.queue.take_next()
    queue.queue.set_aside()
    assert queue.told(queue.queue.finish(queue.now)) == []
    assert queue.add(force=False) == [("head", "p")]


# -- it ends when it is removed -------------------------------------------------------------------


def test_an_unused_promise_can_be_removed(held: Queue) -> None:
    held.push("stranger")
    assert held.remove() == (Removal(True, 0), [("ended", "p", REMOVED, [])])
    assert held.run_all() == ["stranger"]


def test_a_promise_in_which_calls_wait_is_only_removed_by_force(held: Queue) -> None:
    for task in "abc":
        held.push(task, "p", priority=-ord(task))
    assert held.remove() == (Removal(False, 3, "3 calls wait in it, and it is not to be forced"), [])
    assert (held.queue.promises, len(held.queue)) == (1, 3)
    assert held.remove(force=True) == (Removal(True, 3), [("ended", "p", REMOVED, ["c", "b", "a"])])
    assert (held.queue.promises, len(held.queue)) == (0, 0)
    assert held.queue.take_next() is None


def test_what_runs_in_a_removed_promise_runs_on_and_others_wait_for_it(held: Queue) -> None:
    held.push("running", "p")
    held.push("dropped", "p")
    held.push("stranger")
    held.add("next", BELA)
    assert held.queue.take_next() == "running"
    assert held.remove(force=True) == (Removal(True, 1), [("ended", "p", REMOVED, ["dropped"])])
    assert held.queue.running == "running"
    assert held.queue.take_next() is None
    assert held.told(held.queue.finish(held.now)) == []
    assert held.run() == ("stranger", [("head", "next")])


def test_a_promise_whose_last_call_runs_can_be_removed_without_force(held: Queue) -> None:
    held.push("running", "p")
    held.queue.take_next()
    assert held.remove() == (Removal(True, 0), [("ended", "p", REMOVED, [])])
    assert held.told(held.queue.finish(held.now)) == []


def test_what_stood_around_a_removed_promise_runs_as_if_it_had_never_been_there() -> None:
    queue = Queue()
    queue.push("busy")
    queue.queue.take_next()
    queue.push("b", priority=2)
    queue.add("gone")
    queue.push("a", priority=1)
    queue.push("c", priority=2)
    queue.add("stays")
    queue.push("behind", priority=-1)
    assert queue.remove("gone") == (Removal(True, 0), [("ended", "gone", REMOVED, [])])
    assert queue.told(queue.queue.finish(queue.now)) == []
    assert [queue.run()[0] for _ in range(3)] == ["a", "b", "c"]
    assert queue.run_all() == []
    queue.remove("stays")
    assert queue.run_all() == ["behind"]


def test_a_promise_between_two_others_can_be_removed() -> None:
    queue = Queue()
    for password in "abc":
        queue.add(password)
        queue.push(f"after {password}")
    assert queue.remove("b")[1] == [("ended", "b", REMOVED, [])]
    assert queue.remove("a")[1] == [("ended", "a", REMOVED, [])]
    assert queue.run() == ("after a", [])
    assert queue.run() == ("after b", [("head", "c")])


def test_what_is_not_held_cannot_be_removed(held: Queue) -> None:
    assert held.remove("other") == (Removal(False, 0, "no promise with that password is held here"), [])
    held.remove()
    (removal, changes) = held.remove()
    assert (removal.is_removed, removal.remaining, changes) == (False, 0, [])
    assert REMOVED in str(removal.reason)


# -- it ends when its time passes without work ----------------------------------------------------


def test_a_promise_to_which_no_work_comes_ends_when_its_time_is_up(held: Queue) -> None:
    held.push("stranger")
    assert held.queue.next_alarm() == 160.0
    assert held.expire(159.9) == []
    assert held.expire(160.0) == [("ended", "p", "no work came within 60 s", [])]
    assert held.queue.next_alarm() is None
    assert held.run_all() == ["stranger"]


def test_its_time_runs_from_when_it_was_placed_also_while_others_run() -> None:
    queue = Queue()
    queue.push("long")
    queue.queue.take_next()
    queue.add(timeout=5)
    assert queue.expire(105.0) == [("ended", "p", "no work came within 5 s", [])]
    assert queue.told(queue.queue.finish(200.0)) == []


def test_a_promise_with_work_has_all_the_time_it_takes(held: Queue) -> None:
    held.push("long", "p")
    assert held.expire(1000.0) == []
    assert held.queue.take_next() == "long"
    assert held.expire(5000.0) == []
    assert held.told(held.queue.finish(held.now)) == [("ended", "p", DRAINED, [])]


def test_promises_end_each_in_its_own_time() -> None:
    queue = Queue()
    for password, timeout in [("long", 30.0), ("short", 10.0), ("same", 10.0)]:
        queue.add(password, timeout=timeout)
    assert queue.queue.next_alarm() == 110.0
    assert queue.expire(110.0) == [
        ("ended", "short", "no work came within 10 s", []),
        ("ended", "same", "no work came within 10 s", []),
    ]
    assert queue.queue.next_alarm() == 130.0
    queue.remove("long")
    assert queue.expire(130.0) == []
    assert queue.queue.next_alarm() is None


# -- it ends when its creator is gone -------------------------------------------------------------


def test_when_a_creator_is_gone_all_its_promises_end_and_no_others(held: Queue) -> None:
    held.push("running", "p")
    held.queue.take_next()
    held.push("waiting", "p")
    held.add("hers too")
    held.add("his", BELA)
    held.push("his work", "his")
    assert held.told(held.queue.creators_gone({node_id(ANNA)}, held.now)) == [
        ("ended", "p", CREATOR_GONE, ["waiting"]),
        ("ended", "hers too", CREATOR_GONE, []),
    ]
    assert held.queue.running == "running", "what runs goes on"
    assert held.told(held.queue.finish(held.now)) == [("head", "his")]
    assert held.run() == ("his work", [("ended", "his", DRAINED, [])])


def test_when_somebody_else_is_gone_nothing_happens(held: Queue) -> None:
    assert held.queue.creators_gone({node_id(BELA)}, held.now) == []
    assert held.queue.promises == 1


# -- kept promises, which their creator deals out work to -----------------------------------------


def test_a_kept_promise_outlives_its_work_until_it_is_removed() -> None:
    queue = Queue()
    queue.add(is_kept=True)
    queue.push("one", "p")
    assert queue.run() == ("one", [])
    queue.push("stranger")
    assert queue.queue.take_next() is None
    queue.push("two", "p")
    assert queue.run() == ("two", [])
    assert queue.remove(force=True) == (Removal(True, 0), [("ended", "p", REMOVED, [])])
    assert queue.run_all() == ["stranger"]


def test_the_time_of_a_kept_promise_runs_only_while_it_is_at_the_head_without_work() -> None:
    queue = Queue()
    queue.push("long")
    queue.queue.take_next()
    queue.add(timeout=10, is_kept=True)
    assert queue.queue.next_alarm() is None
    assert queue.expire(1000.0) == []
    assert queue.told(queue.queue.finish(1000.0)) == [("head", "p")]
    assert queue.queue.next_alarm() == 1010.0
    queue.push("one", "p")
    assert queue.expire(1010.0) == []
    assert queue.queue.next_alarm() is None
    queue.now = 1015.0
    assert queue.run() == ("one", [])
    assert queue.expire(1024.9) == []
    assert queue.expire(1025.0) == [("ended", "p", "no work came within 10 s", [])]


def test_a_promise_that_is_often_idle_keeps_one_alarm_only() -> None:
    queue = Queue()
    queue.add(timeout=10, is_kept=True)
    for step in range(5):
        queue.push("one", "p")
        queue.now = 101.0 + step
        queue.run()
    assert queue.queue.next_alarm() == 110.0, "the first one, which looks again"
    assert queue.expire(110.0) == []
    assert queue.queue.next_alarm() == 115.0
    assert queue.expire(115.0) == [("ended", "p", "no work came within 10 s", [])]
