"""A link over TLS, for executors of other machines."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from time import monotonic
from typing import Any, cast

from softgrid._io.descriptors import Descriptors
from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.tcp import tune
from softgrid._io.tcp_info import silence_of
from softgrid._io.tls import TlsStream

RAW_SIZE = 128 * 1024


class TlsLink(Link):
    """A link whose bytes are encrypted.

    What its stream has encrypted and the socket does not take at once is not in the link's queue any more: the link
    asks to write as long as there is some.
    """

    def __init__(
        self,
        stream: TlsStream,
        reactor: Reactor,
        on_readable: Callable[[Link], None],
        on_closed: Callable[[Link, str], None],
    ) -> None:
        super().__init__(cast(Any, stream), reactor, on_readable, on_closed)
        self._stream = stream
        self._caught_up: Waiter | None = None
        self._heard_at = monotonic()
        # Pages of an anonymous map cost nothing until they are touched, which those of an idle link never are.
        stream.widen(memoryview(mmap.mmap(-1, RAW_SIZE)))

    def tolerate(self, silence_s: float) -> None:
        """Take the other side for gone when it is silent for that long."""
        tune(self._stream.sock, silence_s)

    def receive_into(self, view: memoryview) -> int:
        with self._lock:
            size = super().receive_into(view)
            self._see_to_rest()
        if size > 0:
            self._heard_at = monotonic()
        return size

    def heard(self) -> tuple[float, float]:
        """When the other process, and when its machine, last gave a sign of life; on the monotonic clock."""
        silence_s = None if self.closed else silence_of(self._stream.sock)
        machine = self._heard_at if silence_s is None else max(self._heard_at, monotonic() - silence_s)
        return self._heard_at, machine

    def _write(self, data: Any, descriptors: Descriptors | None) -> int:
        sent = super()._write(data, descriptors)
        self._see_to_rest()
        return sent

    def _see_to_rest(self) -> None:
        if not self.closed and self._stream.is_behind:
            self._ask_to_write()

    def _on_writable(self) -> None:
        with self._lock:
            if self._fd < 0 or not self._catch_up():
                return
        super()._on_writable()
        with self._lock:
            self._see_to_rest()
            if self._caught_up is not None and (self.closed or not self._stream.is_behind):
                self._caught_up.set()

    def _catch_up(self) -> bool:
        try:
            return self._stream.flush()
        except OSError:
            self._give_up_writing()
            return True

    def flush(self, timeout: float) -> None:
        deadline = monotonic() + timeout
        super().flush(timeout)
        with self._lock:
            if self.closed or not self._stream.is_behind:
                return
            waiter = self._caught_up = Waiter()
        self._reactor.wait(waiter, max(0.0, deadline - monotonic()))
