"""Bounds on real grids: whoever meets one is told which rule it is, and the grid goes on."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.gates import Gate
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def opened() -> Iterator[list[Gate]]:
    gates: list[Gate] = []
    yield gates
    for gate in gates:
        gate.open()


def results_of(grid: Grid, function: Any, *args: Any, count: int, **template: Any) -> list[Any]:
    """What so many calls give that are sent at once to the first worker."""
    calls = [grid.template(function, *args, **template) for _ in range(count)]
    found: list[Any] = grid.O.transfer(calls, [grid.workers[0]] * count, collect=True)
    return found


def test_a_full_queue_refuses_what_comes_and_works_on(make_grid: MakeGrid, tmp_path: Path, opened: list[Gate]) -> None:
    grid = make_grid(workers=1, rules={"execution_maximum_queued_calls": 3})
    opened.append(Gate(grid, grid.workers[0], tmp_path))
    for number in range(5):
        grid.O.transfer(grid.template(abs, -number, resultName="queued"), grid.workers[0])
    wait_until(lambda: len(grid.O._node.transfers.inflight) == 4, what="two are refused")
    opened[0].open()
    wait_until(lambda: grid.O._executedReturned.get("queued") == [0, 1, 2], what="three were run")
    assert grid.one(abs, -7) == 7


def test_only_so_many_calls_run_beside_the_queue(make_grid: MakeGrid, tmp_path: Path, opened: list[Gate]) -> None:
    grid = make_grid(workers=1, rules={"execution_maximum_calls_beside": 1})
    opened.append(Gate(grid, grid.workers[0], tmp_path, priority=None))
    assert "(rule 'execution_maximum_calls_beside')" in grid.one(abs, -7, priority=None).error
    assert grid.one(abs, -7) == 7
    opened[0].open()
    wait_until(lambda: grid.one(abs, -7, priority=None) == 7, what="there is room again")


def test_results_are_stored_under_so_many_names(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1, rules={"execution_maximum_stored_results": 2})
    found = [grid.one(abs, -7, storeResult=True, resultName=name) for name in ("a", "b", "a", "c")]
    assert found[:3] == [7, 7, 7]
    assert "(rule 'execution_maximum_stored_results')" in found[3].error


def test_so_many_calls_of_one_executor_may_be_open(make_grid: MakeGrid, tmp_path: Path, opened: list[Gate]) -> None:
    grid = make_grid(workers=1, rules={"transfer_maximum_open_calls": 2})
    opened.append(Gate(grid, grid.workers[0], tmp_path))
    assert grid.O.transfer(grid.template(abs, -7, resultName="r"), grid.workers[0]) is None
    status = grid.O.transfer(grid.template(abs, -7), grid.workers[0], collect=True)
    unanswered = "2 calls of this executor are not answered yet, and 1 more are too many"
    assert status.error == f"{unanswered} (rule 'transfer_maximum_open_calls')"
    opened[0].open()
    wait_until(lambda: grid.O._executedReturned.get("r") == [7], what="the others are answered")
    assert grid.one(abs, -7) == 7


@pytest.mark.parametrize("retries", [0, 2])
def test_what_is_too_large_to_be_put_together_is_refused(make_grid: MakeGrid, retries: int) -> None:
    rules = {"transfer_maximum_message_bytes": 1_000_000, "executor_maximum_shared_memory": 0}
    grid = make_grid(managers=1, workers=1, rules=rules)
    large = bytes(2_000_000)
    too_large = "it is larger than 1000000 bytes (rule 'transfer_maximum_message_bytes' of its receiver)"
    assert grid.one(len, large, retries=retries).error == f"the call cannot be taken: {too_large}"
    result = grid.one(bytes, 2_000_000, retries=retries)
    assert result.error == f"the function ran, but its result cannot be taken: {too_large}"
    assert grid.one(len, bytes(900_000)) == 900_000
    assert len(grid.one(bytes, 900_000)) == 900_000


def test_so_many_requests_wait_and_the_next_requester_is_told(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1, rules={"request_maximum_waiting": 2})
    (worker,) = grid.workers
    for password in ("a", "b", "c"):
        grid.O.transfer_request_to_responder(worker, password, "request")
    waited = grid.O.wait_for_response("c", timeout=5)
    assert "(rule 'request_maximum_waiting')" in str(waited)


def test_a_flood_of_records_is_counted_to_the_last(make_grid: MakeGrid) -> None:
    """The orchestrator's own records come faster than a slow terminal takes them."""
    grid = make_grid(workers=0, rules={"log_maximum_waiting_bytes": 20_000})
    logs = grid.O._node.logs
    written: list[str] = []
    gate = threading.Event()

    def slow(record: Any) -> None:
        gate.wait()
        written.append(record.message)

    logs._sink = slow
    for number in range(1000):
        grid.O.log_and_transfer("info", f"record {number}")
    gate.set()
    logs.drain(5.0)
    assert written[-1].endswith("record 999")
    counts = re.findall(r"\[(\d+) log records were dropped here", "".join(written))
    dropped = sum(map(int, counts))
    assert dropped > 0
    assert len(written) + dropped == 1000
