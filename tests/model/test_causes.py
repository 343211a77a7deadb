"""Causes: the first line says what it was, the output comes after it and is bounded."""

from __future__ import annotations

from softgrid._model.causes import MAX_LINE, MAX_OUTPUT, headline, remarked, with_output


def test_without_output_a_cause_is_one_line() -> None:
    assert with_output("killed", []) == "killed"
    assert headline("killed") == "killed"
    assert remarked("killed", "; it may have run") == "killed; it may have run"


def test_the_output_comes_after_the_cause_and_remarks_before_it() -> None:
    cause = with_output("killed", ["one", "two"])
    assert cause == "killed\nits last output:\n    one\n    two"
    assert headline(cause) == "killed"
    assert remarked(cause, "!") == "killed!\nits last output:\n    one\n    two"


def test_long_lines_are_cut_and_of_much_output_the_end_is_kept() -> None:
    lines = [f"{index} " + "x" * 10_000 for index in range(20)]
    cause = with_output("killed", lines)
    shown = cause.split("\n")[2:]
    assert len(cause) < MAX_OUTPUT + 200
    assert all(len(line) <= MAX_LINE + 4 for line in shown)
    assert [int(line.split()[0]) for line in shown] == list(range(10, 20))
