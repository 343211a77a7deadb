"""Offences: the first is told, the tenth is enough, others are not concerned."""

from __future__ import annotations

from softgrid._state.offences import ENOUGH, KEPT, Offences


def test_the_first_is_told_and_the_last_is_enough() -> None:
    offences = Offences()
    verdicts = [offences.note("w1", f"lie {number}") for number in range(ENOUGH + 2)]
    assert [number for number, each in enumerate(verdicts) if each.is_first] == [0]
    assert [number for number, each in enumerate(verdicts) if each.is_enough] == [ENOUGH - 1]
    assert offences.is_out("w1")
    assert offences.account("w1").endswith("the first lie 0")
    assert not offences.is_out("w2")


def test_who_is_no_more_is_forgotten() -> None:
    offences = Offences()
    for _ in range(ENOUGH):
        offences.note("w1", "a lie")
    offences.forget("w1")
    offences.forget("w2")
    assert not offences.is_out("w1")
    assert offences.note("w1", "another").is_first


def test_so_many_are_known_and_no_more() -> None:
    offences = Offences()
    for number in range(KEPT + 5):
        offences.note(f"w{number}", "a lie")
    assert len(offences._counts) == len(offences._first) == KEPT
    assert offences.note("w0", "a lie").is_first
