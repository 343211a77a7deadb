"""How a bridge comes about.

On one machine it is a socket pair: whoever builds it keeps one end and passes the other through the tree. Where no
descriptor passes, the other end opens a door, and the builder connects to it.

asker → builder      bridge_build {to, timeout} or with {password}      back {password}
builder → other end  bridge {from, number, password} and a descriptor   back {}
                     bridge_door {from, number, password, timeout}      back {host, port}
"""

from __future__ import annotations

import os
import socket
import stat
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Union

from softgrid._io.descriptors import Descriptors
from softgrid._io.link import Link
from softgrid._io.ports import LOOPBACK, is_local
from softgrid._io.reactor import Reactor
from softgrid._io.threads import IdleThreads
from softgrid._model.errors import BadArgument, Duplicate, NoRoute, PeerLost, SoftgridError, TimedOut, Undecodable
from softgrid._model.names import NodeId, node_id, parse_name
from softgrid._node.bridge import Label
from softgrid._node.bridge_door import Door, link_over, visit
from softgrid._node.bridges import Bridges
from softgrid._node.control import Answer, Control, error_message
from softgrid._state.timeouts import check_seconds
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field

if TYPE_CHECKING:
    from softgrid._io.tls import TlsStream

ANSWER_GRACE_S = 0.5
"""How much longer an asker waits than the builder, whose account of what went wrong says more."""

Outcome = Union["TlsStream", SoftgridError]


class _Attempt:
    """A bridge that is being built from here."""

    def __init__(self, label: Label, timeout: float, answer: Answer) -> None:
        self.label = label
        self.deadline = monotonic() + timeout
        self.sock: socket.socket | None = None
        self._answer: Answer | None = answer

    @property
    def is_over(self) -> bool:
        return self._answer is None

    def succeed(self) -> None:
        """The bridge is there."""
        answer, self._answer, self.sock = self._answer, None, None
        if answer is not None:
            answer({"password": self.label.password})

    def fail(self, error: SoftgridError) -> None:
        """It will not be there; only the first time counts."""
        answer, self._answer = self._answer, None
        if answer is not None:
            self.drop_socket()
            answer(error_message(error))

    def drop_socket(self) -> None:
        """Close this end, which tells the other one, if it has come that far."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None


class BridgeBuilding:
    """The bridges that this executor builds or is to be the other end of. All but ``build`` is for callbacks."""

    def __init__(self, tree: Tree[Any], bridges: Bridges, control: Control, reactor: Reactor, bind_host: str) -> None:
        self._tree = tree
        self._bridges = bridges
        self._control = control
        self._reactor = reactor
        self._bind_host = bind_host
        self._attempts: dict[int, _Attempt] = {}
        self._doors: dict[int, Door] = {}
        self._visiting = IdleThreads("softgrid-bridge")
        control.methods["bridge_build"] = self._on_build
        control.methods["bridge_door"] = partial(self._on_door, is_guest=False)
        control.guest_methods["bridge_door"] = partial(self._on_door, is_guest=True)
        control.carrying["bridge"] = self._on_bridge

    # -- asking ---------------------------------------------------------------------------------------------------

    def build(self, to: str, built_from: str, timeout: float) -> str:
        """Have a bridge built and block until it is there; gives its password. Raises what went wrong."""
        question = {"op": "bridge_build", "to": to, "timeout": timeout}
        answer = self._control.ask_and_wait(built_from, question, timeout + ANSWER_GRACE_S)
        return str(field(answer, "password", str))

    # -- building -------------------------------------------------------------------------------------------------

    def _on_build(self, message: Message, source: int, answer: Answer) -> None:
        to = str(parse_name(message["to"], "bridgeToGUN"))
        timeout = check_seconds(message["timeout"])
        target = node_id(to)
        if target == self._tree.node_id:
            raise BadArgument("bridgeToGUN", to, "another executor than the one at which the bridge begins")
        self._check_free(target, to)
        if target in self._attempts:
            raise Duplicate("bridgeToGUN", to, "an executor to which no bridge is being built already")
        self._tree.check_reachable(to)
        password = field(message, "password", str) if "password" in message else os.urandom(32).hex()
        label = Label(self._tree.name, to, os.urandom(16).hex(), password)
        attempt = self._attempts[target] = _Attempt(label, timeout, partial(self._on_result, target, answer))
        late = TimedOut(f"no bridge to {to} within {timeout:g} s")
        self._reactor.call_later(timeout, lambda: attempt.fail(late))
        self._offer(attempt)

    def _check_free(self, peer: int, name: str) -> None:
        if peer in self._bridges.table:
            raise Duplicate("bridgeToGUN", name, f"an executor to which no bridge leads yet from {self._tree.name}")

    def _on_result(self, target: int, answer: Answer, result: Message) -> None:
        del self._attempts[target]
        answer(result)

    def _offer(self, attempt: _Attempt) -> None:
        try:
            attempt.sock, theirs = socket.socketpair()
        except OSError as error:
            attempt.fail(SoftgridError(f"no bridge can be built here: {error.strerror}"))
            return
        self._control.ask(
            attempt.label.built_to,
            attempt.label.as_message("bridge"),
            lambda answer: self._reactor.call_soon(lambda: self._on_offered(attempt, answer)),
            Descriptors(theirs.detach()),
        )

    def _on_offered(self, attempt: _Attempt, answer: Message | SoftgridError) -> None:
        if isinstance(answer, NoRoute) and not attempt.is_over:
            attempt.drop_socket()
            self._ask_for_door(attempt)
        elif isinstance(answer, SoftgridError):
            attempt.fail(answer)
        elif attempt.sock is not None:
            self._open(attempt, self._local_link(attempt.sock))

    def _ask_for_door(self, attempt: _Attempt) -> None:
        left = max(0.001, attempt.deadline - monotonic())
        self._control.ask(
            attempt.label.built_to,
            {**attempt.label.as_message("bridge_door"), "timeout": left},
            lambda answer: self._reactor.call_soon(lambda: self._on_door_open(attempt, answer)),
        )

    def _on_door_open(self, attempt: _Attempt, answer: Message | SoftgridError) -> None:
        try:
            if isinstance(answer, SoftgridError):
                raise answer
            host = _host_of(attempt.label.built_to, field(answer, "host", str))
            port = field(answer, "port", int)
        except SoftgridError as error:
            attempt.fail(error)
            return
        is_guest = "from_guest" in answer
        self._visiting.run(lambda: self._visit(attempt, host, port, is_guest))

    def _visit(self, attempt: _Attempt, host: str, port: int, is_guest: bool) -> None:
        outcome: Outcome
        try:
            outcome = visit(host, port, attempt.label.password, attempt.deadline)
        except SoftgridError as error:
            outcome = error
        except Exception as error:
            outcome = SoftgridError(f"no connection to port {port} of {host}: {type(error).__name__}: {error}")
        self._reactor.call_soon(lambda: self._on_visited(attempt, outcome, is_guest))

    def _on_visited(self, attempt: _Attempt, outcome: Outcome, is_guest: bool) -> None:
        if isinstance(outcome, SoftgridError):
            attempt.fail(outcome)
        elif attempt.is_over:
            outcome.close()
        else:
            link = link_over(outcome, self._reactor)
            link.is_guest = is_guest
            self._open(attempt, link)

    def _open(self, attempt: _Attempt, link: Link) -> None:
        self._bridges.open(attempt.label.built_to, attempt.label, link)
        attempt.succeed()

    def _local_link(self, sock: socket.socket) -> Link:
        return Link(sock, self._reactor, _nothing, _nothing, passes_descriptors=True)

    # -- the other end --------------------------------------------------------------------------------------------

    def _on_bridge(self, descriptors: Descriptors, message: Message, source: int, answer: Answer) -> None:
        label = self._label_of(message, source)
        self._bridges.open(label.built_from, label, self._local_link(_stream_socket(descriptors)))
        answer({})

    def _on_door(self, message: Message, source: int, answer: Answer, is_guest: bool) -> None:
        label = self._label_of(message, source)
        timeout = check_seconds(message["timeout"])

        def on_entered(link: Link) -> None:
            self._close_door(source)
            link.is_guest = is_guest
            if source in self._bridges.table:
                link.close("there is a bridge already")
            else:
                self._bridges.open(label.built_from, label, link)

        self._close_door(source)
        door = self._doors[source] = Door(self._bind_host, self._reactor, label.password, timeout, on_entered)
        answer({"host": self._bind_host, "port": door.port})

    def _label_of(self, message: Message, source: int) -> Label:
        """Read what a builder says of a bridge that is to end here; raises what is against it."""
        name = str(parse_name(message["from"]))
        if node_id(name) != source:
            raise Undecodable("a bridge in somebody else's name")
        self._check_free(source, name)
        if source in self._attempts and self._tree.node_id < source:  # of two that build at once, one goes on
            raise Duplicate("bridgeToGUN", self._tree.name, "an executor from which no bridge to here is being built")
        return Label(name, self._tree.name, field(message, "number", str), field(message, "password", str))

    def _close_door(self, source: int) -> None:
        door = self._doors.pop(source, None)
        if door is not None:
            door.close()

    # -- the end --------------------------------------------------------------------------------------------------

    def on_gone(self, executors: set[int]) -> None:
        """Executors are gone, and no bridge to them will be there."""
        for executor in executors:
            self._close_door(executor)
            attempt = self._attempts.get(executor)
            if attempt is not None:
                reason = self._tree.departure(NodeId(executor)) or "its connection broke"
                attempt.fail(PeerLost(f"{attempt.label.built_to} is gone: {reason}"))

    def leave(self) -> None:
        """This executor leaves the grid."""
        for source in list(self._doors):
            self._close_door(source)
        for attempt in list(self._attempts.values()):
            attempt.fail(PeerLost(f"{self._tree.name} has left the grid"))
        self._visiting.close()


def _nothing(*told: Any) -> None:
    """What a link is told until a bridge has it."""


def _host_of(name: str, host: str) -> str:
    """Give the host at which *name* opened a door; what it says is believed only as far as its name goes."""
    address = parse_name(name).address
    if host != address and not (host == LOOPBACK and is_local(address)):
        raise NoRoute(f"{name} takes connections from its own machine only; launch it with an address to listen on")
    return host


def _stream_socket(descriptors: Descriptors) -> socket.socket:
    """Give the connected socket that came as a descriptor; raises Undecodable for anything else."""
    if len(descriptors) == 1 and stat.S_ISSOCK(os.fstat(descriptors.numbers[0]).st_mode):
        sock = socket.socket(fileno=os.dup(descriptors.numbers[0]))
        if sock.family == socket.AF_UNIX and sock.type == socket.SOCK_STREAM:
            return sock
        sock.close()
    raise Undecodable("a bridge without a connected socket")
