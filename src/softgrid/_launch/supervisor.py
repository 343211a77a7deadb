"""The supervisor of one machine: forks the executors of a grid there, reaps them, and tells what each died of.

It is one small single-threaded process that runs no user code, so that a fork is cheap and safe: a warm interpreter
with everything an executor needs, copied in two milliseconds. It has no name on the grid. Executors ask it over a
socket pair each; whoever asked for a child is told when it ends, and when an asker is gone its children go too.
When its owner is gone it ends everything it started and itself. What dead executors leave in their homes it removes.
The line to its owner is a socket pair where the owner started it on this machine, and a channel of an ssh connection
where the owner is on another one.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from softgrid._io.descriptors import Descriptors, close_all_but
from softgrid._io.folders import remove_tree
from softgrid._io.lifeline import (
    become_subreaper,
    children_of,
    hold_on_to,
    kill_group,
    processes_with,
)
from softgrid._io.link import Link
from softgrid._io.memory_kills import Group, MemoryKills
from softgrid._io.reactor import Reactor
from softgrid._io.shared_texts import SharedTexts
from softgrid._io.slate import Slate
from softgrid._launch.cookies import COOKIE, SPARED
from softgrid._launch.homes import Homes, machine_home
from softgrid._launch.messages import MessageReader, send_message
from softgrid._wire.control import Message
from softgrid._wire.values import load_pickler

TAIL_LINES = 20
OUTPUT_CHUNK = 65536
SPARED_TURNS = 40
"""So many looks, of 10 ms each, an ssh client has to tell the other machine that its owner is gone, and to end."""
LOAD_AFTER_S = 0.02
MOURNS_S = 0.5
"""So long a death is not told because of those that end with it; a killed process takes a thousandth of that."""
"""What the first executor can do without is loaded when it is forked: it would delay it."""

OnClosed = Callable[[Link, str], None]
OpenRoot = Callable[[Reactor, MessageReader, OnClosed], Link]
"""Opens the line to the owner."""

OpenEnd = Callable[[int], Descriptors]
"""Gives what an executor is to have as the link to its upgrid, where that is behind a channel of the line."""


class Executors(Protocol):
    """What makes the executors."""

    def prepare(self, spec: dict[str, Any]) -> None:
        """Called before one of *spec* is forked."""

    def become(self, spec: dict[str, Any], uplink: socket.socket, channel: socket.socket) -> NoReturn:
        """What the forked one does: with the socket to its upgrid, and the one to the supervisor."""


class Death:
    """The end of an executor: told when those have ended as well that it had asked for, who end with it."""

    def __init__(self, asker: Link, message: Message, upper: Death | None) -> None:
        self.asker = asker
        self.message = message
        self.upper = upper
        self.waits_for: set[int] = set()
        self.is_told = False


class Child:
    """An executor process that was forked here."""

    def __init__(
        self, pid: int, token: int, asker: Link, lifeline: int, output: int, channel: Link, home: str, slate: Slate
    ) -> None:
        self.pid = pid
        self.slate = slate
        self.was_cancelled = False
        """Whether it was killed because of the call that it ran."""
        self.home = home
        self.token = token
        self.asker = asker
        self.lifeline = lifeline
        self.output = output
        self.channel = channel
        self.tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self.upper: Death | None = None
        """The end of its asker, which is told when this one has ended too."""
        self.unfinished_line = b""


class Supervisor:
    """Owns the processes of one grid on one machine."""

    def __init__(
        self,
        open_root: OpenRoot,
        executors: Executors,
        open_end: OpenEnd | None = None,
        texts: SharedTexts | None = None,
        on_begin: Callable[[Message], None] = lambda message: None,
    ) -> None:
        self._executors = executors
        self._open_end = open_end
        self._texts = texts
        self._on_begin = on_begin
        self._reactor = Reactor(may_spin=False)
        self._reader = MessageReader(self._on_message)
        self._children: dict[int, Child] = {}
        self._adopted: set[int] = set()
        self._ended: set[int] = set()
        """Those whose end was asked for."""
        self._memory_kills = MemoryKills()
        self._cookie = ""
        self._homes = Homes("")
        self._starter_home = ""
        self._births = 0
        self._has_pickler = False
        self._ends = self._is_starter_leaving = False
        self._root = open_root(self._reactor, self._reader, self._on_link_closed)
        self._signals = self._watch_signals()

    def _watch_signals(self) -> tuple[int, int]:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._reactor.watch(read_end, self._on_signal)
        return read_end, write_end

    def _on_terminate(self, number: int, frame: object) -> None:
        self._ends = True

    def _on_signal(self, mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._signals[0], 4096)
        self._reap()

    def run(self) -> None:
        """Serve until the process that started this one is gone or says so."""
        while not self._ends:
            self._reactor.turn(None)
        self._end_everything()
        self._homes.remove_all()
        if self._is_starter_leaving:
            remove_tree(self._starter_home)

    # -- messages -------------------------------------------------------------------------------------------------

    def _on_message(self, link: Link, message: Message, descriptors: Descriptors) -> None:
        op = message["op"]
        if op == "fork" and len(descriptors) == 1:
            self._fork(link, message["token"], message["spec"], descriptors)
        elif op == "fork" and link is self._root and self._open_end is not None:
            self._fork(link, message["token"], message["spec"], self._open_end(message["channel"]))
        elif op == "settle":
            self._settle(link, message["token"])
        elif op == "begin" and link is self._root:
            self._begin(message)
        elif op == "kill" and message["pid"] in self._children:
            self._kill(self._children[message["pid"]], message.get("running"))
        elif op == "end" and link is self._root:
            self._ends = self._is_starter_leaving = True

    def _kill(self, child: Child, running: list[int] | None = None) -> None:
        """End an executor; where that is about a certain call, only if it still runs it."""
        if running is not None:
            if child.slate.running() != tuple(running):
                return
            child.was_cancelled = True
        self._ended.add(child.pid)
        kill_group(child.pid)

    def _begin(self, message: Message) -> None:
        if message["path"] is not None:
            sys.path[:] = message["path"]
        self._cookie = message["cookie"]
        home = message["home"] or machine_home(self._cookie)
        self._homes, self._starter_home = Homes(message["homes"] or os.path.join(home, "below")), home
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        gc.collect()
        gc.freeze()
        self._reactor.call_later(LOAD_AFTER_S, become_subreaper)
        self._reactor.call_later(LOAD_AFTER_S, self._load_pickler)
        self._on_begin(message)

    def _load_pickler(self) -> None:
        """Have it here once for all executors but the first, which loads its own when a function comes."""
        if not self._has_pickler:
            self._has_pickler = True
            load_pickler()
            gc.freeze()

    def _on_link_closed(self, link: Link, reason: str) -> None:
        if link is self._root:
            self._ends = self._is_starter_leaving = True
            return
        for child in list(self._children.values()):
            if child.asker is link:
                self._kill(child)

    # -- a child's life -------------------------------------------------------------------------------------------

    def _fork(self, asker: Link, token: int, spec: dict[str, Any], link_end: Descriptors) -> None:
        if self._births:
            self._load_pickler()
        self._executors.prepare(spec)
        self._births += 1
        spec["births"] = self._births
        home_parent = spec["kwargs"].get("temporaryDir")
        self._homes.expect_in(home_parent)
        try:
            mine, theirs = socket.socketpair()
            lifeline_read, lifeline_write = os.pipe()
            output_read, output_write = os.pipe()
            ends = Descriptors(lifeline_read, output_write)
            slate = Slate.shared()
            pid = os.fork()
        except OSError as error:
            send_message(asker, {"op": "failed", "token": token, "reason": f"fork: {error.strerror}"})
            return
        if pid == 0:
            spec["home"] = self._homes.of(os.getpid(), home_parent)
            spec["slate"] = slate
            self._become_child(spec, link_end.numbers[0], theirs, lifeline_read, output_write)
        link_end.close()
        ends.close()
        theirs.close()
        os.set_blocking(output_read, False)
        channel = link_over_socket(mine, self._reactor, self._reader, self._on_link_closed)
        home = self._homes.of(pid, home_parent)
        child = Child(pid, token, asker, lifeline_write, output_read, channel, home, slate)
        self._children[pid] = child
        self._reactor.watch(output_read, lambda mask: self._on_output(child))
        send_message(asker, {"op": "forked", "token": token, "pid": pid})

    def _become_child(
        self,
        spec: dict[str, Any],
        link_end: int,
        channel: socket.socket,
        lifeline: int,
        output: int,
    ) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0, inheritable=True)
            os.dup2(output, 1, inheritable=True)
            os.dup2(output, 2, inheritable=True)
            self._reactor.abandon()
            texts = set() if self._texts is None else {self._texts.descriptor}
            close_all_but({0, 1, 2, link_end, channel.fileno(), lifeline, *texts})
            spec["texts"] = self._texts
            hold_on_to(lifeline)
            gc.enable()
            self._executors.become(spec, socket.socket(fileno=link_end), channel)
        except BaseException:
            import traceback

            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(70)

    def _on_output(self, child: Child) -> None:
        if child.asker.is_full:
            self._reactor.set_mask(child.output, read=False, write=False)
            self._reactor.call_later(0.02, lambda: self._reactor.set_mask(child.output, read=True, write=False))
            return
        self._read_output(child)

    def _read_output(self, child: Child) -> bool:
        try:
            data = os.read(child.output, OUTPUT_CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._reactor.unwatch(child.output)
            return False
        *lines, child.unfinished_line = (child.unfinished_line + data).split(b"\n")
        child.unfinished_line = child.unfinished_line[-OUTPUT_CHUNK:]
        child.tail.extend(line[-2000:] for line in lines[-TAIL_LINES:])
        if not child.asker.closed:
            text = data.decode(errors="replace")
            send_message(child.asker, {"op": "output", "token": child.token, "text": text})
        return True

    def _settle(self, asker: Link, token: int) -> None:
        """Pass on all that an asker's children have written so far, then say so."""
        for child in self._children.values():
            while child.asker is asker and self._read_output(child):
                pass
        send_message(asker, {"op": "settled", "token": token})

    def _reap(self) -> None:
        ended_orphan = False
        while True:
            group = self._group_of_killed()
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                self._tell_of_pause(pid, status)
                continue
            child = self._children.pop(pid, None)
            if child is not None:
                self._bury(child, status, usage.ru_maxrss, group if group is not None and group[0] == pid else None)
            elif pid in self._homes.removals:
                self._homes.removals.discard(pid)
            elif pid in self._adopted:
                self._adopted.discard(pid)
                ended_orphan = True
        if ended_orphan:  # what an orphan had started is this process's now, and has to go as well
            self._end_orphans()

    def _group_of_killed(self) -> tuple[int, Group] | None:
        """Give the next child to be reaped and its control group, if it was killed and nobody here asked for that."""
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None and ended.si_status == signal.SIGKILL and ended.si_code == os.CLD_KILLED:
                pid = ended.si_pid
                if pid in self._children and pid not in self._ended:
                    return pid, self._memory_kills.group_of(pid)
        return None

    def _tell_of_pause(self, pid: int, status: int) -> None:
        child = self._children.get(pid)
        if child is not None:
            number = os.WSTOPSIG(status) if os.WIFSTOPPED(status) else None
            send_message(child.asker, {"op": "paused", "token": child.token, "signal": number})

    def _bury(self, child: Child, status: int, peak_kib: int, killed: tuple[int, Group] | None) -> None:
        memory = self._memory_kills.verdict(killed[1], peak_kib) if killed is not None else None
        self._ended.discard(child.pid)
        kill_group(child.pid)
        self._end_orphans()
        self._homes.remove(child.home)
        while self._read_output(child):
            pass
        if child.unfinished_line:
            child.tail.append(child.unfinished_line[-2000:])
        self._reactor.unwatch(child.output)
        os.close(child.output)
        os.close(child.lifeline)
        running, begun = child.slate.running(), child.slate.begun()
        child.slate.close()
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        message: Message = {
            "op": "exited",
            "token": child.token,
            "pid": child.pid,
            "code": os.WEXITSTATUS(status) if number is None else None,
            "signal": number,
            "running": running,
            "begun": begun,
            "below": [],
            "was_cancelled": child.was_cancelled,
            "peak_kib": peak_kib,
            "memory": memory,
            "tail": [line.decode(errors="replace") for line in child.tail],
        }
        death = Death(child.asker, message, child.upper)
        for other in self._children.values():
            if other.asker is child.channel:
                other.upper = death
                death.waits_for.add(other.pid)
        child.channel.close("its process is gone")
        if death.waits_for:
            self._reactor.call_later(MOURNS_S, lambda: self._tell_death(death))
        else:
            self._tell_death(death)

    def _tell_death(self, death: Death) -> None:
        """Tell who asked for an executor that it has ended; or whoever tells of the end of that one, if it has."""
        if death.is_told:
            return
        death.is_told = True
        upper = death.upper
        if upper is None or upper.is_told:
            send_message(death.asker, death.message)
            return
        ended = {key: death.message[key] for key in ("pid", "running", "begun")}
        upper.message["below"] += [ended, *death.message["below"]]
        upper.waits_for.discard(death.message["pid"])
        if not upper.waits_for:
            self._tell_death(upper)

    def _end_orphans(self) -> None:
        """End what a dead executor left behind: this process is its heir. What it had let go of in life may live on."""
        for pid in children_of(os.getpid()) - set(self._children) - self._homes.removals - self._adopted:
            kill_group(pid)
            self._adopted.add(pid)

    # -- the end --------------------------------------------------------------------------------------------------

    def _end_everything(self) -> None:
        """Leave no process of the grid on this machine, whatever it did to get away."""
        for pid in self._children:
            kill_group(pid)
        own = os.getpid()
        spared = set(processes_with(SPARED, self._cookie)) if self._cookie else set()
        for turn in range(SPARED_TURNS + 20):
            leftovers = {pid for pid in processes_with(COOKIE, self._cookie) if pid != own} if self._cookie else set()
            leftovers |= children_of(own)
            for pid in leftovers - spared if turn < SPARED_TURNS else leftovers:
                kill_group(pid)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not leftovers:
                return
            self._reactor.turn(0.01)


def link_over_socket(sock: socket.socket, reactor: Reactor, reader: MessageReader, on_closed: OnClosed) -> Link:
    """Open a line to a process of this machine."""
    link = Link(sock, reactor, reader, on_closed, passes_descriptors=True)
    link.open()
    return link
