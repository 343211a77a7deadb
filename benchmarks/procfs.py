"""What Linux tells about the processes of a run: who they are, their memory, their CPU.

Used by the peers (memory and idling of a whole grid) and by the runner (what a run left behind).
A run is recognised by a cookie in the environment, so that processes that moved to another session
or parent are still counted. Parsing is separate from reading, so that it can be tested.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from benchmarks.calls import IDLE_S, Metrics

COOKIE = "SOFTGRID_BENCH_RUN"
SETTLE_S = 2.0

_PROC = Path("/proc")


def parse_pss_kib(smaps_rollup: str) -> int:
    """KiB after ``Pss:`` in the text of ``smaps_rollup``."""
    for line in smaps_rollup.splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0])
    raise ValueError("smaps_rollup has no line 'Pss:'")


def parse_ticks(stat: str) -> int:
    """Clock ticks spent in user and system mode, from the text of ``/proc/PID/stat``."""
    after_name = stat[stat.rindex(")") + 2 :].split()
    return int(after_name[11]) + int(after_name[12])


def parse_schedstat_ns(schedstat: str) -> int:
    """Nanoseconds on a CPU, from the text of ``/proc/PID/task/TID/schedstat``."""
    return int(schedstat.split()[0])


def has_cookie(environ: bytes, cookie: str) -> bool:
    """Whether the bytes of ``/proc/PID/environ`` carry *cookie*."""
    return f"{COOKIE}={cookie}".encode() in environ.split(b"\0")


def pids_of_run(cookie: str) -> list[int]:
    """Every live process of a run (zombies have no environment left, and do not count)."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if has_cookie((entry / "environ").read_bytes(), cookie):
                    found.append(int(entry.name))
    return found


def pss_mib(pids: Iterable[int]) -> float:
    """Memory of *pids* together, shared pages counted once."""
    kib = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            kib += parse_pss_kib((_PROC / str(pid) / "smaps_rollup").read_text())
    return kib / 1024


def ticks(pids: Iterable[int]) -> dict[int, int]:
    """Clock ticks used so far by each of *pids* that is still alive."""
    used = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            used[pid] = parse_ticks((_PROC / str(pid) / "stat").read_text())
    return used


def schedstat_ns(pids: Iterable[int]) -> dict[int, int]:
    """Nanoseconds on a CPU so far by all threads of each of *pids* that is still alive."""
    used = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            tasks = (_PROC / str(pid) / "task").iterdir()
            used[pid] = sum(parse_schedstat_ns((t / "schedstat").read_text()) for t in tasks)
    return used


def grown(before: dict[int, int], after: dict[int, int]) -> int:
    """Growth of a counter over the processes seen at both ends or born in between."""
    return sum(value - before.get(pid, 0) for pid, value in after.items())


def memory_and_idle(executors: int) -> Metrics:
    """The memory and idle figures of ``grid211`` for the run that this process belongs to."""
    time.sleep(SETTLE_S)
    pids = _pids_of_this_run()
    metrics: Metrics = {"pss_mib": pss_mib(pids) / executors, "processes": len(pids)}
    start, ticks_before, ns_before = time.monotonic(), ticks(pids), schedstat_ns(pids)
    time.sleep(IDLE_S)
    pids = _pids_of_this_run()
    ticks_after, ns_after, seconds = ticks(pids), schedstat_ns(pids), time.monotonic() - start
    per_second = os.sysconf("SC_CLK_TCK")
    metrics["idle_pct"] = 100 * grown(ticks_before, ticks_after) / per_second / seconds
    metrics["idle_sched_pct"] = 100 * grown(ns_before, ns_after) / 1e9 / seconds
    return metrics


def pss_mib_of_this_run() -> float:
    """Memory of all processes of the run that this process belongs to."""
    return pss_mib(_pids_of_this_run())


def cpu_seconds_of_this_run() -> float:
    """CPU used so far by all processes of this run that are alive."""
    return sum(schedstat_ns(_pids_of_this_run()).values()) / 1e9


def _pids_of_this_run() -> list[int]:
    cookie = os.environ.get(COOKIE)
    if cookie is None:
        raise RuntimeError(f"{COOKIE} is not set: start through `python -m benchmarks`")
    return pids_of_run(cookie)
