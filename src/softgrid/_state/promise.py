"""A promise: a place held in a queue of work, with a queue of its own behind a password.

Here is what one promise knows; what follows from it for the others decides ``_state.workqueue``.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from softgrid._model.errors import BadArgument
from softgrid._model.names import node_id

Task = TypeVar("Task")

MAX_PASSWORD = 1024

Entry = tuple[float, int, Task]
"""A task with its priority and when it came: in a heap the next one stands first, and tasks are never compared."""

DRAINED = "its work is done"
REMOVED = "it was removed"
CREATOR_GONE = "its creator is gone"


def check_password(password: object) -> str:
    """Accept a text that is not empty; what was given is not shown, since it may be somebody's password."""
    if not isinstance(password, str) or not 0 < len(password) <= MAX_PASSWORD:
        given = f"a text of {len(password)} characters" if isinstance(password, str) else type(password).__name__
        raise BadArgument("promisePassword", given, f"a text of 1 to {MAX_PASSWORD} characters")
    return password


def check_force(force: object) -> bool:
    """Accept True or False."""
    if not isinstance(force, bool):
        raise BadArgument("force", force, "True or False")
    return force


class Promise(Generic[Task]):
    """One promise. Its queue is its own; ``after`` holds what came after it and belongs to nobody."""

    __slots__ = (
        "after",
        "creator",
        "creator_id",
        "deadline",
        "has_alarm",
        "is_at_head",
        "is_ended",
        "is_kept",
        "password",
        "queue",
        "set_aside",
        "timeout_s",
    )

    def __init__(self, password: str, creator: str, timeout_s: float, *, is_kept: bool = False) -> None:
        self.password = password
        self.creator = creator
        self.creator_id: int = node_id(creator)
        self.timeout_s = timeout_s
        self.is_kept = is_kept
        """Whether it outlives its work, for a creator who deals out more and removes it at the end."""
        self.queue: list[Entry[Task]] = []
        self.after: list[Entry[Task]] = []
        self.set_aside = 0
        """Tasks that have left the queue and will come back to it."""
        self.is_at_head = False
        self.is_ended = False
        self.deadline: float | None = None
        """When it ends unless work comes; None while it has work, and for a kept one until it is at the head."""
        self.has_alarm = False

    def __repr__(self) -> str:  # the password is nobody's to read
        return f"<Promise of {self.creator}, {len(self.queue)} tasks>"

    def expiry(self) -> str:
        """Say why it ended when its time has passed."""
        return f"no work came within {self.timeout_s:g} s"


class AtHead(NamedTuple):
    """Nothing stands before this promise any more."""

    promise: Promise[Any]


class Ended(NamedTuple):
    """A promise is no more; what still waited in it is not run."""

    promise: Promise[Any]
    reason: str
    dropped: list[Any]


Change = AtHead | Ended


class Removal(NamedTuple):
    """What became of the wish to remove a promise."""

    is_removed: bool
    remaining: int
    reason: str | None = None
