"""Every example in a public docstring runs as printed.

An example has `orchestrator`, the orchestrator of a grid of its own with one worker, or with two where it speaks of a
second; `...` stands for any text.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import MakeGrid

import softgrid
from softgrid._api import here

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pyplot = importlib.import_module("matplotlib.pyplot")

pytestmark = pytest.mark.system

MODULES = ("Globals", "Core", "Executors", "Collections", "DDFS", "Addons")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MUTED = {"logTypes": {name: {"stdoutFlag": False, "fileFlag": False} for name in ("info", "warn", "error")}}
"""What a grid says at some time or other is no output of an example."""
SECOND = re.compile(r"second|workers\[1\]")
DEFAULTS = {"machine_maximum_number_of_managers": 1}


def examples() -> Iterator[doctest.DocTest]:
    """The examples of what the public modules offer: of the modules, of classes, of members and of functions."""
    parser = doctest.DocTestParser()
    seen: set[str] = set()
    for name, text in documented():
        if ">>>" in text and text not in seen:
            seen.add(text)
            yield parser.get_doctest(text, {}, name, None, None)


def documented() -> Iterator[tuple[str, str]]:
    for short in MODULES:
        module: Any = importlib.import_module(f"softgrid.{short}")
        yield short, inspect.getdoc(module) or ""
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isclass(found) or inspect.isfunction(found):
                yield f"{short}.{name}", inspect.getdoc(found) or ""
            if inspect.isclass(found):
                for member, value in vars(found).items():
                    yield f"{short}.{name}.{member}", _text_of(value)
    for name in softgrid.__all__:
        yield name, _text_of(getattr(softgrid, name))


def _text_of(value: Any) -> str:
    if isinstance(value, property) or inspect.isroutine(value) or isinstance(value, staticmethod):
        return inspect.getdoc(value) or ""
    return ""


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_of_a_docstring_runs_as_printed(
    example: doctest.DocTest, make_grid: MakeGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(here, "_entries", [])  # what has no grid of its own must not use the folders of another
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    source = "".join(part.source for part in example.examples)
    if "orchestrator" in source:
        example.globs["orchestrator"] = make_grid(
            workers=2 if SECOND.search(source) else 1, rules=DEFAULTS, logKwargs=MUTED
        ).O
    complaints: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(example, out=complaints.append)
    assert complaints == [], "".join(complaints)
    pyplot.close("all")


def test_there_are_examples_of_every_public_module() -> None:
    assert {example.name.partition(".")[0] for example in EXAMPLES} >= {"Core", "Executors", "Collections", "DDFS"}
