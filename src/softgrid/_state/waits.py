"""Threads that wait for what comes under a token: who waits for which, first come first served.

A wait ends when it has got one thing under each of its tokens: what came, or the error that says why nothing will.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from softgrid._model.errors import SoftgridError

Thing = TypeVar("Thing")


class Wait(Generic[Thing]):
    """One thread's wait; *wake* is called when nothing is missing any more."""

    __slots__ = ("got", "missing", "wake")

    def __init__(self, tokens: Iterable[bytes], wake: Callable[[], None]) -> None:
        self.missing = set(tokens)
        self.got: dict[bytes, Thing | SoftgridError] = {}
        self.wake = wake

    def give(self, token: bytes, thing: Thing | SoftgridError) -> None:
        """It has come, or never will."""
        self.got[token] = thing
        self.missing.discard(token)
        if not self.missing:
            self.wake()


class Lines(Generic[Thing]):
    """For each token the waits that stand in line for it."""

    def __init__(self) -> None:
        self._lines: dict[bytes, deque[Wait[Thing]]] = {}

    def join(self, token: bytes, wait: Wait[Thing]) -> None:
        """Stand in line for a token."""
        line = self._lines.get(token)
        if line is None:
            self._lines[token] = deque([wait])
        else:
            line.append(wait)

    def take_first(self, token: bytes) -> Wait[Thing] | None:
        """Take the wait that has stood there longest."""
        line = self._lines.get(token)
        if line is None:
            return None
        first = line.popleft()
        if not line:
            del self._lines[token]
        return first

    def leave(self, token: bytes, wait: Wait[Thing]) -> None:
        """Stand in that line no longer; harmless for one that does not."""
        line = self._lines.get(token, ())
        if wait in line:
            line.remove(wait)  # type: ignore[union-attr]
        if not line:
            self._lines.pop(token, None)

    def give_all(self, token: bytes, thing: Thing | SoftgridError) -> bool:
        """Give the same to all that stand in that line; False when nobody does."""
        line = self._lines.pop(token, ())
        for wait in line:
            wait.give(token, thing)
        return bool(line)

    def __contains__(self, token: bytes) -> bool:
        return token in self._lines
