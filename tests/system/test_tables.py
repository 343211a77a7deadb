"""DDFSETL in the processes of a grid: whose folder it is, what errors say, and how little memory it takes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts, Traces
from tests.system.watching import PATIENCE_S

from softgrid.DDFS import DDFSETL

pytestmark = pytest.mark.system

ROWS = [["a,b", 1, 0.5], ["", None, float("inf")], [None, 2**70, -0.0]]


@pytest.fixture
def etl() -> DDFSETL:
    return DDFSETL([str, int, float], sep=",")


def test_it_travels_and_uses_the_folder_of_whoever_runs_it(make_grid: MakeGrid, etl: DDFSETL, tmp_path: Path) -> None:
    grid = make_grid(workers=0, ddfsDir=str(tmp_path / "own"))
    (worker,) = grid.launch("Worker", executorKwargs={"ddfsDir": str(tmp_path / "theirs")})
    assert grid.one(etl.dump, "deep/t.csv", ROWS, to=worker) == 3
    assert (tmp_path / "theirs" / "deep" / "t.csv").is_file()
    assert grid.one(lambda: etl.pull("deep/t.csv"), to=worker) == (["column_1", "column_2", "column_3"], ROWS)
    with pytest.raises(Exception, match=f"{tmp_path}/own/deep/t.csv"):
        etl.pull("deep/t.csv")
    assert etl.dump("t.csv", ROWS) == 3
    assert (tmp_path / "own" / "t.csv").is_file()


def test_by_default_the_executors_of_a_machine_share_a_folder_that_stays(
    make_grid: MakeGrid, etl: DDFSETL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    grid = make_grid(managers=1, workers=2)
    first, second = grid.workers
    grid.one(etl.dump, "t", ROWS, to=first)
    assert grid.one(lambda: list(etl.iter("t", 2)), to=second) == [ROWS[:2], ROWS[2:]]
    assert etl.pull("t")[1] == ROWS
    assert (tmp_path / "data" / "softgrid" / "ddfs" / "t").is_file()


def test_a_fork_of_user_code_uses_the_folder_of_its_executor(make_grid: MakeGrid, tmp_path: Path) -> None:
    grid = make_grid(workers=0)
    (worker,) = grid.launch("Worker", executorKwargs={"ddfsDir": str(tmp_path)})
    etl = DDFSETL(int)

    def dump_in_a_fork() -> int:
        child = os.fork()
        if child == 0:
            try:
                etl.dump("forked", [[1]])
            finally:
                os._exit(0)
        return os.waitpid(child, 0)[1]

    assert grid.one(dump_in_a_fork, to=worker) == 0
    assert (tmp_path / "forked").is_file()


def test_an_error_on_a_worker_says_where_in_the_table(make_grid: MakeGrid, etl: DDFSETL, tmp_path: Path) -> None:
    grid = make_grid(workers=0)
    (worker,) = grid.launch("Worker", executorKwargs={"ddfsDir": str(tmp_path)})
    (status,) = grid.call(etl.dump, "t", [*ROWS, ["x", "y", 1.0]], to=worker)
    assert not status
    assert "row 4, column 'column_2': got 'y'" in status.error
    assert isinstance(status.exception, ValueError)
    assert not (tmp_path / "t").exists()


def test_a_table_of_any_size_is_iterated_in_little_memory(scripts: Scripts, traces: Traces) -> None:
    """A file of 23 MB; one of 1.1 GB takes as much, which was measured by hand: docs/guides/tables.md."""
    said = scripts.run(
        """
        from softgrid.DDFS import DDFSETL
        os.environ["XDG_DATA_HOME"] = os.getcwd()
        etl = DDFSETL([int, str, float])
        written = etl.dump("large", ([number, "x" * 90, number / 7] for number in range(200_000)))
        path = "softgrid/ddfs/large"
        size, before = os.path.getsize(path), peak_kib()
        tell("rows", written, sum(1 for row in etl.iter("large")), sum(map(len, etl.iter("large", 1000))))
        tell("size", size, "grew", peak_kib() - before, "peak", peak_kib())
        os.unlink(path); os.removedirs("softgrid/ddfs")
        """,
        timeout=6 * PATIENCE_S,  # it is work, not waiting
    )
    assert ">> rows 200000 200000 200000" in said
    figures = said.partition(">> size ")[2].split()
    size, grew, peak = int(figures[0]), int(figures[2]), int(figures[4])
    assert size > 20_000_000
    assert grew < 8_000
    assert peak < 50_000


def test_the_folder_must_be_a_path(grid: Grid) -> None:
    from softgrid import Orchestrator

    for given in (5, "", b"x", True):
        with pytest.raises(ValueError, match="ddfsDir: got"):
            Orchestrator(ddfsDir=given)  # type: ignore[arg-type]


def test_what_it_is_made_with_is_checked_when_it_is_made() -> None:
    for arguments, parameter in [
        ({"dtypes": bytes}, "dtypes"),
        ({"dtypes": []}, "dtypes"),
        ({"dtypes": int, "sep": ""}, "sep"),
        ({"dtypes": int, "sep": '"'}, "sep"),
        ({"dtypes": [int], "colNames": ["a", "b"]}, "colNames"),
        ({"dtypes": int, "colNames": "ab"}, "colNames"),
    ]:
        kwargs: dict[str, Any] = arguments
        with pytest.raises(ValueError, match=f"^{parameter}: got"):
            DDFSETL(**kwargs)
