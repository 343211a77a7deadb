"""Medians, relations to the floor and verdicts, from made-up rounds."""

import pytest
from benchmarks.plan import Goal, Metric
from benchmarks.runner import Run
from benchmarks.summary import relate, row, takes_part

RATIO = Metric("us", "p50", "us", Goal(2.5, "ratio"))
MORE = Metric("us", "calls", "1/s", Goal(2, "ratio", "futures", at_most=False))
EXTRA = Metric("us", "wall", "ms", Goal(60, "extra"), beside="extra")
VALUE = Metric("us", "launch", "s", Goal(2.5), beside="value")


def runs(*figures):
    return [Run({"us": f}) if f is not None else Run(reason="it broke") for f in figures]


def test_a_row_gives_the_median_the_ends_and_how_many_rounds():
    got = row(RATIO, "ray", {"floor": runs(1, 1, 1), "ray": runs(30, 10, 20)})
    assert (got.value, got.low, got.high, got.count) == (20, 10, 30, 3)


def test_a_ratio_is_taken_round_by_round_so_that_drift_of_the_machine_cancels():
    drifting = {"floor": runs(10, 20, 40), "softgrid": runs(20, 40, 80)}
    assert row(RATIO, "softgrid", drifting).beside == 2


def test_a_round_without_both_figures_is_left_out_of_the_ratio():
    some = {"floor": runs(10, None, 10), "softgrid": runs(20, 999, None)}
    assert relate(RATIO, "ratio", "softgrid", "floor", some) == 2


def test_a_difference_is_against_the_floor_of_the_same_round():
    got = row(EXTRA, "softgrid", {"floor": runs(10, 100), "softgrid": runs(40, 130)})
    assert got.beside == 30
    assert got.verdict.met


@pytest.mark.parametrize(("ours", "met"), [(25, True), (26, False)])
def test_a_goal_of_at_most_is_met_up_to_its_bound(ours, met):
    assert row(RATIO, "softgrid", {"floor": runs(10), "softgrid": runs(ours)}).verdict.met is met


@pytest.mark.parametrize(("ours", "met"), [(20, True), (19, False)])
def test_a_goal_of_at_least_is_against_its_own_base(ours, met):
    got = row(MORE, "softgrid", {"floor": runs(500), "futures": runs(10), "softgrid": runs(ours)})
    assert got.verdict.met is met
    assert got.verdict.value == ours / 10


def test_a_goal_on_the_figure_itself_needs_no_floor():
    got = row(VALUE, "softgrid", {"softgrid": runs(3.0)})
    assert got.verdict.met is False
    assert got.beside is None


def test_a_goal_without_anything_to_compare_with_has_no_verdict():
    assert row(RATIO, "softgrid", {"floor": runs(None), "softgrid": runs(3)}).verdict is None


def test_only_softgrid_is_judged():
    assert row(RATIO, "ray", {"floor": runs(1), "ray": runs(1)}).verdict is None


def test_a_taker_held_on_one_core_is_set_against_the_floor_held_likewise():
    both = {"floor": runs(1), "floor-one-core": runs(10), "softgrid-one-core": runs(20)}
    got = row(RATIO, "softgrid-one-core", both)
    assert got.beside == 2
    assert got.verdict is None  # the goal is for processes that the system places as it likes


def test_a_taker_that_never_gave_a_figure_is_a_row_that_says_why():
    got = row(RATIO, "ray", {"floor": runs(1, 1), "ray": runs(None, None)})
    assert (got.value, got.count, got.note) == (None, 0, "it broke")


def test_failures_beside_figures_are_told_with_their_number():
    got = row(RATIO, "ray", {"floor": runs(1, 1, 1), "ray": runs(5, None, 5)})
    assert (got.count, got.note) == (2, "1 of 3 runs failed: it broke")


def test_processes_left_behind_are_told():
    left = [Run({"us": 1.0}, left=3)]
    assert "3 processes outlived" in row(RATIO, "ray", {"floor": runs(1), "ray": left}).note


def test_a_remark_that_every_round_makes_is_told_once():
    said = [Run({"us": 1.0, "note": "16 workers"})] * 3
    assert row(RATIO, "ray", {"floor": runs(1), "ray": said}).note == "16 workers"


def test_a_taker_without_that_figure_takes_no_part_in_it_unless_it_failed():
    assert takes_part(RATIO, runs(1.0))
    assert not takes_part(RATIO, [Run({"other": 1.0})])
    assert takes_part(RATIO, runs(None, None))
