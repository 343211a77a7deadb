"""``mitogen``: contexts over ssh to a Python that has nothing installed, and further ones on that machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mitogen.core
import mitogen.master
import mitogen.utils

from benchmarks.calls import Report
from benchmarks.over_ssh import BareMachine, bare_machine, report_bulk, report_first
from benchmarks.peers import _mitogen_there as there


@contextmanager
def router() -> Iterator[Any]:
    """A router whose broker ends."""
    broker = mitogen.master.Broker()
    try:
        yield mitogen.master.Router(broker)
    finally:
        broker.shutdown()
        broker.join()


def context(made: Any, machine: BareMachine) -> Any:
    """A context on the machine."""
    return made.ssh(
        hostname=machine.name,
        ssh_args=["-F", machine.config],
        python_path="python3",
        check_host_keys="enforce",
        compression=False,
    )


def ssh_first(report: Report) -> None:
    """One context, and then others by way of it."""
    with bare_machine() as machine, router() as made:
        contexts: list[Any] = []

        def first() -> None:
            contexts.append(context(made, machine))
            assert contexts[0].call(there.one) == 1

        def more(count: int) -> None:
            others = [made.local(via=contexts[0], python_path="python3") for _ in range(count)]
            answers = [other.call_async(there.one) for other in others]
            assert [answer.get().unpickle() for answer in answers] == [1] * count

        report_first(report, machine, first, more)


def ssh_bulk(report: Report) -> None:
    """A blob as argument and as result."""
    with bare_machine() as machine, router() as made:
        other = context(made, machine)
        report_bulk(
            report,
            lambda data: int(other.call(there.size_of, mitogen.core.Blob(bytes(data)))),
            lambda size: len(other.call(there.made, size)),
            machine.send,
            machine.fetch,
        )
