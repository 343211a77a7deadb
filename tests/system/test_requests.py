"""Request and response by the documented methods: what each gives, refuses, raises, logs, and on lists."""

from __future__ import annotations

import os
import threading
from itertools import count
from time import time
from typing import Any

import numpy as np
import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.guests import PASSWORD, a_guest, await_guest
from tests.system.watching import wait_until

from softgrid.Collections import SoftgridStatus, WaitResult

pytestmark = pytest.mark.system

_numbers = count()
NOBODY = "worker|Nobody@10.255.255.1[1]:5001"


@pytest.fixture
def p() -> str:
    """A password that nobody else uses."""
    return f"password {os.getpid()} {next(_numbers)}"


@pytest.fixture
def logged(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Errors that the orchestrator logs by itself."""
    found: list[str] = []
    say = grid.O._node.logs.say
    monkeypatch.setattr(
        grid.O._node.logs,
        "say",
        lambda kind, message, **more: found.append(message) if kind == "error" else say(kind, message, **more),
    )
    return found


def serve(executor: Any, password: str, rounds: int = 1, add: Any = 1) -> list[Any]:
    """Run by workers: answer so many requests by what they ask plus something."""
    requesters = []
    for _ in range(rounds):
        request = executor.wait_for_request(password, timeout=20)[password]
        requesters.append(request["requester"])
        status = executor.transfer_response_to_requester(request["requester"], password, request["request"] + add)
        assert status, status
    return requesters


def ask(executor: Any, responder: str, password: str, value: Any, rounds: int = 1) -> Any:
    """Run by workers: ask, and ask again what was answered."""
    for _ in range(rounds):
        status = executor.transfer_request_to_responder(responder, password, value)
        assert status, status
        value = executor.wait_for_response(password, timeout=20)[password]["response"]["value"]
    return value


def hand_on(executor: Any, password: str, names: list[str]) -> Any:
    """Run by workers: hand a request on to the next of the names it carries, or answer it."""
    request = executor.wait_for_request(password, timeout=20)[password]
    value = [*request["request"], executor.gridUniqueName]
    left = [name for name in names if name not in value]
    if left:
        return executor.transfer_asynchronous_request(request["requester"], left[0], password, value)
    return executor.transfer_response_to_requester(request["requester"], password, value, blocking=True)


def serve_all(executor: Any, passwords: list[str], rounds: int) -> None:
    """Run by workers: answer requests of each password in a thread of its own by the password and what is asked."""
    import threading

    def serve_one(password: str) -> None:
        for _ in range(rounds):
            request = executor.wait_for_request(password, timeout=20)[password]
            executor.transfer_response_to_requester(request["requester"], password, (password, request["request"]))

    threads = [threading.Thread(target=serve_one, args=(password,)) for password in passwords]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def value_of(responses: Any, password: str) -> Any:
    return responses[password]["response"]["value"]


def begin(grid: Grid, name: str, function: Any, *args: Any, priority: Any = None) -> None:
    """Let a worker run something meanwhile."""
    grid.O.transfer(grid.template(function, *args, first=True, priority=priority, returnResult=False), name)


# -- a cycle ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [1, None], ids=["in the main thread", "beside the queue"])
def test_the_orchestrator_asks_a_worker(grid: Grid, p: str, priority: Any) -> None:
    worker = grid.workers[2]
    begin(grid, worker, serve, p, 3, priority=priority)
    for number in range(3):
        before = time()
        status = grid.O.transfer_request_to_responder(worker, p, number)
        assert isinstance(status, SoftgridStatus)
        assert status
        assert status.name == worker
        responses = grid.O.wait_for_response(p, timeout=20)
        assert type(responses) is WaitResult
        assert responses.failed == {}
        (entry,) = responses.values()
        assert entry["response"] == {"value": number + 1, "responder": worker}
        assert before <= entry["response_received_utctime"] <= time()


@pytest.mark.parametrize("priority", [1, None], ids=["in the main thread", "beside the queue"])
def test_a_worker_asks_the_orchestrator(grid: Grid, p: str, priority: Any) -> None:
    results: list[Any] = []
    template = grid.template(ask, grid.O.gridUniqueName, p, 5, 3, first=True, priority=priority)
    thread = threading.Thread(target=lambda: results.extend(grid.O.transfer(template, grid.workers[0], collect=True)))
    thread.start()
    for _ in range(3):
        before = time()
        requests = grid.O.wait_for_request(p, timeout=20)
        assert type(requests) is WaitResult
        assert requests.failed == {}
        (request,) = requests.values()
        assert request["requester"] == grid.workers[0]
        assert before - 20 <= request["request_received_utctime"] <= time()
        assert grid.O.transfer_response_to_requester(request["requester"], p, request["request"] * 2)
    thread.join(20)
    assert results == [40]


@pytest.mark.parametrize(("requester", "responder"), [(0, 1), (0, 2), (2, 0)], ids=["same manager", "across", "back"])
def test_workers_ask_each_other(grid: Grid, p: str, requester: int, responder: int) -> None:
    begin(grid, grid.workers[responder], serve, p, 50)
    assert grid.one(ask, grid.workers[responder], p, 0, 50, to=grid.workers[requester], first=True) == 50


def test_managers_and_routers_ask_and_answer_too(make_grid: MakeGrid, p: str) -> None:
    grid = make_grid(
        routers=1, managers=1, rules={"router_allow_executing_udf": True, "manager_allow_executing_udf": True}
    )
    (router,), (manager,) = grid.routers, grid.managers
    begin(grid, router, serve, p)
    assert grid.one(ask, router, p, 1, to=manager, first=True) == 2
    begin(grid, manager, serve, p)
    assert grid.one(ask, manager, p, 1, to=router, first=True) == 2


def test_an_executor_may_ask_itself(grid: Grid, p: str) -> None:
    me = grid.O.gridUniqueName
    grid.O.transfer_request_to_responder(me, p, [1, 2])
    request = grid.O.wait_for_request(p)[p]
    assert (request["request"], request["requester"]) == ([1, 2], me)
    assert grid.O.transfer_response_to_requester(me, p, "yes", blocking=True)
    assert value_of(grid.O.wait_for_response(p), p) == "yes"


def test_large_arrays_go_both_ways_and_are_writable(grid: Grid, p: str) -> None:
    def double_in_place(executor: Any, password: str) -> None:
        request = executor.wait_for_request(password, timeout=20)[password]
        array = request["request"]["array"]
        array *= 2
        executor.transfer_response_to_requester(request["requester"], password, array)

    array = np.arange(1_000_000)
    begin(grid, grid.workers[0], double_in_place, p)
    grid.O.transfer_request_to_responder(grid.workers[0], p, {"array": array})
    got = value_of(grid.O.wait_for_response(p, timeout=20), p)
    assert np.array_equal(got, 2 * array)
    got[0] = 7
    del got
    wait_until(lambda: grid.O.statistics()["segments_leased"] == 0, what="the segment is free again")


def test_a_large_request_to_many_is_written_once(grid: Grid, p: str) -> None:
    def size_of(executor: Any, password: str) -> None:
        request = executor.wait_for_request(password, timeout=20)[password]
        executor.transfer_response_to_requester(request["requester"], password, len(request["request"]))

    passwords = [f"{p} {index}" for index in range(3)]
    for worker, password in zip(grid.workers, passwords, strict=True):
        begin(grid, worker, size_of, password)
    before = grid.O.statistics()["shared_messages"]
    assert all(grid.O.transfer_request_to_responder(grid.workers, passwords, b"x" * 1_000_000))
    assert grid.O.statistics()["shared_messages"] == before + 1
    responses = grid.O.wait_for_response(passwords, timeout=20)
    assert [value_of(responses, password) for password in passwords] == [1_000_000] * 3


# -- lists -----------------------------------------------------------------------------------------


def test_each_of_several_responders_is_asked_its_own(grid: Grid, p: str) -> None:
    passwords = [f"{p} {index}" for index in range(3)]
    for worker, password in zip(grid.workers, passwords, strict=True):
        begin(grid, worker, serve, password)
    statuses = grid.O.transfer_request_to_responder(grid.workers, passwords, [10, 20, 30], timeout=[5, None, 60.0])
    assert [(bool(status), status.name) for status in statuses] == [(True, worker) for worker in grid.workers]
    responses = grid.O.wait_for_response(passwords, timeout=[20, 19.5, None])
    assert [value_of(responses, password) for password in passwords] == [11, 21, 31]
    assert [responses[password]["response"]["responder"] for password in passwords] == grid.workers


def test_all_of_several_responders_are_told_the_same_without_an_answer(grid: Grid, p: str) -> None:
    def until_stopped(executor: Any, password: str) -> Any:
        while True:
            request = executor.wait_for_request(password, timeout=20)[password]
            if request["request"] == "STOP":
                return "stopped"

    template = grid.template(until_stopped, p, first=True, priority=None)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(grid.O.transfer(template, grid.workers, collect=True)))
    thread.start()
    count = len(grid.workers)
    assert all(grid.O.transfer_request_to_responder(grid.workers, [p] * count, "go on", register=False))
    assert all(grid.O.transfer_request_to_responder(grid.workers, p, request="STOP", register=False))
    thread.join(20)
    assert results == ["stopped"] * count
    assert "was not asked" in grid.O.wait_for_response(p, timeout=0).failed[p].error


def test_several_requesters_are_answered_at_once(grid: Grid, p: str) -> None:
    results: list[Any] = []
    template = grid.template(ask, grid.O.gridUniqueName, p, 1, first=True, priority=None)
    thread = threading.Thread(target=lambda: results.extend(grid.O.transfer(template, grid.workers, collect=True)))
    thread.start()
    requesters = [grid.O.wait_for_request(p, timeout=20)[p]["requester"] for _ in grid.workers]
    answers = [f"for {requester}" for requester in requesters]
    statuses = grid.O.transfer_response_to_requester(requesters, p, answers, blocking=True)
    assert all(statuses)
    thread.join(20)
    assert results == [f"for {worker}" for worker in grid.workers]


def test_of_a_list_each_fails_or_succeeds_by_itself(grid: Grid, p: str, logged: list[str]) -> None:
    passwords = [f"{p} {index}" for index in range(2)]
    begin(grid, grid.workers[0], serve, passwords[1])
    statuses = grid.O.transfer_request_to_responder([NOBODY, grid.workers[0]], passwords, 1, errorLog=[False, True])
    assert list(map(bool, statuses)) == [False, True]
    assert f"nobody named {NOBODY} is on the grid" in statuses[0].error
    responses = grid.O.wait_for_response(passwords, timeout=20)
    assert value_of(responses, passwords[1]) == 2
    assert not value_of(responses, passwords[0])
    assert responses[passwords[0]]["response_received_utctime"] is None
    assert set(responses.failed) == {passwords[0]}
    assert logged == []
    with pytest.raises(Exception, match="nobody named"):
        grid.O.transfer_request_to_responder(
            [NOBODY, grid.workers[0]], [f"{p} raised", f"{p} sent"], 1, register=False, errorRaise=[True, False]
        )
    assert len(logged) == 1
    assert grid.O.transfer_release_request(grid.workers[0], f"{p} sent"), "the others are sent all the same"


def test_several_passwords_are_waited_for_and_each_as_long_as_was_said(grid: Grid, p: str) -> None:
    me = grid.O.gridUniqueName
    grid.O.transfer_request_to_responder(me, f"{p} there", "yes", register=False)
    requests = grid.O.wait_for_request([f"{p} there", f"{p} not there"], timeout=[20, 0.01])
    assert requests[f"{p} there"]["request"] == "yes"
    assert requests[f"{p} not there"] is None
    assert list(requests.failed) == [f"{p} not there"]
    assert grid.O.wait_for_request([]) == {}


# -- who may answer --------------------------------------------------------------------------------


def test_whoever_knows_the_password_may_answer_unless_somebody_was_named(grid: Grid, p: str) -> None:
    def answer(executor: Any, requester: str, password: str, value: str) -> str | None:
        return executor.transfer_response_to_requester(requester, password, value, blocking=True, errorLog=False).error

    me, (asked, other, third) = grid.O.gridUniqueName, grid.workers
    grid.O.transfer_request_to_responder(asked, p, 1)
    assert "no request with that password waits" in grid.one(answer, me, "wrong", "x", to=other, first=True)
    assert grid.one(answer, me, p, "mine", to=other, first=True) is None
    assert "another response came before it" in grid.one(answer, me, p, "late", to=third, first=True)
    assert value_of(grid.O.wait_for_response(p), p) == "mine"
    assert "no request with that password waits" in grid.one(answer, me, p, "later", to=third, first=True)

    grid.O.transfer_request_to_responder(asked, p, 1, allowedResponders=[third, asked])
    assert "not among those that the requester allows" in grid.one(answer, me, p, "mine", to=other, first=True)
    assert grid.one(answer, me, p, "allowed", to=third, first=True) is None
    assert value_of(grid.O.wait_for_response(p), p) == "allowed"

    grid.O.transfer_request_to_responder(asked, p, 1, allowedResponders=third)
    assert "not among those" in grid.one(answer, me, p, "mine", to=asked, first=True)
    assert grid.O.release_request(p)


def test_a_request_that_does_not_exist_is_raised_where_that_is_wanted(grid: Grid, p: str) -> None:
    def answer(executor: Any, requesters: Any, password: str, raises: Any) -> list[str]:
        answers = []
        for _ in range(2):
            try:
                executor.transfer_response_to_requester(requesters, password, 1, errorRaise=raises, errorLog=False)
                answers.append("sent")
            except Exception as error:
                answers.append(str(error))
        return answers

    me, worker = grid.O.gridUniqueName, grid.workers[0]
    for requesters, raises in ((me, True), ([me, me], [False, True])):
        refused = grid.one(answer, requesters, "never asked", raises, to=worker, first=True)
        assert all("no request with that password waits" in each for each in refused)
    assert grid.one(answer, me, "never asked", False, to=worker, first=True) == ["sent", "sent"]
    grid.O.transfer_request_to_responder(worker, p, 1)
    first, second = grid.one(answer, me, p, True, to=worker, first=True)
    assert (first, "neither answered, handed over nor out of time" in second) == ("sent", True), second
    assert value_of(grid.O.wait_for_response(p), p) == 1


def test_a_refused_response_is_logged_where_it_came_from_unless_that_is_not_wanted(
    grid: Grid, p: str, logged: list[str]
) -> None:
    def nothing(executor: Any) -> None:
        return

    worker = grid.workers[0]
    assert grid.O.transfer_response_to_requester(worker, p, 1, errorLog=False)
    assert grid.O.transfer_response_to_requester(worker, p, 1)
    grid.one(nothing, to=worker, first=True)
    wait_until(lambda: logged, what="the refusal is logged")
    assert len(logged) == 1
    assert f"{worker} refused a response: no request with that password waits" in logged[0]


def test_a_response_after_the_timeout_is_refused(grid: Grid, p: str) -> None:
    me, worker = grid.O.gridUniqueName, grid.workers[0]
    grid.O.transfer_request_to_responder(worker, p, 1, timeout=0.05)
    error = value_of(grid.O.wait_for_response(p, timeout=20), p)
    assert isinstance(error, SoftgridStatus)
    assert f"{worker} has not answered within the timeout of the request" in error.error  # type: ignore[operator]

    def answer(executor: Any, requester: str, password: str) -> Any:
        return executor.transfer_response_to_requester(requester, password, 2, blocking=True, errorLog=False).error

    assert "no request with that password waits" in grid.one(answer, me, p, to=grid.workers[1], first=True)


def test_an_answer_that_comes_late_is_not_that_of_the_next_request(grid: Grid, p: str) -> None:
    def take(executor: Any, password: str) -> Any:
        return executor.wait_for_request(password, timeout=20)[password]["request"]

    def answer(executor: Any, requester: str, password: str, value: Any) -> Any:
        return executor.transfer_response_to_requester(requester, password, value, blocking=True, errorLog=False).error

    me, (slow, quick, _) = grid.O.gridUniqueName, grid.workers
    grid.O.transfer_request_to_responder(slow, p, "first")
    assert grid.one(take, p, to=slow, first=True) == "first"
    assert grid.O.release_request(p)
    grid.O.transfer_request_to_responder(quick, p, "second")
    refused = grid.one(answer, me, p, "to the first", to=slow, first=True)
    assert "what it answers is over, and its password was used again since" in refused
    assert grid.one(answer, me, p, "to the second", to=quick, first=True) is None
    assert value_of(grid.O.wait_for_response(p), p) == "to the second"


# -- hand-over -------------------------------------------------------------------------------------


def test_a_request_wanders_and_the_answer_comes_straight_to_the_requester(grid: Grid, p: str) -> None:
    for worker in grid.workers:
        begin(grid, worker, hand_on, p, grid.workers)
    grid.O.transfer_request_to_responder(grid.workers[0], p, [])
    responses = grid.O.wait_for_response(p, timeout=20)
    assert sorted(value_of(responses, p)) == sorted(grid.workers)
    assert responses[p]["response"]["responder"] == value_of(responses, p)[-1]


def test_hand_overs_by_lists_and_what_cannot_be_handed_over(grid: Grid, p: str, logged: list[str]) -> None:
    me = grid.O.gridUniqueName
    for password in (f"{p} 0", f"{p} 1"):
        grid.O.transfer_request_to_responder(me, password, password)
        assert grid.O.wait_for_request(password)[password]["request"] == password
        begin(grid, grid.workers[0], serve, password, 1, "!")
    statuses = grid.O.transfer_asynchronous_request(
        [me, me, me], grid.workers[0], [f"{p} 0", f"{p} 1", f"{p} 2"], ["a", "b", "c"]
    )
    assert list(map(bool, statuses)) == [True, True, False]
    assert "to be answered here" in statuses[2].error
    assert len(logged) == 1
    responses = grid.O.wait_for_response([f"{p} 0", f"{p} 1"], timeout=20)
    assert [value_of(responses, f"{p} {index}") for index in range(2)] == ["a!", "b!"]


def test_what_cannot_be_handed_over_is_still_to_be_answered(grid: Grid, p: str, logged: list[str]) -> None:
    me = grid.O.gridUniqueName
    grid.O.transfer_request_to_responder(me, p, 1)
    assert grid.O.wait_for_request(p)[p]
    status = grid.O.transfer_asynchronous_request(me, NOBODY, p, 1)
    assert f"nobody named {NOBODY}" in status.error
    assert "nobody named" in logged[0]
    assert not grid.O.transfer_asynchronous_request(me, grid.workers[0], p, threading.Lock())
    assert grid.O.transfer_response_to_requester(me, p, "by myself", blocking=True)
    assert value_of(grid.O.wait_for_response(p), p) == "by myself"


# -- waiting ---------------------------------------------------------------------------------------


def switches() -> int:
    """How often this thread has been put to sleep."""
    with open(f"/proc/self/task/{threading.get_native_id()}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("voluntary"))


@pytest.mark.parametrize("method", ["wait_for_request", "wait_for_response"])
def test_a_waiting_thread_sleeps(grid: Grid, p: str, method: str) -> None:
    if method == "wait_for_response":
        grid.O.transfer_request_to_responder(grid.workers[0], p, 1)
    before = switches()
    result = getattr(grid.O, method)(p, timeout=1, frequency=0.0001)
    assert p in result.failed
    assert switches() - before < 50, "polling every 0.1 ms would be 10,000"
    if method == "wait_for_response":
        grid.O.release_request(p)


@pytest.mark.parametrize("priority", [1, None], ids=["in the main thread", "beside the queue"])
def test_a_worker_that_waits_does_everything_else(grid: Grid, p: str, priority: Any) -> None:
    worker = grid.workers[0]
    begin(grid, worker, serve, p, 1, priority=priority)
    assert grid.one(os.getpid, to=worker, priority=None) == grid.O.split_grid_unique_name(worker)[3]
    assert grid.O.statistics(worker)["name"] == worker
    if priority is None:
        assert grid.one(os.getpid, to=worker) > 0
    grid.O.transfer_request_to_responder(worker, p, 1)
    assert value_of(grid.O.wait_for_response(p, timeout=20), p) == 2


def test_looking_without_waiting(grid: Grid, p: str) -> None:
    me = grid.O.gridUniqueName
    assert grid.O.wait_for_request(p, timeout=0) == {p: None}
    grid.O.transfer_request_to_responder(me, p, 1)
    assert "has not answered within 0 s" in grid.O.wait_for_response(p, timeout=0).failed[p].error
    assert wait_until(lambda: grid.O.wait_for_request(p, timeout=0)[p])["request"] == 1
    grid.O.transfer_response_to_requester(me, p, 2)
    assert wait_until(lambda: value_of(grid.O.wait_for_response(p, timeout=0), p)) == 2


def test_many_threads_ask_at_once_and_each_gets_its_own_answer(grid: Grid, p: str) -> None:
    passwords = [f"{p} {index}" for index in range(6)]
    begin(grid, grid.workers[0], serve_all, passwords, 20)
    wrong: list[Any] = []

    def ask_often(password: str) -> None:
        for number in range(20):
            grid.O.transfer_request_to_responder(grid.workers[0], password, number)
            got = value_of(grid.O.wait_for_response(password, timeout=20), password)
            if got != (password, number):
                wrong.append(got)

    threads = [threading.Thread(target=ask_often, args=(password,)) for password in passwords]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_a_result_of_waiting_can_be_sent_on(grid: Grid, p: str) -> None:
    def wait(executor: Any, password: str) -> Any:
        return executor.wait_for_request(password, timeout=0.01)

    result = grid.one(wait, p, first=True)
    assert (type(result), result) == (WaitResult, {p: None})
    assert "no request came within 0.01 s" in result.failed[p].error


# -- releasing -------------------------------------------------------------------------------------


def test_releasing_here_lets_go_who_waits_and_frees_the_password(grid: Grid, p: str, logged: list[str]) -> None:
    worker = grid.workers[0]
    assert grid.O.transfer_request_to_responder(worker, p, 1)
    again = grid.O.transfer_request_to_responder(worker, p, 2)
    assert not again
    assert "accepted is one whose last request is collected" in again.error
    assert p not in again.error + logged[0]
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(grid.O.wait_for_response(p, timeout=20).failed[p].error)),
        threading.Thread(target=lambda: results.append(grid.O.wait_for_request(p, timeout=20).failed[p].error)),
    ]
    for thread in threads:
        thread.start()
    requests = grid.O._node.requests
    lines = (requests.requester._asked._lines, requests.responder._received._lines)
    wait_until(lambda: all(line._lines for line in lines), what="both wait")
    assert grid.O.release_request(p)
    for thread in threads:
        thread.join(20)
    assert results == ["the request was released here"] * 2
    assert grid.O.transfer_request_to_responder(worker, p, 2)
    statuses = grid.O.release_request([p, f"{p} unknown", 5])
    assert list(map(bool, statuses)) == [True, False, False]
    assert "sent, received or waits for" in statuses[1].error


def test_releasing_elsewhere_lets_go_who_waits_there(grid: Grid, p: str) -> None:
    def wait(executor: Any, password: str) -> Any:
        return executor.wait_for_request(password, timeout=20).failed[password].error

    workers = grid.workers[:2]
    results: list[Any] = []
    template = grid.template(wait, p, first=True, priority=None)
    thread = threading.Thread(target=lambda: results.extend(grid.O.transfer(template, workers, collect=True)))
    thread.start()

    wait_until(lambda: grid.O.transfer_release_request(workers[0], p))
    wait_until(lambda: grid.O.transfer_release_request(workers[1], p))
    thread.join(20)
    assert results == ["the request was released from elsewhere"] * 2


def test_releasing_elsewhere_by_lists(grid: Grid, p: str) -> None:
    names = [grid.workers[0], grid.O.gridUniqueName]
    passwords = [f"{p} 0", f"{p} 1"]
    for name in names:
        grid.O.transfer_request_to_responder(name, p, 1, register=False)
    assert list(map(bool, grid.O.transfer_release_request(names, p))) == [True, True]
    for name, password in zip(names, passwords, strict=True):
        grid.O.transfer_request_to_responder(name, password, 1, register=False)
    statuses = grid.O.transfer_release_request(names, passwords)
    assert [(bool(status), status.name) for status in statuses] == [(True, name) for name in names]
    for password in passwords:
        grid.O.transfer_request_to_responder(names[0], password, 1, register=False)
    assert list(map(bool, grid.O.transfer_release_request(names[0], passwords))) == [True, True]
    statuses = grid.O.transfer_release_request([names[0], NOBODY], p)
    assert "sent, received or waits for" in statuses[0].error
    assert "nobody named" in statuses[1].error


# -- what cannot be meant --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"responder": "nobody"}, "responder: got 'nobody'"),
        ({"responder": None}, "responder: got None"),
        ({"responder": ["nobody"]}, "responder: got 'nobody'"),
        ({"password": ""}, "password: got ''"),
        ({"password": ["a"]}, "password: got 'list'"),
        ({"timeout": 0}, "timeout: got 0"),
        ({"timeout": "soon"}, "timeout: got 'soon'"),
        ({"timeout": float("nan")}, "timeout: got nan"),
        ({"allowedResponders": "nobody"}, "allowedResponders: got 'nobody'"),
        ({"allowedResponders": []}, "allowedResponders: got []"),
        ({"register": None}, "register: got None"),
        ({"errorLog": 1}, "errorLog: got 1"),
        ({"request": threading.Lock()}, "cannot serialise"),
    ],
)
@pytest.mark.parametrize("many", [False, True])
def test_a_request_that_cannot_be_meant_is_refused(
    grid: Grid, p: str, logged: list[str], change: dict[str, Any], says: str, many: bool
) -> None:
    given: dict[str, Any] = {"responder": grid.workers[0], "password": p, "request": 1, **change}
    if many:
        given["responder"] = given["responder"] if isinstance(given["responder"], list) else [given["responder"]]
    status = grid.O.transfer_request_to_responder(**given)
    expected = "password: got 'list'" if says.startswith("password: got 'list'") and not many else says
    if many and change == {"password": ["a"]}:
        assert status[0]
        grid.O.release_request("a")
        grid.O.transfer_release_request(grid.workers[0], "a")
        return
    if many and change == {"responder": None}:
        expected = "responder: got None"
    assert isinstance(status, SoftgridStatus)
    assert not status
    assert expected in status.error  # type: ignore[operator]
    assert len(logged) == 1
    with pytest.raises(Exception, match=r"got|serialise"):
        grid.O.transfer_request_to_responder(**{**given, "errorRaise": True})
    assert "was not asked" in grid.O.wait_for_response(p, timeout=0).failed[p].error


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": ["same", "same"]}, "accepted is a list of different passwords"),
        ({"password": "same"}, "accepted is a list of different passwords"),
        ({"password": ["a"]}, "password: got 'a list of 1'"),
        ({"request": [1, 2, 3]}, "request: got 'a list of 3'"),
        ({"timeout": [1]}, "timeout: got 'a list of 1'"),
        ({"errorLog": [True]}, "errorLog: got 'a list of 1'"),
        ({"errorRaise": [False]}, "errorRaise: got 'a list of 1'"),
    ],
)
def test_lists_that_do_not_fit_are_refused_and_nothing_is_sent(
    grid: Grid, p: str, logged: list[str], change: dict[str, Any], says: str
) -> None:
    given = {"responder": grid.workers[:2], "password": [f"{p} a", f"{p} b"], "request": 1, **change}
    status = grid.O.transfer_request_to_responder(**given)
    assert isinstance(status, SoftgridStatus)
    assert says in status.error  # type: ignore[operator]
    assert len(grid.O._node.requests.requester._asked) == 0


@pytest.mark.parametrize("method", ["wait_for_request", "wait_for_response"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": None}, "password: got None"),
        ({"password": ["a", "a"]}, "a list of different passwords"),
        ({"timeout": -1}, "timeout: got -1"),
        ({"timeout": [1, 2]}, "timeout: got [1, 2]"),
        ({"frequency": 0}, "frequency: got 0"),
        ({"frequency": "often"}, "frequency: got 'often'"),
    ],
)
def test_a_wait_that_cannot_be_meant_is_refused(grid: Grid, method: str, change: dict[str, Any], says: str) -> None:
    status = getattr(grid.O, method)(**{"password": "p", "timeout": 5, **change})
    assert isinstance(status, SoftgridStatus)
    assert says in status.error  # type: ignore[operator]


def test_waiting_for_what_was_never_asked_ends_at_once(grid: Grid, p: str) -> None:
    responses = grid.O.wait_for_response(p, timeout=1000)
    assert "was not asked, or was collected or released" in responses.failed[p].error
    assert value_of(responses, p) is responses.failed[p]
    assert p not in responses.failed[p].error


def test_a_response_that_cannot_be_meant_is_refused(grid: Grid, p: str, logged: list[str]) -> None:
    me = grid.O.gridUniqueName
    respond = grid.O.transfer_response_to_requester
    assert "requester: got 'nobody'" in respond("nobody", p, 1).error
    assert "blocking: got None" in respond(me, p, 1, blocking=None).error
    assert "blocking: got None" in respond([me], p, 1, blocking=None).error
    assert "response: got 'a list of 3'" in respond([me, me], p, [1, 2, 3]).error
    assert "cannot serialise" in respond(me, p, threading.Lock()).error
    assert "gun: got None" in grid.O.transfer_release_request([None], p).error
    assert "newResponder: got 'x'" in grid.O.transfer_asynchronous_request(me, "x", p, 1).error
    with pytest.raises(Exception, match="requester"):
        respond("nobody", p, 1, errorRaise=True)
    assert len(logged) == 7


def test_a_request_or_a_response_that_cannot_be_read_fails_there_and_is_told_here(grid: Grid, p: str) -> None:
    class OnlyHere:
        def __reduce__(self) -> Any:
            return explode, ()

    def explode() -> None:
        raise ValueError("not on this machine")

    def wait(executor: Any, password: str) -> Any:
        return executor.wait_for_request(password, timeout=20).failed[password].error

    grid.O.transfer_request_to_responder(grid.workers[0], p, OnlyHere())
    assert "cannot be read here: ValueError: not on this machine" in grid.one(wait, p, first=True)
    error = grid.O.wait_for_response(p, timeout=20).failed[p].error
    assert "the request cannot be read at its responder: ValueError: not on this machine" in error
    me = grid.O.gridUniqueName
    grid.O.transfer_request_to_responder(me, p, 1)
    grid.O.transfer_response_to_requester(me, p, OnlyHere())
    assert "has answered, which cannot be read here" in grid.O.wait_for_response(p).failed[p].error


def test_one_that_joined_by_hand_asks_and_answers_in_plain_values(
    make_grid: MakeGrid, scripts: Scripts, p: str
) -> None:
    class Own:
        pass

    def add_one(executor: Any, password: str) -> None:
        request = executor.wait_for_request(password, timeout=20)[password]
        executor.transfer_response_to_requester(request["requester"], password, request["request"] + 1)

    def ask_own(executor: Any, responder: str, password: str) -> Any:
        executor.transfer_request_to_responder(responder, password, Own())
        return executor.wait_for_response(password, timeout=20).failed[password].error

    def answer_own(executor: Any, password: str) -> Any:
        requester = executor.wait_for_request(password, timeout=20)[password]["requester"]
        return bool(executor.transfer_response_to_requester(requester, password, Own(), blocking=True))

    grid = make_grid(workers=0, password=PASSWORD, logKwargs={"logToStdout": False})
    running = a_guest(scripts, grid)
    guest, me = await_guest(grid), grid.O.gridUniqueName
    begin(grid, guest, add_one, p)
    grid.O.transfer_request_to_responder(guest, p, 1)
    assert value_of(grid.O.wait_for_response(p, timeout=20), p) == 2

    begin(grid, guest, ask_own, me, p)
    assert (
        "from an executor that joined by hand only values of plain types" in grid.O.wait_for_request(p).failed[p].error
    )
    begin(grid, guest, answer_own, p)
    grid.O.transfer_request_to_responder(guest, p, 1)
    assert "which cannot be read here: Refused" in grid.O.wait_for_response(p, timeout=20).failed[p].error
    assert grid.O.transfer_release_request(guest, p).error
    grid.O.disconnect(kill=False)
    running.end()


def test_an_executor_that_has_left_its_grid_says_so(make_grid: MakeGrid) -> None:
    grid = make_grid()
    me = grid.O.gridUniqueName
    grid.O.disconnect(kill=False)
    for status in (
        grid.O.transfer_request_to_responder(me, "p", 1, errorLog=False),
        grid.O.transfer_request_to_responder([me], "p", 1, errorLog=False),
        grid.O.transfer_response_to_requester(me, "p", 1, errorLog=False),
        grid.O.wait_for_request("p"),
        grid.O.wait_for_response("p"),
        grid.O.transfer_release_request(me, "p"),
    ):
        assert isinstance(status, SoftgridStatus)
        assert "has left the grid" in status.error  # type: ignore[operator]


def test_who_waits_in_an_executor_that_leaves_is_let_go(make_grid: MakeGrid) -> None:
    grid = make_grid()
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(grid.O.wait_for_request("p", timeout=60)))
    thread.start()
    wait_until(lambda: grid.O._node.requests.responder._received._lines._lines)
    grid.O.disconnect(kill=False)
    thread.join(10)
    assert "left the grid" in results[0].failed["p"].error
