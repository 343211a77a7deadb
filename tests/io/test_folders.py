"""Folders of one process's own: private, made when needed, and gone with all that is in them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from softgrid._io.folders import make_private, remove_tree, temporary_parent


def test_what_is_missing_above_is_made_as_private_as_the_folder(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private(str(tmp_path / "a" / "b" / "c"))
        make_private(str(tmp_path / "a" / "b" / "c"))
    finally:
        os.umask(before)
    for folder in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(FileExistsError):
        make_private(str(tmp_path / "a"))
    with pytest.raises(NotADirectoryError):
        make_private(str(tmp_path / "a" / "b"))


def test_temporary_files_go_where_python_puts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for values in ({"TMPDIR": str(tmp_path)}, {"TMPDIR": "/none", "TEMP": str(tmp_path)}, {"TMP": str(tmp_path)}, {}):
        for name in ("TMPDIR", "TEMP", "TMP"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(tempfile, "tempdir", None)
        assert temporary_parent() == tempfile.gettempdir()


def test_a_tree_goes_with_all_that_is_in_it_and_nothing_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "theirs").write_text("")
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "file").write_text("")
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
    remove_tree(str(tmp_path / "tree"))
    remove_tree(str(tmp_path / "tree"))
    assert os.listdir(tmp_path) == ["outside"]
    (tmp_path / "tree").symlink_to(tmp_path / "outside")
    remove_tree(str(tmp_path / "tree"))
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(tmp_path / "outside") == ["theirs"]


REMOVE = """
import os, shutil, sys
sys.path.insert(0, sys.argv[2])
from softgrid._io.folders import remove_tree
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)  # root is forbidden nothing
os.makedirs(sys.argv[1] + '/tree/shut/deep')
open(sys.argv[1] + '/tree/shut/deep/file', 'w').close()
os.chmod(sys.argv[1] + '/tree/shut/deep', 0o500)
os.chmod(sys.argv[1] + '/tree/shut', 0)
remove_tree(sys.argv[1] + '/tree')
print(os.listdir(sys.argv[1]))
"""


def test_folders_that_forbid_it_go_too() -> None:
    source = str(Path(sys.modules["softgrid"].__file__ or "").parents[1])
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        os.chmod(folder, 0o777)
        run = subprocess.run(
            [sys.executable, "-c", REMOVE, folder, source], capture_output=True, text=True, timeout=60, check=False
        )
    assert run.stdout == "[]\n", run.stderr
