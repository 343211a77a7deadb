"""The examples in the docstrings of the stores, run on a grid of an orchestrator and a worker."""

from __future__ import annotations

import doctest
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import MakeGrid

from softgrid import Core

pytestmark = pytest.mark.system

STORES = ("object", "data", "file", "udf", "package")


def documented() -> Iterator[tuple[str, Callable[..., Any]]]:
    for cls in (Core.GridBase, Core.MethodsBase):
        for name, method in inspect.getmembers(cls, inspect.isfunction):
            if name in vars(cls) and name.endswith(STORES) and not name.startswith("_"):
                yield f"{cls.__name__}.{name}", method


def test_every_example_shows_what_happens(make_grid: MakeGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    grid = make_grid()
    told: list[str] = []
    modules = set(sys.modules)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(verbose=False)
    count = 0
    for name, method in documented():
        for test in finder.find(method, name, module=False, globs={"orchestrator": grid.O}):  # type: ignore[arg-type]
            assert test.examples, f"{name} has no example"
            runner.run(test, out=told.append)
            count += 1
    for module in set(sys.modules) - modules:
        sys.modules.pop(module)
    assert not runner.failures, "".join(told)
    assert count == 23
