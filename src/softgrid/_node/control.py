"""Questions between executors that are not work of users: an explicit table of methods, JSON both ways.

An answer may be given later and from any thread, so that no callback ever waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from softgrid._io.descriptors import Descriptors
from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import BadArgument, NoRoute, PeerLost, SoftgridError, TimedOut, Undecodable
from softgrid._model.names import node_id
from softgrid._node.switch import Switch
from softgrid._state.inflight import Batch, InFlight
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, decode_control, encode_control
from softgrid._wire.framing import Body, Carried, FromGuest, Kind, Outbound

Answer = Callable[[Message], None]
Method = Callable[[Message, int, Answer], None]
"""Takes the question, who asked, and how to answer."""

CarryingMethod = Callable[[Descriptors, Message, int, Answer], None]
"""The same, for a question about the descriptors that came with it."""

Notice = Callable[[Any, Message, int], None]
"""Takes the link it came over, the message, and its source."""


class Control:
    """Asks and answers."""

    def __init__(self, switch: Switch, reactor: Reactor, inflight: InFlight, tree: Tree[Link]) -> None:
        self._switch = switch
        self._reactor = reactor
        self._inflight = inflight
        self._tree = tree
        self.methods: dict[str, Method] = {}
        self.guest_methods: dict[str, Method] = {}
        """What executors that joined by hand may ask, unless they are trusted like others."""
        self.carrying: dict[str, CarryingMethod] = {}
        self.notices: dict[str, Notice] = {}
        self.own_words: set[str] = set()
        """Notices that are believed of a neighbour itself, not of somebody whose message it has passed on."""

    def ask(
        self,
        name: str,
        message: Message,
        on_answer: Callable[[Message | SoftgridError], None],
        descriptors: Descriptors | None = None,
    ) -> Batch:
        """Put a question to the executor *name*; *on_answer* is called once, maybe from another thread.

        *descriptors* go with it where the way there passes them; otherwise the answer is NoRoute.
        """
        target = node_id(name)
        batch = Batch([name], [message])
        batch.on_done = lambda: on_answer(self.read(batch))
        if target != self._tree.node_id and self._switch.hop_to(target) is None:
            batch.fill(0, _unreachable(name))
            return batch
        message_id = self._inflight.open(batch, 0, target)
        body = encode_control(message)
        if descriptors is None:
            self._switch.send(Kind.CONTROL, target, message_id, Outbound(body))
        elif not self._switch.send_carrying(target, message_id, body, descriptors):
            self._inflight.refuse(message_id, target, lambda name: NoRoute(f"{name} cannot be passed a descriptor"))
        return batch

    def ask_each(self, names: list[str], message: Message, timeout: float | None) -> list[Message | SoftgridError]:
        """Put one question to many, as ``ask_all`` does."""
        return self.ask_all([(name, message) for name in names], timeout)

    def ask_and_wait(
        self, name: str, message: Message, timeout: float, meanwhile: Callable[[], object] = lambda: None
    ) -> Message:
        """Put a question and block until it is answered; raises what went wrong. *meanwhile* is done after asking."""
        waiter = Waiter()
        answers: list[Message | SoftgridError] = []

        def on_answer(answer: Message | SoftgridError) -> None:
            answers.append(answer)
            waiter.set()

        batch = self.ask(name, message, on_answer)
        meanwhile()
        if not self._reactor.wait(waiter, timeout):
            self._inflight.drop(batch)
            raise TimedOut(f"no answer from {name} to '{message['op']}' within {timeout:g} s")
        if isinstance(answers[0], SoftgridError):
            raise answers[0]
        return answers[0]

    def ask_all(self, questions: Sequence[tuple[str, Message]], timeout: float | None) -> list[Message | SoftgridError]:
        """Put a question to each of several executors at once and block until all have answered, or the time is over.

        Gives the answers in order, or why there is none.
        """
        waiter = Waiter()
        batch = Batch([name for name, _ in questions], [message for _, message in questions])
        batch.on_done = waiter.set
        for index, (name, message) in enumerate(questions):
            self._ask_one(batch, index, node_id(name), message)
        try:
            in_time = batch.done or self._reactor.wait(waiter, timeout)
        except BaseException:
            self._inflight.drop(batch)
            raise
        if not in_time:
            self._inflight.drop(batch)
            within = "before this executor left the grid" if timeout is None else f"within {timeout:g} s"
            ops = {name: message["op"] for name, message in questions}
            batch.fill_rest(lambda name: TimedOut(f"no answer from {name} to '{ops[name]}' {within}"))
        return [self.read(batch, index) for index in range(len(questions))]

    def _ask_one(self, batch: Batch, index: int, target: int, message: Message) -> None:
        hop = self._switch.hop_to(target)
        if target != self._tree.node_id and hop is None:
            self._reactor.run_in_turn(lambda: batch.fill(index, _unreachable(batch.names[index])))
            return
        message_id = self._inflight.open(batch, index, target)
        self._switch.send(Kind.CONTROL, target, message_id, Outbound(encode_control(message)))
        if hop is not None and target != self._tree.node_id and (hop.closed or self._switch.hop_to(target) is not hop):
            self._reactor.run_in_turn(lambda: self._inflight.refuse(message_id, target, _unreachable))

    def tell(self, name: str, message: Message) -> None:
        """Send something that is not answered."""
        self.tell_id(node_id(name), message)

    def tell_id(self, target: int, message: Message) -> None:
        """Send something that is not answered to an executor known by its id."""
        self._switch.send(Kind.CONTROL, target, self._inflight.new_id(), Outbound(encode_control(message)))

    def tell_neighbour(self, link: Any, message: Message) -> None:
        """Send something to whoever is at the other end of *link*."""
        self._switch.send_over(link, Kind.CONTROL, 0, self._inflight.new_id(), Outbound(encode_control(message)), 0)

    def read(self, batch: Batch, index: int = 0) -> Message | SoftgridError:
        """Give the answer to a question, or why there is none."""
        outcome = batch.outcomes[index]
        if isinstance(outcome, SoftgridError):
            return outcome
        try:
            answer = decode_control(outcome or b"")
        except Undecodable as error:
            return error
        if type(outcome) is FromGuest:
            answer["from_guest"] = True
        return _error_from(answer) if answer["op"] == "error" else answer

    def on_control(self, link: Any, source: int, message_id: int, body: Body | Carried) -> None:
        """Take a CONTROL message from the wire."""
        message = decode_control(body if isinstance(body, (bytes, bytearray)) else body.head)
        op = message["op"]
        if op in ("answer", "error"):
            self._inflight.settle(message_id, source, body)
            return
        notice = self.notices.get(op)
        if notice is not None:
            if source and op in self.own_words:
                raise Undecodable(f"'{op}' of somebody who is no neighbour")
            self._take_notice(notice, link, message, source)
            return
        method = self._method_for(op, body)
        if method is None:
            is_closed = op in self.methods
            reason = (
                f"'{op}' is not for executors that joined by hand"
                if is_closed
                else f"no control method is named '{op}'"
            )
            self.answer(source, message_id, {"op": "error", "reason": reason})
            return
        try:
            method(message, source, lambda answer: self.answer(source, message_id, answer))
        except SoftgridError as error:
            self.answer(source, message_id, error_message(error))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"'{op}' cannot be meant like that ({type(error).__name__}: {error})"
            self.answer(source, message_id, {"op": "error", "reason": reason})

    def _method_for(self, op: str, body: Body | Carried) -> Method | None:
        if isinstance(body, Carried):
            carrying = self.carrying.get(op)
            return None if carrying is None else partial(carrying, body.descriptors)
        return (self.guest_methods if type(body) is FromGuest else self.methods).get(op)

    @staticmethod
    def _take_notice(notice: Notice, link: Any, message: Message, source: int) -> None:
        try:
            notice(link, message, source)
        except (BadArgument, KeyError, TypeError, ValueError) as error:
            raise Undecodable(f"'{message['op']}' cannot be meant like that: {error}") from None

    def answer(self, source: int, message_id: int, answer: Message) -> None:
        """Answer a question."""
        self._switch.send(Kind.CONTROL, source, message_id, Outbound(encode_control({"op": "answer", **answer})))


def error_message(error: SoftgridError) -> Message:
    """Give an error as an answer."""
    return {"op": "error", "reason": str(error), "is_lost": isinstance(error, PeerLost)}


def _unreachable(name: str) -> SoftgridError:
    return NoRoute(f"nobody named {name} is on the grid")


def _error_from(answer: Message) -> SoftgridError:
    reason = str(answer.get("reason"))
    return PeerLost(reason) if answer.get("is_lost") else SoftgridError(reason)
