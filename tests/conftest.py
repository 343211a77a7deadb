"""Fixtures of tests in several rooms."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from softgrid._io.shared_texts import SharedTexts


@pytest.fixture
def texts() -> Iterator[SharedTexts]:
    """Memory for texts that processes of one descent have in common."""
    made = SharedTexts.make()
    assert made is not None
    yield made
    os.close(made.descriptor)
