"""Things kept under a name on one executor: objects, data, functions, and what is known of files.

Called by the node for its own user and for peers, from any thread.  Decides only whether a name
may be taken or must exist.  It never looks into what it keeps, copies nothing and does no I/O.
"""

from __future__ import annotations

import threading
from typing import Generic, NamedTuple, TypeVar, overload

from softgrid._model.errors import BadArgument, Duplicate, Missing

T = TypeVar("T")
D = TypeVar("D")


class StoreStatistics(NamedTuple):
    """What a store holds and has done, at one moment."""

    kept: int
    added: int
    replaced: int
    popped: int


class NamedStore(Generic[T]):
    """Values under names; every method is one step, whatever other threads do meanwhile.

    *noun* is what errors call the values: 'object', 'function', ...  They are kept in *kept*, where
    somebody else wants to look them up too.

    >>> store: NamedStore[int] = NamedStore('number')
    >>> store.add('one', 1)
    >>> store.get('one'), store.get('two', 2, must_exist=False)
    (1, 2)
    """

    def __init__(self, noun: str, kept: dict[str, T] | None = None) -> None:
        self.noun = noun
        self._kept: dict[str, T] = {} if kept is None else kept
        self._lock = threading.Lock()
        self._added = self._replaced = self._popped = 0

    def add(self, name: str, value: T, *, replace: bool = True) -> None:
        """Keep *value* under *name*; raises Duplicate when the name is taken and must stay."""
        with self._lock:
            self.check_free(name, replace=replace)
            self._replaced += name in self._kept
            self._kept[name] = value
            self._added += 1

    def check_free(self, name: str, *, replace: bool) -> None:
        """Raise what `add` would raise, before anything is done for it."""
        check_name(name)
        if not replace and name in self._kept:
            raise Duplicate("name", name, f"a name that no {self.noun} has, or replace=True")

    @overload
    def get(self, name: str) -> T: ...
    @overload
    def get(self, name: str, default: D, *, must_exist: bool = True) -> T | D: ...

    def get(self, name: str, default: object = None, *, must_exist: bool = True) -> object:
        """Give what *name* stands for.

        Where there is none: *default*, or Missing raised when it must exist.
        """
        check_name(name)
        with self._lock:
            if name in self._kept:
                return self._kept[name]
            return self._absent(name, default, must_exist)

    @overload
    def pop(self, name: str) -> T | None: ...
    @overload
    def pop(self, name: str, default: D, *, must_exist: bool = False) -> T | D: ...

    def pop(self, name: str, default: object = None, *, must_exist: bool = False) -> object:
        """Forget *name* and give what it stood for; without it as in `get`."""
        check_name(name)
        with self._lock:
            if name not in self._kept:
                return self._absent(name, default, must_exist)
            self._popped += 1
            return self._kept.pop(name)

    def drop(self, name: str, value: object) -> bool:
        """Forget *name* if it still stands for *value*; says whether it did."""
        with self._lock:
            if name not in self._kept or self._kept[name] is not value:
                return False
            del self._kept[name]
            self._popped += 1
            return True

    def names(self) -> tuple[str, ...]:
        """The names taken, oldest first."""
        with self._lock:
            return tuple(self._kept)

    def statistics(self) -> StoreStatistics:
        """How many values are kept, and how many came and went."""
        with self._lock:
            return StoreStatistics(len(self._kept), self._added, self._replaced, self._popped)

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"NamedStore({self.noun!r}, kept={len(self)})"

    def _absent(self, name: str, default: object, must_exist: bool) -> object:
        if must_exist:
            raise Missing("name", name, self._accepted())
        return default

    def _accepted(self) -> str:
        names = ", ".join(repr(name) for name in list(self._kept)[:8]) or "none is kept"
        more = ", …" if len(self._kept) > 8 else ""
        return f"one of the {self.noun} names ({names}{more}), or mustExist=False"


def check_name(name: object) -> None:
    """Raise BadArgument for what cannot be a name."""
    if not isinstance(name, str) or not name:
        raise BadArgument("name", name, "a text of at least one character")
