"""An executor's line to a supervisor: ask for processes, be told how they fare.

The same for the supervisor of this machine (``_launch.local``) and for those of others (``_launch.ssh``): they differ
in what the line is, and in how the link to a new executor is made.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from softgrid._io.descriptors import Descriptors
from softgrid._io.link import Link
from softgrid._launch.messages import send_message
from softgrid._wire.control import Message, field

OnEvent = Callable[[Message], None]
OnReadable = Callable[[Link], None]
OnClosed = Callable[[Link, str], None]


class SupervisorLine:
    """Requests to one supervisor, and its news by token."""

    def __init__(self) -> None:
        self._tokens = count(1)
        self._listeners: dict[int, OnEvent] = {}
        self._link: Link

    @property
    def is_open(self) -> bool:
        """Whether the supervisor can be asked."""
        return not self._link.closed

    @property
    def step(self) -> str:
        """What a launch waits for that nothing has come of yet."""
        return "fork"

    def fork(self, spec: dict[str, Any], on_readable: OnReadable, on_closed: OnClosed, on_event: OnEvent) -> Link:
        """Ask for an executor, whose news go to *on_event*; gives the link to it."""
        token = next(self._tokens)
        self._listeners[token] = on_event
        link, told, descriptors = self._open_end(on_readable, on_closed)
        link.open()
        send_message(self._link, {"op": "fork", "token": token, "spec": spec, **told}, descriptors)
        return link

    def _open_end(self, on_readable: OnReadable, on_closed: OnClosed) -> tuple[Link, Message, Descriptors | None]:
        """Give a link to a new executor, and what tells the supervisor of its other end."""
        raise NotImplementedError

    def identify(self, on_event: OnEvent) -> None:
        """Have *on_event* told once who the machine is: {op: identified, machine}; or why it does not say."""
        raise NotImplementedError

    def settle(self, on_settled: Callable[[], None]) -> None:
        """Ask that all output of the executors forked for this one is passed on; what was is here by then."""
        token = next(self._tokens)
        self._listeners[token] = lambda event: on_settled()
        send_message(self._link, {"op": "settle", "token": token})

    def kill(self, pid: int, running: tuple[int, int] | None = None) -> None:
        """Ask for the end of an executor and its process group; *running*: only if it runs that call."""
        send_message(self._link, {"op": "kill", "pid": pid, "running": running})

    def say_end(self) -> None:
        """Ask the supervisor to end everything it started and itself; only for who started it."""
        send_message(self._link, {"op": "end"})

    def await_end(self, timeout: float) -> None:
        """See it go."""
        raise NotImplementedError

    def abandon(self) -> None:
        """In a forked process: let go of the parent's line."""
        self._link.abandon()

    def _on_message(self, link: Link, message: Message, descriptors: Descriptors) -> None:
        token = field(message, "token", int)
        ends = message["op"] in ("exited", "failed", "settled")
        listener = self._listeners.pop(token, None) if ends else self._listeners.get(token)
        if listener is not None:
            listener(message)

    def _on_closed(self, link: Link, reason: str) -> None:
        """The supervisor is gone, and with it everything it started."""
        listeners, self._listeners = self._listeners, {}
        if listeners:
            told = self._last_words()
            for token, listener in listeners.items():
                listener({"token": token, **told})

    def _last_words(self) -> Message:
        """Give what those are told who had asked for an executor."""
        raise NotImplementedError
