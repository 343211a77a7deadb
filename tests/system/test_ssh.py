"""Executors on machines that are reached over ssh, each with nothing but an sshd and a bare Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.ssh_hosts import SshHosts
from tests.system.watching import pid_in, wait_until

from softgrid._model.names import parse_name

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


def test_many_machines_come_up_at_the_same_time(hosts: SshHosts, make_grid: MakeGrid) -> None:
    names = [hosts.make(f"far{index}").name for index in range(3)]
    grid = make_grid(workers=0, rules=hosts.rules)
    workers = launch(grid, "Worker", names * 3)
    assert grid.call(os.getpid, to=workers) == [pid_in(name) for name in workers]
    assert {parse_name(name).address for name in workers} == set(names)


def test_a_router_on_a_gateway_launches_where_only_the_gateway_reaches(hosts: SshHosts, make_grid: MakeGrid) -> None:
    gate = hosts.make("gate")
    behind = SshHosts(hosts.folder, hosts.traces)
    inner = behind.make("inner")
    once = {"executorKwargs": {"relaunch": False}}
    try:
        rules = {**hosts.rules, "overload_machine_rules": {"gate": behind.rules}}
        grid = make_grid(workers=0, rules=rules)
        (router,) = launch(grid, "Router", "gate", **once)
        (manager,) = launch(grid, "Manager", "inner", upgridUniqueName=router, **once)
        workers = launch(grid, "Worker", ["inner"] * 2, upgridUniqueName=manager, **once)
        assert len(gate.sessions()) == len(inner.sessions()) == 1
        assert grid.call("lambda: __import__('os').environ['HOME']", to=workers) == [str(inner.home)] * 2
        large = os.urandom(1 << 20) * 3
        assert grid.one(lambda data: data[::-1], large, to=workers[1]) == large[::-1]
        os.kill(gate.supervisor, signal.SIGKILL)
        wait_until(lambda: not (gate.executors() or inner.executors()), what="nothing is left on both")
        grid.O.disconnect(kill=False)
    finally:
        behind.close()
