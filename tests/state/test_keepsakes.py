"""Keepsakes: what was given last under each name, in its order, once for many, and never more than the bound."""

from __future__ import annotations

import random

import pytest

from softgrid._state.keepsakes import Keepsakes, Label

A, B, OBJECT_A = Label("data", "a"), Label("data", "b"), Label("object", "a")


def keeping(limit: int | None = 100) -> Keepsakes[str]:
    return Keepsakes(limit)


def test_an_heir_gets_everything_in_the_order_in_which_it_was_given() -> None:
    keepsakes = keeping()
    for label, call in ((A, "one"), (B, "two"), (OBJECT_A, "three")):
        assert keepsakes.on_given(["w"], label, call, 1) == []
    assert keepsakes.on_heir("w", "heir") == ["one", "two", "three"]
    assert keepsakes.on_heir("w", "other") == [], "it has its heir"
    assert keepsakes.on_heir("heir", "next") == ["one", "two", "three"]
    keepsakes.check_invariants()


def test_of_one_name_the_last_counts_and_comes_last() -> None:
    keepsakes = keeping()
    for label, call in ((A, "old"), (B, "two"), (A, "new")):
        keepsakes.on_given(["w"], label, call, 10)
    assert keepsakes.size == 20
    assert keepsakes.on_heir("w", "heir") == ["two", "new"]


def test_what_many_were_given_counts_once_until_the_last_of_them_has_it_no_more() -> None:
    keepsakes = keeping()
    keepsakes.on_given(["w1", "w2", "w1"], A, "call", 60)
    assert (keepsakes.size, len(keepsakes)) == (60, 1)
    keepsakes.on_taken("w1", A)
    keepsakes.on_taken("w1", A)
    keepsakes.on_taken("w3", A)
    assert keepsakes.on_heir("w1", "h1") == []
    assert keepsakes.size == 60
    assert keepsakes.on_heir("w2", "h2") == ["call"]
    keepsakes.forget("h2")
    keepsakes.forget("h2")
    assert (keepsakes.size, len(keepsakes)) == (0, 0)
    keepsakes.check_invariants()


def test_the_oldest_is_forgotten_first_and_that_is_told() -> None:
    keepsakes = keeping()
    keepsakes.on_given(["w1", "w2"], A, "one", 50)
    keepsakes.on_given(["w1"], B, "two", 50)
    assert keepsakes.on_given(["w2"], B, "three", 50) == [A]
    assert keepsakes.on_heir("w1", "h1") == ["two"]
    assert keepsakes.on_heir("w2", "h2") == ["three"]
    keepsakes.check_invariants()


def test_what_is_larger_than_the_bound_is_not_remembered_and_replaces_what_was() -> None:
    keepsakes = keeping()
    keepsakes.on_given(["w"], A, "small", 50)
    assert keepsakes.on_given(["w"], A, "large", 101) == [A]
    assert keepsakes.on_heir("w", "heir") == []
    assert keepsakes.size == 0


@pytest.mark.parametrize(("limit", "remembered"), [(None, 1000), (0, 0)])
def test_there_may_be_no_bound_or_nothing_at_all(limit: int | None, remembered: int) -> None:
    keepsakes = keeping(limit)
    for number in range(1000):
        keepsakes.on_given(["w"], Label("data", str(number)), "call", 1000)
    assert len(keepsakes) == remembered


def test_nobody_is_given_nothing() -> None:
    keepsakes = keeping()
    assert keepsakes.on_given([], A, "call", 10) == []
    assert (keepsakes.size, len(keepsakes)) == (0, 0)


def test_whatever_happens_it_does_not_contradict_itself() -> None:
    luck = random.Random(6)
    keepsakes = keeping()
    names = [f"w{number}" for number in range(5)]
    for step in range(5000):
        label = Label(luck.choice(["data", "object"]), luck.choice("abc"))
        luck.choice(
            [
                lambda label=label, step=step: keepsakes.on_given(
                    luck.sample(names, luck.randint(0, 5)), label, str(step), luck.randint(0, 40)
                ),
                lambda label=label: keepsakes.on_taken(luck.choice(names), label),
                lambda: keepsakes.on_heir(*luck.sample(names, 2)),
                lambda: keepsakes.forget(luck.choice(names)),
            ]
        )()
        keepsakes.check_invariants()
        assert keepsakes.size <= 100
