"""Refusals at the door: every source is heard of, and none fills the log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._state.refusals import MAX_SOURCES, OTHERS, Refusals


def test_the_first_of_each_source_is_told_at_once_and_the_others_are_counted() -> None:
    refusals = Refusals()
    assert refusals.is_empty
    assert refusals.note("a", "no tls") == "a connection from a was refused: no tls"
    assert refusals.note("b", "late") == "a connection from b was refused: late"
    assert [refusals.note("a", f"reason {number}") for number in range(3)] == [None] * 3
    assert not refusals.is_empty
    assert refusals.take_summary() == ["3 more connections from a were refused, the last one: reason 2"]
    assert refusals.is_empty


def test_after_a_summary_the_next_is_a_first_one_again() -> None:
    refusals = Refusals()
    refusals.note("a", "late")
    assert refusals.take_summary() == []
    assert refusals.note("a", "late") is not None


@PROPERTY
@given(st.lists(st.integers(0, 10 * MAX_SOURCES), max_size=2000))
def test_what_is_said_is_bounded_and_everybody_is_counted(sources: list[int]) -> None:
    refusals = Refusals()
    said = [refusals.note(str(source), "late") for source in sources]
    firsts = [text for text in said if text is not None]
    summary = refusals.take_summary()
    assert len(firsts) <= MAX_SOURCES + 1
    assert len(summary) <= MAX_SOURCES + 1
    assert len(firsts) + sum(int(text.split()[0]) for text in summary) == len(sources)
    assert sum(OTHERS in text for text in firsts) <= 1
