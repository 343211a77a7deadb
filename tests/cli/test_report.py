"""The report of the demo: the numbers are there, and a difference cannot be overlooked."""

from __future__ import annotations

import pytest

from softgrid._cli.report import Run, Share, report
from softgrid._cli.wordcount import BatchResult


def result(counts: dict[str, int], pid: int, skipped: tuple[str, ...] = ()) -> BatchResult:
    return counts, {
        "pid": pid,
        "files": 3,
        "tokens": 1000,
        "skipped": list(skipped),
        "seconds": 2.0,
    }


@pytest.fixture
def run() -> Run:
    run = Run("/lib/python", 5_000_000, cores=4, launch_s=0.25, grid_s=2.0, serial_s=3.0)
    run.relays = [("orchestrator", 10), ("router", 11), ("manager", 12)]
    run.shares = [Share("worker 1", 13), Share("worker 2", 14)]
    for share in run.shares:
        batch = result({"self": 10, "x": 1}, share.pid, skipped=("bad.py",))
        share.add(batch)
        run.grid.add(batch)
        run.serial.add(batch)
    return run


def test_the_report_of_a_run_reads_like_this(run: Run) -> None:
    assert report(run, top=1).splitlines() == [
        "Identifiers of /lib/python",
        "6 files (5.0 MB), 2,000 tokens, 2 different names; 1 file skipped: not tokenisable",
        "",
        "    1         20  self",
        "",
        "executor           pid  batches   files       tokens     busy",
        "orchestrator        10        2  cut, merged",
        "router              11        2  passed on",
        "manager             12        2  passed on",
        "worker 1            13        1       3        1,000   2.00 s",
        "worker 2            14        1       3        1,000   2.00 s",
        "",
        "launch    0.25 s for the whole grid",
        "check     equal to a serial count of the same files",
        "speed-up  1.50 x: serial 3.00 s, grid 2.00 s with 2 workers on 4 cores",
    ]


def test_a_worker_is_booked_under_the_process_that_answered(run: Run) -> None:
    run.shares[0].add(result({}, pid=99))
    share = run.shares[0]
    assert (share.pid, share.batches, share.files, share.seconds) == (99, 2, 6, 4.0)


def test_a_different_count_is_shown_name_by_name(run: Run) -> None:
    run.serial.counts["x"] += 1
    run.serial.counts["only_serial"] = 4
    text = report(run, top=1)
    assert not run.is_equal
    assert "check     DIFFERENT from a serial count" in text
    assert "          only_serial: grid 0, serial 4\n          x: grid 2, serial 3\n" in text


def test_many_differences_are_cut_short(run: Run) -> None:
    run.serial.counts.update({f"name{number}": 1 for number in range(9)})
    assert "          and 4 more names" in report(run, top=1)


def test_files_that_only_one_side_skipped_are_named(run: Run) -> None:
    run.grid.skipped.add("late.py")
    run.serial.files += 1
    text = report(run, top=1)
    assert "          files: grid 6, serial 7" in text
    assert "          late.py: skipped by the grid only" in text
