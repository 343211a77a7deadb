"""The command that finds a Python, run by every shell that this machine has."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.watching import processes_with, wait_until

from softgrid._launch.boot_there import (
    LENGTH_DIGITS,
    NONE,
    PYTHON,
    SHELL,
    command_there,
    command_to_end,
    program_there,
    read_greeting,
)
from softgrid._model.errors import BadArgument

NONCE = "0123456789abcdef"
SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "ksh", "csh", "tcsh", "fish", "mksh") if shutil.which(shell)]


def said_by(shell: str, path: Path, executable: str | None = None, given: bytes = b"") -> list[tuple[str, str]]:
    """Run the command as a login shell does; gives the greeting, word by word."""
    for tool in ("sh", "tail"):
        if not (path / tool).exists():
            os.symlink(shutil.which(tool) or tool, path / tool)
    done = subprocess.run(
        [shutil.which(shell) or shell, "-c", command_there(NONCE, executable)],
        env={"PATH": str(path), "HOME": str(path)},
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    rest, words = b"noise " + done.stdout, []
    while (greeting := read_greeting(NONCE, rest)) is not None:
        words.append((greeting.word, greeting.said))
        rest = greeting.rest
    return words


def a_program(path: Path, name: str, text: str) -> None:
    (path / name).write_text(f"#!/bin/sh\n{text}\n")
    (path / name).chmod(0o755)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_first_python_that_is_new_enough_runs_the_program(shell: str, tmp_path: Path) -> None:
    a_program(tmp_path, "python3", "echo '(3, 9)'")
    os.symlink(sys.executable, tmp_path / "python3.12")
    program = f"print({NONCE!r}, 'ready', __import__('os').environ['SOFTGRID_GRID'])".encode()
    given = f"{len(program):0{LENGTH_DIGITS}d}".encode() + program
    assert said_by(shell, tmp_path, given=given) == [
        (SHELL, ""),
        (PYTHON, str(sys.implementation.cache_tag)),
        ("ready", NONCE),
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_all_that_was_tried_is_named(shell: str, tmp_path: Path) -> None:
    a_program(tmp_path, "python3", "echo '(3, 9)'")
    a_program(tmp_path, "python", "echo 'no library' >&2; exit 1")
    assert said_by(shell, tmp_path) == [
        (SHELL, ""),
        (
            NONE,
            "python3: (3, 9), python3.13: not found, python3.12: not found, python3.11: not found, "
            "python3.10: not found, python: no library",
        ),
    ]


def test_a_name_with_blanks_and_signs_is_one_name(tmp_path: Path) -> None:
    (tmp_path / 'a "b" $c').mkdir()
    os.symlink(sys.executable, tmp_path / 'a "b" $c' / "python")
    given = b"00000001#"
    assert said_by("sh", tmp_path, str(tmp_path / 'a "b" $c' / "python"), given)[1][0] == PYTHON


@pytest.mark.parametrize("executable", ["a'b", "a\\b", "a!b", "a\nb", "-c", "\x00"])
def test_a_name_that_shells_read_differently_is_refused(executable: str) -> None:
    with pytest.raises(BadArgument, match="machineExecutable"):
        command_there(NONCE, executable)


def test_the_command_is_short_and_holds_nothing_of_the_grid() -> None:
    command = command_there(os.urandom(16).hex(), None)
    assert len(command) < 800
    assert command.isascii()


def test_half_a_line_is_not_read() -> None:
    assert read_greeting(NONCE, f"noise\n{NONCE} shell".encode()) is None
    assert read_greeting(NONCE, b"noise\n") is None
    assert read_greeting(NONCE, f"noise{NONCE} shell\nrest".encode()) == ("shell", "", b"rest")


def test_the_program_says_how_long_it_is() -> None:
    sent = program_there(NONCE)
    size = int(sent[:LENGTH_DIGITS])
    assert NONCE in sent[LENGTH_DIGITS : LENGTH_DIGITS + size].decode()


@pytest.mark.parametrize("shell", SHELLS)
def test_what_hangs_is_ended_with_all_shells_around_it_and_nobody_else(shell: str, tmp_path: Path) -> None:
    """Once while the Python is looked for, once when it runs; a process of another launch stays."""
    nonce, other = "0123456789abcdef0011223344556677", "0123456789abcdef8899aabbccddeeff"
    a_program(tmp_path, "python3", "exec sleep 600")
    for tool in ("sleep", "tail", "grep", "sh"):
        os.symlink(shutil.which(tool) or tool, tmp_path / tool)
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    started = {
        each: subprocess.Popen(
            [shutil.which(shell) or shell, "-c", command_there(each, None)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        for each in (nonce, other)
    }
    try:
        for each in (nonce, other):
            wait_until(lambda each=each: processes_with("SOFTGRID_GRID", each), what="it hangs")  # type: ignore[misc]
        end = [shutil.which(shell) or shell, "-c", command_to_end(nonce)]
        subprocess.run(end, env=environment, check=True, timeout=60, stdin=subprocess.DEVNULL)
        assert started[nonce].wait(20) == -signal.SIGKILL
        assert processes_with("SOFTGRID_GRID", nonce) == {}
        assert started[other].poll() is None
        assert processes_with("SOFTGRID_GRID", other)
    finally:
        for process in started.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
