"""Every example of the documentation is a script that runs as printed.

Each ```python block runs in a process of its own; where a ```text block follows, with nothing but
blank lines between, it is what the script prints (`...` stands for any text, as in doctest).
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

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


@pytest.mark.system
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.place)
def test_an_example_of_the_documentation_runs_as_printed(example: Example, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.code, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},  # a window would wait to be closed
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 0, f"{example.place}\n{run.stdout}{run.stderr}"
    if example.output is not None:
        matches = doctest.OutputChecker().check_output(example.output, run.stdout, doctest.ELLIPSIS)
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
