"""Every example of the documentation is a script that runs as printed.

Each ```python block runs in a process of its own; where a ```text block follows, with nothing but
blank lines between, it is what the script prints (`...` stands for any text, as in doctest).
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.system.grids import Traces
from tests.system.ssh_hosts import SshHosts
from tests.system.watching import wait_until

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TIMEOUT_S = 60
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\s*^```text\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


class Example(NamedTuple):
    place: str
    code: str
    output: str | None


def examples_of(page: Path, text: str) -> list[Example]:
    """The runnable blocks of a page, each with what it must print, if the page says so."""
    name = page.relative_to(ROOT) if page.is_absolute() else page
    return [
        Example(f"{name}:{text.count(chr(10), 0, found.start()) + 1}", found["code"], found["output"])
        for found in BLOCK.finditer(text)
    ]


EXAMPLES = [
    example for page in PAGES if page.exists() for example in examples_of(page, page.read_text(encoding="utf-8"))
]


MACHINES = ("node1", "node2", "gateway", "inner1", "inner2")
"""Names that examples may give to machines; those that one does are there while it runs, over ssh only."""

HEADLESS = {"MPLBACKEND": "Agg"}
"""A window would wait to be closed."""

STRANGER = re.compile(r"^.* at port \d+: a connection from \S+ was refused: .*\n", re.MULTILINE)
"""What a grid says when the guest of another test, whose own grid is gone, knocks at the port that it has now."""


@contextmanager
def machines_of(example: Example, folder: Path) -> Iterator[dict[str, str]]:
    """Make the machines that an example mentions; gives the environment in which ``ssh`` finds them."""
    names = [name for name in MACHINES if f'"{name}"' in example.code]
    if not names:
        yield {**os.environ, **HEADLESS}
        return
    hosts = SshHosts(folder, Traces(folder))
    try:
        wrappers = [folder / "bin", *(hosts.make(name).bin for name in names)]
        wrappers[0].mkdir()
        for wrapper in wrappers:
            (wrapper / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {hosts.config} "$@"\n')
            (wrapper / "ssh").chmod(0o755)
        yield {**os.environ, **HEADLESS, "PATH": f"{wrappers[0]}:{os.environ['PATH']}"}
        for host in hosts.hosts:
            wait_until(lambda host=host: not host.executors(), what=f"no process is left on {host.name}")  # type: ignore[misc]
    finally:
        hosts.close()


@pytest.mark.system
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.place)
def test_an_example_of_the_documentation_runs_as_printed(example: Example, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.code, encoding="utf-8")
    with machines_of(example, tmp_path) as environment:
        run = subprocess.run(
            [sys.executable, "-W", "error", str(script)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert run.returncode == 0, f"{example.place}\n{run.stdout}{run.stderr}"
    if example.output is not None:
        printed = STRANGER.sub("", run.stdout)
        matches = doctest.OutputChecker().check_output(example.output, printed, doctest.ELLIPSIS)
        assert matches, f"{example.place}\nexpected:\n{example.output}\nprinted:\n{run.stdout}"


def test_a_page_gives_its_blocks_with_their_output_and_line() -> None:
    text = (
        "# Page\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        "```python\nx = 2\n```\nwords\n```text\nnot its output\n```\n```sh\nmake\n```\n"
    )
    assert examples_of(Path("page.md"), text) == [
        Example("page.md:3", "print(1)\n", "1\n"),
        Example("page.md:11", "x = 2\n", None),
    ]
