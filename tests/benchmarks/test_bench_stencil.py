"""METG: the pattern, its check, and the point at which half of the best rate is left."""

import pytest
from benchmarks.stencil import Point

from benchmarks import stencil


def with_overhead(overhead, granularities):
    """Points of an executor that spends a fixed time on each task."""
    return [Point(each, 1 - overhead / each) for each in granularities]


@pytest.mark.parametrize("overhead", [0.05, 0.3, 1.0])
def test_a_fixed_cost_per_task_gives_twice_that_cost(overhead):
    points = with_overhead(overhead, [overhead * 1.2 * 2**n for n in range(8, -1, -1)])
    assert stencil.at_half(points) == pytest.approx(2 * overhead)


def test_it_is_the_smallest_granularity_with_half_of_the_rate_whatever_disturbed_larger_ones():
    points = [Point(100, 1.0), Point(50, 0.3), Point(25, 0.9), Point(12, 0.6), Point(6, 0.2)]
    assert 6 < stencil.at_half(points) < 12


def test_without_a_point_below_half_nothing_is_claimed():
    with pytest.raises(RuntimeError, match="no granularity"):
        stencil.at_half([Point(2, 1.0), Point(1, 0.8)])


@pytest.mark.parametrize("overhead", [30e-6, 1e-3, 40e-3])
def test_sizes_are_looked_through_in_both_directions_until_half_is_between_two(overhead):
    measured = []

    def measure(iterations, steps):
        measured.append(iterations)
        kernel = iterations / 1e6
        return Point(kernel + overhead, kernel / (kernel + overhead))

    points = stencil.scan(measure, 1e6)
    assert points == sorted(points, reverse=True)
    assert points[0].efficiency >= 0.5 > points[-1].efficiency
    assert stencil.at_half(points) == pytest.approx(2 * overhead, rel=0.05)
    assert len(measured) <= 12


@pytest.mark.system
def test_bare_processes_compute_what_they_are_told_and_end():
    with stencil.bare_processes() as unhindered:
        assert unhindered(3, 1000) > 0


def test_what_a_task_gives_depends_on_all_that_it_was_given_and_not_on_how_long_it_computes():
    given = stencil.task(3, 1, (1, 2), 0)
    assert given == stencil.task(3, 1, (1, 2), 500)
    others = [stencil.task(4, 1, (1, 2), 0), stencil.task(3, 0, (1, 2), 0), stencil.task(3, 1, (1, 3), 0)]
    assert given not in [*others, stencil.task(3, 1, (2, 1), 0), stencil.task(3, 1, (1,), 0)]


def test_each_point_needs_its_neighbours_and_itself(monkeypatch):
    monkeypatch.setattr(stencil, "POINTS", 4)
    assert stencil.inputs_of("abcd") == [["a", "b"], ["a", "b", "c"], ["b", "c", "d"], ["c", "d"]]


def test_who_loses_a_dependency_is_refused():
    def forgetful(step, inputs, iterations):
        return [stencil.task(step, point, (0, 0), iterations) for point in range(stencil.POINTS)]

    point = stencil.point_of(stencil.run_here, lambda steps, iterations: 1.0, 10, 5)
    assert point.granularity_s > 0
    assert point.efficiency > 0
    with pytest.raises(RuntimeError, match="5 steps gave"):
        stencil.point_of(stencil.waiting(forgetful), lambda steps, iterations: 1.0, 10, 5)
