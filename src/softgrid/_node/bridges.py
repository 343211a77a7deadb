"""The bridges of one executor: used, listed, and what becomes of them when they are destroyed or something breaks.

either end → other   bridge_over {number, count, is_wanted}   back {count}: how many messages each end had counted
anybody → anybody    bridges {}                               back {bridges: [[from, to], ...]}
builder → orchestrator   bridge_is {from, to, password}, bridge_was {from, to}: see ``_node.bridge_heirs``
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import Missing, Refused, SoftgridError, TimedOut, Undecodable
from softgrid._model.names import node_id, parse_name
from softgrid._node.bridge import Bridge, Label, Surroundings
from softgrid._node.control import Answer, Control
from softgrid._node.switch import Switch
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field
from softgrid._wire.framing import Kind, Outbound


class Bridges:
    """The bridges of one executor, by their other ends."""

    def __init__(self, tree: Tree[Link], switch: Switch, control: Control, reactor: Reactor) -> None:
        self.table: dict[int, Bridge] = {}
        """Those included that are over while it is not known yet what had arrived."""
        self._tree = tree
        self._switch = switch
        self._control = control
        self._reactor = reactor
        self._surroundings = Surroundings(tree, switch, control, reactor, self._on_broken, self._on_unreachable)
        self._leaves = False
        self.on_lost: Callable[[str, str], None] = lambda name, reason: None
        self.warn: Callable[[str], None] = lambda text: None
        for methods in (control.methods, control.guest_methods):
            methods["arrived"] = lambda message, source, answer: answer({})
            methods["bridge_over"] = self._on_over
        control.methods["bridges"] = lambda message, source, answer: answer({"bridges": self.pairs()})

    def open(self, name: str, label: Label, link: Link) -> None:
        """A connection to the executor *name* is there: use it as a bridge."""
        bridge = Bridge(name, label, link, self._surroundings)
        self.table[bridge.peer] = bridge
        bridge.open()
        self._tell_orchestrator("bridge_is", label, password=label.password)

    def _tell_orchestrator(self, op: str, label: Label, **more: str) -> None:
        """Tell of a bridge that was built here, so that it can be built again for an executor that comes back."""
        if label.built_from == self._tree.name:
            told = {"op": op, "from": label.built_from, "to": label.built_to, **more}
            self._control.tell(self._tree.path[0], told)

    def send(self, kind: int, destination: int, message_id: int, outbound: Outbound) -> Waiter | None:
        """Send as ``Switch.send`` does; the answer to a call goes back the way on which the call came."""
        bridge = self.table.get(destination)
        if bridge is not None and kind == Kind.RESULT and bridge.take_asked(message_id):
            return bridge.send(kind, message_id, outbound)
        return self._switch.send(kind, destination, message_id, outbound)

    def pairs(self) -> list[tuple[str, str]]:
        """Give the bridges in use, each as from where to where it was built."""
        bridges = [bridge for bridge in list(self.table.values()) if not bridge.is_over]
        return [(bridge.label.built_from, bridge.label.built_to) for bridge in bridges]

    def links(self) -> list[Link]:
        """Give what the bridges are made of."""
        return [bridge.link for bridge in list(self.table.values())]

    # -- the end --------------------------------------------------------------------------------------------------

    def destroy(self, name: str, password: str, timeout: float) -> None:
        """Destroy the bridge to *name*; blocks until both ends agree on what had arrived. Raises what went wrong."""
        bridge = self.table.get(node_id(name))
        if bridge is None:
            raise Missing("bridgeToGUN", name, "an executor to which a bridge leads from here")
        if not hmac.compare_digest(bridge.label.password.encode(), password.encode(errors="replace")):
            raise Refused("bridgePassword: it is not the one that was given when the bridge was built")
        settled = Waiter()
        self._reactor.run_in_turn(lambda: self._destroy(bridge, settled.set))
        if not self._reactor.wait(settled, timeout):
            raise TimedOut(f"the bridge carries nothing any more, but {name} did not confirm it within {timeout:g} s")

    def _destroy(self, bridge: Bridge, on_settled: Callable[[], None]) -> None:
        if bridge.is_settled:
            on_settled()
            return
        bridge.when_settled.append(on_settled)
        if not bridge.is_over:
            self._end(bridge, "destroyed", is_wanted=True)

    def _on_broken(self, bridge: Bridge, reason: str) -> None:
        if not self._leaves:
            bridge.trouble = reason
            self._end(bridge, reason, is_wanted=False)

    def _end(self, bridge: Bridge, reason: str, *, is_wanted: bool) -> None:
        """Carry nothing over it any more, and find out what had arrived at the other end."""
        message = {"op": "bridge_over", "number": bridge.label.number, "is_wanted": is_wanted}
        self._control.ask(
            bridge.name,
            {**message, "count": bridge.end(reason)},
            lambda answer: self._reactor.call_soon(lambda: self._on_counted(bridge, answer, is_wanted)),
        )

    def _on_counted(self, bridge: Bridge, answer: Message | SoftgridError, is_wanted: bool) -> None:
        if bridge.is_settled:
            return
        try:
            if isinstance(answer, SoftgridError):
                raise answer
            self._settle(bridge, field(answer, "count", int), is_wanted)
        except SoftgridError as error:
            self._on_unreachable(bridge, error)

    def _on_over(self, message: Message, source: int, answer: Answer) -> None:
        number, count = field(message, "number", str), field(message, "count", int)
        is_wanted = field(message, "is_wanted", bool)
        bridge = self.table.get(source)
        if bridge is None or bridge.label.number != number:  # it was given up here before anything came over it
            answer({"count": 0})
            return
        answer({"count": bridge.end("its other end is over")})
        self._settle(bridge, count, is_wanted)

    def _settle(self, bridge: Bridge, count: int, is_wanted: bool) -> None:
        bridge.settle(count)
        self._forget(bridge)  # not before: what is sent past it would overtake what it sends now
        self._tell_orchestrator("bridge_was", bridge.label)
        if bridge.trouble is not None and not is_wanted:
            self.warn(f"the bridge to {bridge.name} broke: {bridge.trouble}; what went over it takes the tree now")

    def _forget(self, bridge: Bridge) -> None:
        if self.table.get(bridge.peer) is bridge:
            del self.table[bridge.peer]

    def _on_unreachable(self, bridge: Bridge, error: SoftgridError) -> None:
        if not bridge.is_gone and not self._leaves:
            self.on_lost(bridge.name, str(error).removeprefix(f"{bridge.name} is gone: "))

    def on_gone(self, executors: set[int]) -> None:
        """Executors are gone, and what waited for them with them."""
        for executor in executors & self.table.keys():
            self.table.pop(executor).lose()

    def flush(self, timeout: float) -> None:
        """Block until everything that was to go over the bridges is on its way, so long for each at most."""
        for bridge in list(self.table.values()):
            bridge.flush(timeout)

    def leave(self) -> None:
        """This executor leaves the grid: what happens to its bridges is nobody's concern any more."""
        self._leaves = True


def pairs_in(answer: Message | SoftgridError) -> list[tuple[str, str]] | SoftgridError:
    """Read what an executor says of its bridges."""
    if isinstance(answer, SoftgridError):
        return answer
    try:
        pairs = [(str(parse_name(begins)), str(parse_name(ends))) for begins, ends in field(answer, "bridges", list)]
    except (SoftgridError, TypeError, ValueError) as error:
        return Undecodable(f"bridges that cannot be: {error}")
    return pairs
