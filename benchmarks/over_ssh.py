"""``python -m benchmarks.over_ssh HOST``: what softgrid costs over ssh, beside what ssh itself costs, in one run.

HOST is any machine that the given ssh reaches and that has nothing but a Python. Each round does everything once, so
that both sides see the same load; a relation is the median of the relations of the rounds. Goals are the project's.
"""

from __future__ import annotations

import argparse
import os
import pickle
import shlex
import statistics
import subprocess
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from softgrid import Orchestrator

MEBI = 1024 * 1024
MANY = 16


class Rounds:
    """Figures of one measurement, round by round."""

    def __init__(self, title: str, unit: str, goal: str) -> None:
        self.title, self.unit, self.goal = title, unit, goal
        self.floors: list[float] = []
        self.figures: list[float] = []

    def row(self) -> str:
        """One line of the table."""
        figure = statistics.median(self.figures)
        beside = ""
        if self.floors:
            pairs = zip(self.figures, self.floors, strict=True)
            relation = statistics.median(figure / floor for figure, floor in pairs)
            beside = f"{statistics.median(self.floors):,.3g} | {relation:.2f}"
        return f"| {self.title} | {figure:,.3g} {self.unit} | {beside or ' | '} | {self.goal} |"


def timed(work: Callable[[], Any]) -> float:
    """Seconds that *work* takes."""
    start = perf_counter()
    work()
    return perf_counter() - start


class OverSsh:
    """One machine, reached by both."""

    def __init__(self, ssh: list[str], host: str, size: int) -> None:
        self._ssh, self._host, self._size = ssh, host, size
        self._data = pickle.PickleBuffer(bytearray(os.urandom(MEBI)) * (size // MEBI))

    def _run(self, command: str) -> subprocess.Popen[bytes]:
        words = [*self._ssh, "-o", "BatchMode=yes", self._host, command]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def login(self) -> float:
        """Seconds for a Python that does nothing."""
        return timed(lambda: self._run("python3 -c 1").communicate())

    def cat_there(self) -> float:
        """Bytes a second into a process there."""
        process = self._run("echo up; cat >/dev/null")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        return self._size / timed(lambda: process.communicate(self._data.raw()))

    def cat_back(self) -> float:
        """Bytes a second out of a process there."""
        process = self._run(f"read go; exec head -c {self._size} /dev/zero")
        return self._size / timed(lambda: process.communicate(b"go\n"))

    def round(self, first: Rounds, more: Rounds, there: Rounds, back: Rounds) -> None:
        """Do everything once."""
        first.floors.append(self.login())
        rules = {"ssh_command": self._ssh, "machine_maximum_number_of_workers": None}
        grid = Orchestrator(rules=rules, logKwargs={"logToStdout": False})
        try:
            workers: list[str] = []
            call = grid.get_transfer_template("lambda: 1")

            def launch(count: int) -> None:
                statuses, good, bad = grid.launch_worker([self._host] * count, timeout=60)
                assert not bad, statuses
                workers[:] = [each["gridUniqueName"] for each in good]
                assert grid.transfer(call, workers, collect=True) == [1] * count

            first.figures.append(timed(lambda: launch(1)))
            worker = workers[0]
            more.figures.append(timed(lambda: launch(MANY)))
            send = grid.get_transfer_template("lambda data: memoryview(data).nbytes", (self._data,))
            there.floors.append(self.cat_there())
            there.figures.append(self._size / timed(lambda: grid.transfer(send, worker, collect=True)))
            fetch = grid.get_transfer_template(
                "lambda size: __import__('pickle').PickleBuffer(bytearray(size))", (self._size,)
            )
            back.floors.append(self.cat_back())
            back.figures.append(self._size / timed(lambda: grid.transfer(fetch, worker, collect=True)))
        finally:
            grid.disconnect(kill=False)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.over_ssh", description=__doc__)
    parser.add_argument("host")
    parser.add_argument("--ssh", default="ssh", help="the command of the client, e.g. 'ssh -F my_config'")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mebibytes", type=int, default=128)
    options = parser.parse_args(argv)
    rounds = (
        Rounds("first result of a fresh machine, beside `ssh host python3 -c 1`", "s", "<= 1.5 s, <= 3 x"),
        Rounds(f"{MANY} more workers there, with a result of each", "s", "<= 0.3 s"),
        Rounds("bulk there, beside `ssh host 'cat >/dev/null'`", "B/s", ">= 0.8 x"),
        Rounds("bulk back, beside `ssh host head`", "B/s", ""),
    )
    machine = OverSsh(shlex.split(options.ssh), options.host, options.mebibytes * MEBI)
    for _ in range(options.repeats):
        machine.round(*rounds)
    print("| | softgrid | ssh | x | goal |\n| - | - | - | - | - |")
    for each in rounds:
        print(each.row())


if __name__ == "__main__":
    main()
