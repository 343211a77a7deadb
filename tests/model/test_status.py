"""SoftgridStatus: true or false, readable, and the same after a trip."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from softgrid._model.status import SoftgridStatus


@pytest.mark.parametrize("successful", [True, False])
def test_its_truth_is_its_success(successful: bool) -> None:
    assert bool(SoftgridStatus(successful)) is successful


def test_it_is_successful_and_says_nothing_unless_told_otherwise() -> None:
    status = SoftgridStatus()
    fields = (status.message, status.error, status.data, status.name, status.exception)
    assert status
    assert fields == (None,) * 5


@pytest.mark.parametrize(("given", "kept"), [(1, True), (0, False), ("yes", True), (None, False)])
def test_success_is_kept_as_a_boolean(given: Any, kept: bool) -> None:
    assert SoftgridStatus(given).successful is kept


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "succeeded"),
        ({"message": "object added"}, "succeeded: object added"),
        ({"message": "done", "error": "unused"}, "succeeded: done"),
        ({"message": "done", "name": "W"}, "W: succeeded: done"),
        ({"successful": False}, "failed"),
        ({"successful": False, "error": "no way"}, "failed: no way"),
        ({"successful": False, "message": "why"}, "failed: why"),
        ({"successful": False, "message": "what", "error": "why"}, "failed: why"),
    ],
)
def test_it_reads_as_a_sentence(fields: dict[str, Any], text: str) -> None:
    assert str(SoftgridStatus(**fields)) == text


def test_its_repr_shows_what_is_set_and_only_the_type_of_data() -> None:
    status = SoftgridStatus(False, "m", "e", data={"password": "secret"}, name="W")
    assert repr(status) == ("SoftgridStatus(successful=False, name='W', message='m', error='e', data=<dict>)")
    assert repr(SoftgridStatus()) == "SoftgridStatus(successful=True)"


def test_its_repr_cuts_long_texts() -> None:
    text = repr(SoftgridStatus(False, error="x" * 1000))
    assert len(text) < 300
    assert "…" in text


def test_it_travels_with_everything_it_holds() -> None:
    status = SoftgridStatus(False, "m", "e", [1, 2], "W", ValueError("v"))
    back = pickle.loads(pickle.dumps(status))
    assert (back.successful, back.message, back.error) == (False, "m", "e")
    assert (back.data, back.name, type(back.exception)) == ([1, 2], "W", ValueError)


def test_it_takes_no_attributes_that_it_does_not_have() -> None:
    with pytest.raises(AttributeError):
        SoftgridStatus().sucessful = False  # type: ignore[attr-defined]
