"""The first code of ours in a process that softgrid started: the supervisor, and the executors that it forks."""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
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


def supervise(descriptor: int) -> None:
    """Be the supervisor of this machine for the process at the other end of *descriptor*."""
    _load_for_executors()
    os.setsid()
    root = socket.socket(fileno=descriptor)
    Supervisor(lambda *how: link_over_socket(root, *how), become_executor).run()


def supervise_from_afar(nonce: str) -> None:
    """Be the supervisor of this machine for a process on another one, over standard input and output."""
    _load_for_executors()
    from softgrid._launch.far_side import supervise_for_owner

    supervise_for_owner(nonce, become_executor)


def _load_for_executors() -> None:
    """Load once what every executor needs, before the first one is forked."""
    import softgrid._launch.homes
    import softgrid._node.node
    import softgrid._node.stores  # noqa: F401
    from softgrid._io.machine_id import machine_id

    machine_id()


def become_executor(spec: dict[str, Any], uplink: socket.socket, channel: socket.socket) -> NoReturn:
    """Be the executor that *spec* describes, until its upgrid is gone."""
    if spec.get("path") is not None:
        sys.path[:] = spec["path"]
    faulthandler.enable(2, all_threads=False)  # who crashes below Python says where, and that goes into the cause
    birth.launched = birth.Birth(channel, spec["address"], spec["bind_host"], spec["home"], spec["births"])
    try:
        executor = _CLASSES[spec["role"]](**_parameters(spec))
    except Exception as error:
        _say_stillborn(uplink, error)
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
    node.adopt_uplink(uplink, passes_descriptors=spec["passes_descriptors"])
    node.serve()
    os._exit(0)


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
