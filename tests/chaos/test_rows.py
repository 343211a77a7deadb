"""The rows of the matrix that are quick: their invariants. How fast, only ``make chaos`` measures."""

from __future__ import annotations

import pytest
from tests.chaos.one import CANNOT, KEPT
from tests.chaos.row import ROWS
from tests.chaos.rows import load
from tests.chaos.runner import run_once

pytestmark = pytest.mark.system

load()
BY_TESTS = {"N11", "S5", "D2", "X4", "X6"}
"""These run tests that run anyway."""


def test_every_row_of_the_reference_is_there() -> None:
    counts = {"K": 12, "P": 8, "N": 11, "S": 5, "R": 3, "M": 6, "D": 4, "L": 3, "C": 3, "X": 9, "G": 5}
    assert set(ROWS) == {f"{letter}{number}" for letter, count in counts.items() for number in range(1, count + 1)}


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.is_quick and name not in BY_TESTS])
def test_what_must_hold_holds(name: str) -> None:
    outcome = run_once(name, seed=7, is_quick=True)
    if outcome.verdict == CANNOT:
        pytest.skip(f"{outcome.verdict}: {outcome.reason}")
    assert outcome.verdict == KEPT, outcome
