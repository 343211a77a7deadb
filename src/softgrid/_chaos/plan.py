"""What is to go wrong: read from one line of text, and from then on a function of the seed alone.

    seed=7;drop_request=5;drop_reply=5;duplicate=2;delay=10:0:200;kill=task-ended;nth=3;once=/some/file

Parts, all but ``kill`` in percent of messages: *drop_request* and *drop_reply* lose a message on its way; *duplicate*
sends it twice; *delay* holds a link up for a time between the two numbers of milliseconds. *kill* ends the process
that passes that point for the *nth* time (1), and with *once*, a file that does not exist yet, only one of them all.
Whether a message is hit follows from the seed, its kind and its number at its sender: not from time, pid or threads.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

from softgrid._chaos.points import POINTS, Point
from softgrid._model.errors import BadArgument
from softgrid._wire.framing import Kind

VARIABLE = "SOFTGRID_CHAOS"
REQUESTS = frozenset({int(Kind.CALL), int(Kind.REQUEST)})
REPLIES = frozenset({int(Kind.RESULT), int(Kind.RESPONSE)})
DROP, DUPLICATE = "drop", "duplicate"
_ACCEPTED = "parts as in 'seed=7;drop_request=5;drop_reply=5;duplicate=2;delay=10:0:200;kill=POINT;nth=1;once=FILE'"


class Plan(NamedTuple):
    """What is to go wrong in the processes of one grid."""

    seed: int = 0
    drop_request: float = 0.0
    drop_reply: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    shortest_ms: float = 0.0
    longest_ms: float = 0.0
    kill: Point | None = None
    nth: int = 1
    once: str | None = None

    @property
    def harms_messages(self) -> bool:
        """Whether anything is to happen to messages."""
        return bool(self.drop_request or self.drop_reply or self.duplicate or self.delay)

    def fate(self, kind: int, message_id: int) -> str | None:
        """Say what becomes of a message: dropped, sent twice, or (None) nothing."""
        drop = self.drop_request if kind in REQUESTS else self.drop_reply if kind in REPLIES else 0.0
        if drop and self._percent(DROP, kind, message_id) < drop:
            return DROP
        is_for_twice = kind in REQUESTS or kind in REPLIES
        if self.duplicate and is_for_twice and self._percent(DUPLICATE, kind, message_id) < self.duplicate:
            return DUPLICATE
        return None

    def held_up_s(self, kind: int, message_id: int) -> float:
        """Say for how long a message holds its link up."""
        if not self.delay or self._percent("delay", kind, message_id) >= self.delay:
            return 0.0
        part = self._percent("how long", kind, message_id) / 100
        return (self.shortest_ms + (self.longest_ms - self.shortest_ms) * part) / 1000

    def _percent(self, about: str, kind: int, message_id: int) -> float:
        digest = blake2b(f"{self.seed} {about} {int(kind)} {message_id}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") * 100 / (1 << 48)


def read_plan(text: str) -> Plan:
    """Read a plan; raises BadArgument that says what is wrong with it."""
    plan = Plan()
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, _, value = part.partition("=")
        try:
            plan = _with(plan, key, value)
        except (ValueError, KeyError):
            raise BadArgument(VARIABLE, part, _ACCEPTED) from None
    return plan


def _with(plan: Plan, key: str, value: str) -> Plan:
    if key == "kill":
        return plan._replace(kill=POINTS[value])
    if key == "once":
        return plan._replace(once=value)
    if key == "delay":
        percent, shortest, longest = map(_number, value.split(":"))
        return plan._replace(delay=percent, shortest_ms=shortest, longest_ms=longest)
    number: Any = {"seed": int, "nth": int, "drop_request": _number, "drop_reply": _number, "duplicate": _number}[key]
    return plan._replace(**{key: number(value)})


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number < 1e6:
        raise ValueError(text)
    return number
