"""The first code of ours in a process that softgrid started: the supervisor, and the executors that it forks."""

from __future__ import annotations

import faulthandler
import gc
import os
import socket
import sys
from contextlib import suppress
from typing import Any, NoReturn

from softgrid._api import birth
from softgrid._api.executors import Manager, Router, Worker
from softgrid._launch.supervisor import Supervisor, link_over_socket
from softgrid._node.printing import RelayedStream
from softgrid._wire.control import encode_control
from softgrid._wire.framing import Kind, frame

_CLASSES: dict[str, type[Router | Manager | Worker]] = {
    "router": Router,
    "manager": Manager,
    "worker": Worker,
}
_Kind = tuple[Any, ...]


def supervise(descriptor: int) -> None:
    """Be the supervisor of this machine for the process at the other end of *descriptor*."""
    _load_for_executors()
    os.setsid()
    root = socket.socket(fileno=descriptor)
    Supervisor(lambda *how: link_over_socket(root, *how), Executors()).run()


def supervise_from_afar(nonce: str) -> None:
    """Be the supervisor of this machine for a process on another one, over standard input and output."""
    _load_for_executors()
    from softgrid._launch.far_side import supervise_for_owner

    supervise_for_owner(nonce, Executors())


def _load_for_executors() -> None:
    """Load once what every executor needs, before the first one is forked."""
    import softgrid._launch.homes
    import softgrid._node.node
    import softgrid._node.stores  # noqa: F401


class Executors:
    """The executors of one machine, as its supervisor makes them.

    Once several of the same kind are wanted, one is made ahead in the supervisor, and each that is forked from then on
    is a copy of it: the copies have in common what none of them changes.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, _Kind] = {}
        self._ready: dict[str, Router | Manager | Worker] = {}

    def prepare(self, spec: dict[str, Any]) -> None:
        """One of *spec* is about to be forked."""
        role, kind = spec["role"], _kind_of(spec)
        if self._wanted.get(role) != kind:
            self._wanted[role] = kind
            self._ready.pop(role, None)
        elif role not in self._ready:
            with suppress(Exception):  # the one that is forked will find out, and can say so
                self._ready[role] = _make(spec)
                gc.freeze()

    def become(self, spec: dict[str, Any], uplink: socket.socket, channel: socket.socket) -> NoReturn:
        """Be the executor that *spec* describes, in a process that was forked for it, until its upgrid is gone."""
        if spec.get("path") is not None:
            sys.path[:] = spec["path"]
        faulthandler.enable(2, all_threads=False)  # who crashes below Python says where, and that goes into the cause
        try:
            executor = self._ready.get(spec["role"]) or _make(spec)
            executor._begin(spec["home"], executor._node.spec.port + spec["births"], channel)
        except Exception as error:
            _say_stillborn(uplink, error)
        _prepare_process(executor, spec)
        executor._node.adopt_uplink(uplink, passes_descriptors=spec["passes_descriptors"])
        executor._node.serve()
        os._exit(0)


def _kind_of(spec: dict[str, Any]) -> _Kind:
    """Give what makes an executor of *spec* differ from others before it begins."""
    return tuple(spec[key] for key in ("kwargs", "rules", "terms", "address", "bind_host"))


def _make(spec: dict[str, Any]) -> Router | Manager | Worker:
    birth.launched = birth.Birthplace(spec["address"], spec["bind_host"])
    try:
        return _CLASSES[spec["role"]](**_parameters(spec))
    finally:
        birth.launched = None


def _prepare_process(executor: Router | Manager | Worker, spec: dict[str, Any]) -> None:
    """Make this process one that serves *executor* and nothing else."""
    node = executor._node
    node.launching.is_at_home = spec["is_at_home"]
    node.execution.slate = spec["slate"]
    node.execution.interrupts.listen()
    node.on_upgrid_lost = lambda reason: os._exit(0)
    node.membership.on_turned_away = lambda reason: os._exit(1)
    streams = [
        RelayedStream(
            log_type,
            node.reactor,
            node.logs.record_if_said,
            node.logs.has_room,
            descriptor,
        )
        for descriptor, log_type in ((1, "stdout"), (2, "stderr"))
    ]
    sys.stdout, sys.stderr = streams
    sys.stdin = open(os.devnull)  # noqa: SIM115  (as long as the process)

    def flush_printed() -> None:
        for stream in streams:
            stream.flush_record()

    node.execution.after_run = node.logs.before_record = flush_printed
    if spec["path"] is None and node.rules.for_machine(spec["address"])["fetch_modules"]:
        if spec["texts"] is not None:
            node.modules.share(spec["texts"])
        node.modules.serve_imports()
    os.register_at_fork(after_in_child=node.abandon)  # a fork of user code is not this executor
    _name_process(spec["role"])


def _parameters(spec: dict[str, Any]) -> dict[str, Any]:
    """Give the parameters of the executor; what it was given itself is laid over what holds for the grid."""
    frequency_s, tolerance_s = spec["terms"]
    kwargs = {"heartMonitorFrequency": frequency_s, "heartbeatTolerance": tolerance_s, **spec["kwargs"]}
    return {**kwargs, "rules": {**spec["rules"], **(kwargs.get("rules") or {})}}


def _say_stillborn(uplink: socket.socket, error: Exception) -> NoReturn:
    reason = f"{type(error).__name__}: {error}"
    uplink.sendall(frame(Kind.CONTROL, 0, 0, 0, encode_control({"op": "stillborn", "reason": reason})))
    os._exit(1)


def _name_process(role: str) -> None:
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(f"softgrid-{role[:6]}")
    except OSError:
        return
