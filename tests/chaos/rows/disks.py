"""Rows D: disks that are full, read-only or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from tests.chaos.row import QUIET, Run, Unavailable, row
from tests.system.grids import PREAMBLE

ONCE = {"relaunch": False, "logKwargs": QUIET}


def store(executor: Any, path: str, size: int, root: str = "temporary") -> str | None:
    """Run by workers: write a file; gives why that failed."""
    status = executor.add_file("large", path, "x" * size, root=root)
    return None if status else str(status.error)


@row(
    "D1",
    "a disk of 1 MiB for temporary files and 4 MiB to write",
    "a failed status, no torn file, the grid works on",
    quick=True,
)
def full(run: Run) -> None:
    small = run.folder / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        raise Unavailable(f"mount: {mounted.stderr.strip()}")
    run.at_end(lambda: subprocess.run(["umount", str(small)], check=True))
    grid = run.grid(workers=0)
    (worker,) = grid.launch("Worker", executorKwargs={**ONCE, "temporaryDir": str(small)})
    torn = 0
    for number in range(run.times(20, 3)):
        why = grid.one(store, f"folder/large{number}", 4 << 20, to=worker, first=True)
        assert why is not None
        assert "space" in why, why
        torn += sum(path.is_file() and path.name.startswith("large") for path in small.rglob("*"))
    assert grid.one(store, "small", 1000, to=worker, first=True) is None
    run.figure("torn files", torn, "", 0)
    assert not torn
    grid.O.disconnect(kill=False)


@row("D2", "folders that are read-only, no folders, symlinks, or removed meanwhile", "as D1", quick=True)
def odd(run: Run) -> None:
    run.tests("tests/store/test_roots.py", "tests/store/test_files.py")


def rewrite_and_die(executor: Any, path: str, text: str, seconds: float) -> None:
    """Run by workers: replace a file and be killed at some moment of it."""
    import signal

    executor.add_file("kept", path, text, root="permanent")
    signal.setitimer(signal.ITIMER_REAL, seconds)
    while True:
        executor.add_file("kept", path, text, root="permanent")


@row(
    "D3",
    "kill in the middle of replacing a file, 200 times",
    "it is the old one or the new one, never mixed",
    quick=True,
)
def replaced(run: Run) -> None:
    folder = run.folder / "permanent"
    folder.mkdir()
    kept = folder / "kept"
    mixed, rounds = 0, run.times(20, 1)
    for _ in range(rounds):
        grid = run.grid(workers=0)
        names = grid.launch("Worker", count=10, executorKwargs={**ONCE, "permanentDir": str(folder)})
        for number, name in enumerate(names):
            text = str(number) * 300_000
            seconds = run.random.uniform(0.002, 0.02)
            (status,) = grid.call(rewrite_and_die, "kept", text, seconds, to=name, first=True)
            assert not status
            content = kept.read_bytes()
            mixed += len(content) != 300_000 or len(set(content)) != 1
        grid.O.disconnect(kill=False)
    grid = run.grid(workers=0)
    (last,) = grid.launch("Worker", executorKwargs={**ONCE, "permanentDir": str(folder)})
    assert grid.one(store, "kept", 1, "permanent", to=last, first=True) is None
    run.figure("mixed files", mixed, f"of {rounds * 10}", 0)
    run.figure("left beside it when the next one has written", sum(1 for _ in folder.rglob("*")) - 1, "", 0)
    assert not mixed


LITTLE = """
import subprocess
data = bytes(1 << 22)
O = Orchestrator(logKwargs={'logToStdout': False})
manager = launch(O, 'Manager')[0]
workers = launch(O, 'Worker', manager, count=2)
say(sum(len(each) for each in call(O, lambda data: data, data)))
O.disconnect(kill=False)
"""


@row("D4", "/dev/shm of 64 KiB", "large payloads travel all the same", peers="Ray needs it (ray#14182)", quick=True)
def no_shared_memory(run: Run) -> None:
    script = run.folder / "script.py"
    script.write_text(PREAMBLE + LITTLE)
    inside = f"mount -t tmpfs -o size=64k tmpfs /dev/shm && exec {sys.executable} {script}"
    words = ["unshare", "-m", "sh", "-c", inside]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ}, timeout=60)
    if "unshare" in done.stderr or "mount" in done.stderr:
        raise Unavailable(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    run.figure("bytes that came back", int(done.stdout.split()[-1]), "", 2 << 22, at_least=True)
    assert int(done.stdout.split()[-1]) == 2 << 22
