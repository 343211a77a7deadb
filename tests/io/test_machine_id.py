"""A machine has one id for all its processes, and may be told another."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from softgrid._io.machine_id import VARIABLE, machine_id

SOURCE = str(Path(__file__).parents[2] / "src")
PROGRAM = "from softgrid._io.machine_id import machine_id; print(machine_id())"


def id_of_another_process(*enter: str) -> str:
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    words = [*enter, sys.executable, "-c", PROGRAM]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_the_same_in_all_processes_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    made = machine_id()
    assert made == machine_id() == id_of_another_process()
    assert len(made) == 32
    assert int(made, 16)


def test_the_environment_may_say_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = machine_id()
    monkeypatch.setenv(VARIABLE, "node 7")
    assert machine_id() == id_of_another_process() != own
    assert "node 7" not in machine_id()


def test_a_container_is_a_machine_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    enter = ("unshare", "--pid", "--fork", "--mount-proc")
    try:
        other = id_of_another_process(*enter)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("processes cannot be set apart here")
    assert other != machine_id()


def test_a_system_that_does_not_tell_is_known_by_its_name_and_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    known = machine_id()
    opened = builtins.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
        if "boot_id" in str(path):
            raise FileNotFoundError(path)
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)
    assert machine_id() == machine_id() != known
