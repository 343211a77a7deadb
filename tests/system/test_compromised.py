"""A worker that was taken over writes what it likes to its connection: it speaks for nobody and commands nobody."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import is_alive, pid_in, wait_until

from softgrid._model.names import node_id
from softgrid._wire.calls import encode_result

pytestmark = pytest.mark.system

QUIET = {"logToStdout": False}


@pytest.fixture
def taken_over(make_grid: MakeGrid) -> Grid:
    """orchestrator ─ router ─ manager ─┬─ worker (taken over)
    └─ worker (honest)
    """
    return make_grid(routers=1, managers=1, workers=2, logKwargs=QUIET)


def say(executor: Any, kind: str, destination: str, source: str, body: bytes, ids: list[int]) -> None:
    """Run by the worker: frames that softgrid would not send, over its own link."""
    from softgrid._model.names import node_id
    from softgrid._wire.framing import Kind, frame

    to, of = (node_id(name) if name else 0 for name in (destination, source))
    for number in ids:
        executor._node.switch.uplink.send(frame(Kind[kind], to, of, number, body))


def order(**message: Any) -> bytes:
    from softgrid._wire.control import encode_control

    return encode_control(message)


def a_call_that_makes(folder: Path) -> bytes:
    from softgrid._wire.calls import RETURN, encode_call
    from softgrid._wire.functions import FunctionPickler, encode_function

    function = encode_function(FunctionPickler().pickle(os.mkdir))
    return encode_call(function, (str(folder),), {}, flags=RETURN, priority=None, options={}).joined()


def settled(grid: Grid) -> None:
    """Everything that the worker has sent was read: what it sends next is answered, if it has not ended itself."""
    grid.call(os.getpid, to=grid.workers[0])
    grid.check_alive()


@pytest.mark.parametrize("to", ["orchestrator", "router", "manager"])
def test_its_functions_run_nowhere_above_it_whomever_it_speaks_for(taken_over: Grid, tmp_path: Path, to: str) -> None:
    grid = taken_over
    bad, honest = grid.workers
    target = {"orchestrator": grid.O.gridUniqueName, "router": grid.routers[0], "manager": grid.managers[0]}[to]
    owned = tmp_path / "owned"
    for source in (bad, honest, grid.O.gridUniqueName, grid.managers[0], ""):
        grid.call(say, "CALL", target, source, a_call_that_makes(owned), [10_001], to=bad, first=True)
    settled(grid)
    assert not owned.exists()


def test_in_the_name_of_others_it_reaches_nobody_beside_it(taken_over: Grid, tmp_path: Path) -> None:
    grid = taken_over
    bad, honest = grid.workers
    owned = tmp_path / "owned"
    for source in (grid.O.gridUniqueName, grid.managers[0], honest):
        grid.call(say, "CALL", honest, source, a_call_that_makes(owned), [10_001], to=bad, first=True)
    settled(grid)
    assert grid.one(os.getpid, to=honest) == pid_in(honest)
    assert not owned.exists()


ORDERS = {
    "spawn": {"items": [], "timeout": 5, "retry": 0},
    "kill": {"name": "HONEST"},
    "die": {},
    "left": {"name": "HONEST", "reason": "a lie", "orderly": True},
    "gone": {"names": ["HONEST"], "reason": "a lie"},
    "suspect": {"name": "HONEST", "reason": "slow, it is said"},
    "welcome": {"path": ["nowhere"]},
    "turned_away": {"reason": "a lie"},
    "join": {"name": "HONEST", "cores": 1},
    "bye": {},
    "stillborn": {"reason": "a lie"},
    "joined": {"name": "worker|Ghost@1.2.3.4[5]:6", "path": ["nowhere"], "cores": 1, "utc": 1.0},
}


@pytest.mark.parametrize("op", ORDERS)
def test_what_it_orders_or_says_of_others_changes_nothing(taken_over: Grid, op: str) -> None:
    grid = taken_over
    bad, honest = grid.workers
    message: dict[str, Any] = {
        key: [honest] if value == ["HONEST"] else honest if value == "HONEST" else value
        for key, value in ORDERS[op].items()
    }
    path = grid.one(lambda executor: list(executor._node.tree.path), to=honest, first=True)
    for target in (honest, grid.routers[0], grid.O.gridUniqueName, grid.managers[0], ""):
        source = bad if target else ""  # a neighbour's own word has neither source nor destination
        grid.call(say, "CONTROL", target, source, order(op=op, **message), [10_001], to=bad, first=True)
    settled(grid)
    assert honest in grid.O.workers
    assert set(grid.O.workers) <= set(grid.workers)
    assert (grid.O.routers, grid.O.managers) == (grid.routers, grid.managers)
    assert grid.O._node.tree.suspicion(honest) is None
    assert grid.one(lambda executor: list(executor._node.tree.path), to=honest, first=True) == path


def test_it_answers_and_refuses_no_call_but_its_own(taken_over: Grid, tmp_path: Path) -> None:
    grid = taken_over
    bad, honest = grid.workers
    gate = tmp_path / "gate"

    def wait_for(path: str) -> str:
        import time

        while not os.path.exists(path):
            time.sleep(0.005)
        return "the truth"

    results: list[Any] = []
    call = grid.template(wait_for, str(gate))
    waiting = threading.Thread(target=lambda: results.extend(grid.O.transfer(call, honest, collect=True)))
    waiting.start()
    wait_until(lambda: grid.O.statistics()["calls_in_flight"], what="the call is under way")
    lie = encode_result("a lie").joined()
    ids = grid.O._node.transfers.inflight.slots
    for source, numbers in ((bad, list(range(1, 200))), (honest, list(ids)[:5])):
        grid.call(say, "RESULT", grid.O.gridUniqueName, source, lie, numbers, to=bad, first=True)
    refusal = order(op="refused", target=node_id(honest), reason="is gone, it is said")
    grid.call(say, "REFUSED", grid.O.gridUniqueName, bad, refusal, list(range(1, 200)), to=bad, first=True)
    grid.call(os.getpid, to=bad)
    gate.touch()
    waiting.join(20)
    assert results == ["the truth"]


@pytest.mark.parametrize("lie", ["in the name of another executor", "without a meaning"])
def test_who_keeps_lying_is_put_out_and_stays_away(make_grid: MakeGrid, lie: str) -> None:
    grid = make_grid(managers=1, workers=0, logKwargs=QUIET)
    bad, honest = grid.launch("Worker", grid.managers[0], 2, executorKwargs={"relaunch": True, "logKwargs": QUIET})
    said = grid.listen()
    source = honest if "name" in lie else bad
    body = order(op="turned_away", reason=7)
    grid.call(say, "CONTROL", grid.managers[0], source, body, list(range(9)), to=bad, first=True)
    assert grid.call(os.getpid, to=[bad, honest]) == [pid_in(bad), pid_in(honest)]
    (status,) = grid.call(say, "CONTROL", grid.managers[0], source, body, [9], to=bad, first=True, returnResult=False)
    wait_until(lambda: bad not in grid.O.workers, what="it is put out")
    (status,) = grid.call(os.getpid, to=bad)
    assert not status
    assert f"put out: 10 of its messages were none that it may send, the first {lie}" in status.error
    assert grid.one(os.getpid, to=honest) == pid_in(honest)
    wait_until(lambda: not is_alive(pid_in(bad)), what="its process is gone")
    assert sum(lie in line for line in said) == 2, said  # the first time, and the last
    assert grid.O.workers == [honest]


def test_a_grid_of_one_machine_listens_on_loopback_only_and_its_workers_not_at_all(taken_over: Grid) -> None:
    pids = {
        pid_in(name): name.partition("|")[0]
        for name in (*taken_over.routers, *taken_over.managers, *taken_over.workers)
    }
    listening = {}
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}") as file:
            for fields in (line.split() for line in file):
                if fields[3] == "0A":
                    listening[f"socket:[{fields[9]}]"] = fields[1].partition(":")[0]
    loopback = socket.inet_aton("127.0.0.1")[::-1].hex().upper()
    found: dict[str, int] = {}
    for pid, role in pids.items():
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                address = listening.get(os.readlink(f"/proc/{pid}/fd/{number}"))
            except OSError:
                continue
            if address is not None:
                assert address == loopback, (role, address)
                found[role] = found.get(role, 0) + 1
    assert found == {"router": 1, "manager": 1}
