"""Texts that processes of one descent have in common, found by the hash of what they are.

They lie in memory that no path leads to and that goes with its last holder: made before the first fork, held by all
that come of it. Whoever looks a text up checks its hash, so nobody can pass off another for it.

    length u64, of all that follows and is whole      then records: digest 16 bytes | length u32 | text
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

DIGEST_SIZE = 16
LIMIT = 64 * 1024 * 1024
_LENGTH = struct.Struct(">Q")
_RECORD = struct.Struct(f">{DIGEST_SIZE}sI")


def digest_of(text: bytes) -> bytes:
    """Give the hash by which a text is found."""
    return blake2b(text, digest_size=DIGEST_SIZE).digest()


class SharedTexts:
    """Those behind one descriptor, which it keeps."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._places: dict[bytes, tuple[int, int]] = {}
        self._known = _LENGTH.size
        self._lock = threading.Lock()

    @classmethod
    def make(cls) -> SharedTexts | None:
        """Make an empty collection; None where there is no such memory."""
        try:
            return cls(os.memfd_create("softgrid-texts", os.MFD_CLOEXEC))
        except (AttributeError, OSError):
            return None

    def get(self, digest: bytes) -> bytes | None:
        """Give the text of that hash, or None when nobody has added it."""
        with self._lock:
            place = self._look_for(digest)
        if place is None:
            return None
        text = os.pread(self.descriptor, place[1], place[0])
        return text if digest_of(text) == digest else None

    def add(self, text: bytes) -> None:
        """Keep a text for all; there may be no room for it, and whoever needs it has to get it otherwise."""
        digest = digest_of(text)
        with self._lock, self._alone():
            if self._look_for(digest) is not None or self._known + _RECORD.size + len(text) > LIMIT:
                return
            record = _RECORD.pack(digest, len(text)) + text
            os.pwrite(self.descriptor, record, self._known)
            os.pwrite(self.descriptor, _LENGTH.pack(self._known + len(record)), 0)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep out other processes; the kernel gives the lock back of one that dies."""
        import fcntl

        fcntl.lockf(self.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN)

    def _look_for(self, digest: bytes) -> tuple[int, int] | None:
        if digest not in self._places:
            self._read_on()
        return self._places.get(digest)

    def _read_on(self) -> None:
        length = os.pread(self.descriptor, _LENGTH.size, 0)
        end = min(LIMIT, _LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else 0
        while self._known + _RECORD.size <= end:
            head = os.pread(self.descriptor, _RECORD.size, self._known)
            if len(head) < _RECORD.size:
                return
            digest, size = _RECORD.unpack(head)
            self._places[digest] = (self._known + _RECORD.size, size)
            self._known += _RECORD.size + size
