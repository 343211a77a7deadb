"""One executor at work: builds the parts, joins them, starts them, and takes them down again.

The facade above knows only this object; the parts know each other through what is handed to them here.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from time import time
from typing import Any, NamedTuple

from softgrid._io.link import Link
from softgrid._io.ports import reserve_port
from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.segments import SegmentPool, segment_limit
from softgrid._io.threads import IdleThreads, Serial
from softgrid._launch.local import SupervisorLine
from softgrid._model.errors import Closed, SoftgridError
from softgrid._model.names import GridName, NodeId
from softgrid._model.roles import Role
from softgrid._model.rules import Rules
from softgrid._node.control import Control
from softgrid._node.doorway import Doorway
from softgrid._node.execution import Execution
from softgrid._node.fanout import FanOut
from softgrid._node.functions import FunctionTable
from softgrid._node.launching import Launching
from softgrid._node.logs import QUIET_TYPES, Logs, Sink
from softgrid._node.membership import Membership
from softgrid._node.requests import Requests
from softgrid._node.statistics import Statistics
from softgrid._node.switch import Switch
from softgrid._node.transfers import Failed, Transfers, TransferSpec
from softgrid._state.tree import Tree
from softgrid._util.cores import own_cores
from softgrid._wire.control import Message, decode_control, encode_control
from softgrid._wire.control import field as control_field
from softgrid._wire.framing import AWAITED, MORE, Header, Kind, Outbound

LEAVE_TIMEOUT_S = 0.5
SETTLE_TIMEOUT_S = 1.5


class NodeSpec(NamedTuple):
    """What an executor is made from."""

    role: Role
    name: str
    address: str
    bind_host: str
    port: int
    port_fetch: bool
    password: str
    rules: Rules
    allows_udf: bool
    accepted: frozenset[Role]
    log_kwargs: dict[str, Any]
    methods: frozenset[str]
    prompt_methods: frozenset[str]
    first_port: int | None = None

    def __repr__(self) -> str:
        return f"<NodeSpec {self.role} {self.name}>"  # the password is nobody's to read


class Node:
    """A running executor."""

    def __init__(
        self,
        spec: NodeSpec,
        owner: object,
        open_sink: Callable[[], Sink],
        channel: socket.socket | None = None,
    ) -> None:
        self.spec = spec
        self.rules = spec.rules
        self.born_utc = time()
        self.cores = own_cores()
        self.is_disconnected = False
        self._left = Waiter()
        self._lock = threading.Lock()
        self._port_socket = self._reserve_port(spec)
        address = spec.address
        self.grid_name = GridName(spec.role, spec.name, address, os.getpid(), self._port_socket.getsockname()[1])
        self.name = str(self.grid_name)
        self.returned_results: dict[str, list[Any]] = {}
        self._chores = Serial("softgrid-results", self._on_bug)

        self.reactor = Reactor(self._on_bug)
        self.tree: Tree[Link] = Tree(self.name, spec.role)
        self.segments = SegmentPool(self.reactor, self._segment_limit)
        self.switch = Switch(self.tree, self.segments, self.reactor.run_in_turn, self._on_unroutable)
        self.switch.on_bug = self._on_bug
        self.transfers = Transfers(self.tree, self.switch, self.reactor, self._on_uncollected, self._keep_named)
        self.control = Control(self.switch, self.reactor, self.transfers.inflight, self.tree.node_id)
        self.logs = Logs(self.name, self.switch, self.reactor, self.control, spec.log_kwargs, open_sink)
        self.membership = Membership(
            self.tree,
            self.switch,
            self.control,
            self.transfers,
            self.logs,
            spec.accepted,
            self._on_upgrid_lost,
        )
        self.requests = Requests(self.tree, self.switch, self.reactor, self.control, self.transfers.inflight, self.logs)
        self.membership.gone_hooks.append(self.requests.on_gone)
        line = SupervisorLine(channel, self.reactor) if channel is not None else None
        self.launching = Launching(
            self.tree,
            self.switch,
            self.control,
            self.membership,
            self.logs,
            self.reactor,
            lambda: self.rules,
            address,
            spec.bind_host,
            self.cores,
            line,
        )
        self.functions = FunctionTable(owner, spec.methods, spec.prompt_methods)
        self.fanout = FanOut(self.tree, self.switch, self.functions)
        self.execution = Execution(
            owner,
            self.switch,
            self.reactor,
            spec.rules,
            self.functions,
            allows_udf=spec.allows_udf,
            on_event=self._on_execution_event if any(map(self.logs.is_said, QUIET_TYPES)) else None,
            on_options=self.fanout.on_options,
        )
        self.execution.ask_for = self._ask_for_function  # type: ignore[method-assign]
        self.fanout.accept = self.execution.accept
        self.control.notices.update(want_function=self._on_want_function, function=self._on_function)
        self.control.methods["statistics"] = lambda message, source, answer: answer(self.statistics().as_dict())
        self.control.methods["locate"] = self._on_locate
        self.control.methods["settle"] = self._on_settle
        self.switch.deliver.update(
            {
                Kind.CALL: self.execution.on_call,
                Kind.RESULT: self.transfers.on_result,
                Kind.REFUSED: self._on_refused,
                Kind.CONTROL: self.control.on_control,
                Kind.LOG: self.logs.on_log,
            }
        )
        self._doorway = self._open_doorway()
        self.on_upgrid_lost: Callable[[str], None] = lambda reason: None

    # -- making ---------------------------------------------------------------------------------------------------

    def _segment_limit(self) -> int:
        limit: int | None = self.rules["executor_maximum_shared_memory"]
        return segment_limit() if limit is None else limit

    def _reserve_port(self, spec: NodeSpec) -> socket.socket:
        listens = spec.role != "worker"
        return reserve_port(
            spec.bind_host,
            spec.port,
            fetch=spec.port_fetch,
            listen=listens,
            first_try=spec.first_port,
        )

    def _open_doorway(self) -> Doorway | None:
        if self.spec.role == "worker":
            return None
        return Doorway(self._port_socket, self.reactor, self.spec.password, self._on_entered, self._on_stranger)

    def _on_entered(self, sock: socket.socket, source: str) -> None:
        link = Link(sock, self.reactor, self.switch.on_readable, self.membership.on_link_closed)
        self.membership.expect(link, lambda error, name: None)
        link.open()

    def _on_stranger(self, source: str, reason: str) -> None:
        self.logs.say(
            "warn",
            f"a connection from {source} to port {self.grid_name.port} was refused: {reason}",
        )

    def _on_bug(self, error: BaseException) -> None:
        import traceback

        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.logs.record(
            "error",
            f"softgrid itself failed in {self.name}, please report this: {error}",
            tback=text,
        )

    # -- joining and serving --------------------------------------------------------------------------------------

    def adopt_uplink(self, sock: socket.socket) -> None:
        """Take a connected socket as the way up and ask for a place there."""
        link = Link(
            sock, self.reactor, self.switch.on_readable, self.membership.on_link_closed, passes_descriptors=True
        )
        link.open()
        self.membership.ask_to_join(link, {"name": self.name, "cores": self.cores, "password": self.spec.password})

    def serve(self) -> None:
        """Run what others send, in this thread, until the executor leaves the grid."""
        work = self.execution.work
        while not self.is_disconnected:
            self.reactor.wait(work, yields=True)
            work.clear()
            if self.execution.queued:
                self.reactor.start_background()
                self.execution.run_queue()

    def serve_in_background(self) -> None:
        """Run what others send in a thread of its own; for executors that live in somebody else's process."""
        self.reactor.start_background()
        threads = IdleThreads("softgrid-queue", idle_limit=1)
        running = threading.Lock()

        def drain() -> None:
            while self.execution.queued and running.acquire(blocking=False):
                try:
                    self.execution.run_queue()
                finally:
                    running.release()

        self.execution.serve_elsewhere = lambda: threads.run(drain)

    # -- messages that concern the whole executor -----------------------------------------------------------------

    def _on_unroutable(self, link: Link, header: Header, why: str) -> None:
        if header.kind not in (Kind.CALL, Kind.CONTROL, *AWAITED) or header.flags & MORE:
            return
        known = self.tree.departure(NodeId(header.destination))
        refusal = {
            "op": "refused",
            "target": header.destination,
            "reason": f"is gone: {known}" if known else why,
        }
        self.switch.send(Kind.REFUSED, header.source, header.message_id, Outbound(encode_control(refusal)))

    def _on_refused(self, link: Link, source: int, message_id: int, body: bytes) -> None:
        message = decode_control(body)
        refusal = message_id, control_field(message, "target", int), control_field(message, "reason", str)
        self.transfers.on_refused(*refusal)
        self.requests.on_refused(*refusal)

    def _ask_for_function(self, source: int, digest: bytes) -> None:
        self.control.tell_id(source, {"op": "want_function", "digest": digest.hex()})

    def _on_want_function(self, link: Any, message: Message, source: int) -> None:
        digest = bytes.fromhex(control_field(message, "digest", str))
        body = self.transfers.encoder.kept_function(digest) or self.functions.body_of(digest)
        found = body.hex() if body is not None else None
        self.control.tell_id(source, {"op": "function", "digest": digest.hex(), "body": found})

    def _on_function(self, link: Any, message: Message, source: int) -> None:
        body = message.get("body")
        digest = bytes.fromhex(control_field(message, "digest", str))
        self.execution.on_function(source, digest, bytes.fromhex(body) if isinstance(body, str) else b"")

    def _on_locate(self, message: Message, source: int, answer: Callable[[Message], None]) -> None:
        name = control_field(message, "name", str)
        path = self.tree.path_of(name)
        if path is not None or self.tree.upgrid is None:
            answer({"located_by": self.name if path else None, "path": list(path or ())})
            return
        self.control.ask(
            self.tree.upgrid,
            message,
            lambda found: answer({"located_by": None, "path": []} if isinstance(found, SoftgridError) else found),
        )

    def _on_settle(self, message: Message, source: int, answer: Callable[[Message], None]) -> None:
        """Answer when all that was said in this subtree is on its way up, ahead of the answer."""
        if self.logs.before_record is not None:
            self.logs.before_record()
        below = [member.name for member in self.tree.direct()]
        missing = len(below) + 1

        def on_one(found: object = None) -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                answer({})

        for name in below:
            self.control.ask(name, {"op": "settle"}, on_one)
        self.launching.settle(on_one)

    def settle(self, timeout: float) -> None:
        """Wait until what the executors below have said so far is here."""
        waiter = Waiter()
        self.reactor.run_in_turn(lambda: self._on_settle({}, 0, lambda found: waiter.set()))
        self.reactor.wait(waiter, timeout)

    def _on_execution_event(self, log_type: str, label: str) -> None:
        if self.logs.is_said(log_type):
            self.logs.say(log_type, f"{log_type.replace('_', ' ')}: {label}")

    # -- work of the facade ---------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise Closed when the executor has left its grid."""
        if self.is_disconnected:
            raise Closed(f"{self.name} has left the grid")

    def transfer(self, spec: TransferSpec) -> list[Any] | None:
        """Send work to others, and collect when asked to."""
        self.check_open()
        return self.transfers.transfer(spec)

    def _keep_named(self, name: str, result: Any) -> None:
        self.returned_results.setdefault(name, []).append(result)

    def _on_uncollected(self, name: str, kwargs: Mapping[str, Any], read: Callable[[], Any]) -> None:
        self._chores.run(lambda: self._handle_uncollected(name, kwargs, read))

    def _handle_uncollected(self, name: str, kwargs: Mapping[str, Any], read: Callable[[], Any]) -> None:
        result = read()
        handling = kwargs.get("result_handling") or {}
        if isinstance(result, Failed):
            self.logs.say("error", f"a transfer to {name} failed: {result.error}")
        elif handling.get("return_result", True):
            if handling.get("result_name") is not None:
                self._keep_named(handling["result_name"], result)
            else:
                self.logs.say("result", f"result from {name}", data=result)

    def locate(self, name: str, timeout: float) -> Message:
        """Find the path of an executor, asking up the grid where it is not known here."""
        path = self.tree.path_of(name)
        if path is not None:
            return {"located_by": self.name, "path": list(path)}
        if self.tree.upgrid is None:
            return {"located_by": None, "path": []}
        return self.control.ask_and_wait(self.tree.upgrid, {"op": "locate", "name": name}, timeout)

    def statistics(self) -> Statistics:
        """Take stock of this executor."""
        links = self.links()
        return Statistics(
            name=self.name,
            tasks_finished=self.execution.finished,
            tasks_failed=self.execution.failed,
            tasks_queued=self.execution.queued,
            busy_s=self.execution.busy_s,
            calls_in_flight=len(self.transfers.inflight),
            frames_sent=sum(link.frames_sent for link in links),
            frames_received=sum(link.frames_received for link in links),
            bytes_sent=sum(link.bytes_sent for link in links),
            bytes_received=sum(link.bytes_received for link in links),
            frames_relayed=self.switch.relayed_frames,
            frames_dropped=self.switch.dropped_frames,
            log_records_written=self.logs.written,
            **self.segments.statistics(),
        )

    def statistics_of(self, name: str, timeout: float) -> Statistics:
        """Take stock of another executor."""
        if name == self.name:
            return self.statistics()
        return Statistics.from_dict(self.control.ask_and_wait(name, {"op": "statistics"}, timeout))

    # -- leaving --------------------------------------------------------------------------------------------------

    def _on_upgrid_lost(self, reason: str) -> None:
        self.on_upgrid_lost(reason)

    def leave(self, *, kill_local_downgrids: bool = True) -> None:
        """Leave the grid in good order: say so, end what was launched from here, close everything. Harmless twice."""
        with self._lock:
            if self.is_disconnected:
                return
            self.is_disconnected = True
        if self.tree.members and not self.reactor.holds_turn():
            self.settle(SETTLE_TIMEOUT_S)
        self.membership.leaves = True
        self.membership.say_bye()
        if kill_local_downgrids:
            self.launching.kill_children()
        uplink = self.switch.uplink
        if uplink is not None and not self.reactor.holds_turn():
            uplink.flush(LEAVE_TIMEOUT_S)
        self._chores.drain(LEAVE_TIMEOUT_S)
        self.logs.drain(LEAVE_TIMEOUT_S)
        if self._doorway is not None:
            self._doorway.close()
        self._port_socket.close()
        self.launching.end(LEAVE_TIMEOUT_S)
        for link in self.links():
            link.close("left the grid")
        self.execution.work.set()
        self.segments.close()
        self.reactor.close()

    def abandon(self) -> None:
        """In a forked process: let go of everything without a word, since it belongs to the parent."""
        self.is_disconnected = True
        self.membership.leaves = True
        self.reactor.abandon()
        self._port_socket.close()
        for link in self.links():
            link.abandon()
        self.launching.abandon()

    def links(self) -> set[Link]:
        """The links to all neighbours."""
        links = {member.hop for member in self.tree.direct()} | self.membership.joining()
        if self.switch.uplink is not None:
            links.add(self.switch.uplink)
        return links
