"""Transfers of all sizes while executors are killed: everybody is answered or told why not, and all comes back.

What is sent to whom and who is killed follows from a seed; when exactly a death strikes does not.
"""
# ruff: noqa: E741  (O is what everybody calls the orchestrator)

from __future__ import annotations

import gc
import os
import random
import signal
import threading
from contextlib import suppress
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.moving import (
    EVERYBODY_RUNS,
    WAYS,
    Borrowed,
    bytes_only,
    descriptors_of,
    everybody_below,
    heavy,
)
from tests.system.watching import pid_in, wait_until

pytestmark = pytest.mark.system

np = pytest.importorskip("numpy")

THREADS = 4
MANAGERS, WORKERS = 2, 6
KILL_EVERY = 20
"""One executor is killed for so many transfers."""
ANSWER_S = 60
SIZES = (0, 1, 500, 4_000, 8_190, 8_200, 40_000, 130_000, 600_000)
"""Doubles: in the frame, around the threshold of shared memory, in a few frames, in many."""
REASONS = ("is gone", "SIGKILL", "is nowhere on the grid", "nobody named", "cannot be reached")


class Storm:
    """Threads that transfer; each kills somebody now and then, and launches another instead."""

    def __init__(self, grid: Grid, way: str, seed: int, count: int) -> None:
        self.grid = grid
        self.way = way
        self.count = count
        self.answered = self.failed = self.killed = 0
        self.wrong: list[str] = []
        self._expected_named: dict[str, float] = {}
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._filling = threading.Lock()
        self._started = 0

    def run(self) -> None:
        """Make all transfers; ends when each has its answer or its reason."""
        seeds = [self._random.random() for _ in range(THREADS)]
        threads = [threading.Thread(target=self._transfer_on, args=(random.Random(seed),)) for seed in seeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _transfer_on(self, choices: random.Random) -> None:
        ways = (self._there, self._there_and_back, self._to_all, self._between_workers, self._named)
        while number := self._begin():
            try:
                if number % KILL_EVERY == 0:
                    self._kill(choices)
                workers = wait_until(lambda: self.grid.O.workers, ANSWER_S, "there are workers")
                choices.choice(ways)(choices, workers, choices.choice(SIZES))
            except Exception as error:  # a bug must not end the storm in silence
                self.wrong.append(f"{type(error).__name__}: {error}")

    def _begin(self) -> int:
        """Give the number of the next transfer, from 1; 0 when all have begun."""
        with self._lock:
            if self._started == self.count:
                return 0
            self._started += 1
            return self._started

    def _kill(self, choices: random.Random) -> None:
        """Kill a worker, or now and then a manager with all its workers."""
        candidates = self.grid.O.managers if choices.random() < 0.1 else self.grid.O.workers
        with self._lock:
            self.killed += 1
        if candidates:
            victim = choices.choice(candidates)
            with suppress(ProcessLookupError):  # another thread was faster
                os.kill(pid_in(victim), signal.SIGKILL)
            wait_until(lambda: victim not in everybody_below(self.grid), what=f"{victim} is known to be gone")
        with self._filling:
            self.fill_up()

    def fill_up(self) -> None:
        """Launch what is missing."""
        for _ in range(MANAGERS - len(self.grid.O.managers)):
            self._launch("Manager", self.grid.routers[0])
        for _ in range(WORKERS - len(self.grid.O.workers)):
            self._launch("Worker", min(self.grid.O.managers, key=self._held_by, default=None))

    def _held_by(self, manager: str) -> int:
        return sum(manager in path for path in self.grid.O.paths["worker"].values())

    def _launch(self, role: str, upgrid: str | None) -> None:
        """Launch one; there is none to be had when its upgrid is killed at the same time."""
        if upgrid is None:
            return
        O = self.grid.O
        _, launched, _ = O.launch_executor(
            [O.address], role, upgridUniqueName=[upgrid], timeout=30, executorKwargs={"relaunch": False}
        )
        if launched and self.way == "streamed":
            bytes_only(self.grid, [launched[0]["gridUniqueName"], upgrid])

    # -- ways to transfer --------------------------------------------------------------------------

    def _there(self, choices: random.Random, workers: list[str], size: int) -> None:
        self._call(lambda array: float(array.sum()), size, choices.sample(workers, min(1, len(workers))), float(size))

    def _there_and_back(self, choices: random.Random, workers: list[str], size: int) -> None:
        self._call(lambda array: array * 2, size, choices.sample(workers, min(2, len(workers))), 2.0 * size)

    def _to_all(self, choices: random.Random, workers: list[str], size: int) -> None:
        self._call(lambda array: array[: len(array) // 2 * 2], size, workers, float(size // 2 * 2))

    def _call(self, function: Any, size: int, receivers: list[str], expected: float) -> None:
        call = self.grid.template(function, np.ones(size))
        results = self.grid.O.transfer(call, receivers, collect=True, transferTimeout=ANSWER_S)
        if not isinstance(results, list) or len(results) != len(receivers):
            self.wrong.append(f"{len(receivers)} receivers gave {results}")
            return
        for result in results:
            self._count(result, expected)

    def _between_workers(self, choices: random.Random, workers: list[str], size: int) -> None:
        """One worker sends to another and gives what it got from it, or why it got nothing."""
        if len(workers) < 2:
            return
        sender, receiver = choices.sample(workers, 2)

        def pass_on(executor: Any, receiver: str, array: Any) -> Any:
            call = executor.get_transfer_template(lambda array: array + 1, (array,))
            (result,) = executor.transfer(call, receiver, collect=True, transferTimeout=50)
            return result if hasattr(result, "shape") else str(result.error)

        call = self.grid.template(pass_on, receiver, np.ones(size), first=True, priority=None)
        (result,) = self.grid.O.transfer(call, sender, collect=True, transferTimeout=ANSWER_S)
        if isinstance(result, str):
            self._count_failure(result)
        else:
            self._count(result, 2.0 * size)

    def _named(self, choices: random.Random, workers: list[str], size: int) -> None:
        """Nobody waits: the result comes under a name, or the log says why not."""
        if not workers:
            return
        name = f"named{choices.random()}"
        self._expected_named[name] = float(size)
        call = self.grid.template(lambda array: array, np.ones(size), resultName=name)
        status = self.grid.O.transfer(call, choices.choice(workers))
        if status is not None:
            self._count(status, float(size))

    # -- what came of it ---------------------------------------------------------------------------

    def _count(self, result: Any, expected: float) -> None:
        if isinstance(result, (float, np.ndarray)):
            total = float(np.sum(result))
            if total != expected:
                self.wrong.append(f"a sum of {total} instead of {expected}")
            with self._lock:
                self.answered += 1
        else:
            self._count_failure(str(result.error))

    def _count_failure(self, reason: str) -> None:
        if not any(known in reason for known in REASONS):
            self.wrong.append(f"failed for no good reason: {reason}")
        with self._lock:
            self.failed += 1

    def check_named(self) -> None:
        """What nobody waited for was right where it came."""
        for name, expected in self._expected_named.items():
            for result in self.grid.O._executedReturned.pop(name, []):
                self._count(result, expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("seed", "count"), [(1, 500), pytest.param(2, 10_000, marks=[heavy, pytest.mark.timeout(1800)])]
)
def test_transfers_while_executors_are_killed(make_grid: MakeGrid, way: str, seed: int, count: int) -> None:
    at_first = descriptors_of(os.getpid())
    grid = make_grid(routers=1, workers=0, rules=EVERYBODY_RUNS)
    storm = Storm(grid, way, seed, count)
    storm.fill_up()
    borrowed = Borrowed(grid)
    storm.run()
    wait_until(lambda: grid.O.statistics()["calls_in_flight"] == 0, ANSWER_S, "everybody is answered or told why not")
    storm.check_named()
    assert storm.wrong == []
    assert storm.killed == count // KILL_EVERY
    assert storm.answered > count / 2
    gc.collect()
    borrowed.check_back()
    grid.O.disconnect(kill=False)
    gc.collect()
    assert descriptors_of(os.getpid()) == at_first
    assert not any(os.path.exists(f"/proc/{pid_in(name)}") for name in everybody_below(grid))
