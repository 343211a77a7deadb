"""Feeding: every batch is answered once, whoever is free gets the next, failures move on."""

from __future__ import annotations

import threading

import pytest

from softgrid._cli.feed import Feed, NoWorkerLeft


def test_every_batch_is_answered_once() -> None:
    feed = Feed(lambda worker, batch: batch * batch, ["a", "b", "c"], range(50))
    assert sorted(answer for _, answer in feed) == [number**2 for number in range(50)]


def test_no_batches_need_no_worker() -> None:
    assert list(Feed(lambda worker, batch: batch, [], [])) == []


def test_a_free_worker_gets_what_a_busy_one_would_have_got() -> None:
    others_are_done = threading.Event()

    def call(worker: str, batch: int) -> int:
        if batch == 0:
            assert others_are_done.wait(30)
        elif batch == 9:
            others_are_done.set()
        return batch

    answers = list(Feed(call, ["a", "b"], range(10)))
    slow = answers[-1][0]
    assert answers[-1] == (slow, 0)
    assert {worker for worker, _ in answers[:-1]} == {"a", "b"} - {slow}


def test_a_batch_whose_worker_failed_goes_to_another() -> None:
    def call(worker: str, batch: int) -> int:
        if worker == "broken":
            raise ConnectionError("gone")
        return batch

    answers = list(Feed(call, ["broken", "sound"], range(20)))
    assert sorted(batch for _, batch in answers) == list(range(20))
    assert {worker for worker, _ in answers} == {"sound"}


def test_a_batch_that_fails_last_still_finds_the_idle_worker() -> None:
    sound_is_idle = threading.Event()

    def call(worker: str, batch: int) -> int:
        if worker == "broken":
            assert sound_is_idle.wait(30)
            raise ConnectionError("gone")
        return batch

    collected = []
    for worker, batch in Feed(call, ["broken", "sound"], [1, 2]):
        collected.append((worker, batch))
        sound_is_idle.set()
    assert sorted(collected) == [("sound", 1), ("sound", 2)]


def test_when_every_worker_failed_the_last_reason_is_told() -> None:
    def call(worker: str, batch: int) -> int:
        raise ConnectionError(f"{worker} is gone")

    with pytest.raises(NoWorkerLeft, match=r"2 of 2 batches are left.*is gone"):
        list(Feed(call, ["a", "b"], [1, 2]))


def test_whoever_stops_iterating_lets_the_threads_go() -> None:
    before = set(threading.enumerate())
    answers = iter(Feed(lambda worker, batch: batch, ["a", "b"], range(100)))
    next(answers)
    started = set(threading.enumerate()) - before
    answers.close()  # type: ignore[attr-defined]
    for thread in started:
        thread.join(30)
        assert not thread.is_alive()
