"""Grids and scripts of the system tests, and what they may leave on the machine: nothing.

Used by the fixtures and tests of this folder; never by softgrid.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.system.watching import (
    COOKIE,
    LEAVING_S,
    MARK,
    PATIENCE_S,
    environment_of,
    pid_in,
    processes_with,
    wait_until,
)

import softgrid
from softgrid import Orchestrator

SOURCE = str(Path(softgrid.__file__).parents[1])
ANY_NUMBER = {
    "machine_maximum_number_of_routers": None,
    "machine_maximum_number_of_managers": None,
    "machine_maximum_number_of_workers": None,
}
OF_PYTHON = {".python_history", ".ipython"}
"""What an interpreter or a notebook leaves by itself."""


# -- leaving nothing behind ------------------------------------------------------------------------


@dataclass
class Traces:
    """What a test may leave on the machine, and where one would find it."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        for name in ("temporary", "home", "cwd"):
            (self.folder / name).mkdir()

    def environment(self) -> dict[str, str]:
        """The environment by which traces of a process can be told from those of others."""
        own = {MARK: self.mark, "TMPDIR": self.folder / "temporary", "HOME": self.folder / "home"}
        return {key: str(value) for key, value in own.items()}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have what is started meanwhile leave its traces here; for what outlives a test."""
        before = {key: os.environ.get(key) for key in self.environment()}
        os.environ.update(self.environment())
        try:
            yield
        finally:
            for key, value in before.items():
                os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)

    def processes(self) -> dict[int, str]:
        return processes_with(MARK, self.mark)

    def files(self) -> list[str]:
        """Files that are left, also sockets and shared memory, which are files here."""
        left = [
            str(path) for path in self.folder.rglob("*") if path.parent != self.folder and path.name not in OF_PYTHON
        ]
        return left + [f"/dev/shm/{name}" for name in os.listdir("/dev/shm") if "softgrid" in name]

    def check_gone(self, timeout: float = LEAVING_S) -> None:
        """Fail, and clean up, unless nothing is left soon."""
        try:
            wait_until(lambda: not self.processes(), timeout, "no process of the test is left")
        except AssertionError:
            left = self.processes()
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"left behind after {timeout:g} s: {left}") from None
        left_files = self.files()
        assert not left_files, left_files


# -- grids in the process of the tests -------------------------------------------------------------


@dataclass
class Grid:
    """A grid whose orchestrator lives in the process of the tests."""

    O: Orchestrator  # noqa: E741  (what everybody calls it)
    routers: list[str] = field(default_factory=list)
    managers: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)

    def launch(self, role: str, upgrid: str | list[str] | None = None, count: int = 1, **kwargs: Any) -> list[str]:
        """Launch executors of one role, all of which must come up; gives their names.

        Those that a test kills stay away, unless it asks otherwise.
        """
        kwargs["executorKwargs"] = {"relaunch": False, **(kwargs.get("executorKwargs") or {})}
        upgrid = upgrid or self.O.gridUniqueName
        upgrids = [upgrid] * count if isinstance(upgrid, str) else upgrid
        statuses, successful, failed = self.O.launch_executor(
            [self.O.address] * len(upgrids), role, upgridUniqueName=upgrids, timeout=30, **kwargs
        )
        assert failed == [], statuses
        return [item["gridUniqueName"] for item in successful]

    def template(self, function: Any, *args: Any, first: bool = False, **template: Any) -> dict[str, Any]:
        """Transfer kwargs for a call of *function*; *first*: with the executor as first argument."""
        filled = self.O.get_transfer_template(function, args or None, **template)
        filled["first_argument_executor"] = first or None
        return filled

    def call(self, function: Any, *args: Any, to: Any = None, first: bool = False, **template: Any) -> list[Any]:
        """Have *function* run by the receivers *to* (the first worker), and collect."""
        filled = self.template(function, *args, first=first, **template)
        receivers = self.workers[0] if to is None else to
        return self.O.transfer(filled, receivers, collect=True, transferTimeout=PATIENCE_S)

    def one(self, function: Any, *args: Any, **more: Any) -> Any:
        """The same for a single receiver, whose result is given."""
        results = self.call(function, *args, **more)
        assert isinstance(results, list), results
        assert len(results) == 1
        return results[0]

    def cookie(self) -> str:
        """The mark that softgrid itself puts on the processes of a grid."""
        return environment_of(pid_in((self.workers or self.managers or self.routers)[0]))[COOKIE]

    def listen(self) -> list[str]:
        """Give a list that fills with what the orchestrator's log says, instead of the log itself."""
        said: list[str] = []
        self.O._node.logs._sink = lambda record: said.append(record.message)
        return said

    def check_alive(self) -> None:
        """Fail unless every worker of the grid answers."""
        pids = self.call(os.getpid, to=self.O.workers)
        assert pids == [pid_in(name) for name in self.O.workers]


MakeGrid = Callable[..., Grid]


# -- scripts, each in a process of its own ---------------------------------------------------------

PREAMBLE = """
import os, sys, time, signal
from softgrid import Orchestrator, Globals
for _role in ('routers', 'managers', 'workers'):
    Globals.RULES['machine_maximum_number_of_' + _role] = None
def launch(executor, role, upgrid=None, count=1, **kwargs):
    kwargs['executorKwargs'] = {'relaunch': False, **(kwargs.get('executorKwargs') or {})}
    statuses, good, bad = executor.launch_executor([executor.address] * count, role, upgridUniqueName=upgrid, **kwargs)
    assert not bad, statuses
    return [item['gridUniqueName'] for item in good]
def call(executor, function, *args, to='workers', first=False, collect=True, **template):
    kwargs = executor.get_transfer_template(function, args, **template)
    kwargs['first_argument_executor'] = first or None
    return executor.transfer(kwargs, to, collect=collect)
def say(*words):
    print(*words, flush=True)
def tell(*words):
    sys.stdout.write('>> ' + ' '.join(map(str, words)) + chr(10)); sys.stdout.flush()
def peak_kib():
    # ru_maxrss would be that of the process that started this one, if that was larger
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmHWM'))
"""


class Running:
    """A script that is running."""

    def __init__(self, process: subprocess.Popen[str], output: Path, traces: Traces) -> None:
        self.process = process
        self.pid = process.pid
        self._output = output
        self._traces = traces

    @property
    def output(self) -> str:
        """What it has said so far, on both streams."""
        return self._output.read_text("utf-8", "replace")

    def await_output(self, text: str) -> str:
        """Wait until it has said *text*; gives the rest of that line."""

        def said() -> str | None:
            assert text in self.output or self.process.poll() is None, f"ended without {text!r}:\n{self.output}"
            found = [line for line in self.output.split("\n")[:-1] if text in line]
            return found[0] + "\n" if found else None

        return wait_until(said, what=f"the script says {text!r}").partition(text)[2].strip()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, timeout: float = PATIENCE_S) -> int:
        """Wait for its end by itself, and that nothing is left then; gives its exit status."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the script did not end within {timeout:g} s:\n{self.output}") from None
        self._traces.check_gone()
        return code


class Scripts:
    """Runs scripts in the folders of one test."""

    def __init__(self, folder: Path, traces: Traces) -> None:
        self.folder = folder
        self.traces = traces
        self._count = 0
        self._options: dict[str, Any] = {}
        self.started: list[Running] = []

    def in_own_session(self) -> Scripts:
        """Let the next scripts be as a terminal starts them: leaders of their own group."""
        self._options["start_new_session"] = True
        return self

    def command(self, source: str, how: str, preamble: bool = True) -> tuple[list[str], Path]:
        """The command that runs *source* as 'file', 'command' (-c) or 'stdin', and the file with it."""
        self._count += 1
        path = self.folder / f"script{self._count}.py"
        path.write_text((PREAMBLE if preamble else "") + textwrap.dedent(source))
        tail = {"file": [str(path)], "command": ["-c", path.read_text()], "stdin": ["-"], "interactive": ["-i"]}
        return [sys.executable, *tail[how]], path

    def start(self, source: str, how: str = "file", *, preamble: bool = True, **options: Any) -> Running:
        """Start a script."""
        command, path = self.command(source, how, preamble)
        output = path.with_suffix(".out")
        environment = {**os.environ, **self.traces.environment(), "PYTHONPATH": SOURCE, **options.pop("env", {})}
        with open(path) as text, open(output, "w") as out:
            process = subprocess.Popen(
                command,
                stdin=text if how in ("stdin", "interactive") else subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.traces.folder / "cwd",
                text=True,
                **{**self._options, **options},
            )
        self.started.append(Running(process, output, self.traces))
        return self.started[-1]

    def run(
        self, source: str, how: str = "file", *, status: int = 0, timeout: float = PATIENCE_S, **options: Any
    ) -> str:
        """Run a script to its end, which must come with that exit status; gives what it said."""
        running = self.start(source, how, **options)
        code = running.end(timeout)
        assert code == status, f"exit status {code}\n{running.output}"
        return running.output
