"""How a process ended, in words; the rest of its life is tested with real ones."""

from __future__ import annotations

import pytest

from softgrid._io.process import cause_of_death


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        (0, None, "exited with code 0"),
        (3, None, "exited with code 3"),
        (None, 9, "killed by signal 9 (SIGKILL)"),
        (None, 15, "killed by signal 15 (SIGTERM)"),
        (None, 63 + 64, "killed by signal 127"),
    ],
)
def test_the_cause_of_death_is_told_in_words(code: int | None, number: int | None, words: str) -> None:
    assert cause_of_death(code, number) == words
