"""The queue: smaller priorities first, ties in order, one at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument, Refused
from softgrid._model.rules import Rules
from softgrid._state.promise import DRAINED, AtHead, Ended, Promise
from softgrid._state.workqueue import WorkQueue, check_priority


def drained(queue: WorkQueue[Any]) -> list[Any]:
    taken = []
    while (task := queue.take_next()) is not None:
        taken.append(task)
        queue.finish()
    return taken


@PROPERTY
@given(st.lists(st.floats(allow_nan=False) | st.integers(-5, 5), max_size=40))
def test_tasks_come_by_priority_and_ties_in_the_order_given(priorities: list[float]) -> None:
    queue: WorkQueue[tuple[float, int]] = WorkQueue()
    tasks = [(priority, index) for index, priority in enumerate(priorities)]
    for priority, index in tasks:
        queue.push(priority, (priority, index))
    assert len(queue) == len(tasks)
    assert drained(queue) == sorted(tasks, key=lambda task: task[0])
    assert len(queue) == 0


def test_tasks_are_never_compared() -> None:
    queue: WorkQueue[object] = WorkQueue()
    tasks = [object() for _ in range(9)]
    for task in tasks:
        queue.push(1.0, task)
    assert drained(queue) == tasks


def test_one_runs_at_a_time() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.push(1, "a")
    queue.push(0, "b")
    assert queue.take_next() == "b"
    assert queue.running == "b"
    assert queue.take_next() is None
    assert len(queue) == 1
    queue.finish()
    assert queue.running is None
    assert queue.take_next() == "a"


def test_an_empty_queue_gives_nothing() -> None:
    queue: WorkQueue[str] = WorkQueue()
    assert queue.take_next() is None
    assert queue.running is None


def test_what_comes_while_one_runs_takes_its_place_by_priority() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.push(5, "running")
    queue.take_next()
    for priority, task in [(2, "b"), (1, "a"), (2, "c")]:
        queue.push(priority, task)
    queue.finish()
    assert drained(queue) == ["a", "b", "c"]


# -- priorities -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1, -3, 2.5, None])
def test_a_number_or_none_is_a_priority(value: Any) -> None:
    assert check_priority(value) == value
    assert check_priority(value, Rules()) == value
    assert type(check_priority(value)) in (float, type(None))


@pytest.mark.parametrize("value", ["1", True, [], float("nan"), 1j, object()])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(BadArgument, match=r"^priority: got .*None or a number"):
        check_priority(value)
    with pytest.raises(BadArgument, match=r"^urgency: got"):
        check_priority(value, Rules(), "urgency")


@pytest.mark.parametrize(("value", "kept"), [(10**400, float("inf")), (-(10**400), float("-inf"))])
def test_a_number_beyond_all_bounds_is_the_last_or_the_first(value: int, kept: float) -> None:
    assert check_priority(value) == kept
    assert check_priority(kept) == kept


def test_the_rules_may_forbid_priority_none() -> None:
    with pytest.raises(Refused, match="execution_allow_none_priority"):
        check_priority(None, Rules({"execution_allow_none_priority": False}))


def test_the_rules_may_forbid_negative_priorities() -> None:
    rules = Rules({"execution_allow_negative_priority": False})
    with pytest.raises(Refused, match=r"priority -1 .*execution_allow_negative_priority"):
        check_priority(-1, rules)
    assert check_priority(0, rules) == 0
    assert check_priority(None, rules) is None


# -- taken back -----------------------------------------------------------------------------------


def test_a_task_is_taken_out_wherever_it_waits_and_nothing_else_is() -> None:
    queue: WorkQueue[str] = WorkQueue()
    promise: Promise[str] = Promise("p", "orchestrator|O@a[1]:1", 9.0, is_kept=True)
    queue.push(2.0, "front")
    queue.push(1.0, "first")
    queue.add(promise, 0.0, force=True)
    queue.push(0.0, "inside", "p")
    queue.push(0.0, "after")
    for task in ("front", "inside", "after"):
        found, _ = queue.withdraw(lambda each, task=task: each == task, 0.0)  # type: ignore[misc]
        assert found == task
    assert len(queue) == 1
    assert queue.withdraw(lambda each: each == "front", 0.0) == (None, [])
    assert queue.take_next() == "first"
    assert queue.withdraw(lambda each: each == "first", 0.0) == (None, []), "what runs does not wait"


def test_taking_the_last_task_out_brings_a_promise_to_the_head_or_uses_it_up() -> None:
    queue: WorkQueue[str] = WorkQueue()
    promise: Promise[str] = Promise("p", "orchestrator|O@a[1]:1", 9.0)
    queue.push(1.0, "before")
    queue.add(promise, 0.0, force=True)
    queue.push(0.0, "inside", "p")
    assert queue.withdraw(lambda task: task == "before", 0.0) == ("before", [AtHead(promise)])
    assert queue.withdraw(lambda task: task == "inside", 0.0) == ("inside", [Ended(promise, DRAINED, [])])
    assert (len(queue), queue.promises, queue.take_next()) == (0, 0, None)


@PROPERTY
@given(st.lists(st.floats(-5, 5), max_size=20), st.sets(st.integers(0, 19)))
def test_whatever_is_taken_out_the_others_keep_their_order(priorities: list[float], taken: set[int]) -> None:
    queue: WorkQueue[int] = WorkQueue()
    for number, priority in enumerate(priorities):
        queue.push(priority, number)
    for number in taken:
        queue.withdraw(lambda task, number=number: task == number, 0.0)  # type: ignore[misc]
    left = [number for number in range(len(priorities)) if number not in taken]
    ran = []
    while (task := queue.take_next()) is not None:
        ran.append(task)
        queue.finish()
    assert ran == sorted(left, key=lambda number: (priorities[number], number))
