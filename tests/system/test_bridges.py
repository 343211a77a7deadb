"""Bridges: what takes them, what does not, who may destroy them, and every documented failure."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.guests import PASSWORD, a_guest, await_guest
from tests.system.watching import PATIENCE_S, pid_in, stop, wait_until

pytestmark = pytest.mark.system

NOBODY = "worker|Nobody@10.0.0.1[4]:5000"


@contextmanager
def a_bridge(grid: Grid, to: str, begins: str) -> Iterator[str]:
    """A bridge that is gone afterwards, by its password."""
    status = grid.O.build_bridge(to, begins)
    assert status, status
    password = status.data["bridgePassword"]
    try:
        yield password
    finally:
        assert destroyed(grid, to, password, by=begins)


def destroyed(grid: Grid, to: str, password: str, by: str) -> Any:
    """The status of destroying a bridge at the end *by*."""
    if by == grid.O.gridUniqueName:
        return grid.O.destroy_bridge(to, password)
    return grid.one("destroy_bridge", to, password, to=by, priority=None)


def send(grid: Grid, by: str, to: str, function: Any, *args: Any, **transfer: Any) -> Any:
    """Have *by* call a function at *to* and give what comes of it."""

    def call(executor: Any, to: str, function: Any, args: Any, template: Any, transfer: Any) -> Any:
        kwargs = executor.get_transfer_template(function, args)
        kwargs.update(template)
        return executor.transfer(kwargs, to, collect=True, **transfer)

    template = transfer.pop("template", {})
    result = grid.one(
        call, to, function, args, template, {"transferTimeout": PATIENCE_S, **transfer}, to=by, first=True
    )
    assert isinstance(result, list), result
    return result[0] if len(result) == 1 else result


def crossings(grid: Grid, by: str) -> tuple[int, int]:
    """How many frames have gone and come over the bridges of *by*."""

    def count(executor: Any) -> tuple[int, int]:
        links = executor._node.bridges.links()
        return sum(link.frames_sent for link in links), sum(link.frames_received for link in links)

    return grid.one(count, to=by, first=True, priority=None)


# -- using one ------------------------------------------------------------------------------------


def test_a_built_bridge_says_where_it_leads_and_how_to_destroy_it(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    status = grid.O.build_bridge(to, begins)
    assert status
    assert (status.name, status.data["bridgeFromGUN"], status.data["bridgeToGUN"]) == (to, begins, to)
    password = status.data["bridgePassword"]
    assert len(password) >= 32
    assert password not in repr(status) + str(status)
    assert destroyed(grid, to, password, by=begins)


def test_calls_and_results_between_its_ends_go_over_it_both_ways(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    with a_bridge(grid, to, begins):
        for by, other in ((begins, to), (to, begins)):
            sent, received = crossings(grid, by)
            assert send(grid, by, other, os.getpid) == pid_in(other)
            sent_after, received_after = crossings(grid, by)
            assert (sent_after - sent, received_after - received) == (1, 1)


def test_everybody_else_takes_the_tree(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    with a_bridge(grid, to, begins):
        before = crossings(grid, begins)
        assert grid.one(os.getpid, to=to) == pid_in(to)
        assert send(grid, grid.workers[1], to, os.getpid) == pid_in(to)
        assert send(grid, begins, grid.workers[1], os.getpid) == pid_in(grid.workers[1])
        assert crossings(grid, begins) == before


@pytest.mark.parametrize(
    ("transfer", "is_used"),
    [
        ({}, True),
        ({"allowBridging": False}, False),
        ({"allowBridging": [False]}, False),
        ({"allowBridging": None}, True),
        ({"allowBridging": [None], "template": {"allow_bridging": False}}, False),
        ({"allowBridging": None, "template": {"allow_bridging": False}}, False),
        ({"allowBridging": True, "template": {"allow_bridging": False}}, True),
        ({"allowBridging": None, "transferTimeout": None}, True),
        ({"allowBridging": None, "transferTimeout": None, "template": {"allow_bridging": False}}, False),
        ({"allowBridging": False, "transferTimeout": None}, False),
    ],
)
def test_whoever_transfers_says_whether_a_bridge_may_be_used(grid: Grid, transfer: Any, is_used: bool) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    with a_bridge(grid, to, begins):
        send(grid, begins, to, os.getpid)
        calls_at = received_calls(grid, to)
        assert send(grid, begins, to, os.getpid, **transfer) == pid_in(to)
        assert received_calls(grid, to) - calls_at == is_used


def received_calls(grid: Grid, name: str) -> int:
    """How many messages have been counted at the end of the only bridge of *name*."""

    def count(executor: Any) -> int:
        [bridge] = executor._node.bridges.table.values()
        return bridge._ways.received

    return grid.one(count, to=name, first=True, priority=None)


def test_each_receiver_of_a_list_has_its_own_permission(grid: Grid) -> None:
    begins, to, near = grid.workers[0], grid.workers[2], grid.workers[1]
    with a_bridge(grid, to, begins):
        before = received_calls(grid, to)
        pids = send(grid, begins, [to, near, to, to], os.getpid, allowBridging=[True, True, False, True])
        assert pids == [pid_in(name) for name in (to, near, to, to)]
        assert received_calls(grid, to) - before == 2


@pytest.mark.parametrize(
    ("given", "template", "named"),
    [
        ("yes", {}, "allowBridging"),
        (1, {}, "allowBridging"),
        ([True, True], {}, "allowBridging"),
        ([], {}, "allowBridging"),
        (["yes"], {}, "allowBridging"),
        (None, {"allow_bridging": "yes"}, "allow_bridging"),
        (None, {"allow_bridging": None}, "allow_bridging"),
    ],
)
@pytest.mark.parametrize("timeout", [None, PATIENCE_S])
def test_a_permission_that_cannot_be_meant_is_refused(grid: Grid, given, template, named, timeout) -> None:
    kwargs = {**grid.template(os.getpid), **template}
    status = grid.O.transfer(kwargs, grid.workers[0], given, collect=True, transferTimeout=timeout)
    assert not status
    assert named in status.error


def test_large_arguments_and_results_go_over_a_bridge(grid: Grid) -> None:
    np = pytest.importorskip("numpy")
    begins, to = grid.workers[0], grid.workers[2]

    def call(executor: Any, other: str) -> Any:
        array = np.arange(3_000_000)
        [back] = executor.transfer(executor.get_transfer_template(lambda a: a * 2, (array,)), other, collect=True)
        return bool((back == array * 2).all()), back.flags.writeable

    with a_bridge(grid, to, begins):
        before = received_calls(grid, to)
        assert grid.one(call, to, to=begins, first=True) == (True, True)
        assert received_calls(grid, to) == before + 1


def test_an_exception_comes_back_over_a_bridge_as_itself(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    with a_bridge(grid, to, begins):
        status = send(grid, begins, to, lambda: 1 / 0)
        assert "ZeroDivisionError" in status.error
        assert isinstance(status.exception, ZeroDivisionError)


def test_a_call_that_is_bounced_takes_the_tree_and_one_to_the_other_end_does_not(grid: Grid) -> None:
    begins, (manager, to) = grid.workers[0], (grid.managers[1], grid.workers[2])
    with a_bridge(grid, to, begins):
        before = received_calls(grid, to)
        assert send(grid, begins, manager, os.getpid, bounce=[[to]]) == pid_in(to)
        assert received_calls(grid, to) == before + 1
    with a_bridge(grid, manager, begins):
        before = crossings(grid, begins)
        assert send(grid, begins, manager, os.getpid, bounce=[[to]]) == pid_in(to)
        assert crossings(grid, begins) == before


@pytest.mark.parametrize("place", ["router", "manager", "worker", "upgrid"])
def test_a_bridge_may_end_at_any_two_executors(grid: Grid, place: str) -> None:
    begins = grid.workers[0]
    to = {
        "router": grid.routers[0],
        "manager": grid.managers[1],
        "worker": grid.workers[1],
        "upgrid": grid.managers[0],
    }[place]
    with a_bridge(grid, to, begins):
        sent, received = crossings(grid, begins)
        info = send(grid, begins, to, "split_grid_unique_name", to)
        assert info[3] == pid_in(to)
        assert crossings(grid, begins) == (sent + 1, received + 1)


def test_the_orchestrator_builds_and_uses_bridges_of_its_own(grid: Grid) -> None:
    to = grid.workers[2]
    status = grid.O.build_bridge(to)
    assert status.data["bridgeFromGUN"] == grid.O.gridUniqueName
    [bridge] = grid.O._node.bridges.table.values()
    before = bridge.link.frames_sent
    assert grid.one(os.getpid, to=to) == pid_in(to)
    assert grid.O.transfer(grid.template(os.getpid), [to] * 50, collect=True) == [pid_in(to)] * 50
    assert bridge.link.frames_sent >= before + 51
    assert send(grid, to, grid.O.gridUniqueName, "get_machine_info", grid.O.address)
    assert grid.O.destroy_bridge(to, status.data["bridgePassword"])
    assert grid.one(os.getpid, to=to) == pid_in(to)


@pytest.mark.parametrize("begins_there", [True, False])
def test_one_who_joined_by_hand_has_bridges_and_is_trusted_no_more_over_them(
    make_grid: MakeGrid, scripts: Scripts, begins_there: bool
) -> None:
    made = make_grid(workers=1, password=PASSWORD, logKwargs={"logToStdout": False})
    a_guest(scripts, made)
    [worker], guest = made.workers, await_guest(made, count=2)
    assert made.O.build_bridge(*((worker, guest) if begins_there else (guest, worker)))
    assert made.O.build_bridge(guest)
    for by, other in ((worker, guest), (guest, worker), (made.O.gridUniqueName, guest)):
        before = crossings(made, guest)
        if by == made.O.gridUniqueName:
            assert made.one(os.getpid, to=guest) == pid_in(guest)
        else:
            assert send(made, by, other, os.getpid) == pid_in(other)
        after = crossings(made, guest)
        assert min(after[0] - before[0], after[1] - before[1]) >= 1
    own = "def own():\n    class Own:\n        pass\n    return Own()\n"
    assert "plain types" in made.one(own, to=guest).error
    assert "plain types" in send(made, worker, guest, own).error


# -- which there are ------------------------------------------------------------------------------


def test_bridges_are_listed_once_or_at_both_ends(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    everybody = grid.O.routers + grid.O.managers + grid.O.workers
    begins, to = sorted((begins, to), key=everybody.index)
    assert grid.O.get_executors_bridges() == ([], {name: [] for name in everybody})
    with a_bridge(grid, to, begins):
        pair = (begins, to)
        once = {**{name: [] for name in everybody}, begins: [pair]}
        assert grid.O.get_executors_bridges() == ([], once)
        assert grid.O.get_executors_bridges(keepDuplicates=True) == ([], {**once, to: [pair]})
        assert grid.O.get_executors_bridges("workers", None) == ([], {w: once[w] for w in grid.workers})
        assert grid.O.get_executors_bridges([to, to]) == ([], {to: [pair]})
        assert grid.O.get_executors_bridges(grid.O.gridUniqueName) == ([], {grid.O.gridUniqueName: []})
    assert grid.O.get_executors_bridges() == ([], {name: [] for name in everybody})


def test_who_gives_no_answer_is_among_the_errors_and_the_others_answer(grid: Grid) -> None:
    stopped = grid.workers[1]
    stop(pid_in(stopped))
    try:
        errors, bridges = grid.O.get_executors_bridges([grid.workers[0], stopped, NOBODY], timeout=0.5)
    finally:
        os.kill(pid_in(stopped), signal.SIGCONT)
    assert bridges == {grid.workers[0]: []}
    assert [error.name for error in errors] == [stopped, NOBODY]
    assert "0.5 s" in errors[0].error
    assert "on the grid" in errors[1].error


@pytest.mark.parametrize(("receivers", "timeout"), [("everybody", 20), (5, 20), ("workers", 0), ("workers", "soon")])
def test_a_list_that_cannot_be_asked_for_is_an_error(grid: Grid, receivers: Any, timeout: Any) -> None:
    errors, bridges = grid.O.get_executors_bridges(receivers, timeout)
    assert bridges == {}
    assert len(errors) == 1
    assert ("receivers" if timeout == 20 else "timeout") in errors[0].error


# -- what cannot be built -------------------------------------------------------------------------


def test_a_bridge_to_oneself_is_refused(grid: Grid) -> None:
    for status in (
        grid.O.build_bridge(grid.workers[0], grid.workers[0]),
        grid.O.build_bridge(grid.O.gridUniqueName),
        grid.one("build_bridge", grid.workers[0], to=grid.workers[0]),
    ):
        assert not status
        assert "bridgeToGUN" in status.error
        assert "another executor" in status.error


def test_a_bridge_to_or_from_nobody_is_refused(grid: Grid) -> None:
    for to, begins in ((NOBODY, None), (NOBODY, grid.workers[0]), (grid.workers[0], NOBODY)):
        started = monotonic()
        status = grid.O.build_bridge(to, begins)
        assert not status
        assert "Nobody" in status.error
        assert "on the grid" in status.error
        assert monotonic() - started < 5, "it is told, not waited for"
    grid.check_alive()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"bridgeToGUN": "worker"}, "bridgeToGUN"),
        ({"bridgeToGUN": None}, "bridgeToGUN"),
        ({"bridgeFromGUN": "worker|x"}, "bridgeFromGUN"),
        ({"bridgeFromGUN": 7}, "bridgeFromGUN"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"timeout": "10"}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(grid: Grid, changed: dict[str, Any], named: str) -> None:
    given = {"bridgeToGUN": grid.workers[0], "bridgeFromGUN": grid.workers[2], **changed}
    status = grid.O.build_bridge(**given)
    assert not status
    assert status.error.startswith(named)
    assert grid.O.get_executors_bridges()[1][grid.workers[0]] == []


def test_a_second_bridge_between_the_same_two_is_refused_from_either_end(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    with a_bridge(grid, to, begins):
        for ends in ((to, begins), (begins, to)):
            status = grid.O.build_bridge(*ends)
            assert not status
            assert "bridge" in status.error
        assert send(grid, begins, to, os.getpid) == pid_in(to)
    with a_bridge(grid, begins, to):  # and now there is room for one
        assert send(grid, begins, to, os.getpid) == pid_in(to)


def test_of_two_built_between_the_same_two_at_once_at_most_one_is_there(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]

    def both(executor: Any, begins: str, to: str) -> Any:
        from threading import Thread

        statuses: list[Any] = []
        ends = [(begins, to), (to, begins)] * 2
        threads = [Thread(target=lambda pair=pair: statuses.append(executor.build_bridge(*pair))) for pair in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return statuses

    for _ in range(5):
        statuses = both(grid.O, begins, to)
        built = [status for status in statuses if status]
        assert len(built) == 1, statuses
        assert grid.O.get_executors_bridges(grid.workers)[0] == []
        pairs = [pair for pairs in grid.O.get_executors_bridges()[1].values() for pair in pairs]
        data = built[0].data
        assert pairs == [(data["bridgeFromGUN"], data["bridgeToGUN"])]
        assert destroyed(grid, data["bridgeToGUN"], data["bridgePassword"], by=data["bridgeFromGUN"])


def test_a_bridge_to_one_that_does_not_answer_fails_in_time_and_leaves_nothing(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    stop(pid_in(to))
    try:
        started = monotonic()
        status = grid.O.build_bridge(to, begins, timeout=0.5)
        assert monotonic() - started < 1.5
    finally:
        os.kill(pid_in(to), signal.SIGCONT)
    assert not status
    assert "0.5 s" in status.error
    assert send(grid, begins, to, os.getpid) == pid_in(to)
    assert send(grid, to, begins, os.getpid) == pid_in(begins)
    wait_until(lambda: not any(grid.O.get_executors_bridges()[1].values()), what="no bridge is left")
    with a_bridge(grid, to, begins):
        assert send(grid, to, begins, os.getpid) == pid_in(begins)


# -- destroying -----------------------------------------------------------------------------------


def test_either_end_destroys_a_bridge_with_the_password_and_nobody_without(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    for by, other in ((begins, to), (to, begins)):
        password = grid.O.build_bridge(to, begins).data["bridgePassword"]
        for wrong in ("guessed", password[:-1], password + "0", "ä\ud800"):
            status = destroyed(grid, other, wrong, by=by)
            assert not status
            assert "bridgePassword" in status.error
            assert password not in status.error
        before = received_calls(grid, to)
        assert send(grid, begins, to, os.getpid) == pid_in(to)
        assert received_calls(grid, to) == before + 1
        assert destroyed(grid, other, password, by=by)
        assert grid.O.get_executors_bridges(grid.workers)[1] == {name: [] for name in grid.workers}
        assert send(grid, begins, to, os.getpid) == pid_in(to)


def test_what_is_not_there_cannot_be_destroyed(grid: Grid) -> None:
    begins, to = grid.workers[0], grid.workers[2]
    with a_bridge(grid, to, begins) as password:
        for status in (
            grid.O.destroy_bridge(to, password),
            destroyed(grid, NOBODY, password, by=begins),
            destroyed(grid, grid.workers[1], password, by=begins),
        ):
            assert not status
            assert "bridgeToGUN" in status.error
    status = destroyed(grid, to, password, by=begins)
    assert "bridgeToGUN" in status.error


@pytest.mark.parametrize(("to", "password"), [("worker", "x"), (None, "x"), (NOBODY, ""), (NOBODY, None), (NOBODY, 5)])
def test_a_name_or_password_that_cannot_be_is_refused(grid: Grid, to: Any, password: Any) -> None:
    status = grid.O.destroy_bridge(to, password)
    assert not status
    assert ("bridgePassword" if to == NOBODY else "bridgeToGUN") in status.error


def test_whoever_has_left_the_grid_has_no_bridges(make_grid: MakeGrid) -> None:
    made = make_grid(workers=2)
    status = made.O.build_bridge(made.workers[0])
    assert made.O.build_bridge(made.workers[1], made.workers[0])
    made.O.disconnect(kill=False)
    assert "left the grid" in made.O.build_bridge(made.workers[0]).error
    assert "left the grid" in made.O.destroy_bridge(made.workers[0], status.data["bridgePassword"]).error
    errors, bridges = made.O.get_executors_bridges()
    assert bridges == {}
    assert "left the grid" in errors[0].error
