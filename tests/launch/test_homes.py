"""Where homes are, and that they are found again by who removes them, whatever has become of who made them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from softgrid._io.folders import make_private
from softgrid._launch.homes import Homes, new_home


@pytest.fixture
def homes(tmp_path: Path) -> Homes:
    return Homes(str(tmp_path / "home" / "below-0123"))


def made(path: str) -> str:
    make_private(path)
    Path(path, "file").write_text("")
    return path


def await_removals(homes: Homes) -> None:
    for pid in list(homes.removals):
        os.waitpid(pid, 0)
        homes.removals.discard(pid)


def test_a_new_home_is_nobody_elses_and_not_made_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    paths = {new_home(None), new_home(None), new_home(str(tmp_path / "given"))}
    assert len(paths) == 3
    assert sorted(os.path.dirname(path) for path in paths) == [str(tmp_path), str(tmp_path), str(tmp_path / "given")]
    assert os.listdir(tmp_path) == []


def test_an_executor_has_its_home_with_the_others_or_where_it_was_told(homes: Homes, tmp_path: Path) -> None:
    assert homes.of(7, None) == str(tmp_path / "home" / "below-0123" / "7")
    assert homes.of(7, "/scratch/mine") == "/scratch/mine/softgrid-below-0123-7"
    assert homes.of(7, ["no", "path"]) == homes.of(7, None)


def test_a_home_is_taken_away_at_once_and_then_removed(homes: Homes) -> None:
    home = made(homes.of(7, None))
    other = made(homes.of(70, None))
    homes.remove(home)
    assert not os.path.exists(home)
    await_removals(homes)
    assert os.listdir(homes.folder) == ["70"]
    assert os.path.exists(other)


@pytest.mark.parametrize("parent", [None, "/nowhere/at/all", "nul\0"])
def test_a_home_that_was_never_made_costs_nothing(homes: Homes, parent: str | None) -> None:
    homes.expect_in(parent)
    homes.remove(homes.of(7, parent))
    assert not homes.removals


def test_all_homes_go_also_those_elsewhere_and_nothing_besides(homes: Homes, tmp_path: Path) -> None:
    elsewhere = tmp_path / "scratch"
    homes.expect_in(str(elsewhere))
    homes.expect_in(str(elsewhere))
    for parent in (None, str(elsewhere)):
        made(homes.of(7, parent))
        made(homes.of(8, parent) + ".gone")
    theirs = Homes(str(tmp_path / "home" / "below-4567"))
    kept = [made(theirs.of(7, None)), made(theirs.of(7, str(elsewhere))), made(str(elsewhere / "softgrid-mine"))]
    Homes(homes.folder).remove_all()  # somebody else, who has been told nothing
    assert not os.path.exists(homes.folder)
    assert all(map(os.path.exists, kept))
    assert sorted(os.listdir(elsewhere)) == ["softgrid-below-4567-7", "softgrid-mine"]


def test_removing_all_of_nothing_is_harmless(homes: Homes) -> None:
    homes.remove_all()
    Homes("").remove_all()
