"""What goes wrong is told clearly, and the same grid goes on answering."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.system.grids import ANY_NUMBER, Grid, MakeGrid, Scripts
from tests.system.watching import children_of, is_alive, pid_in, port_in, wait_until

from softgrid import Orchestrator
from softgrid.Collections import SoftgridStatus

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def still_answers(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test the grid that it used must answer, all of it, with nobody missing."""
    yield
    if "grid" in request.fixturenames:
        grid: Grid = request.getfixturevalue("grid")
        assert sorted(grid.O.workers) == sorted(grid.workers)
        grid.check_alive()


def failed(status: Any) -> SoftgridStatus:
    """Check that this is a failed status which says why."""
    assert isinstance(status, SoftgridStatus), status
    assert not status
    assert status.error
    assert status.error in repr(status) or "error" in repr(status)
    return status


# -- what cannot be serialised ---------------------------------------------------------------------


def test_a_function_that_cannot_be_serialised_names_the_part(grid: Grid) -> None:
    lock = threading.Lock()
    deep = {"first": 1, "second": [1, {"third": lock}]}

    def closes_over_lock() -> Any:
        return lock

    def closes_over_deep() -> Any:
        return deep

    def has_default(x: Any = lock) -> Any:
        return x

    class Holder:
        def __init__(self) -> None:
            self.connection = lock

        def method(self) -> None: ...

    for function, named in (
        (closes_over_lock, "'lock'"),
        (closes_over_deep, "third"),
        (has_default, "default"),
        (Holder().method, "connection"),
        (grid.O.transfer, ""),
        ((lambda generator: lambda: generator)(x for x in ()), "generator"),
        (sys.stdout.write, ""),
    ):
        for collect in (True, False):
            status = failed(grid.O.transfer(grid.template(function), grid.workers[0], collect=collect))
            assert "cannot serialise" in status.error
            assert named in status.error


def test_an_argument_that_cannot_be_serialised_names_its_place(grid: Grid) -> None:
    lock = threading.Lock()
    status = failed(grid.O.transfer(grid.template(print, 1, {"a": [lock]}), grid.workers[0], collect=True))
    assert "lock" in status.error
    assert "'a'" in status.error
    by_name = grid.template(print, kwargs={"good": 1, "bad": lock})
    assert "'bad'" in failed(grid.O.transfer(by_name, grid.workers[0], collect=True)).error


def test_arguments_that_misbehave_while_being_serialised(grid: Grid) -> None:
    class Raises:
        def __reduce__(self) -> Any:
            raise RuntimeError("not me")

        def __repr__(self) -> str:
            raise RuntimeError("nor my repr")

    class Exits:
        def __reduce__(self) -> Any:
            raise SystemExit("leaving")

    assert "not me" in failed(grid.O.transfer(grid.template(print, Raises()), grid.workers[0], collect=True)).error
    with pytest.raises(SystemExit):
        grid.O.transfer(grid.template(print, Exits()), grid.workers[0], collect=True)


def test_an_argument_nested_beyond_the_recursion_limit(grid: Grid) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    status = failed(grid.O.transfer(grid.template(len, nested), grid.workers[0], collect=True))
    assert "Recursion" in status.error or "recursion" in status.error
    while nested:
        nested = nested.pop()


def test_a_result_that_cannot_be_serialised_names_the_part(grid: Grid) -> None:
    def locked() -> Any:
        import threading

        return {"fine": 1, "broken": [threading.Lock()]}

    status = failed(grid.one(locked))
    assert "result" in status.error
    assert "'broken'" in status.error
    assert "lock" in status.error
    assert "generator" in failed(grid.one(lambda: (x for x in ()))).error


def test_a_result_nested_beyond_the_recursion_limit(grid: Grid) -> None:
    def nested() -> Any:
        found: list[Any] = []
        for _ in range(100_000):
            found = [found]
        return found

    assert "ecursion" in failed(grid.one(nested)).error


def test_a_result_whose_serialising_exits(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1)

    def result() -> Any:
        class Exits:
            def __reduce__(self) -> Any:
                raise SystemExit("leaving")

        return Exits()

    assert "leaving" in failed(grid.one(result)).error
    grid.check_alive()


def test_an_argument_whose_class_is_missing_on_the_worker(grid: Grid) -> None:
    module = types.ModuleType("only_here")
    exec("class Thing: pass\ndef function(x): return x", module.__dict__)
    sys.modules["only_here"] = module

    def holds(thing: Any) -> Callable[[], Any]:
        return lambda: thing

    try:
        for status in (
            grid.one(print, module.Thing()),
            grid.one(module.function, 1),
            grid.one(holds(module.Thing())),
        ):
            assert "only_here" in failed(status).error
            assert "ModuleNotFoundError" in status.error
    finally:
        del sys.modules["only_here"]


def test_a_result_whose_class_is_missing_here(grid: Grid) -> None:
    def make() -> Any:
        import sys
        import types

        module = types.ModuleType("only_there")
        exec("class Thing: pass", module.__dict__)
        sys.modules["only_there"] = module
        return module.Thing()

    status = failed(grid.one(make))
    assert "only_there" in status.error


def test_arguments_and_results_that_raise_when_they_are_revived(grid: Grid) -> None:
    class Bomb:
        def __init__(self, error: type[BaseException]) -> None:
            self.error = error

        def __reduce__(self) -> Any:
            return explode, (self.error,)

    def explode(error: type[BaseException]) -> None:
        raise error("revived badly")

    for error in (ValueError, SystemExit, KeyboardInterrupt, RecursionError, MemoryError, GeneratorExit):
        assert "revived badly" in failed(grid.one(lambda x: x, Bomb(error))).error
    for error in (ValueError, RecursionError):
        assert "revived badly" in failed(grid.one(Bomb, error)).error


def test_a_result_that_exits_when_it_is_revived_does_not_end_the_script(grid: Grid) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (lambda: sys.exit(3)), ()

    try:
        status = grid.one(Bomb)
    except SystemExit:
        return  # raised where the result is read: the script's own affair
    failed(status)


# -- exceptions ------------------------------------------------------------------------------------


class TwoArguments(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("with a lock")
        self.lock = threading.Lock()


class BadText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class SelfContaining(Exception):
    def __init__(self) -> None:
        super().__init__("cyclic")
        self.args = (self,)


def raise_it(make: Callable[[], BaseException]) -> None:
    raise make()


@pytest.mark.parametrize(
    ("make", "text", "kind"),
    [
        (lambda: ValueError("my value"), "ValueError: my value", ValueError),
        (lambda: KeyError("my key"), "my key", KeyError),
        (lambda: OSError(2, "no file", "name"), "no file", FileNotFoundError),
        (lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), "bad", UnicodeDecodeError),
        (lambda: SystemExit(3), "SystemExit: 3", SystemExit),
        (lambda: SystemExit(), "SystemExit", SystemExit),
        (lambda: KeyboardInterrupt("pressed"), "KeyboardInterrupt", KeyboardInterrupt),
        (lambda: GeneratorExit("gen"), "GeneratorExit", GeneratorExit),
        (lambda: StopIteration(5), "StopIteration", StopIteration),
        (lambda: MemoryError("much"), "MemoryError", MemoryError),
        (lambda: BaseException("base"), "base", BaseException),
        (lambda: TwoArguments(1, 2), "1 and 2", None),
        (lambda: Unpicklable(), "with a lock", None),
        (lambda: BadText(), "BadText", None),
        (lambda: SelfContaining(), "SelfContaining", None),
        pytest.param(
            lambda: ValueError("x" * 1_000_000),
            "xxxx",
            ValueError,
            id="long",
        ),
        (lambda: ValueError("\ud800 surrogate \0"), "surrogate", ValueError),
        (lambda: ValueError(threading.Lock()), "lock", None),
    ],
)
def test_an_exception_comes_back_with_the_remote_traceback(grid: Grid, make: Any, text: str, kind: Any) -> None:
    for priority in (1, None):
        status = failed(grid.one(raise_it, make, priority=priority))
        assert text in status.error
        assert "Remote traceback" in status.error
        assert "in raise_it" in status.error
        assert isinstance(status.exception, BaseException)
        if kind is not None:
            assert type(status.exception) is kind
        assert status.data["function"] is raise_it
        assert status.name == grid.workers[0]


def test_causes_and_contexts_are_shown(grid: Grid) -> None:
    def chained() -> None:
        try:
            {}["missing key"]
        except KeyError as error:
            raise ValueError("on top") from error

    status = failed(grid.one(chained))
    assert "missing key" in status.error
    assert "on top" in status.error
    assert "direct cause" in status.error


def test_exception_groups_come_back(grid: Grid) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("exception groups came with Python 3.11")

    def group() -> None:
        raise ExceptionGroup("several", [ValueError(1), TypeError(2)])  # noqa: F821

    status = failed(grid.one(group))
    assert "several" in status.error
    assert len(status.exception.exceptions) == 2


def test_a_wrong_call_is_told(grid: Grid) -> None:
    assert "TypeError" in failed(grid.one(lambda x: x)).error
    assert "TypeError" in failed(grid.one(lambda: 1, 2)).error
    assert "SyntaxError" in failed(grid.one("def f(:\n  pass")).error


def test_unbounded_recursion(grid: Grid) -> None:
    def forever(n: int) -> int:
        return forever(n + 1)

    status = failed(grid.one(forever, 0))
    assert "RecursionError" in status.error
    assert isinstance(status.exception, RecursionError)


def test_recursion_without_a_limit_kills_only_its_worker(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=2)

    def forever() -> None:
        import sys

        sys.setrecursionlimit(10**9)

        class Deep:
            def __repr__(self) -> str:
                return repr(self)

        repr(Deep())

    status = failed(grid.one(forever))
    assert "SIGSEGV" in status.error or "RecursionError" in status.error or "MemoryError" in status.error
    assert grid.one(os.getpid, to=grid.workers[1]) == pid_in(grid.workers[1])


# -- death -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import os; os._exit(3)", "exited with code 3"),
        ("import os; os._exit(0)", "exited with code 0"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM); signal.pause()", "SIGTERM"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import os; os.execvp('false', ['false'])", "exited with code 1"),
        ("import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\n  while True: pass", "SIG"),
    ],
)
def test_the_reason_of_a_death_is_told(make_grid: MakeGrid, source: str, told: str) -> None:
    grid = make_grid(managers=1, workers=2)
    results = grid.call(f"def die():\n  {source}", to=[grid.workers[0], grid.workers[0]])
    for status in results:
        assert told in failed(status).error
        assert "no answer" not in status.error
    assert grid.one(os.getpid, to=grid.workers[1]) == pid_in(grid.workers[1])
    wait_until(lambda: grid.O.workers == grid.workers[1:])
    again = failed(grid.one(os.getpid, to=grid.workers[0]))
    assert told in again.error
    (new,) = grid.launch("Worker", grid.managers[0])
    assert grid.one(os.getpid, to=new) == pid_in(new)


def test_a_receiver_that_has_just_died(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, managers=1, workers=3)
    os.kill(pid_in(grid.workers[1]), 9)
    results = grid.call(os.getpid, to=grid.workers)
    assert [bool(result) for result in results] == [True, False, True]
    assert "SIGKILL" in results[1].error
    assert grid.workers[1] in str(results[1])


@pytest.mark.parametrize(
    ("managers", "size"),
    [
        (0, 10),
        (0, 5_000_000),
        (1, 10),
        (1, 5_000_000),
    ],
)
def test_a_receiver_that_dies_while_the_call_is_being_made(make_grid: MakeGrid, managers: int, size: int) -> None:
    grid = make_grid(managers=managers, workers=2)
    victim = grid.workers[0]

    class Assassin:
        """An argument whose serialising takes until the receiver is known to be dead."""

        def __reduce__(self) -> Any:
            os.kill(pid_in(victim), 9)
            wait_until(lambda: victim not in grid.O.workers)
            return bytes, (b"x" * size,)

    results = grid.O.transfer(grid.template(len, Assassin()), victim, collect=True, transferTimeout=3)
    assert "SIGKILL" in failed(results[0]).error
    assert grid.one(len, b"x" * size, to=grid.workers[1]) == size


def test_a_receiver_that_dies_while_much_is_under_way_to_it(make_grid: MakeGrid) -> None:
    """It is stopped first, so that much of it is still on the way when it dies."""
    grid = make_grid(routers=1, managers=1, workers=2)
    os.kill(pid_in(grid.workers[0]), signal.SIGSTOP)
    data = [os.urandom(1_000_000) for _ in range(20)]
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.extend(grid.call(len, data, to=[grid.workers[0]] * 5)))
    thread.start()
    small = grid.one(os.getpid, to=grid.workers[1])
    wait_until(lambda: grid.O.statistics()["calls_in_flight"] == 5)
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    thread.join(15)
    assert small == pid_in(grid.workers[1])
    assert len(results) == 5, "everybody who waited was woken"
    for result in results:
        assert "SIGKILL" in failed(result).error
    assert grid.one(len, data, to=grid.workers[1]) == 20


def test_a_worker_that_is_stopped_keeps_its_callers_waiting_no_longer_than_their_timeout(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)
    os.kill(pid_in(grid.workers[0]), signal.SIGSTOP)
    results = grid.O.transfer(grid.template(os.getpid), grid.workers, collect=True, transferTimeout=0.5)
    assert "0.5 s" in failed(results[0]).error
    assert results[1] == pid_in(grid.workers[1])
    os.kill(pid_in(grid.workers[0]), signal.SIGCONT)
    grid.check_alive()


def test_a_closed_descriptor_kills_only_the_worker_that_closed_it(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)

    def close_everything() -> str:
        import os

        os.closerange(3, 256)
        return "closed"

    results = grid.call(close_everything)
    if results != ["closed"]:
        failed(results[0])
    assert grid.one(os.getpid, to=grid.workers[1]) == pid_in(grid.workers[1])
    wait_until(lambda: grid.O.workers == grid.workers[1:], what="the worker is known to be gone")
    wait_until(lambda: not is_alive(pid_in(grid.workers[0])))


def test_memory_beyond_a_limit_is_an_error_of_the_call(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=1)

    def hungry() -> int:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        return len(bytearray(4 << 30))

    assert "MemoryError" in failed(grid.one(hungry)).error
    grid.check_alive()


# -- printing --------------------------------------------------------------------------------------


def test_a_function_that_prints_a_hundred_megabytes(scripts: Scripts) -> None:
    said = scripts.run(
        """
        O = Orchestrator(logKwargs={'logToStdout': False})
        manager = launch(O, 'Manager')[0]
        launch(O, 'Worker', manager, count=2)
        def flood():
            line = 'x' * 10_000
            for _ in range(10_000):
                print(line)
            return peak_kib() // 1024
        import threading
        pids = []
        asker = threading.Thread(target=lambda: pids.extend(call(O, os.getpid, to=O.workers[1]) for _ in range(100)))
        asker.start()
        worker_mb = call(O, flood, to=O.workers[0])[0]
        asker.join()
        tell('worker', worker_mb < 200, worker_mb)
        mb = peak_kib() // 1024
        tell('orchestrator', mb < 200, mb)
        tell('alive', call(O, os.getpid) == [O.split_grid_unique_name(name)[3] for name in O.workers], len(pids))
    """,
        timeout=55,
    )
    assert ">> worker True" in said
    assert ">> orchestrator True" in said
    assert ">> alive True 100" in said


def test_a_function_that_prints_fifty_megabytes_below_python(scripts: Scripts) -> None:
    said = scripts.run(
        """
        O = Orchestrator(logKwargs={'logToStdout': False})
        manager = launch(O, 'Manager')[0]
        launch(O, 'Worker', manager)
        def flood():
            import subprocess
            subprocess.run('yes | head -c 50000000', shell=True)
        call(O, flood)
        mb = peak_kib() // 1024
        tell('orchestrator', mb < 200, mb)
        tell('alive', call(O, lambda: 5))
    """
    )
    assert ">> orchestrator True" in said
    assert ">> alive [5]" in said


def test_a_result_of_fifty_megabytes_of_text_in_an_exception(grid: Grid) -> None:
    def shout() -> None:
        raise ValueError("y" * 50_000_000)

    failed(grid.one(shout))


# -- making an orchestrator ------------------------------------------------------------------------


def test_a_port_in_use_with_and_without_port_fetch(grid: Grid) -> None:
    from softgrid._model.errors import PortTaken

    port = grid.O.port
    with pytest.raises(PortTaken, match=rf"{port}.*portFetch"):
        Orchestrator(port=port, portFetch=False)
    other = Orchestrator(port=port, portFetch=True)
    assert other.port > port
    other.disconnect(kill=False)


@pytest.mark.parametrize(
    "arguments",
    [
        {"port": -1},
        {"port": 70000},
        {"port": "5000"},
        {"port": None},
        {"port": 5000.5},
        {"name": "a|b"},
        {"name": ""},
        {"name": 5},
        {"password": 5},
        {"password": ""},
        {"portFetch": "yes"},
        {"address": 5},
        {"address": "no such host"},
        {"address": "198.51.100.7"},
        {"rules": {"no_such_rule": 1}},
        {"rules": {"machine_maximum_number_of_workers": "many"}},
        {"rules": 5},
        {"allowExecutingUDF": "yes"},
        {"acceptWorkers": 5},
        {"logKwargs": 5},
        {"logKwargs": {"logTypes": 5}},
        {"killAtDisconnect": "yes"},
        {"relaunch": -1},
        {"heartMonitorFrequency": float("nan")},
        {"heartMonitorFrequency": "10"},
        {"heartbeatTolerance": -1},
        {"applicationName": None},
    ],
    ids=str,
)
def test_a_bad_parameter_of_the_orchestrator_is_named(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        Orchestrator(**arguments)


def test_an_unknown_parameter_of_the_orchestrator_is_named() -> None:
    with pytest.raises(TypeError, match="prot"):
        Orchestrator(prot=5000)


@pytest.mark.parametrize("base", ["GridBase", "MachineManagement", "TransferBase", "LaunchBase", "ExecutorBase"])
def test_bases_cannot_be_made(base: str) -> None:
    from softgrid import Core

    with pytest.raises(TypeError, match=base):
        getattr(Core, base)()


# -- the listening port ----------------------------------------------------------------------------


def door(grid: Grid, name: str | None = None) -> socket.socket:
    """A connection to the listening port of an executor of the grid."""
    return socket.create_connection(("127.0.0.1", port_in(name or grid.O.gridUniqueName)), 10)


def is_shut(connection: socket.socket) -> bool:
    """Whether the other end closes the connection."""
    connection.settimeout(15)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("where", ["orchestrator", "router", "manager"])
def test_random_bytes_at_the_listening_port(grid: Grid, where: str) -> None:
    name = {"orchestrator": grid.O.gridUniqueName, "router": grid.routers[0], "manager": grid.managers[0]}[where]
    dice = random.Random(7)
    for size in (1, 31, 32, 33, 256, 5000, 100_000):
        with door(grid, name) as connection:
            try:
                connection.sendall(dice.randbytes(size))
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            assert is_shut(connection)


def test_frames_without_a_proof_are_not_read(grid: Grid) -> None:
    body = b'{"op":"join","name":"worker|Evil@1.2.3.4[5]:6","cores":1}'
    frame = struct.pack(">IBBBBQQQ", len(body), 4, 0, 0, 0, 0, 0, 0) + body
    with door(grid) as connection:
        connection.sendall(frame)
        assert is_shut(connection)
    assert not any("Evil" in name for name in grid.O.workers)


def test_peers_that_say_nothing_do_not_stand_in_the_way(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=1)
    silent = [door(grid) for _ in range(200)]
    try:
        grid.check_alive()
        assert grid.launch("Worker")
        with door(grid) as connection:
            connection.sendall(b"\0" * 4096)
            assert is_shut(connection)
        grid.check_alive()
    finally:
        for connection in silent:
            connection.close()


def test_a_silent_peer_is_turned_away_in_the_end(grid: Grid) -> None:
    with door(grid) as connection:
        assert is_shut(connection)


def test_a_peer_that_speaks_very_slowly_is_turned_away_too(grid: Grid) -> None:
    from softgrid._wire import handshake

    stop = threading.Event()
    with door(grid) as connection:

        def drip() -> None:
            magic = getattr(handshake, "MAGIC", b"softgrid")
            for byte in bytes(magic)[:-1] * 50:
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    return
                if stop.wait(0.2):
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert is_shut(connection)
        finally:
            stop.set()
            thread.join()


def test_the_password_is_never_sent(grid: Grid) -> None:
    with door(grid) as connection:
        connection.settimeout(0.2)
        try:
            said = connection.recv(4096)
        except TimeoutError:
            said = b""
    assert grid.O.password.encode() not in said
    assert said == b"", "nothing is said before the visitor has spoken"


def test_attempts_at_the_door_are_logged(scripts: Scripts) -> None:
    said = scripts.run(
        """
        import socket
        O = Orchestrator()
        with socket.create_connection(('127.0.0.1', O.port)) as connection:
            connection.sendall(b'GET / HTTP/1.0' + bytes([13, 10, 13, 10]))
            connection.recv(100)
        while O.statistics()['log_records_written'] < 1: time.sleep(0.01)
    """
    )
    assert "127.0.0.1" in said
    assert "WARNING" in said
    assert "refused" in said


# -- odd uses --------------------------------------------------------------------------------------


def test_a_status_reads_well(make_grid: MakeGrid) -> None:
    grid = make_grid()
    status = failed(grid.one(lambda: 1 / 0))
    assert str(status).startswith(f"{grid.workers[0]}: failed: ZeroDivisionError")
    assert "successful=False" in repr(status)
    assert "ZeroDivisionError" in repr(status)
    assert bool(status) is False
    assert status.successful is False
    good = grid.O.set_machine_rules(grid.O.address, ANY_NUMBER)
    assert good
    assert "succeeded" in str(good)


def test_an_executor_as_argument_or_result_is_refused_clearly(grid: Grid) -> None:
    failed(grid.O.transfer(grid.template(print, grid.O), grid.workers[0], collect=True))
    failed(grid.one(lambda executor: executor, first=True))


def test_a_user_function_that_changes_the_process_around_it(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=1)

    def vandalise() -> str:
        import builtins
        import gc
        import os
        import signal
        import socket
        import sys

        os.chdir("/")
        os.environ.clear()
        os.umask(0)
        sys.path.clear()
        sys.setswitchinterval(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
        socket.setdefaulttimeout(0.001)
        sys.stdout = sys.stderr = None
        sys.stdin.close()
        gc.disable()
        sys.setrecursionlimit(150)
        sys.exit = None
        builtins.print = None
        return "done"

    assert grid.one(vandalise) == "done"
    for _ in range(3):
        assert grid.one(os.getpid) == pid_in(grid.workers[0])
    assert grid.one(len, bytes(5_000_000)) == 5_000_000


def test_a_user_function_that_forks_and_returns_twice(make_grid: MakeGrid) -> None:
    """The child of a careless fork comes back into the executor's code; it must not answer in its parent's name."""
    grid = make_grid(managers=1, workers=1)

    def careless() -> int:
        import os

        return os.fork() and os.getpid()

    worker = pid_in(grid.workers[0])
    assert grid.one(careless) == worker
    wait_until(lambda: children_of(worker) == set(), timeout=4, what="the child is gone")
    for _ in range(5):
        assert grid.one(os.getpid) == worker


def test_many_threads_with_good_and_bad_calls(grid: Grid) -> None:
    outcomes: list[bool] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(40):
            bad = dice.random() < 0.5
            result = grid.one(lambda bad: 1 // (not bad), bad, to=dice.choice(grid.workers))
            outcomes.append((result == 1) is not bad)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 240
