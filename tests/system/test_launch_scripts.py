"""Launch scripts: what ``launchScripts`` prints makes a bare Python an executor of the grid, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import SOURCE, Grid, MakeGrid, Running, Scripts
from tests.system.guests import PASSWORD, Bare, Namespaces, await_guest, namespaces, pythons, script_of
from tests.system.test_joining import QUIET, ended
from tests.system.watching import is_alive, pid_in, wait_until

from softgrid._launch.bundle import LIMIT

pytestmark = pytest.mark.system

PYTHONS = pythons()
FACTS = """
def facts():
    import os, sys, softgrid
    site_packages = [path for path in sys.path if 'site-packages' in path]
    return sys.version_info[:2], os.getcwd(), site_packages, type(softgrid.__loader__).__name__
"""


@pytest.fixture
def host(make_grid: MakeGrid) -> Grid:
    """An orchestrator whose password is known."""
    return make_grid(workers=0, password=PASSWORD, logKwargs=QUIET)


@pytest.fixture
def bare(scripts: Scripts, tmp_path: Path) -> Iterator[Bare]:
    """A place where nothing is installed, which must be empty at the end."""
    made = Bare(scripts, tmp_path)
    yield made
    made.check_nothing_left()


# -- the text -------------------------------------------------------------------------------------


def test_it_can_be_read_sent_and_pasted(host: Grid) -> None:
    text = script_of(host.O)
    assert text.isascii()
    lines = text.splitlines()
    assert max(map(len, lines)) < 130
    program = [line for line in lines if not line.startswith("#")]
    assert not any(line.startswith((" ", "\t")) or not line for line in program)
    assert not any(line.endswith(":") for line in program)
    assert len(text) < LIMIT * 1.4
    assert text.endswith("ROLE)\n")


def test_it_holds_no_password_and_is_the_same_every_time(host: Grid) -> None:
    text = script_of(host.O)
    assert PASSWORD not in text
    assert script_of(host.O) == text


def test_it_says_whom_it_joins_and_as_what(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, logKwargs=QUIET, acceptWorkers=False)
    text = script_of(grid.O)
    assert f"# Joins the grid of {grid.O.gridUniqueName}." in text
    assert "ROLE is one of manager, router." in text
    assert "ROLE = 'manager'" in text
    assert f"main('127.0.0.1', {grid.O.port}, ROLE)" in text
    assert "THIS MACHINE ONLY" in text


def test_it_names_the_address_that_was_given(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, logKwargs=QUIET, address="127.0.0.2")
    assert f"main('127.0.0.2', {grid.O.port}, ROLE)" in script_of(grid.O)
    everywhere = make_grid(workers=0, logKwargs=QUIET, address="0.0.0.0")
    text = script_of(everywhere.O)
    assert "0.0.0.0" not in text.replace(everywhere.O.gridUniqueName, "")
    assert "THIS MACHINE ONLY" not in text or "main('127." in text


@pytest.mark.parametrize(("role", "roles"), [("Router", "worker, manager, router"), ("Manager", "worker")])
def test_routers_and_managers_have_scripts_of_their_own(host: Grid, role: str, roles: str) -> None:
    from softgrid import Executors

    executor: Any = getattr(Executors, role)(logKwargs=QUIET, killAtDisconnect=False)
    try:
        assert f"ROLE is one of {roles}." in script_of(executor)
    finally:
        executor.disconnect()


def test_where_nobody_may_join_it_says_so(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, logKwargs=QUIET, acceptWorkers=False, acceptManagers=False, acceptRouters=False)
    assert script_of(grid.O) == f"# Nobody may join below {grid.O.gridUniqueName}.\n"


# -- running it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", sorted(PYTHONS))
def test_a_bare_python_of_any_version_joins_works_and_ends_with_the_grid(host: Grid, bare: Bare, minor: str) -> None:
    running = bare.start(script_of(host.O), python=PYTHONS[minor])
    name = await_guest(host)
    assert pid_in(name) == running.pid
    version, folder, site_packages, loader = host.one(FACTS, to=name)
    assert "{}.{}".format(*version) == minor
    assert (folder, site_packages, loader) == (str(bare.folder / "home"), [], "BundleImporter")
    assert host.one("lambda n: list(range(n))", 3, to=name) == [0, 1, 2]
    host.O.disconnect(kill=False)
    assert ended(running) == 0
    assert f"{name} is on the grid below {host.O.gridUniqueName}; Ctrl-C leaves it" in running.output


def test_functions_travel_to_a_bare_python_as_they_do_to_any(host: Grid, bare: Bare) -> None:
    bare.start(script_of(host.O))
    name = await_guest(host)
    scale = 10
    assert host.one(lambda n: n * scale, 7, to=name) == 70
    failed = host.one(lambda: 1 / 0, to=name)
    assert type(failed.exception) is ZeroDivisionError


@pytest.mark.parametrize("is_trusted", [False, True])
@pytest.mark.parametrize("is_below", [False, True])
def test_modules_of_the_user_are_fetched_by_those_who_are_trusted(
    make_grid: MakeGrid, bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool, is_below: bool
) -> None:
    (tmp_path / "users").mkdir()
    (tmp_path / "users" / "users_own_module.py").write_text("def seven(): return 7\n")
    monkeypatch.syspath_prepend(str(tmp_path / "users"))
    rules = {"joined_by_hand_allow_full_trust": is_trusted}
    grid = make_grid(workers=0, password=PASSWORD, logKwargs=QUIET, rules=rules)
    bare.start(
        script_of(grid.O), "--role", "manager" if is_below else "worker", "--password-file", str(bare.password_file)
    )
    worker = grid.launch("Worker", await_guest(grid, "managers"))[0] if is_below else await_guest(grid)
    result = grid.one("lambda: __import__('users_own_module').seven()", to=worker)
    if is_trusted:
        assert result == 7
    else:
        assert type(result.exception) is ModuleNotFoundError


def test_a_manager_from_a_bare_python_launches_workers_of_the_same_bundle(host: Grid, bare: Bare) -> None:
    running = bare.start(script_of(host.O), "--role", "manager", "--password-file", str(bare.password_file))
    manager = await_guest(host, "managers")
    workers = host.launch("Worker", manager, 2)
    loaders = host.call("lambda: type(__import__('softgrid').__loader__).__name__", to=workers)
    assert loaders == ["BundleImporter"] * 2
    host.O.disconnect(kill=False)
    assert ended(running) == 0
    wait_until(lambda: not any(map(is_alive, map(pid_in, workers))))


def test_several_join_one_below_the_other(make_grid: MakeGrid, bare: Bare) -> None:
    grid = make_grid(workers=0, password=PASSWORD, logKwargs=QUIET)
    bare.start(script_of(grid.O), "--role", "router", "--password-file", str(bare.password_file))
    router = await_guest(grid, "routers")
    below = grid.launch("Router", router, executorKwargs={"password": PASSWORD})[0]
    port = grid.O.split_grid_unique_name(below)[4]
    text = script_of(grid.O).replace(f", {grid.O.port}, ROLE)", f", {port}, ROLE)")
    bare.start(text, "--name", "leaf", "--password-file", str(bare.password_file))
    leaf = await_guest(grid)
    assert leaf.startswith("worker|leaf@")
    assert grid.O.paths["worker"][leaf] == [grid.O.gridUniqueName, router, below]
    assert grid.one(os.getpid, to=leaf) == pid_in(leaf)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_can_be_stopped_at_any_time(host: Grid, bare: Bare, sent: int) -> None:
    running = bare.start(script_of(host.O))
    await_guest(host)
    running.signal(sent)
    assert ended(running) == (130 if sent == signal.SIGINT else -sent)
    wait_until(lambda: not host.O.workers)
    assert ("left the grid" in running.output) is (sent == signal.SIGINT)
    assert "Traceback" not in running.output


def test_when_the_grid_dies_it_ends_and_says_so(scripts: Scripts, bare: Bare) -> None:
    top = scripts.start(
        f"""
        import contextlib
        O = Orchestrator(password={PASSWORD!r})
        with open('join.py', 'w') as file, contextlib.redirect_stdout(file):
            O.launchScripts
        tell('ready')
        signal.pause()
        """
    )
    top.await_output(">> ready")
    path = scripts.traces.folder / "cwd" / "join.py"
    running = bare.start(path.read_text())
    path.unlink()
    top.await_output("joined by hand")
    top.signal(signal.SIGKILL)
    ended(top)
    assert running.end() == 1
    assert "the grid is gone: its connection is gone" in running.output


# -- what cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [("guess", "wrong password"), ("", "is empty"), (None, "cannot be read from")],
)
def test_without_the_password_it_says_why_it_does_not_join(
    host: Grid, bare: Bare, content: str | None, says: str
) -> None:
    if content is None:
        bare.password_file.unlink()
    else:
        bare.password_file.write_text(content + "\nnot this line\n")
    running = bare.start(script_of(host.O))
    assert ended(running) == 1
    assert "cannot join" in running.output
    assert says in running.output
    assert "Traceback" not in running.output
    assert host.O.workers == []


def test_a_password_that_others_can_read_is_mentioned(host: Grid, bare: Bare) -> None:
    bare.password_file.chmod(0o644)
    running = bare.start(script_of(host.O))
    await_guest(host)
    assert f"others on this machine can read {bare.password_file}: chmod 600" in running.output


def test_without_a_terminal_and_a_file_it_says_how_to_give_the_password(host: Grid, bare: Bare) -> None:
    running = bare.start(script_of(host.O), "--name", "x")
    assert ended(running) == 1
    assert "there is no terminal to ask for the password at: give --password-file FILE" in running.output


def test_a_grid_that_is_not_there_any_more_is_said(host: Grid, bare: Bare) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        text = script_of(host.O).replace(f", {host.O.port}, ROLE)", f", {unused.getsockname()[1]}, ROLE)")
        running = bare.start(text)
        assert ended(running) == 1
    assert "cannot be reached at port" in running.output
    assert "Connection refused" in running.output


def test_a_role_that_may_not_join_is_said(host: Grid, bare: Bare) -> None:
    running = bare.start(script_of(host.O), "--role", "emperor")
    assert ended(running) == 2
    assert "invalid choice: 'emperor'" in running.output


# -- at a terminal --------------------------------------------------------------------------------


class Terminal:
    """A Python at a terminal of its own, which somebody types at."""

    def __init__(self, bare: Bare, *arguments: str) -> None:
        self.pid, self._master = pty.fork()
        if not self.pid:
            os.chdir(bare.folder / "home")
            environment = {**bare.environment(), "TERM": "dumb", "PYTHON_BASIC_REPL": "1"}
            os.execve(sys.executable, [sys.executable, "-I", "-S", *arguments], environment)
        self.seen = b""
        os.set_blocking(self._master, False)

    def type(self, text: str) -> None:
        """Type or paste something, and read what appears meanwhile."""
        data = text.encode()
        while data:
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._master, data[:1024]) :]
            self._look()

    def _look(self) -> None:
        try:
            self.seen += os.read(self._master, 65536)
        except BlockingIOError:
            return

    def await_text(self, text: str) -> None:
        """Wait until it appears."""

        def appeared() -> bool:
            self._look()
            return text.encode() in self.seen

        wait_until(appeared, what=f"{text!r} in {self.seen[-500:]!r}")

    def close(self) -> None:
        os.close(self._master)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(bare: Bare) -> Iterator[Any]:
    made: list[Terminal] = []

    def make(*arguments: str) -> Terminal:
        made.append(Terminal(bare, *arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_at_a_terminal_it_asks_for_the_password_unseen(host: Grid, bare: Bare, terminal: Any) -> None:
    at = terminal(str(bare.save(script_of(host.O))))
    at.await_text(f"password of 127.0.0.1:{host.O.port}: ")
    at.type(PASSWORD + "\n")
    assert pid_in(await_guest(host)) == at.pid
    at.await_text("is on the grid below")
    assert PASSWORD.encode() not in at.seen


def test_pasted_at_the_prompt_of_a_bare_python_it_joins_and_gives_the_prompt_back(
    host: Grid, bare: Bare, terminal: Any
) -> None:
    at = terminal()
    at.await_text(">>> ")
    at.type(script_of(host.O) + "\n")  # whoever pastes often pastes a line too many
    at.await_text(f"password of 127.0.0.1:{host.O.port}: ")
    at.type(PASSWORD + "\n")
    name = await_guest(host)
    assert pid_in(name) == at.pid
    assert host.one("lambda: __import__('threading').current_thread().name", to=name) == "MainThread"
    host.O.disconnect(kill=False)
    at.await_text("the grid has ended")
    at.type("print('still', 'here')\n")
    at.await_text("still here")
    assert PASSWORD.encode() not in at.seen


# -- another machine ------------------------------------------------------------------------------


@pytest.fixture
def cable(scripts: Scripts) -> Iterator[Namespaces]:
    with namespaces(scripts.traces.mark) as made:
        if made is None:
            pytest.skip("network namespaces are not allowed here")
        yield made


def start_far(scripts: Scripts, cable: Namespaces, then: str, tolerance: float = 60.0) -> Any:
    """Start an orchestrator in the first namespace, listening at its address."""
    source = f"""
    import contextlib
    O = Orchestrator(address={cable.HERE!r}, password={PASSWORD!r}, heartbeatTolerance={tolerance})
    with open('join.py', 'w') as file, contextlib.redirect_stdout(file):
        O.launchScripts
    tell('ready')
    while not O.workers: time.sleep(0.01)
    """
    command, path = scripts.command(source, "file")
    path.write_text(path.read_text() + then)
    output = path.with_suffix(".out")
    environment = {**os.environ, **scripts.traces.environment(), "PYTHONPATH": SOURCE}
    with open(output, "w") as out:
        process = subprocess.Popen(
            [*cable.inside(0), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=scripts.traces.folder / "cwd",
            text=True,
        )
    running = Running(process, output, scripts.traces)
    scripts.started.append(running)
    running.await_output(">> ready")
    return running


def test_another_machine_joins_with_nothing_but_the_script(scripts: Scripts, bare: Bare, cable: Namespaces) -> None:
    top = start_far(
        scripts,
        cable,
        "tell('answer', call(O, lambda: sum(range(10))))\ntell('large', len(call(O, lambda: bytes(5_000_000))[0]))\n",
    )
    path = scripts.traces.folder / "cwd" / "join.py"
    running = bare.start(path.read_text(), prefix=cable.inside(1))
    path.unlink()
    assert top.await_output(">> answer") == "[45]"
    assert top.await_output(">> large") == "5000000"
    assert ended(top) == 0
    assert running.end() == 0
    assert f"joined by hand from {cable.THERE}" in top.output


def test_when_the_cable_is_pulled_both_ends_know_within_the_tolerance(
    scripts: Scripts, bare: Bare, cable: Namespaces
) -> None:
    top = start_far(
        scripts,
        cable,
        """
def wait_for_ever():
    import threading
    threading.Event().wait()
tell('working')
tell('answer', call(O, wait_for_ever)[0].error)
tell('left', O.workers)
""",
        tolerance=3.0,
    )
    path = scripts.traces.folder / "cwd" / "join.py"
    running = bare.start(path.read_text(), prefix=cable.inside(1))
    path.unlink()
    top.await_output(">> working")
    cable.cut()
    assert "is gone" in top.await_output(">> answer")
    assert top.await_output(">> left") == "[]"
    assert ended(top) == 0
    assert running.end() == 1
    assert "the grid is gone" in running.output
