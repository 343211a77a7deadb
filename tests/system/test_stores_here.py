"""What an executor keeps for its own user: objects, data and functions, had, popped, replaced, missed."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.system.grids import Grid

pytestmark = pytest.mark.system


class Kept(NamedTuple):
    """One kind of things, by its three methods, and two things of that kind."""

    add: Any
    get: Any
    pop: Any
    one: Any
    other: Any


@pytest.fixture(params=["object", "data", "udf"])
def kept(grid: Grid, request: pytest.FixtureRequest) -> Iterator[Kept]:
    O = grid.O  # noqa: E741
    kinds = {
        "object": Kept(
            lambda name, value, **options: O.add_object(name, pickle.dumps(value), **options),
            O.get_object,
            O.pop_object,
            {"a": [1]},
            {"b": 2},
        ),
        "data": Kept(O.add_data, O.get_data, O.pop_data, {"a": [1]}, {"b": 2}),
        "udf": Kept(
            lambda name, value, **options: O.add_udf(name, value, False, **options), O.get_udf, O.pop_udf, abs, len
        ),
    }
    kind = kinds[request.param]
    yield kind
    kind.pop("kept")


def test_what_is_kept_is_had_until_it_is_popped(kept: Kept) -> None:
    status = kept.add("kept", kept.one)
    assert (bool(status), status.name) == (True, "kept")
    assert kept.get("kept") == kept.get("kept") == kept.one
    assert kept.pop("kept") == kept.one
    status = kept.get("kept")
    assert not status
    assert "'kept'" in status.error


def test_what_is_not_there_is_the_default_unless_it_must_exist(kept: Kept) -> None:
    assert kept.pop("kept") is None
    assert kept.pop("kept", default=5) == kept.get("kept", default=5, mustExist=False) == 5
    for status in (kept.get("kept", default=5), kept.pop("kept", default=5, mustExist=True)):
        assert not status
        assert "'kept'" in status.error


def test_a_name_that_is_taken_stays_unless_it_may_be_replaced(kept: Kept) -> None:
    assert kept.add("kept", kept.one)
    status = kept.add("kept", kept.other, replace=False)
    assert not status
    assert "replace=True" in status.error
    assert kept.get("kept") == kept.one
    assert kept.add("kept", kept.other)
    assert kept.get("kept") == kept.other


def test_a_serialised_object_is_what_add_object_takes(grid: Grid) -> None:
    assert grid.O.add_object("kept", pickle.dumps([1, 2]))
    serialized = grid.O.pop_object("kept", serialize=True)
    assert grid.O.add_object("kept", serialized)
    assert grid.O.pop_object("kept") == [1, 2]
