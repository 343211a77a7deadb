"""Addons.RepositoryTransfer across a grid, with the real pyrep: there, back, and to executors of every role."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pyrep = pytest.importorskip("pyrep")

from softgrid._store import pyrep_opening
from softgrid.Addons import RepositoryTransfer

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

VALUES: dict[str, Any] = {"one": [1, 2, 3], "deep/er/two": {"ü": (1.5, None)}, "deep/three": os.urandom(300_000)}
INFO = {"who": "me"}


def contents(path: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """What pyrep itself finds there: information, values, and what the infos of files say of how they are kept."""
    with pyrep_opening.opened(str(path)) as repository:
        infos = dict(repository.walk_files_info(recursive=True))
        kept = {name: [info[part] for part in ("dump", "pull", "description")] for name, info in infos.items()}
        return repository.info, {name: repository.pull_file(name) for name in infos}, kept


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Any]:
    made = pyrep.Repository()
    made.create_repository(str(tmp_path / "local"), info=INFO)
    for path, value in VALUES.items():
        made.dump_file(value, path, description=f"about {path}")
    yield made
    pyrep_opening._close(made)


def paths(repository: Any) -> list[str]:
    return [path for path, _ in repository.walk_files_info(relativePath="", fullPath=False, recursive=True)]


def sent(grid: Grid, receiver: str, **kwargs: Any) -> Any:
    (status,) = grid.O.transfer(RepositoryTransfer.get_repository_transfer_kwargs(**kwargs), receiver, collect=True)
    return status


@pytest.mark.parametrize("role", ["worker", "manager", "router", "orchestrator"])
def test_a_repository_travels_to_executors_of_every_role(grid: Grid, local: Any, tmp_path: Path, role: str) -> None:
    by_role = {"router": grid.routers, "manager": grid.managers, "worker": grid.workers}
    receiver = by_role[role][-1] if role in by_role else grid.O.gridUniqueName
    remote = tmp_path / "remote"
    status = sent(grid, receiver, localRepo=local, paths=paths(local), remoteRepo=str(remote))
    assert status, status.error
    assert status.message == f"3 files are in repository {str(remote)!r}"
    assert contents(remote) == contents(tmp_path / "local")
    assert contents(remote)[:2] == (INFO, VALUES)


def test_many_may_write_into_one_repository_at_once(grid: Grid, local: Any, tmp_path: Path) -> None:
    receivers = [*grid.workers, *grid.managers]
    calls = [
        RepositoryTransfer.get_repository_transfer_kwargs(local, path, str(tmp_path / "remote"))
        for path in [*VALUES, *list(VALUES)[:2]]
    ]
    statuses = grid.O.transfer(calls, receivers, collect=True)
    assert all(statuses), [status.error for status in statuses]
    assert contents(tmp_path / "remote")[:2] == (INFO, VALUES)


def test_a_repository_travels_back(grid: Grid, local: Any, tmp_path: Path) -> None:
    local.dump_file("more", "more")

    def send_back(worker: Any, path: str, target: str, receiver: str) -> Any:
        from softgrid.Addons import RepositoryTransfer

        kwargs = RepositoryTransfer.get_repository_transfer_kwargs(path, ["one", "more"], target)
        return worker.transfer(kwargs, receiver, collect=True)

    source, target = str(tmp_path / "local"), str(tmp_path / "back")
    found = grid.one(send_back, source, target, grid.O.gridUniqueName, first=True)
    assert isinstance(found, list), found.error
    assert found[0], found[0].error
    info, values, _ = contents(tmp_path / "back")
    assert (info, values) == (INFO, {"one": VALUES["one"], "more": "more"})


def test_the_information_is_the_local_one_another_or_none(grid: Grid, local: Any, tmp_path: Path) -> None:
    for given, found in [(None, INFO), (True, INFO), (False, ""), ({"own": 1}, {"own": 1}), (1, 1), ("x", "x")]:
        remote = tmp_path / f"remote {given}"
        assert sent(grid, grid.workers[0], localRepo=local, paths="one", remoteRepo=str(remote), remoteRepoInfo=given)
        assert contents(remote)[0] == found


def test_replacing_is_asked_for(grid: Grid, local: Any, tmp_path: Path) -> None:
    remote = str(tmp_path / "remote")

    def send(paths: Any, **kwargs: Any) -> Any:
        return sent(grid, grid.managers[0], localRepo=local, paths=paths, remoteRepo=remote, **kwargs)

    assert send("one")
    assert send("deep/three"), "the same repository takes more files"
    status = send(["one", "deep/er/two"], remoteRepoReplaceFiles=False)
    assert not status
    assert "replaceFiles=True" in status.error
    status = send("one", remoteRepoInfo="another")
    assert not status
    assert "repoReplace=True" in status.error
    assert contents(tmp_path / "remote")[:2] == (INFO, {key: VALUES[key] for key in ("one", "deep/three")})
    assert send("deep/er/two", remoteRepoInfo="another", remoteRepoReplace=True)
    assert contents(tmp_path / "remote")[:2] == ("another", {"deep/er/two": VALUES["deep/er/two"]})


def test_code_of_users_is_run_only_where_functions_of_users_are(grid: Grid, local: Any, tmp_path: Path) -> None:
    own = "def dump(path, value):\n    with open(path, 'w') as file:\n        file.write(str(value))\n"
    read = "def pull(path):\n    with open(path) as file:\n        return file.read()\n"
    local.dump_file("words", "own", dump=own, pull=read)
    remote = str(tmp_path / "remote")
    status = sent(grid, grid.managers[0], localRepo=local, paths="own", remoteRepo=remote)
    assert not status
    assert "runs no functions of users" in status.error
    assert not os.path.exists(remote)
    assert sent(grid, grid.workers[0], localRepo=local, paths="own", remoteRepo=remote)
    assert (tmp_path / "remote" / "own").read_text() == "words"


def test_plain_types_by_the_name_of_the_method_are_refused(grid: Grid, local: Any, tmp_path: Path) -> None:
    kwargs = RepositoryTransfer.get_repository_transfer_kwargs(local, "one", str(tmp_path / "remote"))
    path, info, replace, shipped, replace_files = kwargs["args"]
    kwargs["args"] = (path, info, replace, shipped.files, replace_files)
    for receiver in (grid.managers[0], grid.workers[0]):
        (status,) = grid.O.transfer(kwargs, receiver, collect=True)
        assert not status
        assert "files: got" in status.error
    assert not (tmp_path / "remote").exists()


def test_paths_that_leave_the_repository_are_refused(grid: Grid, local: Any, tmp_path: Path) -> None:
    kwargs = RepositoryTransfer.get_repository_transfer_kwargs(local, "one", str(tmp_path / "remote"))
    files = kwargs["args"][3].files
    files["../outside"] = files["one"]
    (status,) = grid.O.transfer(kwargs, grid.workers[0], collect=True)
    assert not status
    assert "files: got '../outside'" in status.error
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"localRepo": 5}, "localRepo: got"),
        ({"localRepo": "/nowhere"}, "localRepo: got"),
        ({"localRepo": pyrep.Repository()}, "localRepo: got"),
        ({"paths": "none"}, "paths: got 'none'"),
        ({"paths": 5}, "paths: got 5"),
        ({"paths": ["one", None]}, "paths: got"),
    ],
)
def test_what_cannot_be_read_is_said_at_once(local: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RepositoryTransfer.get_repository_transfer_kwargs(
            **{"localRepo": local, "paths": "one", "remoteRepo": "x", **arguments}
        )


def test_the_path_may_be_relative_to_a_folder_of_the_receiver(make_grid: MakeGrid, local: Any, tmp_path: Path) -> None:
    grid = make_grid(workers=0)
    (worker,) = grid.launch("Worker", executorKwargs={"permanentDir": str(tmp_path / "kept")})
    status = sent(grid, worker, localRepo=local, paths="one", remoteRepo=("permanent", "deep/repo"))
    assert status.data == str(tmp_path / "kept" / "deep" / "repo")
    assert contents(tmp_path / "kept" / "deep" / "repo")[:2] == (INFO, {"one": VALUES["one"]})
    status = sent(grid, worker, localRepo=local, paths="one", remoteRepo=("temporary", "repo"))
    assert contents(Path(status.data))[:2] == (INFO, {"one": VALUES["one"]})
    assert all(grid.O.kill_executor(worker))
    wait_until(lambda: not os.path.exists(status.data), what="what is temporary goes with its executor")


@pytest.mark.parametrize("path", [5, "", None, ("temporary",), ("nowhere", "x"), ("temporary", "../x")])
def test_a_path_that_cannot_be_meant_is_a_failed_status(grid: Grid, local: Any, path: Any) -> None:
    status = sent(grid, grid.workers[0], localRepo=local, paths="one", remoteRepo=path)
    assert not status
    assert status.error.startswith("repoPath: got")


def test_dump_can_be_called_where_one_is(grid: Grid, tmp_path: Path, local: Any) -> None:
    files = RepositoryTransfer.get_repository_transfer_kwargs(local, "one", "")["args"][3].files
    status = RepositoryTransfer.dump(grid.O, str(tmp_path / "here"), None, False, files, True)
    assert status, status.error
    assert contents(tmp_path / "here")[:2] == ("", {"one": VALUES["one"]})
    assert not RepositoryTransfer.dump(grid.O, str(tmp_path / "here"), "x", False, files, True)
