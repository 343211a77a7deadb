"""What becomes of executors that are there and do not work: those of a silent machine, those that joined by hand and
are silent, those that are stopped.

They are suspect first, and are given nothing new; the log and everybody above are told. At the tolerance they are dead:
the connection to them, or they themselves, are ended, and what stood there is mourned and launched anew as always.

to a neighbour that joined by hand, either way   beat
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from softgrid._io.reactor import Reactor
from softgrid._node.control import Control
from softgrid._node.heartbeats import Heartbeats
from softgrid._node.logs import Logs
from softgrid._node.membership import Membership
from softgrid._state.health import Standing, Terms

if TYPE_CHECKING:
    from softgrid._io.resumable_link import ResumableLink


class Machine(Protocol):
    """The line to a machine, whose supervisor answers for all its executors."""

    @property
    def host(self) -> str: ...

    @property
    def closed(self) -> bool: ...

    def heard(self) -> tuple[float, float]: ...

    def beat(self) -> None: ...

    def give_up(self, reason: str) -> None: ...


class Health:
    """Whom one executor watches."""

    def __init__(self, membership: Membership, control: Control, logs: Logs, reactor: Reactor, terms: Terms) -> None:
        self._membership = membership
        self._control = control
        self._logs = logs
        self._heartbeats = Heartbeats(reactor, terms)
        self._stopped: dict[str, _Stopped] = {}
        control.notices["beat"] = lambda link, message, source: None

    @property
    def terms(self) -> Terms:
        """How often there must be a sign of life, and for how long there may be none."""
        return self._heartbeats.terms

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self._heartbeats.terms = terms

    # -- machines -------------------------------------------------------------------------------------------------

    def watch_machine(self, machine: Machine, names: Callable[[], list[str]]) -> None:
        """Listen to a machine; *names* gives the executors that stand directly below this one there."""

        def on_standing(standing: Standing, silence_s: float) -> None:
            silence = f"nothing has come from {machine.host} for {silence_s:g} s"
            if standing == "dead":
                machine.give_up(f"{silence}{self._limit}")
                return
            affected = names()
            if standing == "suspect":
                count = f"{len(affected)} executor{'s' if len(affected) != 1 else ''}"
                self._logs.say("warn", f"{silence}: the {count} there and what stands below get nothing new")
            else:
                self._logs.say("warn", f"{machine.host} answers again")
            for name in affected:
                reason = f"silent: {silence}" if standing == "suspect" else None
                self._membership.suspect(name, reason, "silence", is_said=True)

        self._heartbeats.watch(machine, on_standing)

    @property
    def _limit(self) -> str:
        return f" (heartbeatTolerance = {self.terms.tolerance_s:g} s)"

    # -- joined by hand -------------------------------------------------------------------------------------------

    def watch_guest(self, link: ResumableLink, name: str) -> None:
        """Listen to an executor that has joined by hand."""

        def on_standing(standing: Standing, silence_s: float) -> None:
            if standing == "dead":
                link.close(f"nothing has come from it for {silence_s:g} s{self._limit}")
            else:
                reason = _silence_of(link, silence_s, self.terms) if standing == "suspect" else None
                self._membership.suspect(name, reason, "silence")

        self._heartbeats.watch(_Neighbour(link, self._control), on_standing)

    def watch_upgrid(self, link: ResumableLink) -> None:
        """Listen to the upgrid that this executor has joined by hand."""

        def on_standing(standing: Standing, silence_s: float) -> None:
            if standing == "dead":
                link.close(f"nothing has come from the upgrid for {silence_s:g} s{self._limit}")

        self._heartbeats.watch(_Neighbour(link, self._control), on_standing)

    # -- stopped --------------------------------------------------------------------------------------------------

    def on_paused(self, name: str, reason: str | None, end: Callable[[str], None]) -> None:
        """An executor below is stopped, for that reason, or with None goes on; *end* ends one that does not in time."""
        self._membership.suspect(name, reason, "pause")
        self.on_gone(name)
        if reason is None:
            return

        def on_standing(standing: Standing, silence_s: float) -> None:
            if standing == "dead":
                self._stopped.pop(name, None)
                end(f"{reason} for {silence_s:g} s{self._limit}")

        stopped = self._stopped[name] = _Stopped()
        self._heartbeats.watch(stopped, on_standing)

    def on_gone(self, name: str) -> None:
        """It is not stopped any more, because it goes on or because it is no more."""
        stopped = self._stopped.pop(name, None)
        if stopped is not None:
            self._heartbeats.forget(stopped)


def _silence_of(link: ResumableLink, silence_s: float, terms: Terms) -> str:
    _, machine_s = link.heard()
    if monotonic() - machine_s < terms.patience_s:
        return f"silent for {silence_s:g} s, though its machine answers: it is busy or stopped"
    return f"silent: nothing has come from its machine for {silence_s:g} s"


class _Neighbour:
    """An executor at the other end of a link of its own; the kernel of its machine answers for it when it is busy."""

    def __init__(self, link: ResumableLink, control: Control) -> None:
        self._link = link
        self._control = control

    @property
    def closed(self) -> bool:
        return self._link.closed

    def heard(self) -> tuple[float, float]:
        return self._link.heard()

    def beat(self) -> None:
        beat: dict[str, Any] = {"op": "beat"}
        self._control.tell_neighbour(self._link, beat)


class _Stopped:
    """An executor that is stopped gives no signs of life from then on."""

    closed = False

    def __init__(self) -> None:
        self._since_s = monotonic()

    def heard(self) -> tuple[float, float]:
        return self._since_s, self._since_s

    def beat(self) -> None:
        return
