"""Figures and tables as text."""

import pytest
from benchmarks.plan import Goal, Metric
from benchmarks.summary import Row, Verdict
from benchmarks.table import aligned, figure, metric_table, verdict_cells


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (0.01234, "0.0123"),
        (2.345, "2.35"),
        (17.26, "17.3"),
        (432.4, "432"),
        (20000, "20,000"),
        (-3.21, "-3.21"),
    ],
)
def test_a_figure_has_about_three_digits(value, text):
    assert figure(value) == text


def test_columns_are_padded_to_the_same_width_and_numbers_stand_right():
    assert aligned([["", "n", "note"], ["softgrid", "12345", "x"]]) == (
        "|          |     n | note |\n| -------- | ----: | ---- |\n| softgrid | 12345 | x    |"
    )


def test_a_goal_reads_as_it_is_judged():
    ratio = Goal(2, "ratio", "futures", at_most=False)
    assert verdict_cells(Verdict(ratio, 3.1, True), "1/s") == (">= 2 x futures", "yes (3.10)")
    assert verdict_cells(Verdict(Goal(2.5), 3.0, False), "s") == ("<= 2.5 s", "NO (3.00)")
    extra = Goal(60, "extra")
    assert verdict_cells(Verdict(extra, 50, True), "ms") == ("<= 60 ms over floor", "yes (50.0)")


def test_a_metric_without_a_relation_has_no_column_for_it():
    rows = [Row("softgrid", 1, 1.0, 1.0, 1.0)]
    assert "x floor" in metric_table(Metric("k", "p50", "us"), rows)
    without = metric_table(Metric("k", "p50", "us", beside="value"), rows)
    assert "floor" not in without
    assert len({line.count("|") for line in without.splitlines()}) == 1


def test_a_reason_with_bars_and_line_breaks_cannot_break_the_table():
    broken = metric_table(Metric("k", "p50", "us"), [Row("ray", 0, note="a|b\nc")])
    assert "a/b c" in broken
    assert len(broken.splitlines()) == 3
