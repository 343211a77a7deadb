"""An executor's line to the supervisor of its machine: ask for processes, be told how they fare.

The executor that makes a grid starts the supervisor; every executor that was forked by one inherits its line to it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from softgrid._io.descriptors import Descriptors
from softgrid._io.lifeline import kill_group, processes_with
from softgrid._io.link import Link
from softgrid._io.process import Process
from softgrid._io.reactor import Reactor
from softgrid._launch.bundle import boot, carried_importer
from softgrid._launch.messages import COOKIE, MessageReader, send_message
from softgrid._model.errors import LaunchFailed
from softgrid._wire.control import Message, field

if TYPE_CHECKING:
    from softgrid._launch.bundle_importer import BundleImporter

_BOOT = """\
import os, sys
try:
    os.getcwd()
except OSError:  # it is gone: Python 3.13.0 cannot import from nowhere
    os.chdir("/")
sys.path[:] = [*{first!r}, *filter(None, sys.path), *{last!r}]
{importable}
from softgrid._api.child import supervise
supervise({descriptor})
"""
_RECEIVED = "__import__('socket').socket(fileno=os.dup({0})).recv({1}, __import__('socket').MSG_WAITALL)"

OnEvent = Callable[[Message], None]


class SupervisorLine:
    """Requests to one supervisor, and its news by token."""

    def __init__(
        self, sock: socket.socket, reactor: Reactor, *, process: Process | None = None, cookie: str = ""
    ) -> None:
        self._process = process
        self._cookie = cookie
        self._tokens = count(1)
        self._listeners: dict[int, OnEvent] = {}
        self._link = Link(sock, reactor, MessageReader(self._on_message), self._on_closed, passes_descriptors=True)
        self._link.open()

    @property
    def is_open(self) -> bool:
        """Whether the supervisor can be asked."""
        return not self._link.closed

    def fork(self, spec: dict[str, Any], link_end: socket.socket, on_event: OnEvent) -> int:
        """Ask for an executor whose link to its upgrid is *link_end*; its news go to *on_event*. Gives its token."""
        token = next(self._tokens)
        self._listeners[token] = on_event
        send_message(self._link, {"op": "fork", "token": token, "spec": spec}, Descriptors(link_end.detach()))
        return token

    def settle(self, on_settled: Callable[[], None]) -> None:
        """Ask that all output of the executors forked for this one is passed on; what was is here by then."""
        token = next(self._tokens)
        self._listeners[token] = lambda event: on_settled()
        send_message(self._link, {"op": "settle", "token": token})

    def kill(self, pid: int) -> None:
        """Ask for the end of an executor and its process group."""
        send_message(self._link, {"op": "kill", "pid": pid})

    def end(self, timeout: float) -> None:
        """Ask the supervisor to end everything it started and itself, and see it go; only for who started it."""
        send_message(self._link, {"op": "end"})
        if self._process is not None:
            self._process.await_end(timeout)
            self._listeners.clear()
            self._link.close()

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
        listeners, self._listeners = self._listeners, {}
        if not listeners:
            return
        for pid in processes_with(COOKIE, self._cookie) if self._cookie else ():
            kill_group(pid)
        cause, tail = self._process.last_words() if self._process is not None else ("is gone", [])
        for token, listener in listeners.items():
            listener({"op": "orphaned", "token": token, "cause": f"the supervisor {cause}", "tail": tail})


def start_supervisor(reactor: Reactor, executable: str | None = None) -> SupervisorLine:
    """Start the supervisor of this machine under this process; raises LaunchFailed."""
    mine, theirs = socket.socketpair()
    command = executable or sys.executable
    cookie = os.urandom(16).hex()
    theirs.set_inheritable(True)
    is_own = executable is None or os.path.realpath(command) == os.path.realpath(sys.executable)
    importer = carried_importer()
    program = _boot_installed(theirs.fileno(), is_own) if importer is None else _boot_carried(theirs.fileno(), importer)
    try:
        process = Process([command, "-c", program], {**os.environ, COOKIE: cookie})
    except (OSError, ValueError) as error:
        mine.close()
        raise LaunchFailed("start the supervisor", f"{command}: {error}", is_final=True) from None
    finally:
        theirs.close()
    line = SupervisorLine(mine, reactor, process=process, cookie=cookie)
    if importer is not None:
        line._link.send(importer.bundle)
    send_message(line._link, {"op": "begin", "path": _import_path() if is_own else None, "cookie": cookie})
    return line


def _boot_installed(descriptor: int, is_own: bool) -> str:
    last = [] if is_own else _dependencies()
    return _BOOT.format(first=[_root()], last=last, importable="", descriptor=descriptor)


def _boot_carried(descriptor: int, importer: BundleImporter) -> str:
    """Give the program for a supervisor that gets softgrid as its first message, as this process once did."""
    importable = boot(_RECEIVED.format(descriptor, len(importer.bundle)))
    return _BOOT.format(first=[], last=[], importable=importable, descriptor=descriptor)


def _root() -> str:
    """Give the folder that softgrid is imported from."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def _dependencies() -> list[str]:
    """Where another Python finds what softgrid needs (pure Python, fit for any version), after all that is its own."""
    import cloudpickle
    import pysimplelog

    return sorted({os.path.dirname(os.path.dirname(str(module.__file__))) for module in (cloudpickle, pysimplelog)})


def _import_path() -> list[str]:
    """Where executors of this machine look for modules: where this process does, so that the user's own are found."""
    path = [os.path.abspath(entry) for entry in sys.path]
    root = [] if carried_importer() is not None else [_root()]
    return path if set(root) <= set(path) else path + root
