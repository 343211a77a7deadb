"""Rows S: what goes wrong on the way to another machine."""

from __future__ import annotations

import socket
from pathlib import Path
from time import monotonic

from tests.chaos.row import QUIET, Meanwhile, Run, row, until

ONCE = {"relaunch": False, "logKwargs": QUIET}


@row(
    "S1",
    "wrong, unknown and changed keys, no Python or a wrong one, start-up files that print, full and read-only disks",
    "the failure says which, nothing is left there",
    peers="Dask and Ray ignore host keys",
    limit_s=240,
)
def failures(run: Run) -> None:
    run.tests("tests/system/test_ssh_failures.py")


@row(
    "S2",
    "kill -9 of the local ssh, of the session of sshd and of the supervisor there",
    "what was there is resumed, or gone",
    peers="without a terminal ssh leaves the remote process [M]",
    limit_s=300,
)
def ends(run: Run) -> None:
    run.tests("tests/system/test_ssh_ends.py", "tests/system/test_ssh_cuts.py")


@row(
    "S3",
    "sshd admits two connections that have not logged in yet (MaxStartups 2), 20 machines are launched at once",
    "all come up",
)
def throttled(run: Run) -> None:
    hosts = run.hosts()
    host = hosts.make("far", sshd="MaxStartups 2:100:2")
    names = [f"far{number}" for number in range(run.times(20, 4))]
    for name in names:
        hosts.know(name, host.port, host.key)
    grid = run.grid(workers=0, rules=hosts.rules)
    began = monotonic()
    statuses, launched, failed = grid.O.launch_worker(names, timeout=90, executorKwargs=ONCE, retry=20)
    run.figure("failures", len(failed), f"of {len(names)}", 0)
    run.figure("all up after", monotonic() - began, "s")
    assert failed == [], statuses
    assert len(grid.O.workers) == len(names) == len(launched)


@row("S4", "ten of twenty machines do not answer", "the others are up at once")
def silent_machines(run: Run) -> None:
    hosts = run.hosts()
    host = hosts.make("far")
    count = run.times(10, 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        for number in range(count):
            hosts.know(f"good{number}", host.port, host.key)
            hosts.know(f"silent{number}", silent.getsockname()[1], None)
        grid = run.grid(workers=0, rules=hosts.rules)
        names = [f"{kind}{number}" for number in range(count) for kind in ("silent", "good")]
        launching = Meanwhile(lambda: grid.O.launch_worker(names, timeout=20, executorKwargs=ONCE, retry=0))
        took = until(lambda: len(grid.O.workers) == count, 30, "the good ones are up")
        statuses, launched, failed = launching.wait(60)
    run.figure("good ones up after", took, "s", 5)
    assert len(launched) == len(failed) == count, statuses
    assert all("connect" in status.error for status in statuses if not status), statuses


@row(
    "S5",
    "addresses, users and paths that would be options or commands",
    "they are refused and nothing is run",
    quick=True,
)
def injections(run: Run) -> None:
    here = Path("tests/system/test_ssh_failures.py")
    run.tests(f"{here}::test_what_is_no_address_is_refused", "tests/model/test_addresses.py")
