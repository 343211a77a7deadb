"""Files of pyrep repositories as values and back, with the real pyrep; and what its lock server leaves: nothing."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.watching import wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pyrep = pytest.importorskip("pyrep")

from softgrid._model.errors import BadArgument, Duplicate, NotInstalled, Refused, Undecodable
from softgrid._store import pyrep_opening
from softgrid._store.paths import OutsideRoot
from softgrid._store.pyrep_opening import NotTransferred
from softgrid._store.repositories import check_ways, read_repository, write_repository

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

VALUES: dict[str, Any] = {"one": [1, 2, 3], "deep/er/two": {"ü": (1.5, None)}, "deep/three": b"\x00\xff"}
DESCRIPTIONS = {"one": "", "deep/er/two": "the second", "deep/three": ""}
INFO = {"who": "me", "n": 1}


def close(repository: Any) -> None:
    pyrep_opening._close(repository)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Any]:
    made = pyrep.Repository()
    made.create_repository(str(tmp_path / "local"), info=INFO)
    for path, value in VALUES.items():
        made.dump_file(value, path, description=DESCRIPTIONS[path], dump="pickle4" if "three" in path else None)
    yield made
    close(made)


def contents(path: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """What pyrep itself finds in a repository: its information, the values, and the infos of files."""
    with pyrep_opening.opened(str(path)) as repository:
        infos = dict(repository.walk_files_info(recursive=True))
        return repository.info, {name: repository.pull_file(name) for name in infos}, infos


def write(path: Path, files: Any, info: Any = INFO, *, replace: bool = False, replace_files: bool = True) -> int:
    return write_repository(str(path), info, files, replace=replace, replace_files=replace_files)


def threads() -> list[str]:
    names = ("wait_for_clients", "launch_queue_monitor", "acquired_locks_max_time_monitor")
    return [thread.name for thread in threading.enumerate() if thread.name in names]


def test_what_is_read_from_one_repository_is_written_into_another(local: Any, tmp_path: Path) -> None:
    content = read_repository(local, list(VALUES))
    assert content.info == INFO
    assert write(tmp_path / "remote", content.files, content.info) == 3
    info, values, infos = contents(tmp_path / "remote")
    assert (info, values) == (INFO, VALUES)
    before = dict(local.walk_files_info(recursive=True))
    for part in ("dump", "pull", "description"):
        assert {name: infos[name][part] for name in infos} == {name: before[name][part] for name in before}


def test_a_repository_may_be_given_by_its_path(local: Any, tmp_path: Path) -> None:
    content = read_repository(str(tmp_path / "local"), ["one"])
    assert list(content.files) == ["one"]
    assert pickle.loads(content.files["one"]["data"]) == VALUES["one"]
    assert local.pull_file("one") == VALUES["one"], "what was open stays open"


def test_no_lock_server_is_left(local: Any, tmp_path: Path) -> None:
    files = read_repository(local, ["one"]).files
    close(local)
    wait_until(lambda: not threads(), what="the lock server of the test's own repository has ended")
    for _ in range(3):
        write(tmp_path / "remote", files)
    read_repository(str(tmp_path / "remote"), ["one"])
    wait_until(lambda: not threads(), what="no lock server is left")


class Locker:
    """A lock server that comes up at the attempt that is given."""

    isClient = False

    def __init__(self, comes_up_at: int) -> None:
        self._attempts_left = comes_up_at

    @property
    def isServer(self) -> bool:
        return self._attempts_left <= 0

    def start(self) -> None:
        self._attempts_left -= 1


def test_a_lock_server_that_mistook_a_dead_one_for_alive_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyrep_opening, "STALE_S", 0.0)
    pyrep_opening._check_locker(Locker(0))
    pyrep_opening._check_locker(Locker(1))
    with pytest.raises(NotTransferred, match="cannot be started"):
        pyrep_opening._check_locker(Locker(2))


def test_files_are_added_to_what_is_there(local: Any, tmp_path: Path) -> None:
    files = read_repository(local, list(VALUES)).files
    write(tmp_path / "remote", {"one": files["one"]})
    write(tmp_path / "remote", {"other": files["deep/three"]})
    assert contents(tmp_path / "remote")[1] == {"one": VALUES["one"], "other": VALUES["deep/three"]}


def test_files_that_are_there_are_replaced_only_if_wanted(local: Any, tmp_path: Path) -> None:
    files = read_repository(local, ["one"]).files
    write(tmp_path / "remote", files)
    changed = {"one": {**files["one"], "data": pickle.dumps("changed")}}
    with pytest.raises(Duplicate, match=r"files: got \['one'\], .*replaceFiles=True"):
        write(tmp_path / "remote", {"new": files["one"], **changed}, replace_files=False)
    assert contents(tmp_path / "remote")[1] == {"one": VALUES["one"]}
    write(tmp_path / "remote", changed)
    assert contents(tmp_path / "remote")[1] == {"one": "changed"}


def test_another_repository_is_replaced_only_if_wanted(local: Any, tmp_path: Path) -> None:
    files = read_repository(local, list(VALUES)).files
    write(tmp_path / "remote", {"one": files["one"]}, "another")
    with pytest.raises(Duplicate, match=r"repoPath: got .*repoReplace=True"):
        write(tmp_path / "remote", files)
    assert contents(tmp_path / "remote")[:2] == ("another", {"one": VALUES["one"]})
    write(tmp_path / "remote", {"deep/three": files["deep/three"]}, replace=True)
    assert contents(tmp_path / "remote")[:2] == (INFO, {"deep/three": VALUES["deep/three"]})


def test_no_information_is_the_same_as_none(local: Any, tmp_path: Path) -> None:
    files = read_repository(local, ["one"]).files
    for info in (None, "", None):
        write(tmp_path / "remote", files, info)
    assert contents(tmp_path / "remote")[0] == ""


@pytest.mark.parametrize("path", ["../out", "/out", "a/../../out", "", "a\0b"])
def test_paths_that_leave_the_repository_are_refused(local: Any, tmp_path: Path, path: str) -> None:
    files = read_repository(local, ["one"]).files
    with pytest.raises((OutsideRoot, BadArgument), match="files: got"):
        write(tmp_path / "remote", {"good": files["one"], path: files["one"]})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["local"]


def test_nothing_is_written_when_a_value_cannot_be_read(local: Any, tmp_path: Path) -> None:
    files = read_repository(local, ["one"]).files
    for bad in ({"data": b"garbage"}, {"data": pickle.dumps(1)}, {}):
        with pytest.raises((NotTransferred, BadArgument, Undecodable), match="bad"):
            write(tmp_path / "remote", {**files, "bad": bad}, replace=True)
    assert not (tmp_path / "remote").exists()


def test_a_file_that_pyrep_cannot_write_is_named(local: Any, tmp_path: Path) -> None:
    broken = "def dump(path, value):\n    raise RuntimeError('no more paper')\n"
    files = read_repository(local, ["one"]).files
    with pytest.raises(NotTransferred, match=r"file 'worse' cannot be written to repository .*no more paper"):
        write(tmp_path / "remote", {**files, "worse": {**files["one"], "dump": broken}})
    assert contents(tmp_path / "remote")[1] == {"one": VALUES["one"]}


def test_what_is_no_file_or_no_repository_is_named(local: Any, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="paths: got 'none', accepted is paths of files in the repository"):
        read_repository(local, ["one", "none"])
    with pytest.raises(BadArgument, match=r"localRepo: got .*nowhere"):
        read_repository(str(tmp_path / "nowhere"), ["one"])
    (tmp_path / "local" / "one").write_bytes(b"no pickle")
    with pytest.raises(NotTransferred, match=r"file 'one' of repository .* cannot be read"):
        read_repository(local, ["one"])


def test_code_that_a_file_brings_along_is_told_from_what_pyrep_has(local: Any) -> None:
    files = read_repository(local, list(VALUES)).files
    check_ways(files)
    check_ways({"a": {"dump": None, "pull": None}, "b": {"dump": "json", "pull": "pickle2"}})
    for part in ("dump", "pull"):
        own = {"own": {**files["one"], part: f"def {part}(path, value=None):\n    pass\n"}}
        with pytest.raises(Refused, match="file 'own' brings its own code"):
            check_ways({**files, **own})


def test_the_warning_filters_of_the_program_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "pyrep"]:
        monkeypatch.delitem(sys.modules, name)
    before = list(warnings.filters)
    assert pyrep_opening.pyrep_module().Repository
    assert list(warnings.filters) == before


def test_without_pyrep_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyrep", None)
    with pytest.raises(NotInstalled, match=r"softgrid\[pyrep\]"):
        read_repository(str(tmp_path), [])
