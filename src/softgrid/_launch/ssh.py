"""The line to the supervisor of another machine: one connection of the system's OpenSSH client.

ssh is asked to run a short command that finds a Python there; over its standard input that Python gets our own source
and becomes the supervisor. From then on the connection carries channels: one for the supervisor, one for each executor
whose upgrid is here. Nothing is asked of the server but to run a command, and nothing is written there.

The user's own configuration, keys and agent count. No prompt ever waits for an answer, and each step has a deadline.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from softgrid._io.carrier import Carrier
from softgrid._io.channel import link_over
from softgrid._io.descriptors import Descriptors
from softgrid._io.lifeline import kill_group
from softgrid._io.link import Link
from softgrid._io.process import LAST_BREATH_S, Process
from softgrid._io.reactor import Reactor, Timer, Waiter
from softgrid._launch.boot_there import (
    NONE,
    PYTHON,
    READY,
    SHELL,
    command_back,
    command_there,
    command_to_end,
    program_there,
    read_greeting,
)
from softgrid._launch.cookies import COOKIE, SPARED
from softgrid._launch.line import OnClosed, OnEvent, OnReadable, SupervisorLine
from softgrid._launch.messages import MessageReader, send_message
from softgrid._launch.ssh_return import SshReturn, end_process
from softgrid._model.addresses import MachineAddress
from softgrid._model.errors import BadArgument, LaunchFailed
from softgrid._wire.control import Message

CONNECT_S, STEP_S, END_S, CLEAN_S = 12, 20, 2, 5
SSH_PROBES = 5
"""So many questions of ssh's own without an answer end a connection, somewhat after the tolerance has."""
BACK_CONNECT_S = 3
"""Short, since a packet that was lost during the cut is sent again only after as long again as has passed."""
MAX_GARBAGE = 1024 * 1024
RETRY_AFTER_S = 0.5
STEPS = {"": "connect", SHELL: "find a Python", PYTHON: "send softgrid", READY: "fork"}
"""What is waited for after each word of the greeting."""

_OPTIONS = (
    "BatchMode=yes",
    f"ConnectTimeout={CONNECT_S - 2}",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ControlMaster=no",
    "RequestTTY=no",
)
_NO_QUESTIONS = {"SSH_ASKPASS_REQUIRE": "never"}
"""No window asks either: BatchMode does not reach the clients that ssh itself starts for jump hosts."""
_HOPELESS = {
    "Host key verification failed": "its key is not the one that is known, or none is: connect once by hand, or set "
    "the rule 'ssh_accept_new_hosts' for machines that were never seen",
    "Permission denied": "no key of yours opens that account without a prompt",
    "Could not resolve hostname": "no machine is known by that name",
    "Bad configuration option": "ssh does not understand its configuration",
    "Bad owner or permissions": "ssh does not trust its configuration",
    "Too many authentication failures": "too many keys were offered: name one for this host in your configuration",
}
"""What ssh says when there is no use in trying again, and what it means."""


class SshOptions(NamedTuple):
    """How ssh is called."""

    command: Sequence[str]
    accepts_new_hosts: bool
    beat_s: float
    tolerance_s: float
    """A cut of the connection that is shorter is no end."""
    replay_limit: int | None = 0
    """So many bytes are kept for that; with 0, a cut is the end."""

    @property
    def patience(self) -> tuple[str, ...]:
        """How ssh itself finds out that the other machine is silent, should nobody else look."""
        interval_s = math.ceil(self.tolerance_s / (SSH_PROBES - 1))
        return f"ServerAliveInterval={interval_s}", f"ServerAliveCountMax={SSH_PROBES}"


def ssh_command(address: MachineAddress, options: SshOptions, command: str) -> list[str]:
    """Give the words that run *command* at *address*."""
    words = [*options.command]
    accepts = ["StrictHostKeyChecking=accept-new"] if options.accepts_new_hosts else []
    for option in (*_OPTIONS, *options.patience, *accepts):
        words += ["-o", option]
    if address.user is not None:
        words += ["-l", address.user]
    if address.port is not None:
        words += ["-p", str(address.port)]
    return [*words, "--", address.host, command]


class SshLine(SupervisorLine):
    """A connection to another machine, and the supervisor at its end. May be asked before it is up.

    *executable* is the Python to be used there, None for the first that is found; *cookie* marks the ssh client as
    a process of the grid; *on_up* is told when the machine is reached, and gives signs of life from then on. Raises
    LaunchFailed when there is no client to start.
    """

    def __init__(
        self,
        address: MachineAddress,
        executable: str | None,
        options: SshOptions,
        reactor: Reactor,
        cookie: str,
        on_up: Callable[[SshLine], None] = lambda line: None,
    ) -> None:
        super().__init__()
        self._on_up = on_up
        self._end = ""
        self._address = address
        self._options = options
        self._environment = {**os.environ, **_NO_QUESTIONS, COOKIE: cookie, SPARED: cookie}
        self._reactor = reactor
        self._secret = os.urandom(32).hex()
        self._return: SshReturn | None = None
        self._cut = ""
        self._ends = False
        self._nonce = os.urandom(16).hex()
        self._said = ""
        self._failure: Message | None = None
        self._program = b""
        self._machine = ""
        self._asking: list[int] = []
        self._channels = 0
        self._deadline: Timer | None = None
        self._cleaning: Process | None = None
        words = ssh_command(address, options, command_there(self._nonce, executable))
        mine, theirs = socket.socketpair()
        try:
            self._process = Process(words, self._environment, stdio=theirs.fileno())
        except (OSError, ValueError) as error:
            mine.close()
            raise LaunchFailed("start ssh", f"{words[0]}: {error}", is_final=True) from None
        finally:
            theirs.close()
        fd = os.dup(mine.fileno())
        self._carrier = Carrier(fd, fd, reactor, self._on_carrier_closed)
        self._link = link_over(self._carrier.channel(0), MessageReader(self._on_message), self._on_closed)
        self._link.open()
        limit = options.replay_limit
        begin: Message = {"op": "begin", "path": None, "cookie": self._nonce, "home": None, "homes": None}
        begin |= {"beat_s": options.beat_s, "tolerance_s": options.tolerance_s}
        begin["resume"] = {"secret": self._secret, "limit": limit} if limit != 0 else None
        send_message(self._link, begin)
        self._greeter = Link(mine, reactor, self._on_greeting, self._on_greeter_closed)
        self._greeter.open()
        self._await_word("", CONNECT_S)
        threading.Thread(target=self._make_program, name="softgrid-bundle", daemon=True).start()

    @property
    def step(self) -> str:
        """What a launch waits for that nothing has come of yet."""
        return STEPS[self._said]

    def _open_end(self, on_readable: OnReadable, on_closed: OnClosed) -> tuple[Link, Message, Descriptors | None]:
        self._channels += 1
        link = link_over(self._carrier.channel(self._channels), on_readable, on_closed)
        return link, {"channel": self._channels}, None

    def identify(self, on_event: OnEvent) -> None:
        """Tell who the machine is as soon as it has said so."""
        if self._machine:
            on_event({"op": "identified", "machine": self._machine})
        else:
            token = next(self._tokens)
            self._listeners[token] = on_event
            self._asking.append(token)

    # -- coming up ------------------------------------------------------------------------------------------------

    def _await_word(self, said: str, seconds: float | None) -> None:
        self._said = said
        if self._deadline is not None:
            self._deadline.cancel()
        if seconds is not None:
            self._deadline = self._reactor.call_later(seconds, lambda: self._on_deadline(seconds))

    def _on_deadline(self, seconds: float) -> None:
        self._end_what_hangs()
        self._fail(f"{self._address} did not answer within {seconds:g} s")

    def _on_greeting(self, link: Link) -> None:
        view = memoryview(bytearray(65536))
        size = link.receive_into(view)
        if size < 0:
            link.close("ssh has ended")
            return
        link.partial += bytes(view[:size])
        while self._said != READY and (greeting := read_greeting(self._nonce, link.partial)) is not None:
            link.partial = greeting.rest
            self._on_word(greeting.word, greeting.said)
            if link.closed:
                return
        if len(link.partial) > MAX_GARBAGE:
            self._fail(f"{self._address} prints without end instead of running a command")

    def _on_word(self, word: str, said: str) -> None:
        if word == SHELL:
            self._await_word(word, STEP_S)
        elif word == PYTHON:
            self._await_word(word, STEP_S)
            self._send_program()
        elif word == READY:
            self._await_word(word, None)
            self._identified(said)
            received = self._greeter.partial
            self._greeter.close("the channels begin")
            self._carrier.begin(received)
            self._hold_on(said)
            self._on_up(self)
        elif word == NONE:
            self._fail(f"{self._address} has no Python 3.10 or newer; tried: {said}", is_final=True)

    def _make_program(self) -> None:
        """Make what is sent there while ssh connects."""
        try:
            program, problem = program_there(self._nonce), ""
        except Exception as error:
            program, problem = b"", f"softgrid cannot be packed: {type(error).__name__}: {error}"
        self._reactor.run_in_turn(lambda: self._on_program(program, problem))

    def _on_program(self, program: bytes, problem: str) -> None:
        self._program = program
        if problem:
            self._fail(problem, is_final=True)
        else:
            self._send_program()

    def _send_program(self) -> None:
        """Send it as soon as there is somebody who asks for it, and something to send."""
        if self._said == PYTHON and self._program and not self._greeter.closed:
            program, self._program = self._program, b""
            self._greeter.send(program)

    def _identified(self, said: str) -> None:
        """It says which machine it is; one that does not is told by its address."""
        self._machine = str(self._address.host)
        with contextlib.suppress(ValueError, KeyError, TypeError):
            self._machine = str(json.loads(said)["machine"])
        for token in self._asking:
            self._listeners.pop(token)({"op": "identified", "machine": self._machine})
        self._asking.clear()

    # -- signs of life --------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """What the machine is called."""
        return self._address.host

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._carrier.closed

    def heard(self) -> tuple[float, float]:
        """When anything last came over the connection: the supervisor there answers for all its executors."""
        return self._carrier.heard_at, self._carrier.heard_at

    def beat(self) -> None:
        """Tell the supervisor there that somebody is here."""
        self._carrier.beat()

    def give_up(self, reason: str) -> None:
        """It is silent for too long, or does not come back: end the connection."""
        self._end = f"ssh {self._cut}, and {reason}" if self._cut else reason
        kill_group(self._process.pid)
        self._carrier.close(reason)

    # -- cut and resumed ------------------------------------------------------------------------------------------

    def _hold_on(self, said: str) -> None:
        """The supervisor there has said where it can be found again."""
        try:
            about = json.loads(said)
            command_back(self._nonce, about["place"], about["executable"])
        except (ValueError, KeyError, TypeError, AttributeError, BadArgument):
            self._carrier.hold_on(0, lambda stands: None)
            return
        options = self._options._replace(command=[*self._options.command, "-o", f"ConnectTimeout={BACK_CONNECT_S}"])

        def start(nonce: str, stdio: int) -> Process:
            command = command_back(nonce, about["place"], about["executable"])
            return Process(ssh_command(self._address, options, command), self._environment, stdio=stdio)

        self._return = SshReturn(
            self._carrier,
            self._reactor,
            start,
            self._secret,
            options.tolerance_s,
            self._on_back,
            self.give_up,
        )
        self._carrier.hold_on(options.replay_limit, self._on_lost)

    def _on_lost(self, stands: bool) -> None:
        self._cut = self._process.last_words()[0]
        assert self._return is not None
        if self._ends:
            self._carrier.close("the grid was left")
        else:
            self._return.on_lost()

    def _on_back(self, process: Process) -> None:
        former, self._process, self._cut = self._process, process, ""
        end_process(former, self._reactor)

    def say_end(self) -> None:
        """Ask the supervisor to end everything it started and itself; only for who started it."""
        self._ends = True
        super().say_end()

    # -- going ----------------------------------------------------------------------------------------------------

    def _on_greeter_closed(self, link: Link, reason: str) -> None:
        if self._said != READY and self._failure is None:
            cause, tail = self._process.last_words()
            text = "\n".join(tail)
            remedies = [remedy for said, remedy in _HOPELESS.items() if said in text]
            why = f": {remedies[0]}" if remedies else ""
            self._fail(f"{self._address}: ssh {cause}{why}", is_final=bool(remedies))

    def _fail(self, reason: str, *, is_final: bool = False) -> None:
        """It does not come up."""
        if self._failure is None:
            kill_group(self._process.pid)
            self._failure = {
                "op": "failed",
                "step": self.step,
                "reason": reason,
                "tail": self._process.last_words()[1],
                "is_final": is_final,
                "retry_after_s": RETRY_AFTER_S,
            }
            self._await_word(self._said, None)
            self._greeter.close("it failed")
            self._carrier.close("it failed")

    def _end_what_hangs(self) -> None:
        """A second connection ends it: nobody there watches over the first before the supervisor does."""
        if self._said not in (SHELL, PYTHON) or self._cleaning is not None:
            return
        words = ssh_command(self._address, self._options, command_to_end(self._nonce))
        with contextlib.suppress(OSError), open(os.devnull, "r+b") as nothing:
            cleaning = self._cleaning = Process(words, self._environment, stdio=nothing.fileno())
            self._reactor.call_later(CLEAN_S, lambda: cleaning.await_end(LAST_BREATH_S))

    def _on_carrier_closed(self, reason: str) -> None:
        kill_group(self._process.pid)
        if self._return is not None:
            self._return.end()

    def _last_words(self) -> Message:
        if self._failure is not None:
            return self._failure
        cause, tail = self._process.last_words()
        why = self._end or f"ssh {self._cut or cause}"
        return {"op": "orphaned", "cause": f"the connection to {self._address} is gone: {why}", "tail": tail}

    def await_end(self, timeout: float) -> None:
        """See it go."""
        if self._failure is None:
            self._end_what_hangs()
        self._process.await_end(max(timeout, END_S) if self._said == READY else 0.0)
        self._listeners.clear()
        closed = Waiter()

        def close() -> None:
            self._failure = self._failure or {"op": "orphaned", "cause": "the grid was left", "tail": []}
            self._await_word(self._said, None)
            self._greeter.close("the grid was left")
            self._carrier.close("the grid was left")
            closed.set()

        self._reactor.run_in_turn(close)
        if not self._reactor.holds_turn():
            self._reactor.wait(closed, timeout)
        if self._cleaning is not None:
            self._cleaning.await_end(CLEAN_S)

    def abandon(self) -> None:
        """In a forked process: let go of the parent's line."""
        self._carrier.abandon()
        self._greeter.abandon()
        if self._return is not None:
            self._return.abandon()
