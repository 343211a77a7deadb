"""How a process is bound to the life of another: by the kernel, not by good behaviour.

A lifeline is a pipe on which nothing is ever written. Its reading end asks the kernel for SIGKILL to the whole
process group when the other end closes, which happens when its holder ends in whatever way. No code of ours has to
run for that, so it works while user code holds the interpreter lock or ignores every signal. Where the kernel has
no F_SETSIG the executor relies on the end of its links alone.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from collections.abc import Iterator

_F_SETSIG = getattr(fcntl, "F_SETSIG", 10)
_PR_SET_CHILD_SUBREAPER = 36


def hold_on_to(read_end: int) -> None:
    """Make the kernel kill this process group when the other end of the pipe closes; exits at once if it has."""
    if os.uname().sysname == "Linux":
        fcntl.fcntl(read_end, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(read_end, fcntl.F_SETOWN, -os.getpgrp())
        flags = fcntl.fcntl(read_end, fcntl.F_GETFL)
        fcntl.fcntl(read_end, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
    watcher = select.poll()
    watcher.register(read_end, 0)
    if watcher.poll(0):
        os._exit(1)


def become_subreaper() -> None:
    """Make orphaned descendants children of this process, so that none can hide; where there is such a thing."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def children_of(pid: int) -> set[int]:
    """Give the pids of the children of a process, as far as the system tells."""
    found: set[int] = set()
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found.update(map(int, _read(f"/proc/{pid}/task/{thread}/children").split()))
    except OSError:
        return found
    return found


def processes_with(variable: str, value: str) -> Iterator[int]:
    """Find processes of this user that were started with *variable* set to *value* in their environment."""
    wanted = f"{variable}={value}".encode()
    try:
        entries = os.listdir("/proc")
    except OSError:
        return
    for entry in entries:
        if entry.isdigit():
            try:
                environ = _read(f"/proc/{entry}/environ")
            except OSError:
                continue
            if wanted in environ.split(b"\0"):
                yield int(entry)


def environment_of(pid: int) -> dict[str, str]:
    """Give what a process of this user was started with in its environment; nothing where that cannot be read."""
    try:
        entries = _read(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return {}
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in (entry.partition(b"=") for entry in entries)}


def kill_group(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a process and its group; harmless when they are gone."""
    for send, target in ((os.killpg, pid), (os.kill, pid)):
        try:
            send(target, number)
        except (ProcessLookupError, PermissionError):
            continue
