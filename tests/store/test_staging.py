"""Staging: what is made there is gone afterwards, and what a killed process left goes with the next one's."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from softgrid._store import staging as module
from softgrid._store.staging import FOLDER, staging

LEFT = ".softgrid-0123456789abcdef"
HOLDS = """
import sys, time
from softgrid._store.staging import FOLDER, staging
import os
with staging(os.open(sys.argv[1], FOLDER), sys.argv[1]) as path:
    print(path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(module, "_swept", set())
    descriptor = os.open(tmp_path, FOLDER)
    yield descriptor
    os.close(descriptor)


def test_what_is_made_there_is_gone_afterwards_also_after_an_error(folder: int, tmp_path: Path) -> None:
    def write() -> None:
        with staging(folder, str(tmp_path)) as path:
            Path(path, "part").write_text("half")
            raise ValueError("of the writer")

    with pytest.raises(ValueError, match="of the writer"):
        write()
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed_and_what_a_live_one_makes_is_not(folder: int, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdout is not None
        made = maker.stdout.readline().strip()
        with staging(folder, str(tmp_path)):
            assert os.path.isdir(made)
        maker.kill()
        maker.wait()
        assert os.path.isdir(made)
        module._swept.clear()
        with staging(folder, str(tmp_path)):
            assert not os.path.exists(made)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["kept", ".softgrid-", ".softgrid-notes", f"{LEFT}0"])
def test_only_what_is_named_like_ours_is_removed(folder: int, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / LEFT).mkdir()
    with staging(folder, str(tmp_path)):
        pass
    assert os.listdir(tmp_path) == [name]


def test_a_link_with_such_a_name_is_not_followed(folder: int, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / LEFT).symlink_to("kept")
    with staging(folder, str(tmp_path)):
        pass
    assert sorted(os.listdir(tmp_path)) == [LEFT, "kept"]


def test_where_there_are_no_locks_nothing_is_removed(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(module, "_lock", refuse)
    (tmp_path / LEFT).mkdir()
    with staging(folder, str(tmp_path)) as path:
        assert os.path.isdir(path)
    assert os.listdir(tmp_path) == [LEFT]


def test_whoever_is_swept_away_before_it_holds_its_folder_makes_another(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    hold: Any = module._hold

    def swept_first(held: int) -> bool:
        made.append(os.readlink(f"/proc/self/fd/{held}"))
        if len(made) == 1:
            os.rmdir(made[0])
        return len(made) != 2 and bool(hold(held))

    monkeypatch.setattr(module, "_hold", swept_first)
    with staging(folder, str(tmp_path)) as path:
        assert path == made[2]
    assert len(set(made)) == 3
