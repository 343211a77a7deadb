"""The reactor of a process: readiness, timers, and whose turn it is to wait for them.

Sleeping and being woken is most of what a round trip costs, so nobody is woken who need not be: a thread that waits
for an answer takes the turn and polls for itself, and a background thread polls only while no other thread wants
to. After a thread has given the turn back, the background thread keeps off for a moment (GRACE_S), because the next
call is likely to follow at once.

Only the thread that holds the turn runs callbacks, so callbacks never run beside each other.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import sys
import threading
from collections.abc import Callable
from itertools import count
from time import monotonic, perf_counter, sleep

from softgrid._io.poller import READ, WRITE, Poller, open_poller
from softgrid._util.cores import own_cores

GRACE_S = 0.003
RESTING_AFTER_S = 0.02
"""A thread that has waited this long for nothing lets the background thread sleep without looking up."""
FOLLOW_S = 1.0
LONGEST_POLL_S = 3600.0
TIMERS_KEPT = 4096
"""Up to so many timers, cancelled ones are not looked for."""
SPIN_S = 0.0004
SPIN_COOLDOWN = 256
LONG_AWAY_S = 0.0003
"""What is waited for often comes at once, and being put to sleep and woken costs more than looking a few times, giving
the core away between two looks. Where looking does not pay (what comes takes longer), or where somebody else has work
for the core (it was away for long), it is left alone for that many turns."""


class Waiter:
    """Something a thread waits for; ``set`` may be called from any thread, once or more."""

    __slots__ = ("_lock", "done", "leader")

    def __init__(self) -> None:
        self.done = False
        self.leader: Reactor | None = None
        """Whose poll the waiting thread is in, if it polls for itself."""
        self._lock: threading.Lock | None = None

    def set(self) -> None:
        """It has happened."""
        self.done = True
        lock = self._lock
        if lock is not None:
            _release(lock)
        leader = self.leader
        if leader is not None and not leader.holds_turn():
            leader.wake()

    def clear(self) -> None:
        """It may happen again."""
        self.done = False

    def block(self, timeout: float | None) -> None:
        """Sleep until it has happened, in a thread that does not hold the turn."""
        lock = self._lock = threading.Lock()
        lock.acquire()
        if not self.done:
            lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        self._lock = None


class Timer:
    """A callback that is due at a time of the monotonic clock."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Make it never happen; harmless when it has."""
        self.callback = None


_yield_core: Callable[[], None] = getattr(os, "sched_yield", lambda: sleep(0))


def _release(lock: threading.Lock) -> None:
    try:
        lock.release()
    except RuntimeError:  # it was free already
        return


def _print_bug(error: BaseException) -> None:
    import traceback

    traceback.print_exception(type(error), error, error.__traceback__, file=sys.__stderr__)


class Reactor:
    """One per process."""

    def __init__(
        self, on_bug: Callable[[BaseException], None] = _print_bug, *, may_spin: bool = True, is_open: bool = True
    ) -> None:
        self._poller: Poller
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._masks: dict[int, int] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_order = count()
        self._timer_lock = threading.Lock()
        self._compact_at = TIMERS_KEPT
        self._on_bug = on_bug
        self._turn = threading.Lock()
        self._holder: int | None = None
        self._claims = 0
        self._leads = 0
        self._resting = False
        self._background_leads = False
        self._leader_yields = False
        self._background: threading.Thread | None = None
        self._standby = threading.Lock()
        self._standby.acquire()
        self._closed = False
        self._main_thread: int | None = None
        self._shielded = False
        self._was_busy = False
        self._spin_credit = 0
        self._may_spin = may_spin and own_cores() > 1
        self._interrupted = False
        self._wake_read = self._wake_write = -1
        if is_open:
            self.open()

    def open(self) -> None:
        """Take what only the process can have that this reactor is to work in: descriptors."""
        self._main_thread = threading.main_thread().ident
        self._poller = open_poller()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self.watch(self._wake_read, self._on_wake)

    # -- what is watched ------------------------------------------------------------------------------------------

    def watch(self, fd: int, handler: Callable[[int], None], mask: int = READ) -> None:
        """Call ``handler(mask)`` whenever *fd* is ready; any thread may say so."""
        self._handlers[fd] = handler
        self._masks[fd] = mask
        self._poller.register(fd, mask)

    def set_mask(self, fd: int, *, read: bool, write: bool) -> None:
        """Say which readiness of *fd* matters now."""
        mask = (READ if read else 0) | (WRITE if write else 0)
        before = self._masks.get(fd)
        if before in (None, mask):
            return
        self._masks[fd] = mask
        if not mask:  # a poller tells of a peer that is gone whatever the mask, for ever
            self._poller.unregister(fd)
        elif not before:
            self._poller.register(fd, mask)
        else:
            self._poller.modify(fd, mask)

    def unwatch(self, fd: int) -> None:
        """Forget *fd*; harmless when it is not watched. To be called before *fd* is closed."""
        if self._handlers.pop(fd, None) is not None and self._masks.pop(fd):
            self._poller.unregister(fd)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run *callback* in the thread that holds the turn, *delay_s* seconds from now; any thread may ask."""
        timer = Timer(monotonic() + delay_s, callback)
        with self._timer_lock:
            heapq.heappush(self._timers, (timer.due, next(self._timer_order), timer))
        if self._holder != threading.get_ident():
            self.wake()
        return timer

    def run_in_turn(self, callback: Callable[[], None]) -> None:
        """Run *callback* where callbacks run: at once in the thread that holds the turn, soon from any other."""
        if self.holds_turn():
            callback()
        else:
            self.call_soon(callback)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run *callback* in the thread that holds the turn, soon."""
        self.call_later(0.0, callback)

    def wake(self) -> None:
        """Make whoever polls look up."""
        if self._closed:  # the number may be somebody else's by now
            return
        try:
            os.write(self._wake_write, b"\0")
        except (BlockingIOError, OSError):  # full: it is awake already; closed: nobody polls
            return

    def _on_wake(self, mask: int) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return

    # -- one turn -------------------------------------------------------------------------------------------------

    def turn(self, timeout: float | None) -> bool:
        """Poll once and run what is due; the caller holds the turn. False when nothing was ready in time."""
        timers = self._timers
        if timers:
            until = timers[0][0] - monotonic()
            timeout = max(0.0, until) if timeout is None else max(0.0, min(timeout, until))
        if timeout is not None and timeout > LONGEST_POLL_S:
            timeout = LONGEST_POLL_S
        if self._shielded and self._holder == self._main_thread:
            self._shielded = False
            self._raise_interrupt()
            events = self._poll(timeout)
            self._shielded = True
        else:
            events = self._poll(timeout)
        for fd, mask in events:
            handler = self._handlers.get(fd)
            if handler is not None:
                try:
                    handler(mask)
                except Exception as error:
                    self._on_bug(error)
        if timers:
            self._run_due()
        return bool(events)

    def _poll(self, timeout: float | None) -> list[tuple[int, int]]:
        if self._was_busy and self._may_spin and timeout != 0 and not self._background_leads:
            self._was_busy = False
            if self._spin_credit >= 0:
                looked = perf_counter()
                until = looked + SPIN_S
                while looked < until:
                    events = self._poller.poll(0)
                    if events:
                        self._was_busy = True
                        self._spin_credit = min(self._spin_credit + 1, 16)
                        return events
                    _yield_core()
                    last, looked = looked, perf_counter()
                    if looked - last > LONG_AWAY_S:
                        self._spin_credit = 0
                self._spin_credit -= 4
                if self._spin_credit < 0:
                    self._spin_credit = -SPIN_COOLDOWN
            else:
                self._spin_credit += 1
        events = self._poller.poll(timeout)
        self._was_busy = bool(events)
        return events

    def _forget_cancelled(self) -> None:
        """Drop the timers that will never ring: there may be many, with hours to go."""
        with self._timer_lock:
            self._timers[:] = [entry for entry in self._timers if entry[2].callback is not None]
            heapq.heapify(self._timers)
            self._compact_at = max(TIMERS_KEPT, 2 * len(self._timers))

    def _run_due(self) -> None:
        if len(self._timers) > self._compact_at:
            self._forget_cancelled()
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback is not None:
                try:
                    timer.callback()
                except Exception as error:
                    self._on_bug(error)

    # -- Ctrl-C ---------------------------------------------------------------------------------------------------

    def defer_interrupt(self) -> bool:
        """Called by the handler of Ctrl-C: True when the interrupt is kept until it can do no harm."""
        if self._shielded:
            self._interrupted = True
        return self._shielded

    def shield(self) -> bool:
        """Keep Ctrl-C from cutting what the main thread does next in two; give the result to ``unshield``."""
        if self._shielded or threading.get_ident() != self._main_thread:
            return False
        self._shielded = True
        return True

    def unshield(self, shielded: bool) -> None:
        """End a shield; raises KeyboardInterrupt when one came meanwhile."""
        if shielded:
            self._shielded = False
            self._raise_interrupt()

    def _raise_interrupt(self) -> None:
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def holds_turn(self) -> bool:
        """Whether the calling thread is running callbacks."""
        return self._holder == threading.get_ident()

    # -- whose turn it is -----------------------------------------------------------------------------------------

    def wait(self, waiter: Waiter, timeout: float | None = None, *, yields: bool = False) -> bool:
        """Block until *waiter* is set, polling meanwhile if nobody else does; False when *timeout* seconds ran out.

        With *yields* the turn is left to any other thread that wants it, for a wait that nobody is in a hurry for.
        Must not be called from a callback.
        """
        if self.holds_turn():
            raise RuntimeError("a callback must not wait: it holds the turn that it would wait for")
        deadline = None if timeout is None else monotonic() + timeout
        shielded = self.shield()
        try:
            while not waiter.done and not self._closed:
                left = FOLLOW_S if deadline is None else min(FOLLOW_S, deadline - monotonic())
                if left <= 0:
                    break
                if not (yields and self._claims) and self._take_turn():
                    self._lead(waiter, deadline, yields)
                else:
                    self._follow(waiter, left)
        finally:
            self.unshield(shielded)
        return waiter.done

    def _follow(self, waiter: Waiter, timeout: float) -> None:
        """Another thread polls: sleep until it has set the waiter, and look up now and then whether it still does."""
        if threading.get_ident() != self._main_thread:
            waiter.block(timeout)
            return
        self._shielded = False
        self._raise_interrupt()
        waiter.block(timeout)
        self._shielded = True

    def _take_turn(self) -> bool:
        if self._turn.acquire(False):
            return True
        if not self._leader_yields:
            return False
        self.start_background()  # who polls when this thread has what it waits for
        self._claims += 1
        try:
            self.wake()
            return self._turn.acquire(timeout=0.05)
        finally:
            self._claims -= 1

    def _lead(self, waiter: Waiter, deadline: float | None, yields: bool) -> None:
        self._holder = threading.get_ident()
        self._leader_yields = yields
        waiter.leader = self
        try:
            while not waiter.done and not self._closed and not (yields and self._claims):
                longest = None if self._resting or self._background is None else RESTING_AFTER_S
                if deadline is not None:
                    left = deadline - monotonic()
                    if left <= 0:
                        return
                    longest = left if longest is None else min(left, longest)
                if not self.turn(longest) and self._background is not None:
                    self._resting = True
        finally:
            waiter.leader = None
            self._leader_yields = False
            self._leads += 1
            self._holder = None
            self._turn.release()
            self._stop_resting()

    def _stop_resting(self) -> None:
        if self._resting:
            self._resting = False
            _release(self._standby)

    def poll_now(self) -> None:
        """Run what is ready without waiting, if the turn is free."""
        shielded = self.shield()
        try:
            if self._turn.acquire(False):
                self._holder = threading.get_ident()
                try:
                    self.turn(0)
                finally:
                    self._leads += 1
                    self._holder = None
                    self._turn.release()
        finally:
            self.unshield(shielded)

    def start_background(self) -> None:
        """From now on a background thread polls while nobody else does, if this process may have one."""
        if self._background is None and not self._closed:
            background = threading.Thread(target=self._run_background, name="softgrid-reactor", daemon=True)
            try:
                background.start()
            except RuntimeError:  # no more threads are allowed: better deaf for the time of a call than dead
                return
            self._background = background

    def _run_background(self) -> None:
        while not self._closed:
            self._stand_by()
            if not self._claims and self._turn.acquire(False):
                self._holder = threading.get_ident()
                self._background_leads = self._leader_yields = True
                try:
                    while not self._claims and not self._closed:
                        self.turn(None)
                finally:
                    self._background_leads = self._leader_yields = False
                    self._holder = None
                    self._turn.release()

    def _stand_by(self) -> None:
        """Return when no other thread has held the turn for a moment."""
        while not self._closed:
            seen = self._leads
            self._standby.acquire(timeout=-1 if self._resting else GRACE_S)
            if not self._turn.locked() and self._leads == seen:
                return

    def close(self) -> None:
        """Stop polling for good and let every waiting thread go."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"\0")
        _release(self._standby)
        background = self._background
        if background is not None and background is not threading.current_thread():
            background.join(1.0)
        has_turn = self.holds_turn() or self._turn.acquire(timeout=1.0)
        for fd in list(self._handlers):
            self.unwatch(fd)
        if not has_turn:  # somebody is stuck in a callback: leave the descriptors to the end of the process
            return
        self._poller.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def abandon(self) -> None:
        """In a forked child: drop everything that belongs to the parent's reactor, touching none of its descriptors."""
        self._handlers.clear()
        self._masks.clear()
        self._closed = True
        self._poller.close()

    @property
    def is_closed(self) -> bool:
        return self._closed
