"""The machines that an executor launches on: its own, and others over ssh; one line to a supervisor on each."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from softgrid._io.ports import is_local
from softgrid._io.reactor import Reactor
from softgrid._launch.cookies import COOKIE
from softgrid._launch.line import SupervisorLine
from softgrid._launch.local import LocalLine, line_to
from softgrid._launch.starting import StartedSupervisor, start_supervisor
from softgrid._model.addresses import MachineAddress, parse_address
from softgrid._model.rules import Rules
from softgrid._state.health import Terms
from softgrid._wire.control import Message

if TYPE_CHECKING:
    from softgrid._launch.ssh import SshLine


class Machines:
    """Opens lines to supervisors, and keeps them for the launches to come."""

    def __init__(
        self,
        reactor: Reactor,
        rules: Callable[[], Rules],
        address: str,
        terms: Callable[[], Terms],
        on_up: Callable[[SshLine], None],
    ) -> None:
        self._terms = terms
        self._on_up = on_up
        self._reactor = reactor
        self._rules = rules
        self._address = address
        self._home = ""
        self._local: dict[str | None, LocalLine] = {}
        self._others: dict[Hashable, SupervisorLine] = {}

    def move_in(self, home: str, line: LocalLine | None) -> None:
        """This executor has a home on this machine now and, where it was forked, a line to who did that."""
        self._home = home
        if line is not None:
            self._local[None] = line

    def line_to(self, item: Message) -> tuple[str, SupervisorLine]:
        """Give the address that executors of the machine have in their names, and the line to its supervisor.

        Raises LaunchFailed, or BadArgument for what is no machine.
        """
        address = parse_address(item["address"], item.get("user"))
        executable: str | None = item.get("executable")
        if not address.is_ssh and (address.host == self._address or is_local(address.host)):
            return self._address, self._line_here(executable)
        return address.host, self._line_there(address, executable)

    def _line_here(self, executable: str | None) -> LocalLine:
        line = self._local.get(executable)
        if line is None or not line.is_open:
            line = self._local[executable] = line_to(start_supervisor(executable), self._reactor, self._home)
        return line

    def _line_there(self, address: MachineAddress, executable: str | None) -> SupervisorLine:
        address = address._replace(is_ssh=True)  # asked for by name or not, it is the same connection
        line = self._others.get((address, executable))
        if line is None or not line.is_open:
            import shlex

            from softgrid._launch.ssh import SshLine, SshOptions

            rules = self._rules().for_machine(self._address)
            command = rules["ssh_command"]
            words = shlex.split(command) if isinstance(command, str) else command
            terms, limit = self._terms(), rules["link_maximum_unacknowledged"]
            options = SshOptions(words, rules["ssh_accept_new_hosts"], terms.beat_s, terms.tolerance_s, limit)
            cookie = next((line.cookie for line in self._local.values() if line.cookie), os.environ.get(COOKIE, ""))
            line = SshLine(address, executable, options, self._reactor, cookie, self._on_up)
            self._others[address, executable] = line
        return line

    def start_supervisor(self) -> None:
        """Have the supervisor of this machine warm before the first launch asks for it."""
        self._line_here(None)

    def take_supervisor(self, started: StartedSupervisor) -> None:
        """Use a supervisor of this machine that was started before."""
        self._local[None] = line_to(started, self._reactor, self._home)

    @property
    def has_supervisor(self) -> bool:
        """Whether this machine has a supervisor that can be asked."""
        line = self._local.get(None)
        return line is not None and line.is_open

    def open_lines(self) -> list[SupervisorLine]:
        """Give the lines over which a supervisor can be asked."""
        return [line for line in (*self._others.values(), *self._local.values()) if line.is_open]

    def end(self, timeout: float) -> None:
        """End the supervisors that were started here; those of other machines first, all at the same time."""
        for lines in (self._others, self._local):
            for line in lines.values():
                line.say_end()
            for line in lines.values():
                line.await_end(timeout)
            lines.clear()

    def abandon(self) -> None:
        """In a forked process: the supervisors belong to the parent."""
        for line in (*self._others.values(), *self._local.values()):
            line.abandon()
        self._others.clear()
        self._local.clear()
