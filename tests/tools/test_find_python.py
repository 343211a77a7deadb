"""`tools/find-python`: the first interpreter that really runs, is new enough and has venv."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "find-python"

pytestmark = pytest.mark.system


def fake(folder: Path, name: str, *, says: str = "", fails: str = "") -> Path:
    """An interpreter that answers the probe with *says*, or with *fails* and an exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{fails}' >&2\nexit 1\n" if fails else f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def find(path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments],
        env={"PATH": str(path), "HOME": str(path), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_this_very_interpreter_is_usable(tmp_path: Path) -> None:
    found = find(tmp_path, PYTHON=sys.executable)
    assert found.returncode == 0
    assert found.stderr == ""
    assert os.access(found.stdout.strip(), os.X_OK)


def test_the_newest_name_that_runs_is_taken(tmp_path: Path) -> None:
    fake(tmp_path, "python3.13", fails="pyenv: python3.13: command not found")
    fake(tmp_path, "python3.12", says="3.12 /opt/python3.12")
    fake(tmp_path, "python3.10", says="3.10 /opt/python3.10")
    assert find(tmp_path).stdout == "/opt/python3.12\n"


def test_the_one_that_is_asked_for_comes_first(tmp_path: Path) -> None:
    fake(tmp_path, "python3.13", says="3.13 /opt/python3.13")
    mine = fake(tmp_path / "mine", "python", says="3.11 /mine/python")
    assert find(tmp_path, PYTHON=str(mine)).stdout == "/mine/python\n"


def test_one_that_is_asked_for_and_of_no_use_is_told(tmp_path: Path) -> None:
    fake(tmp_path, "python3", says="3.11 /opt/python3")
    found = find(tmp_path, PYTHON="python2")
    assert found.stdout == "/opt/python3\n"
    assert found.stderr == "PYTHON=python2 is not there; trying others\n"


def test_without_any_the_error_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    fake(tmp_path, "python3", fails="is Python 3.8, too old")
    found = find(tmp_path)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "softgrid needs 3.10 or newer" in found.stderr
    assert "  python3.13: is not there\n" in found.stderr
    assert "  python3: is Python 3.8, too old\n" in found.stderr
    assert "make demo PYTHON=/path/to/python" in found.stderr


def test_what_an_interpreter_mumbles_at_its_start_is_not_part_of_its_path(tmp_path: Path) -> None:
    python = fake(tmp_path, "python3", says="3.11 /opt/python3")
    python.write_text("#!/bin/sh\necho warning >&2\necho '3.11 /opt/python3'\n")
    assert find(tmp_path).stdout == "/opt/python3\n"


def test_an_exact_version_is_found_under_a_general_name(tmp_path: Path) -> None:
    fake(tmp_path, "python3", says="3.11 /opt/python3")
    assert find(tmp_path, "3.11").stdout == "/opt/python3\n"


def test_an_exact_version_is_found_among_those_of_pyenv(tmp_path: Path) -> None:
    fake(tmp_path, "python3.12", fails="pyenv: python3.12: command not found")
    fake(tmp_path / ".pyenv/versions/3.12.1/bin", "python3", says="3.12 /pyenv/3.12")
    fake(tmp_path / ".pyenv/versions/3.13.0/bin", "python3", says="3.13 /pyenv/3.13")
    assert find(tmp_path, "3.12").stdout == "/pyenv/3.12\n"


def test_an_exact_version_that_is_not_there_is_quietly_none(tmp_path: Path) -> None:
    fake(tmp_path, "python3", says="3.11 /opt/python3")
    found = find(tmp_path, "3.12")
    assert (found.returncode, found.stdout, found.stderr) == (1, "", "")
