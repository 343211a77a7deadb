"""Passwords and keys stand nowhere that others could read: no command line, environment, file, log, repr or traceback,
on no machine and at no time of a grid's life."""

from __future__ import annotations

import os
import stat
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.ssh_hosts import SshHosts
from tests.system.watching import COOKIE, is_alive, pid_in, wait_until

from softgrid import Globals, Worker
from softgrid._io import certificate

pytestmark = pytest.mark.system

OWNERS, EXECUTORS = "secret-of-the-owner-7f3a", "secret-of-the-executors-91bd"
PROMISES, REQUESTS = "secret-of-a-promise-c2e8", "secret-of-a-request-55d0"
VISIBLE = ("cmdline", "environ", "comm", "stat")
LOOK_EVERY_S = 0.005


class Watch:
    """Reads what everybody may read of each process that comes while it watches, as often as it can."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, str], set[bytes]] = {}
        self.secrets: list[bytes] = []
        self._before = set(self._processes())
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    @staticmethod
    def _processes() -> list[int]:
        return list(map(int, filter(str.isdigit, os.listdir("/proc"))))

    def _watch(self) -> None:
        while not self._ends.wait(LOOK_EVERY_S):
            self.look()

    def look(self) -> None:
        """Read all of it once."""
        for pid in self._processes():
            if pid not in self._before or pid == os.getpid():
                for what in VISIBLE:
                    self.seen.setdefault((pid, what), set()).add(_read(f"/proc/{pid}/{what}"))

    def end(self) -> None:
        """Watch no longer."""
        self._ends.set()
        self._thread.join()


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.end()


@pytest.fixture
def first_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no logger in this process yet: the first one decides where everything is written."""
    monkeypatch.setattr(Globals.Logger, "_SingleLogger__thisInstance", None)


@pytest.fixture
def private_keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys of certificates that are made in this process."""
    made: list[bytes] = []
    load = certificate._load

    def note(context: Any, pem: bytes) -> None:
        made.append(pem.splitlines()[1])
        load(context, pem)

    monkeypatch.setattr(certificate, "_load", note)
    return made


def test_no_secret_is_on_a_command_line_in_an_environment_on_a_disk_or_in_what_is_said(
    hosts: SshHosts,
    make_grid: MakeGrid,
    watch: Watch,
    private_keys: list[bytes],
    first_logger: None,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    far, other = hosts.make("far"), hosts.make("other")
    log = tmp_path / "log"
    log.mkdir()
    files = {"logToFile": True, "logFileBasename": str(log / "grid"), "logFileFlag": True}
    grid = make_grid(workers=0, rules=hosts.rules, password=OWNERS, logKwargs=files)
    said: list[Any] = []
    manager, worker = _launch_with_passwords(grid, said)
    _use_passwords(grid, manager, worker, said)
    _fail_in_all_ways(grid, worker, said)
    assert private_keys
    wait_until(lambda: any(b"printed" in _read(str(path)) for path in log.iterdir()), what="it is logged to a file")
    watch.end()
    watch.look()

    secrets = [secret.encode() for secret in (OWNERS, EXECUTORS, PROMISES, REQUESTS)]
    secrets += [*private_keys, (hosts.folder / "id").read_bytes().splitlines()[-2]]
    on_disk = {path: path.read_bytes() for path in _files(tmp_path) if path.name not in ("id", "host_key")}
    assert any(path.parent == log for path in on_disk)
    opened = _opened_by({*far.executors(), *other.executors(), os.getpid()})
    printed = capfd.readouterr()
    said += [printed.out, printed.err, repr((grid.O, grid.O._node, grid.O._node.spec, grid.O.executorProperties))]
    assert "printed" in printed.out, "it is logged to the terminal"
    environments = {text for (_, what), texts in watch.seen.items() if what == "environ" for text in texts}
    assert any(COOKIE.encode() in text for text in environments), "processes of the grid were seen"
    for secret in secrets:
        assert [key for key, texts in watch.seen.items() if any(secret in text for text in texts)] == []
        assert [path for path, text in on_disk.items() if secret in text] == []
        assert [path for path, text in opened.items() if secret in text] == []
        assert [text for text in said if secret in str(text).encode()] == []


def test_what_a_grid_writes_on_any_machine_is_for_its_user_only(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far")
    grid = make_grid(rules=hosts.rules)
    statuses, successful, failed = grid.O.launch_worker("far", timeout=30)
    assert failed == [], statuses
    workers = [*grid.workers, successful[0]["gridUniqueName"]]

    def keep_something(executor: Any) -> str:
        assert executor.add_file("kept", "kept", b"x")
        return str(executor._node.home.path)

    kept = grid.call(keep_something, to=workers, first=True)
    for home in map(Path, kept):
        assert stat.S_IMODE(home.stat().st_mode) == 0o700, home
    assert Path(kept[1]).is_relative_to(far.tmp)


def _launch_with_passwords(grid: Grid, said: list[Any]) -> tuple[str, str]:
    kwargs = {"password": EXECUTORS, "relaunch": False}
    manager, *rest = grid.O.launch_manager("far", executorKwargs=kwargs, timeout=30)[1]
    name = manager["gridUniqueName"]
    statuses, workers, failed = grid.O.launch_worker(
        ["far", "far", "other"],
        executorKwargs=kwargs,
        upgridUniqueName=[name, name, grid.O.gridUniqueName],
        timeout=30,
    )
    assert failed == rest == [], statuses
    refused = grid.O.launch_worker(
        ["nowhere.invalid", "far"],
        machineExecutable=[None, "/no/such/python"],
        executorKwargs=kwargs,
        timeout=30,
        retry=0,
    )
    assert not any(refused[0])
    said += [statuses, workers, *refused]
    return name, workers[0]["gridUniqueName"]


def _use_passwords(grid: Grid, manager: str, worker: str, said: list[Any]) -> None:
    (promise,) = grid.O.transfer_add_promise(worker, PROMISES, 60)
    assert promise["placed"]
    said.append(grid.call(lambda: 1, to=worker, promisePassword=PROMISES))
    asked = grid.O.transfer_request_to_responder(worker, REQUESTS, request="a question", timeout=20)
    assert asked
    said.append(asked)

    def tells_all(executor: Any) -> str:
        return repr((executor, executor._node, executor._node.spec, executor.executorProperties))

    def fails_with_all(executor: Any) -> None:
        print("printed", executor, executor._node.spec)
        raise ValueError(repr(executor), repr(executor._node.spec), executor.executorProperties)

    (told,) = grid.call(tells_all, to=worker, first=True)
    (failed,) = grid.call(fails_with_all, to=worker, first=True)
    assert worker in told
    assert worker in failed.error
    said += [told, failed, failed.error, *grid.call("statistics", to=[manager, worker])]


def _fail_in_all_ways(grid: Grid, worker: str, said: list[Any]) -> None:
    stranger = Worker(killAtDisconnect=False)
    for password in (OWNERS + "x", OWNERS.encode()):
        try:
            said.append(stranger.connect_to_grid("127.0.0.1", grid.O.port, password, timeout=10, blocking=False))
        except Exception:
            said.append(traceback.format_exc())
    stranger.disconnect(kill=False)
    said += [grid.O.transfer_remove_promise(worker, wrong)[0]["reason"] for wrong in ("wrong", 5 * "x")]
    said.append(grid.call(lambda: 1, to=worker, promisePassword=PROMISES + "x"))
    pid = pid_in(worker)
    said += grid.call("lambda: __import__('os').abort()", to=worker)
    wait_until(lambda: not is_alive(pid), what="the worker is gone")
    wait_until(lambda: worker not in grid.O.workers, what="the grid knows")


def _files(folder: Path) -> list[Path]:
    here = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return here + [Path("/dev/shm", name) for name in os.listdir("/dev/shm") if "softgrid" in name]


def _opened_by(pids: set[int]) -> dict[str, bytes]:
    """Give all files with a path that these processes have open, wherever they lie."""
    found = {}
    for pid in pids:
        for number in _listed(f"/proc/{pid}/fd"):
            try:
                path = os.readlink(f"/proc/{pid}/fd/{number}")
            except OSError:
                continue
            if path.startswith("/") and not path.startswith(("/memfd:", "/dev/")) and os.path.isfile(path):
                found[path] = _read(path)
    return found


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
