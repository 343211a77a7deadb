"""How a process ended, in words; the rest of its life is tested with real ones."""

from __future__ import annotations

import os
import subprocess
from time import monotonic

import pytest
from tests.system.watching import wait_until

from softgrid._io.process import Process, await_gone, cause_of_death


@pytest.mark.parametrize(
    ("code", "number", "words"),
    [
        (0, None, "exited with code 0"),
        (3, None, "exited with code 3"),
        (None, 9, "killed by signal 9 (SIGKILL)"),
        (None, 15, "killed by signal 15 (SIGTERM)"),
        (None, 63 + 64, "killed by signal 127"),
    ],
)
def test_the_cause_of_death_is_told_in_words(code: int | None, number: int | None, words: str) -> None:
    assert cause_of_death(code, number) == words


def test_the_end_of_any_process_can_be_waited_for() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        grandchild = subprocess.run(["sh", "-c", "true & echo $!"], capture_output=True, text=True, check=True)
        process.kill()
        await_gone([process.pid, int(grandchild.stdout), 2**22 + 1], 60)
        assert process.wait() == -9


def test_a_process_that_stays_is_waited_for_no_longer_than_the_timeout() -> None:
    started = monotonic()
    await_gone([os.getpid()] * 3, 0.05)
    assert monotonic() - started > 0.04


def test_the_last_words_of_a_process_are_kept_until_its_end_was_awaited() -> None:
    before = len(os.listdir("/proc/self/fd"))
    process = Process(["sh", "-c", "echo one; echo two >&2; exit 3"], dict(os.environ))
    assert wait_until(lambda: process.last_words()[0] == "exited with code 3")
    assert process.last_words()[1] == ["one", "two"]
    process.await_end(5)
    assert process.last_words() == ("exited with code 3", [])
    assert len(os.listdir("/proc/self/fd")) == before
