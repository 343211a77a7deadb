"""A process that was started here: what it says and how it ends.

Its output goes to memory, not to a pipe that somebody would have to read: it is asked for only when the process died
unexpectedly.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from time import monotonic, sleep
from typing import Any

from softgrid._io.descriptors import Descriptors
from softgrid._io.lifeline import kill_group

TAIL_LINES = 20
LAST_BREATH_S = 0.2


class Process:
    """A child process; raises OSError when it cannot be started.

    With *stdio* it talks over that descriptor, only its errors are kept, and Ctrl-C at a terminal does not reach it.
    """

    def __init__(self, command: list[str], environment: dict[str, str], stdio: int | None = None) -> None:
        self._output = Descriptors(_open_memory())
        output = self._output.numbers[0]
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0) if stdio is None else (os.POSIX_SPAWN_DUP2, stdio, 0),
            (os.POSIX_SPAWN_DUP2, output if stdio is None else stdio, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ]
        group: dict[str, Any] = {} if stdio is None else {"setpgroup": 0}
        self.pid = os.posix_spawnp(command[0], command, environment, file_actions=actions, **group)
        self._status: int | None = None

    def _reap(self, deadline: float) -> bool:
        """Wait for its end until *deadline*; by looking, since a pid of one's own child is nothing a poller watches."""
        pause = 0.0005
        while self._status is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # reaped by somebody else
                ended, status = self.pid, 0
            if ended:
                self._status = status
            elif monotonic() > deadline:
                return False
            else:
                sleep(pause)
                pause = min(0.02, pause * 1.5)
        return True

    def await_end(self, timeout: float) -> None:
        """See it end; one that does not in *timeout* seconds is killed. What it wrote is kept no longer."""
        if not self._reap(monotonic() + timeout):
            kill_group(self.pid, signal.SIGKILL)
            self._reap(monotonic() + timeout)
        self._output.close()

    def drop_output(self) -> None:
        """Keep what it wrote no longer."""
        self._output.close()

    def last_words(self) -> tuple[str, list[str]]:
        """Say how it ended and give the last lines it wrote."""
        if not self._reap(monotonic() + LAST_BREATH_S):
            return "does not answer any more", []
        status = self._status or 0
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        return cause_of_death(None if number else os.WEXITSTATUS(status), number), self._tail()

    def _tail(self) -> list[str]:
        if not self._output:  # its end was awaited
            return []
        output = self._output.numbers[0]
        size = os.lseek(output, 0, os.SEEK_END)
        text = os.pread(output, 65536, max(0, size - 65536)).decode(errors="replace")
        return text.splitlines()[-TAIL_LINES:]


def _open_memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("softgrid-output", os.MFD_CLOEXEC)
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def await_gone(pids: Iterable[int], timeout: float) -> None:
    """Block until none of these processes is left, whosever children they are, at most *timeout* seconds."""
    deadline = monotonic() + timeout
    for pid in pids:
        try:
            watched = os.pidfd_open(pid)
        except (AttributeError, OSError):  # there is no such thing here, or no such process any more
            continue
        try:
            end = select.poll()
            end.register(watched, select.POLLIN)
            end.poll(max(0.0, deadline - monotonic()) * 1000)
        finally:
            os.close(watched)


def cause_of_death(code: int | None, number: int | None) -> str:
    """Say how a process ended, in words: ``killed by signal 9 (SIGKILL)``, ``exited with code 3``."""
    if number is not None:
        return f"killed by {signal_name(number)}"
    return f"exited with code {code}"


def signal_name(number: int) -> str:
    """Say which signal that is: ``signal 9 (SIGKILL)``."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
