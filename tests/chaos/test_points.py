"""Whoever dies, at whatever point of a grid's life: nothing hangs, nothing is left, each call is answered once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.chaos.telling import check_borrowed, check_steps, tell

from softgrid._chaos.injector import find
from softgrid._chaos.points import AFTER, BEFORE, ORCHESTRATOR, POINTS, WHO

pytestmark = pytest.mark.system


def test_there_are_as_many_points_as_promised_and_each_is_a_place_in_the_code() -> None:
    assert len(POINTS) >= 40
    for point in POINTS.values():
        assert callable(find(point.module, point.function)[2]), point
        assert point.who in WHO
        assert point.when in (BEFORE, AFTER)


def test_a_story_without_faults_is_told_to_its_end(tmp_path: Path) -> None:
    told = tell(tmp_path, None)
    assert told.status == 0, told.output
    check_steps(told)
    check_borrowed(told)


@pytest.mark.parametrize("name", POINTS)
def test_a_process_that_dies_at_a_point(tmp_path: Path, name: str) -> None:
    told = tell(tmp_path, f"kill={name}")
    assert told.killed is not None, "nobody passed the point"
    assert told.killed.startswith(name)
    assert told.status == (-signal.SIGKILL if POINTS[name].who == ORCHESTRATOR else 0), told.output
    check_steps(told)
    if told.status == 0:
        check_borrowed(told)
