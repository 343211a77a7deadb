"""The ways in which people run Python: whatever runs the orchestrator, launching and calling work the same."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from tests.system.grids import PREAMBLE, SOURCE, Scripts, Traces
from tests.system.watching import PATIENCE_S, wait_until

pytestmark = pytest.mark.system

WORK = """
offset = 7
def shifted(x): return x + offset
class Point:
    def __init__(self, x): self.x = x
    def moved(self, by): return Point(self.x + by)
O = Orchestrator()
manager = launch(O, 'Manager')[0]
workers = launch(O, 'Worker', manager, count=2)
say('shifted', call(O, shifted, 1))
say('lambda', call(O, lambda x: x * offset, 2))
say('moved', [point.x for point in call(O, Point(1).moved, 2)], type(call(O, Point(1).moved, 2)[0]) is Point)
say('pids', call(O, os.getpid) == [O.split_grid_unique_name(name)[3] for name in O.workers])
"""


@pytest.mark.parametrize("how", ["file", "command", "stdin"])
def test_works_without_a_main_guard(scripts: Scripts, how: str) -> None:
    said = scripts.run(WORK, how).splitlines()
    assert said == ["shifted [8, 8]", "lambda [14, 14]", "moved [3, 3] True", "pids True"]


def test_works_in_an_interactive_interpreter_fed_by_a_pipe(scripts: Scripts) -> None:
    typed = re.sub(r"\n(?=\S)", "\n\n", PREAMBLE + WORK)  # where one line ends a block, an empty one has to
    said = scripts.run(typed, "interactive", preamble=False)
    for line in ("shifted [8, 8]", "lambda [14, 14]", "moved [3, 3] True", "pids True"):
        assert line in said


class Terminal:
    """A person at an interactive interpreter."""

    def __init__(self, traces: Traces, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        environment = {
            **os.environ,
            "PYTHONPATH": SOURCE,
            "TERM": "dumb",
            "PYTHON_HISTORY": os.devnull,
            "PYTHON_BASIC_REPL": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-q", "-i", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=traces.folder / "cwd",
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.output = ""

    def read(self) -> str:
        while select.select([self.master], [], [], 0)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.output += data.decode(errors="replace")
        return self.output

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def await_output(self, text: str) -> None:
        wait_until(lambda: text in self.read(), what=f"{text!r} on the terminal; so far:\n{self.output}")


@pytest.fixture
def terminal(traces: Traces) -> Terminal:
    made = Terminal(traces)
    yield made  # type: ignore[misc]
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    os.close(made.master)


def start_at(terminal: Terminal) -> None:
    terminal.await_output(">>> ")
    for block in PREAMBLE.split("\ndef "):
        terminal.type(block if block.startswith("\nimport") else f"def {block}")
        terminal.type("\n\n")
    terminal.type("O = Orchestrator(); names = launch(O, 'Worker', count=2)\n")
    terminal.type("print('up:', len(O.workers))\n")
    terminal.await_output("up: 2")


def test_works_at_a_terminal_and_ends_with_it(terminal: Terminal, traces: Traces) -> None:
    start_at(terminal)
    terminal.type("def twice(x):\n    return x * 2\n\nprint('got:', call(O, twice, 21))\n")
    terminal.await_output("got: [42, 42]")
    terminal.type("x = 5\nprint('got:', call(O, lambda: x))\nx = 6\nprint('got:', call(O, lambda: x))\n")
    terminal.await_output("got: [6, 6]")
    terminal.type("exit(4)\n")
    assert terminal.process.wait(PATIENCE_S) == 4
    traces.check_gone()


def test_ctrl_c_at_a_terminal_ends_the_wait_and_not_the_grid(terminal: Terminal) -> None:
    start_at(terminal)
    terminal.type("print('going'); call(O, time.sleep, 600)\n")
    terminal.await_output("going\r\n")
    terminal.type("\x03")
    terminal.await_output("KeyboardInterrupt")
    terminal.type("pid = O.split_grid_unique_name(O.workers[0])[3]\n")
    terminal.type("print('still', len(O.workers), call(O, os.getpid, priority=None, to=O.workers[0]) == [pid])\n")
    terminal.await_output("still 2 True")
    terminal.type("exit()\n")
    assert terminal.process.wait(PATIENCE_S) == 0


def test_disconnect_at_a_terminal_keeps_the_session(terminal: Terminal, traces: Traces) -> None:
    start_at(terminal)
    terminal.type("O.disconnect(); print('here', O.isDisconnected)\n")
    terminal.await_output("here True")
    wait_until(lambda: list(traces.processes()) == [terminal.process.pid], what="only the session is left")
    terminal.type("P = Orchestrator(); launch(P, 'Worker'); print('again', call(P, lambda: 3))\n")
    terminal.await_output("again [3]")
    terminal.type("exit()\n")
    assert terminal.process.wait(PATIENCE_S) == 0


def test_closing_the_terminal_ends_everything(traces: Traces) -> None:
    terminal = Terminal(traces)
    try:
        start_at(terminal)
    finally:
        os.close(terminal.master)
        terminal.process.wait(PATIENCE_S)
    traces.check_gone()


def test_works_inside_pytest(tmp_path: Path, traces: Traces) -> None:
    """Functions of a test module, which is importable under its name only by grace of pytest."""
    (tmp_path / "test_inner.py").write_text(
        "from softgrid import Orchestrator\n"
        "def helper(x): return x + 1\n"
        "def test_it():\n"
        "    O = Orchestrator(rules={'machine_maximum_number_of_workers': None})\n"
        "    assert O.launch_worker([O.address] * 2)[2] == []\n"
        "    assert O.transfer(O.get_transfer_template(helper, (1,)), 'workers', collect=True) == [2, 2]\n"
        "    O.disconnect(kill=False)\n"
    )
    for mode in ("prepend", "importlib"):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            f"--import-mode={mode}",
        ]
        environment = {**os.environ, "PYTHONPATH": SOURCE, "PYTHONDONTWRITEBYTECODE": "1"}
        for variable in [key for key in environment if key.startswith("PYTEST_")]:
            del environment[variable]
        done = subprocess.run(
            [*command, "--rootdir", str(tmp_path), str(tmp_path / "test_inner.py"), "--basetemp", str(tmp_path / mode)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "1 passed" in done.stdout, done.stdout + done.stderr
        assert done.returncode == 0


def test_functions_of_a_module_beside_the_script_are_found(scripts: Scripts, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 3\ndef tripled(x): return x * FACTOR\n")
    said = scripts.run(
        """
        sys.dont_write_bytecode = True
        import beside
        O = Orchestrator()
        launch(O, 'Worker')
        say(call(O, beside.tripled, 5))
    """,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert "[15]" in said


@pytest.mark.xfail(
    strict=True,
    reason="executors look for modules where the script did when the orchestrator was made",
)
def test_functions_of_a_module_that_came_to_the_path_later_are_found(scripts: Scripts, tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "belated.py").write_text("def tripled(x): return x * 3\n")
    said = scripts.run(
        """
        O = Orchestrator()
        launch(O, 'Worker')
        sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'later'))
        import belated
        say(call(O, belated.tripled, 5))
    """,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert "[15]" in said


def test_works_with_a_python_that_says_nothing_and_has_no_terminal(scripts: Scripts) -> None:
    running = scripts.start("""
        nowhere = os.open(os.devnull, os.O_RDWR)
        [os.dup2(nowhere, number) for number in (0, 1, 2)]
        O = Orchestrator()
        launch(O, 'Worker', count=2)
        good = call(O, lambda: print('printed') or 5) == [5, 5]
        os._exit(17) if not good else sys.exit(9)
    """)
    assert running.end() == 9


def test_works_when_the_working_directory_is_gone(scripts: Scripts, tmp_path: Path) -> None:
    said = scripts.run("""
        import tempfile
        gone = tempfile.mkdtemp(); os.chdir(gone); os.rmdir(gone)
        O = Orchestrator()
        launch(O, 'Worker')
        say(call(O, lambda: 5))
    """)
    assert "[5]" in said


def test_a_forked_child_of_the_script_may_come_and_go(scripts: Scripts) -> None:
    said = scripts.run("""
        import subprocess, multiprocessing
        O = Orchestrator()
        launch(O, 'Worker')
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        say('child ended', os.waitpid(pid, 0)[1])
        subprocess.run(['true'], check=True)
        with multiprocessing.get_context('fork').Pool(2) as pool:
            say(pool.map(abs, [-1, -2]))
        say('grid', call(O, lambda: 5))
    """)
    assert "child ended 0" in said
    assert "grid [5]" in said


def test_an_asyncio_script_can_use_it_from_a_thread(scripts: Scripts) -> None:
    said = scripts.run("""
        import asyncio
        O = Orchestrator()
        launch(O, 'Worker', count=2)
        async def main():
            results = await asyncio.gather(*[asyncio.to_thread(call, O, pow, 2, n) for n in range(5)])
            say(results)
        asyncio.run(main())
    """)
    assert "[[1, 1], [2, 2], [4, 4], [8, 8], [16, 16]]" in said


def test_several_threads_share_an_orchestrator(scripts: Scripts) -> None:
    said = scripts.run("""
        from concurrent.futures import ThreadPoolExecutor
        O = Orchestrator()
        launch(O, 'Worker', count=2)
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda n: call(O, lambda: n * n), range(200)))
        say(results == [[n * n] * 2 for n in range(200)])
    """)
    assert "True" in said
