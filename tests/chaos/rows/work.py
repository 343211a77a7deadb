"""What users' functions do in the rows: importable, so that workers run them by name."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from tests.chaos.ledger import note

from softgrid import current_attempt

HELD = "(a?){60}" * 3 + "a{60}"


def hold_the_interpreter() -> None:
    """Keep the interpreter lock in C code for hours."""
    import re

    re.match(HELD, "a" * 60)


def hold_the_interpreter_for(seconds: float) -> float:
    """Keep the interpreter lock for about so long, never giving it to another thread; gives for how long it was."""
    import sys

    began = time.monotonic()
    sys.setswitchinterval(1e6)
    try:
        while time.monotonic() - began < seconds:
            sum(range(1_000_000))  # one stretch in C, and the switch interval keeps the rest
    finally:
        sys.setswitchinterval(0.005)
    return time.monotonic() - began


def noted_sleep(path: str, task: str, seconds: float) -> str:
    """A task that takes its time."""
    note(path, "START", task=task)
    time.sleep(seconds)
    note(path, "END", task=task)
    return task


def noted_attempt(path: str, task: str, seconds: float) -> str:
    """A task that takes its time and may be tried again: each attempt has a name of its own in the ledger."""
    noted_sleep(path, f"{task} attempt {current_attempt()}", seconds)
    return task


def noted_task(path: str, task: str) -> str:
    """A task that takes none."""
    note(path, "START", task=task)
    note(path, "END", task=task)
    return task


def end_soon_after(path: str, task: str, seconds: float) -> str:
    """A task whose process dies so long after its end: before, while or after the result is sent."""
    note(path, "START", task=task)
    note(path, "END", task=task)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return task


def resist(path: str) -> None:
    """Ignore every signal that can be ignored, and hold the interpreter lock."""
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    note(path, "busy")
    hold_the_interpreter()


def get_away(path: str) -> list[int]:
    """Start programs that leave the process group: a child, one in a session of its own, and a forked daemon."""
    import subprocess

    pids = [subprocess.Popen(["sleep", "600"]).pid, subprocess.Popen(["sleep", "600"], start_new_session=True).pid]
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note(path, "daemon", of=os.getppid())
            os.execvp("sleep", ["sleep", "600"])
        os._exit(0)
    return pids


def die(how: str) -> Any:
    """End this process in one way of several."""
    if how == "SIGSEGV":
        import ctypes

        ctypes.string_at(0)
    elif how == "SIGBUS":
        os.kill(os.getpid(), signal.SIGBUS)
    elif how == "exit 0":
        os._exit(0)
    elif how == "SIGABRT":
        os.abort()
    elif how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    return how


def noted_death(path: str) -> None:
    """A task that kills whoever runs it."""
    note(path, "START", task="poison")
    die("SIGKILL")


def wait_for_ever(path: str) -> None:
    """Do nothing, without an end."""
    note(path, "busy")
    while True:
        signal.pause()
