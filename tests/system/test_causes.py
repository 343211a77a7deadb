"""What an executor died of is told: in the error of every affected call, in ``machines`` and in the log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import parent_of, pid_in, wait_until

pytestmark = pytest.mark.system

ENDS = {
    "__import__('os')._exit(3)": "exited with code 3",
    "__import__('os')._exit(0)": "exited with code 0",
    "__import__('os').abort()": "killed by signal 6 (SIGABRT)",
    "__import__('ctypes').string_at(8)": "killed by signal 11 (SIGSEGV)",
    "__import__('os').kill(__import__('os').getpid(), 9)": "killed by signal 9 (SIGKILL)",
    "__import__('os').kill(__import__('os').getpid(), 7)": "killed by signal 7 (SIGBUS)",
}


def dies(grid: Grid, call: str, worker: str) -> str:
    """Have a worker do what kills it; gives the error of the call."""
    (status,) = grid.call(f"lambda: {call}", to=worker)
    assert not status
    return str(status.error)


@pytest.mark.parametrize("call", ENDS)
def test_the_end_of_a_process_is_told_by_signal_or_exit_code(make_grid: MakeGrid, call: str) -> None:
    grid = make_grid(managers=1, workers=1)
    said = grid.listen()
    (worker,) = grid.workers
    error = dies(grid, call, worker)
    assert f"{worker} is gone: {ENDS[call]}; the call " in error.splitlines()[0]
    assert grid.O.machines[grid.O.address]["lost"][worker].splitlines()[0] == ENDS[call]
    assert "out of memory" not in error
    grid.O.disconnect(kill=False)
    assert [line.splitlines()[0] for line in said if "is gone" in line] == [f"{worker} is gone: {ENDS[call]}"]


def test_one_that_crashes_below_python_says_where(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1)
    error = dies(grid, "__import__('ctypes').string_at(8)", grid.workers[0])
    assert "its last output:\n    Fatal Python error: Segmentation fault" in error
    assert "string_at" in error


def test_the_last_twenty_lines_that_it_wrote_are_told(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1)
    writes = "[__import__('os').write(2, b'line %d' % n + bytes([10])) for n in range(50)], __import__('os')._exit(1)"
    error = dies(grid, f"({writes})", grid.workers[0])
    head, *shown = error.splitlines()
    assert "exited with code 1; the call " in head
    assert shown == ["its last output:", *(f"    line {number}" for number in range(30, 50))]


def test_who_stood_below_one_that_died_is_lost_for_its_cause(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=1)
    (manager,), (worker,) = grid.managers, grid.workers
    os.kill(pid_in(manager), 9)
    wait_until(lambda: not grid.O.workers, what="both are gone")
    lost = grid.O.machines[grid.O.address]["lost"]
    assert lost == {
        manager: "killed by signal 9 (SIGKILL)",
        worker: f"{manager} is gone: killed by signal 9 (SIGKILL)",
    }


MEMORY = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
LIMIT = 96 * 1024 * 1024


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group in which there is little memory."""
    top = next((each for each in MEMORY if (each / "cgroup.procs").exists()), None)
    group = None if top is None else top / f"softgrid-test-{os.getpid()}"
    try:
        assert group is not None
        group.mkdir()
    except (OSError, AssertionError):
        pytest.skip("control groups cannot be made here")
    limit = next((group / name for name in ("memory.limit_in_bytes", "memory.max") if (group / name).exists()), None)
    try:
        if limit is None:
            pytest.skip("control groups do not bound memory here")
        limit.write_text(str(LIMIT))
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the group is empty")
        group.rmdir()


def test_one_that_ran_out_of_memory_says_so(small_group: Path, make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=0)
    (small_group / "cgroup.procs").write_text(str(parent_of(pid_in(grid.managers[0]))))
    victim, other = grid.launch("Worker", grid.managers[0], count=2)
    error = dies(grid, "len(bytearray(1 << 30))", victim)
    assert "killed by signal 9 (SIGKILL), out of memory, at a peak of " in error
    assert "where its control group has 96 MiB" in error
    assert grid.one(os.getpid, to=other) == pid_in(other)
    os.kill(pid_in(other), 9)
    wait_until(lambda: not grid.O.workers, what="the other one is killed")
    assert "out of memory" not in grid.O.machines[grid.O.address]["lost"][other]


def test_a_launch_over_ssh_that_fails_names_its_step(make_grid: MakeGrid) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("there is no ssh client here")
    grid = make_grid(workers=0)
    statuses, _, failed = grid.O.launch_worker("no-such-machine.invalid", timeout=20, retry=0)
    assert len(failed) == 1
    (status,) = statuses
    assert "at step 'connect'" in status.error
    lines: list[Any] = status.error.splitlines()
    assert any("its last output:" in line for line in lines)
