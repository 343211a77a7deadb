"""Statistics: a frozen record that reads back, also what a newer executor sends."""

from __future__ import annotations

import pytest

from softgrid._node.statistics import Statistics

FIELDS = {name: index for index, name in enumerate(Statistics._fields)}


def test_it_reads_back() -> None:
    one = Statistics(**FIELDS)  # type: ignore[arg-type]
    assert Statistics.from_dict(one.as_dict()) == one


def test_what_a_newer_executor_adds_is_ignored() -> None:
    assert Statistics.from_dict({**FIELDS, "news": 1}).as_dict() == FIELDS


def test_nobody_changes_it() -> None:
    with pytest.raises(AttributeError):
        Statistics(**FIELDS).name = "x"  # type: ignore[arg-type,misc]
