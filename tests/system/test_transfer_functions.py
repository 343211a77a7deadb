"""What can be run elsewhere, with which arguments, and what comes back."""
# ruff: noqa: E741  (O is what everybody calls the orchestrator)

from __future__ import annotations

import collections
import dataclasses
import functools
import operator
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import PATIENCE_S, pid_in, wait_until

from softgrid import Collections

pytestmark = pytest.mark.system

np = pytest.importorskip("numpy")


# -- kinds of functions ----------------------------------------------------------------------------


def test_a_template_has_the_documented_keys(grid: Grid) -> None:
    by_default = {
        "mode": "execute",
        "propagate_upgrid": False,
        "propagate_routers": False,
        "propagate_managers": False,
        "propagate_workers": False,
        "propagate_recursive": False,
        "bounce_transfer": None,
        "allow_bridging": True,
        "function": None,
        "first_argument_executor": None,
        "promise_password": None,
        "args": None,
        "kwargs": None,
        "result_handling": {"return_result": True, "store_result": False, "result_name": None},
        "priority": 1,
        "retries": 0,
        "retry_on": None,
        "label": None,
    }
    assert grid.O.get_transfer_template() == by_default
    given = grid.O.get_transfer_template(pow, (1, 2), {"mod": 3}, None, [["w"]], "p", False, True, "r")
    assert given == {
        **by_default,
        "function": pow,
        "args": (1, 2),
        "kwargs": {"mod": 3},
        "priority": None,
        "bounce_transfer": [["w"]],
        "promise_password": "p",
        "result_handling": {"return_result": False, "store_result": True, "result_name": "r"},
    }
    assert "func: got None" in grid.O.transfer(grid.O.get_transfer_template(), grid.workers[0]).error


def test_lambda_builtin_and_module_function(grid: Grid) -> None:
    assert grid.one(lambda x: x + 1, 1) == 2
    assert grid.one(len, [1, 2, 3]) == 3
    assert grid.one(os.path.join, "a", "b") == "a/b"
    assert grid.one(operator.itemgetter(1), "abc") == "b"


def test_args_and_kwargs(grid: Grid) -> None:
    def shown(a: Any, /, b: Any, *rest: Any, c: Any = 3, **more: Any) -> Any:
        return a, b, rest, c, more

    assert grid.one(shown, 1, 2, 4, kwargs={"c": 5, "d": 6}) == (1, 2, (4,), 5, {"d": 6})
    O = grid.O
    as_list = O.get_transfer_template(shown, args=[1, 2])
    assert O.transfer(as_list, grid.workers[0], collect=True) == [(1, 2, (), 3, {})]
    by_name = O.get_transfer_template(shown, kwargs={"b": 1, "a": 2})
    assert "a" in O.transfer(by_name, grid.workers[0], collect=True)[0].error


def test_closure_and_its_changes_are_noticed(grid: Grid) -> None:
    count, things = 1, [1]

    def closed() -> Any:
        return count, things

    assert grid.one(closed) == (1, [1])
    count = 2
    assert grid.one(closed) == (2, [1])
    things.append(2)
    assert grid.one(closed) == (2, [1, 2])


def test_changed_globals_are_noticed(grid: Grid) -> None:
    space: dict[str, Any] = {"__name__": "__main__", "a": 1, "b": [1]}
    exec("def helper(): return b\ndef function(): return a, helper()", space)
    assert grid.one(space["function"]) == (1, [1])
    space["a"] = 2
    assert grid.one(space["function"]) == (2, [1])
    space["b"].append(2)
    assert grid.one(space["function"]) == (2, [1, 2])
    exec("def helper(): return 'other'", space)
    assert grid.one(space["function"]) == (2, "other")


def test_changed_defaults_attributes_and_code_are_noticed(grid: Grid) -> None:
    def function(x: int = 1) -> Any:
        return x, getattr(function, "mark", None)

    assert grid.one(function) == (1, None)
    function.__defaults__ = (2,)
    assert grid.one(function) == (2, None)
    function.mark = "m"  # type: ignore[attr-defined]
    assert grid.one(function) == (2, "m")

    def plain(x: int = 2) -> Any:
        return x

    assert grid.one(plain) == 2
    plain.__code__ = (lambda x=0: ("replaced", x)).__code__
    assert grid.one(plain) == ("replaced", 2)


def test_a_function_does_not_keep_state_of_the_caller_alive_on_the_worker(grid: Grid) -> None:
    """What a call changes in its closure's objects is seen by later calls of the same function, and not by others."""
    bag: list[int] = []

    def grow() -> int:
        bag.append(1)
        return len(bag)

    assert grid.one(grow) == 1
    assert bag == []


def test_bound_methods_and_their_changed_instances(grid: Grid) -> None:
    class Counter:
        def __init__(self) -> None:
            self.value = 1

        def plus(self, n: int) -> int:
            return self.value + n

        @classmethod
        def kind(cls) -> str:
            return cls.__name__

        @staticmethod
        def fixed() -> int:
            return 7

    counter = Counter()
    assert grid.one(counter.plus, 1) == 2
    counter.value = 10
    assert grid.one(counter.plus, 1) == 11
    assert grid.one(Counter.kind) == "Counter"
    assert grid.one(Counter.fixed) == 7
    assert grid.one("abc".upper) == "ABC"


def test_callable_objects_partials_and_classes(grid: Grid) -> None:
    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        def __call__(self, x: int) -> int:
            return x + self.n

    adder = Adder(2)
    assert grid.one(adder, 1) == 3
    adder.n = 5
    assert grid.one(adder, 1) == 6
    assert grid.one(functools.partial(pow, 2), 5) == 32
    assert grid.one(functools.partial(lambda a, b: a - b, b=1), 5) == 4
    made = grid.one(Adder, 3)
    assert type(made) is Adder
    assert made(1) == 4


def test_generators_and_coroutines_can_be_used_inside(grid: Grid) -> None:
    def inside() -> Any:
        import asyncio

        async def wait() -> str:
            await asyncio.sleep(0)
            return "awaited"

        return asyncio.run(wait()), [x * x for x in range(4)]

    assert grid.one(inside) == ("awaited", [0, 1, 4, 9])


def test_recursive_and_mutually_recursive_functions(grid: Grid) -> None:
    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    assert grid.one(even, 10) is True


def test_source_text_of_a_definition(grid: Grid) -> None:
    assert grid.one("def double(x):\n    import math\n    return math.floor(x) * 2", 2.5) == 4
    assert grid.one("lambda x, y=2: x ** y", 3) == 9
    assert (
        grid.one("import os\nFACTOR = 2\ndef helper(x): return x * FACTOR\ndef last(x): return helper(x) + 1", 4) == 9
    )
    assert grid.one("def own(executor, x):\n    return executor.gridUniqueName, x", 1, first=True) == (
        grid.workers[0],
        1,
    )


def test_source_text_may_be_indented_as_a_whole(grid: Grid) -> None:
    assert grid.one("\n\n    def indented(x):\n        return -x\n", 3) == -3


@pytest.mark.parametrize("text", ["def broken(:", "x = 1", "1 +", "import nothing_like_this\ndef f(): pass", "3"])
def test_source_text_without_a_function_is_refused(grid: Grid, text: str) -> None:
    status = grid.one(text)
    assert not status
    assert status.error
    grid.check_alive()


def test_text_that_is_no_identifier_is_source_and_empty_text_is_nothing(grid: Grid) -> None:
    for nothing in ("", "   ", None, 5):
        status = grid.O.transfer(grid.template(nothing), grid.workers[0], collect=True)
        assert not status
        assert "func" in status.error


def test_the_name_of_a_method_of_the_executor(grid: Grid) -> None:
    assert grid.call("get_executor_grid_path", grid.workers[0], to=grid.workers)[1]
    split = grid.one("split_grid_unique_name", grid.workers[0])
    assert split[0] == "worker"


def test_methods_that_are_not_open_and_unknown_names_are_refused(grid: Grid) -> None:
    for name in ("disconnect", "kill", "_node", "__init__", "__class__", "password", "launch_worker"):
        status = grid.one(name)
        assert not status
        assert name in status.error
    assert "no_such_thing" in grid.one("no_such_thing").error
    grid.check_alive()


def test_methods_of_executors_that_run_no_user_functions_can_still_be_called(grid: Grid) -> None:
    names = [grid.routers[0], grid.managers[0]]
    assert [found[0] for found in grid.call("split_grid_unique_name", grid.workers[0], to=names)] == [
        "worker",
        "worker",
    ]


def test_the_name_of_a_stored_function(make_grid: MakeGrid) -> None:
    grid = make_grid()
    grid.one(lambda executor: executor.add_udf("own", lambda executor, x: (executor.role, x), True), first=True)
    assert grid.one("own", 3) == ("worker", 3)


def test_first_argument_executor_is_the_executor_itself(grid: Grid) -> None:
    def me(executor: Any, *rest: Any) -> Any:
        executor.left_here = rest
        return executor.gridUniqueName, type(executor).__name__, rest

    assert grid.call(me, 1, 2, to=grid.workers, first=True) == [(name, "Worker", (1, 2)) for name in grid.workers]
    assert grid.one(lambda executor: executor.left_here, first=True) == (1, 2)


def test_user_functions_run_in_the_main_thread(grid: Grid) -> None:
    def where() -> Any:
        import signal
        import threading

        signal.signal(signal.SIGUSR1, signal.SIG_DFL)  # allowed in the main thread only
        return threading.current_thread() is threading.main_thread()

    assert grid.one(where) is True


def test_user_functions_can_start_threads_and_processes(grid: Grid) -> None:
    def work() -> Any:
        import multiprocessing
        import subprocess
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            threaded = list(pool.map(abs, [-1, -2]))
        with multiprocessing.get_context("fork").Pool(2) as processes:
            forked = processes.map(abs, [-3, -4])
        with multiprocessing.get_context("spawn").Pool(1) as processes:
            spawned = processes.map(abs, [-5])
        return threaded, forked, spawned, subprocess.check_output(["echo", "hi"], text=True)

    assert grid.one(work) == ([1, 2], [3, 4], [5], "hi\n")


def test_a_worker_has_no_input_and_the_scripts_directory(grid: Grid) -> None:
    assert grid.one(lambda: __import__("sys").stdin.read()) == ""
    assert grid.one(lambda: os.getcwd()) == os.getcwd()


# -- arguments and results -------------------------------------------------------------------------


@dataclasses.dataclass
class Record:
    name: str
    values: list[int]


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**200),
        1.5,
        float("inf"),
        1j,
        "",
        "ünï\0\ud800 \U0001f600",
        b"",
        b"x" * 100_000,
        bytearray(b"ab"),
        (),
        [],
        {},
        {1: {2: (3, [4, {5}])}},
        frozenset({1}),
        range(3),
        slice(1, 2),
        Ellipsis,
        NotImplemented,
        int,
        os.path,
        Record("a", [1]),
        Pair(1, 2),
        Path("/x"),
        collections.OrderedDict(b=1, a=2),
        ValueError("as a value"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_make_the_round_trip(grid: Grid, value: Any) -> None:
    back = grid.one(lambda x: x, value)
    assert type(back) is type(value)
    assert back == value or repr(back) == repr(value)


def test_identity_inside_one_argument_list_is_kept(grid: Grid) -> None:
    shared: list[Any] = []
    shared.append(shared)
    a, b = grid.one(lambda x, y: (x is y and x[0] is x, x), shared, shared)
    assert a is True
    assert b[0] is b


def test_arguments_are_copies_also_for_the_orchestrator_itself(make_grid: MakeGrid) -> None:
    grid = make_grid(allowExecutingUDF=True)
    mine = [1]

    def change(x: list[int]) -> list[int]:
        x.append(2)
        return x

    for receiver in (grid.workers[0], grid.O.gridUniqueName):
        assert grid.one(change, mine, to=receiver) == [1, 2]
        assert mine == [1]


@pytest.mark.parametrize("dtype", ["float64", "int8", "complex64", "bool", "datetime64[s]", "U5", "O"])
@pytest.mark.parametrize("size", [0, 10, 5000, 100_000])
def test_arrays_of_every_kind_stay_equal_and_writable(grid: Grid, dtype: str, size: int) -> None:
    array = np.arange(size).astype(dtype)

    def add_mark(x: Any) -> Any:
        x[:1] = x[-1:]
        return x

    back = grid.one(add_mark, array)
    expected = array.copy()
    expected[:1] = expected[-1:]
    assert back.dtype == array.dtype
    assert (back == expected).all()
    back[:1] = back[-1:]
    assert back.flags.writeable


def test_odd_arrays_make_the_trip(grid: Grid) -> None:
    base = np.arange(1_000_000.0).reshape(1000, 1000)
    for array in (
        base.T,
        base[::3, ::7],
        base[::-1],
        np.asfortranarray(base),
        np.array(3.0),
        np.zeros((0, 4)),
        np.ma.masked_less(base, 9),
    ):
        back = grid.one(lambda x: x, array)
        assert back.shape == array.shape
        assert (back == array).all()
        assert type(back) is type(array)
        if back.size and back.ndim:
            back.flat[0] = 3


def test_a_read_only_array_may_be_sent_and_many_arrays_in_one_call(grid: Grid) -> None:
    arrays = {str(n): np.full(n * 1000, n, dtype="u1") for n in range(1, 20)}
    arrays["1"].flags.writeable = False
    back = grid.one(lambda x, **more: {**x, **more}, arrays, kwargs={"extra": np.ones(99_999)})
    assert all((back[key] == value).all() for key, value in arrays.items())
    assert back["extra"].sum() == 99_999


@pytest.mark.parametrize("megabytes", [1, 100])
def test_a_large_array_goes_both_ways_equal_and_writable(grid: Grid, megabytes: int) -> None:
    array = np.random.default_rng(1).integers(0, 255, megabytes * 1_000_000, dtype="u1")
    sent = array.copy()

    def turned(x: Any) -> Any:
        x += 1
        return x

    back = grid.one(turned, array)
    assert (array == sent).all()
    assert (back == sent + 1).all()
    back += 1
    assert back[0] == (int(sent[0]) + 2) % 256


def test_large_bytes_text_and_lists(grid: Grid) -> None:
    for value in (os.urandom(20_000_000), "ä" * 5_000_000, list(range(300_000)), bytearray(3_000_000)):
        assert grid.one(lambda x: x, value) == value


def test_large_data_to_several_workers_at_once(grid: Grid) -> None:
    array = np.arange(2_000_000)
    sums = grid.call(lambda x: int(x.sum()), array, to=grid.workers)
    assert sums == [int(array.sum())] * 3
    receivers, bounce = grid.O.get_managers_to_workers_receivers_bounce_lists()
    results = grid.O.transfer(grid.template(lambda x: x[::2].copy(), array), receivers, bounce=bounce, collect=True)
    assert len(results) == 3
    assert all((result == array[::2]).all() for result in results)


def test_a_large_function_makes_the_trip(grid: Grid) -> None:
    table = np.arange(3_000_000)
    assert grid.call(lambda i: int(table[i]), 7, to=grid.workers) == [7, 7, 7]
    assert grid.call(lambda i: int(table[i]), 8, to=grid.workers) == [8, 8, 8]


def test_small_calls_pass_while_a_large_one_is_under_way(grid: Grid) -> None:
    array = np.zeros(30_000_000, dtype="u1")
    done = []
    thread = threading.Thread(target=lambda: done.append(grid.one(len, array)))
    thread.start()
    small = [grid.one(os.getpid, to=grid.workers[1]) for _ in range(50)]
    thread.join(PATIENCE_S)
    assert set(small) == {pid_in(grid.workers[1])}
    assert done == [len(array)]


def test_the_memory_given_belongs_to_the_caller_again_when_an_uncollected_transfer_returns(grid: Grid) -> None:
    array = np.ones(10_000_000, dtype="u1")
    template = grid.template(lambda x: int(x.sum()), array, resultName="sums")
    grid.O._executedReturned.pop("sums", None)
    assert grid.O.transfer(template, grid.workers) is None
    array[:] = 0
    wait_until(lambda: len(grid.O._executedReturned.get("sums", [])) == 3)
    assert grid.O._executedReturned["sums"] == [10_000_000] * 3


def test_a_class_defined_in_a_function_comes_back_as_the_same_class(grid: Grid) -> None:
    class Thing:
        def __init__(self, x: int) -> None:
            self.x = x

    back = grid.one(lambda thing: Thing(thing.x + 1), Thing(1))
    assert type(back) is Thing
    assert back.x == 2


def test_a_status_and_our_errors_can_travel(grid: Grid) -> None:
    def status() -> Any:
        from softgrid.Collections import SoftgridStatus

        return SoftgridStatus(False, error="e", data={"a": 1}, name="n")

    back = grid.one(status)
    assert type(back) is Collections.SoftgridStatus
    assert (bool(back), back.error, back.data, back.name) == (False, "e", {"a": 1}, "n")


def test_errors_that_softgrid_raised_in_the_function_come_back_as_themselves(grid: Grid) -> None:
    from softgrid._model import errors

    def split(executor: Any) -> Any:
        return executor.split_grid_unique_name("nonsense")

    status = grid.one(split, first=True)
    assert "MalformedName" in status.error
    assert isinstance(status.exception, errors.MalformedName)


# -- worker to worker ------------------------------------------------------------------------------


def test_a_worker_calls_another_workers_function_across_managers(grid: Grid) -> None:
    def ask(executor: Any, other: str, x: Any) -> Any:
        import os

        template = executor.get_transfer_template(lambda y: (os.getpid(), y * 2), (x,))
        return executor.transfer(template, other, collect=True)

    assert grid.one(ask, grid.workers[2], 4, first=True) == [(pid_in(grid.workers[2]), 8)]
    assert grid.one(ask, grid.workers[1], 4, first=True) == [(pid_in(grid.workers[1]), 8)]


def test_workers_exchange_large_arrays_across_managers(grid: Grid) -> None:
    def ask(executor: Any, other: str) -> Any:
        import numpy as np

        array = np.arange(3_000_000)
        template = executor.get_transfer_template(lambda x: x + 1, (array,))
        (back,) = executor.transfer(template, other, collect=True)
        back[0] += 1
        return bool((back[1:] == array[1:] + 1).all()), int(back[0])

    assert grid.one(ask, grid.workers[2], first=True) == (True, 2)


def test_workers_call_each_other_at_the_same_time(grid: Grid) -> None:
    """Each waits for the other; priority None answers beside the queue that is busy waiting."""

    def ask(executor: Any, others: list[str]) -> Any:
        import os

        template = executor.get_transfer_template(os.getpid, priority=None)
        return [executor.transfer(template, other, collect=True, transferTimeout=15)[0] for other in others * 20]

    results = grid.call(ask, grid.workers, to=grid.workers, first=True)
    assert results == [[pid_in(name) for name in grid.workers] * 20] * 3


def test_a_worker_asks_the_orchestrator(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, allowExecutingUDF=True)

    def ask(executor: Any) -> Any:
        template = executor.get_transfer_template(lambda orchestrator: orchestrator.role)
        template["first_argument_executor"] = True
        return executor.transfer(template, executor.gridPath[0], collect=True)

    assert grid.one(ask, first=True) == ["orchestrator"]


def test_a_worker_that_calls_itself_with_priority_none_is_answered(grid: Grid) -> None:
    def ask(executor: Any) -> Any:
        template = executor.get_transfer_template(lambda: "self", priority=None)
        return executor.transfer(template, executor.gridUniqueName, collect=True, transferTimeout=10)

    assert grid.one(ask, first=True) == ["self"]


def test_the_way_to_any_executor_is_found_from_anywhere(grid: Grid) -> None:
    def ways(executor: Any, names: list[str]) -> list[Any]:
        return [executor.get_executor_grid_path(name) for name in names]

    names = [grid.O.gridUniqueName, *grid.routers, *grid.managers, *grid.workers]
    paths = {name: [*way, name] for role in grid.O.paths.values() for name, way in role.items()}
    expected = [[grid.O.gridUniqueName], *(paths[name] for name in names[1:])]
    from_top, from_worker = ways(grid.O, names), grid.one(ways, names, first=True)
    assert [list(found.values()) for found in from_top] == [[way] for way in expected]
    assert [list(found.values()) for found in from_worker] == [[way] for way in expected]
    assert set().union(*from_top) == {grid.O.gridUniqueName}
    assert set().union(*from_worker) <= {grid.workers[0], grid.routers[0], grid.managers[0], grid.O.gridUniqueName}


def test_the_way_to_nobody_is_empty_and_to_a_malformed_name_an_error(grid: Grid) -> None:
    nobody = "worker|Nobody@10.0.0.1[4]:5000"
    assert grid.O.get_executor_grid_path(nobody) == {}
    assert grid.one(lambda executor: executor.get_executor_grid_path(nobody), first=True) == {}
    assert "role|name@address" in str(grid.O.get_executor_grid_path("nobody").error)
