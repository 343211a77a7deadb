"""Descriptors that travel with a message or come with one: closed when the last who needs them lets go."""

from __future__ import annotations

import contextlib
import os


class Descriptors:
    """Descriptors that are closed when nobody needs them any more."""

    __slots__ = ("numbers",)
    held = 0
    """How many this process holds in this way."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        Descriptors.held += len(self.numbers)

    def add(self, number: int) -> None:
        """Keep one more."""
        self.numbers.append(number)
        Descriptors.held += 1

    def close(self) -> None:
        """Close them now."""
        numbers, self.numbers = self.numbers, []
        Descriptors.held -= len(numbers)
        for number in numbers:
            with contextlib.suppress(OSError):  # one that is closed already must not keep the others open
                os.close(number)

    def __len__(self) -> int:
        return len(self.numbers)

    def __del__(self) -> None:
        self.close()


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor of this process that is not in *kept*."""
    low = 0
    for descriptor in sorted(kept):
        if descriptor > low:  # an empty range would close everything: close_range(2) takes -1 for the last one
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, max(low, os.sysconf("SC_OPEN_MAX")))
