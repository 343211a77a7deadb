"""Joining a grid by hand, as the one who comes: knock at a door, ask for a place, go by the rules of the grid.

How it looks to those inside stands in ``_node.admission``, with what is said.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._model.errors import Refused, SoftgridError, TimedOut, TlsUnavailable
from softgrid._node.health import Health
from softgrid._node.membership import Membership
from softgrid._node.switch import Switch
from softgrid._state.health import Terms
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, field

if TYPE_CHECKING:
    from softgrid._io.resumable import ResumableStream
    from softgrid._io.resumable_link import ResumableLink
    from softgrid._io.tls import TlsStream
    from softgrid._wire.resumption import Answer


class Joining:
    """The way of one executor into a grid."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        membership: Membership,
        reactor: Reactor,
        link_over: Callable[[ResumableStream], ResumableLink],
        limit: Callable[[], int | None],
        adopt_rules: Callable[[Message], None],
        health: Health,
    ) -> None:
        self._health = health
        self._tree = tree
        self._switch = switch
        self._membership = membership
        self._reactor = reactor
        self._link_over = link_over
        self._limit = limit
        self._adopt_rules = adopt_rules
        self._arrival: _Arrival | None = None
        self._lock = threading.Lock()

    def connect(self, address: str, port: int, password: str, timeout: float, introduction: Message) -> None:
        """Join a grid under the executor that listens there. Blocks, *timeout* seconds at most.

        Raises Refused when this executor is on a grid already or is not let in, NoRoute, HandshakeFailed, TimedOut,
        TlsUnavailable.
        """
        if not self._lock.acquire(blocking=False):
            raise Refused("this executor is connecting to a grid already")
        try:
            self._check_alone()
            deadline = monotonic() + timeout
            connection, answer = _Knock(self._reactor, address, port, password, deadline).wait()
            link = self._begin(connection, address, port, password, answer)
            self._arrive(link, f"{address}:{port}", deadline, introduction)
        finally:
            self._lock.release()

    def _check_alone(self) -> None:
        if self._switch.uplink is not None or self._tree.upgrid_path:
            raise Refused(f"this executor is connected already: {' > '.join(self._tree.path)}")
        if self._tree.members:
            raise Refused("executors stand below this one already: connect first, launch afterwards")

    def _begin(self, connection: TlsStream, address: str, port: int, password: str, answer: Answer) -> ResumableLink:
        from softgrid._io.resumable import ResumableStream
        from softgrid._node.redialling import Redialling, Way

        link = self._link_over(ResumableStream(connection, self._reactor, self._limit()))
        Redialling(link, self._reactor, Way(address, port, password, answer.link, answer.secret))
        return link

    def _arrive(self, link: ResumableLink, where: str, deadline: float, introduction: Message) -> None:
        arrival = self._arrival = _Arrival(link, self._adopt_rules, self._health)
        self._membership.on_welcome = arrival.on_welcome
        self._membership.on_turned_away = arrival.on_turned_away

        def begin() -> None:
            link.open()
            self._membership.ask_to_join(link, introduction)

        def settle() -> None:
            if not arrival.is_welcome:
                link.close("not welcome")
                self._tree.upgrid_path = ()
            self._arrival = None
            arrival.is_over.set()

        self._reactor.run_in_turn(begin)
        try:
            self._reactor.wait(arrival.is_answered, max(0.0, deadline - monotonic()))
        finally:
            self._reactor.run_in_turn(settle)
            self._reactor.wait(arrival.is_over)
        if not arrival.is_welcome:
            raise arrival.error or TimedOut(f"{where} knows the password and did not let this executor in in time")

    def on_uplink_lost(self, reason: str) -> bool:
        """The way up is gone; whether this was before it had led anywhere."""
        arrival = self._arrival
        if arrival is None or arrival.is_welcome:
            return False
        arrival.fail(SoftgridError(f"the connection broke before this executor was let in: {reason}"))
        return True


class _Arrival:
    """What became of asking for a place; its methods are called in the reactor's turn."""

    def __init__(self, link: ResumableLink, adopt_rules: Callable[[Message], None], health: Health) -> None:
        self._link = link
        self._health = health
        self._adopt_rules = adopt_rules
        self.is_answered = Waiter()
        self.is_over = Waiter()
        self.is_welcome = False
        self.error: SoftgridError | None = None

    def on_welcome(self, message: Message) -> None:
        try:
            self._adopt_rules(field(message, "rules", dict))
            terms = Terms(*(float(field(message, key, (int, float))) for key in Terms._fields))
            self._link.tolerate(terms.tolerance_s)
        except SoftgridError as error:
            self.fail(Refused(f"the grid goes by rules that this version of softgrid does not know: {error}"))
            return
        self.is_welcome = True
        self._health.terms = terms
        self._health.watch_upgrid(self._link)
        self.is_answered.set()

    def on_turned_away(self, reason: str) -> None:
        self.fail(Refused(reason))

    def fail(self, error: SoftgridError) -> None:
        self.error = self.error or error
        self.is_answered.set()


class _Knock:
    """Knocking in a thread of its own, since looking up a name heeds no deadline."""

    def __init__(self, reactor: Reactor, address: str, port: int, password: str, deadline: float) -> None:
        self._reactor = reactor
        self._where = f"{address}:{port}"
        self._deadline = deadline
        self._waiter = Waiter()
        self._lock = threading.Lock()
        self._outcome: tuple[TlsStream, Answer] | Exception | None = None
        self._is_given_up = False
        work = threading.Thread(
            target=self._run, args=(address, port, password), name="softgrid-connecting", daemon=True
        )
        work.start()

    def _run(self, address: str, port: int, password: str) -> None:
        outcome: tuple[TlsStream, Answer] | Exception
        try:
            outcome = _connect(address, port, password, self._deadline)
        except ImportError as error:
            outcome = TlsUnavailable(f"this Python cannot speak TLS: {error}")
        except Exception as error:
            outcome = error
        with self._lock:
            if not self._is_given_up:
                self._outcome = outcome
            elif not isinstance(outcome, Exception):
                outcome[0].close()
        self._waiter.set()

    def wait(self) -> tuple[TlsStream, Answer]:
        """Give the connection, and what the link over it is called; raises what went wrong."""
        try:
            self._reactor.wait(self._waiter, max(0.0, self._deadline - monotonic()))
        finally:
            with self._lock:
                self._is_given_up = self._outcome is None
        if self._outcome is None:
            raise TimedOut(f"{self._where} did not answer in time")
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def _connect(address: str, port: int, password: str, deadline: float) -> tuple[TlsStream, Answer]:
    from softgrid._node.knock import begin_link, knock

    connection = knock(address, port, password, deadline)
    try:
        return connection, begin_link(connection, deadline)
    except BaseException:
        connection.close()
        raise
