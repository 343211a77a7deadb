"""Frames in, frames on: what is for this executor is delivered, everything else is passed one hop on, unread.

This is the path that every message takes at every hop, so it is written for speed: one buffer for all links, one
look at the header, and frames that go the same way are passed on in one piece.

A frame is believed to come from where it says only if that lies behind the link it came over.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from softgrid._io.descriptors import Descriptors
from softgrid._io.link import FrameStream, Link
from softgrid._io.reactor import Waiter
from softgrid._io.segments import MAX_HELD, THRESHOLD, Attachment, SegmentPool
from softgrid._model.errors import Undecodable
from softgrid._model.names import node_id
from softgrid._wire.framing import (
    ATTACHED,
    AWAITED,
    CARRYING,
    COMPRESSED,
    FLAGS_OFFSET,
    FROM_GUEST,
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
    Carried,
    FromGuest,
    Header,
    Kind,
    Outbound,
    Parts,
    TooLarge,
    check_header,
    frame,
    frames,
    pack_attached,
    unpack_attached,
    whole_body,
)

SPOKEN = AWAITED | {Kind.CALL, Kind.CONTROL}
BUFFER_SIZE = 2 * (MAX_BODY + HEADER_SIZE)

Deliver = Callable[[Any, int, int, Any], None]
"""What takes a message: the link it came over, its source, its id, its body."""


class Routed(Protocol):
    """Who this executor is, and over which link whom is to be found."""

    @property
    def node_id(self) -> int: ...

    @property
    def routes(self) -> dict[int, Link]: ...

    @property
    def upgrid(self) -> str | None: ...


def _buffer() -> memoryview:
    """Give memory whose pages cost nothing until they are touched, which most of an idle executor's never are.

    A process that is forked has it for itself.
    """
    return memoryview(mmap.mmap(-1, BUFFER_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Switch:
    """The crossing of all links of one executor, or of one bridge."""

    def __init__(
        self,
        tree: Routed,
        segments: SegmentPool,
        run_in_turn: Callable[[Callable[[], None]], None],
        on_refused: Callable[[Link, Header, str], None],
        buffer: memoryview | None = None,
    ) -> None:
        self._run_in_turn = run_in_turn
        self.segments = segments
        self._tree = tree
        self._routes = tree.routes
        self._view = _buffer() if buffer is None else buffer
        self._assemblers: dict[Link, Assembler] = {}
        self._on_refused = on_refused
        self.on_bug: Callable[[BaseException], None] = lambda error: None
        self.compression_level = 0
        self.max_message_bytes: int | None = None
        self.on_too_large: Callable[[int, int, int, str], None] = lambda kind, source, message_id, reason: None
        """Told of messages to this executor that are dropped: kind, source, message id and reason."""
        self.on_forged: Callable[[Link, int], None] = lambda link, source: None
        """Told of frames that were dropped since who they name is not behind the link, the uplink excepted."""
        self.on_nonsense: Callable[[Link, int, str], None] = lambda link, source, why: None
        """Told of messages of executors that could not be understood."""
        self.uplink: Link | None = None
        self.deliver: dict[int, Deliver] = {}
        self.relayed_frames = self.relayed_bytes = self.dropped_frames = 0

    def beside(self, peer: int, link: Link) -> Switch:
        """Give a crossing for a link to *peer* alone: nobody else is believed over it, and nothing is passed on."""
        ends = _TwoEnds(self._tree.node_id, {peer: link})
        crossing = Switch(ends, self.segments, self._run_in_turn, lambda link, header, why: None, self._view)
        crossing.compression_level = self.compression_level
        crossing.on_bug = self.on_bug
        crossing.max_message_bytes, crossing.on_too_large = self.max_message_bytes, self.on_too_large
        return crossing

    # -- out ------------------------------------------------------------------------------------------------------

    def hop_to(self, destination: int) -> Link | None:
        """Give the link that leads to *destination*, or None when there is none."""
        return self._routes.get(destination) or self.uplink

    def spreader_towards(self, name: str) -> str | None:
        """Give the neighbour who is to spread what is large for several behind it: where no memory can be shared."""
        hop = self.hop_to(node_id(name))
        if hop is None or hop.passes_descriptors:
            return None
        spreader: str | None = hop.peer if hop is not self.uplink else self._tree.upgrid
        return None if spreader == name else spreader

    def knows(self, executor: int) -> bool:
        """Whether that executor is below this one."""
        return executor in self._routes

    def send(
        self, kind: int, destination: int, message_id: int, outbound: Outbound, source: int | None = None
    ) -> Waiter | None:
        """Send a message of any size; one for nobody is dropped.

        Gives a waiter that is set when the payload's memory is its owner's again, or None when it is already.
        """
        me = self._tree.node_id
        source = me if source is None else source
        if destination == me:
            self._send_to_myself(kind, source, message_id, _as_received(outbound))
            return None
        hop = self._routes.get(destination) or self.uplink
        return None if hop is None else self.send_over(hop, kind, destination, message_id, outbound, source)

    def _send_to_myself(self, kind: int, source: int, message_id: int, received: Body) -> None:
        self._run_in_turn(lambda: self.deliver[kind](_NO_LINK, source, message_id, received))

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
        flags = outbound.flags
        if len(outbound.head) + outbound.size <= MAX_BODY:
            hop.send(frame(kind, destination, source, message_id, outbound.joined(), flags=flags), destination)
            return None
        stream = self._as_stream(kind, destination, source, message_id, outbound.all_parts(), flags)
        return hop.send_stream(destination, stream)

    def _as_stream(
        self, kind: int, destination: int, source: int, message_id: int, parts: Parts, flags: int
    ) -> FrameStream:
        if flags or not self.compression_level:
            return frames(kind, destination, source, message_id, parts, flags)
        from softgrid._wire.compression import compressed_frames  # for the few who ask for it

        return compressed_frames(kind, destination, source, message_id, parts, self.compression_level)

    def send_carrying(self, destination: int, message_id: int, head: bytes, descriptors: Descriptors) -> bool:
        """Send a control message about descriptors; False when they cannot go this way."""
        hop = self.hop_to(destination)
        if hop is None or not hop.passes_descriptors:
            return False
        me = self._tree.node_id
        data = frame(Kind.CONTROL, destination, me, message_id, head, flags=CARRYING, descriptors=len(descriptors))
        hop.send(data, destination, descriptors)
        return True

    def share(self, hop: Link, outbound: Outbound) -> Descriptors | None:
        """Give the descriptors of a large payload in shared memory, or None where it cannot go like that.

        One payload for many receivers is written once.
        """
        if not hop.passes_descriptors or outbound.flags & FROM_GUEST:
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
        view, me, routes = self._view, self._tree.node_id, self._routes
        unpack = HEADER.unpack_from
        position = run_start = 0
        run_hop: Link | None = None
        is_uplink, is_guest = link is self.uplink, link.is_guest
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
            if is_guest:
                flags |= FROM_GUEST
                view[position + FLAGS_OFFSET] = flags
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
                    self._drop(link, Header(*header), is_believed)
            elif hop is not None:
                view[position + HOPS_OFFSET] = hops + 1
                if kind != 2:
                    self._note_speakers(link, hop, kind, source, destination)
            elif is_mine and is_believed:
                self._deliver(link, kind, flags, source, message_id, view[position + HEADER_SIZE : stop])
            else:
                self._drop(link, Header(*header), is_believed)
            position = stop
        if run_hop is not None:
            self._pass_on(link, run_hop, run_start, position)
        return position

    def _drop(self, link: Link, header: Header, is_believed: bool) -> None:
        """A frame that has no way, or is not from where it says: in whose name it speaks must not hear of it then."""
        self.dropped_frames += 1
        if is_believed:
            self._on_refused(link, header, "is nowhere on the grid")
        elif link is not self.uplink:
            self.on_forged(link, header.source)

    def _pass_on(self, link: Link, hop: Link, start: int, stop: int) -> None:
        self.relayed_frames += 1
        self.relayed_bytes += stop - start
        if hop.has_streams:
            self._pass_on_one_by_one(hop, start, stop)
        else:
            hop.send(self._view[start:stop])
        if hop.is_full:
            link.pause_for(hop)

    def _pass_on_one_by_one(self, hop: Link, start: int, stop: int) -> None:
        """What goes to the same receiver as a bulk message from shared memory must not overtake it."""
        while start < stop:
            header = Header(*HEADER.unpack_from(self._view, start))
            end = start + HEADER_SIZE + header.length
            hop.send(self._view[start:end], header.destination)
            start = end

    def _take_attached(self, link: Link, header: Header, body: memoryview) -> Attached | Carried:
        descriptors = link.take_descriptors(header.descriptors)
        if header.flags == CARRYING and header.kind == Kind.CONTROL:
            return Carried(bytes(body), descriptors)
        if not header.flags & ATTACHED or len(descriptors) != 2:
            raise Undecodable("a frame with descriptors that no message needs")
        size, head = unpack_attached(bytes(body))
        attachment = Attachment(descriptors, size)
        return Attached(head, attachment.copied() if Descriptors.held > MAX_HELD else attachment)

    @staticmethod
    def _note_speakers(link: Link, hop: Link, kind: int, source: int, destination: int) -> None:
        """Remember who is to be told when somebody further on is gone; of what is awaited, at both ends."""
        if kind in SPOKEN:
            hop.speakers.add(source)
        if kind in AWAITED:
            link.speakers.add(destination)

    def _pass_on_attached(self, link: Link, hop: Link, header: Header, attached: Attached | Carried) -> None:
        self.relayed_frames += 1
        self.relayed_bytes += header.length
        self._note_speakers(link, hop, header.kind, header.source, header.destination)
        if isinstance(attached, Carried):
            if hop.passes_descriptors:
                onward = header._replace(hops=header.hops + 1)
                hop.send(HEADER.pack(*onward) + attached.head, header.destination, attached.descriptors)
            else:
                self._on_refused(link, header, "is on another machine, where no descriptor can be passed")
            return
        outbound = Outbound(attached.head, payload=attached.payload)
        self.send_over(
            hop, header.kind, header.destination, header.message_id, outbound, header.source, header.hops + 1
        )

    def _deliver(self, link: Link, kind: int, flags: int, source: int, message_id: int, body: memoryview) -> None:
        assembler = self._assemblers.get(link) if self._assemblers else None
        if not flags and assembler is None:
            self._hand_over(link, kind, source, message_id, bytes(body))
            return
        if flags & MORE or assembler is not None:
            if assembler is None:
                assembler = self._assemblers[link] = Assembler(self.max_message_bytes)
            try:
                whole = assembler.add(kind, source, message_id, flags, body)
            except TooLarge as error:
                self._refuse_large(kind, source, message_id, error)
                whole = None
            if not len(assembler):
                del self._assemblers[link]
            if whole is None:
                return
        else:
            whole = whole_body(body, flags)
        if flags & COMPRESSED:
            try:
                whole = self._expanded(whole)
            except TooLarge as error:
                self._refuse_large(kind, source, message_id, error)
                return
        self._hand_over(link, kind, source, message_id, whole)

    def _expanded(self, body: bytes | bytearray) -> bytearray:
        from softgrid._wire.compression import decompressed

        return decompressed(body, self.max_message_bytes)

    def _refuse_large(self, kind: int, source: int, message_id: int, error: TooLarge) -> None:
        self.dropped_frames += 1
        self.on_too_large(kind, source, message_id, str(error))

    def _hand_over(self, link: Link, kind: int, source: int, message_id: int, body: Body | Carried) -> None:
        """Give a message to who takes its kind; what is wrong with it must not harm those that came with it."""
        try:
            self.deliver[kind](link, source, message_id, body)
        except Undecodable as error:
            if not source:  # a neighbour that does not speak our language
                raise
            self.dropped_frames += 1
            self.on_nonsense(link, source, str(error))
        except Exception as error:
            self.on_bug(error)

    def forget(self, link: Link) -> None:
        """A link is over: drop what it left unfinished."""
        self._assemblers.pop(link, None)

    def forget_sources(self, sources: set[int]) -> None:
        """Executors are gone, maybe behind links that go on: drop what they left unfinished."""
        for link, assembler in list(self._assemblers.items()):
            for source in sources:
                assembler.forget(source)
            if not len(assembler):
                del self._assemblers[link]


class _TwoEnds(NamedTuple):
    """What the crossing of a bridge knows of the grid: its two ends."""

    node_id: int
    routes: dict[int, Link]
    upgrid: str | None = None


class _NoLink:
    """Stands for the way of a message that an executor sends to itself."""

    closed = False
    peer = None


_NO_LINK: Any = _NoLink()


def _as_received(outbound: Outbound) -> Body:
    """Give a message to oneself as it would have come over a link: with a payload of its own."""
    if isinstance(outbound.payload, Attachment):
        return Attached(outbound.head, outbound.payload)
    if outbound.flags & FROM_GUEST:
        return FromGuest(outbound.joined())
    return bytearray(outbound.joined()) if outbound.size else outbound.head
