"""Segments: how data and receipts share one connection of a link that may be cut.

    kind u8 | number u64      DATA: so many bytes follow; ACK: so many have come; END: nothing follows, ever

Receipts have no number in the link and are never sent again: a later one says more.
"""

from __future__ import annotations

import struct

from softgrid._model.errors import Undecodable
from softgrid._wire.replay import Received

SEGMENT = struct.Struct(">BQ")
DATA, ACK, END = 1, 2, 3
MAX_SEGMENT = 252 * 1024
"""So much is one segment's at most."""


class Segments:
    """Takes segments apart, in place and in whatever pieces they come; one for each connection."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self.acknowledged: int | None = None
        """The last receipt that has come; to be taken, and set to None, by whoever asks."""
        self.ended = False

    def strip(self, view: memoryview, size: int, received: Received) -> int:
        """Leave of the *size* bytes in *view* what was sent and is new, at its beginning; gives how much that is.

        Raises Undecodable for what nobody sends.
        """
        position = kept = 0
        while position < size and not self.ended:
            if self._left:
                count = min(self._left, size - position)
                doubles = received.take(count)
                new = count - doubles
                if new:
                    if kept != position + doubles:
                        view[kept : kept + new] = view[position + doubles : position + count]
                    kept += new
                self._left -= count
                position += count
                continue
            missing = SEGMENT.size - len(self._header)
            self._header += bytes(view[position : min(position + missing, size)])
            position += missing
            if len(self._header) == SEGMENT.size:
                kind, number = SEGMENT.unpack(self._header)
                self._header = b""
                self._on_header(kind, number)
        return kept

    def _on_header(self, kind: int, number: int) -> None:
        if kind == DATA and number <= MAX_SEGMENT:
            self._left = number
        elif kind == ACK:
            self.acknowledged = number
        elif kind == END:
            self.ended = True
        else:
            raise Undecodable(f"a segment of kind {kind} and number {number}")
