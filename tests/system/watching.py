"""Look at processes from outside, without asking softgrid.

Every process that a test causes carries the test's mark in its environment, which children inherit and
nobody can take off again: what is still there after the test was left behind.  Used by the fixtures and
tests of this folder; never by softgrid.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

MARK = "SOFTGRID_TEST_MARK"
COOKIE = "SOFTGRID_GRID"
PATIENCE_S = 20.0
"""How long a test waits for what must come; it is only used up by a test that fails."""
LEAVING_S = 6.0
"""How long a grid may take to leave: the promised 2 s, on a machine that does other things too."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = PATIENCE_S, what: str = "") -> T:
    """Give what *condition* gives as soon as it is true; fails the test when the time is up."""
    deadline = monotonic() + timeout
    while not (value := condition()):
        if monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain: {what or condition}")
        sleep(0.01)
    return value


def processes_with(variable: str, value: str) -> dict[int, str]:
    """Processes whose environment has *variable* set to *value*: their command lines by pid."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found[int(entry)] = shown(int(entry))
            except OSError:  # it ended meanwhile, or is not ours
                continue
    return found


def environment_of(pid: int) -> dict[str, str]:
    """The environment with which a process was started."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def shown(pid: int) -> str:
    """What a process is, for messages."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:80]
    return f"{Path(f'/proc/{pid}/comm').read_text().strip()}: {command}"


def is_alive(pid: int) -> bool:
    """Whether there is such a process and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stop(pid: int) -> None:
    """Stop a process, and see it stop: a signal has arrived some time after it was sent."""
    os.kill(pid, signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="it has stopped")


def parent_of(pid: int) -> int:
    """The pid of the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def pid_in(name: str) -> int:
    """The pid in a grid unique name."""
    return int(name.partition("[")[2].partition("]")[0])


def port_in(name: str) -> int:
    """The port in a grid unique name."""
    return int(name.rpartition(":")[2])


def children_of(pid: int) -> set[int]:
    """The pids of the children of a process that are alive."""
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if parent_of(int(entry)) == pid and is_alive(int(entry)):
                    found.add(int(entry))
            except OSError:
                continue
    return found
