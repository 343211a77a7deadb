"""Whose memory is it? What was sent, kept, changed or dropped never changes what somebody else sees, and comes back."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.moving import EVERYBODY_RUNS, WAYS, Borrowed, a_chain, descriptors_of, pass_no_descriptors
from tests.system.watching import PATIENCE_S, pid_in, wait_until

from softgrid._io.segments import MAX_HELD, MAX_LEASED

pytestmark = pytest.mark.system

np = pytest.importorskip("numpy")

SMALL, LARGE, HUGE = 300, 100_000, 3_000_000
"""Doubles that travel in one frame, in a few (or in a segment), and in many."""
_numbers = count()


@pytest.fixture(scope="module", params=WAYS)
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    with a_chain(tmp_path_factory.mktemp(request.param), request.param) as grid:
        yield grid


@pytest.fixture(autouse=True)
def all_comes_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test that uses the chain leaves a segment leased or a descriptor open."""
    if "chain" not in request.fixturenames:
        yield
        return
    borrowed = Borrowed(request.getfixturevalue("chain"))
    yield
    gc.collect()
    borrowed.check_back()


class Gate:
    """Where a worker waits until it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        os.mkfifo(path)

    def open(self) -> None:
        """Let whoever waits at it go on."""
        with open(self.path, "w"):
            pass


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def result_of(grid: Grid, name: str) -> Any:
    """The result that comes back under a name."""
    results = wait_until(lambda: grid.O._executedReturned.get(name), what=f"the result {name} is here")
    assert len(results) == 1
    return results[0]


# -- the sender's memory ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE, HUGE])
def test_a_sender_may_change_its_array_right_after_the_call(chain: Grid, gate: Gate, size: int) -> None:
    def look_later(path: str, array: Any) -> float:
        open(path).close()
        return float(array.sum())

    numbers = np.arange(size, dtype=np.float64)
    name = f"later{next(_numbers)}"
    expected = float(numbers.sum())
    assert chain.O.transfer(chain.template(look_later, gate.path, numbers, resultName=name), chain.workers[0]) is None
    numbers[:] = -1
    gate.open()
    assert result_of(chain, name) == expected


@pytest.mark.parametrize("size", [SMALL, LARGE, HUGE])
def test_a_sender_may_drop_its_array_right_after_the_call(chain: Grid, gate: Gate, size: int) -> None:
    def look_later(path: str, array: Any) -> float:
        open(path).close()
        return float(array.sum())

    name = f"later{next(_numbers)}"
    call = chain.template(look_later, gate.path, np.full(size, 2.0), resultName=name)
    assert chain.O.transfer(call, chain.workers[0]) is None
    del call
    others = [np.full(size, 9.0) for _ in range(4)]  # takes the memory that was let go of
    gate.open()
    assert result_of(chain, name) == 2.0 * size
    assert len(others) == 4


@pytest.mark.parametrize("size", [SMALL, LARGE, HUGE])
def test_calls_that_wait_in_line_each_keep_what_they_were_given(chain: Grid, gate: Gate, size: int) -> None:
    """One array, changed between the calls, all of which are under way before the first is run (192 MB at most)."""
    numbers = np.zeros(size)
    name = f"later{next(_numbers)}"
    wait = chain.template(lambda path: open(path).close(), gate.path, returnResult=False)
    assert chain.O.transfer(wait, chain.workers[0]) is None
    for number in range(8):
        numbers[:] = number
        call = chain.template(lambda array: (float(array[0]), float(array[-1])), numbers, resultName=name)
        assert chain.O.transfer(call, chain.workers[0]) is None
    gate.open()
    results = chain.O._executedReturned.setdefault(name, [])
    wait_until(lambda: len(results) == 8)
    assert results == [(number, number) for number in range(8)]


@pytest.mark.parametrize("size", [SMALL, LARGE, HUGE])
def test_a_function_may_change_what_it_returned(chain: Grid, size: int) -> None:
    def make(executor: Any, size: int) -> Any:
        import numpy as np

        executor._test_kept = np.full(size, 3.0)
        return executor._test_kept

    def change(executor: Any) -> float:
        executor._test_kept[:] = 4.0
        return float(executor._test_kept.sum())

    given = chain.one(make, size, first=True)
    assert chain.one(change, first=True) == 4.0 * size
    assert (given == 3.0).all()
    chain.one(lambda executor: executor.__dict__.pop("_test_kept") is None, first=True)


# -- the receiver's memory -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE, HUGE])
def test_a_receiver_may_write_and_nobody_else_sees_it(chain: Grid, size: int) -> None:
    def write(array: Any) -> Any:
        assert array.flags.writeable
        array += os.getpid()
        return float(array[-1]), array

    numbers = np.arange(size, dtype=np.float64)
    for receivers in ([chain.workers[0]], chain.workers, [*chain.workers, *chain.managers, *chain.routers]):
        results = chain.call(write, numbers, to=receivers)
        for name, (last, given) in zip(receivers, results, strict=True):
            assert last == size - 1 + pid_in(name)
            assert np.array_equal(given, np.arange(size) + pid_in(name))
        assert np.array_equal(numbers, np.arange(size))


@pytest.mark.parametrize("size", [SMALL, LARGE, HUGE])
def test_results_are_writable_and_ones_own(chain: Grid, size: int) -> None:
    def keep(executor: Any, size: int) -> Any:
        import numpy as np

        return executor.__dict__.setdefault("_test_kept", np.zeros(size))

    one, other = chain.one(keep, size, first=True), chain.one(keep, size, first=True)
    one += 1
    third = chain.one(keep, size, first=True)
    other += 2
    assert [float(each.sum()) for each in (one, other, third)] == [size, 2 * size, 0]
    chain.one(lambda executor: executor.__dict__.pop("_test_kept") is None, first=True)


@pytest.mark.parametrize("size", [SMALL, LARGE, HUGE])
def test_what_one_sends_to_oneself_is_a_copy_too(chain: Grid, size: int) -> None:
    numbers = np.zeros(size)

    def write(array: Any) -> Any:
        array += 1
        return array

    (given,) = chain.call(write, numbers, to=chain.O.gridUniqueName)
    assert float(given.sum()) == size
    assert float(numbers.sum()) == 0
    given += 1
    assert float(numbers.sum()) == 0


def test_parts_of_a_received_value_live_on_without_the_rest(chain: Grid) -> None:
    def keep_a_part(executor: Any, given: Any) -> None:
        executor._test_part = given["b"][5:10]

    def look(executor: Any) -> Any:
        return executor.__dict__.pop("_test_part").tolist()

    values = {"a": np.zeros(LARGE), "b": np.arange(LARGE), "c": [np.ones(LARGE)]}
    chain.one(keep_a_part, values, first=True)
    for _ in range(3):  # what was let go of is used again
        chain.one(len, np.full(LARGE * 4, 7))
    assert chain.one(look, first=True) == [5, 6, 7, 8, 9]
    mine = chain.one(lambda: {"a": np.zeros(LARGE), "b": np.arange(LARGE)})["b"][-3:]
    chain.one(lambda: np.full(LARGE * 2, 7))
    assert mine.tolist() == [LARGE - 3, LARGE - 2, LARGE - 1]


# -- borrowed memory comes back --------------------------------------------------------------------


def leased(grid: Grid, name: str | None = None) -> int:
    count: int = grid.O.statistics(name)["segments_leased"]
    return count


def test_a_segment_is_leased_as_long_as_anybody_looks_at_it(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)
    borrowed = Borrowed(grid)

    def keep(executor: Any, array: Any) -> None:
        executor._test_kept = array

    numbers = np.arange(LARGE)
    assert grid.call(keep, numbers, to=grid.workers, first=True) == [None, None]
    assert leased(grid) == 1, "one payload for two receivers is written once"
    grid.one(keep, None, to=grid.workers[0], first=True)
    assert leased(grid) == 1
    grid.one(keep, None, to=grid.workers[1], first=True)
    wait_until(lambda: leased(grid) == 0)

    mine = grid.one(lambda: np.arange(LARGE))
    part = mine[:10]
    del mine
    assert leased(grid, grid.workers[0]) == 1
    assert part.sum() == 45
    del part
    wait_until(lambda: leased(grid, grid.workers[0]) == 0)
    borrowed.check_back()


def test_what_a_dead_receiver_held_comes_back(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)

    def keep(executor: Any, array: Any) -> None:
        executor._test_kept = array

    grid.call(keep, np.arange(LARGE), to=grid.workers, first=True)
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    wait_until(lambda: grid.workers[0] not in grid.O.workers)
    assert leased(grid) == 1, "the other still looks at it"
    os.kill(pid_in(grid.workers[1]), signal.SIGKILL)
    wait_until(lambda: leased(grid) == 0)


def test_what_a_dead_sender_gave_stays_good(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)
    given = grid.one(lambda: np.arange(HUGE))
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    wait_until(lambda: grid.workers[0] not in grid.O.workers)
    given += 1
    assert given.sum() == HUGE * (HUGE + 1) // 2


@pytest.mark.parametrize("who", ["the sender", "the receiver"])
def test_any_number_may_be_kept(make_grid: MakeGrid, who: str) -> None:
    """More than segments may be leased, and more than descriptors may be held."""
    grid = make_grid(managers=1, workers=1)
    borrowed = Borrowed(grid)
    kept_count = max(MAX_LEASED, MAX_HELD // 2) * 2

    def make(number: int) -> Any:
        return np.full(10_000, number)

    def keep(executor: Any, array: Any) -> int:
        executor.__dict__.setdefault("_test_kept", []).append(array)
        return len(executor._test_kept)

    def look(executor: Any) -> Any:
        kept = executor.__dict__.pop("_test_kept")
        return [int(each[-1]) for each in kept]

    if who == "the sender":
        kept = [grid.one(make, number) for number in range(kept_count)]
        assert [int(each[0]) for each in kept] == list(range(kept_count))
        assert descriptors_of(os.getpid()).get("pipe", 0) <= MAX_HELD
        kept.clear()
    else:
        for number in range(kept_count):
            assert grid.one(keep, make(number), first=True) == number + 1
        assert grid.one(look, first=True) == list(range(kept_count))
    borrowed.check_back()


def test_a_limit_of_segments_is_kept_and_the_rest_goes_another_way(make_grid: MakeGrid) -> None:
    """Whoever holds all that may be leased gets the rest through the socket, and the sum is bounded."""
    grid = make_grid(workers=1)
    borrowed = Borrowed(grid)
    held = [grid.one(lambda size: np.ones(size), LARGE) for _ in range(MAX_LEASED + 30)]
    assert all(each.sum() == LARGE for each in held)
    assert leased(grid, grid.workers[0]) <= MAX_LEASED
    del held
    borrowed.check_back()


def test_links_of_both_kinds_in_one_grid(make_grid: MakeGrid) -> None:
    """Some hops pass descriptors, some bytes: each payload arrives whole and is its receiver's own."""
    grid = make_grid(routers=1, managers=1, workers=2, rules=EVERYBODY_RUNS)
    borrowed = Borrowed(grid)

    def bytes_only_upwards(executor: Any) -> None:
        executor._node.switch.uplink.passes_descriptors = False

    def bytes_only_downwards(executor: Any, name: str) -> None:
        for link in executor._node.links():
            if link.peer == name:
                link.passes_descriptors = False

    assert grid.one(bytes_only_upwards, to=grid.managers[0], first=True) is None
    assert grid.one(bytes_only_downwards, grid.managers[0], to=grid.routers[0], first=True) is None

    def write(array: Any) -> Any:
        array += 1
        return array

    for size in (SMALL, LARGE, HUGE):
        numbers = np.zeros(size)
        for given in grid.call(write, numbers, to=grid.workers):
            assert float(given.sum()) == size
        assert float(numbers.sum()) == 0
    borrowed.check_back()


def test_a_grid_that_passes_no_descriptors_leases_nothing(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, managers=1, workers=1, rules=EVERYBODY_RUNS)
    pass_no_descriptors(grid)
    call = grid.template(lambda array: array * 2, np.ones(HUGE))
    (given,) = grid.O.transfer(call, grid.workers[0], collect=True, transferTimeout=PATIENCE_S)
    assert float(given.sum()) == 2 * HUGE
    assert [grid.O.statistics(name)["shared_messages"] for name in (None, grid.workers[0])] == [0, 0]
