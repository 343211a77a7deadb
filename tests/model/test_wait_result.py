"""WaitResult: a dictionary that also says why something did not come, and can travel."""

from __future__ import annotations

import copy
import pickle

import pytest

from softgrid.Collections import SoftgridStatus, WaitResult


def a_result() -> WaitResult:
    result = WaitResult()
    result["came"] = {"request": 1}
    result["late"] = None
    result.failed["late"] = SoftgridStatus(False, error="too late")
    return result


def test_is_a_dictionary_by_password() -> None:
    assert dict(a_result()) == {"came": {"request": 1}, "late": None}
    assert a_result() == {"came": {"request": 1}, "late": None}
    assert WaitResult() == {}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_travels_with_its_reasons(protocol: int) -> None:
    arrived = pickle.loads(pickle.dumps(a_result(), protocol))
    assert arrived == a_result()
    assert arrived.failed["late"].error == "too late"


def test_two_results_share_nothing() -> None:
    assert a_result().failed is not copy.copy(WaitResult()).failed
    assert WaitResult().failed == {}
