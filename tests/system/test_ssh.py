"""Executors on machines that are reached over ssh, each with nothing but an sshd and a bare Python."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.ssh_hosts import SshHosts
from tests.system.watching import pid_in

pytestmark = pytest.mark.system


def launch(grid: Grid, role: str, address: Any, **kwargs: Any) -> list[str]:
    """Launch executors, all of which must come up; gives their names."""
    statuses, successful, failed = grid.O.launch_executor(address, role, timeout=30, **kwargs)
    assert failed == [], statuses
    return [item["gridUniqueName"] for item in successful]


def test_a_worker_on_a_bare_machine_runs_what_it_is_sent(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far")
    assert subprocess.run([far.python, "-c", "import softgrid"], capture_output=True, check=False).returncode == 1
    grid = make_grid(workers=0, rules=hosts.rules)
    (worker,) = launch(grid, "Worker", "far")

    def facts() -> tuple[Any, ...]:
        return sys.prefix, os.environ["HOME"], os.getpid(), os.listdir(os.environ["TMPDIR"])

    assert worker.startswith("worker|Worker@far[")
    prefix, home, pid, temporary = grid.one(facts, to=worker)
    assert (prefix, home, pid) == (str(far.bin.parent), str(far.home), pid_in(worker))
    assert temporary == [], "something was unpacked"
    assert far.files() == []
    grid.O.disconnect(kill=False)
    assert far.executors() == []


def test_the_executors_of_a_machine_share_one_connection(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    manager, *direct = launch(grid, "Manager", "far") + launch(grid, "Worker", ["far"] * 3)
    below = launch(grid, "Worker", ["far"] * 3, upgridUniqueName=manager)
    assert grid.call(os.getpid, to=direct + below) == [pid_in(name) for name in direct + below]
    assert len(far.sessions()) == 1


def test_large_values_travel_both_ways(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    workers = launch(grid, "Worker", ["far"] * 2)
    large = os.urandom(1 << 20) * 24
    assert grid.call(lambda data: data[::-1], large, to=workers) == [large[::-1]] * 2


def test_the_version_of_python_there_may_be_another(hosts: SshHosts, make_grid: MakeGrid) -> None:
    other = "3.10" if sys.version_info[:2] != (3, 10) else "3.13"
    hosts.make("far", other)
    grid = make_grid(workers=0, rules=hosts.rules)
    (worker,) = launch(grid, "Worker", "far")
    source = "lambda: __import__('sys').version_info[:2]"
    assert grid.one(source, to=worker) == tuple(map(int, other.split(".")))
