"""Objects, data and functions that are kept with other executors: there, fetched, popped, and what goes wrong."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.watching import PATIENCE_S, pid_in, wait_until

from softgrid import Collections

pytestmark = pytest.mark.system

np = pytest.importorskip("numpy")

KINDS = ("object", "data", "udf")


class Thing:
    """Something of the tests that pickle takes by name; the workers of this process's grid can import it."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and other.size == self.size

    __hash__ = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def nothing_kept(request: pytest.FixtureRequest) -> Any:
    """Leave the grid that is shared as it was."""
    yield
    if "grid" in request.fixturenames:
        grid = request.getfixturevalue("grid")
        everybody = [grid.O.gridUniqueName, *grid.routers, *grid.managers, *grid.workers]
        for kind in KINDS:
            getattr(grid.O, f"transfer_pop_{kind}")("kept", everybody, timeout=None)
        gone = grid.O.transfer_get_data("kept", everybody, default="gone", mustExist=False)
        assert gone == ["gone"] * len(everybody), "and what comes after it comes later"


def add(grid: Grid, kind: str, value: Any, receivers: Any, **options: Any) -> Any:
    first = (False,) if kind == "udf" else ()
    return getattr(grid.O, f"transfer_add_{kind}")("kept", value, *first, receivers, **options)


def get(grid: Grid, kind: str, receivers: Any, **options: Any) -> Any:
    return getattr(grid.O, f"transfer_get_{kind}")("kept", receivers, **options)


def pop(grid: Grid, kind: str, receivers: Any, **options: Any) -> Any:
    return getattr(grid.O, f"transfer_pop_{kind}")("kept", receivers, **options)


def succeeded(results: Any) -> list[bool]:
    assert all(isinstance(result, Collections.SoftgridStatus) for result in results), results
    return [result.successful for result in results]


# -- what comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_one_receiver_gives_its_result_and_many_give_a_list(grid: Grid, kind: str) -> None:
    worker, workers = grid.workers[0], grid.O.workers
    for receivers in (worker, [worker], workers, "workers", [[grid.routers[0], grid.managers[0], worker]]):
        count = None if receivers is worker else len(workers) if receivers in (workers, "workers") else 1
        status, got = add(grid, kind, abs, receivers), get(grid, kind, receivers)
        popped, then = pop(grid, kind, receivers), pop(grid, kind, receivers)
        if count is None:
            assert (bool(status), got, popped, then) == (True, abs, abs, None)
        else:
            assert succeeded(status) == [True] * count
            assert (got, popped, then) == ([abs] * count, [abs] * count, [None] * count)


@pytest.mark.parametrize("kind", KINDS)
def test_executors_of_every_role_keep_things_whoever_may_run_functions(grid: Grid, kind: str) -> None:
    everybody = [grid.O.gridUniqueName, grid.routers[0], grid.managers[1], grid.workers[2]]
    assert succeeded(add(grid, kind, abs, everybody)) == [True] * 4
    assert pop(grid, kind, everybody) == [abs] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_keeps_things_with_any_other_executor(grid: Grid, kind: str) -> None:
    def exchange(executor: Any, kind: str, others: list[str]) -> Any:
        first = (False,) if kind == "udf" else ()
        added = getattr(executor, f"transfer_add_{kind}")("kept", abs, *first, others)
        upgrid = getattr(executor, f"transfer_add_{kind}")("kept", len, *first, "upgrid")
        popped = getattr(executor, f"transfer_pop_{kind}")("kept", others)
        return [bool(each) for each in added], bool(upgrid), popped

    others = [grid.workers[2], grid.routers[0], grid.O.gridUniqueName, grid.workers[0]]
    assert grid.one(exchange, kind, others, first=True) == ([True] * 4, True, [abs] * 4)
    assert get(grid, kind, grid.managers[0]) is len


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_taken_stays_unless_it_may_be_replaced(grid: Grid, kind: str) -> None:
    worker, other = grid.workers[0], grid.workers[1]
    assert add(grid, kind, abs, worker)
    taken, free = add(grid, kind, len, [worker, other], replace=False)
    assert not taken
    assert "'kept'" in taken.error
    assert "replace=True" in taken.error
    assert taken.name == "kept"
    assert free
    assert get(grid, kind, worker) is abs
    assert add(grid, kind, len, worker)
    assert get(grid, kind, worker) is len


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_a_failure_where_it_must_be_and_the_default_elsewhere(grid: Grid, kind: str) -> None:
    default = object()  # it stays here: nothing of it could travel
    assert add(grid, kind, abs, grid.workers[1])
    for fetch in (get, pop):
        both = fetch(grid, kind, grid.workers[:2], mustExist=True)
        assert not both[0]
        assert "none is kept" in both[0].error
        assert "Traceback" not in both[0].error, "nothing is broken"
        assert both[1] is abs
        assert fetch(grid, kind, grid.workers[0], default=default, mustExist=False) is default
    assert pop(grid, kind, grid.workers[1], default=default) is default
    assert not get(grid, kind, grid.workers[1], default=default), "get wants it to exist"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", None, 5, ["kept"]])
def test_bad_names_are_refused_everywhere(grid: Grid, kind: str, name: Any) -> None:
    first = (False,) if kind == "udf" else ()
    added = getattr(grid.O, f"transfer_add_{kind}")(name, abs, *first, grid.workers[0])
    fetched = [getattr(grid.O, f"transfer_{verb}_{kind}")(name, grid.workers[0]) for verb in ("get", "pop")]
    for status in (added, *fetched):
        assert isinstance(status, Collections.SoftgridStatus)
        assert not status
        assert status.error.startswith("name: got")


def test_names_are_any_text(grid: Grid) -> None:
    for name in ("größe \n\0", "n" * 10_000, "class"):
        assert grid.O.transfer_add_data(name, 1, grid.workers[0])
        assert grid.O.transfer_pop_data(name, grid.workers[0]) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("receivers", [None, 5, "everybody", ["worker|x"], [None], {"workers"}])
def test_bad_receivers_are_one_failed_status(grid: Grid, kind: str, receivers: Any) -> None:
    for status in (add(grid, kind, abs, receivers), get(grid, kind, receivers), pop(grid, kind, receivers)):
        assert isinstance(status, Collections.SoftgridStatus)
        assert not status


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timeout", [0, -1, "10", True, float("nan")])
def test_bad_timeouts_are_refused_by_name(grid: Grid, kind: str, timeout: Any) -> None:
    for act in (lambda **more: add(grid, kind, abs, **more), lambda **more: get(grid, kind, **more)):
        status = act(receivers=grid.workers[0], timeout=timeout)
        assert not status
        assert status.error.startswith("timeout: got")


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_gives_an_empty_list(make_grid: MakeGrid, kind: str) -> None:
    grid = make_grid(workers=0)
    assert add(grid, kind, abs, "workers") == get(grid, kind, []) == pop(grid, kind, ["managers"]) == []


# -- waiting and not waiting -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_timeout_adding_and_popping_do_not_wait_and_keep_their_order(grid: Grid, kind: str) -> None:
    functions = [abs, len, min, max] * 5
    for function in functions:
        assert add(grid, kind, function, grid.workers, timeout=None) is None
    assert get(grid, kind, grid.workers) == [max] * 3
    assert pop(grid, kind, grid.workers[0], timeout=None) is None
    assert add(grid, kind, len, grid.workers[0], timeout=None, replace=False) is None
    assert get(grid, kind, grid.workers[0], timeout=None) is len


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_is_busy_still_keeps_things(make_grid: MakeGrid, tmp_path: Any, kind: str) -> None:
    grid = make_grid()
    os.mkfifo(tmp_path / "gate")
    template = grid.template(_read, str(tmp_path / "gate"), resultName="read")
    grid.O.transfer(template, grid.workers[0])
    try:
        assert add(grid, kind, abs, grid.workers[0], timeout=PATIENCE_S)
        assert get(grid, kind, grid.workers[0], timeout=PATIENCE_S) is abs
    finally:
        (tmp_path / "gate").write_text("on")
    wait_until(lambda: grid.O._executedReturned.get("read") == ["on"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_receiver_that_does_not_answer_in_time_is_told_in_its_place(make_grid: MakeGrid, kind: str) -> None:
    grid = make_grid(workers=2)
    assert succeeded(add(grid, kind, abs, "workers")) == [True, True]
    os.kill(pid_in(grid.workers[0]), signal.SIGSTOP)
    try:
        for act in (lambda **more: add(grid, kind, abs, **more), lambda **more: get(grid, kind, **more)):
            late, there = act(receivers=grid.workers, timeout=0.3)
            assert not late
            assert "no answer" in late.error
            assert late.name == grid.workers[0]
            assert there
    finally:
        os.kill(pid_in(grid.workers[0]), signal.SIGCONT)
    assert get(grid, kind, grid.workers[0], timeout=PATIENCE_S) is abs


@pytest.mark.parametrize("kind", KINDS)
def test_the_dead_are_told_at_once_and_in_their_place(make_grid: MakeGrid, kind: str) -> None:
    grid = make_grid(workers=0)
    grid.workers = grid.launch("Worker", count=2)
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    wait_until(lambda: grid.O.workers == [grid.workers[1]])
    for act in (lambda to: add(grid, kind, abs, to), lambda to: get(grid, kind, to), lambda to: pop(grid, kind, to)):
        dead, alive = act(grid.workers)
        assert not dead
        assert "SIGKILL" in dead.error
        assert dead.name == grid.workers[0]
        assert alive
        assert "SIGKILL" in act(grid.workers[0]).error
        assert add(grid, kind, abs, grid.workers[1])


def test_who_waits_is_woken_by_the_death_of_the_receiver(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0)
    (worker,) = grid.launch("Worker")
    os.kill(pid_in(worker), signal.SIGSTOP)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(grid.O.transfer_get_data("kept", worker, timeout=None)))
    thread.start()
    wait_until(lambda: grid.O.statistics()["calls_in_flight"] == 1)
    os.kill(pid_in(worker), signal.SIGKILL)
    thread.join(PATIENCE_S)
    assert "SIGKILL" in results[0].error


def test_after_the_grid_nobody_is_asked_and_what_is_kept_here_can_be_had(make_grid: MakeGrid) -> None:
    grid = make_grid()
    assert grid.O.add_data("kept", 1)
    grid.O.disconnect(kill=False)
    for kind in KINDS:
        for status in (add(grid, kind, abs, grid.workers[0]), get(grid, kind, grid.workers[0])):
            assert "has left the grid" in status.error
    assert grid.O.get_data("kept") == 1
    assert "has left the grid" in grid.O.add_file("f", "a", "text").error


# -- large data ------------------------------------------------------------------------------------


def test_large_data_is_serialised_and_written_once_for_all(grid: Grid) -> None:
    array = np.arange(1_000_000)
    for kind in ("data", "object"):
        before = grid.O.statistics()
        assert succeeded(add(grid, kind, array, "workers")) == [True] * 3
        after = grid.O.statistics()
        assert after["bytes_sent"] - before["bytes_sent"] < 10_000, "the array went through shared memory"
        for back in get(grid, kind, "workers"):
            assert (back == array).all()
            back += 1
        assert (get(grid, kind, grid.workers[0]) == array).all(), "what was fetched is a copy"


def test_an_object_is_serialised_once_for_all(grid: Grid) -> None:
    times: list[int] = []

    class Counted:
        def __reduce__(self) -> Any:
            times.append(1)
            return list, ((1, 2),)

    for kind in ("data", "object"):
        times.clear()
        assert succeeded(add(grid, kind, Counted(), "workers")) == [True] * 3
        assert len(times) == 1
        assert get(grid, kind, grid.workers[0]) == [1, 2]


def test_what_a_worker_does_to_its_data_is_seen_by_nobody_else(grid: Grid) -> None:
    assert succeeded(add(grid, "data", np.zeros(100_000), "workers"))
    grid.call(lambda executor: executor.get_data("kept").fill(1), to=grid.workers[0], first=True)
    assert [float(each.sum()) for each in get(grid, "data", grid.workers)] == [100_000, 0, 0]


def test_bounced_data_is_sent_to_each_manager_once(grid: Grid) -> None:
    receivers, bounce = grid.O.get_managers_to_workers_receivers_bounce_lists()
    for kind in ("object", "data"):
        assert succeeded(add(grid, kind, Thing(3), receivers, bounce=bounce)) == [True] * 3
        assert get(grid, kind, grid.workers) == [Thing(3)] * 3
        assert not get(grid, kind, grid.managers[0]), "who bounces keeps nothing"
        assert succeeded(add(grid, kind, Thing(4), grid.managers[0], bounce=[grid.workers[:2]])) == [True] * 2
        assert [each.size for each in get(grid, kind, grid.workers)] == [4, 4, 3]
        assert "bounce" in add(grid, kind, 1, receivers, bounce=[None]).error


# -- objects ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dumps", [None, "pickle", "cPickle", "dill"])
def test_objects_are_serialised_by_what_is_asked_for(grid: Grid, dumps: str | None) -> None:
    if dumps == "dill":
        pytest.importorskip("dill")
    assert add(grid, "object", Thing(5), grid.workers[0], dumps=dumps)
    serialized = grid.one(lambda executor: executor.get_object("kept", serialize=True), first=True)
    assert serialized["loads"] == ("dill" if dumps == "dill" else "pickle")
    assert get(grid, "object", grid.workers[0]) == Thing(5)
    assert grid.O.add_object("kept", serialized)
    assert grid.O.pop_object("kept") == Thing(5)


def test_an_object_that_the_serialiser_cannot_do_is_sent_to_nobody(grid: Grid) -> None:
    for dumps, value in (("pickle", lambda: 1), (None, Unwilling()), ("dill", Unwilling()), ("json", 1), (5, 1)):
        status = add(grid, "object", value, "workers", dumps=dumps)
        assert isinstance(status, Collections.SoftgridStatus)
        assert not status
    assert get(grid, "object", "workers", default=0, mustExist=False) == [0] * 3


def test_an_object_that_cannot_be_revived_is_told_by_each_receiver(grid: Grid) -> None:
    class Broken:
        def __reduce__(self) -> Any:
            return _unrevivable, ("no",)

    assert add(grid, "object", 1, grid.workers[0])
    statuses = add(grid, "object", Broken(), grid.workers[:2])
    for status in statuses:
        assert "pickle cannot revive the object here: ZeroDivisionError: no" in status.error
    assert get(grid, "object", grid.workers[0]) == 1
    data = add(grid, "data", Broken(), grid.workers[0])
    assert "cannot be read" in data.error
    grid.check_alive()


class Unwilling:
    """What cannot be serialised, and says so."""

    def __reduce__(self) -> Any:
        raise TypeError("not me")


def _unrevivable(reason: str) -> None:
    raise ZeroDivisionError(reason)


def test_an_object_that_can_be_kept_and_not_fetched_is_not_lost_by_popping(grid: Grid) -> None:
    def keep(executor: Any) -> bool:
        return bool(executor.add_data("kept", Unwilling()))

    assert grid.one(keep, first=True)
    for fetch in (get, pop, get):
        assert "not me" in fetch(grid, "data", grid.workers[0]).error
    assert grid.one(lambda executor: type(executor.get_data("kept")).__name__, first=True) == "Unwilling"
    assert pop(grid, "data", grid.workers[0], timeout=None) is None
    assert get(grid, "data", grid.workers[0], default="gone", mustExist=False) == "gone", "nobody wanted to have it"


def test_a_class_of_a_script_goes_along_whole_by_itself_and_by_dill_and_not_by_pickle(scripts: Scripts) -> None:
    pytest.importorskip("dill")
    said = scripts.run("""
        class Mine:
            def __init__(self, x): self.x = x
        O = Orchestrator(logKwargs={'logToStdout': False})
        (worker,) = launch(O, 'Worker')
        for dumps in (None, 'dill', 'pickle'):
            status = O.transfer_add_object('mine', Mine(5), worker, dumps=dumps)
            found = O.transfer_get_object('mine', worker) if status else status.error.splitlines()[-1]
            say(dumps, getattr(found, 'x', found))
    """)
    assert "None 5\ndill 5\npickle pickle cannot revive the object here: AttributeError" in said


def test_objects_are_fetched_and_popped_by_name_too(grid: Grid) -> None:
    assert grid.one("add_object", "kept", pickle.dumps([1])).successful
    assert grid.one("get_object", "kept") == [1]
    assert grid.one("pop_object", "kept") == [1]
    assert not grid.one("get_object", "kept")


# -- functions -------------------------------------------------------------------------------------


def test_a_stored_function_is_called_by_its_name_with_or_without_the_executor(grid: Grid) -> None:
    assert succeeded(grid.O.transfer_add_udf("kept", lambda *args: args, False, "workers")) == [True] * 3
    assert grid.call("kept", 1, 2, to="workers") == [(1, 2)] * 3
    assert grid.O.transfer_add_udf("kept", lambda executor, x: (executor.role, x), True, grid.workers[0])
    assert grid.one("kept", 1) == ("worker", 1)
    assert pop(grid, "udf", grid.workers[0]) is not None
    assert "no stored function" in grid.one("kept", 1).error


def test_source_text_is_stored_under_the_name_that_it_defines(grid: Grid) -> None:
    source = "def kept(x):\n    return helper(x) * 2\ndef helper(x):\n    return x + 1"
    assert add(grid, "udf", source, grid.workers[0])
    assert grid.one("kept", 4) == 10
    assert get(grid, "udf", grid.workers[0])(4) == 10
    assert add(grid, "udf", "lambda x: -x", grid.workers[0])
    assert grid.one("kept", 4) == -4


@pytest.mark.parametrize("source", ["def other(): pass", "def kept(:", "kept = 5", "1/0\ndef kept(): pass", ""])
def test_source_text_that_does_not_is_refused(grid: Grid, source: str) -> None:
    status = add(grid, "udf", source, grid.workers[0])
    assert not status
    assert "got" in status.error
    assert "no stored function" in grid.one("kept").error


@pytest.mark.parametrize("function", [5, None, [abs], {"object": b"", "loads": "pickle"}])
def test_what_is_no_function_is_sent_to_nobody(grid: Grid, function: Any) -> None:
    status = add(grid, "udf", function, "workers")
    assert isinstance(status, Collections.SoftgridStatus)
    assert status.error.startswith("func: got")


def test_whether_it_wants_the_executor_must_be_said(grid: Grid) -> None:
    status = grid.O.transfer_add_udf("kept", abs, "yes", grid.workers[0])
    assert status.error.startswith("firstArgExecutor: got 'yes'")


def test_a_function_is_stored_where_none_may_run_and_not_run_there(grid: Grid) -> None:
    assert add(grid, "udf", abs, grid.managers[0])
    assert "allow_executing_udf" in grid.one("kept", -1, to=grid.managers[0]).error


def test_a_stored_function_hides_no_method(grid: Grid) -> None:
    assert grid.O.transfer_add_udf("statistics", lambda: "mine", False, grid.workers[0])
    assert grid.one("statistics")["name"] == grid.workers[0]
    assert grid.O.transfer_pop_udf("statistics", grid.workers[0])() == "mine"


def test_a_stored_function_may_be_called_anything(grid: Grid) -> None:
    for name in ("my function", "größe-2", "def"):
        assert grid.O.transfer_add_udf(name, lambda x: x + 1, False, grid.workers[0])
        assert grid.one(name, 1) == 2
        assert grid.O.transfer_pop_udf(name, grid.workers[0])(1) == 2


# -- who may ask for what ---------------------------------------------------------------------------


def test_what_has_code_run_is_taken_by_name_only_where_functions_of_users_may_run(grid: Grid) -> None:
    calls = [
        ("add_object", ("kept", pickle.dumps(1))),
        ("add_udf", ("kept", "lambda: 1", False)),
        ("add_package", ({"name": "sgkept", "type": "module", "files": {"sgkept.py": b""}}, "", "", "memory")),
    ]
    for method, args in calls:
        refused, done = grid.call(method, *args, to=[grid.routers[0], grid.workers[0]])
        assert "allow_executing_udf" in refused.error
        assert done.successful


@pytest.mark.parametrize(
    ("method", "args"),
    [
        ("_keep_object", ("kept", pickle.dumps(1), True)),
        ("_keep_object", ("kept", {"object": pickle.dumps(1), "loads": "pickle"}, True)),
        ("_keep_udf", ("kept", "lambda: 1", False, True)),
        ("_keep_udf", ("kept", abs, False, True)),
        ("_keep_package", ({"name": "sgkept", "type": "module", "files": {"sgkept.py": b""}}, "memory", True)),
    ],
)
def test_the_way_of_executors_is_not_open_to_plain_types(grid: Grid, method: str, args: Any) -> None:
    for receiver in (grid.routers[0], grid.workers[0]):
        status = grid.one(method, *args, to=receiver)
        assert "what executors send each other" in status.error


# -- rules -----------------------------------------------------------------------------------------


def test_things_are_kept_where_the_rules_forbid_what_goes_beside_the_queue(make_grid: MakeGrid) -> None:
    grid = make_grid(rules={"execution_allow_none_priority": False, "execution_allow_negative_priority": False})
    for kind in KINDS:
        assert add(grid, kind, abs, grid.workers[0])
        assert pop(grid, kind, grid.workers[0]) is abs
