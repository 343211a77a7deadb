"""`softgrid demo`: a map-reduce over a local grid, checked against the same count done serially.

The map goes to whichever worker is free, the reduce happens here as the answers arrive.  Called
by `main`; decides what is compared with what, and leaves launching, feeding, drawing and telling
to its neighbours.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from collections.abc import Sequence
from typing import TextIO

from softgrid._cli.feed import Feed, NoWorkerLeft
from softgrid._cli.local_grid import GridFailed, LocalGrid, Member
from softgrid._cli.progress import Progress
from softgrid._cli.report import Run, Share, report
from softgrid._cli.wordcount import BatchResult, Source, balance, count_identifiers, find_sources

# enough that the last ones to finish wait little, few enough that the answers stay cheap to merge
BATCHES_PER_WORKER = 12
SERIAL_STEP = 25


class DemoFailed(Exception):
    """The demo could not be run to its end; the text is for the person at the terminal."""


def default_workers() -> int:
    """One per core that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_demo(workers: int, top: int, quiet: bool) -> int:
    """Run the whole demo, print the report, and return the exit code: 0 only if both agree."""
    root = sysconfig.get_path("stdlib")
    sources = find_sources(root)
    if not sources:
        raise DemoFailed(f"there is no Python source file in {root} to count")
    run = Run(root, sum(source.size for source in sources), default_workers())
    stream = None if quiet else sys.stderr
    _warm(sources)
    try:
        with LocalGrid(workers) as grid:
            _count_on_grid(grid, run, sources, stream)
    except (GridFailed, NoWorkerLeft) as failure:
        raise DemoFailed(str(failure)) from failure
    _count_serially(run, sources, stream)
    print(report(run, top))
    return 0 if run.is_equal else 1


def _warm(sources: Sequence[Source]) -> None:
    # whoever reads first would otherwise pay for the disk, and the comparison would mean little
    for source in sources:
        with open(source.path, "rb") as file:
            file.read()


def _count_on_grid(grid: LocalGrid, run: Run, sources: Sequence[Source], stream: TextIO | None) -> None:
    def call(worker: Member, batch: list[str]) -> BatchResult:
        result: BatchResult = grid.call(worker, count_identifiers, batch)
        return result

    run.launch_s = grid.launch_s
    run.relays = [(relay.label, relay.pid) for relay in grid.relays]
    shares = {worker: Share(worker.label, worker.pid) for worker in grid.workers}
    run.shares = list(shares.values())
    batches = balance(sources, BATCHES_PER_WORKER * len(shares))
    with Progress("grid", len(sources), stream) as progress:
        started = time.monotonic()
        for worker, result in Feed(call, grid.workers, batches):
            shares[worker].add(result)
            run.grid.add(result)
            progress.advance(_files_of(result))
        run.grid_s = time.monotonic() - started


def _count_serially(run: Run, sources: Sequence[Source], stream: TextIO | None) -> None:
    # in the order of the folders, so that not even the batches are those of the grid
    paths = [source.path for source in sources]
    with Progress("serial", len(sources), stream) as progress:
        started = time.monotonic()
        for start in range(0, len(paths), SERIAL_STEP):
            result = count_identifiers(paths[start : start + SERIAL_STEP])
            run.serial.add(result)
            progress.advance(_files_of(result))
        run.serial_s = time.monotonic() - started


def _files_of(result: BatchResult) -> int:
    stats = result[1]
    return stats["files"] + len(stats["skipped"])
