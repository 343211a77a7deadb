"""Who is still believed in: decided from when each last gave a sign of life, and from nothing else.

Silence is judged, never busyness: who holds the interpreter for an hour is alive as long as its machine answers for it.
Only time during which this process was awake counts. Who looks later than it meant to (it was stopped, suspended,
starved) has not listened meanwhile, and takes that long off everybody's silence before it judges anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, NamedTuple, TypeVar

Standing = Literal["well", "suspect", "dead"]
Key = TypeVar("Key")

BEATS, MISSED = 5, 3
"""So many signs of life are given within the frequency; who misses three in a row is suspect."""
LATE_S = 0.5
"""A look that comes so much later than it was meant to shows that this process was not awake."""
_ROUNDING_S = 1e-6


class Terms(NamedTuple):
    """How often there must be a sign of life, and for how long there may be none.

    >>> Terms(frequency_s=10.0, tolerance_s=60.0).beat_s
    2.0
    """

    frequency_s: float = 10.0
    tolerance_s: float = 60.0

    @property
    def beat_s(self) -> float:
        """How often to give a sign of life, and to look for those of others."""
        return min(self.frequency_s, self.tolerance_s) / BEATS

    @property
    def patience_s(self) -> float:
        """After how long a silence somebody is suspect; it is noticed within the frequency."""
        return MISSED * self.beat_s


class Heard(NamedTuple):
    """When there was a last sign of life, on the monotonic clock: of a process, and of the machine that it is on.

    A process that is silent on a machine that answers is busy or stopped, which is no death.
    """

    process_s: float
    machine_s: float


class _Watched:
    """What is known of one of them; silences are counted from times that are moved on when nobody could listen."""

    __slots__ = ("machine_s", "process_s", "standing")

    def __init__(self, now_s: float) -> None:
        self.process_s = self.machine_s = now_s
        self.standing: Standing = "well"


class Vigil(Generic[Key]):
    """What one process believes of those that it listens to.

    >>> vigil = Vigil(Terms(10.0, 60.0))
    >>> vigil.watch("a machine", 0.0)
    >>> [vigil.look(now, lambda key: Heard(0.0, 0.0)) for now in (2.0, 4.0, 6.0)]
    [[], [], [('a machine', 'suspect', 6.0)]]
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._watched: dict[Key, _Watched] = {}
        self._due_s: float | None = None

    def watch(self, key: Key, now_s: float) -> None:
        """Listen to somebody from now on; harmless twice."""
        self._watched.setdefault(key, _Watched(now_s))

    def forget(self, key: Key) -> None:
        """Nobody cares any more."""
        self._watched.pop(key, None)

    def __contains__(self, key: Key) -> bool:
        return key in self._watched

    def __len__(self) -> int:
        return len(self._watched)

    def look(self, now_s: float, heard: Callable[[Key], Heard]) -> list[tuple[Key, Standing, float]]:
        """Judge everybody: gives whose standing has changed, to which, and the seconds of silence; dead is for ever."""
        late_s = 0.0 if self._due_s is None else now_s - self._due_s
        changes: list[tuple[Key, Standing, float]] = []
        for key, watched in list(self._watched.items()):
            if late_s > LATE_S:
                watched.process_s += late_s
                watched.machine_s += late_s
            process_s, machine_s = heard(key)
            watched.process_s = max(watched.process_s, process_s)
            watched.machine_s = max(watched.machine_s, machine_s, watched.process_s)
            standing, silence_s = self._judge(watched, now_s + _ROUNDING_S)
            if standing != watched.standing:
                watched.standing = standing
                changes.append((key, standing, round(silence_s, 1)))
            if standing == "dead":
                del self._watched[key]
        self._due_s = None
        return changes

    def _judge(self, watched: _Watched, now_s: float) -> tuple[Standing, float]:
        silence_s = now_s - watched.process_s
        if now_s - watched.machine_s >= self.terms.tolerance_s:
            return "dead", now_s - watched.machine_s
        return ("suspect" if silence_s >= self.terms.patience_s else "well"), silence_s

    def next_look_s(self, now_s: float) -> float | None:
        """Give the seconds until the next look is due; None when there is nobody to look at."""
        self._due_s = None
        if not self._watched:
            return None
        deaths = [each.machine_s + self.terms.tolerance_s - now_s for each in self._watched.values()]
        wait_s = max(0.0, min(self.terms.beat_s, *deaths))
        self._due_s = now_s + wait_s
        return wait_s


class Doubts:
    """Why executors are not given anything new although they are there: each reason holds until it is itself gone.

    >>> doubts = Doubts()
    >>> doubts.note("x", "pause", "stopped"), doubts.note("x", "silence", "silent"), doubts.note("x", "pause", None)
    ('stopped', 'stopped', 'silent')
    """

    def __init__(self) -> None:
        self._reasons: dict[str, dict[str, str]] = {}

    def note(self, name: str, kind: str, reason: str | None) -> str | None:
        """There is, or with None no longer is, a reason of that kind: gives the reason that holds now."""
        reasons = self._reasons.setdefault(name, {})
        if reason is None:
            reasons.pop(kind, None)
        else:
            reasons[kind] = reason
        if not reasons:
            del self._reasons[name]
        return next(iter(reasons.values()), None)

    def forget(self, name: str) -> None:
        """It is gone."""
        self._reasons.pop(name, None)
