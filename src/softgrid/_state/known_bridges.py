"""The bridges of a grid as its orchestrator knows them, so that an executor that comes back gets its own back too."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

KEPT = 4096


class Known(NamedTuple):
    """A bridge: from where to where it was built, and what destroys it."""

    begins: str
    ends: str
    password: str

    def __repr__(self) -> str:
        return f"<Known {self.begins} to {self.ends}>"  # the password is nobody's to read

    def inherited(self, lost: str, heir: str) -> Known:
        """Give it with *heir* in the place of *lost*."""
        begins, ends = (heir if name == lost else name for name in self[:2])
        return Known(begins, ends, self.password)


class KnownBridges:
    """Which bridges there are, or were when one of their ends was lost (bounded: the oldest are forgotten)."""

    def __init__(self) -> None:
        self._known: OrderedDict[frozenset[str], Known] = OrderedDict()

    def on_built(self, bridge: Known) -> None:
        """A bridge is there."""
        self._known[frozenset(bridge[:2])] = bridge
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    def on_over(self, begins: str, ends: str) -> None:
        """A bridge is over, and both its ends live."""
        self._known.pop(frozenset((begins, ends)), None)

    def on_heir(self, lost: str, heir: str, is_there: Callable[[str], bool]) -> list[Known]:
        """*lost* is back as *heir*: gives the bridges to be built again, both ends of which are there now."""
        found = []
        for pair in [pair for pair in self._known if lost in pair]:
            bridge = self._known.pop(pair).inherited(lost, heir)
            self._known[frozenset(bridge[:2])] = bridge
            if is_there(bridge.begins) and is_there(bridge.ends):
                found.append(bridge)
        return found

    def __len__(self) -> int:
        return len(self._known)
