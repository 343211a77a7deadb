"""Daemon threads that wait for something to do, so that starting a piece of work costs no new thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable

Work = Callable[[], None]


def _nothing() -> None:
    """Work that wakes a thread which is to end."""


class IdleThreads:
    """Runs each piece of work in a thread of its own, at once; threads that are done wait for the next."""

    def __init__(self, name: str, idle_limit: int = 8) -> None:
        self._name = name
        self._idle_limit = idle_limit
        self._idle: list[tuple[threading.Lock, deque[Work]]] = []
        self._lock = threading.Lock()

    def run(self, work: Work) -> None:
        """Run *work* in another thread; what it raises is its own business."""
        with self._lock:
            waiting = self._idle.pop() if self._idle else None
        if waiting is None:
            inbox = deque([work])
            threading.Thread(target=self._serve, args=(inbox,), name=self._name, daemon=True).start()
            return
        signal, inbox = waiting
        inbox.append(work)
        signal.release()

    def close(self) -> None:
        """Let the threads that wait end; what is still given runs in threads that end with it."""
        with self._lock:
            self._idle_limit = 0
            idle, self._idle = self._idle, []
        for signal, inbox in idle:
            inbox.append(_nothing)
            signal.release()

    def _serve(self, inbox: deque[Work]) -> None:
        signal: threading.Lock = threading.Lock()
        signal.acquire()
        while True:
            work = inbox.popleft()
            work()
            del work
            with self._lock:
                if len(self._idle) >= self._idle_limit:
                    return
                self._idle.append((signal, inbox))
            signal.acquire()


class Lanes:
    """Runs work of one lane in the order given, and of different lanes beside each other; lanes come and go."""

    def __init__(self, threads: IdleThreads) -> None:
        self._threads = threads
        self._waiting: dict[Hashable, deque[Work]] = {}
        self._lock = threading.Lock()

    def run(self, lane: Hashable, work: Work) -> None:
        """Run *work* in another thread, after what was given before for the same lane."""
        with self._lock:
            waiting = self._waiting.get(lane)
            if waiting is not None:
                waiting.append(work)
                return
            self._waiting[lane] = deque([work])
        self._threads.run(lambda: self._serve(lane))

    def _serve(self, lane: Hashable) -> None:
        waiting = self._waiting[lane]
        try:
            waiting[0]()
        finally:
            with self._lock:
                waiting.popleft()
                if not waiting:
                    del self._waiting[lane]
            if waiting:
                self._threads.run(lambda: self._serve(lane))

    def __len__(self) -> int:
        return len(self._waiting)


class Serial:
    """Runs pieces of work one after the other, in the order given, in one thread that is started when first needed."""

    def __init__(self, name: str, on_bug: Callable[[Exception], None] = lambda error: None) -> None:
        self._name = name
        self._on_bug = on_bug
        self._inbox: deque[Work] = deque()
        self._lock = threading.Lock()
        self._is_running = False
        self._idle: threading.Event | None = None

    def run(self, work: Work) -> None:
        """Run *work* after what was given before."""
        with self._lock:
            self._inbox.append(work)
            if self._is_running:
                return
            self._is_running = True
        try:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        except RuntimeError:  # the interpreter is ending and starts no more threads: what is left is done here
            self._serve()

    def _serve(self) -> None:
        while True:
            with self._lock:
                if not self._inbox:
                    self._is_running = False
                    if self._idle is not None:
                        self._idle.set()
                        self._idle = None
                    return
                work = self._inbox.popleft()
            try:
                work()
            except Exception as error:
                self._on_bug(error)

    def drain(self, timeout: float) -> bool:
        """Block until everything given has run, at most *timeout* seconds."""
        with self._lock:
            if not self._is_running:
                return True
            idle = self._idle = self._idle or threading.Event()
        return idle.wait(timeout)

    def __len__(self) -> int:
        return len(self._inbox)
