"""A process that has softgrid only as a bundle in memory makes grids like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.grids import Traces

from softgrid._launch.bundle import boot, make_bundle

pytestmark = pytest.mark.system

GRID = """
from softgrid import Orchestrator
O = Orchestrator()
statuses, managers, failed = O.launch_manager(executorAddress=O.address)
assert not failed, statuses
statuses, workers, failed = O.launch_worker(executorAddress=O.address, upgridUniqueName=O.managers[0])
assert not failed, statuses
def where():
    import softgrid, sys
    return type(softgrid.__loader__).__name__, [path for path in sys.path if 'site-packages' in path]
print(O.transfer(O.get_transfer_template(where), 'workers', collect=True))
"""


def test_a_bare_python_with_a_bundle_makes_a_grid(traces: Traces, tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(make_bundle())
    program = boot(f"open({str(tmp_path / 'bundle')!r}, 'rb').read()") + GRID
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        cwd=traces.folder / "cwd",
        env={**traces.environment(), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "[('BundleImporter', [])]\n"
    traces.check_gone()
