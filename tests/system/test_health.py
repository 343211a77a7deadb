"""What is alive and does not work is told: a stopped process at once, and when it goes on."""

from __future__ import annotations

import os
import signal

import pytest
from tests.system.grids import MakeGrid
from tests.system.watching import pid_in, wait_until

pytestmark = pytest.mark.system


@pytest.mark.parametrize("stopped", ["worker", "manager"])
def test_a_call_that_waits_for_a_stopped_process_says_so(make_grid: MakeGrid, stopped: str) -> None:
    grid = make_grid(managers=1, workers=1)
    (name,) = {"worker": grid.workers, "manager": grid.managers}[stopped]
    os.kill(pid_in(name), signal.SIGSTOP)
    try:
        wait_until(lambda: grid.O._node.tree.suspicion(name), what="the stop is known")
        (status,) = grid.O.transfer(grid.template(os.getpid), grid.workers, collect=True, transferTimeout=0.1)
        assert not status
        assert f"{name} is stopped by signal 19 (SIGSTOP)" in str(status)
    finally:
        os.kill(pid_in(name), signal.SIGCONT)
    wait_until(lambda: not grid.O._node.tree.suspicion(name), what="it is known to go on")
    grid.check_alive()
