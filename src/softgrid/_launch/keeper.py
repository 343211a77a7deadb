"""Outlives the supervisor of a far machine to remove what is left of the grid there: a process that only waits for it.

A supervisor ends everything by itself, unless it is killed. Then the kernel kills its executors, which hold lifelines
to it; but what their code has started in sessions of its own is found by its environment only, and who would look? On
the owner's machine the owner does. Elsewhere there is nobody but this process.
"""

from __future__ import annotations

import os
from time import sleep

from softgrid._io.folders import remove_tree
from softgrid._io.lifeline import kill_group, processes_with
from softgrid._launch.cookies import COOKIE
from softgrid._launch.homes import machine_home

ROUNDS = 50
PAUSE_S = 0.02


def start_keeper(cookie: str) -> None:
    """Fork it, as nobody's child, so that the supervisor neither has to reap it nor takes it for an orphan."""
    waits, _held = os.pipe()  # the supervisor holds the other end for as long as it lives
    pid = os.fork()
    if pid == 0:
        try:
            if os.fork() == 0:
                os.setsid()
                os.dup2(waits, 0)
                os.closerange(1, os.sysconf("SC_OPEN_MAX"))
                os.read(0, 1)
                _end_all(cookie)
                remove_tree(machine_home(cookie))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(waits)


def _end_all(cookie: str) -> None:
    """End every process that carries *cookie*; some may start others meanwhile."""
    for _ in range(ROUNDS):
        left = [pid for pid in processes_with(COOKIE, cookie) if pid != os.getpid()]
        if not left:
            return
        for pid in left:
            kill_group(pid)
        sleep(PAUSE_S)
