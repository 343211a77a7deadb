"""Passwords and keys stand nowhere that others could read: no command line, environment, file, log or repr."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.system.grids import MakeGrid, Traces
from tests.system.ssh_hosts import SshHosts

pytestmark = pytest.mark.system

SECRETS = ("secret-of-the-owner-7f3a", "secret-of-the-executor-91bd")


def test_no_secret_is_on_a_command_line_in_an_environment_or_on_a_disk(
    hosts: SshHosts, make_grid: MakeGrid, traces: Traces, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules, password=SECRETS[0])
    kwargs = {"password": SECRETS[1], "relaunch": False}
    statuses, successful, failed = grid.O.launch_manager("far", executorKwargs=kwargs, timeout=30)
    assert failed == [], statuses
    manager = successful[0]["gridUniqueName"]
    grid.O.launch_worker("far", executorKwargs=kwargs, upgridUniqueName=manager, timeout=30)
    refused = grid.O.launch_worker("nowhere.invalid", executorKwargs=kwargs, timeout=30, retry=0)
    assert not refused[0][0]

    seen = {
        pid: b"".join(_read(f"/proc/{pid}/{what}") for what in ("cmdline", "environ", "comm"))
        for pid in filter(str.isdigit, os.listdir("/proc"))
    }
    files = [path for folder in (hosts.folder, traces.folder) for path in folder.rglob("*") if path.is_file()]
    said = capsys.readouterr()
    texts = {"statuses": repr((statuses, successful, refused)).encode(), "log": (said.out + said.err).encode()}
    texts["owner"] = repr((grid.O, grid.O._node, grid.O._node.spec, grid.O.executorProperties)).encode()
    private = (hosts.folder / "id").read_bytes().splitlines()[-2]
    for secret in (*map(str.encode, SECRETS), private):
        assert [pid for pid, text in seen.items() if secret in text] == []
        assert [name for name, text in texts.items() if secret in text] == []
        assert [path for path in files if secret in path.read_bytes() and path.name != "id"] == []


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
