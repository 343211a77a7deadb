"""ssh without a terminal kills nothing at the other end: softgrid does, whatever ended the connection.

How a cut is told from an end, and what becomes of it, is tested in ``test_ssh_cuts``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.ssh_hosts import UNRESUMED, SshHost, SshHosts
from tests.system.watching import children_of, pid_in, shown, wait_until

pytestmark = pytest.mark.system

GONE_S = 5.0
ONCE = {"relaunch": False}


def launch(grid: Grid, role: str, address: Any, **kwargs: Any) -> list[str]:
    statuses, successful, failed = grid.O.launch_executor(
        address, role, **{"timeout": 30, "executorKwargs": ONCE, **kwargs}
    )
    assert failed == [], statuses
    return [item["gridUniqueName"] for item in successful]


def ssh_client() -> int:
    """The client that this process has started."""
    (client,) = [pid for pid in children_of(os.getpid()) if shown(pid).startswith("ssh:")]
    return client


def supervisor(host: SshHost, worker: str) -> int:
    from tests.system.watching import parent_of

    return parent_of(pid_in(worker))


def is_deaf() -> None:
    """Ignore every signal, start a process that hides, and never let go of the interpreter."""
    import ctypes
    import subprocess

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    ctypes.PyDLL(None).sleep(600)


ENDS: dict[str, Callable[[SshHost, str], int]] = {
    "the client": lambda host, worker: ssh_client(),
    "the server's session": lambda host, worker: host.sessions()[0],
    "the supervisor there": supervisor,
}


@pytest.mark.parametrize("which", ENDS)
def test_whatever_ends_the_connection_ends_everything_there(hosts: SshHosts, make_grid: MakeGrid, which: str) -> None:
    far = hosts.make("far")
    grid = make_grid(rules={**hosts.rules, **({} if which == "the supervisor there" else UNRESUMED)})
    manager, worker = launch(grid, "Manager", "far") + launch(grid, "Worker", "far")
    launch(grid, "Worker", ["far"] * 2, upgridUniqueName=manager)
    source = "\n".join(_source_of_is_deaf())
    grid.O.transfer(grid.template(source), worker, collect=False)
    wait_until(lambda: any("sleep 600" in _shown(pid) for pid in far.executors()), what="it hides a process")
    os.kill(ENDS[which](far, worker), signal.SIGKILL)
    wait_until(lambda: not far.executors(), GONE_S, f"nothing is left on far: {list(map(_shown, far.executors()))}")
    wait_until(lambda: grid.O.workers == grid.workers, what="the grid knows")
    grid.check_alive()


def _source_of_is_deaf() -> list[str]:
    import inspect

    return inspect.getsource(is_deaf).replace("    import ctypes\n", "    import ctypes, signal\n").splitlines()


def _shown(pid: int) -> str:
    try:
        return shown(pid)
    except OSError:
        return ""


def test_a_call_that_ran_when_the_connection_broke_says_so(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far")
    grid = make_grid(rules={**hosts.rules, **UNRESUMED})
    (worker,) = launch(grid, "Worker", "far")
    client = ssh_client()
    pids = grid.O.get_transfer_template("lambda: __import__('time').sleep(600)")
    batch: list[Any] = []
    import threading

    thread = threading.Thread(target=lambda: batch.append(grid.O.transfer(pids, worker, collect=True)))
    thread.start()
    wait_until(lambda: grid.one("lambda: 1") == 1)
    os.kill(client, signal.SIGKILL)
    thread.join(GONE_S)
    ((status,),) = batch
    assert not status
    assert "the connection to far is gone: ssh killed by signal 9 (SIGKILL)" in status.error
    assert "may have run" in status.error


def test_an_orchestrator_that_is_killed_leaves_nothing_on_any_machine(hosts: SshHosts, scripts: Scripts) -> None:
    far = hosts.make("far")
    script = scripts.start(
        f"""
        Globals.RULES.update({hosts.rules!r})
        O = Orchestrator()
        statuses, good, bad = O.launch_worker(['far', 'far', O.address], timeout=30)
        assert not bad, statuses
        say('up')
        time.sleep(600)
        """
    )
    script.await_output("up")
    assert len(far.executors()) >= 3
    script.signal(signal.SIGKILL)
    wait_until(lambda: not far.executors(), GONE_S, "nothing is left on far")
    assert script.end() == -signal.SIGKILL


def test_a_script_that_ends_leaves_nothing_on_any_machine(hosts: SshHosts, scripts: Scripts) -> None:
    far = hosts.make("far")
    scripts.run(
        f"""
        Globals.RULES.update({hosts.rules!r})
        O = Orchestrator()
        statuses, good, bad = O.launch_worker(['far', 'far'], timeout=30)
        assert not bad, statuses
        """
    )
    assert far.executors() == []


def test_an_executor_there_that_dies_is_mourned_alone(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    one, other = launch(grid, "Worker", ["far"] * 2)
    status = grid.call("lambda: __import__('os').kill(__import__('os').getpid(), 11)", to=one)[0]
    assert "killed by signal 11 (SIGSEGV)" in status.error
    assert grid.one(os.getpid, to=other) == pid_in(other)


def test_what_executors_there_print_is_logged_here(
    hosts: SshHosts, make_grid: MakeGrid, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    (worker,) = launch(grid, "Worker", "far")
    grid.one("lambda: print('hello from there')", to=worker)
    grid.one("lambda: __import__('os').write(1, b'and below Python' + bytes([10]))", to=worker)
    grid.O.disconnect(kill=False)
    said = capsys.readouterr().out
    assert "hello from there" in said
    assert "and below Python" in said


def test_a_launch_that_is_given_up_leaves_nothing(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far = hosts.make("far")
    may_go = hosts.folder / "may go"
    (far.home / ".bashrc").write_text(f"while [ ! -e '{may_go}' ]; do sleep 0.05; done\n")
    far.own_files = far.files()
    grid = make_grid(workers=0, rules=hosts.rules)
    statuses, successful, _ = grid.O.launch_worker("far", timeout=1)
    assert successful == []
    assert "at step 'connect'" in statuses[0].error
    may_go.touch()
    (late,) = launch(grid, "Worker", "far")
    assert grid.O.workers == [late]
