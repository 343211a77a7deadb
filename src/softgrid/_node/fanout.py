"""One call that becomes many on the way: bounced by its first receiver, or propagated by whoever runs it."""

from __future__ import annotations

from collections.abc import Callable

from softgrid._io.link import Link
from softgrid._io.segments import THRESHOLD
from softgrid._model.errors import NoRoute, SoftgridError, Undecodable
from softgrid._model.names import node_id
from softgrid._node.execution import Task
from softgrid._node.functions import FunctionTable
from softgrid._node.switch import Switch
from softgrid._state.receivers import common_ways, propagation
from softgrid._state.tree import Tree
from softgrid._wire.calls import without_options
from softgrid._wire.control import Message, encode_control
from softgrid._wire.framing import Kind, Outbound
from softgrid._wire.functions import PickledFunction


class FanOut:
    """Passes calls on to several receivers."""

    def __init__(self, tree: Tree[Link], switch: Switch, functions: FunctionTable) -> None:
        self._functions = functions
        self._tree = tree
        self._switch = switch
        self.accept: Callable[[Task], None] = lambda task: None

    def on_options(self, task: Task) -> bool:
        """Look at a call's options before it is run; True when it is not to be run here."""
        options = task.call.options
        return ("bounce" in options or "propagate" in options) and self._pass_on(task, options)

    def _pass_on(self, task: Task, options: Message) -> bool:
        self._restore_function(task)
        for key in ("bounce", "propagate"):
            names = options.get(key, [])
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise Undecodable(f"a call whose '{key}' is no list of names")
        if not isinstance(options.get("came_from"), (str, type(None))):
            raise Undecodable("a call that came from no name")
        if "bounce" in options:
            self._bounce(task, options["bounce"])
            return True
        self._propagate(task)
        return False

    def _restore_function(self, task: Task) -> None:
        """A function that is known here by its digest may be new to those the call is passed on to."""
        function = task.call.function
        if isinstance(function, PickledFunction) and not function.body:
            body = self._functions.body_of(function.digest)
            if body is not None:
                task.call.function = PickledFunction(function.digest, body)

    def _bounce(self, task: Task, names: list[str]) -> None:
        """Send the call on to each of *names*, in the name of its caller, who gets the answers directly."""
        body = without_options(task.call, "bounce")
        ways = common_ways(names, self._switch.spreader_towards) if body.size > THRESHOLD else {}
        for way in dict.fromkeys(ways.values()):
            onward = without_options(task.call, bounce=[name for name in names if ways.get(name) == way])
            self._switch.send(Kind.CALL, node_id(way), task.message_id, onward, task.source)
        for name in names:
            if name in ways:
                continue
            target = node_id(name)
            if target == self._tree.node_id:
                self._switch.send(Kind.CALL, target, task.message_id, body, task.source)
                continue
            try:
                self._check_passable(name, task.source)
            except SoftgridError as error:
                refusal = encode_control({"op": "refused", "target": target, "reason": str(error)})
                self._switch.send(Kind.REFUSED, task.source, task.message_id, Outbound(refusal))
                continue
            self._switch.send(Kind.CALL, target, task.message_id, body, task.source)

    def _check_passable(self, name: str, caller: int) -> None:
        """Raise when a call cannot be sent on to *name*: nobody above believes what comes from below the caller."""
        self._tree.check_reachable(name)
        if not self._tree.members.keys() & {node_id(name), caller} and caller != self._tree.node_id:
            raise NoRoute(f"is nowhere below {self._tree.name}, which was to pass the call on")

    def _propagate(self, task: Task) -> None:
        options = task.call.options
        flags = {flag for flag in options["propagate"] if isinstance(flag, str)}
        for name, left in propagation(self._tree, flags, options.get("came_from")):
            changes = {"propagate": sorted(left), "came_from": self._tree.name} if left else {}
            body = without_options(task.call, "propagate", "came_from", **changes)
            self._switch.send(Kind.CALL, node_id(name), 0, body)
