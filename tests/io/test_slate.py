"""The slate: what an executor writes on it can be read by who has forked it, also when the executor is dead."""

from __future__ import annotations

import os
import signal

from softgrid._io.slate import Slate

LARGEST = 2**64 - 1


def test_it_says_what_runs_and_when_nothing_does() -> None:
    slate = Slate()
    assert slate.running() is None
    slate.begin(LARGEST, 7)
    assert slate.running() == (LARGEST, 7)
    slate.end()
    assert slate.running() is None


def test_what_a_child_wrote_last_is_still_there_when_it_was_killed() -> None:
    slate, other = Slate.shared(), Slate.shared()
    pid = os.fork()
    if pid == 0:
        slate.begin(5, 1)
        slate.end()
        slate.begin(5, 2)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert slate.running() == (5, 2)
    assert other.running() is None
    slate.close()
    other.close()
