"""Rows C: clocks that jump, differ, or stand still for a while."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

from tests.chaos.row import Run, Unavailable, row
from tests.system.grids import PREAMBLE

SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) {
    long seconds = 0;
    const char *path = getenv("SHIM_SHIFT");
    FILE *file = path ? fopen(path, "re") : NULL;
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(which, now);
    if (which == CLOCK_REALTIME) now->tv_sec += shift();
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec; now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}
"""
WATCH = (
    PREAMBLE
    + """
kwargs = {'heartMonitorFrequency': 0.5, 'heartbeatTolerance': 3}
O = Orchestrator(logKwargs={'logToStdout': False})
router = launch(O, 'Router', executorKwargs=kwargs)[0]
manager = launch(O, 'Manager', router, executorKwargs=kwargs)[0]
workers = launch(O, 'Worker', manager, count=2, executorKwargs=kwargs)
before = time.time()
tell('ready')
for line in sys.stdin:
    assert call(O, 'lambda: 5') == [5, 5]
    assert sorted(O.workers) == sorted(workers), O.workers
    tell('seen', round(time.time() - before))
O.disconnect(kill=False)
"""
)


class Watched:
    """A grid in a script that answers when it is asked to look at itself."""

    def __init__(self, run: Run, words: list[str], environment: dict[str, str]) -> None:
        script = run.folder / "watched.py"
        script.write_text(WATCH)
        self._script = subprocess.Popen(
            [*words, sys.executable, str(script)],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._script.pid
        run.at_end(self._end)
        self._await("ready")

    def _end(self) -> None:
        self._script.kill()
        self._script.wait()
        for stream in (self._script.stdin, self._script.stdout):
            assert stream is not None
            stream.close()

    def _await(self, word: str) -> list[str]:
        assert self._script.stdout is not None
        line = self._script.stdout.readline()
        assert line.startswith(f">> {word}"), line
        return line.split()

    def look(self) -> int:
        """Have it look; gives by how much its clock is ahead of its beginning."""
        assert self._script.stdin is not None
        self._script.stdin.write("look\n")
        self._script.stdin.flush()
        return int(self._await("seen")[2])


STEPS = (600, -600, 315_360_000, -1_700_000_000, 0)


@row(
    "C1",
    "the wall clock of all of them jumps by ten minutes, ten years, back to 1970",
    "nothing happens",
    peers="Parsl loses its managers at once; Dask does not [M]",
    quick=True,
)
def jumps(run: Run) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Unavailable("there is no C compiler for the library that shifts the clock")
    source, library, shift = (run.folder / name for name in ("shim.c", "shim.so", "shift"))
    source.write_text(SHIM)
    shift.write_text("0")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    watched = Watched(run, [], {"LD_PRELOAD": str(library), "SHIM_SHIFT": str(shift)})
    seen: list[int] = []
    for step in STEPS:
        beside = shift.with_suffix(".new")
        beside.write_text(str(step))
        beside.rename(shift)
        for _ in range(run.times(8, 1)):
            seen.append(watched.look())
            sleep(run.lasting(0.5, 0.1))
    assert any(abs(second) > 500 for second in seen), f"the clock did not jump: {seen}"
    run.figure("jumps", len(STEPS))
    run.figure("looks, and everybody was as before", len(seen))


@row(
    "C2",
    "every process of the grid has a monotonic clock that began elsewhere",
    "no time of one is compared with another's",
    quick=True,
)
def origins(run: Run) -> None:
    words = ["unshare", "--time", "--fork", "--monotonic", "1000000", "--boottime", "1000000"]
    probe = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        raise Unavailable(probe.stderr.strip())
    shifted = run.folder / "python"
    shifted.write_text(f'#!/bin/sh\nexec {" ".join(words)} {sys.executable} "$@"\n')
    shifted.chmod(0o700)
    grid = run.grid(workers=1)
    statuses, (worker,), failed = grid.O.launch_worker(grid.O.address, machineExecutable=str(shifted), timeout=30)
    assert failed == [], statuses
    import time

    ahead = grid.one(
        time.monotonic, to=worker[0]["gridUniqueName"] if isinstance(worker, list) else worker["gridUniqueName"]
    )
    assert ahead > time.monotonic() + 500_000, ahead
    grid.check_alive()
    run.figure("seconds between the clocks", ahead - time.monotonic(), "s", 500_000, at_least=True)


@row(
    "C3",
    "everything stands still for twice the tolerance, as a laptop that sleeps",
    "nobody is taken for dead",
    quick=True,
)
def sleep_of_all(run: Run) -> None:
    watched = Watched(run, [], {})
    everybody = list(run.processes())
    assert len(everybody) >= 5, everybody
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    sleep(run.lasting(6, 1))
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    for _ in range(run.times(10, 2)):
        watched.look()
        sleep(0.2)
    gone = [pid for pid in everybody if not Path(f"/proc/{pid}").exists()]
    run.figure("deaths", len(gone), "", 0)
    assert gone == []
    run.note("Stopped by SIGSTOP of all, the supervisor with them, at a tolerance of 3 s.")
