"""A machine that only ssh reaches, and that reaches nobody; a cable that is pulled out for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Thread
from time import sleep
from typing import Any

import pytest
from tests.system.grids import MakeGrid
from tests.system.ssh_hosts import Namespace, SshHosts
from tests.system.watching import pid_in

pytestmark = pytest.mark.system

CUT_S = 5.0


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    yield made
    made.close()


def test_nothing_but_ssh_is_needed_in_either_direction(
    namespace: Namespace, hosts: SshHosts, make_grid: MakeGrid
) -> None:
    hosts.make("far", namespace=namespace)
    grid = make_grid(workers=0, rules=hosts.rules)
    statuses, ((manager),), failed = grid.O.launch_manager("far", timeout=30)
    assert failed == [], statuses
    upgrids = [manager["gridUniqueName"]] * 2 + [grid.O.gridUniqueName]
    statuses, workers, failed = grid.O.launch_worker(["far"] * 3, upgridUniqueName=upgrids, timeout=30)
    assert failed == [], statuses
    names = [each["gridUniqueName"] for each in workers]
    assert grid.call(os.getpid, to=names) == [pid_in(name) for name in names]
    large = os.urandom(1 << 20) * 4
    assert grid.call(lambda data: data[::-1], large, to=names[-1]) == [large[::-1]]

    def what_listens() -> list[str]:
        listening = []
        for table in ("tcp", "tcp6"):
            with open(f"/proc/net/{table}") as file:
                listening += [line.split()[1] for line in file if line.split()[3] == "0A"]
        return listening

    own = {f"0100007F:{port:04X}" for port in range(65536)}
    open_to_others = {place.rpartition(":")[2] for place in grid.one(what_listens, to=names[0]) if place not in own}
    assert open_to_others == {f"{hosts.hosts[0].port:04X}"}


def test_a_cable_that_is_out_for_a_while_loses_nothing(
    namespace: Namespace, hosts: SshHosts, make_grid: MakeGrid
) -> None:
    hosts.make("far", namespace=namespace)
    grid = make_grid(workers=0, rules=hosts.rules)
    statuses, ((worker),), failed = grid.O.launch_worker("far", timeout=30)
    assert failed == [], statuses
    name = worker["gridUniqueName"]
    results: list[Any] = []
    call = grid.template("lambda x, data: (x, len(data))")

    def work() -> None:
        for index in range(40):
            call["args"] = (index, bytes(200_000))
            results.extend(grid.O.transfer(call, name, collect=True, transferTimeout=60))
            if index == 10:
                namespace.cut()
                Thread(target=lambda: (sleep(CUT_S), namespace.heal())).start()

    work()
    assert results == [(index, 200_000) for index in range(40)]
    assert grid.O.workers == [name]
