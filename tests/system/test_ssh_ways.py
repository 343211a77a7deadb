"""Whatever way the user's own ``ssh host`` goes, launching goes: jump hosts, agents, ports, users, IPv6, gateways."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.ssh_hosts import UNRESUMED, Namespace, SshHost, SshHosts, can_connect
from tests.system.watching import children_of, pid_in, shown, wait_until

from softgrid._model.names import parse_name

pytestmark = pytest.mark.system

ONCE = {"relaunch": False}
ME = pwd.getpwuid(os.getuid()).pw_name

MakeNetwork = Callable[..., Namespace]


@pytest.fixture
def make_network() -> Iterator[MakeNetwork]:
    """Makes networks that end with the test, each joined by a cable to this one or to another."""
    made: list[Namespace] = []

    def make(beside: Namespace | None = None, **kwargs: Any) -> Namespace:
        made.append(Namespace(beside, **kwargs))
        return made[-1]

    yield make
    for network in made:
        network.close()


def launch(grid: Grid, role: str, address: Any, **kwargs: Any) -> list[str]:
    """Launch executors, all of which must come up; gives their names."""
    statuses, successful, failed = grid.O.launch_executor(
        address, role, **{"timeout": 30, "executorKwargs": ONCE, **kwargs}
    )
    assert failed == [], statuses
    return [item["gridUniqueName"] for item in successful]


def home_of(grid: Grid, name: str) -> str:
    return str(grid.one("lambda: __import__('os').environ['HOME']", to=name))


# -- where a machine is ----------------------------------------------------------------------------


def test_every_way_to_write_an_address_gets_there(
    make_network: MakeNetwork, hosts: SshHosts, make_grid: MakeGrid
) -> None:
    """Host, port, user and IP version come from the address, ``machineUser`` or the client's configuration."""
    network = make_network()
    if len(network.addresses) < 2:
        pytest.skip("this machine has no IPv6")
    far = hosts.make("far", namespace=network)
    hosts.add_options("anyone", f"HostName {far.address}\nPort {far.port}\nHostKeyAlias far\nUser nobody-of-that-name")
    for address in far.addresses:
        shown_as = f"[{address}]:{far.port}"
        hosts.trust(shown_as, far.key)
        hosts.trust(address, far.key)
    hosts.add_options(far.addresses[1], f"Port {far.port}")
    four, six = far.addresses
    addresses = [
        "far",
        f"{ME}@anyone",
        f"ssh://{four}:{far.port}",
        f"ssh://{ME}@{four}:{far.port}",
        f"{four}:{far.port}",
        f"ssh://{ME}@[{six}]:{far.port}",
        f"[{six}]:{far.port}",
        f"{ME}@{six}",
        "ssh://far",
    ]
    grid = make_grid(workers=0, rules=hosts.rules)
    names = launch(grid, "Worker", addresses)
    names += launch(grid, "Worker", "anyone", machineUser=ME)
    assert [parse_name(name).address for name in names] == [
        "far", "anyone", four, four, four, six, six, six, "far", "anyone",
    ]  # fmt: skip
    assert grid.call(os.getpid, to=names) == [pid_in(name) for name in names]
    assert {home_of(grid, name) for name in names} == {str(far.home)}
    assert len(far.sessions()) == 7, "one connection for each user, address and port"


def test_a_user_whom_the_machine_does_not_know_is_refused(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    for kwargs in ({"executorAddress": "nobody-of-that-name@far"}, {"machineUser": "nobody-of-that-name"}):
        statuses, successful, _ = grid.O.launch_worker(**{"executorAddress": "far", "timeout": 30, **kwargs})
        assert successful == []
        assert "nobody-of-that-name@far" in statuses[0].error
        assert "Permission denied" in statuses[0].error
    assert far.executors() == []


# -- whose keys ------------------------------------------------------------------------------------


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """An agent that knows no keys until it is given them."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    wait_until(socket.exists, what="the agent listens")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))

    def add(key: Path) -> None:
        subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)

    yield add
    process.terminate()
    process.wait()


def test_a_key_that_only_an_agent_holds(
    hosts: SshHosts, make_grid: MakeGrid, agent: Callable[[Path], None], tmp_path: Path
) -> None:
    hosts.make("far")
    agent(hosts.identity)
    hosts.identity.rename(tmp_path / "put away")
    grid = make_grid(workers=0, rules=hosts.rules)
    (worker,) = launch(grid, "Worker", "far")
    inherited = "lambda: __import__('os').environ.get('SSH_AUTH_SOCK')"
    assert grid.one(inherited, to=worker) is None, "the agent was forwarded"


def test_a_key_with_a_passphrase_asks_nobody(
    hosts: SshHosts, make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not even by a window: what ssh would open one with is not started, also not for a jump host."""
    gate, far = hosts.make("gate"), hosts.make("far")
    hosts.add_options("beyond", f"HostName {far.address}\nPort {far.port}\nHostKeyAlias far\nProxyJump gate")
    asks, asked = tmp_path / "asks", tmp_path / "asked"
    asks.write_text(f"#!/bin/sh\ntouch {asked}\n")
    asks.chmod(0o700)
    for name, value in {"DISPLAY": ":9", "SSH_ASKPASS": str(asks), "SSH_ASKPASS_REQUIRE": "force"}.items():
        monkeypatch.setenv(name, value)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "a phrase", "-f", str(hosts.identity)], check=True)
    grid = make_grid(workers=0, rules=hosts.rules)
    started = monotonic()
    statuses, successful, _ = grid.O.launch_worker(["far", "beyond"], timeout=20, retry=0)
    assert successful == []
    for status in statuses:
        assert "at step 'connect'" in status.error
        assert "Permission denied" in status.error
    assert monotonic() - started < 10
    assert not asked.exists()
    assert gate.executors() == far.executors() == []


# -- through others --------------------------------------------------------------------------------


def test_a_jump_host_of_the_users_configuration(
    make_network: MakeNetwork, hosts: SshHosts, make_grid: MakeGrid
) -> None:
    """The keys are the user's own, at both; the jump host runs nothing of ours."""
    between = make_network(only_ssh=False)
    gate = hosts.make("gate", namespace=between)
    inner = hosts.make("inner", namespace=make_network(between))
    hosts.add_options("beyond", f"HostName {inner.address}\nPort {inner.port}\nHostKeyAlias inner\nProxyJump gate")
    assert not can_connect([], inner.address, inner.port)
    assert gate.reaches(inner)
    grid = make_grid(workers=0, rules={**hosts.rules, **UNRESUMED})
    (manager,) = launch(grid, "Manager", "beyond")
    workers = launch(grid, "Worker", ["beyond"] * 2, upgridUniqueName=manager)
    assert {home_of(grid, name) for name in workers} == {str(inner.home)}
    large = os.urandom(1 << 20) * 3
    assert grid.one(lambda data: data[::-1], large, to=workers[1]) == large[::-1]
    assert gate.executors() == []
    assert len(gate.sessions()) == len(inner.sessions()) == 1
    clients = [pid for pid in children_of(os.getpid()) if shown(pid).startswith("ssh:")]
    assert len(clients) == 1
    os.kill(clients[0], signal.SIGKILL)
    wait_until(lambda: not inner.executors(), 5, "nothing is left behind the jump host")
    wait_until(lambda: not gate.sessions(), 5, "the client has left the jump host")


def test_a_jump_host_that_refuses_is_told_apart(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("gate", sshd="AllowTcpForwarding no")
    far = hosts.make("far")
    hosts.add_options("beyond", f"HostName {far.address}\nPort {far.port}\nHostKeyAlias far\nProxyJump gate")
    grid = make_grid(workers=0, rules=hosts.rules)
    statuses, successful, _ = grid.O.launch_worker(["beyond", "far"], timeout=30, retry=0)
    assert [item["executorAddress"] for item in successful] == ["far"]
    assert "administratively prohibited" in statuses[0].error


def test_a_router_on_a_gateway_uses_the_keys_and_the_configuration_of_the_gateway(
    make_network: MakeNetwork, hosts: SshHosts, make_grid: MakeGrid
) -> None:
    """Ours do not open the inner machines, which only the gateway reaches and knows the names of."""
    between = make_network(only_ssh=False)
    gate = hosts.make("gate", namespace=between)
    keys_of_gate = SshHosts(hosts.folder, hosts.traces)
    try:
        inner = [keys_of_gate.make(f"inner{index}", namespace=make_network(between)) for index in range(2)]
        assert not any(can_connect([], host.address, host.port) for host in inner)
        rules = {**hosts.rules, **UNRESUMED, "overload_machine_rules": {"gate": keys_of_gate.rules}}
        grid = make_grid(workers=0, rules=rules)
        (router,) = launch(grid, "Router", "gate")
        managers = launch(grid, "Manager", ["inner0", "inner1"], upgridUniqueName=router)
        workers = launch(grid, "Worker", ["inner0", "inner1"], upgridUniqueName=managers)
        assert [home_of(grid, name) for name in workers] == [str(host.home) for host in inner]
        assert grid.call(len, b"x" * 300_000, to=workers) == [300_000] * 2
        assert all(_client_key_of(host, keys_of_gate) for host in inner)
        statuses, successful, _ = grid.O.launch_worker("inner0", timeout=20, retry=0)
        assert successful == []
        assert "Could not resolve hostname" in statuses[0].error
        os.kill(gate.sessions()[0], signal.SIGKILL)
        for host in (gate, *inner):
            wait_until(lambda host=host: not host.executors(), 5, f"nothing is left on {host.name}")  # type: ignore[misc]
    finally:
        keys_of_gate.close()


def _client_key_of(host: SshHost, owner: SshHosts) -> bool:
    """Whether who logged in there had the key of *owner*."""
    public = owner.identity.with_suffix(".pub")
    told = subprocess.run(["ssh-keygen", "-lf", str(public)], capture_output=True, text=True, check=True).stdout
    return f"Accepted publickey for {ME}" in host.log and told.split()[1] in host.log


def test_a_connection_that_is_open_already_is_used(hosts: SshHosts, make_grid: MakeGrid, tmp_path: Path) -> None:
    """By ControlPath of the user's configuration; what was launched ends with ours, and the user's own stays open."""
    far = hosts.make("far")
    shared = tmp_path / "open"
    hosts.add_options("far", f"ControlPath {shared}")
    master = subprocess.Popen([*hosts.rules["ssh_command"], "-M", "-N", "far"], stdin=subprocess.DEVNULL)
    try:
        wait_until(shared.exists, what="the user's connection is open")
        grid = make_grid(workers=0, rules={**hosts.rules, **UNRESUMED})
        (worker,) = launch(grid, "Worker", "far")
        assert grid.one(os.getpid, to=worker) == pid_in(worker)
        assert len(far.sessions()) == 1
        clients = [pid for pid in children_of(os.getpid()) - {master.pid} if shown(pid).startswith("ssh:")]
        assert len(clients) == 1
        os.kill(clients[0], signal.SIGKILL)
        wait_until(lambda: not far.executors(), 5, "nothing is left on far")
        assert master.poll() is None
    finally:
        master.terminate()
        master.wait()


# -- servers that allow little ---------------------------------------------------------------------

FORBIDDEN = {
    "forwarding": "AllowTcpForwarding no\nAllowStreamLocalForwarding no",
    "everything": "DisableForwarding yes\nPermitTTY no\nAllowAgentForwarding no\nX11Forwarding no\nPermitTunnel no\n"
    "MaxSessions 1",
}


def test_servers_that_forbid_what_we_do_not_need_are_as_good_as_any(hosts: SshHosts, make_grid: MakeGrid) -> None:
    for name, forbidden in FORBIDDEN.items():
        hosts.make(name, sshd=forbidden)
    names = list(FORBIDDEN)
    grid = make_grid(workers=0, rules=hosts.rules)
    managers = launch(grid, "Manager", names)
    direct = launch(grid, "Worker", names)
    workers = launch(grid, "Worker", names * 2, upgridUniqueName=managers * 2) + direct
    assert grid.call(os.getpid, to=workers) == [pid_in(name) for name in workers]
    large = os.urandom(1 << 20) * 3
    assert grid.call(lambda data: data[::-1], large, to=direct) == [large[::-1]] * 2
    assert [len(host.sessions()) for host in hosts.hosts] == [1, 1]


def test_a_server_that_lets_in_few_at_a_time_lets_in_all(hosts: SshHosts, make_grid: MakeGrid) -> None:
    """Nine machines behind one sshd that begins to turn away at the third who has not logged in yet."""
    crowd = hosts.make("crowd", sshd="MaxStartups 3:100:3\nPerSourceMaxStartups none")
    names = [f"alias{index}" for index in range(9)]
    for name in names:
        hosts.add_options(name, f"HostName {crowd.address}\nPort {crowd.port}\nHostKeyAlias crowd")
    grid = make_grid(workers=0, rules=hosts.rules)
    workers = launch(grid, "Worker", names, timeout=60, retry=40)
    assert {parse_name(name).address for name in workers} == set(names)


# -- login shells ----------------------------------------------------------------------------------


SHELLS = ("dash", "rbash", "zsh", "fish", "tcsh", "csh", "ksh", "busybox sh")


def test_login_shells_that_are_not_bash(hosts: SshHosts, make_grid: MakeGrid) -> None:
    for shell in SHELLS:
        name, *words = shell.split()
        found = shutil.which(name)
        if found is None:
            continue
        command = " ".join([found, *words])
        far = hosts.make(name, sshd=f'ForceCommand {command} -c "$SSH_ORIGINAL_COMMAND"')
        environment = {"HOME": str(far.home), "PATH": os.environ["PATH"]}
        subprocess.run([*command.split(), "-c", "exit"], env=environment, check=True)
        far.own_files = far.files()  # a few shells make folders for themselves
    if not hosts.hosts:
        pytest.skip(f"there is none of {', '.join(SHELLS)} on this machine")
    grid = make_grid(workers=0, rules=hosts.rules)
    workers = launch(grid, "Worker", [host.name for host in hosts.hosts], timeout=60)
    assert grid.call("lambda: 5", to=workers) == [5] * len(workers)
