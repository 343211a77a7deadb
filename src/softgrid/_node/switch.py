"""Frames in, frames on: what is for this executor is delivered, everything else is passed one hop on, unread.

This is the path that every message takes at every hop, so it is written for speed: one buffer for all links, one
look at the header, and frames that go the same way are passed on in one piece.

A frame is believed to come from where it says only if that lies behind the link it came over.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

from softgrid._io.descriptors import Descriptors
from softgrid._io.link import Link
from softgrid._io.reactor import Waiter
from softgrid._io.segments import MAX_HELD, THRESHOLD, Attachment, SegmentPool
from softgrid._model.errors import Undecodable
from softgrid._state.tree import Tree
from softgrid._wire.framing import (
    ATTACHED,
    AWAITED,
    HEADER,
    HEADER_SIZE,
    HOPS_OFFSET,
    LAST_KIND,
    MAX_BODY,
    MAX_HOPS,
    MORE,
    Assembler,
    Attached,
    Body,
    Header,
    Outbound,
    check_header,
    frame,
    frames,
    pack_attached,
    unpack_attached,
)

BUFFER_SIZE = 2 * (MAX_BODY + HEADER_SIZE)

Deliver = Callable[[Any, int, int, Any], None]
"""What takes a message: the link it came over, its source, its id, its body."""


class Switch:
    """The crossing of all links of one executor."""

    def __init__(
        self,
        tree: Tree[Link],
        segments: SegmentPool,
        run_in_turn: Callable[[Callable[[], None]], None],
        on_refused: Callable[[Link, Header, str], None],
    ) -> None:
        self._run_in_turn = run_in_turn
        self.segments = segments
        self._me: int = tree.node_id
        self._routes = tree.routes
        # Pages of an anonymous map cost nothing until they are touched, which most of an idle executor's never are.
        self._view = memoryview(mmap.mmap(-1, BUFFER_SIZE))
        self._assemblers: dict[Link, Assembler] = {}
        self._on_refused = on_refused
        self.on_bug: Callable[[BaseException], None] = lambda error: None
        self.uplink: Link | None = None
        self.deliver: dict[int, Deliver] = {}
        self.relayed_frames = self.relayed_bytes = self.dropped_frames = 0

    # -- out ------------------------------------------------------------------------------------------------------

    def hop_to(self, destination: int) -> Link | None:
        """Give the link that leads to *destination*, or None when there is none."""
        return self._routes.get(destination) or self.uplink

    def knows(self, executor: int) -> bool:
        """Whether that executor is below this one."""
        return executor in self._routes

    def send(
        self, kind: int, destination: int, message_id: int, outbound: Outbound, source: int | None = None
    ) -> Waiter | None:
        """Send a message of any size; one for nobody is dropped.

        Gives a waiter that is set when the payload's memory is its owner's again, or None when it is already.
        """
        source = self._me if source is None else source
        if destination == self._me:
            received = _as_received(outbound)
            self._run_in_turn(lambda: self.deliver[kind](_NO_LINK, source, message_id, received))
            return None
        hop = self.hop_to(destination)
        return None if hop is None else self.send_over(hop, kind, destination, message_id, outbound, source)

    def send_over(
        self, hop: Link, kind: int, destination: int, message_id: int, outbound: Outbound, source: int, hops: int = 0
    ) -> Waiter | None:
        """Send a message over a link."""
        shared = self.share(hop, outbound) if outbound.size > THRESHOLD else None
        if shared is not None:
            body = pack_attached(outbound.head, outbound.size)
            data = frame(
                kind, destination, source, message_id, body, flags=ATTACHED, descriptors=len(shared), hops=hops
            )
            hop.send(data, destination, shared)
            return None
        if len(outbound.head) + outbound.size <= MAX_BODY:
            hop.send(frame(kind, destination, source, message_id, outbound.joined()), destination)
            return None
        return hop.send_stream(destination, frames(kind, destination, source, message_id, outbound.all_parts()))

    def share(self, hop: Link, outbound: Outbound) -> Descriptors | None:
        """Give the descriptors of a large payload in shared memory, or None where it cannot go like that.

        One payload for many receivers is written once.
        """
        if not hop.passes_descriptors:
            return None
        if outbound.shared is None:
            if isinstance(outbound.payload, Attachment):
                outbound.shared = outbound.payload.descriptors
            else:
                outbound.shared = self.segments.share(outbound.parts, outbound.size)
        return outbound.shared  # type: ignore[no-any-return]

    # -- in -------------------------------------------------------------------------------------------------------

    def on_readable(self, link: Link) -> None:
        """Read what a link has, deliver and pass on."""
        view = self._view
        kept = len(link.partial)
        if kept:
            view[:kept] = link.partial
        size = link.receive_into(view[kept:])
        if size <= 0:
            if size < 0:
                link.close("its connection is gone")
            return
        try:
            used = self._take_frames(link, kept + size)
        except Undecodable as error:
            link.close(f"it sent what no executor sends: {error}")
            return
        link.partial = bytes(view[used : kept + size]) if used < kept + size else b""

    def _take_frames(self, link: Link, end: int) -> int:  # noqa: C901  (every message's way: one loop, few calls)
        """Handle the whole frames in the buffer; gives how many bytes they were."""
        view, me, routes = self._view, self._me, self._routes
        unpack = HEADER.unpack_from
        position = run_start = 0
        run_hop: Link | None = None
        is_uplink = link is self.uplink
        behind_link = None if is_uplink else link
        while end - position >= HEADER_SIZE:
            header = unpack(view, position)
            length, kind, flags, hops, descriptors, destination, source, message_id = header
            stop = position + HEADER_SIZE + length
            if length > MAX_BODY or not 0 < kind <= LAST_KIND:
                if run_hop is not None:
                    self._pass_on(link, run_hop, run_start, position)
                check_header(Header(*header))
            if stop > end:
                break
            link.frames_received += 1
            is_mine = destination == me or not destination
            is_believed = routes.get(source) is behind_link if source else not destination
            hop = None if is_mine or not is_believed else routes.get(destination) or self.uplink
            if hop is link or hops >= MAX_HOPS:
                hop = None
            if hop is not run_hop or descriptors:
                if run_hop is not None:
                    self._pass_on(link, run_hop, run_start, position)
                run_start, run_hop = position, hop
            if descriptors:
                attached = self._take_attached(link, Header(*header), view[position + HEADER_SIZE : stop])
                run_start, run_hop = stop, None
                if hop is not None:
                    self._pass_on_attached(link, hop, Header(*header), attached)
                elif is_mine and is_believed:
                    self._hand_over(link, kind, source, message_id, attached)
                else:
                    self.dropped_frames += 1
                    self._on_refused(link, Header(*header), "is nowhere on the grid")
            elif hop is not None:
                view[position + HOPS_OFFSET] = hops + 1
                if kind == 1 or kind in AWAITED:
                    hop.speakers.add(source)
                    if kind != 1:
                        link.speakers.add(destination)
            elif is_mine and is_believed:
                self._deliver(link, kind, flags, source, message_id, view[position + HEADER_SIZE : stop])
            else:
                self.dropped_frames += 1
                self._on_refused(link, Header(*header), "is nowhere on the grid")
            position = stop
        if run_hop is not None:
            self._pass_on(link, run_hop, run_start, position)
        return position

    def _pass_on(self, link: Link, hop: Link, start: int, stop: int) -> None:
        self.relayed_frames += 1
        self.relayed_bytes += stop - start
        hop.send(self._view[start:stop])
        if hop.is_full:
            link.pause_for(hop)

    def _take_attached(self, link: Link, header: Header, body: memoryview) -> Attached:
        descriptors = link.take_descriptors(header.descriptors)
        if not header.flags & ATTACHED or len(descriptors) != 2:
            raise Undecodable("a frame with descriptors that no message needs")
        size, head = unpack_attached(bytes(body))
        attachment = Attachment(descriptors, size)
        return Attached(head, attachment.copied() if Descriptors.held > MAX_HELD else attachment)

    def _pass_on_attached(self, link: Link, hop: Link, header: Header, attached: Attached) -> None:
        self.relayed_frames += 1
        self.relayed_bytes += header.length
        if header.kind == 1 or header.kind in AWAITED:
            hop.speakers.add(header.source)
            if header.kind != 1:
                link.speakers.add(header.destination)
        outbound = Outbound(attached.head, payload=attached.payload)
        self.send_over(
            hop, header.kind, header.destination, header.message_id, outbound, header.source, header.hops + 1
        )

    def _deliver(self, link: Link, kind: int, flags: int, source: int, message_id: int, body: memoryview) -> None:
        assembler = self._assemblers.get(link)
        if flags & MORE or assembler is not None:
            if assembler is None:
                assembler = self._assemblers[link] = Assembler()
            whole = assembler.add(source, message_id, flags, bytes(body))
            if not len(assembler):
                del self._assemblers[link]
            if whole is None:
                return
        else:
            whole = bytes(body)
        self._hand_over(link, kind, source, message_id, whole)

    def _hand_over(self, link: Link, kind: int, source: int, message_id: int, body: Body) -> None:
        """Give a message to who takes its kind; what is wrong with it must not harm those that came with it."""
        try:
            self.deliver[kind](link, source, message_id, body)
        except Undecodable:
            if not source:  # a neighbour that does not speak our language
                raise
            self.dropped_frames += 1
        except Exception as error:
            self.on_bug(error)

    def forget(self, link: Link) -> None:
        """A link is over: drop what it left unfinished."""
        self._assemblers.pop(link, None)


class _NoLink:
    """Stands for the way of a message that an executor sends to itself."""

    closed = False
    peer = None


_NO_LINK: Any = _NoLink()


def _as_received(outbound: Outbound) -> Body:
    """Give a message to oneself as it would have come over a link: with a payload of its own."""
    if isinstance(outbound.payload, Attachment):
        return Attached(outbound.head, outbound.payload)
    return bytearray(outbound.joined()) if outbound.size else outbound.head
