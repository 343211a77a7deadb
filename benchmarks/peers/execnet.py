"""``execnet``: gateways over ssh to a Python that has nothing installed, and further ones on that machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import execnet

from benchmarks.calls import Report
from benchmarks.over_ssh import BareMachine, bare_machine, report_bulk, report_first

ONE = "channel.send(1)"
BULK = """
while True:
    wanted = channel.receive()
    channel.send(len(wanted) if isinstance(wanted, bytes) else bytes(wanted))
"""


@contextmanager
def group() -> Iterator[Any]:
    """A group of gateways that ends."""
    made = execnet.Group()
    try:
        yield made
    finally:
        made.terminate(timeout=5)


def gateway(made: Any, machine: BareMachine) -> Any:
    """A gateway to the machine."""
    return made.makegateway(f"ssh={machine.name}//ssh_config={machine.config}//python=python3")


def ssh_first(report: Report) -> None:
    """One gateway, and then others by way of it."""
    with bare_machine() as machine, group() as made:
        gateways: list[Any] = []

        def first() -> None:
            gateways.append(gateway(made, machine))
            assert gateways[0].remote_exec(ONE).receive() == 1

        def more(count: int) -> None:
            others = [made.makegateway(f"popen//via={gateways[0].id}") for _ in range(count)]
            assert [other.remote_exec(ONE).receive() for other in others] == [1] * count

        report_first(report, machine, first, more)


def ssh_bulk(report: Report) -> None:
    """Bytes over a channel."""
    with bare_machine() as machine, group() as made:
        channel = gateway(made, machine).remote_exec(BULK)

        def send(data: bytearray) -> int:
            channel.send(bytes(data))
            return int(channel.receive())

        def fetch(size: int) -> int:
            channel.send(size)
            return len(channel.receive())

        report_bulk(report, send, fetch, machine.send, machine.fetch)
