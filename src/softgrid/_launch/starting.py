"""Starting the supervisor of this machine: a fresh interpreter, which loads what executors need while others do so too.

It depends on nothing of this executor but the socket pair to it, so that it can be started before there is an executor.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, NamedTuple

from softgrid._io.lifeline import kill_group
from softgrid._io.process import Process
from softgrid._launch.bundle import boot, carried_importer
from softgrid._launch.cookies import COOKIE
from softgrid._model.errors import LaunchFailed

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


DYING_S = 1.0


class StartedSupervisor(NamedTuple):
    """A supervisor that may still be loading."""

    sock: socket.socket
    process: Process
    cookie: str
    path: list[str] | None
    """Where it is to look for modules; None: where its own Python does."""
    bundle: bytes
    """What it is made of, if it is told."""

    def give_up(self) -> None:
        """End it: nobody will ask it for anything."""
        self.sock.close()
        kill_group(self.process.pid)
        self.process.await_end(DYING_S)


def start_supervisor(executable: str | None = None) -> StartedSupervisor:
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
    bundle = importer.bundle if importer is not None else b""
    return StartedSupervisor(mine, process, cookie, _import_path() if is_own else None, bundle)


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
