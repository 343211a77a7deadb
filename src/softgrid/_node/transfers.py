"""Sending work to others and collecting what comes back.

A transfer is a batch of calls, one per target. All are sent before the first answer is awaited; the same kwargs for
many targets are encoded once. A function travels to a target once and is called by its digest afterwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.segments import THRESHOLD
from softgrid._model.causes import remarked
from softgrid._model.errors import BadArgument, Cancelled, NoRoute, PeerLost, Refused, SoftgridError, TimedOut
from softgrid._model.names import node_id
from softgrid._model.transfer import Failed, TransferSpec
from softgrid._node.bridge import Bridge
from softgrid._node.encoder import EncodedCall, Encoder, Kwargs, Prepared
from softgrid._node.limits import at_the_end, watch
from softgrid._node.outgoing import Outgoing, Waiting
from softgrid._node.retrying import Held, Place, Retrying, Told, plan_of
from softgrid._node.switch import Switch
from softgrid._state.inflight import Batch, InFlight
from softgrid._state.last_calls import LastCalls
from softgrid._state.receivers import common_ways, expand_bounce, expand_bridging, expand_receivers, may_bridge
from softgrid._state.timeouts import check_timeout, wait_timeouts
from softgrid._state.tree import Tree
from softgrid._state.windows import SendWindows
from softgrid._wire.calls import Failure, decode_result
from softgrid._wire.framing import Body, Kind, Outbound, frame

Way = Link | Bridge

Fans = list["list[str] | None"]
"""For each receiver the names to which it passes its call on, or None where it is meant itself."""

OpenCall = tuple[int, int, str]
"""A call that is not answered: its message id, and the id and name of its receiver."""


class Transfers:
    """The transfers of one executor."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        reactor: Reactor,
        on_uncollected: Callable[[str, Kwargs, Callable[[], Any]], None],
        on_named: Callable[[str, Any], None] = lambda name, result: None,
    ) -> None:
        self._on_named = on_named
        self._tree = tree
        self._switch = switch
        self._reactor = reactor
        self._on_uncollected = on_uncollected
        self.encoder = Encoder()
        self.inflight = InFlight()
        self._windows: SendWindows[Waiting] = SendWindows()
        self._room = threading.Lock()
        self.bridges: dict[int, Bridge] = {}
        """The bridges that there are, by their other ends; set by the node."""
        self.last_calls = LastCalls()
        self.cancelled: dict[int, str] = {}
        """Calls that were taken back and may still end, with what to say of them when their executor dies."""
        self.cancel: Callable[[list[OpenCall]], None] = lambda calls: None
        """Takes calls back that are open; set by the node."""
        self.place_again: Place = lambda index, name, is_gone, on_place: on_place(name)
        """Says where a call goes that is tried again; set by the node."""
        self.maximum_open: int | None = None
        """How many calls may be open at once."""
        self.held: set[Held] = set()
        """What keeps calls that are not on their way now."""

    # -- out ------------------------------------------------------------------------------------------------------

    def transfer(self, spec: TransferSpec) -> list[Any] | None:
        """Send, and collect when asked to; a receiver's failure is a Failed in its place; raises what concerns all."""
        self._check_room(1)
        kills = check_on_timeout(spec.on_timeout)
        if spec.collect and spec.bounce is None and spec.timeout is None and type(spec.receivers) is str:
            target = node_id(spec.receivers)
            way = self.bridges.get(target) or self._tree.routes.get(target)
            kwargs = spec.transfer_kwargs
            if (
                way is not None
                and type(kwargs) is dict
                and kwargs.get("bounce_transfer") is None
                and not kwargs.get("retries")
            ):
                return self._call_one(spec.receivers, target, way, kwargs, spec.allow_bridging)
        names = expand_receivers(self._tree, spec.receivers)
        kwargs_list = self._one_per_receiver(spec.transfer_kwargs, len(names))
        allowed_list = expand_bridging(spec.allow_bridging, len(names))
        timeout = check_timeout(spec.timeout, "transferTimeout")
        limits = wait_timeouts(timeout, spec.multiplier, len(self._tree.path), len(names))
        fans = self._fans(spec, kwargs_list, len(names))
        batch = Batch(names, kwargs_list) if fans is None else _fanned_batch(names, kwargs_list, fans)
        self._check_room(len(batch.names))
        batch.is_cancellable = True
        waiter = Waiter()
        batch.on_done = waiter.set
        if not spec.collect:
            batch.on_outcome = lambda index: self.hand_on(batch, index)
        is_one_call = not isinstance(spec.transfer_kwargs, (list, tuple))
        is_retried = any([kwargs.get("retries") for kwargs in kwargs_list])  # noqa: C419  (a list is faster)
        shielded = self._reactor.shield()
        try:
            if is_retried:
                self._send_retrying(batch, allowed_list if fans is None else _per_leaf(allowed_list, fans), spec)
                memory = []
            else:
                memory = self._send_batch(batch, names, kwargs_list, fans, allowed_list, is_one_call)
        finally:
            self._unshield(shielded, batch if spec.collect else None)
        timeout = self._watch_each(batch, limits, fans, kills=kills)
        if spec.collect:
            return self.collect(batch, waiter, timeout, kills=kills)
        self._watch_over(batch, memory, timeout, kills=kills)
        return None

    def _send_retrying(self, batch: Batch, allowed: list[bool | None], spec: TransferSpec) -> None:
        """Send calls that may be tried again: each straight to who is to run it, and kept until it has ended."""
        plan = plan_of(self.encoder, batch, allowed, is_detached=not spec.collect)
        if isinstance(spec.transfer_kwargs, Mapping):
            plan.check_all()
        place = spec.place or self.place_again
        retrying = Retrying(batch, plan, place, self.send_encoded, self._reactor)
        on_done = batch.on_done

        def let_go() -> None:
            self.held.discard(retrying)
            if on_done is not None:
                on_done()

        batch.on_done = let_go
        self.held.add(retrying)
        self.send_encoded(batch, [(index, batch.names[index], call) for index, call in plan.calls.items()])
        for index, error in plan.errors.items():
            self._fill(batch, index, error)

    def _call_one(self, name: str, target: int, way: Way, kwargs: Kwargs, allowed: Any) -> list[Any]:
        """Call one executor near by and wait for the answer: what most transfers are, without what they do not need."""
        allows_bridge = allowed is True or may_bridge(expand_bridging(allowed, 1)[0], kwargs)
        body = self.encoder.encode(kwargs, target)
        waiter = Waiter()
        batch = Batch([name], [kwargs])
        batch.is_cancellable = True
        batch.on_done = waiter.set
        shielded = self._reactor.shield()
        try:
            self._send_body(body, self.inflight.open(batch, 0, target), target, way, allows_bridge)
        finally:
            self._unshield(shielded, batch)
        return self.collect(batch, waiter, None)

    def _unshield(self, shielded: bool, collected: Batch | None) -> None:
        """Let Ctrl-C through that came while calls were being sent; it takes those back that were to be collected."""
        try:
            self._reactor.unshield(shielded)
        except KeyboardInterrupt:
            if collected is not None:
                self._reactor.run_in_turn(lambda: self._on_interrupt(collected))
            raise

    def _check_room(self, count: int) -> None:
        """Raise Refused when so many further calls would be too many."""
        open_calls = len(self.inflight.slots)
        if self.maximum_open is not None and open_calls + count > self.maximum_open:
            unanswered = f"{open_calls} calls of this executor are not answered yet"
            raise Refused(f"{unanswered}, and {count} more are too many (rule 'transfer_maximum_open_calls')")

    def _is_lost(self, message_id: int, target: int, way: Way) -> bool:
        """Whether the way to a target went while its call was being made: its loss was told before anybody waited."""
        hop = self._switch.hop_to(target)
        if isinstance(way, Bridge):
            if hop is not None and not way.is_gone:
                return False
        elif hop is way and not way.closed:
            return False
        self._reactor.run_in_turn(lambda: self.inflight.refuse_all(message_id, self._unreachable))
        return True

    def _send_body(self, body: Outbound, message_id: int, target: int, way: Way, allows_bridge: bool) -> None:
        if self._is_lost(message_id, target, way):
            return
        bulk = body.size if body.size > THRESHOLD else 0
        queued = len(body.head) + body.size - bulk
        with self._room:
            if not self._windows.admit(target, message_id, queued, bulk):
                outgoing = Outgoing()
                outgoing.note_waiting()
                waiting = Waiting(target, message_id, body, allows_bridge, outgoing)
                self._windows.defer(target, message_id, queued, bulk, waiting)
                return
        if isinstance(way, Bridge):
            way.send(Kind.CALL, message_id, body, allows_bridge)
            return
        if bulk or queued > THRESHOLD:
            self._switch.send_over(way, Kind.CALL, target, message_id, body, self._tree.node_id)
        else:
            way.send(frame(1, target, self._tree.node_id, message_id, body.joined()), target)
        if self.bridges:
            self._note_bridge_since(target)

    def _send_admitted(self, target: int, message_id: int, body: Outbound, allows_bridge: bool) -> Waiter | None:
        """Send a call for which there is room, over a bridge where there is one."""
        bridge = self.bridges.get(target)
        if bridge is not None:
            return bridge.send(Kind.CALL, message_id, body, allows_bridge)
        waiter = self._switch.send(Kind.CALL, target, message_id, body)
        self._note_bridge_since(target)
        return waiter

    def _note_bridge_since(self, target: int) -> None:
        """A call went through the tree: what comes over a bridge that was opened meanwhile must not overtake it."""
        bridge = self.bridges.get(target)
        if bridge is not None:
            bridge.note_sent_through_tree()

    def _one_per_receiver(self, transfer_kwargs: Any, count: int) -> list[Kwargs]:
        if type(transfer_kwargs) is dict or isinstance(transfer_kwargs, Mapping):
            return [transfer_kwargs] * count
        if not isinstance(transfer_kwargs, (list, tuple)):
            raise BadArgument(
                "transferKwargs",
                transfer_kwargs,
                "a dictionary, or a list of them, one per receiver",
            )
        if len(transfer_kwargs) != count:
            raise BadArgument("transferKwargs", f"{len(transfer_kwargs)} items", f"as many as receivers ({count})")
        for item in transfer_kwargs:
            if type(item) is not dict and not isinstance(item, Mapping):
                raise BadArgument("transferKwargs", item, "a dictionary, or a list of them, one per receiver")
        return list(transfer_kwargs)

    def _fans(self, spec: TransferSpec, kwargs_list: list[Kwargs], count: int) -> Fans | None:
        """Give for each receiver the names it fans out to, or None where no receiver does."""
        if spec.bounce is not None:
            return expand_bounce(self._tree, spec.bounce, count)
        if isinstance(spec.transfer_kwargs, Mapping):
            given = spec.transfer_kwargs.get("bounce_transfer")
            return None if given is None else expand_bounce(self._tree, given, count)
        each = [kwargs.get("bounce_transfer") for kwargs in kwargs_list]
        if all(given is None for given in each):
            return None
        return [
            None if given is None else expand_bounce(self._tree, given, count)[index]
            for index, given in enumerate(each)
        ]

    def _send_batch(
        self,
        batch: Batch,
        names: list[str],
        kwargs_list: list[Kwargs],
        fans: Fans | None,
        allowed_list: list[bool | None],
        is_one_call: bool,
    ) -> list[Waiter]:
        outgoing = Outgoing(self.bridges)
        prepared = Prepared(self.encoder)
        if is_one_call and names:
            prepared.use(kwargs_list[0], allowed_list[0])
        is_large = is_one_call and prepared.size > THRESHOLD
        ways = common_ways(names, self._switch.spreader_towards) if is_large else {}
        shared: dict[str, dict[int, str]] = {}
        index = 0
        for name, kwargs, fan, allowed in zip(
            names, kwargs_list, fans or [None] * len(names), allowed_list, strict=True
        ):
            width = 1 if fan is None else len(fan)
            try:
                prepared.use(kwargs, allowed)
                if fan is not None:
                    slots = {index + place: leaf for place, leaf in enumerate(fan)}
                    self._send_fan(batch, name, slots, prepared, outgoing)
                elif name in ways and node_id(name) not in self.bridges:
                    shared.setdefault(ways[name], {})[index] = name
                else:
                    self._send_one(batch, index, name, prepared, outgoing)
            except SoftgridError as error:
                if is_one_call and index == 0:  # nothing was sent: the whole transfer is at fault
                    raise
                for slot in range(index, index + width):
                    self._fill(batch, slot, error)
            index += width
        for way, slots in shared.items():
            self._send_fan(batch, way, slots, prepared, outgoing)
        outgoing.flush_all()
        return outgoing.waiters()

    def send_encoded(self, batch: Batch, calls: Iterable[tuple[int, str, EncodedCall]]) -> None:
        """Send calls that fill some slots of a batch; never waits, since what finds no room is kept until it does."""
        outgoing = Outgoing(self.bridges)
        for index, name, call in calls:
            self._send_one(batch, index, name, call, outgoing)
        outgoing.flush_all()

    def _send_one(
        self, batch: Batch, index: int, name: str, prepared: Prepared | EncodedCall, outgoing: Outgoing
    ) -> None:
        target = node_id(name)
        bridge = self.bridges.get(target)
        hop = self._switch.hop_to(target)
        if target == self._tree.node_id:
            body = prepared.body_for(target)
            message_id = self.inflight.open(batch, index, target)
            self._switch.send(Kind.CALL, target, message_id, body)
            return
        if hop is None or (bridge is None and hop.closed):
            self._fill(batch, index, self._unreachable(name))
            return
        body = prepared.body_for(target)
        message_id = self.inflight.open(batch, index, target)
        if self._is_lost(message_id, target, bridge or hop):
            return
        bulk = body.size if body.size > THRESHOLD else 0
        queued = len(body.head) + body.size - bulk
        with self._room:
            has_room = self._windows.admit(target, message_id, queued, bulk)
            if not has_room:
                outgoing.give_way(hop)  # what was admitted before must be on its way before what waits can follow
                outgoing.note_waiting()
                waiting = Waiting(target, message_id, body, prepared.allows_bridge, outgoing)
                self._windows.defer(target, message_id, queued, bulk, waiting)
                return
        if bridge is not None:
            outgoing.give_way_to(bridge, hop)
            waiter = bridge.send(Kind.CALL, message_id, body, prepared.allows_bridge)
        elif body.size <= THRESHOLD and len(body.head) <= THRESHOLD and not hop.has_stream_to(target):
            outgoing.add(hop, frame(1, target, self._tree.node_id, message_id, prepared.joined(body)))
            return
        else:
            outgoing.flush(hop)
            waiter = self._switch.send(Kind.CALL, target, message_id, body)
        if waiter is not None:
            outgoing.memory.append(waiter)

    def _send_fan(
        self,
        batch: Batch,
        name: str,
        fan: dict[int, str],
        prepared: Prepared,
        outgoing: Outgoing,
    ) -> None:
        slots: dict[int, str] = {}
        for index, leaf in fan.items():
            if self._is_sent_to_itself(leaf, name):
                self._send_one(batch, index, leaf, prepared, outgoing)
            else:
                slots[index] = leaf
        if not slots:
            return
        target = node_id(name)
        hop = self._switch.hop_to(target)
        if (hop is None or hop.closed) and target != self._tree.node_id:
            for index in slots:
                self._fill(batch, index, self._unreachable(name))
            return
        body = prepared.bounced_body(list(slots.values()))
        message_id = self.inflight.open_fan(batch, target, {index: node_id(leaf) for index, leaf in slots.items()})
        if hop is not None and self._is_lost(message_id, target, hop):
            return
        if hop is not None:
            outgoing.flush(hop)
        waiter = self._switch.send(Kind.CALL, target, message_id, body)
        if waiter is not None:
            outgoing.memory.append(waiter)

    def _is_sent_to_itself(self, leaf: str, via: str) -> bool:
        """Whether *leaf* gets its call directly: over its bridge, which what is bounced must not be overtaken by.

        Or because it is known not to stand at or below *via*, which could not send to it in another's name.
        """
        if node_id(leaf) in self.bridges:
            return True
        path = self._tree.path_of(leaf)
        return path is not None and via not in path

    def _fill(self, batch: Batch, index: int, error: SoftgridError) -> None:
        """Fill a slot from the thread that sends; results fill the others in the reactor's turn, and so does this.

        The error is kept as long as its status: without the frames that it came through, and the payload in them.
        """
        error.__traceback__ = None
        self._reactor.run_in_turn(lambda: batch.fill(index, error))

    def _unreachable(self, name: str) -> SoftgridError:
        """Say why a call cannot be sent; so it certainly does not run."""
        try:
            self._tree.check_reachable(name)
        except PeerLost as known:
            known.was_running = False
            return known
        except SoftgridError as error:
            return error
        lost = PeerLost(f"{name} cannot be reached: the connection towards it is gone")
        lost.was_running = False
        return lost

    # -- back -----------------------------------------------------------------------------------------------------

    def collect(
        self,
        batch: Batch,
        waiter: Waiter,
        timeout: float | None,
        *,
        kills: bool = False,
        before_cancel: Callable[[], None] = lambda: None,
    ) -> list[Any]:
        """Wait for the answers to a batch and read them; *waiter* is set when it is done.

        A caller that presses Ctrl-C meanwhile takes its calls back; *before_cancel* is done before that.
        """
        try:
            if not batch.done and not self._reactor.wait(waiter, timeout):
                self._give_up(batch, timeout, kills=kills)
                if kills:
                    self._reactor.wait(waiter)
        except KeyboardInterrupt:
            self._reactor.run_in_turn(lambda: self._on_interrupt(batch, before_cancel))
            raise
        except BaseException:
            self.inflight.drop(batch)
            raise
        results = [self._read(batch, index) for index in range(len(batch.names))]
        self._keep_named(batch.kwargs, results)
        return results

    def hand_on(self, batch: Batch, index: int) -> None:
        """Nobody waits for this answer: it is kept under its name, or logged, elsewhere and soon."""
        self._on_uncollected(batch.names[index], batch.kwargs[index], lambda: self._read(batch, index))

    def _keep_named(self, kwargs_list: list[Kwargs], results: list[Any]) -> None:
        """Keep the results that are wanted under a name."""
        previous: Kwargs | None = None
        name: str | None = None
        for index, kwargs in enumerate(kwargs_list):
            if kwargs is not previous:
                previous = kwargs
                handling = kwargs.get("result_handling") or {}
                name = handling.get("result_name")
                if not handling.get("return_result", True):
                    name = None
            if name is not None and type(results[index]) is not Failed:
                self._on_named(name, results[index])

    def _on_interrupt(self, batch: Batch, before_cancel: Callable[[], None] = lambda: None) -> None:
        before_cancel()
        self._take_back(batch, lambda name: Cancelled("cancelled: Ctrl-C was pressed while its caller waited"))

    def _take_back(self, batch: Batch, error_for: Callable[[str], SoftgridError]) -> None:
        """Cancel what is left of a batch; nobody waits for it any more."""
        calls = self.inflight.cancellable(lambda other, index: other is batch)
        batch.fill_rest(error_for)
        self.cancel(calls)

    def _give_up(self, batch: Batch, timeout: float | None, *, kills: bool = False) -> None:
        if kills and not self._reactor.is_closed:
            what = f"within {timeout:g} s; it is being cancelled"
            error_for = lambda name: TimedOut(f"no answer from {name} {what}")  # noqa: E731
            self._reactor.run_in_turn(lambda: self._take_back(batch, error_for))
            return
        self.inflight.drop(batch)
        if self._reactor.is_closed:
            batch.fill_rest(lambda name: PeerLost(f"this executor left the grid before {name} answered"))
        batch.fill_rest(lambda name: TimedOut(f"no answer from {name} within {timeout:g} s; {self._excuse(name)}"))

    def _give_up_some(self, batch: Batch, those: frozenset[int], timeout: float, *, kills: bool) -> None:
        """Give up on some receivers, in the reactor's turn; the others are waited for."""
        calls = self.inflight.cancellable(lambda other, index: other is batch and index in those) if kills else []
        for index in those:
            name = batch.names[index]
            what = "it is being cancelled" if kills else self._excuse(name)
            batch.fill(index, TimedOut(f"no answer from {name} within {timeout:g} s; {what}"))
        if calls:
            self.cancel(calls)

    def _excuse(self, name: str) -> str:
        return self._tree.suspicion(name) or "it may still be running"

    def _watch_each(self, batch: Batch, limits: list[float], fans: Fans | None, *, kills: bool) -> float | None:
        """Give up on each receiver whose time is over before that of the others; gives the longest, if there is one."""
        if not limits:
            return None
        each = limits if fans is None else _per_leaf(limits, fans)
        give_up = partial(self._give_up_some, batch, kills=kills)
        if watch(batch, each, self._reactor.call_later, give_up) and not kills:
            at_the_end(batch, lambda: self.inflight.drop(batch))
        return max(limits)

    def _watch_over(self, batch: Batch, memory: list[Waiter], timeout: float | None, *, kills: bool = False) -> None:
        """See an uncollected batch off: its memory is the caller's again when this returns."""
        for waiter in memory:
            self._reactor.wait(waiter)
        if timeout is not None and not batch.done:
            timer = self._reactor.call_later(
                timeout, lambda: None if batch.done else self._give_up(batch, timeout, kills=kills)
            )
            at_the_end(batch, timer.cancel)

    def _read(self, batch: Batch, index: int) -> Any:
        outcome = batch.outcomes[index]
        batch.outcomes[index] = SoftgridError("this result has been taken")
        account = ""
        if type(outcome) is Told:
            outcome, account = outcome
        if isinstance(outcome, SoftgridError):
            if account:
                outcome = type(outcome)(f"{outcome}\n{account}")
            return Failed(batch.names[index], outcome, batch.kwargs[index])
        assert outcome is not None
        try:
            return decode_result(outcome)
        except Failure as failure:
            failure.attempts = account
            return Failed(batch.names[index], failure, batch.kwargs[index])
        except Exception as error:
            failure_text = f"the result arrived but cannot be read here: {type(error).__name__}: {error}"
            return Failed(batch.names[index], SoftgridError(failure_text), batch.kwargs[index])

    def on_result_too_large(self, source: int, message_id: int, reason: str) -> None:
        """A result has come and cannot be kept here."""
        self.inflight.settle(message_id, source, Refused(f"the function ran, but its result cannot be taken: {reason}"))
        self._credit(message_id)

    def on_result(self, link: Any, source: int, message_id: int, body: Body) -> None:
        """Take a RESULT from the wire; one that nobody waits for is dropped."""
        self.inflight.settle(message_id, source, body)
        self._credit(message_id)

    def _credit(self, message_id: int) -> None:
        """A call is over: send what waited for the room that it took."""
        with self._room:  # who finds room from now on comes behind what is sent here
            over = [message_id]
            while over:
                for waiting in self._windows.credit(over.pop()):
                    if self.inflight.is_open(waiting.message_id):
                        self._send_admitted(waiting.target, waiting.message_id, waiting.body, waiting.allows_bridge)
                    else:  # given up meanwhile
                        over.append(waiting.message_id)
                    waiting.outgoing.note_sent()

    def withdraw(self, target: int, message_id: int) -> bool:
        """Keep a call no longer that waits here for room; False when it does not."""
        with self._room:
            waiting = self._windows.withdraw(target, message_id)
        if waiting is not None:
            waiting.outgoing.note_sent()
        return waiting is not None

    def on_refused(self, message_id: int, target: int, reason: str) -> None:
        """A relay could not pass a call on."""
        self.inflight.refuse(message_id, target, lambda name: NoRoute(f"{name} {reason}"))
        self._credit(message_id)

    def on_gone(self, targets: set[int], cause_of: Callable[[int], str]) -> None:
        """Executors are gone: nobody waits for them any longer."""
        self.encoder.forget(targets)
        for target in targets:
            with self._room:
                waiting_for_it = self._windows.forget(target)
            for waiting in waiting_for_it:
                waiting.outgoing.note_sent()
        self.inflight.lose(targets, lambda name, target, call: self._loss(name, target, call, cause_of(target)))

    def _loss(self, name: str, target: int, message_id: int, cause: str) -> SoftgridError:
        """Say what the death of *target* means for one of the calls that it had not answered."""
        cancelled = self.cancelled.get(message_id)
        if cancelled is not None:
            return Cancelled(cancelled)
        call = (self._tree.node_id, message_id)
        was_running = self.last_calls.was_running(target, call)
        if not was_running and self._ran_beside(message_id):
            was_running = None
        has_not_begun = was_running is False and self.last_calls.has_not_begun(target, call)
        fate = "the call had not begun" if has_not_begun else _FATE[was_running]
        error = PeerLost(remarked(f"{name} is gone: {cause}", f"; {fate}"))
        error.was_running, error.is_blamed = was_running, self.last_calls.is_blamed(target, call)
        return error

    def _ran_beside(self, message_id: int) -> bool:
        """Whether a call has no place in the queue, of which alone it is known what ran."""
        kwargs = self.inflight.kwargs_of(message_id)
        return isinstance(kwargs, Mapping) and kwargs.get("priority", 1) is None


_FATE = {
    None: "the call may have run",
    True: "the call was running and may have run in part",
    False: "the call was not running then: it had not begun, or its result was on its way, so it may have run",
}


def _per_leaf(items: list[Any], fans: Fans) -> list[Any]:
    """Give the item of each receiver as often as calls are run for it."""
    return [item for item, fan in zip(items, fans, strict=True) for _ in range(1 if fan is None else len(fan))]


def _fanned_batch(names: list[str], kwargs_list: list[Kwargs], fans: Fans) -> Batch:
    """Make the batch of calls some of which are run by those to whom their receivers pass them on."""
    leaves = [leaf for name, fan in zip(names, fans, strict=True) for leaf in ([name] if fan is None else fan)]
    return Batch(leaves, _per_leaf(kwargs_list, fans))


def check_on_timeout(given: object) -> bool:
    """Whether what has not ended when its time is over is to be cancelled; raises BadArgument."""
    if given not in ("drop", "kill"):
        raise BadArgument("onTimeout", given, "'drop' (no longer waited for) or 'kill' (cancelled)")
    return given == "kill"
