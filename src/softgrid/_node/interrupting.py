"""How a function of a user is interrupted while it runs: KeyboardInterrupt is raised in it, and nowhere else.

In the main thread of an executor that softgrid launched a real signal does it, which also ends a wait in C code
(``time.sleep``, a lock). In any other thread Python raises it between two steps of the function, so that a wait in C
code ends first.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from softgrid._io.reactor import Reactor


class Interruptible(Protocol):
    """A call that runs: in which thread, while its function does; None before and after."""

    thread: int | None


class Interrupts:
    """Interrupts functions."""

    def __init__(self, reactor: Reactor, in_queue: Callable[[], Interruptible | None]) -> None:
        self._reactor = reactor
        self._in_queue = in_queue
        self._wanted: Interruptible | None = None
        self._raised_in: Interruptible | None = None
        self._main_thread: int | None = None
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Have signals do it in this thread, the main one, which runs the queue."""
        self._main_thread = threading.get_ident()
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt if the function still runs that it is meant for.

        A signal that nobody here has sent is meant for whatever function runs.
        """
        wanted, self._wanted = self._wanted, None
        running = self._in_queue()
        if running is None or running.thread is None or (wanted is not None and wanted is not running):
            return
        if not self._reactor.defer_interrupt():
            running.thread = None  # once: what comes after this exception is not the function's any more
            raise KeyboardInterrupt

    def interrupt(self, call: Interruptible) -> None:
        """Interrupt the function of a call, if it has begun and has not ended."""
        with self._lock:
            thread = call.thread
            if thread is None:
                return
            if thread == self._main_thread:
                self._wanted = call
                signal.pthread_kill(thread, signal.SIGINT)
            else:
                self._raised_in = call
                _raise_in(thread, KeyboardInterrupt)

    def end(self, call: Interruptible) -> None:
        """The function of a call has ended, in this thread: nothing that is meant for it may come after this."""
        if call.thread == self._main_thread:
            call.thread = None
            return
        with self._lock:
            thread, call.thread = call.thread, None
            if self._raised_in is call:
                self._raised_in = None
                if thread is not None:
                    _raise_in(thread, None)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    import ctypes

    given = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), given)
