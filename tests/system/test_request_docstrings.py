"""The examples in the docstrings of requests and responses run as printed."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
from tests.system.grids import MakeGrid

from softgrid.Collections import WaitResult
from softgrid.Core import RequesterResponderBase

pytestmark = pytest.mark.system

DOCUMENTED = [
    WaitResult,
    *(member for name, member in vars(RequesterResponderBase).items() if callable(member) and not name.startswith("_")),
]


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda documented: documented.__name__)
def test_the_example_runs_as_printed(make_grid: MakeGrid, documented: Any) -> None:
    grid = make_grid(workers=0, logKwargs={"logToStdout": False})
    name = documented.__qualname__
    found = doctest.DocTestParser().get_doctest(documented.__doc__, {"orchestrator": grid.O}, name, None, None)
    assert found.examples, f"{name} has no example"
    said: list[str] = []
    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found, out=said.append)
    assert outcome.failed == 0, "".join(said)
