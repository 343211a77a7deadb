"""Executors that were lost without leaving are launched anew, with everybody who stood below them.

The orchestrator does this, because it decides on all launches and so knows how each executor was launched. An heir has
another name, since a name tells its pid; whoever asks for the one before it is told that it is gone.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from softgrid._io.reactor import Reactor
from softgrid._model.causes import headline
from softgrid._model.roles import DEFAULT_RELAUNCH
from softgrid._state.restarts import Restarts
from softgrid._state.tree import Member
from softgrid._wire.control import Message

HEIRS_KEPT = 4096
SHOWN = 5

Launch = Callable[[list[Message], Callable[[list[Message]], None]], None]
"""Launches items and calls back with one result for each."""


class Line(NamedTuple):
    """An executor and its heirs: how it was launched, and what is left of its budget."""

    item: Message
    restarts: Restarts


class Lost(NamedTuple):
    """An executor that is to come back, with those that stood directly below it."""

    name: str
    line: Line
    below: list[Any]


class Relaunching:
    """Launches anew what was lost."""

    def __init__(self, reactor: Reactor, launch: Launch, say: Callable[[str, str], None]) -> None:
        self._reactor = reactor
        self._launch = launch
        self._say = say
        self._lines: dict[str, Line] = {}
        self._heirs: OrderedDict[str, str] = OrderedDict()
        self._awaited: dict[str, str] = {}
        self.is_over = False
        self.on_heir: Callable[[str, str], None] = lambda lost, heir: None
        self.on_no_heir: Callable[[str], None] = lambda lost: None

    def on_launched(self, name: str, item: Message) -> None:
        """An executor was launched."""
        relaunch = item["kwargs"].get("relaunch", DEFAULT_RELAUNCH[item["role"]])
        self._lines[name] = line = Line(item, Restarts(relaunch))
        line.restarts.came_up(monotonic())

    def may_return(self, name: str) -> bool:
        """Whether that executor is launched anew when it is lost."""
        line = self._lines.get(name)
        return line is not None and bool(line.restarts.allowed)

    def is_expected(self, lost: str, upgrid: str) -> bool:
        """Whether an heir of *lost* is being launched under *upgrid*."""
        return self._awaited.get(lost) == upgrid

    def on_lost(self, gone: list[Member[Any]], reason: str, is_orderly: bool) -> None:
        """Executors are gone: the first of *gone*, and with it the others, which stood below it."""
        lost: dict[str, Lost] = {}
        stays_away: list[str] = []
        now_s = monotonic()
        for member in gone:  # who stands above comes first
            line = self._lines.pop(member.name, None)
            if line is not None:
                line.restarts.went_down(now_s)
            may_return = line is not None and bool(line.restarts.allowed)
            if line is None or not may_return or (member is not gone[0] and member.upgrid not in lost):
                stays_away.append(member.name)
                continue
            lost[member.name] = Lost(member.name, line, [])
            if member is not gone[0]:
                lost[member.upgrid].below.append(lost[member.name])
        root = lost.get(gone[0].name)
        for member in gone:
            if is_orderly or root is None or member.name not in lost:
                self.on_no_heir(member.name)
        if root is None or is_orderly:
            return
        self._try_again(root, reason)
        if stays_away:
            more = f" and {len(stays_away) - SHOWN} more" if len(stays_away) > SHOWN else ""
            shown = f"{', '.join(stays_away[:SHOWN])}{more}"
            self._say("warn", f"{shown} stood below {gone[0].name} and will not be launched anew with it")

    def _try_again(self, lost: Lost, reason: str) -> None:
        restarts = lost.line.restarts
        wait = restarts.next_wait(monotonic(), _luck())
        if wait is not None:
            self._reactor.call_later(wait, lambda: self._relaunch([lost]))
            return
        self._end(lost)
        if restarts.allowed:
            self._say(
                "error",
                f"{lost.name} is not launched anew: relaunch={restarts.allowed} is used up ({headline(reason)})",
            )

    def _end(self, lost: Lost) -> None:
        """Nobody will stand in for this one, nor for those below it."""
        self.on_no_heir(lost.name)
        for each in lost.below:
            self._end(each)

    def _relaunch(self, lost: list[Lost], upgrid: str | None = None) -> None:
        if self.is_over:
            return
        items = [
            {**each.line.item, "upgrid": upgrid or self._heir_of(each.line.item["upgrid"]), "heir_of": each.name}
            for each in lost
        ]
        self._awaited.update({item["heir_of"]: item["upgrid"] for item in items})

        def on_results(results: list[Message]) -> None:
            for each in lost:
                self._awaited.pop(each.name, None)
            for each, item, result in zip(lost, items, results, strict=True):
                if "name" in result:
                    self._on_back(each, item, result["name"])
                else:
                    self._try_again(each, result["reason"])

        self._launch(items, on_results)

    def _on_back(self, lost: Lost, item: Message, heir: str) -> None:
        self._lines[heir] = Line(item, lost.line.restarts)
        lost.line.restarts.came_up(monotonic())
        self._heirs[lost.name] = heir
        if len(self._heirs) > HEIRS_KEPT:
            self._heirs.popitem(last=False)
        self._say("warn", f"{lost.name} was lost and is back as {heir}")
        self.on_heir(lost.name, heir)
        if lost.below:
            self._relaunch(lost.below, heir)

    def _heir_of(self, name: str) -> str:
        while name in self._heirs:
            name = self._heirs[name]
        return name


def _luck() -> float:
    return int.from_bytes(os.urandom(2), "big") / 65536  # the module random costs 3 ms to import
