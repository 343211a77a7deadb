"""Readiness of descriptors: epoll or else poll. The standard selectors cost twice as much a turn."""

from __future__ import annotations

import select
from typing import Protocol

READ = select.POLLIN
WRITE = select.POLLOUT


class Poller(Protocol):
    """What a reactor asks of the kernel."""

    def register(self, fd: int, mask: int) -> None: ...
    def modify(self, fd: int, mask: int) -> None: ...
    def unregister(self, fd: int) -> None: ...
    def poll(self, timeout: float | None) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class _Poll:
    """``select.poll`` counts in milliseconds and has nothing to close."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        return self._poll.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999)))

    def close(self) -> None:
        return None


def open_poller() -> Poller:
    """Give the best poller of this machine."""
    if hasattr(select, "epoll"):
        return select.epoll()
    return _Poll()
