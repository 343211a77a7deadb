"""The queue of a worker, what becomes of results, and how long one waits for them."""
# ruff: noqa: E741  (O is what everybody calls the orchestrator)

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import pid_in, wait_until

from softgrid import Collections

pytestmark = pytest.mark.system

_numbers = count()
NOBODY = "worker|Nobody@10.255.255.1[1]:5001"


@pytest.fixture
def block(grid: Grid, tmp_path: Path) -> Any:
    """Keeps the first worker busy until released: ``release = block()``."""
    gates: list[Path] = []

    def begin() -> Callable[..., None]:
        gate = tmp_path / f"gate{next(_numbers)}"
        begun = tmp_path / f"begun{next(_numbers)}"
        gates.append(gate)

        def wait_for_gate(begun: str, gate: str) -> None:
            import os
            import time

            open(begun, "w").close()
            while not os.path.exists(gate):
                time.sleep(0.005)

        template = grid.template(wait_for_gate, str(begun), str(gate), returnResult=False, priority=-1000)
        assert grid.O.transfer(template, grid.workers[0]) is None
        wait_until(begun.exists)

        def release(queued: int = 0) -> None:
            """Let the worker go on, as soon as so many calls wait there."""
            wait_until(lambda: grid.O.statistics(grid.workers[0])["tasks_queued"] >= queued)
            gate.touch()

        return release

    yield begin
    for gate in gates:
        gate.touch()


@pytest.fixture
def name() -> str:
    """A result name that nobody else uses."""
    return f"result{next(_numbers)}"


def note(executor: Any, mark: Any) -> Any:
    """Run by workers: notes the order in which calls are run."""
    executor.__dict__.setdefault("_noted", []).append(mark)
    return mark


def noted(executor: Any) -> Any:
    return executor.__dict__.pop("_noted", [])


# -- priorities ------------------------------------------------------------------------------------


def test_priorities_hold_for_calls_of_a_function_that_is_new_to_the_worker(grid: Grid, block: Any, name: str) -> None:
    release = block()
    for priority in (3, 1, 2):
        grid.O.transfer(grid.template(lambda x: x + 0, priority, priority=priority, resultName=name), grid.workers[0])

    def new(x: Any) -> Any:
        return x

    for priority in (6, 4, 5):
        grid.O.transfer(grid.template(new, priority, priority=priority, resultName=name), grid.workers[0])
    release(6)
    wait_until(lambda: len(grid.O._executedReturned.get(name, [])) == 6)
    assert grid.O._executedReturned[name] == [1, 2, 3, 4, 5, 6]


def test_smaller_priorities_run_first_and_ties_in_order(grid: Grid, block: Any, name: str) -> None:
    grid.one(note, None, first=True)
    grid.one(noted, first=True)
    release = block()
    order = [(5, "e"), (1, "b"), (2.5, "d"), (1, "c"), (-1, "a"), (5, "f"), (1e9, "g"), (float("inf"), "h")]
    for priority, mark in order:
        assert (
            grid.O.transfer(grid.template(note, mark, first=True, priority=priority, resultName=name), grid.workers[0])
            is None
        )
    release(len(order))
    wait_until(lambda: len(grid.O._executedReturned.get(name, [])) == len(order))
    assert grid.O._executedReturned[name] == list("abcdefgh")
    assert grid.one(noted, first=True) == list("abcdefgh")


def test_the_default_priority_is_one(grid: Grid, block: Any) -> None:
    grid.one(note, None, first=True)
    grid.one(noted, first=True)
    release = block()
    for priority, mark in ((1.5, "late"), (None, "at once")):
        grid.O.transfer(grid.template(note, mark, first=True, priority=priority, returnResult=False), grid.workers[0])
    default = {**grid.template(note, "default", first=True, returnResult=False)}
    grid.O.transfer(default, grid.workers[0])
    del default["priority"]
    default["args"] = ("none given",)
    grid.O.transfer(default, grid.workers[0])
    grid.O.transfer(grid.template(note, "early", first=True, priority=0.5, returnResult=False), grid.workers[0])
    release(4)
    assert grid.one(noted, first=True, priority=2) == ["at once", "early", "default", "none given", "late"]


def test_priority_none_runs_at_once_beside_the_queue(grid: Grid, block: Any) -> None:
    release = block()

    def where() -> Any:
        import os
        import threading

        return os.getpid(), threading.current_thread() is threading.main_thread()

    assert grid.one(where, priority=None) == (pid_in(grid.workers[0]), False)
    assert grid.call(where, priority=None, to=[grid.workers[0]] * 5) == [(pid_in(grid.workers[0]), False)] * 5
    release()


def test_several_calls_with_priority_none_run_at_the_same_time(grid: Grid) -> None:
    def meet(executor: Any) -> int:
        import threading

        barrier = executor.__dict__.setdefault("_barrier", threading.Barrier(3))
        return int(barrier.wait(10))

    templates = [grid.template(meet, first=True, priority=None)] * 3
    assert sorted(grid.O.transfer(templates, [grid.workers[0]] * 3, collect=True)) == [0, 1, 2]


def test_the_queue_runs_one_call_at_a_time(grid: Grid) -> None:
    def alone(executor: Any) -> bool:
        import time

        running = executor.__dict__.setdefault("_running", [])
        running.append(1)
        time.sleep(0.01)
        is_alone = len(running) == 1
        running.pop()
        return is_alone

    assert grid.call(alone, first=True, to=[grid.workers[0]] * 10) == [True] * 10


@pytest.mark.parametrize(("priority", "rule"), [(None, "none"), (-1, "negative"), (float("-inf"), "negative")])
def test_rules_can_forbid_special_priorities(make_grid: MakeGrid, priority: Any, rule: str) -> None:
    grid = make_grid(rules={f"execution_allow_{rule}_priority": False})
    status = grid.one(os.getpid, priority=priority)
    assert not status
    assert f"execution_allow_{rule}_priority" in status.error
    assert grid.one(os.getpid, priority=0) == pid_in(grid.workers[0])
    other = make_grid(rules={f"execution_allow_{rule}_priority": True})
    assert other.one(os.getpid, priority=priority) == pid_in(other.workers[0])


@pytest.mark.parametrize(
    "priority",
    [
        "high",
        float("nan"),
        [1],
        True,
        1j,
    ],
)
def test_priorities_that_are_none_are_refused_by_name(grid: Grid, priority: Any) -> None:
    for collect in (True, False):
        status = grid.O.transfer(grid.template(os.getpid, priority=priority), grid.workers[0], collect=collect)
        assert not status
        assert status is not None
        assert "priority" in status.error


def test_priorities_of_huge_integers_are_numbers_too(grid: Grid) -> None:
    for priority in (10**30, -(10**30)):
        assert grid.one(os.getpid, priority=priority) == pid_in(grid.workers[0])


# -- what becomes of results -----------------------------------------------------------------------


def test_returned_results_are_listed_under_their_name(grid: Grid, name: str) -> None:
    assert grid.O.transfer(grid.template(os.getpid, resultName=name), grid.workers) is None
    wait_until(lambda: len(grid.O._executedReturned.get(name, [])) == 3)
    assert sorted(grid.O._executedReturned[name]) == sorted(pid_in(each) for each in grid.workers)
    assert grid.call(os.getpid, resultName=name) == [pid_in(grid.workers[0])]
    assert len(grid.O._executedReturned[name]) == 4


def test_each_item_of_a_list_has_its_own_result_name(grid: Grid, name: str) -> None:
    templates = [grid.template(abs, -n, resultName=f"{name}-{n}") for n in range(3)]
    for collect in (False, True):
        grid.O.transfer(templates, grid.workers, collect=collect)
    wait_until(lambda: all(grid.O._executedReturned.get(f"{name}-{n}") == [n, n] for n in range(3)), timeout=5)


def test_stored_results_stay_at_the_receiver(grid: Grid, name: str) -> None:
    for value in (1, 2):
        template = grid.template(lambda x: [x], value, returnResult=False, storeResult=True, resultName=name)
        assert grid.O.transfer(template, grid.workers[:2], collect=True) == [None, None]
    kept = grid.call(lambda executor: executor._executedStored.get(name), to=grid.workers, first=True)
    assert kept == [[2], [2], None]
    assert name not in grid.O._executedReturned
    assert name not in grid.O._executedStored


def test_a_result_can_be_returned_and_stored(grid: Grid, name: str) -> None:
    template = grid.template(lambda: [5], storeResult=True, resultName=name)
    assert grid.O.transfer(template, grid.workers[0], collect=True) == [[5]]
    assert grid.one(lambda executor: executor._executedStored[name], first=True) == [5]
    assert grid.O._executedReturned[name] == [[5]]


def test_a_result_that_cannot_travel_can_be_stored(grid: Grid, name: str) -> None:
    template = grid.template(
        lambda: __import__("threading").Lock(), returnResult=False, storeResult=True, resultName=name
    )
    assert grid.O.transfer(template, grid.workers[0], collect=True) == [None]
    assert grid.one(lambda executor: type(executor._executedStored[name]).__name__, first=True) == "lock"


def test_without_return_the_call_is_run_all_the_same(grid: Grid) -> None:
    template = grid.template(note, "unreturned", first=True, returnResult=False)
    assert grid.O.transfer(template, grid.workers[0], collect=True) == [None]
    assert grid.one(noted, first=True) == ["unreturned"]


def test_uncollected_failures_do_not_stop_the_others(grid: Grid, name: str) -> None:
    templates = [grid.template(lambda n: 1 // n, n, resultName=name) for n in (1, 0, 1)]
    assert grid.O.transfer(templates, grid.workers) is None
    wait_until(lambda: grid.O._executedReturned.get(name) == [1, 1])


def test_a_transfer_gives_a_list_with_the_reason_where_a_result_is_missing_or_none_or_one_status(grid: Grid) -> None:
    def divide(number: int) -> float:
        return 6 / number

    receivers = [grid.workers[1], NOBODY, grid.workers[0]]
    calls = [grid.template(divide, number) for number in (3, 2, 0)]
    result, lost, failed = grid.O.transfer(calls, receivers, collect=True)
    assert result == 2
    for status, name, kwargs, words in (
        (lost, NOBODY, calls[1], "is on the grid"),
        (failed, grid.workers[0], calls[2], "ZeroDivisionError"),
    ):
        assert (type(status), status.successful, status.name) == (Collections.SoftgridStatus, False, name)
        assert words in status.error
        assert status.data is kwargs
    assert isinstance(failed.exception, ZeroDivisionError)
    assert grid.O.transfer(lost.data, grid.workers[2], collect=True) == [3], "the kwargs can be sent again"
    assert grid.O.transfer(calls, receivers) is None
    whole = grid.O.transfer(calls, receivers[:2], collect=True)
    assert (type(whole), bool(whole)) == (Collections.SoftgridStatus, False)
    assert "transferKwargs" in whole.error


def test_collected_results_are_lists_without_surprises(grid: Grid) -> None:
    assert grid.call(lambda: None) == [None]
    assert grid.call(lambda: [1, 2], to=grid.workers[:2]) == [[1, 2], [1, 2]]
    assert grid.call(lambda: ()) == [()]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"args": 5}, "args"),
        ({"args": "text"}, "args"),
        ({"args": {"a": 1}}, "args"),
        ({"kwargs": [1]}, "kwargs"),
        ({"kwargs": {1: 2}}, "kwargs"),
        ({"mode": "dance"}, "mode"),
        ({"promise_password": 5}, "promisePassword"),
        ({"result_handling": {"result_name": 5}}, "resultName"),
        ({"result_handling": 5}, "result_handling"),
    ],
)
def test_bad_transfer_kwargs_are_refused_by_name(grid: Grid, changed: dict[str, Any], named: str) -> None:
    for collect in (True, False):
        status = grid.O.transfer({**grid.template(os.getpid), **changed}, grid.workers[0], collect=collect)
        assert status is not None
        assert not isinstance(status, list), status
        assert not status
        assert named in status.error


def test_kwargs_without_a_function_or_with_keys_of_ones_own(grid: Grid) -> None:
    assert "func" in grid.O.transfer({}, grid.workers[0], collect=True).error
    assert grid.O.transfer({"function": os.getpid}, grid.workers[0], collect=True) == [pid_in(grid.workers[0])]
    misspelt = {**grid.template(os.getpid), "functoin": 1}
    result = grid.O.transfer(misspelt, grid.workers[0], collect=True)
    assert result == [pid_in(grid.workers[0])] or "functoin" in result.error


# -- timeouts --------------------------------------------------------------------------------------


def test_a_timeout_gives_a_failed_status_and_the_worker_goes_on(grid: Grid, block: Any) -> None:
    release = block()
    template = grid.template(os.getpid)
    results = grid.O.transfer(template, [grid.workers[0], grid.workers[1]], collect=True, transferTimeout=0.3)
    assert results[1] == pid_in(grid.workers[1])
    assert not results[0]
    assert "0.3" in results[0].error
    assert results[0].name == grid.workers[0]
    release()
    again = grid.O.transfer(results[0].data, results[0].name, collect=True)
    assert again == [pid_in(grid.workers[0])], "the data of a failed status can be sent again"


def test_a_late_result_is_dropped(grid: Grid, block: Any, name: str) -> None:
    release = block()
    template = grid.template(note, "late", first=True, resultName=name)
    assert grid.O.transfer(template, grid.workers[0], transferTimeout=0.1) is None
    threading.Event().wait(0.3)  # the time must have passed: there is nothing to see from outside
    release(1)
    assert grid.one(noted, first=True, priority=5) == ["late"]
    assert name not in grid.O._executedReturned


@pytest.mark.parametrize(
    "timeout",
    [
        -1,
        0,
        float("nan"),
        "5",
        True,
        [],
        1j,
        float("-inf"),
    ],
)
def test_bad_transfer_timeouts_are_refused_by_name(grid: Grid, timeout: Any) -> None:
    status = grid.O.transfer(grid.template(os.getpid), grid.workers[0], collect=True, transferTimeout=timeout)
    assert not status
    assert "transferTimeout" in status.error
    grid.check_alive()


@pytest.mark.parametrize("timeout", [None, float("inf"), 1e300, 1e18])
def test_endless_timeouts_are_fine(grid: Grid, timeout: Any) -> None:
    result = grid.O.transfer(grid.template(os.getpid), grid.workers[0], collect=True, transferTimeout=timeout)
    assert result == [pid_in(grid.workers[0])]
    assert (
        grid.O.transfer(grid.template(os.getpid, returnResult=False), grid.workers[0], transferTimeout=timeout) is None
    )
    grid.check_alive()


@pytest.mark.parametrize("multiplier", [0, -1, float("nan"), "x", None])
def test_bad_multipliers_are_refused_by_name(grid: Grid, multiplier: Any) -> None:
    status = grid.O.transfer(
        grid.template(os.getpid), grid.workers[0], collect=True, transferTimeout=5, multiplier=multiplier
    )
    assert not status
    assert "multiplier" in status.error


def test_each_receiver_may_have_a_multiplier_of_its_own(grid: Grid, block: Any) -> None:
    release = block()
    receivers = [grid.workers[0], grid.workers[1]]
    late, pid = grid.O.transfer(
        grid.template(os.getpid), receivers, collect=True, transferTimeout=0.2, multiplier=[1, 0.001]
    )
    release(1)
    assert pid == pid_in(receivers[1])
    assert "within 0.2 s" in late.error
    status = grid.O.transfer(grid.template(os.getpid), receivers, collect=True, transferTimeout=5, multiplier=[1])
    assert "multiplier: got '1 items'" in status.error


def test_wait_timeouts_grow_with_the_way(grid: Grid) -> None:
    O = grid.O
    assert O.get_transfer_wait_timeout() == 10
    assert O.get_transfer_wait_timeout(transferTimeout=10, multiplier=3, pathLength=3) == 10
    assert O.get_transfer_wait_timeout(10, 3, 4) == 20
    assert O.get_transfer_wait_timeout(2, 1, 5) == 10
    assert O.get_small_transfer_wait_timeout() == 5
    assert O.get_big_transfer_wait_timeout(7) == 60
    both = grid.one(
        lambda e: (e.get_transfer_wait_timeout(), e.get_small_transfer_wait_timeout(), len(e.gridPath)), first=True
    )
    assert both == (20, 10, 4)


@pytest.mark.parametrize(
    "arguments", [(-1,), (None,), ("x",), (float("nan"),), (10, 0), (10, None), (10, 3, -1), (10, 3, 1.5), (10, 3, "x")]
)
def test_bad_wait_timeouts_are_refused(grid: Grid, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"transferTimeout|multiplier|pathLength"):
        grid.O.get_transfer_wait_timeout(*arguments)


def test_many_calls_in_one_transfer(grid: Grid) -> None:
    receivers = grid.workers * 2000
    templates = [grid.template(abs, -n) for n in range(len(receivers))]
    assert grid.O.transfer(templates, receivers, collect=True) == list(range(len(receivers)))


def test_many_uncollected_calls_all_run_and_come_back_in_order(grid: Grid, name: str) -> None:
    template = grid.template(note, None, first=True, resultName=name)
    for n in range(500):
        grid.O.transfer({**template, "args": (n,)}, grid.workers[0])
    assert grid.one(noted, first=True) == list(range(500))
    wait_until(lambda: len(grid.O._executedReturned.get(name, [])) == 500)
    assert grid.O._executedReturned[name] == list(range(500))
