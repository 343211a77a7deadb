"""To whom a transfer goes and how: receivers, bounces, propagation; and that results come back in receiver order."""
# ruff: noqa: E741  (O is what everybody calls the orchestrator)

from __future__ import annotations

import os
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import PATIENCE_S, pid_in, wait_until

from softgrid._model.errors import NoRoute, PeerLost
from softgrid._state.inflight import Batch, InFlight

pytestmark = pytest.mark.system


def pids(names: list[str]) -> list[int]:
    return [pid_in(name) for name in names]


@pytest.fixture(scope="module")
def open_grid(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A grid in which everybody runs functions of users, two branches, routers under routers."""
    from tests.system.grids import ANY_NUMBER, Traces

    from softgrid import Orchestrator

    traces = Traces(tmp_path_factory.mktemp("open"))
    before = {key: os.environ.get(key) for key in traces.environment()}
    os.environ.update(traces.environment())
    allowed = {f"{role}_allow_executing_udf": True for role in ("orchestrator", "router", "manager")}
    made = Grid(Orchestrator(rules={**ANY_NUMBER, **allowed}, allowExecutingUDF=True))
    try:
        made.routers = made.launch("Router", count=2)
        made.routers += made.launch("Router", made.routers[0])
        made.managers = made.launch("Manager", [made.routers[2], made.routers[1], made.O.gridUniqueName])
        made.workers = made.launch("Worker", [made.managers[0], made.managers[0], made.managers[1], made.managers[2]])
        made.workers += made.launch("Worker")
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)
    yield made
    made.O.disconnect(kill=False)
    traces.check_gone()


# -- receivers -------------------------------------------------------------------------------------


def test_keywords_mean_everybody_below_in_the_order_of_the_properties(open_grid: Grid) -> None:
    O = open_grid.O
    for keyword in ("routers", "managers", "workers"):
        assert open_grid.call(os.getpid, to=keyword) == pids(getattr(O, keyword))
        assert open_grid.call(os.getpid, to=[keyword]) == pids(getattr(O, keyword))
    assert (len(O.routers), len(O.managers), len(O.workers)) == (3, 3, 5)


def test_keywords_are_those_of_whoever_sends(open_grid: Grid) -> None:
    def ask(executor: Any, keyword: str) -> Any:
        return executor.transfer(executor.get_transfer_template(os.getpid, priority=None), keyword, collect=True)

    router = open_grid.routers[0]
    for keyword, expected in (
        ("upgrid", [open_grid.O.gridUniqueName]),
        ("routers", [open_grid.routers[2]]),
        ("managers", [open_grid.managers[0]]),
    ):
        assert open_grid.one(ask, keyword, to=router, first=True) == pids(expected)
    assert sorted(open_grid.one(ask, "workers", to=router, first=True)) == sorted(pids(open_grid.workers[:2]))
    assert open_grid.one(ask, "upgrid", to=open_grid.workers[0], first=True) == pids([open_grid.managers[0]])
    assert open_grid.one(ask, "workers", to=open_grid.workers[0], first=True) == []


def test_a_name_a_list_of_names_and_a_mix(open_grid: Grid) -> None:
    O, workers = open_grid.O, open_grid.workers
    assert open_grid.call(os.getpid, to=workers[1]) == pids([workers[1]])
    assert open_grid.call(os.getpid, to=workers[::-1]) == pids(workers[::-1])
    assert open_grid.call(os.getpid, to=tuple(workers)) == pids(workers)
    mixed = ["managers", workers[2], "routers", O.gridUniqueName, [open_grid.routers[1], open_grid.managers[1]]]
    expected = [*O.managers, workers[2], *O.routers, O.gridUniqueName, open_grid.managers[1]]
    assert open_grid.call(os.getpid, to=mixed) == pids(expected)


def test_the_same_receiver_twice_runs_twice(open_grid: Grid) -> None:
    name = open_grid.workers[0]
    assert open_grid.call(os.getpid, to=[name, name, name]) == pids([name] * 3)


def test_no_receivers_give_no_results(open_grid: Grid) -> None:
    assert open_grid.call(os.getpid, to=[]) == []
    assert open_grid.O.transfer([], [], collect=True) == []
    assert open_grid.O.transfer(open_grid.template(os.getpid), [], collect=False) is None


def test_a_trajectory_means_its_last(open_grid: Grid) -> None:
    O = open_grid.O
    whole = [O.gridUniqueName, open_grid.routers[0], open_grid.routers[2], open_grid.managers[0], open_grid.workers[0]]
    for way in (whole, whole[1:]):
        assert open_grid.call(os.getpid, to=[way]) == pids([open_grid.workers[0]])
    assert open_grid.call(os.getpid, to=[whole, whole[:2]]) == pids([open_grid.workers[0], open_grid.routers[0]])


def test_a_trajectory_up_and_down_from_a_worker(open_grid: Grid) -> None:
    def ask(executor: Any, way: list[str]) -> Any:
        return executor.transfer(executor.get_transfer_template(os.getpid), [way], collect=True, transferTimeout=10)

    O, routers, managers, workers = open_grid.O, open_grid.routers, open_grid.managers, open_grid.workers
    way = [managers[0], routers[2], routers[0], O.gridUniqueName, routers[1], managers[1], workers[2]]
    assert open_grid.one(ask, way, to=workers[0], first=True) == pids([workers[2]])


def test_a_trajectory_of_executors_that_are_not_connected_is_refused(open_grid: Grid) -> None:
    O = open_grid.O
    broken = [open_grid.routers[0], open_grid.managers[1], open_grid.workers[2]]
    status = O.transfer(open_grid.template(os.getpid), [broken], collect=True)
    assert not status
    assert "receivers" in status.error
    assert "not connected" in status.error


@pytest.mark.parametrize(
    "receivers", ["everybody", None, 5, ["worker"], [None], [[]], {"workers"}, "worker|x", [["workers"]]]
)
def test_receivers_that_cannot_be_meant_are_refused(open_grid: Grid, receivers: Any) -> None:
    for collect in (True, False):
        status = open_grid.O.transfer(open_grid.template(os.getpid), receivers, collect=collect)
        assert status is not None
        assert not status
        assert "receivers" in status.error
    assert open_grid.one(os.getpid) == pid_in(open_grid.workers[0])


def test_the_orchestrator_has_no_upgrid(open_grid: Grid) -> None:
    status = open_grid.O.transfer(open_grid.template(os.getpid), "upgrid", collect=True)
    assert "upgrid" in status.error


def test_an_unknown_receiver_fails_in_its_place_and_the_others_answer(open_grid: Grid) -> None:
    nobody = "worker|Nobody@10.0.0.1[4]:5000"
    name = open_grid.workers[0]
    for receivers in ([name, nobody, name], [nobody, name], [nobody]):
        results = open_grid.call(os.getpid, to=receivers)
        assert [bool(result) for result in results] == [receiver != nobody for receiver in receivers]
        failed = results[receivers.index(nobody)]
        assert "Nobody" in failed.error
        assert failed.name == nobody
        assert failed.data["function"] is os.getpid


def test_an_unknown_receiver_is_noticed_by_a_worker_too(open_grid: Grid) -> None:
    def ask(executor: Any) -> Any:
        template = executor.get_transfer_template(os.getpid)
        return executor.transfer(
            template, ["worker|Nobody@10.0.0.1[4]:5000", executor.gridPath[-2]], collect=True, transferTimeout=10
        )

    nobody, manager = open_grid.one(ask, first=True)
    assert manager == pid_in(open_grid.managers[0])
    assert not nobody
    assert "no answer" not in nobody.error, "it is known at once"


def test_results_come_in_receiver_order_whoever_is_first(open_grid: Grid) -> None:
    workers = open_grid.workers
    templates = [open_grid.template(lambda i: __import__("time").sleep(0.05 * (4 - i)) or i, i) for i in range(5)]
    assert open_grid.O.transfer(templates, workers, collect=True) == [0, 1, 2, 3, 4]


def test_a_list_of_transfer_kwargs_goes_one_to_each(open_grid: Grid) -> None:
    templates = [open_grid.template(pow, 2, n) for n in range(5)]
    assert open_grid.O.transfer(templates, "workers", collect=True) == [1, 2, 4, 8, 16]
    for wrong in (templates[:2], [*templates, templates[0]], [], ["x"] * 5, "abc", None, [None] * 5):
        status = open_grid.O.transfer(wrong, "workers", collect=True)
        assert not status
        assert status is not None
        assert "transferKwargs" in status.error


def test_one_bad_item_of_a_list_does_not_keep_the_others_from_their_work(open_grid: Grid) -> None:
    lock = __import__("threading").Lock()
    for bad in range(3):
        templates = [open_grid.template(lambda x: x, lock if i == bad else i) for i in range(3)]
        results = open_grid.O.transfer(templates, open_grid.workers[:3], collect=True, transferTimeout=PATIENCE_S)
        assert isinstance(results, list), results
        assert [i for i in range(3) if i != bad] == [result for result in results if isinstance(result, int)]
        assert "lock" in results[bad].error


# -- bounce ----------------------------------------------------------------------------------------


def test_managers_and_their_workers_as_receivers_and_bounce(open_grid: Grid) -> None:
    receivers, bounce = open_grid.O.get_managers_to_workers_receivers_bounce_lists()
    assert receivers == open_grid.O.managers
    below = {open_grid.managers[0]: open_grid.workers[:2], open_grid.managers[1]: [open_grid.workers[2]]}
    below[open_grid.managers[2]] = [open_grid.workers[3]]
    assert [sorted(names) for names in bounce] == [sorted(below[manager]) for manager in receivers]
    results = open_grid.O.transfer(open_grid.template(os.getpid), receivers, bounce=bounce, collect=True)
    assert results == pids([name for names in bounce for name in names])


def test_bounce_forms(open_grid: Grid) -> None:
    O, managers, workers = open_grid.O, open_grid.managers, open_grid.workers
    forms: list[tuple[Any, Any, list[str]]] = [
        (managers[0], None, [managers[0]]),
        (managers[0], [None], [managers[0]]),
        (managers[0], workers[0], [workers[0]]),
        (managers[0], [workers[0]], [workers[0]]),
        (managers[0], [[workers[1], workers[0]]], [workers[1], workers[0]]),
        (managers[:2], [None, [workers[2]]], [managers[0], workers[2]]),
        (managers[:2], [workers[0], None], [workers[0], managers[1]]),
        ([managers[0], workers[4]], [[workers[0], workers[1]], None], [workers[0], workers[1], workers[4]]),
        (managers[0], [[managers[0], workers[0]]], [managers[0], workers[0]]),
        (O.gridUniqueName, [[workers[0], workers[2]]], [workers[0], workers[2]]),
        (managers[0], [[]], []),
    ]
    for receivers, bounce, expected in forms:
        results = O.transfer(open_grid.template(os.getpid), receivers, bounce=bounce, collect=True, transferTimeout=10)
        assert results == pids(expected), (receivers, bounce)


def test_bounce_to_the_same_target_twice(open_grid: Grid) -> None:
    twice = [open_grid.workers[0]] * 2
    template = open_grid.template(os.getpid)
    results = open_grid.O.transfer(template, open_grid.managers[0], bounce=[twice], collect=True, transferTimeout=2)
    assert results == pids(twice)


def test_bounce_to_executors_elsewhere_on_the_grid(open_grid: Grid) -> None:
    O, managers, workers = open_grid.O, open_grid.managers, open_grid.workers
    for via, target in ((managers[0], workers[2]), (workers[0], workers[1]), (managers[0], O.gridUniqueName)):
        results = O.transfer(open_grid.template(os.getpid), via, bounce=[[target]], collect=True, transferTimeout=5)
        assert results == pids([target]), (via, target)


def test_bounce_in_the_template(open_grid: Grid) -> None:
    template = open_grid.template(os.getpid, bounce=[[open_grid.workers[0], open_grid.workers[1]]])
    assert open_grid.O.transfer(template, open_grid.managers[0], collect=True) == pids(open_grid.workers[:2])


def test_bounced_data_is_equal_and_writable(open_grid: Grid) -> None:
    np = pytest.importorskip("numpy")
    array = np.arange(2_000_000)

    def add(x: Any) -> Any:
        x += 1
        return x

    template = open_grid.template(add, array)
    results = open_grid.O.transfer(template, open_grid.managers[0], bounce=[open_grid.workers[:2]], collect=True)
    assert len(results) == 2
    for result in results:
        assert (result == array + 1).all()
        result += 1


@pytest.mark.parametrize("bounce", ["workers", 5, [1], [["nobody"]], [None, None], [], [[None]]])
def test_bad_bounces_are_refused_by_name(open_grid: Grid, bounce: Any) -> None:
    status = open_grid.O.transfer(open_grid.template(os.getpid), open_grid.managers[0], bounce=bounce, collect=True)
    assert not status
    assert status is not None
    assert "bounce" in status.error


def test_dead_bounce_targets_fail_in_their_place(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=2, workers=3)
    nobody = "worker|Nobody@10.0.0.1[4]:5000"
    os.kill(pid_in(grid.workers[1]), 9)
    wait_until(lambda: len(grid.O.workers) == 2)
    bounce = [[grid.workers[0], grid.workers[1], nobody, grid.workers[2]], [nobody]]
    results = grid.O.transfer(grid.template(os.getpid), grid.managers, bounce=bounce, collect=True, transferTimeout=15)
    flat = [name for names in bounce for name in names]
    assert len(results) == len(flat)
    for name, result in zip(flat, results, strict=True):
        if name in (grid.workers[0], grid.workers[2]):
            assert result == pid_in(name)
        else:
            assert not result
            assert result.name == name
            assert "no answer" not in result.error
            assert result.data["function"] is os.getpid
    assert "SIGKILL" in results[1].error


def test_a_death_told_twice_does_not_concern_the_other_bounce_targets() -> None:
    """As happens when a bounce target dies on the way: its loss is announced, and the relay refuses the call too."""
    inflight, batch = InFlight(), Batch(["first", "second"], [{}, {}])
    message_id = inflight.open_fan(batch, 77, {0: 1, 1: 2})
    inflight.lose({1}, lambda name, target, call: PeerLost(name))
    inflight.refuse(message_id, 1, lambda name: NoRoute(name))
    assert inflight.settle(message_id, 2, b"an answer")
    assert batch.outcomes[1] == b"an answer"


def test_a_dead_bouncer_fails_all_its_targets(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=2)
    beside = grid.launch("Worker", grid.managers[1])
    os.kill(pid_in(grid.managers[0]), 9)
    for _ in range(2):
        results = grid.O.transfer(
            grid.template(os.getpid),
            grid.managers,
            bounce=[grid.workers, beside],
            collect=True,
            transferTimeout=15,
        )
        assert [bool(result) for result in results] == [False, True]
        assert "no answer" not in results[0].error
        wait_until(lambda: len(grid.O.managers) == 1)


def test_a_target_that_dies_after_the_bounce_is_noticed(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)

    def die(victim: int) -> int:
        import os
        import signal

        if os.getpid() == victim:
            os.kill(victim, signal.SIGKILL)
        return os.getpid()

    template = grid.template(die, pid_in(grid.workers[0]))
    results = grid.O.transfer(template, grid.managers, bounce=[grid.workers], collect=True, transferTimeout=15)
    assert not results[0]
    assert "SIGKILL" in results[0].error
    assert results[1] == pid_in(grid.workers[1])


def test_a_bounced_function_that_is_new_or_known_to_the_targets(open_grid: Grid) -> None:
    def known(x: int) -> int:
        return x + 1

    assert open_grid.one(known, 1, to=open_grid.workers[0]) == 2
    for _ in range(3):
        template = open_grid.template(known, 2)
        assert open_grid.O.transfer(template, open_grid.managers[0], bounce=[open_grid.workers[:2]], collect=True) == [
            3,
            3,
        ]


# -- propagation -----------------------------------------------------------------------------------


def leave(mark: str) -> Any:
    """A function, new to every executor, that leaves a mark which can be asked for later."""

    def remember(executor: Any) -> str:
        executor.__dict__.setdefault("_marks", []).append(mark)
        return str(executor.gridUniqueName)

    return remember


def marked(grid: Grid, mark: str) -> dict[str, int]:
    """How often each executor was marked."""
    names = [grid.O.gridUniqueName, *grid.routers, *grid.managers, *grid.workers]
    counts = grid.call(lambda executor: executor.__dict__.get("_marks", []).count(mark), to=names, first=True)
    return {name: count for name, count in zip(names, counts, strict=True) if count}


def propagate(grid: Grid, receiver: str, mark: str, *flags: str, sender: str | None = None) -> None:
    function = leave(mark)

    def send(executor: Any) -> Any:
        template = executor.get_transfer_template(function, priority=None)
        template["first_argument_executor"] = True
        template.update({f"propagate_{flag}": True for flag in flags})
        return executor.transfer(template, receiver, collect=True, transferTimeout=10)

    answers = send(grid.O) if sender is None else grid.one(send, to=sender, first=True)
    assert answers == [receiver]


def test_without_flags_nobody_else_gets_it(open_grid: Grid) -> None:
    propagate(open_grid, open_grid.routers[0], "plain")
    assert marked(open_grid, "plain") == {open_grid.routers[0]: 1}


@pytest.mark.parametrize("which", ["routers", "managers", "workers"])
def test_propagation_reaches_those_of_the_role_below_the_receiver(open_grid: Grid, which: str) -> None:
    routers, managers, workers = open_grid.routers, open_grid.managers, open_grid.workers
    below = {"routers": [routers[2]], "managers": [managers[0]], "workers": workers[:2]}[which]
    propagate(open_grid, routers[0], f"down {which}", which)
    expected = dict.fromkeys([routers[0], *below], 1)
    wait_until(lambda: marked(open_grid, f"down {which}") == expected, what=f"marks are {expected}")


def test_propagation_to_the_upgrid(open_grid: Grid) -> None:
    propagate(open_grid, open_grid.managers[0], "up", "upgrid")
    expected = dict.fromkeys([open_grid.managers[0], open_grid.routers[2]], 1)
    wait_until(lambda: marked(open_grid, "up") == expected, what=f"marks are {expected}")


def test_recursive_propagation_upwards_reaches_the_orchestrator(open_grid: Grid) -> None:
    propagate(open_grid, open_grid.workers[0], "up all", "upgrid", "recursive")
    chain = [
        open_grid.workers[0],
        open_grid.managers[0],
        open_grid.routers[2],
        open_grid.routers[0],
        open_grid.O.gridUniqueName,
    ]
    expected = dict.fromkeys(chain, 1)
    wait_until(lambda: marked(open_grid, "up all") == expected, what=f"marks are {expected}")


@pytest.mark.parametrize("start", ["worker", "manager", "router", "orchestrator"])
def test_recursive_propagation_everywhere_reaches_everybody_once(open_grid: Grid, start: str) -> None:
    receiver = {
        "worker": open_grid.workers[0],
        "manager": open_grid.managers[0],
        "router": open_grid.routers[0],
        "orchestrator": open_grid.O.gridUniqueName,
    }[start]
    propagate(open_grid, receiver, f"all {start}", "upgrid", "routers", "managers", "workers", "recursive")
    everybody = [open_grid.O.gridUniqueName, *open_grid.routers, *open_grid.managers, *open_grid.workers]
    expected = dict.fromkeys(everybody, 1)
    wait_until(lambda: marked(open_grid, f"all {start}") == expected, timeout=8, what=f"marks are {expected}")


def test_propagation_of_a_function_that_the_receiver_knows_already(open_grid: Grid) -> None:
    def count(executor: Any) -> None:
        executor._counted = executor.__dict__.get("_counted", 0) + 1

    template = open_grid.template(count, first=True, priority=None)
    template["propagate_managers"] = True
    for _ in range(3):
        assert open_grid.O.transfer(template, open_grid.routers[1], collect=True) == [None]

    def counts() -> Any:
        return open_grid.call(
            lambda e: e.__dict__.get("_counted"), to=[open_grid.routers[1], open_grid.managers[1]], first=True
        )

    wait_until(lambda: counts() == [3, 3], timeout=4)


def test_propagation_of_large_data(open_grid: Grid) -> None:
    np = pytest.importorskip("numpy")
    array = np.ones(1_000_000)

    def keep(executor: Any, x: Any) -> None:
        executor._kept_sum = float(x.sum())

    template = open_grid.template(keep, array, first=True)
    template["propagate_workers"] = True
    open_grid.O.transfer(template, open_grid.routers[0], collect=True)

    def sums() -> Any:
        return open_grid.call(lambda e: e.__dict__.get("_kept_sum"), to=open_grid.workers[:2], first=True) == [1e6, 1e6]

    wait_until(sums)
