"""Heirs: every asker is told once, as soon as it is decided, of the last in the line."""

from __future__ import annotations

import pytest

from softgrid._model.errors import Refused
from softgrid._state.heirs import KEPT, MAX_ASKERS, Decided, Heirs


def test_who_asks_before_it_is_decided_is_told_then_and_once() -> None:
    heirs: Heirs[str] = Heirs()
    heirs.on_lost(["a"])
    assert heirs.is_pending("a")
    assert heirs.find("a") is None
    heirs.await_decision("a", "first")
    heirs.await_decision("a", "second")
    assert heirs.decide("a", "b") == ["first", "second"]
    assert heirs.decide("a", "b") == []
    assert not heirs.is_pending("a")


def test_the_heir_of_an_heir_is_found_and_so_is_the_end_of_a_line() -> None:
    heirs: Heirs[str] = Heirs()
    heirs.decide("a", "b")
    heirs.decide("b", "c")
    assert heirs.find("a") == heirs.find("b") == Decided("c")
    assert heirs.find("c") is None
    heirs.decide("c", None)
    assert heirs.find("a") == heirs.find("c") == Decided(None)


def test_who_gives_up_is_not_told() -> None:
    heirs: Heirs[str] = Heirs()
    heirs.await_decision("a", "asker")
    assert heirs.give_up("a", "asker")
    assert not heirs.give_up("a", "asker")
    assert heirs.decide("a", None) == []
    assert not heirs.give_up("a", "asker")


def test_no_more_than_so_many_wait_and_no_more_than_so_many_are_remembered() -> None:
    heirs: Heirs[int] = Heirs()
    for number in range(MAX_ASKERS):
        heirs.await_decision("a", number)
    with pytest.raises(Refused, match="have asked for the heir of a already"):
        heirs.await_decision("a", 0)
    for number in range(KEPT + 1):
        heirs.decide(f"n{number}", None)
    assert heirs.find("n0") is None
    assert heirs.find("n1") == Decided(None)
