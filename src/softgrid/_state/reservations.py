"""The promises that one executor has made elsewhere: with which password, and who holds them.

Kept by their creator, from the moment it asks for one until the holder says that it has ended, or is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from softgrid._model.errors import BadArgument
from softgrid._model.names import parse_name
from softgrid._state.promise import check_password


class Reservations:
    """Passwords, and the holders of each by their id and name."""

    def __init__(self) -> None:
        self._holders: dict[str, dict[int, str]] = {}
        self._held_by: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._held_by.total()

    def note(self, password: str, holder: int, name: str) -> bool:
        """A promise is asked for; False when this very one is held already."""
        holders = self._holders.setdefault(password, {})
        if holder in holders:
            return False
        holders[holder] = name
        self._held_by[holder] += 1
        return True

    def forget(self, password: str, holder: int) -> None:
        """The promise has ended, or did not come about; harmless when nothing is known of it."""
        holders = self._holders.get(password, {})
        if holders.pop(holder, None) is None:
            return
        if not holders:
            del self._holders[password]
        self._held_by[holder] -= 1
        if not self._held_by[holder]:
            del self._held_by[holder]

    def on_gone(self, holders: set[int]) -> None:
        """Executors are gone, and what they held with them."""
        for password, known in list(self._holders.items()):
            for holder in holders & known.keys():
                self.forget(password, holder)

    def names(self, password: str) -> list[str]:
        """Who holds a promise with that password."""
        return list(self._holders.get(password, {}).values())

    def held_by(self, holder: int) -> int:
        """How many promises that executor holds."""
        return self._held_by.get(holder, 0)


class Wish(NamedTuple):
    """What the creator of a job's promises asked for, as given."""

    ntasks: Any = None
    workers: Any = None
    nworkers_min: Any = None
    password: Any = None
    promise_timeout: Any = 60
    transfer_timeout: Any = 10
    force: Any = False
    is_kept: bool = False

    def bounds(self, candidates: int) -> tuple[int, int]:
        """Give how many promises to place at least and at most; raises what cannot be had of so many candidates."""
        most = candidates if self.ntasks is None else min(_count("ntasks", self.ntasks), candidates)
        least = 1 if self.nworkers_min is None else _count("nworkersMin", self.nworkers_min)
        if least > most:
            tasks = "" if self.ntasks is None else f" for {self.ntasks} tasks"
            raise BadArgument("nworkersMin", least, f"at most {most}: there are {candidates} workers{tasks}")
        return least, most


def _count(parameter: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadArgument(parameter, value, "None or an integer >= 1")
    return value


def read_promises(promises: object) -> list[tuple[str, str | None]]:
    """Give the password of each promise that is meant, and its holder if one is named."""
    items = promises if isinstance(promises, (list, tuple)) else [promises]
    return [_read_promise(item) for item in items]


def _read_promise(item: object) -> tuple[str, str | None]:
    if isinstance(item, Mapping):
        password, holder = item.get("promise_password"), item.get("promise_executor")
        if isinstance(password, str) and isinstance(holder, str):
            return check_password(password), str(parse_name(holder, "promise_executor"))
    elif isinstance(item, str):
        return check_password(item), None
    shown = "a dictionary without" if isinstance(item, Mapping) else type(item).__name__
    accepted = "a password, a dictionary with 'promise_password' and 'promise_executor', or a list of these"
    raise BadArgument("promises", shown, accepted)
