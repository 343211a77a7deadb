"""A job's tasks are dealt as fast as each worker can take them, each once; and workers are let go of when idle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument
from softgrid._state.jobs import HELD_S, MOST_HELD, Deal, Effect, GiveUp, Job, Release, TaskSpec, read_tasks

LONG, SHORT = 10.0, HELD_S / 10


class Doing:
    """A job of *count* tasks, with workers that the test lets answer."""

    def __init__(self, count: int, workers: str) -> None:
        self.job = Job(range(count), workers)
        self.now = 0.0
        self.held: dict[str, list[int]] = {worker: [] for worker in workers}
        self.dealt: list[int] = []
        self.released: list[str] = []
        self.given_up: list[int] = []

    def take(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Deal):
                assert effect.tasks, "a deal of nothing"
                self.held[effect.worker] += effect.tasks
                self.dealt += effect.tasks
            elif isinstance(effect, Release):
                self.released.append(effect.worker)
            else:
                self.given_up += effect.tasks
        return effects

    def ready(self, worker: str) -> list[Effect]:
        return self.take(self.job.on_ready(worker, self.now))

    def answer(self, worker: str, after: float = LONG) -> list[Effect]:
        self.now += after
        self.held[worker].pop(0)
        return self.take(self.job.on_answer(worker, self.now))

    def lost(self, worker: str) -> list[Effect]:
        self.held[worker].clear()
        return self.take(self.job.on_lost(worker))


# -- dealing --------------------------------------------------------------------------------------


def test_a_worker_gets_nothing_before_it_is_ready() -> None:
    doing = Doing(3, "ab")
    assert doing.ready("a") == [Deal("a", [0])]
    assert doing.answer("a") == [Deal("a", [1])]
    assert doing.held == {"a": [1], "b": []}


def test_long_tasks_are_dealt_one_by_one_to_whoever_is_free() -> None:
    doing = Doing(5, "ab")
    assert [doing.ready("a"), doing.ready("b")] == [[Deal("a", [0])], [Deal("b", [1])]]
    assert doing.answer("b") == [Deal("b", [2])]
    assert doing.answer("b") == [Deal("b", [3])]
    assert doing.answer("a") == [Deal("a", [4])]
    assert doing.answer("b") == [Release("b")]
    assert doing.answer("a") == [Release("a")]


def test_short_tasks_are_dealt_many_at_a_time_and_soon_enough() -> None:
    doing = Doing(10_000, "a")
    doing.ready("a")
    sizes = []
    while len(doing.dealt) < 2000:
        for effect in doing.answer("a", SHORT / 1000):
            assert isinstance(effect, Deal)
            sizes.append(len(effect.tasks))
        assert doing.held["a"], "it never runs dry"
        assert len(doing.held["a"]) <= MOST_HELD
    assert sizes[:3] == [4, 14, 56]
    assert max(sizes) > MOST_HELD / 4


def test_a_worker_holds_as_much_as_it_does_in_a_moment() -> None:
    doing = Doing(10_000, "a")
    doing.ready("a")
    for _ in range(100):
        doing.answer("a", SHORT)
        assert 1 <= len(doing.held["a"]) <= HELD_S / SHORT


def test_when_tasks_become_long_a_worker_holds_less_again() -> None:
    doing = Doing(10_000, "a")
    doing.ready("a")
    for _ in range(100):
        doing.answer("a", SHORT / 100)
    assert len(doing.held["a"]) > 10
    while len(doing.held["a"]) > 1:
        doing.answer("a", LONG)
    assert [doing.answer("a", LONG) for _ in range(2)] == [
        [Deal("a", [len(doing.dealt) - 2])],
        [Deal("a", [len(doing.dealt) - 1])],
    ]


def test_nobody_holds_more_than_a_fair_share_of_what_is_left() -> None:
    doing = Doing(12, "abc")
    doing.ready("a")
    assert doing.answer("a", 0.0) == [Deal("a", [1, 2])]
    doing.ready("b")
    doing.ready("c")
    assert doing.held == {"a": [1, 2], "b": [3], "c": [4]}


def test_being_ready_twice_or_unknown_changes_nothing() -> None:
    doing = Doing(3, "a")
    doing.ready("a")
    assert doing.ready("a") == []
    assert doing.job.on_ready("stranger", 0.0) == []
    assert doing.job.on_answer("stranger", 0.0) == []
    assert doing.job.on_lost("stranger") == []


# -- letting go -----------------------------------------------------------------------------------


def test_who_waits_in_vain_is_let_go_of_when_all_is_dealt() -> None:
    doing = Doing(2, "abc")
    doing.ready("a")
    assert doing.ready("b") == [Deal("b", [1]), Release("c")]
    assert doing.answer("b") == [Release("b")]
    assert doing.answer("a") == [Release("a")]
    assert doing.ready("c") == []


def test_stopping_deals_nothing_more_and_lets_everybody_go() -> None:
    doing = Doing(9, "abc")
    doing.ready("a")
    assert doing.job.stop() == [Release("a"), Release("b"), Release("c")]
    assert doing.answer("a") == []
    assert doing.ready("b") == []
    assert doing.job.stop() == []


def test_a_job_without_tasks_lets_everybody_go() -> None:
    doing = Doing(0, "ab")
    assert doing.ready("a") == [Release("a"), Release("b")]


# -- losing ---------------------------------------------------------------------------------------


def test_what_was_not_dealt_to_a_lost_worker_goes_to_others() -> None:
    doing = Doing(4, "ab")
    doing.ready("a")
    doing.ready("b")
    assert doing.lost("a") == []
    assert doing.answer("b") == [Deal("b", [2])]
    assert doing.answer("b") == [Deal("b", [3])]
    assert doing.answer("b") == [Release("b")]
    assert doing.released == ["b"], "nobody lets go of the dead"


def test_when_the_last_worker_is_lost_the_rest_is_given_up() -> None:
    doing = Doing(4, "ab")
    doing.ready("a")
    assert doing.lost("b") == []
    assert doing.lost("a") == [GiveUp([1, 2, 3])]
    assert doing.lost("a") == []


def test_when_the_last_worker_is_lost_with_all_dealt_there_is_nothing_to_give_up() -> None:
    doing = Doing(1, "a")
    doing.ready("a")
    assert doing.lost("a") == []


@settings(PROPERTY, max_examples=200)
@given(
    count=st.integers(0, 60),
    steps=st.lists(st.tuples(st.sampled_from(["ready", "answer", "lost"]), st.sampled_from("abc"), st.floats(0, 1))),
)
def test_every_task_is_dealt_once_or_given_up_once_and_every_worker_is_released_or_lost(
    count: int, steps: list[Any]
) -> None:
    doing = Doing(count, "abc")
    lost = set()
    for step, worker, after in steps:
        if step == "ready" and worker not in lost:
            doing.ready(worker)
        elif step == "lost":
            lost.add(worker)
            doing.lost(worker)
        elif doing.held[worker]:
            doing.answer(worker, after)
    for worker in set("abc") - lost:
        doing.ready(worker)
    while any(doing.held.values()):
        doing.answer(next(worker for worker, held in doing.held.items() if held))
    assert sorted(doing.dealt + doing.given_up) == list(range(count))
    assert len(set(doing.released)) == len(doing.released)
    assert set("abc") - lost <= set(doing.released)


# -- what users give ------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [len, "get_machine_info", "lambda: 1", {"source": "lambda: 1"}])
def test_a_function_alone_is_a_job_of_one_task(function: Any) -> None:
    assert read_tasks(function) == [TaskSpec(function, None, None)]
    assert read_tasks([function]) == [TaskSpec(function, None, None)]


def test_tasks_are_tuples_of_which_the_last_items_may_be_missing() -> None:
    given = [(len, ["a"], None), (len, ("b",)), [len, None, {"obj": "c"}], (len,), len]
    assert read_tasks(given) == [
        TaskSpec(len, ["a"], None),
        TaskSpec(len, ("b",), None),
        TaskSpec(len, None, {"obj": "c"}),
        TaskSpec(len, None, None),
        TaskSpec(len, None, None),
    ]
    assert read_tasks(tuple(given)) == read_tasks(given)


@pytest.mark.parametrize("funcs", [[], (), None, 5, "", "  "])
def test_what_is_no_job_is_refused(funcs: Any) -> None:
    with pytest.raises(BadArgument, match=r"^funcs: got .*with one item at least"):
        read_tasks(funcs)


@pytest.mark.parametrize(
    "task",
    [(), 5, None, (5,), (len, 5), (len, "ab"), (len, None, []), (len, None, {1: 2}), (len, None, None, None), [""]],
)
def test_a_task_that_cannot_be_meant_is_named(task: Any) -> None:
    with pytest.raises(BadArgument, match=r"^funcs\[1\]: got .*a function, or a tuple"):
        read_tasks([len, task])


# -- tasks that are done once more ----------------------------------------------------------------


def again(doing: Doing, worker: str, task: int, *, is_lost: bool) -> list[Effect]:
    effects = list(doing.take(doing.job.on_again(task)))
    if is_lost:
        doing.held[worker].clear()
        return effects + doing.take(doing.job.on_lost(worker))
    doing.held[worker].remove(task)
    return effects + doing.take(doing.job.on_answer(worker, doing.now))


def test_a_task_that_failed_is_done_once_more_by_its_worker_before_that_is_let_go() -> None:
    doing = Doing(1, "a")
    doing.ready("a")
    assert again(doing, "a", 0, is_lost=False) == [Deal("a", [0])]
    assert doing.answer("a") == [Release("a")]


def test_a_task_of_a_lost_worker_goes_to_another_one_as_soon_as_that_can_take_it() -> None:
    doing = Doing(2, "ab")
    doing.ready("a")
    doing.ready("b")
    assert again(doing, "a", 0, is_lost=True) == []
    assert doing.answer("b") == [Deal("b", [0])]


def test_a_task_of_the_last_worker_is_given_up_when_nobody_is_expected() -> None:
    doing = Doing(1, "a")
    doing.ready("a")
    assert again(doing, "a", 0, is_lost=True) == [GiveUp([0])]


def test_while_another_worker_is_expected_nothing_is_given_up() -> None:
    doing = Doing(1, "a")
    doing.ready("a")
    doing.job.expect()
    assert again(doing, "a", 0, is_lost=True) == []
    doing.job.on_joined("b")
    doing.held["b"] = []
    assert doing.ready("b") == [Deal("b", [0])]
    assert doing.answer("b") == [Release("b")]


def test_when_the_worker_that_was_expected_does_not_come_what_is_left_is_given_up() -> None:
    doing = Doing(3, "a")
    doing.ready("a")
    doing.job.expect()
    assert again(doing, "a", 0, is_lost=True) == []
    assert doing.take(doing.job.on_missed()) == [GiveUp([1, 2, 0])]


def test_tasks_that_are_withdrawn_are_dealt_to_nobody() -> None:
    doing = Doing(4, "a")
    doing.ready("a")
    assert doing.job.withdraw([0, 2, 3]) == [2, 3]
    assert doing.answer("a") == [Deal("a", [1])]
    assert doing.answer("a") == [Release("a")]


@PROPERTY
@given(st.integers(1, 30), st.lists(st.sampled_from(["answer", "fail", "lose"]), max_size=80), st.data())
def test_every_task_ends_once_however_often_workers_fail_and_die(
    count: int, ends: list[str], data: st.DataObject
) -> None:
    """Each lost worker is replaced; every task is in one place at a time and ends once."""
    doing = Doing(count, "ab")
    names = iter(f"w{number}" for number in range(1000))
    done: list[int] = []
    for worker in "ab":
        doing.ready(worker)
    for end in [*ends, *["answer"] * (4 * count + 4 * len(ends))]:
        busy = [worker for worker, held in doing.held.items() if held]
        if not busy:
            break
        worker = data.draw(st.sampled_from(sorted(busy)))
        held = list(doing.held[worker])
        if end == "answer":
            done.append(held[0])
            doing.answer(worker)
        elif end == "fail":
            again(doing, worker, held[0], is_lost=False)
        else:
            doing.job.expect()
            for task in held:
                doing.take(doing.job.on_again(task))
            doing.lost(worker)
            heir = next(names)
            doing.held[heir] = []
            doing.job.on_joined(heir)
            doing.ready(heir)
        in_hand = [task for held in doing.held.values() for task in held]
        assert len(in_hand) == len(set(in_hand)), "no task is in two places"
        assert not set(in_hand) & set(done), "no task that has ended is done again"
    assert sorted(done) == list(range(count))
    assert doing.given_up == []
