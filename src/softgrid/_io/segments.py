"""Large messages on one machine: written once into memory that the kernel shares, and passed by descriptor.

The sender writes a payload into a segment (a memfd) of its pool; what travels is the segment's descriptor and one
end of a pipe, the *lease*. Each receiver maps the segment privately, so that its arrays are writable and cost
nothing until written to, and holds the lease for as long as the mapping lives. When the last holder is gone, by
whatever death, the kernel closes the pipe, the owner sees its end and the segment is free again, its pages still
warm. Nothing has a name, so nothing can be left behind.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from softgrid._io.descriptors import Descriptors
from softgrid._io.reactor import Reactor
from softgrid._model.errors import Undecodable

THRESHOLD = 64 * 1024
"""Payloads up to this many bytes go through the socket: below it a copy is cheaper than a mapping."""
SMALLEST = 1024 * 1024
WRITE_STEP = 8 * 1024 * 1024
MAX_LEASED = 128
MAX_HELD = 512
"""Beyond this many open descriptors of messages, payloads are copied on arrival: a process may have 1024."""
IDLE_S = 15.0
LIMIT_FLOOR = 1024 * 1024 * 1024
IS_POSSIBLE = hasattr(os, "memfd_create")


class _Mapping(mmap.mmap):
    """A mapping that holds the lease of what it maps."""

    lease: Descriptors


class Attachment:
    """A received segment: mapped only when somebody looks into it, and passed on as it is otherwise."""

    __slots__ = ("descriptors", "size")

    def __init__(self, descriptors: Descriptors, size: int) -> None:
        self.descriptors = descriptors
        self.size = size
        if not 0 < size <= os.fstat(descriptors.numbers[0]).st_size:
            raise Undecodable(f"an attachment of {size} bytes in a segment that is not that large")

    def copied(self) -> Copied:
        """Copy it into memory of this process and let go of it, for a process that holds too many descriptors."""
        copied = Copied(self.view())
        self.descriptors.close()
        return copied

    def view(self) -> memoryview:
        """Map it: private, writable memory that lasts as long as anybody looks at it."""
        memory, lease = self.descriptors.numbers
        mapping = _Mapping(memory, self.size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        mapping.lease = Descriptors(os.dup(lease))
        return memoryview(mapping)


class Copied:
    """A payload in memory of this process."""

    __slots__ = ("_memory", "size")

    def __init__(self, view: memoryview) -> None:
        self._memory = bytearray(view)
        self.size = len(self._memory)

    def view(self) -> memoryview:
        """Give it, writable."""
        return memoryview(self._memory)


class Segment:
    """Shared memory of a pool: free, or leased to whoever received it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.touched = 0
        self.memory = os.memfd_create("softgrid", os.MFD_CLOEXEC)
        os.ftruncate(self.memory, capacity)
        self._view = memoryview(mmap.mmap(self.memory, capacity))

    def write(self, parts: Iterable[Any], size: int) -> None:
        """Fill it from its beginning; raises OSError when the machine has not that much memory."""
        if size > self.touched:
            os.posix_fallocate(self.memory, self.touched, size - self.touched)
            self.touched = size
        offset = 0
        for part in parts:
            view = memoryview(part).cast("B")
            for start in range(0, len(view), WRITE_STEP):  # other threads get their turn between two steps
                piece = view[start : start + WRITE_STEP]
                self._view[offset : offset + len(piece)] = piece
                offset += len(piece)

    def close(self) -> None:
        """Give its memory back to the kernel, as soon as nobody maps it."""
        self._view.release()
        os.close(self.memory)


def segment_limit() -> int:
    """How many bytes the pool of one executor holds at most: a quarter of the machine's memory, at least a GiB."""
    try:
        return max(LIMIT_FLOOR, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)
    except (ValueError, OSError):
        return LIMIT_FLOOR


class SegmentPool:
    """The segments of one executor."""

    def __init__(self, reactor: Reactor, limit: Callable[[], int]) -> None:
        self._reactor = reactor
        self._limit = limit
        self._lock = threading.Lock()
        self._free: list[Segment] = []
        self._leased: dict[int, Segment] = {}
        self._trim_is_due = False
        self.shared_messages = self.shared_bytes = 0

    def share(self, parts: list[Any], size: int) -> Descriptors | None:
        """Write a payload into a segment; gives what to pass to its receivers, or None where it must go another way.

        The segment is free again when these descriptors and all that were made from them are closed.
        """
        if not IS_POSSIBLE or size <= THRESHOLD:
            return None
        with self._lock:
            segment = self._take(size)
        if segment is None:
            return None
        try:
            segment.write(parts, size)
            shared = Descriptors(os.dup(segment.memory))
            lease_read, lease_write = os.pipe()
        except (OSError, ValueError):  # no memory or no descriptors left: the socket still works
            segment.close()
            return None
        shared.add(lease_write)
        os.set_blocking(lease_read, False)
        self._leased[lease_read] = segment
        self._reactor.watch(lease_read, lambda mask: self._on_lease_ended(lease_read))
        self.shared_messages += 1
        self.shared_bytes += size
        return shared

    def _take(self, size: int) -> Segment | None:
        fitting = [segment for segment in self._free if segment.capacity >= size]
        best = min(fitting, key=lambda segment: segment.capacity, default=None)
        touched = max(size, best.touched if best is not None else 0)
        room = self._limit() - touched - sum(segment.touched for segment in self._leased.values())
        if room < 0 or len(self._leased) >= MAX_LEASED:
            return None
        if best is not None:
            self._free.remove(best)
        self._trim(room)
        try:
            return best or Segment(max(SMALLEST, 1 << (size - 1).bit_length()))
        except OSError:
            return None

    def _on_lease_ended(self, lease_read: int) -> None:
        try:
            os.read(lease_read, 1)
        except BlockingIOError:  # news of another pipe that had this number before: this lease goes on
            return
        with self._lock:  # the number may be another pipe's as soon as it is closed
            segment = self._leased.pop(lease_read)
            self._reactor.unwatch(lease_read)
            os.close(lease_read)
            self._free.append(segment)
            self._trim(self._limit() // 2)
        if self._free and not self._trim_is_due:
            self._trim_is_due = True
            self._reactor.call_later(IDLE_S, self._trim_when_idle)

    def _trim(self, kept: int) -> None:
        self._free.sort(key=lambda segment: segment.touched)
        while self._free and sum(segment.touched for segment in self._free) > kept:
            self._free.pop().close()

    def _trim_when_idle(self) -> None:
        with self._lock:
            self._trim_is_due = False
            self._trim(0)

    def close(self) -> None:
        """Free everything; what is mapped elsewhere lives until it is let go of."""
        with self._lock:
            for lease_read in list(self._leased):
                self._reactor.unwatch(lease_read)
                os.close(lease_read)
                self._leased.pop(lease_read).close()
            self._trim(0)

    def statistics(self) -> dict[str, int]:
        """How many segments there are, and how much went through them."""
        return {
            "segments_free": len(self._free),
            "segments_leased": len(self._leased),
            "segment_bytes": sum(segment.touched for segment in (*self._free, *self._leased.values())),
            "shared_messages": self.shared_messages,
            "shared_bytes": self.shared_bytes,
        }
