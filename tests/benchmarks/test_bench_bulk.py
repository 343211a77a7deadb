"""Arrays beside copies of them: what is measured, and that nobody gets a figure for a wrong answer."""

import numpy as np
import pytest

from benchmarks import bulk


def here(function, array):
    return function(array.copy())


def test_every_figure_is_there_and_none_of_the_relayed_where_nobody_relays():
    metrics = bulk.beside_copy(1, here)
    assert {"sum_x", "echo_x", "write_x", "first_x", "copy_ms", "into_ms"} <= set(metrics)
    assert "sum_relayed_x" not in metrics
    assert all(value > 0 for key, value in metrics.items() if key != "note")


def test_a_longer_way_is_set_against_the_shorter():
    metrics = bulk.beside_copy(1, here, lambda function, array: here(function, here(bulk.echo, array)))
    assert metrics["sum_relayed_x"] > 0
    assert metrics["echo_relayed_x"] > 0


def test_who_answers_from_a_cache_is_refused():
    cache = {}

    def remembering(function, array):
        return cache.setdefault((function, len(array)), here(function, array))

    with pytest.raises(RuntimeError, match="instead of"):
        bulk.beside_copy(1, remembering)


def test_who_writes_into_the_sender_s_array_is_refused():
    with pytest.raises(RuntimeError, match="write gave"):
        bulk.beside_copy(1, lambda function, array: function(array))


def test_a_read_only_array_is_copied_before_it_is_written_to():
    array = np.zeros(4)
    array.flags.writeable = False
    assert bulk.write(array) == 1
    assert array.sum() == 0


def test_a_broadcast_tells_time_and_memory_against_the_array():
    used = iter([100.0, 100.0 + 3 * bulk.MEGABYTE / 2**20])
    metrics = bulk.broadcast_beside_copy(
        1, 3, lambda function, array: [function(array) for _ in range(3)], lambda: next(used)
    )
    assert metrics["memory_x"] == pytest.approx(3, rel=1e-3)
    assert metrics["hold_x"] > 0
    assert bulk._held is None, "what was held is let go of"


def test_a_broadcast_that_does_not_reach_all_is_refused():
    with pytest.raises(RuntimeError, match="3 workers hold"):
        bulk.broadcast_beside_copy(1, 3, lambda function, array: [function(array)] * 2, lambda: 0.0)
