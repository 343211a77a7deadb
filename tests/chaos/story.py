"""The life of one small grid, from its first launch to its end, as a process of its own that tests kill at any point.

    orchestrator ── router ─┬─ manager ─┬─ worker, worker (dies), worker (leaves)
                            └─ guest (another script)

Every public call is a step: noted in the ledger before it begins and after it has ended, with what came of it, so that
whoever reads the ledger afterwards knows what was never answered, even if the story was killed meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.chaos.ledger import Ledger, run_task

from softgrid import Orchestrator

PASSWORD = "the password of the router in the story"
# The router listens far from where executors do by default: the guest must not knock at the door of another test.
LAUNCH_S, CALL_S, GUEST_S = 10.0, 4.0, 8.0
QUIET = {"logToStdout": False}
NO_LIMIT = {f"machine_maximum_number_of_{role}": None for role in ("routers", "managers", "workers")}
GUEST = """
import sys
from softgrid import Worker
guest = Worker(logKwargs={'logToStdout': False})
guest.connect_to_grid('127.0.0.1', int(sys.argv[1]), sys.stdin.readline().strip(), blocking=True)
"""


class Story:
    """The steps, in their order."""

    def __init__(self, folder: Path) -> None:
        self._ledger = Ledger(folder / "ledger")
        self._guest: subprocess.Popen[bytes] | None = None
        self.O = Orchestrator(rules=NO_LIMIT, logKwargs=QUIET)

    def step(self, name: str, deadline_s: float, call: Callable[[], Any]) -> Any:
        """Make one public call."""
        self._ledger.note("begin", step=name)
        began = monotonic()
        result = call()
        self._ledger.note("end", step=name, took_s=monotonic() - began, deadline_s=deadline_s, result=shown(result))
        return result

    def launch(self, role: str, upgrid: str | None, count: int = 1, **kwargs: Any) -> None:
        executor_kwargs = {"logKwargs": QUIET, **kwargs}
        self.step(
            f"launch {role}",
            LAUNCH_S,
            lambda: self.O.launch_executor(
                [self.O.address] * count,
                role,
                upgridUniqueName=upgrid,
                timeout=LAUNCH_S,
                executorKwargs=executor_kwargs,
            ),
        )

    def call(self, name: str, function: Any, *args: Any, to: Any, first: bool = False) -> None:
        if not to:
            return
        template = self.O.get_transfer_template(function, args)
        template["first_argument_executor"] = first or None
        self.step(name, CALL_S, lambda: self.O.transfer(template, to, collect=True, transferTimeout=CALL_S))

    def tell(self) -> None:
        """Tell the whole story."""
        O = self.O  # noqa: E741
        self.launch("Router", None, password=PASSWORD, port=20_000 + os.getpid() % 20_000)
        upgrid = O.routers[0] if O.routers else None
        self.launch("Manager", upgrid)
        self.launch("Worker", O.managers[0] if O.managers else upgrid, count=3)
        launched = O.workers
        self.let_guest_in()
        for number in range(4):
            self.call("task", run_task, str(self._ledger.path), f"small {number}", to=O.workers)
        self.call("large", len, bytes(1 << 20), to=O.workers)
        self.call("own error", int, "no number", to=O.workers[:1])
        self.ask()
        self.call("dies", os._exit, 3, to=launched[1:2])
        self.call("leaves", lambda worker: worker.disconnect(), to=launched[2:3], first=True)
        self.call("last", run_task, str(self._ledger.path), "last", to=O.workers)
        self.step("disconnect", 5.0, lambda: O.disconnect(kill=False))
        self.see_guest_off()

    def ask(self) -> None:
        """A request to a worker, which answers it."""
        if not self.O.workers:
            return
        worker, password = self.O.workers[0], "a request"

        def answer(executor: Any, password: str, seconds: float) -> Any:
            taken = executor.wait_for_request(password, timeout=seconds)[password]
            return taken and bool(executor.transfer_response_to_requester(taken["requester"], password, "yes"))

        template = self.O.get_transfer_template(answer, (password, CALL_S), priority=None, returnResult=False)
        template["first_argument_executor"] = True
        self.step("have answered", CALL_S, lambda: self.O.transfer(template, worker))
        self.step("ask", CALL_S, lambda: self.O.transfer_request_to_responder(worker, password, "?", timeout=CALL_S))
        self.step("response", CALL_S, lambda: self.O.wait_for_response(password, timeout=CALL_S))

    def let_guest_in(self) -> None:
        if not self.O.routers:
            return
        port = self.O.routers[0].rpartition(":")[2]
        self._guest = subprocess.Popen([sys.executable, "-c", GUEST, port], stdin=subprocess.PIPE)
        assert self._guest.stdin is not None
        self._guest.stdin.write(PASSWORD.encode() + b"\n")
        self._guest.stdin.close()
        until = monotonic() + GUEST_S
        known = len(self.O.workers)
        while len(self.O.workers) <= known and self._guest.poll() is None and monotonic() < until:
            sleep(0.01)

    def see_guest_off(self) -> None:
        """A guest ends with its grid, or with the failure of its join."""
        if self._guest is not None:
            self.step("guest ends", 25.0, lambda: self._guest and self._guest.wait(26.0))


def shown(result: Any) -> str:
    """What came of a call, short."""
    return repr(result)[:400]


def borrowed() -> tuple[int, int]:
    """How many descriptors and threads this process has."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def open_files() -> list[str]:
    """What the descriptors of this process lead to."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that reads the folder
            found.append(os.readlink(f"/proc/self/fd/{entry}"))
    return found


def main(folder: str) -> int:
    ledger = Ledger(Path(folder) / "ledger")
    if os.environ.get("SOFTGRID_CHAOS") is None or "kill=" not in os.environ["SOFTGRID_CHAOS"]:
        Orchestrator(logKwargs=QUIET).disconnect(kill=False)  # what is loaded once is not borrowed
    before = borrowed()
    story = Story(Path(folder))
    story.tell()
    until = monotonic() + 2.0
    while borrowed() > before and monotonic() < until:
        sleep(0.01)
    ledger.note("borrowed", before=before, after=borrowed(), open_files=open_files())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
