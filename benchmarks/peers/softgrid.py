"""softgrid by its documented interface, as a user would call it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks.calls import (
    Report,
    Stopwatch,
    calls_per_second,
    check_results,
    noop,
    p50_us,
    times_us,
)
from benchmarks.peers._importing import time_import
from benchmarks.procfs import memory_and_idle
from softgrid import Globals, Orchestrator

ROUTERS, MANAGERS, WORKERS = 15, 35, 160
EXECUTORS = 1 + ROUTERS + MANAGERS + WORKERS
BLOCK, REQUEST_BLOCKS = 100, 40
PASSWORD = "benchmark"

importing = time_import("import softgrid")


@contextmanager
def orchestrator() -> Iterator[Any]:
    """An orchestrator without limits per machine, disconnected at the end."""
    for role in ("routers", "managers", "workers"):
        Globals.RULES[f"machine_maximum_number_of_{role}"] = None
    Globals.RULES["router_allow_executing_udf"] = True
    Globals.RULES["manager_allow_executing_udf"] = True
    top = Orchestrator(password="benchmark")
    try:
        yield top
    finally:
        top.disconnect(kill=False)


def launch(top: Any, role: str, upgrids: list[str]) -> list[str]:
    """Launch one executor below each of *upgrids* and give their names."""
    statuses, launched, failed = getattr(top, f"launch_{role}")(
        upgridUniqueName=upgrids, executorAddress=[top.address] * len(upgrids)
    )
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(upgrids)} {role}s failed: {statuses}"[:500])
    return [each["gridUniqueName"] for each in launched]


def template(top: Any) -> Any:
    """Transfer kwargs of the no-op call."""
    return top.get_transfer_template(func=noop, priority=1)


def call_each(top: Any, receivers: Any, expected: int) -> None:
    """Call the no-op on each of *receivers* in one transfer."""
    results = top.transfer(transferKwargs=template(top), receivers=receivers, collect=True)
    check_results(results, expected)


def time_calls(top: Any, worker: str, report: Report) -> None:
    """Round trips to *worker*."""
    call_each(top, worker, 1)
    kwargs = template(top)
    report(p50_us(lambda: top.transfer(transferKwargs=kwargs, receivers=worker, collect=True)))


def rtt1(report: Report) -> None:
    """Orchestrator to worker."""
    with orchestrator() as top:
        time_calls(top, launch(top, "worker", [top.gridUniqueName])[0], report)


def rtt3(report: Report) -> None:
    """Orchestrator to router to manager to worker."""
    with orchestrator() as top:
        name = top.gridUniqueName
        for role in ("router", "manager", "worker"):
            (name,) = launch(top, role, [name])
        time_calls(top, name, report)


def request(report: Report) -> None:
    """Blocks of calls and of requests, by turns."""
    with orchestrator() as top:
        (worker,) = launch(top, "worker", [top.gridUniqueName])
        call_each(top, worker, 1)
        kwargs = template(top)
        calls: list[float] = []
        asked: list[float] = []
        answered: list[float] = []
        for _ in range(REQUEST_BLOCKS):
            calls += times_us(lambda: top.transfer(transferKwargs=kwargs, receivers=worker, collect=True), BLOCK)
            begin(top, worker, answer_often, 1)
            asked += times_us(lambda: ask_one(top, worker), BLOCK)
            begin(top, worker, ask_often, None)
            answered += times_us(lambda: answer_one(top), BLOCK)
        base = median(calls)
        report({"x_call": median(asked) / base, "back_x_call": median(answered) / base, "call_us": base})


def begin(top: Any, worker: str, function: Any, priority: int | None) -> None:
    """Let the worker run *function* with itself and the orchestrator's name as arguments."""
    kwargs = top.get_transfer_template(func=function, args=(top.gridUniqueName,), priority=priority, returnResult=False)
    kwargs["first_argument_executor"] = True
    top.transfer(transferKwargs=kwargs, receivers=worker)


def ask_one(executor: Any, responder: str) -> None:
    """The requester's half of a cycle."""
    executor.transfer_request_to_responder(responder, PASSWORD, None)
    check_results([executor.wait_for_response(PASSWORD)[PASSWORD]["response"]["value"]], 1)


def answer_one(executor: Any) -> None:
    """The responder's half of a cycle."""
    request = executor.wait_for_request(PASSWORD)[PASSWORD]
    executor.transfer_response_to_requester(request["requester"], PASSWORD, None)


def ask_often(executor: Any, responder: str) -> None:
    """A block of cycles, run by a worker."""
    times_us(lambda: ask_one(executor, responder), BLOCK)


def answer_often(executor: Any, requester: str) -> None:
    """A block of cycles, run by a worker."""
    times_us(lambda: answer_one(executor), BLOCK)


def throughput(report: Report) -> None:
    """One transfer to a long list that takes two workers by turns."""
    with orchestrator() as top:
        workers = launch(top, "worker", [top.gridUniqueName] * 2)
        call_each(top, workers, 2)
        report(calls_per_second(lambda calls: call_each(top, workers * (calls // 2), calls)))


def grid211(report: Report) -> None:
    """The reference's picture of a grid."""
    watch = Stopwatch()
    with orchestrator() as top:
        routers = launch(top, "router", [top.gridUniqueName] * ROUTERS)
        managers = launch(top, "manager", deal(routers, MANAGERS))
        workers = launch(top, "worker", deal(managers, WORKERS))
        call_each(top, routers + managers + workers, EXECUTORS - 1)
        metrics = watch.launched(EXECUTORS)
        report({**metrics, **memory_and_idle(EXECUTORS)})


def first_result(report: Report) -> None:
    """A grid of one worker."""
    watch = Stopwatch()
    with orchestrator() as top:
        call_each(top, launch(top, "worker", [top.gridUniqueName]), 1)
        report(watch.ready())


def deal(names: list[str], count: int) -> list[str]:
    """*count* names, dealt round."""
    return [names[i % len(names)] for i in range(count)]
