"""Whoever waits for a dead requester or responder hears of what it died; and a stuck responder holds up nobody else."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import pid_in, wait_until

from softgrid._state.windows import QUEUED_BYTES

pytestmark = pytest.mark.system

P = "a password"
LONG = 100
"""Seconds that no test can wait for: what ends sooner was ended by a death."""


@pytest.fixture
def wide(make_grid: MakeGrid) -> Grid:
    """orchestrator ─ router ─┬─ manager 0 ── worker 0, worker 1
    └─ manager 1 ── worker 2
    """
    grid = make_grid(routers=1, workers=0, logKwargs={"logToStdout": False})
    grid.managers = grid.launch("Manager", grid.routers[0], 2)
    grid.workers = grid.launch("Worker", [grid.managers[0], grid.managers[0], grid.managers[1]])
    return grid


class Meanwhile:
    """Something that a worker runs in the meantime, and what it gave in the end."""

    def __init__(self, grid: Grid, name: str, function: Any, *args: Any) -> None:
        self.results: list[Any] = []
        template = grid.template(function, *args, first=True, priority=None)
        self._thread = threading.Thread(
            target=lambda: self.results.extend(grid.O.transfer(template, name, collect=True)), daemon=True
        )
        self._thread.start()

    def result(self) -> Any:
        self._thread.join(LONG / 2)
        assert len(self.results) == 1, "it still waits"
        return self.results[0]


def ask(executor: Any, responder: str, password: str, seconds: float) -> Any:
    """Run by workers: ask and wait; gives why there is no answer."""
    executor.transfer_request_to_responder(responder, password, executor.gridUniqueName, errorLog=False)
    return executor.wait_for_response(password, timeout=seconds).failed[password].error


def take(executor: Any, password: str, seconds: float) -> Any:
    """Run by workers: take a request, and wait for another; gives why there is none."""
    first = executor.wait_for_request(password, timeout=seconds)[password]["requester"]
    executor.log_and_transfer("taken", first)
    return executor.wait_for_request(password, timeout=seconds).failed[password].error


def taken(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was seen to be asking, as workers say it in the log."""
    found: list[str] = []
    logs = grid.O._node.logs
    write = logs._write
    monkeypatch.setattr(
        logs,
        "_write",
        lambda record, *rest: found.append(record.message) if record.type == "taken" else write(record, *rest),
    )
    return found


def test_the_orchestrator_hears_of_the_death_of_its_responder(wide: Grid) -> None:
    responder = wide.workers[2]
    assert wide.O.transfer_request_to_responder(responder, P, 1)
    killer = threading.Timer(0.2, os.kill, (pid_in(responder), signal.SIGKILL))
    killer.start()
    responses = wide.O.wait_for_response(P, timeout=LONG)
    status = responses[P]["response"]["value"]
    assert not status
    assert status.error == f"{responder} is gone: killed by signal 9 (SIGKILL)"
    assert responses[P]["response_received_utctime"] is None
    status = wide.O.transfer_request_to_responder(responder, P, 1, errorLog=False)
    assert "killed by signal 9" in status.error
    assert "killed by signal 9" in wide.O.wait_for_response(P, timeout=LONG).failed[P].error
    wide.O.transfer_request_to_responder(wide.workers[0], P, 1)
    assert wide.O.release_request(P)


@pytest.mark.parametrize("victim", ["worker", "manager"])
@pytest.mark.parametrize("waits", ["requester", "responder"])
def test_workers_hear_of_each_others_death(
    wide: Grid, monkeypatch: pytest.MonkeyPatch, victim: str, waits: str
) -> None:
    seen = taken(wide, monkeypatch)
    requester, responder = (wide.workers[0], wide.workers[2]) if waits == "requester" else reversed(wide.workers[::2])
    taking = Meanwhile(wide, responder, take, P, LONG)
    asking = Meanwhile(wide, requester, ask, responder, P, LONG)
    wait_until(lambda: seen == [requester], what="the request was taken")
    dies = wide.workers[2] if victim == "worker" else wide.managers[1]
    os.kill(pid_in(dies), signal.SIGKILL)
    result = (asking if waits == "requester" else taking).result()
    assert f"{wide.workers[2]} is gone: " in result
    assert "killed by signal 9 (SIGKILL)" in result


def test_who_was_handed_a_request_and_who_asked_hear_of_each_others_death(wide: Grid, monkeypatch: Any) -> None:
    def hand_over(executor: Any, to: str, password: str) -> Any:
        request = executor.wait_for_request(password, timeout=20)[password]
        return bool(executor.transfer_asynchronous_request(request["requester"], to, password, request["request"]))

    seen = taken(wide, monkeypatch)
    requester, between, responder = wide.workers
    for dies, index in ((responder, 0), (requester, 1)):
        password = f"{P} {index}"
        if index:
            responder = wide.launch("Worker", wide.managers[1])[0]
        taking = Meanwhile(wide, responder, take, password, LONG)
        handing = Meanwhile(wide, between, hand_over, responder, password)
        asking = Meanwhile(wide, requester, ask, between, password, LONG)
        assert handing.result() is True
        wait_until(lambda: len(seen) == index + 1, what="the request was taken")  # noqa: B023
        os.kill(pid_in(dies), signal.SIGKILL)
        assert f"{dies} is gone: killed by signal 9" in (taking if index else asking).result()


def test_the_orchestrator_that_serves_hears_of_the_death_of_the_only_requester(wide: Grid) -> None:
    Meanwhile(wide, wide.workers[0], ask, wide.O.gridUniqueName, P, LONG)
    requester = wide.O.wait_for_request(P, timeout=LONG)[P]["requester"]
    assert wide.O.transfer_response_to_requester(requester, f"{P} wrong", 1, errorLog=False)
    threading.Timer(0.2, os.kill, (pid_in(requester), signal.SIGKILL)).start()
    requests = wide.O.wait_for_request(P, timeout=LONG)
    assert requests[P] is None
    assert requests.failed[P].error == f"{requester} is gone: killed by signal 9 (SIGKILL)"
    status = wide.O.transfer_response_to_requester(requester, P, 1, errorLog=False)
    assert "killed by signal 9" in status.error
    with pytest.raises(Exception, match="killed by signal 9"):
        wide.O.transfer_response_to_requester(requester, P, 1, errorLog=False, errorRaise=True, blocking=True)
    assert "killed by signal 9" in wide.O.transfer_release_request(requester, P).error


def resident(name: str) -> int:
    """The most memory that an executor has ever held, in bytes."""
    for line in Path(f"/proc/{pid_in(name)}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{name} has no memory")


def test_requests_that_nobody_answers_fill_no_relay(wide: Grid) -> None:
    """64 MiB of requests wait at their responder; the relays held little of it at any time."""
    responder, size, count = wide.workers[2], 32 * 1024, 2000
    wide.one(os.getpid, to=responder)
    before = [resident(name) for name in (wide.routers[0], wide.managers[1])]
    for number in range(count):
        assert wide.O.transfer_request_to_responder(responder, P, (number, b"x" * size), register=False)

    def numbers(executor: Any, password: str, count: int) -> list[int]:
        return [executor.wait_for_request(password, timeout=20)[password]["request"][0] for _ in range(count)]

    assert wide.one(numbers, P, count, to=responder, first=True) == list(range(count))
    after = [resident(name) for name in (wide.routers[0], wide.managers[1])]
    assert max(now - then for now, then in zip(after, before, strict=True)) < 16 * 1024 * 1024


def test_a_responder_that_is_stuck_holds_up_nobody_else(wide: Grid) -> None:
    stuck, other = wide.workers[:2]
    size = 32 * 1024
    wide.one(os.getpid, to=stuck)
    os.kill(pid_in(stuck), signal.SIGSTOP)
    sent: list[int] = []
    fits = QUEUED_BYTES // size

    def flood() -> None:
        for number in range(4 * fits):
            assert wide.O.transfer_request_to_responder(stuck, P, (number, b"x" * size), register=False)
            sent.append(number)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        wait_until(lambda: len(sent) >= fits - 1, what="as much was sent as there is room for")
        for _ in range(10):
            assert wide.one(os.getpid, to=other) == pid_in(other)
        assert wide.O.transfer_request_to_responder(other, f"{P} other", 1)
        assert len(sent) <= fits
        status = wide.O.transfer_request_to_responder(stuck, f"{P} soon", b"x" * size, timeout=0.05, errorLog=False)
        assert "has not taken what was sent to it before" in status.error
    finally:
        os.kill(pid_in(stuck), signal.SIGCONT)

    def numbers(executor: Any, password: str, count: int) -> list[int]:
        return [executor.wait_for_request(password, timeout=20)[password]["request"][0] for _ in range(count)]

    assert wide.one(numbers, P, 4 * fits, to=stuck, first=True) == list(range(4 * fits))
    thread.join(20)
    assert len(sent) == 4 * fits


def test_who_waits_for_room_at_a_stuck_responder_hears_of_its_death(wide: Grid) -> None:
    stuck = wide.workers[0]
    wide.one(os.getpid, to=stuck)
    os.kill(pid_in(stuck), signal.SIGSTOP)
    statuses: list[Any] = []

    def flood() -> None:
        while True:
            statuses.append(
                wide.O.transfer_request_to_responder(stuck, P, b"x" * 32768, register=False, errorLog=False)
            )
            if not statuses[-1]:
                return

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    wait_until(lambda: len(statuses) >= QUEUED_BYTES // 32768 - 1)
    os.kill(pid_in(stuck), signal.SIGKILL)
    thread.join(20)
    assert "killed by signal 9" in statuses[-1].error
