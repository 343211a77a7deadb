"""Puts a plan into effect in this process, by wrapping the functions that it is about.

Nothing of ours asks whether there is a plan, so without one there is nothing to pay and nothing to reach: not from the
wire, not from a function of a user's on another machine. The environment passes the plan on to whatever is launched.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

from softgrid._chaos.plan import VARIABLE, Plan, read_plan
from softgrid._chaos.points import BEFORE, GUEST, ORCHESTRATOR, SUPERVISOR, Point


class Injector:
    """The faults of one process, and who that process is."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._passed = 0
        self._who: str | None = None

    def install(self) -> None:
        """Take effect, once and for all."""
        if self._plan.harms_messages:
            from softgrid._chaos.wire import FaultyWire

            FaultyWire(self._plan).install()
        if self._plan.kill is not None:
            self._watch(self._plan.kill)
            self._learn_who_passes()  # around it, so that who passes is known by then

    def _learn_who_passes(self) -> None:
        def on_supervisor(*args: Any) -> None:
            self._who = SUPERVISOR

        def on_birth(supervisor: Any, spec: Any, *rest: Any) -> None:
            self._who = spec["role"]

        def on_node(node: Any, spec: Any, *rest: Any) -> None:
            self._who = self._who or (ORCHESTRATOR if spec.role == "orchestrator" else GUEST)

        for module, function, note in (
            ("softgrid._launch.supervisor", "Supervisor.__init__", on_supervisor),
            ("softgrid._launch.supervisor", "Supervisor._become_child", on_birth),
            ("softgrid._node.node", "Node.__init__", on_node),
        ):
            _wrap(module, function, before=note)

    def _watch(self, point: Point) -> None:
        def on_pass(*args: Any, **kwargs: Any) -> None:
            if self._who == point.who:
                self._passed += 1
                if self._passed == self._plan.nth and _is_first(self._plan.once, point):
                    os.kill(os.getpid(), signal.SIGKILL)

        if point.when == BEFORE:
            _wrap(point.module, point.function, before=on_pass)
        else:
            _wrap(point.module, point.function, after=on_pass)


def find(module: str, function: str) -> tuple[Any, str, Callable[..., Any]]:
    """Give where a function stands, its name there, and the function; raises AttributeError when it does not."""
    holder: Any = importlib.import_module(module)
    *classes, name = function.split(".")
    for each in classes:
        holder = getattr(holder, each)
    return holder, name, vars(holder)[name] if name in vars(holder) else getattr(holder, name)


def _wrap(
    module: str, function: str, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    holder, name, wrapped = find(module, function)

    @wraps(wrapped)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args, **kwargs)
        result = wrapped(*args, **kwargs)
        if after is not None:
            after(*args, **kwargs)
        return result

    setattr(holder, name, wrapper)


def _is_first(path: str | None, point: Point) -> bool:
    """Whether no other process of the grid has died of this plan yet; leaves a note that one has."""
    if path is None:
        return True
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    os.write(descriptor, f"{point.name} {os.getpid()}\n".encode())
    os.close(descriptor)
    return True


def install_from_environment() -> None:
    """Put the plan in the environment of this process into effect; raises BadArgument for one that is none."""
    Injector(read_plan(os.environ[VARIABLE])).install()
