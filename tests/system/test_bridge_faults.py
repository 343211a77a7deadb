"""Bridges that are built, broken and destroyed while much goes over them: all arrives, once, in order; and deaths."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from tests.system.grids import ANY_NUMBER, Grid, MakeGrid, Traces
from tests.system.watching import PATIENCE_S, pid_in, wait_until

from softgrid import Orchestrator

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def two_branches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """Two managers with a worker each, four hops apart; everybody runs functions of users."""
    traces = Traces(tmp_path_factory.mktemp("branches"))
    before = {key: os.environ.get(key) for key in traces.environment()}
    os.environ.update(traces.environment())
    made = Grid(Orchestrator(rules={**ANY_NUMBER, "manager_allow_executing_udf": True}, allowExecutingUDF=True))
    try:
        made.managers = made.launch("Manager", count=2)
        made.workers = [made.launch("Worker", manager)[0] for manager in made.managers]
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)
    yield made
    made.O.disconnect(kill=False)
    traces.check_gone()


# -- streams of calls -----------------------------------------------------------------------------


def stream(
    executor: Any, other: str, mark: str, sizes: list[int], permissions: list[bool], breaks: dict[int, str]
) -> None:
    """Send numbered calls without waiting, of some sizes in turn, and break the bridge before some of them."""
    import contextlib
    import os
    import socket

    def note(executor: Any, mark: str, number: int, load: Any) -> int:
        executor.__dict__.setdefault("noted", {}).setdefault(mark, []).append((number, len(load)))
        return number

    for number in range(len(permissions)):
        call = executor.get_transfer_template(note, (mark, number, bytearray(sizes[number % len(sizes)])))
        call["first_argument_executor"] = True
        call["result_handling"]["result_name"] = mark
        for link in executor._node.bridges.links() if number in breaks else []:
            sock = getattr(link._sock, "sock", link._sock)
            with contextlib.suppress(OSError):  # the other end has broken it already
                if breaks[number] == "close":  # as if closed, but so that nothing else takes its number
                    os.dup2(os.open(os.devnull, os.O_RDWR), link._fd)
                elif breaks[number] == "garbage":
                    sock.send(b"\xff" * 64)
                else:
                    sock.shutdown(socket.SHUT_RDWR)
        executor.transfer(call, other, permissions[number])


def noted(executor: Any, mark: str) -> list[tuple[int, int]]:
    return executor.__dict__.get("noted", {}).pop(mark, [])


def answered(executor: Any, mark: str) -> list[int]:
    return sorted(executor._executedReturned.get(mark, []))


STREAMS = count(1)


class Streams:
    """Streams of calls that workers of a grid send each other."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.sent: list[tuple[str, str, str, list[int], int]] = []

    def start(
        self, by: str, to: str, number: int, sizes: Any = (10,), allowed: Any = (True,), breaks: Any = None
    ) -> None:
        mark = f"stream {next(STREAMS)}"
        self.sent.append((by, to, mark, list(sizes), number))
        permissions = [allowed[place % len(allowed)] for place in range(number)]
        call = self.grid.template(stream, to, mark, list(sizes), permissions, breaks or {}, first=True)
        self.grid.O.transfer(call, by)

    def check(self) -> None:
        """All that was sent has run once, in order, and been answered."""
        for by, to, mark, sizes, number in self.sent:
            expected = list(range(number))
            wait_until(lambda by=by, mark=mark: len(self.ask(answered, mark, by)) >= number, what="all are answered")  # noqa: B023
            assert self.ask(answered, mark, by) == expected
            came = self.ask(noted, mark, to)
            assert came == [(number, sizes[number % len(sizes)]) for number in expected]

    def ask(self, function: Any, mark: str, name: str) -> Any:
        return self.grid.one(function, mark, to=name, first=True)


def nothing_is_left(grid: Grid) -> None:
    wait_until(lambda: not any(grid.O.get_executors_bridges()[1].values()), what="no bridge is left")

    def bridges(executor: Any) -> int:
        return len(executor._node.bridges.table)

    wait_until(lambda: grid.call(bridges, to=grid.workers, first=True) == [0] * len(grid.workers), what="nor its end")


SIZES = [[10], [10, 100_000], [70_000, 10, 10, 400_000, 10]]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("how", ["shutdown", "close", "garbage"])
def test_a_bridge_that_breaks_amid_calls_loses_none_and_repeats_none(two_branches: Grid, how: str, sizes: Any) -> None:
    first, second = two_branches.workers
    assert two_branches.O.build_bridge(second, first)
    streams = Streams(two_branches)
    streams.start(first, second, 300, sizes, breaks={150: how})
    streams.start(second, first, 300, sizes)
    streams.check()
    nothing_is_left(two_branches)


@pytest.mark.parametrize("how", ["shutdown", "close"])
def test_a_bridge_that_breaks_at_both_ends_at_once_loses_nothing(two_branches: Grid, how: str) -> None:
    first, second = two_branches.workers
    for _ in range(5):
        assert two_branches.O.build_bridge(second, first)
        streams = Streams(two_branches)
        streams.start(first, second, 60, SIZES[1], breaks={30: how})
        streams.start(second, first, 60, SIZES[1], breaks={30: how})
        streams.check()
        nothing_is_left(two_branches)


def test_a_bridge_that_broke_is_told_of_in_the_log_and_can_be_built_again(two_branches: Grid, capfd: Any) -> None:
    first, second = two_branches.workers
    for _ in range(2):
        assert two_branches.O.build_bridge(second, first)
        streams = Streams(two_branches)
        streams.start(first, second, 2, breaks={1: "shutdown"})
        streams.check()
        nothing_is_left(two_branches)
    said = ""

    def told() -> bool:
        nonlocal said
        said += capfd.readouterr().out
        return said.count(f"the bridge to {second} broke") + said.count(f"the bridge to {first} broke") >= 2

    wait_until(told, what="both are in the log")


def test_order_is_kept_while_calls_take_the_bridge_and_the_tree_by_turns(two_branches: Grid) -> None:
    first, second = two_branches.workers
    status = two_branches.O.build_bridge(second, first)
    streams = Streams(two_branches)
    streams.start(first, second, 200, SIZES[2], allowed=[True, True, False, True, False, False])
    streams.start(second, first, 200, allowed=[False, True])
    streams.check()
    assert two_branches.one("destroy_bridge", second, status.data["bridgePassword"], to=first)


def test_order_is_kept_while_bridges_are_built_and_destroyed_under_a_stream(two_branches: Grid) -> None:
    first, second = two_branches.workers
    streams = Streams(two_branches)
    streams.start(first, second, 1500, SIZES[1])
    streams.start(second, first, 1500)
    cycles = 0
    while cycles < 5 or is_streaming(two_branches, streams):
        status = two_branches.O.build_bridge(second, first)
        assert status, status
        by, other = ((first, second), (second, first))[cycles % 2]
        assert two_branches.one("destroy_bridge", other, status.data["bridgePassword"], to=by, priority=None)
        cycles += 1
    streams.check()
    nothing_is_left(two_branches)


def is_streaming(grid: Grid, streams: Streams) -> bool:
    """Whether the first stream has not been answered yet, asked beside the queue."""
    by, _, mark, _, number = streams.sent[0]
    return len(grid.one(answered, mark, to=by, first=True, priority=None)) < number


def test_a_batch_over_a_bridge_that_breaks_is_collected_whole(two_branches: Grid) -> None:
    grid, first = two_branches, two_branches.workers[0]

    def number(executor: Any, n: int) -> int:
        if n == 400:
            for link in executor._node.bridges.links():
                link._sock.shutdown(2)
        return n

    assert grid.O.build_bridge(first)
    calls = [grid.template(number, n, first=True) for n in range(2000)]
    assert grid.O.transfer(calls, [first] * 2000, collect=True, transferTimeout=PATIENCE_S) == list(range(2000))
    nothing_is_left(grid)


# -- across machines ------------------------------------------------------------------------------


def let_up(executor: Any, passes: bool) -> None:
    executor._node.switch.uplink.passes_descriptors = passes


@pytest.fixture
def no_descriptors(two_branches: Grid) -> Iterator[str]:
    """The first worker, cut off from descriptors as if its manager were on another machine; restored afterwards."""
    (first, _), (manager, _) = two_branches.workers, two_branches.managers

    def let_down(executor: Any, passes: bool) -> None:
        [member] = executor._node.tree.direct()
        member.hop.passes_descriptors = passes

    for passes in (False, True):
        two_branches.one(let_up, passes, to=first, first=True)
        two_branches.one(let_down, passes, to=manager, first=True)
        if not passes:
            yield first


@pytest.fixture
def no_descriptors_in_between(two_branches: Grid) -> Iterator[str]:
    """The first worker, which passes descriptors, on a way on which others do not."""
    for passes in (False, True):
        two_branches.call(let_up, passes, to=two_branches.managers, first=True)
        for member in two_branches.O._node.tree.direct():
            member.hop.passes_descriptors = passes
        if not passes:
            yield two_branches.workers[0]


@pytest.mark.parametrize("cut_off", ["no_descriptors", "no_descriptors_in_between"])
def test_where_no_descriptor_passes_a_bridge_is_a_connection(two_branches: Grid, cut_off: str, request: Any) -> None:
    first, second = request.getfixturevalue(cut_off), two_branches.workers[1]

    def kinds(executor: Any) -> list[str]:
        return [type(link).__name__ for link in executor._node.bridges.links()]

    status = two_branches.O.build_bridge(second, first)
    assert status, status
    for name in (first, second):
        assert two_branches.one(kinds, to=name, first=True) == ["TlsLink"]
    streams = Streams(two_branches)
    streams.start(first, second, 100, [10, 100_000, 1_000_000])
    streams.start(second, first, 100, [10, 100_000, 1_000_000])
    streams.check()
    assert two_branches.one("destroy_bridge", second, status.data["bridgePassword"], to=first)
    nothing_is_left(two_branches)


@pytest.mark.parametrize("how", ["shutdown", "close"])
def test_a_connection_that_breaks_loses_nothing(two_branches: Grid, no_descriptors: str, how: str) -> None:
    first, second = no_descriptors, two_branches.workers[1]
    assert two_branches.O.build_bridge(second, first)
    streams = Streams(two_branches)
    streams.start(first, second, 100, [10, 100_000, 1_000_000], breaks={50: how})
    streams.start(second, first, 100, [10, 100_000, 1_000_000])
    streams.check()
    nothing_is_left(two_branches)


def test_a_bridge_to_a_machine_that_lets_nobody_in_fails_and_the_tree_is_used(
    two_branches: Grid, no_descriptors: str
) -> None:
    first, second = no_descriptors, two_branches.workers[1]

    def let_in(executor: Any, host: str) -> None:
        executor._node.bridge_building._bind_host = host

    two_branches.one(let_in, "127.0.0.77", to=second, first=True)
    try:
        status = two_branches.O.build_bridge(second, first)
        assert not status
        assert "address to listen on" in status.error
        two_branches.one(let_in, "203.0.113.7", to=second, first=True)
        status = two_branches.O.build_bridge(second, first)
        assert not status
        assert "203.0.113.7" in status.error
    finally:
        two_branches.one(let_in, "127.0.0.1", to=second, first=True)
    streams = Streams(two_branches)
    streams.start(first, second, 10)
    streams.check()


# -- deaths ---------------------------------------------------------------------------------------


def call_and_die(executor: Any, other: str) -> Any:
    """Make a call that its receiver does not survive, and one more."""
    import os
    import signal

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    [status] = executor.transfer(executor.get_transfer_template(die), other, collect=True)
    [again] = executor.transfer(executor.get_transfer_template(die), other, collect=True)
    return status.error, again.error


def test_a_call_over_a_bridge_to_one_that_dies_is_told_of_it(make_grid: MakeGrid) -> None:
    made = make_grid(managers=0, workers=0)
    managers = made.launch("Manager", count=2)
    first, second = (made.launch("Worker", manager)[0] for manager in managers)
    third = made.launch("Worker", managers[1])[0]
    assert made.O.build_bridge(second, first)
    error, again = made.one(call_and_die, second, to=first, first=True)
    assert "SIGKILL" in error or "signal 9" in error, error
    assert "may have run" in error
    assert second in again
    errors, bridges = made.O.get_executors_bridges()
    assert not errors
    assert not any(bridges.values())
    status = made.O.build_bridge(second, first)
    assert "gone" in status.error
    assert made.O.build_bridge(third, first)
    assert made.one(call_and_die, third, to=first, first=True)[0]


def test_whoever_stands_at_a_bridge_to_a_branch_that_is_gone_is_told_of_it(make_grid: MakeGrid) -> None:
    made = make_grid(managers=0, workers=0)
    managers = made.launch("Manager", count=2)
    first, second = (made.launch("Worker", manager)[0] for manager in managers)

    def call(executor: Any, other: str) -> Any:
        def sleep(executor: Any) -> None:
            import time

            executor.sleeps = True
            time.sleep(60)

        kwargs = executor.get_transfer_template(sleep)
        kwargs["first_argument_executor"] = True
        [status] = executor.transfer(kwargs, other, collect=True)
        return status.error

    assert made.O.build_bridge(second, first)
    waiting = made.template(call, second, first=True)
    waiting["result_handling"]["result_name"] = "told"
    made.O.transfer(waiting, first)
    sleeps = "lambda executor: getattr(executor, 'sleeps', False)"
    wait_until(lambda: made.one(sleeps, to=second, first=True, priority=None), what="the call runs")
    os.kill(pid_in(managers[1]), signal.SIGKILL)
    told = wait_until(lambda: made.O._executedReturned.get("told"), 5, what="the caller is told")
    assert "gone" in told[0]
    assert "may have run" in told[0]
    assert made.one(os.getpid, to=first) == pid_in(first)


@pytest.mark.parametrize("dies", ["end", "both ends"])
def test_who_comes_back_has_its_bridges_again_with_their_passwords(make_grid: MakeGrid, dies: str) -> None:
    made = make_grid(managers=0, workers=0)
    back: dict[str, Any] = {"executorKwargs": {"relaunch": True}}
    manager = made.launch("Manager", **back)[0]
    first, second = made.launch("Worker", manager, 2, **back)
    passwords = [made.O.build_bridge(*ends).data["bridgePassword"] for ends in ((second, first), (second,))]
    os.kill(pid_in(second if dies == "end" else manager), signal.SIGKILL)

    def heirs() -> list[str]:
        return [name for name in made.O.workers if name not in (first, second)]

    wait_until(lambda: len(heirs()) == (1 if dies == "end" else 2), what="they are back")

    def bridges() -> set[tuple[str, str]]:
        return {pair for pairs in made.O.get_executors_bridges(made.O.workers)[1].values() for pair in pairs}

    pairs = wait_until(lambda: len(found := bridges()) == 2 and found, what="the bridges are there again")
    begins, ends = next(pair for pair in pairs if pair[0] != made.O.gridUniqueName)
    assert (made.O.gridUniqueName, ends) in pairs
    assert {begins, ends} <= {first, *heirs()}
    streams = Streams(made)
    streams.start(begins, ends, 20)
    streams.check()
    assert made.O.destroy_bridge(ends, passwords[1])
    assert made.one("destroy_bridge", ends, passwords[0], to=begins)


def test_an_end_that_leaves_takes_its_bridge_with_it(make_grid: MakeGrid) -> None:
    made = make_grid(managers=0, workers=0)
    managers = made.launch("Manager", count=2)
    first, second = (made.launch("Worker", manager)[0] for manager in managers)
    assert made.O.build_bridge(second, first)
    assert made.O.build_bridge(second)

    def leave(executor: Any) -> None:
        executor.disconnect(kill=True)

    made.O.transfer(made.template(leave, first=True, returnResult=False), second)
    wait_until(lambda: second not in made.O.workers, what="it has left")
    nothing = ([], {name: [] for name in (*made.O.managers, first)})
    wait_until(lambda: made.O.get_executors_bridges() == nothing, what="no bridge is left")
    assert made.O._node.bridges.table == {}


def test_a_fork_of_user_code_at_an_end_of_a_bridge_leaves_it_alone(two_branches: Grid) -> None:
    first, second = two_branches.workers

    def fork(executor: Any, other: str) -> Any:
        import os

        if not (child := os.fork()):
            os._exit(0)
        os.waitpid(child, 0)
        return executor.transfer(executor.get_transfer_template(os.getpid), other, collect=True)

    status = two_branches.O.build_bridge(second, first)
    assert two_branches.one(fork, second, to=first, first=True) == [pid_in(second)]
    assert two_branches.one("destroy_bridge", second, status.data["bridgePassword"], to=first)
