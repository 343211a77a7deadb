"""The connection to another machine is cut: whoever lives at both ends goes on, and all that is sent arrives once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.ssh_hosts import Namespace, SshHost, SshHosts
from tests.system.test_cut_links import Ledger
from tests.system.test_ssh_ends import launch, ssh_client
from tests.system.watching import pid_in, wait_until

pytestmark = pytest.mark.system

CUT_S = 5.0
GONE_S = 5.0

CUTS: dict[str, Callable[[SshHost], int]] = {
    "the client": lambda host: ssh_client(),
    "the server's session": lambda host: host.sessions()[0],
}


@pytest.mark.parametrize("which", CUTS)
def test_a_connection_that_is_killed_under_load_loses_nothing_and_relaunches_nothing(
    hosts: SshHosts, make_grid: MakeGrid, tmp_path: Path, which: str
) -> None:
    far = hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    manager, worker = launch(grid, "Manager", "far") + launch(grid, "Worker", "far")
    (below,) = launch(grid, "Worker", "far", upgridUniqueName=manager)
    ledger = Ledger(grid, worker, tmp_path)
    for _ in range(3):
        client = ssh_client()
        ledger.send(60, 3000)
        os.kill(CUTS[which](far), signal.SIGKILL)
        ledger.send(60, 30_000)
        assert grid.one(os.getpid, to=below) == pid_in(below)
        wait_until(lambda former=client: ssh_client() != former, what="a new client")  # type: ignore[misc]
    ledger.check()
    large = os.urandom(1 << 20) * 9
    batch: list[Any] = []
    transfer = threading.Thread(target=lambda: batch.append(grid.one(lambda data: data[::-1], large, to=worker)))
    transfer.start()
    os.kill(CUTS[which](far), signal.SIGKILL)
    transfer.join()
    assert batch == [large[::-1]]
    assert sorted(grid.O.workers) == sorted([worker, below])
    assert grid.O.managers == [manager]


def test_a_call_that_runs_while_the_connection_is_cut_is_answered(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    (worker,) = launch(grid, "Worker", "far")
    results: list[Any] = []
    slow = threading.Thread(
        target=lambda: results.append(grid.one("lambda: __import__('time').sleep(1) or 'done'", to=worker))
    )
    slow.start()
    os.kill(ssh_client(), signal.SIGKILL)
    slow.join()
    assert results == ["done"]


def test_a_machine_that_takes_no_connection_any_more_is_given_up_at_both_ends(
    hosts: SshHosts, make_grid: MakeGrid
) -> None:
    far = hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    (worker,) = launch(grid, "Worker", "far")
    batch: list[Any] = []
    call = threading.Thread(target=lambda: batch.extend(grid.call("lambda: __import__('time').sleep(600)", to=worker)))
    call.start()
    wait_until(lambda: len(grid.O._node.transfers.inflight))
    session = far.sessions()[0]
    far.process.terminate()
    far.process.wait()
    os.kill(session, signal.SIGKILL)
    wait_until(lambda: not far.executors(), GONE_S, "nothing is left on far")
    call.join(GONE_S)
    ((status),) = batch
    assert "may have run" in status.error
    assert "Connection refused" in status.error
    assert grid.O.workers == []


def test_nobody_else_of_this_machine_takes_a_far_side_over(hosts: SshHosts, make_grid: MakeGrid) -> None:
    import socket

    far = hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    (worker,) = launch(grid, "Worker", "far")
    places = [line.split()[-1] for line in Path("/proc/net/unix").read_text().split("\n") if "@softgrid-" in line]
    inode_of = {os.readlink(f"/proc/{far.supervisor}/fd/{fd}") for fd in os.listdir(f"/proc/{far.supervisor}/fd")}
    (place,) = {
        line.split()[-1]
        for line in Path("/proc/net/unix").read_text().split("\n")
        if "@softgrid-" in line and f"socket:[{line.split()[6]}]" in inode_of
    }
    assert place in places
    (reads, writes), (hears, says) = os.pipe(), os.pipe()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect("\0" + place[1:])
        socket.send_fds(stranger, [b"0" * 32], [reads, says])
        assert os.read(hears, 64) == b"0" * 32 + b" back\n"
        os.write(writes, b"softgrid\0\1\0\0" + bytes(32) + bytes(32))
        assert stranger.recv(1) == b""
    for fd in (reads, writes, hears, says):
        os.close(fd)
    assert grid.one(os.getpid, to=worker) == pid_in(worker)


def test_an_orchestrator_that_is_killed_leaves_nothing_behind_a_gateway_either(
    hosts: SshHosts, scripts: Scripts
) -> None:
    """Each far side is told at once that its owner is gone, so that what they wait does not add up."""
    gate = hosts.make("gate")
    behind = SshHosts(hosts.folder, hosts.traces)
    inner = behind.make("inner")
    try:
        script = scripts.start(
            f"""
            Globals.RULES.update({{**{hosts.rules!r}, "overload_machine_rules": {{"gate": {behind.rules!r}}}}})
            O = Orchestrator()
            _, (router,), bad = O.launch_router('gate', timeout=30)
            statuses, good, bad = O.launch_worker('inner', upgridUniqueName=router['gridUniqueName'], timeout=30)
            assert not bad, statuses
            say('up')
            time.sleep(600)
            """
        )
        script.await_output("up")
        assert gate.executors()
        assert inner.executors()
        script.signal(signal.SIGKILL)
        wait_until(lambda: not (gate.executors() or inner.executors()), GONE_S, "nothing is left on both")
        assert script.end() == -signal.SIGKILL
    finally:
        behind.close()


# -- with a real network --------------------------------------------------------------------------


@pytest.fixture
def networks() -> Iterator[list[Namespace]]:
    """Two of them; what is done to both is waited for once."""
    if shutil.which("nft") is None:
        pytest.skip("packets cannot be filtered here")
    made: list[Namespace] = []
    try:
        made.extend(Namespace() for _ in range(2))
        yield made
    finally:
        for each in made:
            each.close()


def drop(namespace: Namespace, host: SshHost) -> None:
    """Swallow all that comes from outside; neither end is told."""
    rule = f"insert rule inet only input tcp dport {host.port} drop"
    subprocess.run([*namespace.command, "nft", rule], check=True)


def heal(namespace: Namespace, host: SshHost) -> None:
    subprocess.run([*namespace.command, "nft", "flush chain inet only input"], check=True)
    subprocess.run([*namespace.command, "nft", "add rule inet only input iifname lo accept"], check=True)
    subprocess.run([*namespace.command, "nft", f"add rule inet only input tcp dport {host.port} accept"], check=True)


def test_a_network_that_is_dark_for_a_while_is_no_loss(
    networks: list[Namespace], hosts: SshHosts, make_grid: MakeGrid, tmp_path: Path
) -> None:
    """What goes to one machine is dropped without a word, and the cable of the other one is out."""
    swallowed, unplugged = networks
    far = hosts.make("swallowed", namespace=swallowed)
    hosts.make("unplugged", namespace=unplugged)
    grid = make_grid(workers=0, rules=hosts.rules)
    workers = launch(grid, "Worker", ["swallowed", "unplugged"])
    for worker in workers:
        (tmp_path / worker).mkdir()
    ledgers = [Ledger(grid, worker, tmp_path / worker) for worker in workers]
    for ledger in ledgers:
        ledger.send(30, 20_000)
    drop(swallowed, far)
    unplugged.cut()
    healing = [threading.Timer(CUT_S, heal, [swallowed, far]), threading.Timer(CUT_S, unplugged.heal)]
    for each in healing:
        each.start()
    for ledger in ledgers:
        ledger.send(200, 20_000)
    for each in healing:
        each.join()
    for ledger in ledgers:
        ledger.check()
    assert sorted(grid.O.workers) == sorted(workers)


def test_a_cut_longer_than_the_tolerance_fences_both_ends(
    networks: list[Namespace], hosts: SshHosts, make_grid: MakeGrid
) -> None:
    """A far end asks its kernel about the connection that there is, also when that is not the one it began with."""
    begun = hosts.make("begun", namespace=networks[0])
    resumed = hosts.make("resumed", namespace=networks[1])
    grid: Grid = make_grid(workers=0, rules=hosts.rules, heartbeatTolerance=4)
    workers = launch(grid, "Worker", ["begun", "resumed"])
    first = resumed.sessions()
    os.kill(first[0], signal.SIGKILL)
    assert grid.one(os.getpid, to=workers[1]) == pid_in(workers[1])
    assert resumed.sessions() != first
    batch: list[Any] = []
    forever = "lambda: __import__('time').sleep(600)"
    call = threading.Thread(target=lambda: batch.extend(grid.call(forever, to=workers)))
    call.start()
    wait_until(lambda: len(grid.O._node.transfers.inflight) == len(workers))
    for network, host in zip(networks, (begun, resumed), strict=True):
        drop(network, host)
    wait_until(lambda: not (begun.executors() or resumed.executors()), 4 + GONE_S, "the far ends have ended themselves")
    call.join(GONE_S)
    assert ["may have run" in status.error for status in batch] == [True, True]
    assert grid.O.workers == []
    for network, host in zip(networks, (begun, resumed), strict=True):
        heal(network, host)
    again = launch(grid, "Worker", ["begun", "resumed"])
    assert grid.call(os.getpid, to=again) == [pid_in(name) for name in again]
