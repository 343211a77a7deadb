"""What can be asked about processes, of the one that there is; the lifeline itself is tested by real deaths."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from softgrid._io import lifeline
from softgrid._io.lifeline import children_of, environment_of, kill_group, processes_with

NOBODY = 2**22 + 1  # beyond the largest process id of Linux


def test_a_process_that_does_not_exist_has_no_children() -> None:
    assert children_of(NOBODY) == set()


def test_this_process_is_a_child_of_its_parent() -> None:
    assert os.getpid() in children_of(os.getppid())


def _own_environment() -> dict[str, str]:
    with open("/proc/self/environ", "rb") as file:
        entries = [entry.partition(b"=") for entry in file.read().split(b"\0") if b"=" in entry]
    return {name.decode(): value.decode(errors="replace") for name, _, value in entries}


def test_what_a_process_was_started_with_is_known_as_long_as_there_is_one() -> None:
    for name, value in _own_environment().items():
        assert os.fsencode(environment_of(os.getpid())[name]).decode(errors="replace") == value
    assert environment_of(NOBODY) == {}


def test_a_process_is_found_by_what_its_environment_held_at_its_start() -> None:
    name, value = next(iter(_own_environment().items()))
    assert os.getpid() in set(processes_with(name, value))


def test_only_the_whole_value_finds_a_process() -> None:
    name, value = next(iter(_own_environment().items()))
    assert os.getpid() not in set(processes_with(name, value + "x"))
    assert os.getpid() not in set(processes_with("x" + name, value))


def test_without_proc_nobody_is_found(monkeypatch: Any) -> None:
    def no_proc(path: str) -> Any:
        raise FileNotFoundError(path)

    monkeypatch.setattr(lifeline.os, "listdir", no_proc)
    assert list(processes_with("PATH", "x")) == []
    assert children_of(os.getpid()) == set()


def test_signalling_somebody_who_is_gone_is_harmless() -> None:
    kill_group(NOBODY)


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_both_the_group_and_the_process_are_signalled(monkeypatch: Any, error: type[OSError]) -> None:
    sent: list[Any] = []

    def signal_group(pid: int, number: int) -> None:
        sent.append(("group", pid, number))
        raise error

    monkeypatch.setattr(lifeline.os, "killpg", signal_group)
    monkeypatch.setattr(lifeline.os, "kill", lambda pid, number: sent.append(("process", pid, number)))
    kill_group(5, signal.SIGTERM)
    assert sent == [("group", 5, signal.SIGTERM), ("process", 5, signal.SIGTERM)]
