"""A notebook: its kernel runs the cells, shows what workers print, and interrupts a wait."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from tests.system.grids import PREAMBLE, SOURCE, Traces
from tests.system.watching import PATIENCE_S

manager = pytest.importorskip("jupyter_client.manager")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.system


class Notebook:
    """A kernel, its cells run one after the other."""

    def __init__(self, traces: Traces) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nb-", dir="/tmp")  # short: it is part of a socket's name
        home = self._folder.name
        self.kernel = manager.KernelManager(transport="ipc", ip=f"{home}/s", connection_file=f"{home}/c.json")
        environment = {**os.environ, **traces.environment(), "PYTHONPATH": SOURCE, "HOME": home}
        self.kernel.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.kernel.start_kernel(env=environment, cwd=str(traces.folder / "cwd"))
        self.client = self.kernel.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_S)

    def run(self, cell: str, interrupt_at: str | None = None) -> tuple[str, str]:
        """Run a cell; gives how it ended and what it showed. Interrupted when it shows *interrupt_at*."""
        shown: list[str] = []

        def show(message: dict[str, Any]) -> None:
            content = message["content"]
            shown.append(content.get("text") or content.get("ename") or content.get("data", {}).get("text/plain", ""))
            if interrupt_at is not None and interrupt_at in shown[-1]:
                self.kernel.interrupt_kernel()

        reply = self.client.execute_interactive(cell, output_hook=show, timeout=PATIENCE_S)
        return reply["content"]["status"], "".join(shown)

    def close(self) -> None:
        self.client.stop_channels()
        self.kernel.shutdown_kernel()
        self._folder.cleanup()


@pytest.fixture
def notebook(traces: Traces) -> Iterator[Notebook]:
    opened = Notebook(traces)
    yield opened
    opened.close()


def test_a_grid_lives_in_a_notebook(notebook: Notebook) -> None:
    ended, shown = notebook.run(
        PREAMBLE
        + "O = Orchestrator(logKwargs={'logToStdout': False}); names = launch(O, 'Worker', count=2); len(O.workers)"
    )
    assert (ended, shown) == ("ok", "2")
    assert notebook.run("def twice(x): return 2 * x\ncall(O, twice, 21)") == ("ok", "[42, 42]")
    assert notebook.run("offset = 1\ncall(O, lambda: offset)") == ("ok", "[1, 1]")
    assert notebook.run("offset = 2\ncall(O, lambda: offset)") == ("ok", "[2, 2]")

    ended, shown = notebook.run("print('going', flush=True); call(O, time.sleep, 600)", interrupt_at="going")
    assert (ended, "KeyboardInterrupt" in shown) == ("error", True)
    assert notebook.run("len(call(O, os.getpid, priority=None))") == ("ok", "2")


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="draws")
def test_a_picture_is_shown_once_whether_it_is_the_value_of_its_cell_or_not(notebook: Notebook) -> None:
    assert notebook.run(PREAMBLE + "O = Orchestrator(logKwargs={'logToStdout': False})") == ("ok", "")
    for cell in ("O.visualize_grid()", "figure = O.visualize_grid(); len(figure.axes)"):
        ended, shown = notebook.run(cell)
        assert (ended, shown.count("<Figure size")) == ("ok", 1), shown
    assert shown.startswith("1"), "the value of the cell"
