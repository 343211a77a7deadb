"""Who does not know the password gets nothing, learns nothing, costs little, and keeps nobody else out."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.guests import PASSWORD, Bare, await_guest, script_of
from tests.system.test_joining import QUIET, ended
from tests.system.watching import PATIENCE_S, pid_in, processes_with, wait_until

from softgrid import Worker
from softgrid._node.doorway import MAX_AT_THE_DOOR
from softgrid._wire.handshake import DEADLINE_S, MAGIC

pytestmark = pytest.mark.system


@pytest.fixture
def host(make_grid: MakeGrid) -> Grid:
    """An orchestrator with a worker, and its records."""
    return make_grid(workers=1, password=PASSWORD, logKwargs=QUIET)


def visit(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def private(port: int) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(visit(port))


def heard_by(sock: socket.socket) -> bytes:
    """Everything that is said to somebody until the door is shut."""
    heard = b""
    with contextlib.suppress(ConnectionResetError, ssl.SSLError):
        while piece := sock.recv(4096):
            heard += piece
    return heard


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.0\r\n\r\n", b"\x00" * 64, MAGIC + b"\x00" * 32, b"\x80\x04\x95" * 50, b"\xff" * 100_000]
)
def test_whoever_speaks_no_tls_hears_nothing_and_the_grid_goes_on(host: Grid, said: bytes) -> None:
    with visit(host.O.port) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(said)
        assert heard_by(sock) == b""
    host.check_alive()


def test_whoever_speaks_tls_learns_no_name_no_version_and_no_password(host: Grid) -> None:
    with private(host.O.port) as sock:
        certificate = sock.getpeercert(binary_form=True) or b""
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n".ljust(44))
        assert heard_by(sock) == b""
    with private(host.O.port) as sock:
        sock.sendall(MAGIC + b"n" * 32 + b"p" * 32)
        assert len(heard_by(sock)) in (0, 32), "at most a random number"
    for secret in (PASSWORD, host.O.name, host.O.address, host.O.softgridVersion, host.O.gridUniqueName):
        assert secret.encode() not in certificate
    host.check_alive()


def test_a_control_message_before_the_proof_is_no_message(host: Grid) -> None:
    from softgrid._wire.control import encode_control
    from softgrid._wire.framing import Kind, frame

    join = frame(Kind.CONTROL, 0, 0, 0, encode_control({"op": "join", "name": "worker|W@1.2.3.4[1]:1", "cores": 1}))
    with private(host.O.port) as sock:
        sock.sendall(join)
        assert heard_by(sock) == b""
    assert host.O.workers == host.workers


def test_pickles_of_strangers_are_not_read(host: Grid, tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "owned"),)

    payload = pickle.dumps(Evil())
    for connect in (visit, private):
        with connect(host.O.port) as sock, contextlib.suppress(OSError):
            sock.sendall(payload)
            heard_by(sock)
    host.check_alive()
    assert not (tmp_path / "owned").exists()


def memory_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_five_hundred_strangers_of_every_kind_cost_little_and_keep_nobody_out(host: Grid) -> None:
    with private(host.O.port):
        before = memory_kib()
    guest = Worker(logKwargs=QUIET, killAtDisconnect=False)
    with contextlib.ExitStack() as strangers:
        for number in range(500):
            with contextlib.suppress(OSError):
                sock = strangers.enter_context(private(host.O.port) if number % 5 == 0 else visit(host.O.port))
                if number % 5 == 1:
                    sock.sendall(b"\x16\x03\x01")
        assert host.O._node._doorway.waiting <= MAX_AT_THE_DOOR
        assert guest.connect_to_grid("127.0.0.1", host.O.port, PASSWORD)
        assert host.call(os.getpid, to=guest.gridUniqueName) == [os.getpid()]
        host.check_alive()
    guest.disconnect(kill=False)
    assert memory_kib() - before < 32 * 1024, "500 strangers at 64 KiB each"


def test_a_flood_of_silent_strangers_keeps_nobody_out(host: Grid) -> None:
    ends = threading.Event()
    came = threading.Semaphore(0)

    def flood() -> None:
        strangers: deque[socket.socket] = deque()
        while not ends.is_set():
            with contextlib.suppress(OSError):
                strangers.append(visit(host.O.port))
                came.release()
            if len(strangers) > 100:
                strangers.popleft().close()
        for stranger in strangers:
            stranger.close()

    flooding = threading.Thread(target=flood)
    flooding.start()
    guest = Worker(logKwargs=QUIET, killAtDisconnect=False)
    try:
        assert came.acquire(timeout=PATIENCE_S)
        assert guest.connect_to_grid("127.0.0.1", host.O.port, PASSWORD)
        assert came.acquire(timeout=PATIENCE_S)
        host.check_alive()
    finally:
        ends.set()
        flooding.join(PATIENCE_S)
        guest.disconnect(kill=False)


def test_a_crawling_stranger_is_shut_out_in_time(host: Grid) -> None:
    with visit(host.O.port) as sock:
        sock.sendall(b"\x16")
        sock.settimeout(DEADLINE_S * 3)
        assert heard_by(sock) == b""


# -- secrets --------------------------------------------------------------------------------------


@pytest.fixture
def bare(scripts: Scripts, tmp_path: Path) -> Iterator[Bare]:
    made = Bare(scripts, tmp_path)
    yield made
    made.check_nothing_left()


def test_the_password_is_in_no_command_line_environment_log_file_or_traceback(
    scripts: Scripts, bare: Bare, tmp_path: Path
) -> None:
    secret = "open sesame 0123456789"
    bare.password_file.write_text(secret + "\n")
    log = tmp_path / "log"
    log.mkdir()
    top = scripts.start(
        f"""
        import contextlib, traceback
        password = open({str(bare.password_file)!r}).readline().strip()
        O = Orchestrator(
            password=password,
            logKwargs={{'logToFile': True, 'logFileBasename': {str(log / "grid")!r}, 'logFileFlag': True}},
        )
        manager = launch(O, 'Manager', executorKwargs={{'password': password}})[0]
        worker = launch(O, 'Worker', manager)[0]
        with open('join.py', 'w') as file, contextlib.redirect_stdout(file):
            O.launchScripts
        tell('ready')
        while len(O.workers) < 2: time.sleep(0.01)
        guest = [name for name in O.workers if name != worker][0]
        def fail(executor):
            raise ValueError(repr(executor), repr(executor._node.spec), executor.executorProperties)
        for name in (worker, guest):
            tell('failed', bool(call(O, fail, to=name, first=True)[0]))
        from softgrid import Worker
        other = Worker(killAtDisconnect=False)
        try:
            other.connect_to_grid('127.0.0.1', O.port, password + 'x')
        except Exception:
            traceback.print_exc()
        try:
            other.connect_to_grid('127.0.0.1', O.port, password.encode())
        except Exception:
            traceback.print_exc()
        tell(O, O._node.spec, O.executorProperties, O.machineProperties, O.softgridProperties)
        tell('scan')
        signal.pause()
        """
    )
    top.await_output(">> ready")
    joined = scripts.traces.folder / "cwd" / "join.py"
    text = joined.read_text()
    joined.unlink()
    guest = bare.start(text)
    top.await_output(">> scan")
    assert "wrong password" in top.output
    processes = processes_with("SOFTGRID_TEST_MARK", scripts.traces.mark)
    assert len(processes) >= 5, processes
    for pid in processes:
        for part in ("cmdline", "environ"):
            assert secret.encode() not in Path(f"/proc/{pid}/{part}").read_bytes(), f"{part} of {processes[pid]}"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path != bare.password_file]
    assert any(path.parent == log for path in files), "it is logged to a file"
    assert joined not in files
    for path in files:
        assert secret.encode() not in path.read_bytes(), path
    assert guest.pid in processes
    top.process.terminate()
    ended(top)
    assert guest.end() == 1


def test_only_the_password_of_the_neighbour_below_is_known(host: Grid, bare: Bare) -> None:
    bare.start(script_of(host.O))
    name = await_guest(host, count=2)
    assert set(host.O.passwords["workers"]) == {*host.workers, name}
    assert host.O.passwords["workers"][name] != PASSWORD
    refused = host.one("passwords", to=name)
    assert not refused
    assert "not open to calls" in refused.error
    assert pid_in(name)
    wait_until(lambda: name in host.O.workers)
