"""Waits: each thread gets one thing under each of its tokens, and whoever came first is served first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import SoftgridError
from softgrid._state.waits import Lines, Wait

P, Q = b"p", b"q"


class Waiting:
    """Counts how often it was woken."""

    def __init__(self, *tokens: bytes) -> None:
        self.woken = 0
        self.wait: Wait[str] = Wait(tokens, self._wake)

    def _wake(self) -> None:
        self.woken += 1


def test_a_wait_is_woken_once_when_nothing_is_missing_any_more() -> None:
    waiting = Waiting(P, Q)
    waiting.wait.give(Q, "2")
    assert (waiting.woken, waiting.wait.missing) == (0, {P})
    error = SoftgridError("never")
    waiting.wait.give(P, error)
    assert (waiting.woken, waiting.wait.missing, waiting.wait.got) == (1, set(), {P: error, Q: "2"})


def test_who_came_first_is_taken_first() -> None:
    lines: Lines[str] = Lines()
    first, second = Waiting(P).wait, Waiting(P).wait
    lines.join(P, first)
    lines.join(P, second)
    assert lines.take_first(Q) is None
    assert lines.take_first(P) is first
    assert P in lines
    assert lines.take_first(P) is second
    assert P not in lines
    assert lines.take_first(P) is None


def test_one_may_leave_from_the_middle_and_leaving_twice_is_harmless() -> None:
    lines: Lines[str] = Lines()
    first, second, third = Waiting(P).wait, Waiting(P).wait, Waiting(P).wait
    for wait in (first, second, third):
        lines.join(P, wait)
    for _ in range(2):
        lines.leave(P, second)
    lines.leave(Q, second)
    assert lines.take_first(P) is first
    assert lines.take_first(P) is third
    assert Q not in lines


def test_all_in_a_line_can_be_given_the_same() -> None:
    lines: Lines[str] = Lines()
    waiting = [Waiting(P), Waiting(P, Q)]
    for each in waiting:
        lines.join(P, each.wait)
    error = SoftgridError("never")
    assert lines.give_all(P, error)
    assert [each.wait.got for each in waiting] == [{P: error}, {P: error}]
    assert [each.woken for each in waiting] == [1, 0]
    assert not lines.give_all(P, error)


@PROPERTY
@given(st.lists(st.sampled_from(["join", "take", "leave"]), max_size=40))
def test_a_line_is_first_in_first_out_whoever_leaves(steps: list[str]) -> None:
    lines: Lines[str] = Lines()
    model: list[Wait[str]] = []
    for step in steps:
        if step == "join":
            model.append(Waiting(P).wait)
            lines.join(P, model[-1])
        elif step == "take":
            assert lines.take_first(P) is (model.pop(0) if model else None)
        elif model:
            lines.leave(P, model.pop(len(model) // 2))
        assert (P in lines) == bool(model)
