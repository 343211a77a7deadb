"""Over a weak link (20 ms, 1 % of the packets lost, 50 Mbit/s) all is as it is elsewhere, only slower.

How much slower is measured by the benchmark `weak_link`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from tests.system.grids import Grid
from tests.system.ssh_hosts import SshHosts
from tests.system.watching import pid_in
from tests.system.weak_links import WeakLink

pytestmark = pytest.mark.system

PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def link() -> Iterator[WeakLink]:
    made = WeakLink()
    yield made
    made.close()


@pytest.fixture(scope="module")
def far(link: WeakLink, shared_hosts: SshHosts, shared_grid: Grid) -> Grid:
    """A manager behind the link with two workers, and one worker beside it."""
    grid = shared_grid
    with shared_hosts.traces.applied():
        shared_hosts.make("far", namespace=link)
        (manager,) = launch(grid, "Manager", 1)
        grid.workers = launch(grid, "Worker", 2, upgridUniqueName=manager) + launch(grid, "Worker", 1)
    return grid


def launch(grid: Grid, role: str, count: int, **kwargs: Any) -> list[str]:
    statuses, successful, failed = grid.O.launch_executor(["far"] * count, role, timeout=60, **kwargs)
    assert failed == [], statuses
    return [item["gridUniqueName"] for item in successful]


def test_values_of_any_size_arrive_whole_and_in_order(far: Grid) -> None:
    assert far.call(os.getpid, to=far.workers) == [pid_in(name) for name in far.workers]
    for size in (1, 100_000, 1_500_000):
        data = os.urandom(size)
        for worker in far.workers[1:]:
            call = far.template(lambda given: given[::-1], data)
            assert far.O.transfer(call, worker, collect=True, transferTimeout=PATIENCE_S) == [data[::-1]]
    many = [far.template("lambda x: x", number) for number in range(300)]
    results = far.O.transfer(many, [far.workers[0]] * 300, collect=True, transferTimeout=PATIENCE_S)
    assert results == list(range(300))


def test_small_calls_pass_a_large_one_and_both_arrive(far: Grid) -> None:
    """One to another executor and one to the same, while much is on its way."""
    data = os.urandom(3_000_000)
    ends: list[str] = []

    def send_much() -> None:
        call = far.template(len, data)
        assert far.O.transfer(call, far.workers[0], collect=True, transferTimeout=PATIENCE_S) == [len(data)]
        ends.append("much")

    thread = Thread(target=send_much)
    thread.start()
    for worker in far.workers:
        little = far.template("lambda: 5", priority=None)
        assert far.O.transfer(little, worker, collect=True, transferTimeout=PATIENCE_S) == [5]
    ends.append("little")
    thread.join()
    assert sorted(ends) == ["little", "much"]


def test_a_module_of_the_user_comes_over_it(far: Grid, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sg_weak.py").write_text("VALUE = 7\n" + "# words\n" * 50_000)
    monkeypatch.syspath_prepend(tmp_path)
    call = far.template("lambda: __import__('sg_weak').VALUE")
    assert far.O.transfer(call, far.workers, collect=True, transferTimeout=PATIENCE_S) == [7] * 3
