"""Questions between executors that are not work of users: an explicit table of methods, JSON both ways.

An answer may be given later and from any thread, so that no callback ever waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import BadArgument, NoRoute, PeerLost, SoftgridError, TimedOut, Undecodable
from softgrid._model.names import node_id
from softgrid._node.switch import Switch
from softgrid._state.inflight import Batch, InFlight
from softgrid._wire.control import Message, decode_control, encode_control
from softgrid._wire.framing import Kind, Outbound, frame

Answer = Callable[[Message], None]
Method = Callable[[Message, int, Answer], None]
"""Takes the question, who asked, and how to answer."""

Notice = Callable[[Any, Message, int], None]
"""Takes the link it came over, the message, and its source."""


class Control:
    """Asks and answers."""

    def __init__(self, switch: Switch, reactor: Reactor, inflight: InFlight, me: int) -> None:
        self._switch = switch
        self._reactor = reactor
        self._inflight = inflight
        self._me = me
        self.methods: dict[str, Method] = {}
        self.notices: dict[str, Notice] = {}

    def ask(self, name: str, message: Message, on_answer: Callable[[Message | SoftgridError], None]) -> Batch:
        """Put a question to the executor *name*; *on_answer* is called once, maybe from another thread."""
        target = node_id(name)
        batch = Batch([name], [message])
        batch.on_done = lambda: on_answer(self.read(batch))
        if target != self._me and self._switch.hop_to(target) is None:
            batch.fill(0, NoRoute(f"nobody named {name} is on the grid"))
            return batch
        message_id = self._inflight.open(batch, 0, target)
        self._switch.send(Kind.CONTROL, target, message_id, Outbound(encode_control(message)))
        return batch

    def ask_and_wait(self, name: str, message: Message, timeout: float) -> Message:
        """Put a question and block until it is answered; raises what went wrong."""
        waiter = Waiter()
        answers: list[Message | SoftgridError] = []

        def on_answer(answer: Message | SoftgridError) -> None:
            answers.append(answer)
            waiter.set()

        batch = self.ask(name, message, on_answer)
        if not self._reactor.wait(waiter, timeout):
            self._inflight.drop(batch)
            raise TimedOut(f"no answer from {name} to '{message['op']}' within {timeout:g} s")
        if isinstance(answers[0], SoftgridError):
            raise answers[0]
        return answers[0]

    def ask_all(self, questions: Sequence[tuple[str, Message]], timeout: float) -> list[Message | SoftgridError]:
        """Put a question to each of several executors at once and block until all have answered, or the time is over.

        Gives the answers in order, or why there is none.
        """
        waiter = Waiter()
        batch = Batch([name for name, _ in questions], [message for _, message in questions])
        batch.on_done = waiter.set
        for index, (name, message) in enumerate(questions):
            self._ask_one(batch, index, node_id(name), message)
        if not batch.done and not self._reactor.wait(waiter, timeout):
            self._inflight.drop(batch)
            batch.fill_rest(lambda name: TimedOut(f"no answer from {name} within {timeout:g} s"))
        return [self.read(batch, index) for index in range(len(questions))]

    def _ask_one(self, batch: Batch, index: int, target: int, message: Message) -> None:
        if target != self._me and self._switch.hop_to(target) is None:
            error = NoRoute(f"nobody named {batch.names[index]} is on the grid")
            self._reactor.run_in_turn(lambda: batch.fill(index, error))
            return
        message_id = self._inflight.open(batch, index, target)
        self._switch.send(Kind.CONTROL, target, message_id, Outbound(encode_control(message)))

    def tell(self, name: str, message: Message) -> None:
        """Send something that is not answered."""
        self.tell_id(node_id(name), message)

    def tell_id(self, target: int, message: Message) -> None:
        """Send something that is not answered to an executor known by its id."""
        self._switch.send(Kind.CONTROL, target, self._inflight.new_id(), Outbound(encode_control(message)))

    def tell_neighbour(self, link: Any, message: Message) -> None:
        """Send something to whoever is at the other end of *link*."""
        link.send(frame(Kind.CONTROL, 0, 0, 0, encode_control(message)))

    def read(self, batch: Batch, index: int = 0) -> Message | SoftgridError:
        """Give the answer to a question, or why there is none."""
        outcome = batch.outcomes[index]
        if isinstance(outcome, SoftgridError):
            return outcome
        try:
            answer = decode_control(outcome or b"")
        except Undecodable as error:
            return error
        return _error_from(answer) if answer["op"] == "error" else answer

    def on_control(self, link: Any, source: int, message_id: int, body: bytes) -> None:
        """Take a CONTROL message from the wire."""
        message = decode_control(body)
        op = message["op"]
        if op in ("answer", "error"):
            self._inflight.settle(message_id, source, body)
            return
        notice = self.notices.get(op)
        if notice is not None:
            self._take_notice(notice, link, message, source)
            return
        method = self.methods.get(op)
        if method is None:
            self.answer(source, message_id, {"op": "error", "reason": f"no control method is named '{op}'"})
            return
        try:
            method(message, source, lambda answer: self.answer(source, message_id, answer))
        except SoftgridError as error:
            self.answer(source, message_id, error_message(error))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"'{op}' cannot be meant like that ({type(error).__name__}: {error})"
            self.answer(source, message_id, {"op": "error", "reason": reason})

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


def _error_from(answer: Message) -> SoftgridError:
    reason = str(answer.get("reason"))
    return PeerLost(reason) if answer.get("is_lost") else SoftgridError(reason)
