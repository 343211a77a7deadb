"""A machine that only ssh reaches, and that reaches nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.system.grids import MakeGrid
from tests.system.ssh_hosts import Namespace, SshHosts
from tests.system.watching import pid_in

pytestmark = pytest.mark.system


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
