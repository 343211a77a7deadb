"""What executors and the supervisor of their machine say to each other: control frames over a socket pair.

to the supervisor     begin {path, cookie, home, homes}, fork {token, spec} with a descriptor or with a channel of the
                      line, kill {pid}, settle {token}, end
from the supervisor   forked {token, pid}, failed {token, reason}, output {token, text}, settled {token},
                      exited {token, pid, code, signal, peak_kib, memory, tail}
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

from softgrid._io.descriptors import Descriptors
from softgrid._io.link import Link
from softgrid._model.errors import Undecodable
from softgrid._wire.control import Message, decode_control, encode_control
from softgrid._wire.framing import HEADER, HEADER_SIZE, Header, Kind, check_header, frame

MAX_MESSAGE = 256 * 1024


def send_message(link: Link, message: Message, descriptors: Descriptors | None = None) -> None:
    """Send one control message, with descriptors."""
    body = encode_control(message)
    link.send(frame(Kind.CONTROL, 0, 0, 0, body, descriptors=len(descriptors or ())), 0, descriptors)


class MessageReader:
    """Reads control messages from a link and hands them to ``on_message(link, message, descriptors)``."""

    def __init__(self, on_message: Callable[[Link, Message, Descriptors], None]) -> None:
        self._on_message = on_message
        self._view = memoryview(mmap.mmap(-1, MAX_MESSAGE + HEADER_SIZE))

    def __call__(self, link: Link) -> None:
        kept = len(link.partial)
        self._view[:kept] = link.partial
        size = link.receive_into(self._view[kept:])
        if size < 0:
            link.close("the other end is gone")
            return
        link.partial = b""
        data, start = bytes(self._view[: kept + size]), 0
        while len(data) - start >= HEADER_SIZE:
            header = Header(*HEADER.unpack_from(data, start))
            stop = start + HEADER_SIZE + header.length
            try:
                check_header(header, MAX_MESSAGE)
                if stop > len(data):
                    break
                message = decode_control(data[start + HEADER_SIZE : stop])
                descriptors = link.take_descriptors(header.descriptors)
            except Undecodable as error:
                link.close(str(error))
                return
            self._on_message(link, message, descriptors)
            start = stop
        link.partial = data[start:] if not link.closed else b""
