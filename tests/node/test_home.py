"""The home of an executor: there while it is used, gone when the executor has left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from softgrid._model.errors import Closed, LaunchFailed, SoftgridError
from softgrid._node.home import Home, has_packages, permanent_folder


def unguarded(path: Path) -> Home:
    return Home(str(path), lambda: None)


def test_it_is_made_when_it_is_first_used(tmp_path: Path) -> None:
    guarded: list[bool] = []
    home = Home(str(tmp_path / "home"), lambda: guarded.append(os.path.exists(tmp_path / "home")))
    assert not os.path.exists(home.path)
    with home.in_use():
        assert os.path.isdir(home.path)
    assert os.path.isdir(home.path)
    assert guarded == [False], "somebody must be there to remove it before it is made"


def test_it_comes_back_when_somebody_swept_it_away(tmp_path: Path) -> None:
    home = unguarded(tmp_path / "home")
    for _ in range(2):
        with home.in_use():
            os.rmdir(home.path)


def test_without_a_guard_it_is_not_made(tmp_path: Path) -> None:
    def fail() -> None:
        raise LaunchFailed("start the supervisor", "no processes left")

    with pytest.raises(LaunchFailed), Home(str(tmp_path / "home"), fail).in_use():
        pass
    assert os.listdir(tmp_path) == []


def test_when_it_is_gone_it_is_gone_for_good(tmp_path: Path) -> None:
    home = unguarded(tmp_path / "home")
    with home.in_use():
        Path(home.path, "file").write_text("")
    home.remove()
    assert os.listdir(tmp_path) == []
    with pytest.raises(Closed, match="has left the grid"), home.in_use():
        pass
    assert os.listdir(tmp_path) == []


def test_who_writes_while_it_is_removed_leaves_nothing(tmp_path: Path) -> None:
    home = unguarded(tmp_path / "home")
    with home.in_use():
        home.remove()
        Path(home.path).mkdir()
        Path(home.path, "late").write_text("")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("parent", ["file", "nul\0"])
def test_a_place_where_no_folder_can_be_is_told(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SoftgridError, match="cannot be made"), unguarded(tmp_path / parent / "home").in_use():
        pass


def test_packages_of_earlier_days_are_seen(tmp_path: Path) -> None:
    assert not has_packages(str(tmp_path))
    (tmp_path / "site-packages").mkdir()
    assert has_packages(str(tmp_path))


def test_what_is_permanent_is_in_the_users_data_folder_or_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert permanent_folder(None) == "/data/softgrid/permanent"
    assert permanent_folder("/kept/here") == "/kept/here"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert permanent_folder(None) == "/home/somebody/.local/share/softgrid/permanent"
