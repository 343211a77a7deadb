"""A machine that cannot be used is told clearly, with the step and what ssh said; the others of the call come up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.ssh_hosts import SshHosts, find_python, make_key
from tests.system.watching import wait_until

pytestmark = pytest.mark.system


def refusal(grid: Grid, address: str, **kwargs: Any) -> str:
    """Launch a worker that must not come up; gives what was said."""
    statuses, successful, failed = grid.O.launch_worker(address, **{"timeout": 30, **kwargs})
    assert successful == []
    assert [item["executorAddress"] for item in failed] == [address]
    assert not statuses[0]
    assert address in statuses[0].error or address in statuses[0].name
    return str(statuses[0].error)


def test_a_key_that_does_not_fit(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far")
    (far.folder / "authorized_keys").write_text(make_key(far.folder / "another") + "\n")
    grid = make_grid(workers=0, rules=hosts.rules)
    said = refusal(grid, "far")
    assert "at step 'connect'" in said
    assert "exited with code 255" in said
    assert "Permission denied" in said


def test_a_machine_that_was_never_seen_is_not_trusted(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far", is_known=False)
    grid = make_grid(workers=0, rules=hosts.rules)
    said = refusal(grid, "far")
    assert "Host key verification failed" in said
    assert "ssh_accept_new_hosts" in said
    assert hosts.known.read_text() == ""


def test_a_machine_that_was_never_seen_is_trusted_where_the_rules_say_so(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far", is_known=False)
    grid = make_grid(workers=0, rules={**hosts.rules, "ssh_accept_new_hosts": True})
    statuses, successful, _ = grid.O.launch_worker("far", timeout=30)
    assert successful, statuses
    assert far.key in hosts.known.read_text()


@pytest.mark.parametrize("accepts", [False, True])
def test_a_machine_whose_key_has_changed_is_refused(hosts: SshHosts, make_grid: MakeGrid, accepts: bool) -> None:
    far = hosts.make("far", is_known=False)
    hosts.know("far", far.port, make_key(far.folder / "former"))
    grid = make_grid(workers=0, rules={**hosts.rules, "ssh_accept_new_hosts": accepts})
    assert "Host key verification failed" in refusal(grid, "far")


def test_a_machine_that_nobody_knows(hosts: SshHosts, make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules=hosts.rules)
    said = refusal(grid, "no-such-host.invalid")
    assert "at step 'connect'" in said
    assert "Could not resolve hostname" in said


def test_a_port_that_is_closed(hosts: SshHosts, make_grid: MakeGrid) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hosts.know("far", taken.getsockname()[1], None)
        grid = make_grid(workers=0, rules=hosts.rules)
        assert "Connection refused" in refusal(grid, "far", retry=1)


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield silent.getsockname()[1]


HANGS = {
    "find a Python": "exec sleep 600",
    "send softgrid": "case $* in *version_info*) echo '(3, 12)';; *) echo \"$3 $4 tag\"; exec sleep 600;; esac",
}
"""What a Python there does that hangs at a step."""


def test_machines_that_hang_are_told_with_their_step_and_ended_and_keep_nobody_waiting(
    hosts: SshHosts, make_grid: MakeGrid, silent_port: int
) -> None:
    hosts.make("far")
    hosts.know("silent", silent_port, None)
    hanging = {"silent": "connect"}
    for step, program in HANGS.items():
        host = hosts.make(step.split()[0], None)
        (host.bin / "python3").write_text(f"#!/bin/sh\n{program}\n")
        (host.bin / "python3").chmod(0o755)
        os.symlink(shutil.which("sleep") or "sleep", host.bin / "sleep")
        hanging[host.name] = step
    grid = make_grid(workers=0, rules=hosts.rules)
    started = monotonic()
    statuses, successful, failed = grid.O.launch_worker([*hanging, "far"], timeout=4)
    assert [item["executorAddress"] for item in successful] == ["far"]
    assert [item["executorAddress"] for item in failed] == list(hanging)
    for status, (name, step) in zip(statuses, hanging.items(), strict=False):
        assert f"at step '{step}'" in status.error
        assert name in status.error or name in status.name
    assert monotonic() - started < 5
    grid.O.disconnect(kill=False)
    for host in hosts.hosts:
        wait_until(lambda host=host: not host.executors(), what="what hangs is ended")  # type: ignore[misc]


def test_no_python_at_all(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far", None)
    grid = make_grid(workers=0, rules=hosts.rules)
    said = refusal(grid, "far")
    assert "at step 'find a Python'" in said
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python"):
        assert f"{name}: not found" in said


def test_a_python_that_is_too_old_is_named_and_the_next_one_tried(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far", None)
    os.symlink(find_python("3.8"), far.bin / "python3")
    grid = make_grid(workers=0, rules=hosts.rules)
    said = refusal(grid, "far")
    assert "has no Python 3.10 or newer" in said
    assert "python3: (3, 8)" in said
    os.symlink(find_python("3.12"), far.bin / "python3.12")
    statuses, successful, _ = grid.O.launch_worker("far", timeout=30)
    assert successful, statuses


def test_a_python_that_was_named_and_is_not_there(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    assert "/opt/no python: not found" in refusal(grid, "far", machineExecutable="/opt/no python")


def test_a_python_that_cannot_be_named_safely(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    for executable in ("py'thon", "-c", "a\nb", "a\\b"):
        assert "machineExecutable" in refusal(grid, "far", machineExecutable=executable)


def test_a_python_that_cannot_run(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far", None)
    (far.bin / "python3").write_text("#!/bin/sh\necho 'it is broken' >&2\nexit 3\n")
    (far.bin / "python3").chmod(0o755)
    grid = make_grid(workers=0, rules=hosts.rules)
    assert "python3: it is broken" in refusal(grid, "far")


def test_an_account_that_runs_no_commands(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far", sshd="ForceCommand /bin/echo This account is closed >&2; exit 7")
    grid = make_grid(workers=0, rules=hosts.rules)
    said = refusal(grid, "far", retry=0)
    assert "at step 'connect'" in said
    assert "exited with code 7" in said
    assert "This account is closed" in said


def test_a_machine_that_prints_without_end(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far", sshd="ForceCommand yes")
    grid = make_grid(workers=0, rules=hosts.rules)
    assert "prints without end" in refusal(grid, "far", retry=0)


def test_what_start_up_files_print_is_passed_over(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far")
    (far.home / ".bashrc").write_text(
        "echo WELCOME; printf 'no end of line'; head -c 3000 /dev/urandom; echo >&2 oops\n"
    )
    far.own_files = far.files()
    grid = make_grid(workers=0, rules=hosts.rules)
    statuses, successful, _ = grid.O.launch_worker("far", timeout=30)
    assert successful, statuses


def test_a_full_or_read_only_disk_does_not_matter(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far")
    for each in (far.home, far.tmp):
        if subprocess.run(["chattr", "+i", str(each)], capture_output=True, check=False).returncode:
            each.chmod(0o500)
    try:
        grid = make_grid(workers=0, rules=hosts.rules)
        statuses, successful, _ = grid.O.launch_worker("far", timeout=30)
        assert successful, statuses
    finally:
        for each in (far.home, far.tmp):
            subprocess.run(["chattr", "-i", str(each)], capture_output=True, check=False)
            each.chmod(0o700)


def test_what_cannot_be_packed_is_told(hosts: SshHosts, make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    from softgrid._launch import ssh

    def fail(nonce: str) -> bytes:
        raise OSError("the disk is gone")

    far = hosts.make("far")
    monkeypatch.setattr(ssh, "program_there", fail)
    grid = make_grid(workers=0, rules=hosts.rules)
    assert "softgrid cannot be packed: OSError: the disk is gone" in refusal(grid, "far")
    assert far.executors() == []


def test_a_client_that_is_not_there(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, rules={"ssh_command": "/no/such/ssh -v"})
    said = refusal(grid, "far")
    assert "at step 'start ssh'" in said
    assert "/no/such/ssh" in said


@pytest.mark.parametrize("address", ["-oProxyCommand=touch x", "a b", "me@-x", "far;id", "ssh://", "u;x@far", "far:0"])
def test_what_is_no_address_is_refused(make_grid: MakeGrid, address: str) -> None:
    grid = make_grid(workers=0)
    statuses, successful, _ = grid.O.launch_worker(address, timeout=5)
    assert successful == []
    assert "accepted is" in statuses[0].error
