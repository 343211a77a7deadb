"""How the executor that is being made came to be: by a user's hand, or by a supervisor."""

from __future__ import annotations

from typing import NamedTuple


class Birthplace(NamedTuple):
    """Where a launched executor comes to stand, as far as it was not told."""

    address: str
    bind_host: str


launched: Birthplace | None = None
"""Set while a launched executor is made; None while others are, also in a process that is one itself."""
