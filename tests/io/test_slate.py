"""The slate: what an executor writes on it can be read by who has forked it, also when the executor is dead."""

from __future__ import annotations

import os
import signal

from softgrid._io.slate import CALLERS, Slate

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


def test_it_says_the_newest_call_of_each_caller_that_has_begun() -> None:
    slate = Slate()
    assert slate.begun() == []
    for caller, message_id in ((5, 3), (LARGEST, 9), (5, 2), (5, 7)):
        slate.begin(caller, message_id)
        slate.end()
    assert slate.begun() == [(5, 7), (LARGEST, 9)]


def test_with_too_many_callers_nothing_is_said_of_any() -> None:
    slate = Slate()
    for caller in range(1, CALLERS + 1):
        slate.begin(caller, caller)
    assert slate.begun() == [(caller, caller) for caller in range(1, CALLERS + 1)]
    slate.begin(CALLERS + 1, 1)
    assert slate.begun() is None
    assert slate.running() == (CALLERS + 1, 1)
