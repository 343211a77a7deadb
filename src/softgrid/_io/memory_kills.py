"""Whether the kernel has ended a process for want of memory, as far as its counters tell.

The kernel says of no process why it was killed, but counts such ends, for each control group and for the machine.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

_MIB = 1024 * 1024
_FILES = (
    ("memory.events", "memory.max"),  # version 2 of control groups
    ("memory.oom_control", "memory.limit_in_bytes"),
)


class Group(NamedTuple):
    """The control group that a process belongs to."""

    counter: str
    limit: int | None


class MemoryKills:
    """What the counters said last."""

    def __init__(self, root: str = "/sys/fs/cgroup", proc: str = "/proc") -> None:
        self._root = root
        self._proc = proc
        self._machine = f"{proc}/vmstat"
        self._seen: dict[str, int] = {}
        for counter in (self._machine, self.group_of("self").counter):
            self._take_rise(counter)

    def verdict(self, group: Group, peak_kib: int) -> str | None:
        """Say what tells that a process of *group* that was just killed was killed for want of memory."""
        in_group, on_machine = self._take_rise(group.counter), self._take_rise(self._machine)
        peak = f"at a peak of {peak_kib * 1024 / _MIB:.0f} MiB"
        if in_group and group.limit is not None and peak_kib * 1024 >= group.limit / 2:
            return f"out of memory, {peak} where its control group has {group.limit / _MIB:.0f} MiB"
        if in_group or on_machine:
            where = "in its control group" if in_group else "on its machine"
            return f"probably out of memory, {peak}: the kernel has ended a process {where} for that"
        return None

    def _take_rise(self, counter: str) -> int:
        """Give by how much a counter is higher than it was when last seen."""
        count = _count_in(_read(counter)) if counter else 0
        rise = count - self._seen.get(counter, 0)
        self._seen[counter] = count
        return rise

    def group_of(self, pid: int | str) -> Group:
        """Give the control group of a process, which may have ended but must not have been reaped.

        Version 1 shows those that have ended in the top one: then it is taken to have been in that of this process.
        """
        for line in _read(f"{self._proc}/{pid}/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            if controllers and path == "/" and pid != "self":
                return self.group_of("self")
            top = f"{self._root}/memory" if controllers else self._root
            for folder in (top + path.rstrip("/"), top):  # in a container the path may be one that is seen outside only
                for counter, limit in _FILES:
                    if _read(f"{folder}/{counter}"):
                        return Group(f"{folder}/{counter}", _number_in(_read(f"{folder}/{limit}")))
        return Group("", None)


def _read(path: str) -> str:
    with suppress(OSError), open(path) as file:
        return file.read()
    return ""


def _count_in(text: str) -> int:
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return _number_in(value) or 0
    return 0


def _number_in(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None
