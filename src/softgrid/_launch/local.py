"""An executor's line to the supervisor of its machine: ask for processes, be told how they fare.

The executor that makes a grid starts the supervisor; every executor that was forked by one inherits its line to it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from softgrid._io.descriptors import Descriptors
from softgrid._io.lifeline import kill_group, processes_with
from softgrid._io.link import Link
from softgrid._io.process import Process, await_gone
from softgrid._io.reactor import Reactor
from softgrid._launch.bundle import boot, carried_importer
from softgrid._launch.homes import Homes
from softgrid._launch.line import OnClosed, OnReadable, SupervisorLine
from softgrid._launch.messages import COOKIE, MessageReader, send_message
from softgrid._model.errors import LaunchFailed
from softgrid._wire.control import Message

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


def start_supervisor(reactor: Reactor, home: str, executable: str | None = None) -> LocalLine:
    """Start the supervisor of this machine under this process, whose home is *home*; raises LaunchFailed."""
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
    homes = Homes(os.path.join(home, f"below-{cookie[:16]}"))
    line = LocalLine(mine, reactor, process=process, cookie=cookie, homes=homes)
    bundle = importer.bundle if importer is not None else b""
    line.begin(_import_path() if is_own else None, bundle, home, homes.folder)
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
