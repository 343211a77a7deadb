"""Strangers turned away at the door, told without letting them fill the log: of each source the first at once, how many
more there were once in a while."""

from __future__ import annotations

MAX_SOURCES = 64
"""So many are told apart; the rest is counted together."""
OTHERS = "other places"
SUMMARY_S = 10.0


class Refusals:
    """Counts who was turned away since last told.

    >>> refusals = Refusals()
    >>> [refusals.note("10.0.0.9", "wrong password") for _ in range(3)]
    ['a connection from 10.0.0.9 was refused: wrong password', None, None]
    >>> refusals.take_summary()
    ['2 more connections from 10.0.0.9 were refused, the last one: wrong password']
    """

    def __init__(self) -> None:
        self._more: dict[str, tuple[int, str]] = {}

    def note(self, source: str, reason: str) -> str | None:
        """Somebody was turned away: give what to say now, if anything."""
        if source not in self._more and len(self._more) >= MAX_SOURCES:
            source = OTHERS
        if source in self._more:
            self._more[source] = (self._more[source][0] + 1, reason)
            return None
        self._more[source] = (0, reason)
        return f"a connection from {source} was refused: {reason}"

    def take_summary(self) -> list[str]:
        """Give what is left to say, and begin anew."""
        more, self._more = self._more, {}
        return [
            f"{count} more connections from {source} were refused, the last one: {reason}"
            for source, (count, reason) in more.items()
            if count
        ]

    @property
    def is_empty(self) -> bool:
        """Whether nobody was turned away since the last summary."""
        return not self._more
