"""Small calls over a relay while bulk flows through it: do they overtake?

A manager with three workers: the first sends arrays to the second as fast as the back pressure lets it, the
orchestrator calls the third; all of it passes the manager. Idle and flow take turns. Once with links as they are,
where the bulk is in shared memory and only its descriptors pass the relay, and once with links that pass no
descriptors, as between machines, where every byte does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.bulk import make_array
from benchmarks.calls import Metrics, noop

ROUNDS = 3
MEGABYTES = 64
ARRAYS = 6
"""Arrays per flow: 3 rounds make a little more than a gigabyte."""
IDLE_CALLS = 1500
FLOW = "the flow"
PATIENCE_S = 60.0


# -- what executors run ----------------------------------------------------------------------------


def arrive(array: Any) -> float:
    """Take an array."""
    return float(array[-1])


def flow(executor: Any, receiver: str) -> int:
    """Send arrays to *receiver* without waiting; gives how many have arrived in the end."""
    call = executor.get_transfer_template(arrive, (make_array(MEGABYTES),), resultName=FLOW)
    arrived = executor._executedReturned.setdefault(FLOW, [])
    before = len(arrived)
    for _ in range(ARRAYS):
        executor.transfer(call, receiver)
    executor.transfer(executor.get_transfer_template(noop), receiver, collect=True)
    deadline = time.monotonic() + PATIENCE_S
    while len(arrived) < before + ARRAYS and time.monotonic() < deadline:
        time.sleep(0.001)
    return len(arrived) - before


def pass_no_descriptors(executor: Any) -> None:
    """Have the links of this executor carry bytes only, as links between machines do.

    There is no documented way to that on one machine.
    """
    for link in executor._node.links():
        link.passes_descriptors = False


# -- the measurement -------------------------------------------------------------------------------


def beside_idle(top: Any, relay: str, workers: list[str]) -> Metrics:
    """Time small calls to the third worker, idle and beside a flow from the first to the second."""
    shared = _idle_and_flow(top, workers)
    unshared = top.get_transfer_template(pass_no_descriptors)
    unshared["first_argument_executor"] = True
    everybody = [relay, *workers]
    for link in top._node.links():
        link.passes_descriptors = False
    _check(top.transfer(unshared, everybody, collect=True), [None] * len(everybody))
    streamed = _idle_and_flow(top, workers)
    return {
        "idle_p99_us": shared[0],
        "flow_p99_us": shared[1],
        "flow_p99_x": shared[1] / shared[0],
        "streamed_p99_us": streamed[1],
        "streamed_p99_x": streamed[1] / streamed[0],
        "streamed_mb_s": streamed[2],
        "note": f"{shared[3]:,} and {streamed[3]:,} calls beside the flows",
    }


def _idle_and_flow(top: Any, workers: list[str]) -> tuple[float, float, float, int]:
    """p99 idle and beside flows, MB/s of the flows, and how many calls went beside them."""
    sender, receiver, called = workers
    call = top.get_transfer_template(noop)
    flowing = top.get_transfer_template(flow, (receiver,), resultName=FLOW)
    flowing["first_argument_executor"] = True
    _check(top.transfer(flowing, sender, collect=True), [ARRAYS])  # warm: pages, imports
    ended = top._executedReturned[FLOW]
    ended.clear()
    idle: list[int] = []
    beside: list[int] = []
    flowed = 0.0
    for number in range(ROUNDS):
        _time_calls(top, call, called, idle, lambda: len(idle) >= IDLE_CALLS * (number + 1))  # noqa: B023
        start = time.perf_counter()
        top.transfer(flowing, sender)
        _time_calls(top, call, called, beside, lambda: len(ended) > number)  # noqa: B023
        flowed += time.perf_counter() - start
    _check(ended, [ARRAYS] * ROUNDS)
    return _p99_us(idle), _p99_us(beside), ROUNDS * ARRAYS * MEGABYTES / flowed, len(beside)


def _time_calls(top: Any, call: Any, receiver: str, taken: list[int], is_over: Callable[[], bool]) -> None:
    clock = time.perf_counter_ns
    while not is_over():
        start = clock()
        answer = top.transfer(transferKwargs=call, receivers=receiver, collect=True)
        taken.append(clock() - start)
        if answer != [None]:
            raise RuntimeError(f"a small call gave {answer}")


def _p99_us(taken: list[int]) -> float:
    return sorted(taken)[len(taken) * 99 // 100] / 1000


def _check(given: Any, expected: list[Any]) -> None:
    if given != expected:
        raise RuntimeError(f"{given} instead of {expected}")
