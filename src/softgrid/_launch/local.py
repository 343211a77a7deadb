"""An executor's line to the supervisor of its machine: ask for processes, be told how they fare.

The executor that makes a grid starts the supervisor; every executor that was forked by one inherits its line to it.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress

from softgrid._io.descriptors import Descriptors
from softgrid._io.lifeline import kill_group, processes_with
from softgrid._io.link import Link
from softgrid._io.process import Process, await_gone
from softgrid._io.reactor import Reactor
from softgrid._launch.cookies import COOKIE
from softgrid._launch.homes import Homes
from softgrid._launch.line import OnClosed, OnReadable, SupervisorLine
from softgrid._launch.messages import MessageReader, send_message
from softgrid._launch.starting import StartedSupervisor
from softgrid._wire.control import Message

DYING_S = 2.0


class LocalLine(SupervisorLine):
    """The line to the supervisor of this machine: a socket pair, which passes descriptors."""

    def __init__(
        self,
        sock: socket.socket,
        reactor: Reactor,
        *,
        process: Process | None = None,
        cookie: str = "",
        homes: Homes | None = None,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._process = process
        self.cookie = cookie
        self._homes = homes
        self._forked: set[int] = set()
        self._ends = False
        self._link = Link(sock, reactor, MessageReader(self._on_message), self._on_closed, passes_descriptors=True)
        self._link.open()

    def _open_end(self, on_readable: OnReadable, on_closed: OnClosed) -> tuple[Link, Message, Descriptors | None]:
        mine, theirs = socket.socketpair()
        link = Link(mine, self._reactor, on_readable, on_closed, passes_descriptors=True)
        return link, {}, Descriptors(theirs.detach())

    def begin(self, path: list[str] | None, bundle: bytes, home: str, homes: str) -> None:
        """Give what it is made of, if need be; say where modules and homes are, and how executors are found again."""
        if bundle:
            self._link.send(bundle)
        begin = {"op": "begin", "path": path, "cookie": self.cookie, "home": home, "homes": homes}
        send_message(self._link, begin)

    def say_end(self) -> None:
        """Ask the supervisor to end everything it started and itself; only for who started it."""
        self._ends = True
        super().say_end()

    def await_end(self, timeout: float) -> None:
        """See it go."""
        if self._process is not None:
            self._process.await_end(timeout)
            self._listeners.clear()
            self._link.close()
        self._clean_up(timeout)

    def abandon(self) -> None:
        """In a forked process: let go of the parent's line."""
        self._ends = True
        super().abandon()

    def _on_message(self, link: Link, message: Message, descriptors: Descriptors) -> None:
        if message["op"] == "forked":
            self._forked.add(message["pid"])
        elif message["op"] == "exited":
            self._forked.discard(message["pid"])
        super()._on_message(link, message, descriptors)

    def _on_closed(self, link: Link, reason: str) -> None:
        if self._homes is not None and not self._ends:
            with suppress(RuntimeError):  # the interpreter is ending; then this executor leaves, and that cleans up too
                threading.Thread(target=self._clean_up, name="softgrid-homes", daemon=True).start()
        super()._on_closed(link, reason)
        if self._process is not None and not self._ends:
            self._process.drop_output()  # its last words were told to all who had asked it for something

    def _last_words(self) -> Message:
        for pid in processes_with(COOKIE, self.cookie) if self.cookie else ():
            kill_group(pid)
        cause, tail = self._process.last_words() if self._process is not None else ("is gone", [])
        return {"op": "orphaned", "cause": f"the supervisor {cause}", "tail": tail}

    def _clean_up(self, timeout: float = DYING_S) -> None:
        """Do what the supervisor has not done: the executors that it forked die with it, and their homes go."""
        if self._homes is not None:
            await_gone(self._forked, timeout)
            self._homes.remove_all()


def line_to(supervisor: StartedSupervisor, reactor: Reactor, home: str) -> LocalLine:
    """Open the line to a supervisor that was started under this process, whose home is *home*."""
    homes = Homes(os.path.join(home, f"below-{supervisor.cookie[:16]}"))
    line = LocalLine(supervisor.sock, reactor, process=supervisor.process, cookie=supervisor.cookie, homes=homes)
    line.begin(supervisor.path, supervisor.bundle, home, homes.folder)
    return line
