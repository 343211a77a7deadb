"""What one executor sends to another to which it has a bridge: over it or through the tree, in order, each once.

Each way keeps the order of what it carries, but one may be faster than the other. So before something takes the other
way, everything on this one must have arrived: on the bridge the other end says how many messages it has counted, in
the tree a question is answered as soon as it arrives. What is to be sent meanwhile waits in line.

What went over the bridge is kept until the other end has counted it. When the bridge is over, however it ended, each
end tells the other through the tree how many it had counted, and the rest goes through the tree: nothing is lost and
nothing comes twice.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

from softgrid._model.errors import Undecodable

Item = TypeVar("Item")

TELL_AFTER_MESSAGES = 64
TELL_AFTER_BYTES = 256 * 1024
"""The other end is told what arrived after this much, so that it does not keep more than this for longer."""


class Way(Enum):
    """How a message goes."""

    BRIDGE = "bridge"
    TREE = "tree"


class Send(NamedTuple):
    """Effect: send this now, behind what was sent before."""

    way: Way
    item: Any


class Confirm(NamedTuple):
    """Effect: ask the other end, this way, whether everything has arrived that was sent this way."""

    way: Way


class Arrived(NamedTuple):
    """Effect: these need not be kept any longer."""

    items: list[Any]


Effects = list[Send | Confirm | Arrived]


class TwoWays(Generic[Item]):
    """One direction of a bridge as its sender sees it, and the count of what came in the other direction."""

    def __init__(self) -> None:
        self.kept: deque[Item] = deque()
        """Sent over the bridge, and not known to have arrived."""
        self.is_free = False
        """Whether the next message may go over the bridge without asking anybody; it must be put into ``kept``."""
        self.is_open = self.is_over = self.is_settled = self.is_gone = False
        self.received = 0
        self._told = 0
        self._bytes = 0
        self._arrived = 0
        self._waiting: deque[tuple[Item, bool]] = deque()
        self._asked: set[Way] = set()
        self._tree_is_clear = False
        self._went_after_question = False

    @property
    def has_waiting(self) -> bool:
        """Whether something is not on its way yet that was to be sent."""
        return bool(self._waiting) or (self.is_over and not self.is_settled and bool(self.kept))

    # -- out ------------------------------------------------------------------------------------------------------

    def on_open(self) -> Effects:
        """The bridge is there; what is on its way through the tree has to arrive before anything goes over it."""
        if self.is_open or self.is_over:
            return []
        self.is_open = True
        return self._ask(Way.TREE)

    def on_send(self, item: Item, may_bridge: bool) -> Effects:
        """Something is to be sent; *may_bridge* says whether it may go over the bridge."""
        if self.is_gone:
            return [Arrived([item])]
        if self.is_settled:
            return [Send(Way.TREE, item)]
        self._waiting.append((item, may_bridge))
        return self._advance()

    def on_sent_through_tree(self) -> None:
        """Something has gone through the tree, maybe from a thread that did not know of the bridge yet."""
        self._went_after_question = Way.TREE in self._asked
        self._tree_is_clear = self.is_free = False

    def on_confirmed(self) -> Effects:
        """The question that went through the tree has been answered."""
        self._asked.discard(Way.TREE)
        self._tree_is_clear, self._went_after_question = not self._went_after_question, False
        return self._advance()

    def on_counted(self, count: int) -> Effects:
        """The other end has counted so many messages in all."""
        if not self._arrived <= count <= self._arrived + len(self.kept):
            raise Undecodable(f"{count} messages counted that were never sent over this bridge")
        arrived = self._take_arrived(count)
        if not self.kept:
            self._asked.discard(Way.BRIDGE)
        return [Arrived(arrived), *self._advance()]

    def _take_arrived(self, count: int) -> list[Item]:
        arrived = [self.kept.popleft() for _ in range(count - self._arrived)]
        self._arrived = count
        return arrived

    def _advance(self) -> Effects:
        """Send what need not wait any longer, and ask for what the next one waits for."""
        effects: Effects = []
        while self._waiting and self.is_open and not self.is_over:
            item, may_bridge = self._waiting[0]
            if not (self._tree_is_clear if may_bridge else not self.kept):
                effects += self._ask(Way.TREE if may_bridge else Way.BRIDGE)
                break
            self._waiting.popleft()
            if may_bridge:
                self.kept.append(item)
            else:
                self.on_sent_through_tree()
            effects.append(Send(Way.BRIDGE if may_bridge else Way.TREE, item))
        self.is_free = self._tree_is_clear and not self._waiting and not self.is_over
        return effects

    def _ask(self, way: Way) -> Effects:
        """Ask the other end, unless the answer to the same question is still to come."""
        if way in self._asked:
            return []
        self._asked.add(way)
        return [Confirm(way)]

    # -- in -------------------------------------------------------------------------------------------------------

    def on_received(self, size: int) -> bool:
        """Count a message of *size* bytes; says whether it is time to tell the other end."""
        self.received += 1
        self._bytes += size
        return self._bytes > TELL_AFTER_BYTES or self.received - self._told >= TELL_AFTER_MESSAGES

    def tell(self) -> int:
        """Give the count to tell the other end."""
        self._told, self._bytes = self.received, 0
        return self.received

    # -- the end --------------------------------------------------------------------------------------------------

    def on_over(self) -> None:
        """The bridge carries nothing any more; until it is known what arrived, everything waits."""
        self.is_over = True
        self.is_free = False

    def on_settled(self, count: int) -> Effects:
        """The other end had counted so many messages when the bridge was over: the rest takes the tree."""
        if self.is_settled:
            return []
        count = min(max(count, self._arrived), self._arrived + len(self.kept))
        arrived = self._take_arrived(count)
        rest = [*self.kept, *(item for item, _ in self._waiting)]
        self._end()
        return [Arrived(arrived), *(Send(Way.TREE, item) for item in rest)]

    def on_gone(self) -> Effects:
        """The other end is gone, and nothing can be sent to it."""
        rest = [*self.kept, *(item for item, _ in self._waiting)]
        self._end()
        self.is_gone = True
        return [Arrived(rest)]

    def _end(self) -> None:
        self.on_over()
        self.is_settled = True
        self.kept.clear()
        self._waiting.clear()
