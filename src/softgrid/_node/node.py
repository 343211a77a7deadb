"""One executor at work: builds the parts, joins them, starts them, and takes them down again.

The facade above knows only this object; the parts know each other through what is handed to them here.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from time import monotonic, time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrid._io.link import Link
from softgrid._io.machine_id import machine_id
from softgrid._io.ports import reserve_port
from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.segments import SegmentPool, segment_limit
from softgrid._io.slate import Slate
from softgrid._io.threads import IdleThreads, Serial
from softgrid._launch.local import LocalLine
from softgrid._model.errors import Cancelled, Closed, SoftgridError, Undecodable
from softgrid._model.names import GridName, NodeId
from softgrid._model.roles import Role
from softgrid._model.rules import Rules
from softgrid._model.transfer import Failed, TransferSpec
from softgrid._node.admission import Admission
from softgrid._node.bridge_building import BridgeBuilding
from softgrid._node.bridge_heirs import BridgeHeirs
from softgrid._node.bridges import Bridges, pairs_in
from softgrid._node.cancelling import Cancelling
from softgrid._node.control import Control
from softgrid._node.doorway import Doorway
from softgrid._node.execution import Execution
from softgrid._node.fanout import FanOut
from softgrid._node.functions import FunctionTable
from softgrid._node.garbage import Garbage
from softgrid._node.giving import LIMIT_RULE, Giving, concerns_stores
from softgrid._node.health import Health
from softgrid._node.heirs import Heirs
from softgrid._node.home import Home, has_packages
from softgrid._node.joining import Joining
from softgrid._node.killing import Killing
from softgrid._node.launching import Launching
from softgrid._node.logs import QUIET_TYPES, Logs, Sink
from softgrid._node.membership import Membership
from softgrid._node.modules import Modules
from softgrid._node.promises import Promises
from softgrid._node.quarantine import Quarantine
from softgrid._node.relaunching import Relaunching
from softgrid._node.requests import Requests
from softgrid._node.reserving import Reserving
from softgrid._node.resuming import Resuming
from softgrid._node.scheduling import Scheduling
from softgrid._node.statistics import Statistics
from softgrid._node.switch import Switch
from softgrid._node.transfers import Transfers
from softgrid._node.translations import Translations
from softgrid._node.workers import Workers
from softgrid._state.health import Terms
from softgrid._state.inflight import Matches
from softgrid._state.refusals import SUMMARY_S, Refusals
from softgrid._state.reservations import Reservations
from softgrid._state.tree import Member, Tree
from softgrid._util.cores import own_cores
from softgrid._wire.control import Message, decode_control, encode_control
from softgrid._wire.control import field as control_field
from softgrid._wire.framing import AWAITED, MORE, Header, Kind, Outbound

if TYPE_CHECKING:
    from softgrid._io.resumable import ResumableStream
    from softgrid._io.resumable_link import ResumableLink
    from softgrid._node.stores import Stores

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
    rules: Rules
    allows_udf: bool
    accepted: frozenset[Role]
    log_kwargs: dict[str, Any]
    methods: frozenset[str]
    prompt_methods: frozenset[str]
    permanent: str
    ordered_methods: frozenset[str] = frozenset()
    users_methods: frozenset[str] = frozenset()
    own_rules: Mapping[str, Any] = MappingProxyType({})
    """What was given beside the rules of the grid, and holds whatever grid is joined."""
    is_udf_given: bool = False
    terms: Terms = Terms()
    """How often executors on other machines must give signs of life, and for how long they may give none."""


class Node:
    """An executor, made of its parts by the constructor; ``open`` gives it what is its own, and it runs.

    What is not opened yet holds no descriptor, name or thread: it may be copied by a fork as often as one likes.
    """

    def __init__(self, spec: NodeSpec, owner: object, open_sink: Callable[[], Sink]) -> None:
        self.spec = spec
        self.rules = spec.rules
        self.password = ""
        self.born_utc = 0.0
        self.cores = own_cores()
        self._machine = machine_id()
        self.is_disconnected = False
        self._left = Waiter()
        self._lock = threading.Lock()
        self._port_socket: socket.socket
        self.grid_name = GridName(spec.role, spec.name, spec.address, 0, 0)
        self.returned_results: dict[str, list[Any]] = {}
        self._chores = Serial("softgrid-results", self._on_bug)
        self._servants = IdleThreads("softgrid-queue", idle_limit=1)

        self.reactor = Reactor(self._on_bug, is_open=False)
        self.tree: Tree[Link] = Tree(str(self.grid_name), spec.role)
        self.segments = SegmentPool(self.reactor, self._segment_limit)
        self.switch = Switch(self.tree, self.segments, self.reactor.run_in_turn, self._on_unroutable)
        self.switch.on_bug = self._on_bug
        self.switch.compression_level = spec.rules["transfer_compression_level"]
        self.transfers = Transfers(self.tree, self.switch, self.reactor, self._on_uncollected, self._keep_named)
        self.control = Control(self.switch, self.reactor, self.transfers.inflight, self.tree)
        self.logs = Logs(self.tree, self.switch, self.reactor, self.control, spec.log_kwargs, open_sink)
        self.membership = Membership(
            self.tree,
            self.switch,
            self.control,
            self.transfers,
            self.logs,
            spec.accepted,
            self._on_upgrid_lost,
        )
        self.health = Health(self.membership, self.control, self.logs, self.reactor, spec.terms)
        self.requests = Requests(self.tree, self.switch, self.reactor, self.control, self.transfers.inflight, self.logs)
        self.membership.gone_hooks.append(self.requests.on_gone)
        self.bridges = Bridges(self.tree, self.switch, self.control, self.reactor)
        self.bridge_building = BridgeBuilding(self.tree, self.bridges, self.control, self.reactor, spec.bind_host)
        self.bridges.on_lost = self.membership.mourn
        self.bridges.warn = lambda text: self.logs.say("warn", text)
        self.transfers.bridges = self.bridges.table
        self.membership.before_gone = self._before_gone
        self.launching = Launching(
            self.tree,
            self.switch,
            self.control,
            self.membership,
            self.logs,
            self.reactor,
            lambda: self.rules,
            spec.address,
            spec.bind_host,
            self.cores,
            self.health,
        )
        self.transfers.last_calls = self.membership.last_calls
        self.heirs = Heirs(self.tree, self.control, self.reactor)
        self.transfers.place_again = self._place_again
        self.cancelling = Cancelling(
            self.tree, self.control, self.transfers, self.launching, self.reactor, lambda: self.rules
        )
        self._relaunching = self._relaunch_what_is_lost() if spec.role == "orchestrator" else None
        self._giving = self._remember_what_is_given()
        self.modules = Modules(self.tree, self.control, self.reactor, self._on_bug)
        self.functions = FunctionTable(
            owner,
            spec.methods,
            spec.prompt_methods,
            ordered_methods=spec.ordered_methods,
            users_methods=spec.users_methods,
        )
        self.home: Home
        self._stores: Stores | None = None
        self.killing = Killing(self.tree, self.switch, self.control, self.membership, self.launching, self.reactor)
        self.quarantine = Quarantine(self.tree, self.membership, self.logs, self.launching.kill_child)
        self.switch.on_forged, self.switch.on_nonsense = self.quarantine.on_forged, self.quarantine.on_nonsense
        self.garbage = Garbage(self.tree, self.control)
        self.fanout = FanOut(self.tree, self.switch, self.functions)
        self.execution = Execution(
            owner,
            self.bridges,
            self.reactor,
            spec.rules,
            self.functions,
            allows_udf=spec.allows_udf,
            on_event=self._on_execution_event if any(map(self.logs.is_said, QUIET_TYPES)) else None,
            on_options=self.fanout.on_options,
        )
        self.promises = Promises(self.tree, self.execution, self.reactor, self.control, self.logs)
        reservations = Reservations()
        self.workers = Workers(self.tree, self.transfers.inflight, reservations.held_by)
        self.reserving = Reserving(self.tree, self.control, reservations, self.workers)
        self.scheduling = Scheduling(
            self.tree, self.reactor, self.functions, self.transfers, self.workers, self.reserving, self.logs
        )
        self.membership.on_gone += [self.promises.on_gone, self.reserving.on_gone, self.workers.on_gone]
        self._admission = Admission(
            self.tree,
            self.control,
            self.membership,
            self.launching.places,
            self.logs,
            self.reactor,
            lambda: self.rules,
            self._link_over,
            self.health,
        )
        self._joining = Joining(
            self.tree,
            self.switch,
            self.membership,
            self.reactor,
            self._link_over,
            self._replay_limit,
            self._adopt_rules,
            self.health,
        )
        self._serving = threading.Lock()
        self.execution.ask_for = self._ask_for_function  # type: ignore[method-assign]
        self.translations = Translations(self._ask_for_source, self.execution.bring_back, self.execution.give_up)
        self.execution.translate = self.translations.translate  # type: ignore[method-assign]
        self.execution.withdraw_elsewhere = self.translations.withdraw
        self.membership.on_gone += [self.translations.forget, self.execution.forget]
        self.fanout.accept = self.execution.accept
        self.control.notices.update(want_function=self._on_want_function, function=self._on_function)
        self.control.notices["cancel"] = self._on_cancel
        self.control.notices.update(want_source=self._on_want_source, source=self._on_source)
        self.control.methods["statistics"] = lambda message, source, answer: answer(self.statistics().as_dict())
        self.control.methods["locate"] = self._on_locate
        self.control.methods["settle"] = self._on_settle
        for asked in (
            "statistics",
            "locate",
            "settle",
            "collect_garbage",
            "add_promise",
            "remove_promise",
            "release_request",
        ):
            self.control.guest_methods[asked] = self.control.methods[asked]
        self.switch.deliver.update(
            {
                Kind.CALL: self.execution.on_call,
                Kind.RESULT: self.transfers.on_result,
                Kind.REFUSED: self._on_refused,
                Kind.CONTROL: self.control.on_control,
                Kind.LOG: self.logs.on_log,
            }
        )
        self._heed_limits(spec.rules)
        self._refusals = Refusals()
        self._resuming = Resuming(
            self.reactor, self._replay_limit, self._certificate, self._admission.on_entered, self._on_stranger
        )
        self._doorway: Doorway | None = None
        self.on_upgrid_lost: Callable[[str], None] = lambda reason: None

    # -- making ---------------------------------------------------------------------------------------------------

    def open(
        self, password: str, home: str, first_port: int | None = None, channel: socket.socket | None = None
    ) -> None:
        """Begin to be somebody, in the process that this executor is to live in.

        *first_port* is to be tried first; *channel* leads to the supervisor, if one has forked this process.
        """
        self._port_socket = self._reserve_port(self.spec, first_port)
        self.password = password
        self.born_utc = time()
        self.reactor.open()
        port: int = self._port_socket.getsockname()[1]
        self.grid_name = self.grid_name._replace(pid=os.getpid(), port=port)
        self.tree.take_name(str(self.grid_name))
        self.home = Home(home, self.launching.ensure_supervisor)
        self.launching.move_in(self._machine, home, LocalLine(channel, self.reactor) if channel is not None else None)
        if has_packages(self.spec.permanent):
            self.stores.packages.look_in("permanent")
        self._doorway = self._open_doorway()

    @property
    def name(self) -> str:
        """The grid unique name of this executor."""
        return self.tree.name

    def _segment_limit(self) -> int:
        limit: int | None = self.rules["executor_maximum_shared_memory"]
        return segment_limit() if limit is None else limit

    def _reserve_port(self, spec: NodeSpec, first_port: int | None) -> socket.socket:
        listens = spec.role != "worker"
        return reserve_port(
            spec.bind_host,
            spec.port,
            fetch=spec.port_fetch,
            listen=listens,
            first_try=first_port,
        )

    def _open_doorway(self) -> Doorway | None:
        if self.spec.role == "worker":
            return None
        return Doorway(self._port_socket, self.reactor, self.password, self._resuming.on_entered, self._on_stranger)

    def _certificate(self) -> bytes:
        identity = self._doorway.identity() if self._doorway is not None else None
        return identity.certificate if identity is not None else b""

    def _replay_limit(self) -> int | None:
        limit: int | None = self.rules["link_maximum_unacknowledged"]
        return limit

    def _link_over(self, stream: ResumableStream) -> ResumableLink:
        """Make a link of private connections to another machine."""
        from softgrid._io.resumable_link import ResumableLink  # loads what only those need whom somebody joins by hand

        silence_s = self.health.terms.tolerance_s
        link = ResumableLink(stream, self.reactor, self.switch.on_readable, self.membership.on_link_closed, silence_s)
        link.on_doubt = self._on_doubt
        return link

    def _on_doubt(self, link: Link, reason: str | None) -> None:
        """A link was cut, or is there again."""
        if link.peer is not None:
            self.membership.suspect(link.peer, reason)

    def _on_stranger(self, source: str, reason: str) -> None:
        if self._refusals.is_empty:
            self.reactor.call_later(SUMMARY_S, lambda: self._say_of_strangers(self._refusals.take_summary()))
        first = self._refusals.note(source, reason)
        self._say_of_strangers([first] if first else [])

    def _say_of_strangers(self, texts: list[str]) -> None:
        for text in texts:
            self.logs.say("warn", f"at port {self.grid_name.port}: {text}")

    def _on_bug(self, error: BaseException) -> None:
        import traceback

        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.logs.record(
            "error",
            f"softgrid itself failed in {self.name}, please report this: {error}",
            tback=text,
        )

    def _relaunch_what_is_lost(self) -> Relaunching:
        relaunching = Relaunching(self.reactor, self.launching.launch_anew, self.logs.say)
        self.launching.on_launched = relaunching.on_launched
        bridge_heirs = BridgeHeirs(self.tree, self.control, self.logs.say)
        self.heirs.serve()

        def on_lost(gone: list[Member[Link]], reason: str, is_orderly: bool) -> None:
            self.heirs.on_lost(gone)
            relaunching.on_lost(gone, reason, is_orderly)

        def on_heir(lost: str, heir: str) -> None:
            bridge_heirs.on_heir(lost, heir)
            self.heirs.on_decided(lost, heir)

        self.membership.on_lost = on_lost
        relaunching.on_heir = on_heir
        relaunching.on_no_heir = lambda lost: self.heirs.on_decided(lost, None)
        return relaunching

    def _remember_what_is_given(self) -> Giving:
        def is_own(lost: str, upgrid: str) -> bool:
            return upgrid == self.name

        returning = self._relaunching
        giving = Giving(
            self.tree,
            self.switch,
            self.transfers,
            self.logs,
            self.spec.rules[LIMIT_RULE],
            self.launching.may_return if returning is None else returning.may_return,
            is_own if returning is None else returning.is_expected,
        )
        self.membership.on_heir = giving.on_heir
        self.membership.on_left = giving.forget
        return giving

    # -- joining and serving --------------------------------------------------------------------------------------

    def adopt_uplink(self, sock: socket.socket, *, passes_descriptors: bool) -> None:
        """Take a connected socket as the way up and ask for a place there."""
        link = Link(
            sock,
            self.reactor,
            self.switch.on_readable,
            self.membership.on_link_closed,
            passes_descriptors=passes_descriptors,
        )
        link.open()
        self.membership.ask_to_join(link, self._introduction())

    def join(self, address: str, port: int, password: str, timeout: float, key: str | None) -> None:
        """Join a grid by hand, under the executor that listens there; raises what went wrong. Blocks."""
        self.check_open()
        introduction = {**self._introduction(), "key": key}
        self._joining.connect(address, port, password, timeout, introduction)

    def _introduction(self) -> Message:
        about = {
            "name": self.name,
            "cores": self.cores,
            "machine": self._machine,
            "allows_udf": self.execution.allows_udf,
        }
        return {**about, "password": self.password}

    def _adopt_rules(self, given: Message) -> None:
        """Go by the rules of the grid that was joined; what was given to this executor itself is laid over them."""
        rules = Rules({**given, **self.spec.own_rules})
        allows_udf = self.execution.allows_udf if self.spec.is_udf_given else rules.may_execute(self.spec.role)
        self.rules = rules
        self.switch.compression_level = rules["transfer_compression_level"]
        self._heed_limits(rules)
        self.launching.is_at_home = False
        self.execution.go_by(rules, allows_udf=allows_udf)

    def _heed_limits(self, rules: Rules) -> None:
        """Give each part the bounds that the rules put on what it holds."""
        largest = rules["transfer_maximum_message_bytes"]
        self.switch.max_message_bytes = 2 * segment_limit() if largest is None else largest
        self.switch.on_too_large = self._on_too_large
        self.transfers.maximum_open = rules["transfer_maximum_open_calls"]
        self.requests.responder.limit(rules["request_maximum_waiting"])
        self.logs.ring.max_bytes = rules["log_maximum_waiting_bytes"]

    def _on_too_large(self, kind: int, source: int, message_id: int, reason: str) -> None:
        if kind == Kind.CALL:
            self.execution.refuse(source, message_id, f"the call cannot be taken: {reason}")
        elif kind == Kind.RESULT:
            self.transfers.on_result_too_large(source, message_id, reason)
        else:
            self.logs.say("warn", f"a {Kind(kind).name.lower()} was dropped: {reason}")

    def serve_later(self) -> None:
        """Keep what others send until a thread calls ``serve``."""
        self.execution.serve_elsewhere = None

    def serve(self) -> None:
        """Run what others send, in this thread, until the executor leaves the grid."""
        self.serve_later()
        work = self.execution.work
        work.set()
        while not self.is_disconnected:
            self.reactor.wait(work, yields=True)
            work.clear()
            if self.execution.queued:
                self.reactor.start_background()
                with self._serving:
                    self.execution.run_queue()

    def serve_in_background(self) -> None:
        """Run what others send in a thread of its own; for executors that live in somebody else's process."""
        self.reactor.start_background()

        def drain() -> None:
            while self.execution.queued and self._serving.acquire(blocking=False):
                try:
                    self.execution.run_queue()
                finally:
                    self._serving.release()

        self.execution.serve_elsewhere = lambda: self._servants.run(drain)

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
        target, reason = control_field(message, "target", int), control_field(message, "reason", str)
        if not self.tree.may_speak_of(source, target):
            raise Undecodable("a refusal of somebody who is not on the way")
        self.transfers.on_refused(message_id, target, reason)
        self.requests.on_refused(message_id, target, reason)
        if link is self.switch.hop_to(target):
            self.promises.on_gone({target})

    def _before_gone(self, gone: set[int]) -> None:
        """Executors are gone; their bridges must know before their calls do."""
        self.bridges.on_gone(gone)
        self.bridge_building.on_gone(gone)

    def _on_cancel(self, link: Any, message: Message, source: int) -> None:
        self.execution.cancel(source, control_field(message, "id", int))

    def _place_again(
        self, index: int, name: str, is_gone: bool | None, on_place: Callable[[str | SoftgridError], None]
    ) -> None:
        """Say where a call goes that is tried again: to the same executor, or to whoever stands in for it."""
        if is_gone is False:
            on_place(name)
        else:
            self.heirs.ask(name, on_place, is_lost=is_gone is True)

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

    def _ask_for_source(self, source: int, digest: bytes) -> None:
        self.control.tell_id(source, {"op": "want_source", "digest": digest.hex()})

    def _on_want_source(self, link: Any, message: Message, source: int) -> None:
        digest = bytes.fromhex(control_field(message, "digest", str))
        answer = {"op": "source", "digest": digest.hex()}
        try:
            answer["body"] = self.transfers.encoder.portable_function(digest).hex()
        except SoftgridError as error:
            answer["reason"] = str(error)
        self.control.tell_id(source, answer)

    def _on_source(self, link: Any, message: Message, source: int) -> None:
        digest, body = bytes.fromhex(control_field(message, "digest", str)), message.get("body")
        found = bytes.fromhex(body) if isinstance(body, str) else b""
        self.translations.on_translated(source, digest, found, str(message.get("reason")))

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

    @property
    def stores(self) -> Stores:
        """What this executor keeps; made when it is first asked for, since many never are."""
        if self._stores is None:
            from softgrid._node.stores import Stores

            with self._lock:
                if self._stores is None:
                    self._stores = Stores(self.home, self.spec.permanent, self.functions.stored)
            if self.is_disconnected:
                self._stores.close()
        return self._stores

    # -- work of the facade ---------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise Closed when the executor has left its grid."""
        if self.is_disconnected:
            raise Closed(f"{self.name} has left the grid")

    def transfer(self, spec: TransferSpec) -> list[Any] | None:
        """Send work to others, and collect when asked to."""
        self.check_open()
        if concerns_stores(spec.transfer_kwargs):
            return self._giving.transfer(spec)
        return self.transfers.transfer(spec)

    def cancel(self, matches: Matches, grace_s: float | None) -> list[tuple[str, str | None]]:
        """Take calls back; gives for each who had it, and why it is not over."""
        self.check_open()
        return self.cancelling.cancel(matches, grace_s)

    def build_bridge(self, to: str, begins: str, timeout: float) -> str:
        """Have a bridge built; gives its password."""
        self.check_open()
        return self.bridge_building.build(to, begins, timeout)

    def destroy_bridge(self, to: str, password: str, timeout: float) -> None:
        """Destroy the bridge between this executor and another one."""
        self.check_open()
        self.bridges.destroy(to, password, timeout)

    def bridges_of(self, names: list[str], timeout: float | None) -> list[list[tuple[str, str]] | SoftgridError]:
        """Ask executors for their bridges, each as from where to where it was built; blocks until all have answered."""
        self.check_open()
        return [pairs_in(answer) for answer in self.control.ask_each(names, {"op": "bridges"}, timeout)]

    def _keep_named(self, name: str, result: Any) -> None:
        self.returned_results.setdefault(name, []).append(result)

    def _on_uncollected(self, name: str, kwargs: Mapping[str, Any], read: Callable[[], Any]) -> None:
        self._chores.run(lambda: self._handle_uncollected(name, kwargs, read))

    def _handle_uncollected(self, name: str, kwargs: Mapping[str, Any], read: Callable[[], Any]) -> None:
        result = read()
        handling = kwargs.get("result_handling") or {}
        if isinstance(result, Failed):
            if isinstance(result.error, Cancelled) or getattr(result.error, "is_cancelled", False):
                return  # whoever asked for that has been told
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
            tasks_running=self.execution.running,
            promises_held=self.execution.decide(lambda queue: queue.promises),
            busy_s=self.execution.busy_s,
            calls_in_flight=len(self.transfers.inflight),
            frames_sent=sum(link.frames_sent for link in links),
            frames_received=sum(link.frames_received for link in links),
            bytes_sent=sum(link.bytes_sent for link in links),
            bytes_received=sum(link.bytes_received for link in links),
            frames_relayed=self.switch.relayed_frames,
            frames_dropped=self.switch.dropped_frames,
            log_records_written=self.logs.written,
            executors_suspected=sum(self.tree.suspicion(member.name) is not None for member in self.tree.below()),
            **self.segments.statistics(),
        )

    def statistics_of(self, name: str, timeout: float) -> Statistics:
        """Take stock of another executor."""
        if name == self.name:
            return self.statistics()
        statistics = Statistics.from_dict(self.control.ask_and_wait(name, {"op": "statistics"}, timeout))
        self.workers.on_told(name, statistics.tasks_queued + statistics.tasks_running + statistics.promises_held)
        return statistics

    # -- leaving --------------------------------------------------------------------------------------------------

    def _on_upgrid_lost(self, reason: str) -> None:
        if not self._joining.on_uplink_lost(reason):
            self.on_upgrid_lost(reason)

    def leave(self, *, kill_local_downgrids: bool = True) -> None:
        """Leave the grid in good order: say so, end what was launched from here, close everything. Harmless twice."""
        with self._lock:
            if self.is_disconnected:
                return
            self.is_disconnected = True
        if self.tree.members and not self.reactor.holds_turn():
            self.settle(SETTLE_TIMEOUT_S)
        if not self.reactor.holds_turn():
            self.bridges.flush(LEAVE_TIMEOUT_S)
        self.membership.leaves = True
        self.bridges.leave()
        self.bridge_building.leave()
        if self._relaunching is not None:
            self._relaunching.is_over = True
        self.membership.say_bye()
        if kill_local_downgrids:
            self.launching.kill_children()
        if not self.reactor.holds_turn():
            self._flush_farewells()
        self._chores.drain(LEAVE_TIMEOUT_S)
        self.logs.drain(LEAVE_TIMEOUT_S)
        if self._doorway is not None:
            self._doorway.close()
            self._resuming.close()
        self._port_socket.close()
        self.launching.end(LEAVE_TIMEOUT_S)
        if self._stores is not None:
            self._stores.close()
        self.home.remove()
        for link in self.links():
            link.close("left the grid")
        self.execution.work.set()
        self.execution.close()
        self._servants.close()
        self.modules.close()
        self.segments.close()
        self.reactor.close()

    def _flush_farewells(self) -> None:
        """See the last words off that somebody may still read: the upgrid, and who joined from another machine."""
        deadline = monotonic() + LEAVE_TIMEOUT_S
        for link in self.links():
            if link is self.switch.uplink or not link.passes_descriptors:
                link.flush(max(0.0, deadline - monotonic()))

    def abandon(self) -> None:
        """In a forked process: let go of everything without a word, since it belongs to the parent."""
        self.is_disconnected = True
        self.membership.leaves = True
        self.execution.slate = Slate()
        self.reactor.abandon()
        self._port_socket.close()
        self.launching.abandon()
        for link in self.links():
            link.abandon()

    def links(self) -> set[Link]:
        """The links to all neighbours."""
        links = {member.hop for member in self.tree.direct()} | self.membership.joining() | set(self.bridges.links())
        if self.switch.uplink is not None:
            links.add(self.switch.uplink)
        return links
