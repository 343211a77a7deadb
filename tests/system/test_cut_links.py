"""Links of executors that joined by hand are cut: a short cut loses nothing, a long one fences both ends."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from tests.harness.wires import Proxy
from tests.system.grids import Grid, MakeGrid, Running, Scripts
from tests.system.guests import PASSWORD, Bare, Namespaces, a_guest, await_guest, namespaces
from tests.system.test_joining import QUIET, ended
from tests.system.test_launch_scripts import start_far
from tests.system.watching import is_alive, wait_until

pytestmark = pytest.mark.system

CUT_S = 5.0


@pytest.fixture
def host(make_grid: MakeGrid) -> Grid:
    return make_grid(workers=0, password=PASSWORD, logKwargs=QUIET)


@pytest.fixture
def proxy(host: Grid) -> Iterator[Proxy]:
    made = Proxy(host.O.port)
    yield made
    made.close()


@pytest.fixture
def bare(scripts: Scripts, tmp_path: Path) -> Bare:
    return Bare(scripts, tmp_path)


@pytest.fixture
def cable(scripts: Scripts) -> Iterator[Namespaces]:
    with namespaces(scripts.traces.mark) as made:
        if made is None or shutil.which("nft") is None:
            pytest.skip("networks cannot be made or filtered here")
        yield made


class Ledger:
    """Numbered calls that an executor is sent without waiting; each notes its number where it runs."""

    def __init__(self, grid: Grid, name: str, folder: Path) -> None:
        self._grid = grid
        self._name = name
        self._path = folder / "ledger"
        self.sent = 0

    def send(self, count: int, size: int = 10) -> None:
        def note(path: str, number: int, load: bytes) -> None:
            import os

            ledger = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(ledger, b"%d\n" % number)
            os.close(ledger)

        for _ in range(count):
            call = self._grid.O.get_transfer_template(note, (str(self._path), self.sent, bytes(size)))
            self._grid.O.transfer(call, self._name)
            self.sent += 1

    def check(self) -> None:
        """All have run, once, in the order in which they were sent."""
        assert self._grid.one("lambda: 'the last'", to=self._name) == "the last"
        assert self._path.read_text().split() == list(map(str, range(self.sent)))


def joins(host: Grid, scripts: Scripts, proxy: Proxy, **options: Any) -> tuple[Running, str]:
    """Have a guest join that knows it, too: before, a cut of its connection is the end."""
    running = a_guest(scripts, host, port=proxy.port, **options)
    name = await_guest(host)
    assert host.one(lambda: 5, to=name) == 5
    return running, name


def test_resets_in_the_middle_of_frames_lose_nothing_and_repeat_nothing(
    host: Grid, scripts: Scripts, proxy: Proxy, tmp_path: Path
) -> None:
    _, name = joins(host, scripts, proxy)
    ledger = Ledger(host, name, tmp_path)
    for cut in range(6):
        connections = proxy.connections
        proxy.reset_after(1 + 7919 * cut**2)
        ledger.send(100)
        ledger.send(5, 300_000)
        wait_until(lambda count=connections: proxy.connections > count, what="it came back")  # type: ignore[misc]
    ledger.check()
    large = os.urandom(3_000_000)
    proxy.reset_after(1_000_000)
    assert host.one(lambda data: data[::-1], large, to=name) == large[::-1]
    assert host.O.workers == [name]


def test_a_darkness_shorter_than_the_tolerance_loses_nothing(
    host: Grid, scripts: Scripts, proxy: Proxy, tmp_path: Path
) -> None:
    _, name = joins(host, scripts, proxy)
    ledger = Ledger(host, name, tmp_path)
    ledger.send(50, 20_000)
    proxy.go_dark()
    healing = threading.Timer(CUT_S, proxy.heal)
    healing.start()
    ledger.send(200, 20_000)
    healing.join()
    ledger.check()
    assert host.O.workers == [name]


def test_a_manager_that_is_cut_off_keeps_its_workers_and_they_their_work(
    host: Grid, scripts: Scripts, proxy: Proxy, tmp_path: Path
) -> None:
    joins_as = a_guest(scripts, host, "Manager", port=proxy.port, kwargs=f"logKwargs={QUIET}")
    workers = host.launch("Worker", await_guest(host, "managers"), 2)
    ledger = Ledger(host, workers[0], tmp_path)
    for _ in range(3):
        ledger.send(100, 3000)
        proxy.reset()
    ledger.check()
    assert sorted(host.O.workers) == sorted(workers)
    assert is_alive(joins_as.pid)


def test_who_knows_the_password_but_not_the_secret_takes_no_link_over(host: Grid, scripts: Scripts) -> None:
    from time import monotonic

    from softgrid._model.errors import HandshakeFailed
    from softgrid._node.knock import LinkGone, knock, resume_link

    a_guest(scripts, host)
    name = await_guest(host)
    (link,) = host.O._node._resuming._links
    for which, error in ((link, HandshakeFailed), (bytes(16), LinkGone)):
        stranger = knock("127.0.0.1", host.O.port, PASSWORD, monotonic() + 10)
        with pytest.raises(error):
            resume_link(stranger, which, bytes(32), 0, monotonic() + 10)
        stranger.close()
    assert host.one(lambda: 5, to=name) == 5


def test_a_guest_that_was_given_up_is_refused_and_ends(make_grid: MakeGrid, scripts: Scripts) -> None:
    """It was stopped while its connection broke; when it goes on, its place is not its own any more."""
    grid = make_grid(workers=0, password=PASSWORD, logKwargs=QUIET)
    proxy = Proxy(grid.O.port)
    try:
        running, name = joins(grid, scripts, proxy)
        call = grid.O.get_transfer_template("lambda: __import__('time').sleep(0.5)")
        grid.O.transfer(call, name)
        running.signal(signal.SIGSTOP)
        proxy.reset()
        wait_until(lambda: not grid.O.workers, what="it is given up")
        running.signal(signal.SIGCONT)
        assert ended(running) == 1
        assert "the other end has given it up" in running.output
        assert grid.O.workers == []
    finally:
        proxy.close()


# -- with a real network --------------------------------------------------------------------------

NUMBERED = """
def note(number):
    with open('ledger', 'a') as file:
        file.write(f'{number} ')
for number in range(300):
    O.transfer(O.get_transfer_template(note, (number,)), O.workers[0])
    if number in (50, 51): tell('sent', number)
    time.sleep(0.02 if number > 50 else 0)
tell('last', call(O, lambda: 'last'))
tell('workers', len(O.workers))
"""


@pytest.mark.parametrize("chain", ["input", "output"])
def test_packets_that_are_dropped_for_five_seconds_are_no_loss(
    scripts: Scripts, bare: Bare, cable: Namespaces, chain: str
) -> None:
    top = start_far(scripts, cable, NUMBERED, tolerance=20.0)
    path = scripts.traces.folder / "cwd" / "join.py"
    running = bare.start(path.read_text(), prefix=cable.inside(1))
    path.unlink()
    top.await_output(">> sent 51")
    cable.drop(chain)
    sleep(CUT_S)
    cable.heal()
    assert top.await_output(">> last") == "['last']"
    assert top.await_output(">> workers") == "1"
    ledger = bare.folder / "home" / "ledger"
    assert ledger.read_text().split() == list(map(str, range(300)))
    ledger.unlink()
    assert ended(top) == 0
    assert running.end() == 0


def test_a_cut_longer_than_the_tolerance_fences_both_ends(scripts: Scripts, bare: Bare, cable: Namespaces) -> None:
    then = """
def slow():
    import time
    time.sleep(600)
tell('working')
answer = call(O, slow)[0].error
tell('answer', answer)
tell('left', O.workers)
while not os.path.exists('healed'): time.sleep(0.01)
time.sleep(1)
tell('after', O.workers)
"""
    top = start_far(scripts, cable, then, tolerance=3.0)
    path = scripts.traces.folder / "cwd" / "join.py"
    running = bare.start(path.read_text(), prefix=cable.inside(1))
    path.unlink()
    top.await_output(">> working")
    cable.drop()
    answer = top.await_output(">> answer")
    assert "is gone" in answer
    assert "may have run" in answer
    assert ended(running) == 1
    assert "the grid is gone" in running.output
    cable.heal()
    healed = scripts.traces.folder / "cwd" / "healed"
    healed.touch()
    assert top.await_output(">> after") == "[]"
    healed.unlink()
    assert ended(top) == 0


def test_whoever_listens_is_killed_and_the_guest_ends_soon(scripts: Scripts, bare: Bare, cable: Namespaces) -> None:
    top = start_far(scripts, cable, "tell('up')\nsignal.pause()\n")
    path = scripts.traces.folder / "cwd" / "join.py"
    running = bare.start(path.read_text(), prefix=cable.inside(1))
    path.unlink()
    top.await_output(">> up")
    top.signal(signal.SIGKILL)
    assert running.end(5.0) == 1
    assert "Connection refused" in running.output
