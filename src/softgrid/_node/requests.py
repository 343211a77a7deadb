"""Requests and responses of one executor: its two sides, and what concerns both.

A cycle is two messages, each going straight from the thread that asks or answers to the one that waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor
from softgrid._model.errors import Missing, NoRoute, PeerLost, Refused, SoftgridError
from softgrid._model.tokens import HIDDEN
from softgrid._node.control import Control
from softgrid._node.logs import Logs
from softgrid._node.posts import POST, QUIET_POST, Posts
from softgrid._node.requester import Requester, token_in
from softgrid._node.responder import Responder
from softgrid._node.switch import Switch
from softgrid._state.inflight import InFlight
from softgrid._state.tree import Tree
from softgrid._wire.control import Message
from softgrid._wire.framing import REQUEST, RESPONSE


class Requests:
    """What one executor asks and is asked."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        reactor: Reactor,
        control: Control,
        inflight: InFlight,
        logs: Logs,
    ) -> None:
        self._tree = tree
        self._control = control
        self._logs = logs
        self._posts = Posts(tree, switch, reactor, control)
        ids = count(POST + 1)
        self.requester = Requester(tree, switch, reactor, control, self._posts, ids, logs)
        self.responder = Responder(tree, reactor, control, self._posts, inflight, ids, logs)
        control.methods["release_request"] = self._on_release
        switch.deliver.update({REQUEST: self.responder.on_request, RESPONSE: self.requester.on_response})

    def release(self, token: bytes) -> None:
        """Forget what was sent or received under a token, and let go whoever waits; raises Missing where nothing is."""
        self._release(token, "was released here")

    def _release(self, token: bytes, how: str) -> None:
        error = Refused(f"the request {how}")
        sides = [side.release(token, error) for side in (self.requester, self.responder)]
        if not any(sides):
            raise Missing("password", HIDDEN, f"that of a request which {self._tree.name} sent, received or waits for")

    def release_elsewhere(self, pairs: Sequence[tuple[str, bytes]], timeout: float) -> list[SoftgridError | None]:
        """The same at other executors, for each (name, token); blocks for their answers and gives what went wrong."""
        errors = [self._unreachable(name) for name, _ in pairs]
        questions = [
            (name, {"op": "release_request", "token": token.hex()})
            for (name, token), error in zip(pairs, errors, strict=True)
            if error is None
        ]
        answers = iter(self._control.ask_all(questions, timeout))
        outcomes = [next(answers) if error is None else error for error in errors]
        return [outcome if isinstance(outcome, SoftgridError) else None for outcome in outcomes]

    def _unreachable(self, name: str) -> SoftgridError | None:
        try:
            self._tree.check_reachable(name)
        except SoftgridError as error:
            return error
        return None

    def _on_release(self, message: Message, source: int, answer: Callable[[Message], None]) -> None:
        self._release(token_in(message), "was released from elsewhere")
        answer({})

    def on_refused(self, message_id: int, target: int, reason: str) -> None:
        """A relay could not pass on what was sent to an executor."""
        name = self._posts.reached.get(target) if message_id & POST else None
        if name is None:
            return
        if not message_id & QUIET_POST:
            self._logs.say("error", f"what was sent to {name} was not delivered: it {reason}")
        self._lose({target}, lambda who, name: NoRoute(f"{name} {reason}"))

    def on_gone(self, gone: set[int], cause_of: Callable[[int], str]) -> None:
        """Executors are gone: whoever waits for them is told of what."""

        self._lose(gone, lambda who, name: PeerLost(f"{name} is gone: {cause_of(who)}"))

    def _lose(self, gone: set[int], error_for: Callable[[int, str], SoftgridError]) -> None:
        for part in (self._posts, self.responder, self.requester):
            part.on_gone(gone, error_for)
