"""Hands batches to workers, each its next one as soon as it has answered the last.

Used by the demo with a call into the grid, and by tests with a plain function.  One thread per
worker waits for that worker's answer; a batch whose worker failed goes to another one.  It does
not know what a batch is, nor how it gets to a worker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

Worker = TypeVar("Worker")
Batch = TypeVar("Batch")
Answer = TypeVar("Answer")


class NoWorkerLeft(Exception):
    """Every worker failed before every batch was answered; the text says why the last one did."""


class Feed(Generic[Worker, Batch, Answer]):
    """One pass over some batches; iterate once to get (worker, answer) in the order of arrival."""

    def __init__(
        self,
        call: Callable[[Worker, Batch], Answer],
        workers: Sequence[Worker],
        batches: Iterable[Batch],
    ) -> None:
        """*call* runs one batch on that worker and raises when that cannot be done."""
        self._call = call
        self._workers = workers
        self._batches = list(batches)
        self._waiting: SimpleQueue[Batch | None] = SimpleQueue()
        self._arrived: SimpleQueue[tuple[Worker, Answer] | Exception] = SimpleQueue()

    def __iter__(self) -> Iterator[tuple[Worker, Answer]]:
        for batch in self._batches:
            self._waiting.put(batch)
        for worker in self._workers:
            # daemon: an interrupted run must not wait for a worker that never answers
            threading.Thread(target=self._serve, args=(worker,), daemon=True).start()
        try:
            yield from self._collect()
        finally:
            for _ in self._workers:
                self._waiting.put(None)

    def _collect(self) -> Iterator[tuple[Worker, Answer]]:
        missing = len(self._batches)
        serving = len(self._workers)
        while missing:
            arrived = self._arrived.get()
            if not isinstance(arrived, Exception):
                missing -= 1
                yield arrived
                continue
            serving -= 1
            if not serving:
                raise NoWorkerLeft(
                    f"{missing} of {len(self._batches)} batches are left and every worker "
                    f"failed, the last one with: {arrived}"
                ) from arrived

    def _serve(self, worker: Worker) -> None:
        while (batch := self._waiting.get()) is not None:
            try:
                answer = self._call(worker, batch)
            except Exception as failure:  # whatever it is, the collecting thread must hear of it
                self._waiting.put(batch)
                self._arrived.put(failure)
                return
            self._arrived.put((worker, answer))
