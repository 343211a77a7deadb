"""Rows X: who does not belong to the grid, and who does and is not honest."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
from pathlib import Path
from time import monotonic

from tests.chaos.row import Run, Unavailable, row, until
from tests.chaos.rows.memory import resident_mib
from tests.chaos.traffic import mutate_recorded_traffic
from tests.chaos.visits import visit_with_garbage
from tests.system.watching import pid_in

from softgrid._node.doorway import MAX_AT_THE_DOOR
from softgrid._node.knock import knock
from softgrid._wire.handshake import DEADLINE_S

PASSWORD = "correct horse battery staple of the strangers"


def visit(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


@row(
    "X1",
    "500 visitors at the port who are silent or say a byte a second",
    "whoever knows the password comes in; the others are shut out in time and cost little",
    peers="Dask keeps 813 descriptors for 90 s; multiprocessing's listener is blocked [M]",
    quick=True,
)
def crowd(run: Run) -> None:
    grid = run.grid(workers=1, password=PASSWORD)
    port, door = grid.O.port, grid.O._node._doorway
    assert door is not None
    knock("127.0.0.1", port, PASSWORD, monotonic() + 20).close()
    before = resident_mib(os.getpid())
    count, most, joins = run.times(500, 80), 0, []
    with contextlib.ExitStack() as visitors:
        crowd = [visitors.enter_context(visit(port)) for _ in range(count)]
        arrived = monotonic()
        for visitor in crowd[::3]:
            with contextlib.suppress(OSError):
                visitor.sendall(b"\x16")
        for _ in range(run.times(50, 5)):
            most = max(most, door.waiting)
            began = monotonic()
            knock("127.0.0.1", port, PASSWORD, monotonic() + 20).close()
            joins.append(monotonic() - began)
        memory = resident_mib(os.getpid()) - before
        until(lambda: door.waiting == 0, DEADLINE_S + 10, "all are shut out")
        cut = monotonic() - arrived
    run.figure("a join under them, p99", sorted(joins)[int(len(joins) * 0.99)], "s", 1)
    run.figure("at the door at once, at most", most, "", MAX_AT_THE_DOOR)
    run.figure("all shut out after", round(cut, 1), "s", DEADLINE_S)
    run.figure("memory of all of them, with this row's own sockets", memory, "MiB", 4)
    assert most <= MAX_AT_THE_DOOR
    grid.check_alive()


@row(
    "X2",
    "10^6 frames of recorded traffic, each changed at random; claims of sizes up to 2^63; before and after the proof",
    "refused or passed over: no crash, no hang, no memory, only the errors that are documented",
    peers="Dask takes 5 GiB for 3 MiB of garbage [M]",
    quick=True,
    limit_s=1200,
)
def fuzz(run: Run) -> None:
    frames = run.times(1_000_000, 3_000)
    mutate_recorded_traffic(run.seed, frames // 100)  # what is loaded and kept once is not the frames'
    visit_with_garbage(run.seed, 20)
    before = resident_mib(os.getpid())
    counted = mutate_recorded_traffic(run.seed, frames)
    run.figure("frames", counted.frames, "", frames, at_least=True)
    run.figure("connections closed for them", counted.closed)
    run.figure("visits with garbage before the proof", visit_with_garbage(run.seed, frames // 100))
    run.figure("crashes", len(counted.bugs), "", 0)
    run.figure("memory", max(0.0, resident_mib(os.getpid()) - before), "MiB", 10)
    assert not counted.bugs, counted.bugs[:3]


PROBES = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMB": b"\x00\x00\x00\x85\xffSMB\x72" + bytes(120),
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "zeros": bytes(4096),
    "TLS 1.0": b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
    "TLS 1.2": b"\x16\x03\x03\x00\x2f\x01\x00\x00\x2b\x03\x03" + bytes(32) + b"\x00\x00\x02\x00\x2f\x01\x00",
    "SSL 2": b"\x80\x2e\x01\x00\x02" + bytes(44),
}


@row(
    "X3",
    "probes as of a port scanner: HTTP, SSH, SMB, redis, old TLS, zeros",
    "closed without a byte of answer",
    peers="Dask keeps them open [M]",
    quick=True,
)
def probes(run: Run) -> None:
    grid = run.grid(workers=1, password=PASSWORD)
    answered = 0
    for probe in PROBES.values():
        with visit(grid.O.port) as visitor, contextlib.suppress(ConnectionResetError):
            visitor.sendall(probe)
            visitor.settimeout(DEADLINE_S + 5)
            while piece := visitor.recv(4096):
                answered += len(piece)
    run.figure("bytes answered", answered, f"to {len(PROBES)} probes", 0)
    assert not answered
    grid.check_alive()


@row("X4", "wrong passwords and nonces, replays, somebody in between, older TLS, no TLS", "nobody comes in", quick=True)
def forged_doors(run: Run) -> None:
    run.tests("tests/wire/test_handshake.py", "tests/node/test_knock.py", "tests/node/test_doorway.py")


@row(
    "X5",
    "an executor that lies: about its name, in control messages, in pickles, about what it may do",
    "none of it has code run where none of users may run, or is believed of others; after ten lies it is put out",
    limit_s=240,
)
def liars(run: Run) -> None:
    liars = ("tests/system/test_compromised.py", "tests/node/test_quarantine.py")
    run.tests(*liars, "tests/node/test_guests.py", "tests/node/test_switch.py", "tests/wire/test_allowlist.py")


@row("X6", "paths that lead out, names of devices, links, too many files", "nothing is written outside", quick=True)
def paths(run: Run) -> None:
    run.tests("tests/store/test_paths.py", "tests/store/test_roots.py", "tests/store/test_manifest.py")


PEEK = """
import os, sys
found, opened = 0, 0
for pid in sys.argv[2:]:
    for part in ("environ", "cmdline", "maps", "fd", "cwd"):
        path = f"/proc/{pid}/{part}"
        try:
            listed = part in ("fd", "cwd")
            data = b" ".join(map(os.fsencode, os.listdir(path))) if listed else open(path, "rb").read()
        except OSError:
            continue
        opened += part != "cmdline"
        found += sys.argv[1].encode() in data
for folder, _, names in os.walk(os.environ["TMPDIR"]):
    for name in names:
        try:
            found += sys.argv[1].encode() in open(os.path.join(folder, name), "rb").read()
            opened += 1
        except OSError:
            pass
print(found, opened)
"""


@row(
    "X7",
    "another user of the machine reads whatever it can of the processes and files of a grid",
    "there is nothing to be read",
    peers="Ray: folders 0777, its token 0644 [M]",
    quick=True,
)
def other_user(run: Run) -> None:
    if os.getuid():
        raise Unavailable("only root can be somebody else")
    nobody = pwd.getpwnam("nobody")
    grid = run.grid(managers=1, workers=1, password=PASSWORD)
    grid.one(lambda executor: executor.add_file("kept", "kept", "a secret"), first=True)
    peek = run.folder / "peek.py"
    peek.write_text(PEEK)
    peek.chmod(0o644)
    for each in (run.folder, *run.folder.parents[:1]):
        each.chmod(0o755)
    pids = [str(pid_in(name)) for name in (*grid.O.managers, *grid.O.workers)]
    secret = grid.O.password
    said = subprocess.run(
        ["python3", "-I", str(peek), secret, *pids],
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if said.returncode:
        raise Unavailable(f"nobody can run no Python here: {said.stderr.strip()[-120:]}")
    found, opened = map(int, said.stdout.split())
    run.figure("secrets found", found, "", 0)
    run.figure("files and tables that could be opened", opened, "", 0)
    open_modes = [
        oct(path.stat().st_mode & 0o777)
        for path in Path(os.environ["TMPDIR"]).rglob("*")
        if path.exists() and path.stat().st_mode & 0o077
    ]
    run.figure("files that others may touch", len(open_modes), "", 0)
    assert not found
    assert not opened, "something of the grid is open to others"
    assert not open_modes


@row("X8", "a search for the password in everything that a run leaves to be seen, a crash included", "it is nowhere")
def secrets(run: Run) -> None:
    run.tests("tests/system/test_strangers.py", "-k", "password")
    run.tests("tests/system/test_ssh_secrets.py")


@row(
    "X9",
    "values that cannot be pickled, exceptions that cannot be made again, what sleeps, raises or ends in __reduce__",
    "a failed status, nothing hangs",
    peers="multiprocessing hangs (cpython#79492)",
    limit_s=300,
)
def odd_values(run: Run) -> None:
    run.tests("tests/system/test_bad_input.py")
