"""Much data towards somebody slow or stopped: relays stay small, and only what goes to it waits."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.moving import EVERYBODY_RUNS, WAYS, Borrowed, pass_no_descriptors
from tests.system.watching import PATIENCE_S, pid_in, wait_until

pytestmark = pytest.mark.system

np = pytest.importorskip("numpy")

MIB = 1024 * 1024
RELAY_GROWTH_MIB = 16
"""How much memory a relay may take for what passes it, whatever that is."""
FLOW_TIMEOUT_S = 60
KNOWN_PATIENCE_S = 3
HOLDS_UP = {
    ("shared", "sent", 100_000),
    ("streamed", "sent", 100_000),
    ("streamed", "sent", 8_000_000),
    ("streamed", "sibling", 4_000_000),
    ("streamed", "results", 4_000_000),
}
"""Where a relay still stops reading what others need: more may be under way to one receiver than it may hold."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """How large payloads travel."""
    way: str = request.param
    return way


@pytest.fixture
def patience(request: pytest.FixtureRequest, way: str) -> Callable[[str, int], float]:
    """How long others may wait for their answers meanwhile; says where they are known to wait in vain."""

    def patience(what: str, size: int) -> float:
        if (way, what, size) not in HOLDS_UP:
            return PATIENCE_S
        request.applymarker(pytest.mark.xfail(reason="a relay pauses a link that others need", strict=True))
        return KNOWN_PATIENCE_S

    return patience


@pytest.fixture
def chain(way: str, make_grid: MakeGrid) -> Grid:
    """Orchestrator ─ router ─ manager ─ three workers, with links that pass descriptors, or bytes only."""
    grid = make_grid(routers=1, managers=1, workers=3, rules=EVERYBODY_RUNS)
    if way == "streamed":
        pass_no_descriptors(grid)
    answer_meanwhile(grid, [*grid.workers, *grid.managers, *grid.routers])  # imports and first pages are not measured
    return grid


@pytest.fixture
def stop() -> Iterator[Callable[[str], None]]:
    """Stops executors, until the end of the test at the latest."""
    stopped: list[int] = []

    def stop(name: str) -> None:
        stopped.append(pid_in(name))
        os.kill(stopped[-1], signal.SIGSTOP)

    yield stop
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Peak:
    """How much memory processes take at most from now on, beyond what they have now."""

    def __init__(self, *names: str) -> None:
        self._start = {name: self._kib(name, "VmRSS") for name in names}
        for name in names:
            Path(f"/proc/{pid_in(name)}/clear_refs").write_text("5")

    @staticmethod
    def _kib(name: str, which: str) -> int:
        for line in Path(f"/proc/{pid_in(name)}/status").read_text().splitlines():
            if line.startswith(which):
                return int(line.split()[1])
        raise AssertionError(f"{name} has no {which}")

    def growth_mib(self) -> dict[str, float]:
        return {name: round((self._kib(name, "VmHWM") - start) / 1024, 1) for name, start in self._start.items()}

    def check_below(self, mib: float) -> None:
        """Fail when any of them took more."""
        growth = self.growth_mib()
        assert all(grown <= mib for grown in growth.values()), growth


class Sender:
    """A thread that sends to one receiver and never waits for an answer."""

    def __init__(self, grid: Grid, receiver: str, array: Any, count: int, name: str) -> None:
        self.sent = 0
        self.failed: list[Any] = []
        self.results: list[Any] = grid.O._executedReturned.setdefault(name, [])
        call = grid.template(lambda array: len(array), array, resultName=name)

        def send() -> None:
            for _ in range(count):
                status = grid.O.transfer(call, receiver)
                if status is not None:
                    self.failed.append(status)
                self.sent += 1

        self.thread = threading.Thread(target=send, daemon=True)
        self.thread.start()

    def wait_until_stuck(self, grid: Grid) -> None:
        """Wait until nothing more leaves for a while."""
        last = [(-1, -1)]

        def is_still() -> bool:
            now = (self.sent, grid.O.statistics()["bytes_sent"])
            still, last[0] = now == last[0], now
            return still

        wait_until(lambda: all(is_still() for _ in range(3) if not threading.Event().wait(0.1)), FLOW_TIMEOUT_S)


def wait_until_still(*names: str) -> None:
    """Wait until these executors do nothing any more: asked of the kernel, since they might not answer."""

    def ticks() -> list[str]:
        return [Path(f"/proc/{pid_in(name)}/schedstat").read_text().split()[0] for name in names]

    def are_still() -> bool:
        before = ticks()
        return not threading.Event().wait(0.3) and ticks() == before

    wait_until(are_still)


def answer_meanwhile(grid: Grid, names: list[str], patience: float = PATIENCE_S) -> None:
    """Check that small and middle-sized calls to others are answered, there and back."""
    for size in (1, 1_000, 30_000, 200_000):
        call = grid.template(lambda array: array + 1, np.zeros(size))
        results = grid.O.transfer(call, names, collect=True, transferTimeout=patience)
        assert [float(result.sum()) if isinstance(result, np.ndarray) else result.error for result in results] == [
            size
        ] * len(names)


# -- somebody is stopped ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1_000, 100_000, 8_000_000], ids=lambda size: f"{8 * size // 1000}kB")
def test_a_stopped_worker_holds_up_only_what_goes_to_it(chain: Grid, stop: Any, patience: Any, size: int) -> None:
    """A sender that never waits: memory is bounded everywhere, the others are served, and nothing is lost."""
    stopped, *others = chain.workers
    count = 2_000 if size == 1_000 else 1_000 if size == 100_000 else 12
    peak = Peak(*chain.routers, *chain.managers)
    stop(stopped)
    sender = Sender(chain, stopped, np.zeros(size), count, "flow")
    sender.wait_until_stuck(chain)
    assert sender.sent < count, "so much fits nowhere"
    answer_meanwhile(chain, [*others, *chain.managers, *chain.routers], patience("sent", size))
    peak.check_below(RELAY_GROWTH_MIB)
    os.kill(pid_in(stopped), signal.SIGCONT)
    sender.thread.join(FLOW_TIMEOUT_S)
    wait_until(lambda: len(sender.results) == count, FLOW_TIMEOUT_S)
    assert set(sender.results) == {size}
    assert sender.failed == []
    peak.check_below(RELAY_GROWTH_MIB)


def test_what_a_stopped_worker_was_sent_fails_when_it_dies(chain: Grid, stop: Any) -> None:
    """Whoever waits for room is woken by the death of whom it waits for."""
    borrowed = Borrowed(chain)
    stopped = chain.workers[0]
    stop(stopped)
    sender = Sender(chain, stopped, np.zeros(4_000_000), 12, "flow")
    sender.wait_until_stuck(chain)
    os.kill(pid_in(stopped), signal.SIGKILL)
    sender.thread.join(FLOW_TIMEOUT_S)
    assert not sender.thread.is_alive()
    assert sender.results == []
    answer_meanwhile(chain, chain.workers[1:])
    borrowed.check_back()


def test_a_stopped_worker_holds_up_a_sibling_only_towards_itself(
    chain: Grid, stop: Any, patience: Any, tmp_path: Path
) -> None:
    """The sender is a worker: what it sends to the stopped one waits, and it can still be called beside its queue."""
    stopped, sender, other = chain.workers
    stop(stopped)

    def flood(executor: Any, receiver: str, begun: str) -> int:
        open(begun, "w").close()
        call = executor.get_transfer_template(len, (np.zeros(4_000_000),), resultName="flow")
        for _ in range(12):
            executor.transfer(call, receiver)
        return 12

    flooding = chain.template(flood, stopped, str(tmp_path / "begun"), first=True, resultName="flooded")
    assert chain.O.transfer(flooding, sender) is None
    wait_until((tmp_path / "begun").exists)
    wait_until_still(sender, *chain.managers)
    answer_meanwhile(chain, [other, *chain.managers])
    call = chain.template(os.getpid, priority=None)
    allowed = patience("sibling", 4_000_000)
    assert chain.O.transfer(call, sender, collect=True, transferTimeout=allowed) == [pid_in(sender)]
    os.kill(pid_in(stopped), signal.SIGCONT)
    wait_until(lambda: chain.O._executedReturned.get("flooded") == [12], FLOW_TIMEOUT_S)


def test_results_for_somebody_who_is_stopped_hold_up_nobody_else(
    chain: Grid, stop: Any, patience: Any, tmp_path: Path
) -> None:
    """A worker asks another for much and is stopped: what comes for it waits, and whoever made it is still there."""
    asker, maker, other = chain.workers
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    os.mkfifo(gate)

    def ask(executor: Any, maker: str, gate: str, begun: str) -> int:
        def wait() -> Any:
            open(gate).close()
            open(begun, "w").close()
            return np.zeros(4_000_000)

        calls = [wait, *[lambda: np.zeros(4_000_000)] * 7]
        templates = [executor.get_transfer_template(call) for call in calls]
        return sum(len(result) for result in executor.transfer(templates, [maker] * 8, collect=True))

    peak = Peak(*chain.routers, *chain.managers)
    asking = chain.template(ask, maker, str(gate), str(begun), first=True, resultName="asked")
    assert chain.O.transfer(asking, asker) is None
    wait_until(lambda: chain.O.statistics(maker)["tasks_queued"] == 7)
    stop(asker)
    with open(gate, "w"):
        pass
    wait_until(begun.exists)
    wait_until_still(maker, *chain.managers)
    answer_meanwhile(chain, [other, maker, *chain.managers], patience("results", 4_000_000))
    peak.check_below(RELAY_GROWTH_MIB)
    os.kill(pid_in(asker), signal.SIGCONT)
    wait_until(lambda: chain.O._executedReturned.get("asked") == [32_000_000], FLOW_TIMEOUT_S)


# -- a gigabyte passes -----------------------------------------------------------------------------


def test_a_gigabyte_leaves_relays_as_small_as_they_were(make_grid: MakeGrid) -> None:
    """Over links that carry bytes only; small calls go on beside it, and are answered all the while."""
    grid = make_grid(routers=1, managers=1, workers=2, rules=EVERYBODY_RUNS)
    pass_no_descriptors(grid)
    call = grid.template(lambda array: array[::2].copy(), np.arange(32_000_000.0))
    small = grid.template(lambda: None)
    assert grid.O.transfer(small, grid.workers, collect=True) == [None, None]
    peak = Peak(*grid.routers, *grid.managers)
    totals: list[float] = []

    def flow() -> None:
        for _ in range(3):
            (result,) = grid.O.transfer(call, grid.workers[0], collect=True, transferTimeout=FLOW_TIMEOUT_S)
            totals.append(float(result[-1]))

    thread = threading.Thread(target=flow, daemon=True)
    thread.start()
    beside = 0
    while thread.is_alive():
        assert grid.O.transfer(small, grid.workers[1], collect=True, transferTimeout=PATIENCE_S) == [None]
        beside += 1
        thread.join(0.005)
    assert totals == [31_999_998.0] * 3
    assert beside > 30, "small calls do not wait for the bulk"
    peak.check_below(RELAY_GROWTH_MIB)
    relayed = [grid.O.statistics(name)["bytes_received"] for name in (*grid.routers, *grid.managers)]
    assert all(count > 1_000_000_000 for count in relayed), "it did pass them"
