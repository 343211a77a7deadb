"""Joining by hand: executors in processes that nobody launched come, work, are known to all above, and go."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.system.grids import Grid, MakeGrid, Running, Scripts
from tests.system.guests import PASSWORD, a_guest, await_guest
from tests.system.watching import PATIENCE_S, is_alive, pid_in, wait_until

from softgrid import Globals, Manager, Router, Worker
from softgrid._api.methods_table import REMOTE_METHODS
from softgrid._model.errors import BadArgument, Closed, HandshakeFailed, NoRoute, Refused, TimedOut
from softgrid.Collections import SoftgridStatus

pytestmark = pytest.mark.system

QUIET = {"logToStdout": False}


def ended(running: Running) -> int:
    """Wait for the end of a process; gives its exit status."""
    try:
        return running.process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it goes on:\n{running.output}") from None


@pytest.fixture
def host(make_grid: MakeGrid) -> Grid:
    """An orchestrator whose password is known."""
    return make_grid(workers=0, password=PASSWORD, logKwargs=QUIET)


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Executors of this process that leave with the test; the session is as at a prompt."""
    monkeypatch.setattr(Globals, "INTERACTIVE_MODE", True)
    made: list[Any] = []
    yield made
    for executor in made:
        executor.disconnect(kill=False)


def joins(guests: list[Any], host: Grid, role: Any = Worker, port: int | None = None, **kwargs: Any) -> Any:
    """Have an executor of this process join."""
    kwargs = {"logKwargs": QUIET, "killAtDisconnect": False, **kwargs}
    guests.append(role(**kwargs))
    status = guests[-1].connect_to_grid("127.0.0.1", port or host.O.port, PASSWORD)
    assert status, status
    return guests[-1]


WHERE = """
def where():
    import os, threading
    return os.getpid(), threading.current_thread() is threading.main_thread()
"""
MAKE_OWN = """
def make():
    class Own:
        pass
    return Own()
"""

# -- coming ---------------------------------------------------------------------------------------


def test_a_worker_in_a_script_joins_works_in_its_main_thread_and_ends_with_the_grid(
    host: Grid, scripts: Scripts
) -> None:
    running = a_guest(scripts, host)
    name = await_guest(host)
    assert pid_in(name) == running.pid
    assert host.O.machines[host.O.address]["worker"] == [name]
    assert host.call(WHERE, to=name) == [(running.pid, True)]
    host.O.disconnect(kill=False)
    assert ended(running) == 0
    assert f"the grid has ended: {host.O.gridUniqueName} has left" in running.output


def test_a_script_that_does_not_block_goes_on_and_serves_beside(host: Grid, scripts: Scripts) -> None:
    then = "tell('goes', 'on')\nimport threading\nthreading.Event().wait()\n"
    running = a_guest(scripts, host, blocking=False, then=then)
    assert "on the grid below" in running.await_output(">> status")
    running.await_output(">> goes on")
    assert host.call(WHERE, to=await_guest(host)) == [(running.pid, False)]


def test_a_script_that_ends_leaves_in_order(host: Grid, scripts: Scripts) -> None:
    running = a_guest(scripts, host, blocking=False)
    assert ended(running) == 0
    wait_until(lambda: not host.O.workers)
    assert "on the grid below" in running.output


def test_an_executor_of_the_same_process_joins_too(host: Grid, guests: list[Any]) -> None:
    worker = joins(guests, host, name="second")
    assert host.O.workers == [worker.gridUniqueName]
    assert worker.gridPath == [host.O.gridUniqueName, worker.gridUniqueName]
    assert host.call(WHERE, to=worker.gridUniqueName) == [(os.getpid(), False)]
    assert host.O.passwords["workers"] == {worker.gridUniqueName: worker.password}
    worker.disconnect(kill=False)
    wait_until(lambda: not host.O.workers)
    assert worker.isDisconnected


@pytest.mark.parametrize("upgrid", ["Router", "Manager"])
def test_who_joins_further_down_is_known_to_all_above_and_calls_and_is_called(
    make_grid: MakeGrid, guests: list[Any], upgrid: str
) -> None:
    grid = make_grid(routers=1, workers=0, logKwargs=QUIET)
    grid.workers = grid.launch("Worker", grid.routers[0])
    (door,) = grid.launch(upgrid, grid.routers[0], executorKwargs={"password": PASSWORD})
    worker = joins(guests, grid, port=grid.O.split_grid_unique_name(door)[4])
    name = worker.gridUniqueName
    assert worker.gridPath == [grid.O.gridUniqueName, grid.routers[0], door, name]
    wait_until(lambda: name in grid.O.workers)
    assert grid.O.paths["worker"][name] == worker.gridPath[:-1]
    assert grid.call(os.getpid, to=name) == [os.getpid()]
    pid = worker.transfer(worker.get_transfer_template(os.getpid), grid.workers[0], collect=True)
    assert pid == [pid_in(grid.workers[0])]
    found = worker.get_executor_grid_path(grid.workers[0])
    assert list(found.values()) == [[grid.O.gridUniqueName, grid.routers[0], grid.workers[0]]]


def test_a_manager_that_joined_launches_and_lets_others_in_below_it(
    host: Grid, guests: list[Any], scripts: Scripts
) -> None:
    running = a_guest(scripts, host, "Manager", kwargs=f"password={PASSWORD!r}, logKwargs={QUIET}")
    manager = await_guest(host, "managers")
    launched = host.launch("Worker", manager, 2)
    inside = joins(guests, host, port=host.O.split_grid_unique_name(manager)[4])
    names = [*launched, inside.gridUniqueName]
    wait_until(lambda: set(host.O.workers) == set(names))
    assert host.call(os.getpid, to=names) == [pid_in(name) for name in names]
    os.kill(running.pid, signal.SIGKILL)
    wait_until(lambda: not host.O.workers and not host.O.managers)
    wait_until(lambda: not any(map(is_alive, map(pid_in, launched))))
    wait_until(lambda: inside.isDisconnected)


def test_an_executor_launched_below_a_guest_looks_for_modules_where_the_guest_does(
    host: Grid, scripts: Scripts, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "of the orchestrator"))
    running = a_guest(scripts, host, "Router", kwargs=f"logKwargs={QUIET}")
    router = await_guest(host, "routers")
    manager = host.launch("Manager", router)[0]
    worker = host.launch("Worker", manager)[0]
    path = host.one("lambda: __import__('sys').path", to=worker)
    assert str(tmp_path / "of the orchestrator") not in path
    assert any(entry.endswith("/src") for entry in path)
    assert is_alive(running.pid)


# -- rules ----------------------------------------------------------------------------------------


def test_the_rules_of_the_grid_hold_with_its_own_laid_over_them(
    make_grid: MakeGrid, guests: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = make_grid(workers=0, password=PASSWORD, logKwargs=QUIET, rules={"timeout_long": 77, "timeout_short": 7})
    monkeypatch.setitem(Globals.RULES, "timeout_long", 5)
    worker = joins(guests, grid, rules={"timeout_short": 3})
    assert (worker.rules["timeout_long"], worker.rules["timeout_short"]) == (77, 3)
    assert {**worker.rules, "timeout_short": 7, "fetch_modules": True} == grid.O.rules


@pytest.mark.parametrize(("given", "runs"), [({}, False), ({"allowExecutingUDF": True}, True)])
def test_whether_functions_run_is_said_by_the_grid_unless_the_executor_was_told(
    make_grid: MakeGrid, guests: list[Any], given: Any, runs: bool
) -> None:
    rules = {"worker_allow_executing_udf": False, "execution_allow_negative_priority": False}
    grid = make_grid(workers=0, password=PASSWORD, logKwargs=QUIET, rules=rules)
    worker = joins(guests, grid, **given)
    assert worker.allowExecutingUDF is runs
    result = grid.one(os.getpid, to=worker.gridUniqueName)
    assert result == os.getpid() if runs else "runs no functions of users" in result.error
    refused = grid.one(os.getpid, to=worker.gridUniqueName, priority=-1)
    assert not refused
    assert "runs no functions" in refused.error or "execution_allow_negative_priority" in refused.error


@pytest.mark.parametrize("is_below", [False, True])
def test_the_maxima_of_the_machine_hold_for_who_joins_too(
    make_grid: MakeGrid, guests: list[Any], is_below: bool
) -> None:
    grid = make_grid(
        routers=1, workers=0, password=PASSWORD, logKwargs=QUIET, rules={"machine_maximum_number_of_workers": 2}
    )
    grid.launch("Worker")
    router = grid.launch("Router", executorKwargs={"password": PASSWORD})[0]
    port = grid.O.split_grid_unique_name(router)[4] if is_below else grid.O.port
    first = joins(guests, grid, port=port)
    guests.append(Worker(logKwargs=QUIET))
    with pytest.raises(Refused, match=r"machine_maximum_number_of_workers = 2 allows 2"):
        guests[-1].connect_to_grid("127.0.0.1", port, PASSWORD)
    first.disconnect(kill=False)
    wait_until(lambda: len(grid.O.workers) == 1)
    assert guests[-1].connect_to_grid("127.0.0.1", port, PASSWORD), "it may try again when there is room"


def test_roles_that_are_not_accepted_are_refused(make_grid: MakeGrid, guests: list[Any]) -> None:
    grid = make_grid(workers=0, password=PASSWORD, logKwargs=QUIET, acceptManagers=False)
    guests.append(Manager(logKwargs=QUIET))
    with pytest.raises(Refused, match="does not accept managers"):
        guests[-1].connect_to_grid("127.0.0.1", grid.O.port, PASSWORD)
    manager = grid.launch("Manager", grid.launch("Router")[0], executorKwargs={"password": PASSWORD})[0]
    guests.append(Router(logKwargs=QUIET))
    with pytest.raises(Refused, match="a manager holds no routers"):
        guests[-1].connect_to_grid("127.0.0.1", grid.O.split_grid_unique_name(manager)[4], PASSWORD)
    assert grid.O.routers == [grid.O.paths["manager"][manager][-1]]


# -- what cannot be ----------------------------------------------------------------------------------


def test_who_is_connected_already_is_told_where(host: Grid, guests: list[Any]) -> None:
    worker = joins(guests, host)
    with pytest.raises(Refused, match=r"connected already: orchestrator.* > worker"):
        worker.connect_to_grid("127.0.0.1", host.O.port, PASSWORD)
    assert host.call(os.getpid, to=worker.gridUniqueName) == [os.getpid()]


def test_who_was_launched_is_connected_already(host: Grid) -> None:
    host.workers = host.launch("Worker")

    def connect(executor: Any, port: int) -> str:
        try:
            return str(executor.connect_to_grid("127.0.0.1", port, "any"))
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    assert host.one(connect, host.O.port, first=True).startswith("Refused: this executor is connected already")


def test_an_orchestrator_joins_nobody(host: Grid) -> None:
    for arguments in ((), ("127.0.0.1", host.O.port, PASSWORD)):
        with pytest.raises(Refused, match="is an orchestrator: it makes a grid and joins none"):
            host.O.connect_to_grid(*arguments)


def test_who_has_a_grid_of_its_own_below_is_told_to_connect_first(host: Grid, guests: list[Any]) -> None:
    guests.append(Manager(logKwargs=QUIET))
    statuses, launched, failed = guests[-1].launch_worker(executorAddress=guests[-1].address, timeout=30)
    assert launched, (statuses, failed)
    with pytest.raises(Refused, match="connect first, launch afterwards"):
        guests[-1].connect_to_grid("127.0.0.1", host.O.port, PASSWORD)


def test_who_has_left_its_grid_does_not_join_again(host: Grid, guests: list[Any]) -> None:
    worker = joins(guests, host)
    worker.disconnect(kill=False)
    with pytest.raises(Closed, match="has left the grid"):
        worker.connect_to_grid("127.0.0.1", host.O.port, PASSWORD)


def test_a_wrong_password_is_said_and_the_next_try_may_be_right(host: Grid, guests: list[Any]) -> None:
    guests.append(Worker(logKwargs=QUIET))
    with pytest.raises(HandshakeFailed, match=r"^wrong password$"):
        guests[-1].connect_to_grid("127.0.0.1", host.O.port, "guess")
    assert host.O.workers == []
    assert guests[-1].connect_to_grid("127.0.0.1", host.O.port, PASSWORD)


def test_a_worker_has_no_door(host: Grid, guests: list[Any]) -> None:
    host.workers = host.launch("Worker")
    guests.append(Worker(logKwargs=QUIET))
    with pytest.raises(NoRoute, match="Connection refused"):
        guests[-1].connect_to_grid("127.0.0.1", host.O.split_grid_unique_name(host.workers[0])[4], PASSWORD)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"address": ""}, "address"),
        ({"address": 7}, "address"),
        ({"address": "a\0b"}, "address"),
        ({"port": 0}, "port"),
        ({"port": "5000"}, "port"),
        ({"port": 65536}, "port"),
        ({"password": None}, "password"),
        ({"password": b"bytes"}, "password"),
        ({"blocking": 1}, "blocking"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"handshakeTrackingKey": 7}, "handshakeTrackingKey"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(guests: list[Any], change: Any, parameter: str) -> None:
    guests.append(Worker(logKwargs=QUIET))
    with pytest.raises(BadArgument, match=f"^{parameter}: got "):
        guests[-1].connect_to_grid(**{"address": "127.0.0.1", "port": 5000, "password": "secret", **change})


class Silent:
    """A port that accepts connections and says nothing."""

    def __enter__(self) -> int:
        import socket

        self._listener = socket.create_server(("127.0.0.1", 0))
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *exc: object) -> None:
        self._listener.close()


def test_one_who_does_not_answer_is_a_timeout_at_a_prompt(guests: list[Any]) -> None:
    guests.append(Worker(logKwargs=QUIET))
    with Silent() as port, pytest.raises(TimedOut, match=rf"127\.0\.0\.1:{port} did not answer in time"):
        guests[-1].connect_to_grid("127.0.0.1", port, PASSWORD, timeout=0.2)
    assert not guests[-1].isDisconnected


def test_one_who_does_not_answer_ends_a_script(host: Grid, scripts: Scripts) -> None:
    with Silent() as port:
        running = a_guest(scripts, host, port=port, more=", timeout=0.5")
        assert ended(running) == 1
    assert f"could not connect to a grid: 127.0.0.1:{port} did not answer in time" in running.output
    assert "Traceback" not in running.output
    assert ">> status" not in running.output


def test_a_failure_of_another_kind_ends_a_script_by_its_exception(host: Grid, scripts: Scripts) -> None:
    running = a_guest(scripts, host, password="guess")
    assert ended(running) == 1
    assert "HandshakeFailed: wrong password" in running.output


# -- working --------------------------------------------------------------------------------------


def test_large_values_travel_both_ways_and_come_back_writable(host: Grid, guests: list[Any], scripts: Scripts) -> None:
    a_guest(scripts, host)
    name = await_guest(host)
    array = np.arange(3_000_000, dtype="i8")

    def doubled(array: Any) -> Any:
        array *= 2
        return array

    result = host.one(doubled, array, to=name)
    assert (result == array * 2).all()
    result[0] = 7
    again = host.call(doubled, array, to=[name] * 3)
    assert all((each == array * 2).all() for each in again)


def test_calls_keep_their_order_and_small_ones_pass_large_ones(host: Grid, scripts: Scripts) -> None:
    a_guest(scripts, host)
    name = await_guest(host)
    template = host.O.get_transfer_template(lambda n: n)
    calls = [dict(template, args=(n,)) for n in range(500)]
    assert host.O.transfer(calls, [name] * 500, collect=True, transferTimeout=PATIENCE_S) == list(range(500))


def test_a_guest_makes_others_work_and_its_words_reach_the_orchestrator(make_grid: MakeGrid, scripts: Scripts) -> None:
    grid = make_grid(workers=1, password=PASSWORD, logKwargs=QUIET)
    records: list[Any] = []
    grid.O._node.logs._sink = records.append
    then = (
        "print(guest.transfer(guest.get_transfer_template(lambda: 6 * 7), "
        f"{grid.workers[0]!r}, collect=True), flush=True)\n"
        "guest.log_and_transfer('warn', 'it is cold here')\n"
    )
    running = a_guest(scripts, grid, blocking=False, kwargs=f"logKwargs={QUIET}", then=then)
    assert ended(running) == 0
    assert "[42]" in running.output
    (record,) = wait_until(lambda: [record for record in records if "cold" in record.message])
    assert (record.type, record.message) == ("warn", "it is cold here")
    assert pid_in(record.origin) == running.pid
    assert [record.type for record in records if "joined by hand from 127.0.0.1" in record.message] == ["info"]


def test_what_a_guest_sends_is_taken_as_far_as_it_is_plain(host: Grid, guests: list[Any]) -> None:
    name = joins(guests, host).gridUniqueName
    assert host.one(lambda: {"a": [1, np.float64(2)]}, to=name) == {"a": [1, 2.0]}
    refused = host.one(MAKE_OWN, to=name)
    assert isinstance(refused, SoftgridStatus)
    assert "it holds the class Own, which is defined there" in refused.error
    assert "joined_by_hand_allow_full_trust" in refused.error
    failed = host.one(lambda: 1 / 0, to=name)
    assert type(failed.exception) is ZeroDivisionError


def test_no_method_has_code_of_a_guest_run_where_functions_of_users_are_not(
    host: Grid, guests: list[Any], tmp_path: Any
) -> None:
    guest = joins(guests, host)
    mark = tmp_path / "code of a guest was run"

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(mark),)

    evil = pickle.dumps(Evil())
    source = f"__import__('os').mkdir({str(mark)!r})"
    file = {"dump": "pickle", "pull": "pickle", "data": evil}
    hidden: list[Any] = [evil, source, {"object": evil, "loads": "pickle"}, {"source": source}, {"f": file}, Evil()]
    for method in sorted(REMOTE_METHODS):
        for thing in hidden:
            for args in (
                (thing,),
                ("name", thing),
                ("name", thing, True),
                (str(tmp_path / "r"), {}, True, thing, True),
            ):
                call = guest.get_transfer_template(method, args, priority=None)
                guest.transfer(call, host.O.gridUniqueName, collect=True, transferTimeout=PATIENCE_S)
    assert not mark.exists()
    assert host.call(os.getpid, to=guest.gridUniqueName) == [os.getpid()]


def test_a_launched_executor_below_a_guest_is_a_guest_too(host: Grid, scripts: Scripts) -> None:
    a_guest(scripts, host, "Manager", kwargs=f"logKwargs={QUIET}")
    worker = host.launch("Worker", await_guest(host, "managers"))[0]
    assert "only values of plain types" in host.one(MAKE_OWN, to=worker).error


def test_a_guest_that_is_trusted_sends_anything(make_grid: MakeGrid, guests: list[Any]) -> None:
    rules = {"joined_by_hand_allow_full_trust": True}
    grid = make_grid(workers=0, password=PASSWORD, logKwargs=QUIET, rules=rules)
    name = joins(guests, grid).gridUniqueName
    assert type(grid.one(MAKE_OWN, to=name)).__name__ == "Own"


def test_a_guest_launches_below_itself_only(host: Grid, guests: list[Any]) -> None:
    manager = joins(guests, host, Manager)
    statuses, launched, _ = manager.launch_worker(executorAddress=manager.address, timeout=30)
    assert launched, statuses
    statuses, launched, _ = manager.launch_worker(
        executorAddress=manager.address, upgridUniqueName=host.O.gridUniqueName
    )
    assert launched == []
    assert "launches below itself only" in str(statuses[0])
    assert len(host.O.workers) == 1


# -- going ----------------------------------------------------------------------------------------


def test_a_guest_that_dies_is_known_at_once_and_its_callers_are_told(host: Grid, scripts: Scripts) -> None:
    running = a_guest(scripts, host)
    name = await_guest(host)
    results: list[Any] = []

    def kill_in_the_middle() -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    caller = threading.Thread(target=lambda: results.extend(host.call(kill_in_the_middle, to=name)))
    caller.start()
    caller.join(PATIENCE_S)
    (result,) = results
    assert not result
    assert "is gone" in result.error
    assert ended(running) == -signal.SIGKILL
    assert host.O.workers == []


@pytest.mark.parametrize("role", ["Worker", "Manager"])
@pytest.mark.parametrize("blocking", [False, True])
def test_a_guest_whose_grid_dies_ends_and_says_so(scripts: Scripts, role: str, blocking: bool) -> None:
    host = scripts.start(
        f"""
        O = Orchestrator(password={PASSWORD!r})
        tell('port', O.port)
        signal.pause()
        """
    )
    grid: Any = type("At", (), {"O": type("Top", (), {"port": int(host.await_output(">> port"))})})
    then = "" if blocking else "signal.pause()\n"
    guest = a_guest(scripts, grid, role, blocking=blocking, then=then)
    host.await_output("joined by hand from 127.0.0.1")
    host.signal(signal.SIGKILL)
    assert ended(host) == -signal.SIGKILL
    assert guest.end() == 1
    assert "the grid is gone: its connection is gone" in guest.output


def test_a_guest_at_a_prompt_stays_when_its_grid_is_gone(make_grid: MakeGrid, guests: list[Any]) -> None:
    grid = make_grid(workers=0, password=PASSWORD, logKwargs=QUIET)
    worker = joins(guests, grid)
    returned = threading.Event()
    guests.append(Worker(logKwargs=QUIET))
    blocked = threading.Thread(
        target=lambda: (
            guests[-1].connect_to_grid("127.0.0.1", grid.O.port, PASSWORD, blocking=True),
            returned.set(),
        )
    )
    blocked.start()
    wait_until(lambda: len(grid.O.workers) == 2)
    grid.O.disconnect(kill=False)
    wait_until(lambda: worker.isDisconnected)
    assert returned.wait(PATIENCE_S)
    blocked.join(PATIENCE_S)
    result = worker.transfer(worker.get_transfer_template(os.getpid), "upgrid", collect=True)
    assert not result
    assert "has left the grid" in result.error


def test_who_waits_for_an_answer_from_a_grid_that_dies_is_told(make_grid: MakeGrid, guests: list[Any]) -> None:
    grid = make_grid(workers=1, password=PASSWORD, logKwargs=QUIET)
    worker = joins(guests, grid)
    results: list[Any] = []

    def wait_for_ever() -> None:
        import threading

        threading.Event().wait()

    def call() -> None:
        results.append(worker.transfer(worker.get_transfer_template(wait_for_ever), grid.workers[0], collect=True))

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(lambda: len(worker._node.transfers.inflight))
    grid.O.disconnect(kill=False)
    caller.join(PATIENCE_S)
    ((result,),) = results
    assert not result
    assert "left the grid" in result.error or "is gone" in result.error


def test_a_busy_guest_ends_with_its_grid(host: Grid, scripts: Scripts) -> None:
    running = a_guest(scripts, host)
    name = await_guest(host)

    def hold_on() -> None:
        while True:
            pass

    host.O.transfer(host.O.get_transfer_template(hold_on), name)
    wait_until(lambda: is_alive(running.pid))
    host.O.disconnect(kill=False)
    assert ended(running) == 0


def test_ctrl_c_ends_a_guest_in_order(host: Grid, scripts: Scripts) -> None:
    running = a_guest(scripts, host)
    await_guest(host)
    running.signal(signal.SIGINT)
    assert ended(running) not in (0, -signal.SIGKILL)
    wait_until(lambda: not host.O.workers)
    assert "KeyboardInterrupt" in running.output


def test_a_fork_of_a_guest_is_no_guest(host: Grid, scripts: Scripts) -> None:
    then = "pid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)\ntell('forked')\nsignal.pause()\n"
    running = a_guest(scripts, host, blocking=False, then=then)
    running.await_output(">> forked")
    assert host.call(os.getpid, to=await_guest(host)) == [running.pid]


def test_many_guests_at_once_all_come_in(host: Grid, scripts: Scripts) -> None:
    source = f"""
    from softgrid import Worker
    workers = [Worker(logKwargs={QUIET}) for _ in range(6)]
    import threading
    threads = [
        threading.Thread(target=worker.connect_to_grid, args=('127.0.0.1', {host.O.port}, {PASSWORD!r}))
        for worker in workers
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    signal.pause()
    """
    running = [scripts.start(source) for _ in range(3)]
    wait_until(lambda: len(host.O.workers) == 18)
    pids = host.call(os.getpid, to=host.O.workers)
    assert sorted(set(pids)) == sorted(each.pid for each in running)
