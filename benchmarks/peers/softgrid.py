"""softgrid by its documented interface, as a user would call it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from benchmarks import bulk, growth, overtaking, stencil
from benchmarks.calls import (
    Metrics,
    Report,
    Stopwatch,
    calls_per_second,
    check_results,
    noop,
    p50_us,
    times_us,
)
from benchmarks.peers._importing import time_import
from benchmarks.peers._softgrid_afar import ssh_bulk, ssh_first, tls_bulk, weak_link
from benchmarks.procfs import memory_and_idle, pss_mib_of_this_run
from benchmarks.tables import CHUNK, NAMES, TYPES, time_table
from softgrid import Globals, Orchestrator
from softgrid.DDFS import DDFSETL

ROUTERS, MANAGERS, WORKERS = 15, 35, 160
LAUNCH_TIMEOUT_S = 60
EXECUTORS = 1 + ROUTERS + MANAGERS + WORKERS
BLOCK, REQUEST_BLOCKS = 100, 40
PASSWORD = "benchmark"

__all__ = ["ssh_bulk", "ssh_first", "tls_bulk", "weak_link"]

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
        upgridUniqueName=upgrids, executorAddress=[top.address] * len(upgrids), timeout=LAUNCH_TIMEOUT_S
    )
    if failed:
        reasons = [status.error for status in statuses if not status]
        raise RuntimeError(f"{len(failed)} of {len(upgrids)} {role}s failed: {reasons}"[:500])
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
        time_calls(top, chain(top)[-1], report)


hop_bridge = rtt1


def bridge(report: Report) -> None:
    """Worker to worker of another manager, over a bridge."""
    with orchestrator() as top:
        first, second = two_branches(top)
        status = top.build_bridge(second, first)
        if not status:
            raise RuntimeError(status.error)
        report(timed_by(top, first, second))


def tree_bridge(report: Report) -> None:
    """The same through manager, orchestrator and manager."""
    with orchestrator() as top:
        report(timed_by(top, *two_branches(top)))


def two_branches(top: Any) -> list[str]:
    """Two workers, each below a manager of its own."""
    return launch(top, "worker", launch(top, "manager", [top.gridUniqueName] * 2))


def timed_by(top: Any, caller: str, receiver: str) -> Metrics:
    """Round trips from worker to worker."""
    kwargs = top.get_transfer_template(func=time_calls_from, args=(receiver,))
    kwargs["first_argument_executor"] = True
    [metrics] = top.transfer(transferKwargs=kwargs, receivers=caller, collect=True)
    if not isinstance(metrics, dict):
        raise RuntimeError(str(metrics))
    return metrics


def time_calls_from(executor: Any, receiver: str) -> Metrics:
    """Round trips from the worker that runs this."""
    call_each(executor, receiver, 1)
    kwargs = template(executor)
    return p50_us(lambda: executor.transfer(transferKwargs=kwargs, receivers=receiver, collect=True))


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
    response = executor.wait_for_response(PASSWORD)[PASSWORD]["response"]
    if response["value"] is not None:
        raise RuntimeError(f"expected None, got {response}")


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


def tables(report: Report) -> None:
    """DDFSETL in the folder of the run."""
    os.environ["XDG_DATA_HOME"] = os.getcwd()
    etl = DDFSETL(dtypes=TYPES, sep=",")
    report(
        time_table(
            lambda rows: etl.dump("t.csv", rows, header=NAMES),
            lambda: etl.pull("t.csv")[1],
            lambda: etl.iter("t.csv", CHUNK),
        )
    )


def caller(top: Any, worker: str) -> bulk.Call:
    """Calls a function with an array at *worker*."""

    def call(function: Any, array: Any) -> Any:
        (answer,) = top.transfer(top.get_transfer_template(function, (array,)), worker, collect=True)
        return answer

    return call


def bulk64(report: Report) -> None:
    """Orchestrator to worker, and to one below a router and a manager."""
    bulk_of(64, report)


def bulk512(report: Report) -> None:
    """Likewise."""
    bulk_of(512, report)


def bulk_of(megabytes: int, report: Report) -> None:
    """Arrays that are arguments and results of calls."""
    with orchestrator() as top:
        (near,) = launch(top, "worker", [top.gridUniqueName])
        far = chain(top)[-1]
        report(bulk.beside_copy(megabytes, caller(top, near), caller(top, far)))


def broadcast16(report: Report) -> None:
    """Sixteen workers below two managers."""
    broadcast(2, 16, report)


def broadcast160(report: Report) -> None:
    """The workers of the reference's picture: below 35 managers below 15 routers."""
    broadcast(MANAGERS, WORKERS, report, launch_routers=True)


def broadcast(managers: int, workers: int, report: Report, launch_routers: bool = False) -> None:
    """One transfer to all workers, with the array as argument."""
    with orchestrator() as top:
        tops = launch(top, "router", [top.gridUniqueName] * ROUTERS) if launch_routers else [top.gridUniqueName]
        launch(top, "worker", deal(launch(top, "manager", deal(tops, managers)), workers))

        def call_each(function: Any, array: Any) -> Any:
            return top.transfer(top.get_transfer_template(function, (array,)), "workers", collect=True)

        report(bulk.broadcast_beside_copy(64, workers, call_each, pss_mib_of_this_run))


def metg(report: Report) -> None:
    """A worker per point, one transfer for each step."""
    with orchestrator() as top:
        workers = launch(top, "worker", [top.gridUniqueName] * stencil.POINTS)

        def run_step(step: int, inputs: list[list[int]], iterations: int) -> Any:
            calls = [
                top.get_transfer_template(stencil.task, (step, point, inputs[point], iterations))
                for point in range(stencil.POINTS)
            ]
            return top.transfer(calls, workers, collect=True)

        report(stencil.metg(stencil.waiting(run_step)))


def overtake(report: Report) -> None:
    """A manager with three workers: bulk from one to another, small calls to the third."""
    with orchestrator() as top:
        (manager,) = launch(top, "manager", [top.gridUniqueName])
        report(overtaking.beside_idle(top, manager, launch(top, "worker", [manager] * 3)))


def growing(report: Report) -> None:
    """Grids shaped like the reference's picture."""
    figures = []
    for executors in growth.SIZES:
        with orchestrator() as top:
            figures.append(growth.figures_of(top, executors, launch_shaped))
    report(growth.metrics(figures))


def launch_shaped(top: Any, executors: int) -> None:
    """Launch routers, managers and workers in the proportions of the reference's picture."""
    below = executors - 1
    routers, managers = below * ROUTERS // EXECUTORS, max(1, below * MANAGERS // EXECUTORS)
    uppers = launch(top, "router", [top.gridUniqueName] * routers) if routers else [top.gridUniqueName]
    launch(top, "worker", deal(launch(top, "manager", deal(uppers, managers)), below - routers - managers))


def chain(top: Any) -> list[str]:
    """Launch a router, a manager below it and a worker below that."""
    names = [top.gridUniqueName]
    for role in ("router", "manager", "worker"):
        names += launch(top, role, names[-1:])
    return names[1:]


def deal(names: list[str], count: int) -> list[str]:
    """*count* names, dealt round."""
    return [names[i % len(names)] for i in range(count)]
