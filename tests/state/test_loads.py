"""Who has least to do: what is one's own counts, what others are told to have counts for a while."""

from __future__ import annotations

from collections import Counter

from softgrid._state.loads import BELIEVED_S, Loads

NOW = 1000.0


class Knowing:
    def __init__(self, **own: int) -> None:
        self.loads = Loads()
        self.own = Counter({int(worker[1:]): load for worker, load in own.items()})

    def sorted(self, *workers: int, now: float = NOW) -> list[int]:
        return self.loads.sorted(workers, self.own.__getitem__, now)

    def choose(self, *workers: int, now: float = NOW) -> int:
        return self.loads.choose(workers, self.own.__getitem__, now)


def test_who_has_least_of_ones_own_to_do_comes_first() -> None:
    knowing = Knowing(w1=3, w2=1, w3=2)
    assert knowing.sorted(1, 2, 3) == [2, 3, 1]
    assert knowing.choose(1, 2, 3) == 2
    assert knowing.choose(1, 3) == 3


def test_equals_keep_their_order_until_one_is_chosen() -> None:
    assert Knowing().sorted(3, 1, 2) == [3, 1, 2]


def test_of_equals_each_is_chosen_in_turn() -> None:
    knowing = Knowing()
    assert [knowing.choose(1, 2, 3) for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]


def test_what_others_give_a_worker_to_do_counts_for_a_while() -> None:
    knowing = Knowing(w1=1)
    knowing.loads.on_told(2, total=5, own=2, now=NOW)
    assert knowing.loads.of_others(2, NOW) == 3
    assert knowing.sorted(1, 2) == [1, 2]
    assert knowing.sorted(1, 2, now=NOW + BELIEVED_S) == [2, 1]


def test_ones_own_work_is_not_counted_twice() -> None:
    knowing = Knowing(w1=2)
    knowing.loads.on_told(1, total=2, own=2, now=NOW)
    assert knowing.loads.of_others(1, NOW) == 0


def test_an_answer_that_is_older_than_ones_own_calls_counts_as_nothing() -> None:
    knowing = Knowing()
    knowing.loads.on_told(1, total=1, own=4, now=NOW)
    assert knowing.loads.of_others(1, NOW) == 0


def test_of_the_gone_nothing_is_kept() -> None:
    knowing = Knowing()
    knowing.loads.on_told(1, total=9, own=0, now=NOW)
    knowing.choose(1)
    knowing.loads.on_gone({1, 7})
    assert knowing.loads.of_others(1, NOW) == 0
    assert not vars(knowing.loads)["_told"]
    assert not vars(knowing.loads)["_chosen"]


def test_of_nobody_there_is_no_order() -> None:
    assert Knowing().sorted() == []
