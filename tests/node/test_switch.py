"""The switch: what is ours is delivered, the rest goes one hop on, and nobody speaks for somebody else."""

from __future__ import annotations

import gc
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.names import a_name
from tests.harness.nodes import FakeLink
from tests.harness.properties import PROPERTY
from tests.harness.trees import A1, B1, TOP, A, B, R

from softgrid._io.descriptors import Descriptors
from softgrid._io.segments import THRESHOLD
from softgrid._model.errors import Undecodable
from softgrid._model.names import node_id
from softgrid._node import switch as switch_module
from softgrid._node.switch import Switch
from softgrid._state.tree import Tree
from softgrid._wire.framing import (
    ATTACHED,
    CARRYING,
    HEADER,
    HEADER_SIZE,
    LAST_KIND,
    MAX_BODY,
    MAX_HOPS,
    MORE,
    Carried,
    Header,
    Kind,
    Outbound,
    frame,
    frames,
    pack_attached,
    unpack_attached,
)

ME, TOP_ID, B_ID, B1_ID, A_ID, A1_ID = map(node_id, (R, TOP, B, B1, A, A1))
C = a_name("worker", "C")
C_ID = node_id(C)
NOBODY = 12345


class NoSegments:
    """A machine without shared memory, unless the test gives it some."""

    def __init__(self) -> None:
        self.shared: list[bytes] = []
        self.memory: Any = None

    def share(self, parts: Any, size: int) -> Any:
        assert sum(map(len, parts)) == size
        if self.memory is not None:
            self.shared.append(b"".join(parts))
        return self.memory


class Board:
    """The switch of router R: up is the orchestrator, below are manager B with worker B1, and worker C."""

    def __init__(self, *, has_uplink: bool = True) -> None:
        self.up, self.to_b, self.to_c = FakeLink("up"), FakeLink("B"), FakeLink("C")
        self.links = (self.up, self.to_b, self.to_c)
        self.tree: Tree[Any] = Tree(R, "router")
        self.tree.upgrid_path = (TOP,)
        self.tree.join(B, (TOP, R), self.to_b, cores=1, now_utc=0.0)
        self.tree.join(B1, (TOP, R, B), self.to_b, cores=1, now_utc=0.0)
        self.tree.join(C, (TOP, R), self.to_c, cores=1, now_utc=0.0)
        self.refused: list[Header] = []
        self.forged: list[tuple[str, int]] = []
        self.delivered: list[tuple[Any, ...]] = []
        self.segments = NoSegments()
        self.turns = 0
        self.switch = Switch(self.tree, self.segments, self.run_in_turn, self.on_refused)  # type: ignore[arg-type]
        self.switch.on_forged = lambda link, source: self.forged.append((str(link.peer), source))
        self.switch.uplink = self.up if has_uplink else None  # type: ignore[assignment]
        for kind in Kind:
            self.switch.deliver[kind] = lambda *given, kind=kind: self.delivered.append((kind, *given))

    def run_in_turn(self, work: Any) -> None:
        self.turns += 1
        work()

    def on_refused(self, link: Any, header: Header, why: str) -> None:
        self.refused.append(header)

    def comes(self, link: FakeLink, *pieces: bytes) -> None:
        for piece in pieces:
            link.incoming.append(piece)
            self.switch.on_readable(link)  # type: ignore[arg-type]

    def take_delivered(self) -> list[tuple[Any, ...]]:
        taken, self.delivered = self.delivered, []
        return taken

    def check_nothing_else(self) -> None:
        assert self.delivered == []
        assert self.refused == []
        assert self.forged == []
        assert [link.take_frames() for link in self.links] == [[], [], []]
        assert [link.closed for link in self.links] == [False] * 3


@pytest.fixture
def board() -> Board:
    return Board()


def call(destination: int, source: int, body: bytes = b"body", message_id: int = 7, **more: Any) -> bytes:
    return frame(Kind.CALL, destination, source, message_id, body, **more)


# -- out ------------------------------------------------------------------------------------------


def test_what_is_below_goes_down_and_everything_else_up(board: Board) -> None:
    for destination in (B1_ID, C_ID, A1_ID, TOP_ID, NOBODY, 0):
        board.switch.send(Kind.CALL, destination, 1, Outbound(b"x"))
    sent = [[header.destination for header, _ in link.take_frames()] for link in board.links]
    assert sent == [[A1_ID, TOP_ID, NOBODY, 0], [B1_ID], [C_ID]]
    board.check_nothing_else()


def test_a_message_says_from_whom_it_is(board: Board) -> None:
    board.switch.send(Kind.RESULT, C_ID, 9, Outbound(b"head", [b"payload"]))
    board.switch.send(Kind.RESULT, C_ID, 9, Outbound(b"x"), source=B1_ID)
    assert board.to_c.take_frames() == [
        (Header(11, 2, 0, 0, 0, C_ID, ME, 9), b"headpayload"),
        (Header(1, 2, 0, 0, 0, C_ID, B1_ID, 9), b"x"),
    ]


def test_a_message_to_oneself_is_delivered_where_all_others_are(board: Board) -> None:
    assert board.switch.send(Kind.CALL, ME, 3, Outbound(b"head", [b"ab", b"c"])) is None
    ((kind, link, source, message_id, body),) = board.take_delivered()
    assert (kind, source, message_id, bytes(body)) == (Kind.CALL, ME, 3, b"headabc")
    assert not link.closed
    assert board.turns == 1
    board.check_nothing_else()


def test_a_message_for_nobody_is_dropped() -> None:
    board = Board(has_uplink=False)
    assert board.switch.send(Kind.CALL, A1_ID, 1, Outbound(b"x")) is None
    board.check_nothing_else()


@pytest.mark.parametrize("extra", [0, 1])
def test_a_message_that_fits_no_frame_goes_as_a_stream(board: Board, extra: int) -> None:
    outbound = Outbound(b"head", [b"x" * (MAX_BODY - 4 + extra)])
    waiter = board.switch.send(Kind.RESULT, C_ID, 9, outbound)
    assert (waiter is not None) is bool(extra)
    sent = board.to_c.take_frames()
    assert [header.flags for header, _ in sent] == [MORE] * extra + [0]
    assert b"".join(body for _, body in sent) == outbound.joined()


def test_who_is_below_is_known(board: Board) -> None:
    known = [board.switch.knows(each) for each in (B_ID, B1_ID, C_ID, ME, TOP_ID, A_ID)]
    assert known == [True] * 3 + [False] * 3


# -- in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_for_this_executor_is_delivered(board: Board, kind: Kind) -> None:
    board.comes(board.up, frame(kind, ME, A1_ID, 5, b"body"))
    assert board.take_delivered() == [(kind, board.up, A1_ID, 5, b"body")]
    board.check_nothing_else()


@pytest.mark.parametrize("source", [0, B1_ID])
def test_what_is_for_the_neighbour_is_delivered(board: Board, source: int) -> None:
    board.comes(board.to_b, frame(Kind.CONTROL, 0, source, 5, b"body"))
    assert board.take_delivered() == [(Kind.CONTROL, board.to_b, source, 5, b"body")]
    board.check_nothing_else()


@pytest.mark.parametrize(
    ("comes_from", "source", "destination", "goes_to"),
    [
        ("up", A1_ID, B1_ID, "to_b"),
        ("up", TOP_ID, C_ID, "to_c"),
        ("to_b", B1_ID, C_ID, "to_c"),
        ("to_b", B_ID, A1_ID, "up"),
        ("to_c", C_ID, B1_ID, "to_b"),
    ],
)
def test_what_is_for_others_goes_one_hop_on(board: Board, comes_from, source, destination, goes_to) -> None:
    board.comes(getattr(board, comes_from), call(destination, source))
    expected = Header(4, 1, 0, 1, 0, destination, source, 7)
    assert getattr(board, goes_to).take_frames() == [(expected, b"body")]
    assert getattr(board, goes_to).speakers == {source}
    board.check_nothing_else()


@pytest.mark.parametrize(
    ("kind", "is_speaker"),
    [(Kind.CALL, True), (Kind.CONTROL, True), (Kind.RESULT, False), (Kind.REFUSED, False)],
)
def test_only_who_calls_asks_or_answers_is_remembered_as_a_speaker(board: Board, kind: Kind, is_speaker: bool) -> None:
    board.comes(board.to_b, frame(kind, C_ID, B1_ID, 5, b"x"))
    assert board.to_c.speakers == ({B1_ID} if is_speaker else set())


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.RESPONSE])
@pytest.mark.parametrize("is_attached", [False, True])
def test_of_a_request_or_a_response_both_ends_are_remembered(board: Board, kind: Kind, is_attached: bool) -> None:
    if is_attached:
        comes_attached(board, board.to_b, C_ID, B1_ID, b"x" * LARGE, kind=kind)
    else:
        board.comes(board.to_b, frame(kind, C_ID, B1_ID, 5, b"x"))
    assert board.to_c.speakers == {B1_ID}
    assert board.to_b.speakers == {C_ID}


def test_a_payload_is_shared_before_it_is_sent_and_then_once_for_all(board: Board) -> None:
    board.to_b.passes_descriptors = True
    outbound = Outbound(b"", [b"x" * LARGE])
    assert board.switch.share(board.to_c, outbound) is None
    board.segments.memory = a_segment(b"")
    assert board.switch.share(board.to_b, outbound) is board.segments.memory
    board.switch.send_over(board.to_b, Kind.REQUEST, B1_ID, 1, outbound, ME)
    assert board.segments.shared == [b"x" * LARGE]


@pytest.mark.parametrize(
    ("comes_from", "source"),
    [
        ("to_b", C_ID),
        ("to_b", TOP_ID),
        ("to_b", ME),
        ("to_b", NOBODY),
        ("to_c", B1_ID),
        ("up", B1_ID),
        ("up", C_ID),
    ],
)
@pytest.mark.parametrize("destination", [ME, B_ID, A1_ID, 0])
def test_nobody_speaks_for_somebody_who_is_not_behind_that_link(board, comes_from, source, destination) -> None:
    link = getattr(board, comes_from)
    board.comes(link, call(destination, source))
    assert board.take_delivered() == []
    assert [each.take_frames() for each in board.links] == [[], [], []]
    assert board.switch.dropped_frames == 1
    assert not link.closed


@pytest.mark.parametrize("comes_from", ["up", "to_b"])
def test_what_says_no_source_goes_no_further_than_the_neighbour(board: Board, comes_from: str) -> None:
    board.comes(getattr(board, comes_from), frame(Kind.CONTROL, C_ID, 0, 5, b"body"))
    assert board.to_c.take_frames() == []


@pytest.mark.parametrize(
    ("comes_from", "source", "destination"),
    [("up", A1_ID, NOBODY), ("up", A1_ID, TOP_ID), ("to_b", B1_ID, B_ID)],
)
def test_what_would_go_back_where_it_came_from_is_refused(board, comes_from, source, destination) -> None:
    board.comes(getattr(board, comes_from), call(destination, source))
    assert board.refused == [Header(4, 1, 0, 0, 0, destination, source, 7)]
    board.refused.clear()
    board.check_nothing_else()


def test_without_a_way_up_what_is_not_below_is_refused() -> None:
    board = Board(has_uplink=False)
    board.comes(board.to_b, call(A1_ID, B1_ID))
    assert [header.destination for header in board.refused] == [A1_ID]
    board.refused.clear()
    board.check_nothing_else()


@pytest.mark.parametrize(("hops", "passes"), [(0, True), (MAX_HOPS - 1, True), (MAX_HOPS, False), (255, False)])
def test_a_frame_that_has_gone_too_far_goes_no_further(board: Board, hops: int, passes: bool) -> None:
    data = HEADER.pack(1, 1, 0, hops, 0, C_ID, B1_ID, 7) + b"x"
    board.comes(board.to_b, data)
    assert [header.hops for header, _ in board.to_c.take_frames()] == ([hops + 1] if passes else [])
    assert len(board.refused) == (not passes)


def test_between_two_that_pass_one_is_refused_and_one_is_ours(board: Board) -> None:
    stream = [
        call(C_ID, B1_ID, b"1"),
        call(B_ID, B1_ID, b"refused"),
        call(C_ID, B1_ID, b"2"),
        call(ME, B1_ID, b"ours"),
        call(C_ID, B1_ID, b"3"),
        call(A1_ID, B1_ID, b"up"),
        call(C_ID, TOP_ID, b"spoofed"),
        call(C_ID, B1_ID, b"4"),
    ]
    board.comes(board.to_b, b"".join(stream))
    assert [body for _, body in board.to_c.take_frames()] == [b"1", b"2", b"3", b"4"]
    assert [body for _, body in board.up.take_frames()] == [b"up"]
    assert [given[-1] for given in board.take_delivered()] == [b"ours"]
    assert [header.length for header in board.refused] == [7]
    assert board.forged == [("B", TOP_ID)]
    assert board.switch.dropped_frames == 2


def test_frames_that_go_the_same_way_are_passed_on_in_one_piece(board: Board) -> None:
    board.comes(board.to_b, b"".join(call(C_ID, B1_ID, bytes([n])) for n in range(9)))
    assert board.switch.relayed_frames == 1
    assert board.switch.relayed_bytes == 9 * (HEADER_SIZE + 1)
    assert len(board.to_c.take_frames()) == 9


STEPS = st.lists(
    st.tuples(
        st.sampled_from([ME, 0, C_ID, A1_ID, B_ID, NOBODY]),
        st.sampled_from([B_ID, B1_ID, 0, C_ID]),
        st.sampled_from(Kind),
        st.sampled_from([0, 0, 0, MORE]),
        st.binary(max_size=20),
    ),
    max_size=12,
)


def outcome_of(board: Board) -> Any:
    return (
        [(kind, source, message_id, bytes(body)) for kind, _, source, message_id, body in board.delivered],
        [link.take_frames() for link in board.links],
        board.refused,
        board.forged,
        board.switch.dropped_frames,
        board.to_b.closings,
    )


@PROPERTY
@given(STEPS, st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_however_the_stream_is_cut_the_outcome_is_the_same(steps, cuts) -> None:
    stream = b"".join(frame(k, d, s, 1, body, flags=flags) for d, s, k, flags, body in steps)
    whole, cut = Board(), Board()
    if stream:
        whole.comes(whole.to_b, stream)
    position = 0
    while position < len(stream):
        size = cuts[position % len(cuts)]
        cut.comes(cut.to_b, stream[position : position + size])
        position += size
    assert outcome_of(cut) == outcome_of(whole)
    assert cut.to_b.partial == b""


def test_half_a_frame_waits_for_its_other_half(board: Board) -> None:
    data = call(ME, B1_ID)
    board.comes(board.to_b, data[:10], data[10:HEADER_SIZE], data[HEADER_SIZE:-1])
    board.check_nothing_else()
    board.comes(board.to_b, data[-1:])
    assert len(board.take_delivered()) == 1


def test_half_frames_of_two_links_do_not_mix(board: Board) -> None:
    one, other = call(ME, B1_ID, b"from B"), call(ME, C_ID, b"from C")
    board.comes(board.to_b, one[:20])
    board.comes(board.to_c, other[:35])
    board.comes(board.to_b, one[20:])
    board.comes(board.to_c, other[35:])
    assert [given[-1] for given in board.take_delivered()] == [b"from B", b"from C"]


# -- messages in several frames -------------------------------------------------------------------


def in_frames(destination: int, source: int, message_id: int, body: bytes) -> list[bytes]:
    return [b"".join(pieces) for pieces in frames(Kind.CALL, destination, source, message_id, [body])]


def test_a_message_in_several_frames_is_delivered_whole_once(board: Board) -> None:
    body = bytes(range(256)) * (MAX_BODY // 100)
    for piece in in_frames(ME, B1_ID, 7, body):
        board.comes(board.to_b, piece)
    ((_, _, source, message_id, got),) = board.take_delivered()
    assert (source, message_id, bytes(got)) == (B1_ID, 7, body)


def test_a_small_message_is_delivered_between_the_frames_of_a_large_one(board: Board) -> None:
    first, *rest = in_frames(ME, B1_ID, 7, b"x" * (MAX_BODY + 1))
    board.comes(board.to_b, first, call(ME, B1_ID, b"small", 8), call(ME, B_ID, b"same id", 7))
    assert [bytes(given[-1]) for given in board.take_delivered()] == [b"small", b"same id"]
    board.comes(board.to_b, *rest)
    assert [len(given[-1]) for given in board.take_delivered()] == [MAX_BODY + 1]


def test_large_messages_of_the_same_id_over_two_links_do_not_mix(board: Board) -> None:
    one = in_frames(ME, B1_ID, 7, b"b" * (MAX_BODY + 5))
    other = in_frames(ME, C_ID, 7, b"c" * (MAX_BODY + 5))
    for first, second in zip(one, other, strict=True):
        board.comes(board.to_b, first)
        board.comes(board.to_c, second)
    assert [set(given[-1]) for given in board.take_delivered()] == [{ord("b")}, {ord("c")}]


def test_frames_of_a_large_message_for_others_are_passed_on_while_it_still_arrives(board: Board) -> None:
    first, *_ = in_frames(C_ID, B1_ID, 7, b"x" * (MAX_BODY + 1))
    board.comes(board.to_b, first)
    ((header, _),) = board.to_c.take_frames()
    assert (header.flags, header.length) == (MORE, MAX_BODY)
    board.check_nothing_else()


def test_a_large_message_is_compressed_on_its_way_when_that_is_asked_for(board: Board) -> None:
    body = b"much of the same " * MAX_BODY
    board.switch.compression_level = 1
    board.switch.send(Kind.CALL, B1_ID, 7, Outbound(b"head", [body]))
    sent = board.to_b.take_frames()
    assert sum(len(piece) for _, piece in sent) < len(body) / 10
    for header, piece in sent:
        data = frame(Kind.CALL, ME, B1_ID, 7, bytes(piece), flags=header.flags)
        board.comes(board.to_b, data)
    ((*_, got),) = board.take_delivered()
    assert bytes(got) == b"head" + body


def test_what_a_closed_link_left_unfinished_is_forgotten(board: Board) -> None:
    first, second = in_frames(ME, B1_ID, 7, b"x" * (MAX_BODY + 1))
    board.comes(board.to_b, first)
    board.switch.forget(board.to_b)  # type: ignore[arg-type]
    board.switch.forget(board.to_c)  # type: ignore[arg-type]
    board.comes(board.to_b, second)
    assert [bytes(given[-1]) for given in board.take_delivered()] == [b"x"]


def test_what_somebody_who_is_gone_left_unfinished_is_forgotten(board: Board) -> None:
    theirs = in_frames(ME, B1_ID, 7, b"x" * (MAX_BODY + 1))
    others = in_frames(ME, B_ID, 7, b"y" * (MAX_BODY + 1))
    board.comes(board.to_b, theirs[0], others[0])
    board.switch.forget_sources({B1_ID})
    board.comes(board.to_b, others[1])
    assert [len(given[-1]) for given in board.take_delivered()] == [MAX_BODY + 1]
    board.switch.forget_sources({B_ID, C_ID})
    board.check_nothing_else()


# -- payloads beside their message ----------------------------------------------------------------

LARGE = THRESHOLD + 1


def a_segment(data: bytes) -> Descriptors:
    """Give what the owner of shared memory passes to receivers: the memory, and the end of a pipe."""
    memory = os.memfd_create("test")
    os.write(memory, data)
    read_end, write_end = os.pipe()
    os.close(read_end)
    return Descriptors(memory, write_end)


def comes_attached(
    board: Board, link: FakeLink, destination: int, source: int, data: bytes, hops: int = 0, kind: int = Kind.CALL
) -> None:
    body = pack_attached(b"head", len(data))
    link.descriptors.append(a_segment(data))
    board.comes(link, HEADER.pack(len(body), kind, ATTACHED, hops, 2, destination, source, 7) + body)


@pytest.mark.parametrize("passes", [True, False])
def test_a_large_payload_goes_beside_its_message_where_that_is_possible(board: Board, passes: bool) -> None:
    board.to_c.passes_descriptors = passes
    board.segments.memory = a_segment(b"")
    outbound = Outbound(b"head", [b"x" * LARGE])
    assert board.switch.send(Kind.CALL, C_ID, 9, outbound) is None
    ((header, body),) = board.to_c.take_frames()
    if passes:
        assert (header.flags, header.descriptors) == (ATTACHED, 2)
        assert unpack_attached(body) == (LARGE, b"head")
        assert board.to_c.passed == [board.segments.memory]
        assert board.segments.shared == [b"x" * LARGE]
    else:
        assert (header.flags, body) == (0, outbound.joined())
        assert board.segments.shared == []


def test_a_payload_for_many_is_written_once(board: Board) -> None:
    board.to_b.passes_descriptors = board.to_c.passes_descriptors = True
    board.segments.memory = a_segment(b"")
    outbound = Outbound(b"head", [b"x" * LARGE])
    for destination in (B_ID, C_ID, B1_ID):
        board.switch.send(Kind.CALL, destination, 9, outbound)
    assert len(board.segments.shared) == 1
    assert len(board.to_b.take_frames()) == 2


@pytest.mark.parametrize("size", [THRESHOLD, LARGE])
def test_without_memory_and_below_the_threshold_a_payload_goes_through_the_socket(board: Board, size: int) -> None:
    board.to_c.passes_descriptors = True
    outbound = Outbound(b"head", [b"x" * size])
    board.switch.send(Kind.CALL, C_ID, 9, outbound)
    ((header, body),) = board.to_c.take_frames()
    assert (header.flags, header.descriptors, body) == (0, 0, outbound.joined())
    assert board.to_c.passed == [None]


def test_a_payload_beside_a_message_for_this_executor_is_delivered_with_it(board: Board) -> None:
    comes_attached(board, board.to_b, ME, B1_ID, b"payload")
    ((kind, link, source, message_id, body),) = board.take_delivered()
    assert (kind, link, source, message_id) == (Kind.CALL, board.to_b, B1_ID, 7)
    assert (body.head, body.payload.size, bytes(body.payload.view())) == (b"head", 7, b"payload")
    board.check_nothing_else()


def test_a_payload_is_copied_where_too_many_descriptors_are_held(board: Board, monkeypatch: Any) -> None:
    monkeypatch.setattr(switch_module, "MAX_HELD", -1)
    gc.collect()  # what earlier tests have held
    before = Descriptors.held
    comes_attached(board, board.to_b, ME, B1_ID, b"payload")
    ((*_, body),) = board.take_delivered()
    assert Descriptors.held == before
    assert bytes(body.payload.view()) == b"payload"


@pytest.mark.parametrize("passes", [True, False])
def test_a_payload_for_others_goes_on_the_same_way_or_through_the_socket(board: Board, passes: bool) -> None:
    board.to_c.passes_descriptors = passes
    data = b"x" * LARGE
    comes_attached(board, board.to_b, C_ID, B1_ID, data)
    ((header, body),) = board.to_c.take_frames()
    assert (header.destination, header.source, header.message_id) == (C_ID, B1_ID, 7)
    if passes:
        assert unpack_attached(body) == (LARGE, b"head")
        assert len(board.to_c.passed[0]) == 2
    else:
        assert body == b"head" + data
    assert board.to_c.speakers == {B1_ID}
    board.check_nothing_else()


def test_order_is_kept_between_messages_with_and_without_payloads_beside_them(board: Board) -> None:
    board.to_c.passes_descriptors = True
    body = pack_attached(b"head", LARGE)
    attached = HEADER.pack(len(body), 1, ATTACHED, 0, 2, C_ID, B1_ID, 2) + body
    for _ in range(2):
        board.to_b.descriptors.append(a_segment(b"x" * LARGE))
    small = [call(C_ID, B1_ID, message_id=number) for number in (1, 3, 4)]
    board.comes(board.to_b, small[0] + attached + small[1] + attached + small[2])
    assert [header.message_id for header, _ in board.to_c.take_frames()] == [1, 2, 3, 2, 4]


def test_what_follows_a_payload_that_leaves_shared_memory_does_not_overtake_it(board: Board) -> None:
    board.to_c.has_streams = True
    board.comes(board.to_b, call(C_ID, B1_ID, b"1") + call(C_ID, B_ID, b"22"))
    assert [body for _, body in board.to_c.take_frames()] == [b"1", b"22"]
    assert board.to_c.destinations == [C_ID, C_ID]
    board.to_c.has_streams = False
    board.comes(board.to_b, call(C_ID, B1_ID, b"1") + call(C_ID, B_ID, b"22"))
    assert board.to_c.destinations == [C_ID, C_ID, 0]


def test_hops_are_counted_for_payloads_beside_their_message_too(board: Board) -> None:
    board.to_c.passes_descriptors = True
    comes_attached(board, board.to_b, C_ID, B1_ID, b"x" * LARGE, hops=5)
    ((header, _),) = board.to_c.take_frames()
    assert header.hops == 6


@pytest.mark.parametrize(("destination", "source"), [(B_ID, B1_ID), (C_ID, TOP_ID), (ME, TOP_ID)])
def test_a_payload_that_has_no_way_or_no_honest_source_is_dropped_like_any_other(
    board: Board, destination: int, source: int
) -> None:
    comes_attached(board, board.to_b, destination, source, b"payload")
    assert board.take_delivered() == []
    assert board.switch.dropped_frames == 1
    is_honest = source == B1_ID
    assert [header.destination for header in board.refused] == [destination] * is_honest
    assert board.forged == [("B", source)] * (not is_honest)


def test_what_comes_from_above_in_a_name_from_below_is_dropped_and_nobody_is_blamed(board: Board) -> None:
    board.comes(board.up, call(ME, B1_ID, b"forged"))
    assert board.switch.dropped_frames == 1
    board.check_nothing_else()


def test_nonsense_is_told_with_its_source_and_harms_nobody_else(board: Board) -> None:
    told: list[Any] = []
    board.switch.on_nonsense = lambda link, source, why: told.append((link.peer, source, why))

    def refuse(*given: Any) -> None:
        raise Undecodable("no words")

    board.switch.deliver[Kind.CALL] = refuse
    board.comes(board.to_b, call(ME, B1_ID, b"?") + call(C_ID, B1_ID, b"passed on"))
    assert told == [("B", B1_ID, "no words")]
    assert [body for _, body in board.to_c.take_frames()] == [b"passed on"]
    board.check_nothing_else()


@pytest.mark.parametrize(
    ("flags", "count", "body"), [(0, 2, b"x" * 20), (ATTACHED, 2, b"short"), (ATTACHED, 1, b"x" * 20)]
)
@pytest.mark.parametrize("came", [True, False])
def test_descriptors_that_make_no_sense_close_the_link(
    board: Board, flags: int, count: int, body: bytes, came: bool
) -> None:
    if came:
        board.to_b.descriptors.append(Descriptors(*os.pipe()[:count]) if count == 2 else Descriptors(os.dup(0)))
    board.comes(board.to_b, HEADER.pack(len(body), 1, flags, 0, count, ME, B1_ID, 7) + body)
    assert board.to_b.closed
    assert board.take_delivered() == []


# -- back pressure --------------------------------------------------------------------------------


def test_no_more_is_read_for_a_link_that_is_full(board: Board) -> None:
    board.comes(board.to_b, call(C_ID, B1_ID))
    assert board.to_b.pauses == []
    board.to_c.is_full = True
    board.comes(board.to_b, call(C_ID, B1_ID))
    assert board.to_b.pauses == [board.to_c]
    assert len(board.to_c.take_frames()) == 2, "what was read is passed on all the same"


# -- the end, and garbage -------------------------------------------------------------------------


def test_the_end_of_a_connection_closes_the_link(board: Board) -> None:
    board.to_b.incoming.append(None)
    board.switch.on_readable(board.to_b)  # type: ignore[arg-type]
    assert board.to_b.closings == ["its connection is gone"]


def test_nothing_to_read_changes_nothing(board: Board) -> None:
    board.switch.on_readable(board.to_b)  # type: ignore[arg-type]
    board.check_nothing_else()


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(MAX_BODY + 1, 1, 0, 0, 0, ME, B1_ID, 1),
        HEADER.pack(2**32 - 1, 1, 0, 0, 0, C_ID, B1_ID, 1),
        HEADER.pack(0, 0, 0, 0, 0, ME, B1_ID, 1),
        HEADER.pack(0, LAST_KIND + 1, 0, 0, 0, C_ID, B1_ID, 1),
        HEADER.pack(0, 255, 0, 0, 0, NOBODY, NOBODY, 1),
    ],
)
def test_what_no_executor_sends_closes_the_link_and_only_that(board: Board, header: bytes) -> None:
    board.comes(board.to_b, call(ME, B1_ID, b"before"), header)
    assert board.to_b.closed
    assert board.to_b.closings[0].startswith("it sent what no executor sends: ")
    assert [given[-1] for given in board.take_delivered()] == [b"before"]
    assert not board.up.closed
    assert not board.to_c.closed


def test_what_came_before_garbage_is_passed_on(board: Board) -> None:
    board.comes(board.to_b, call(C_ID, B1_ID, b"good") + b"\xff" * HEADER_SIZE)
    assert [body for _, body in board.to_c.take_frames()] == [b"good"]


@PROPERTY
@given(st.binary(min_size=1, max_size=200), st.integers(1, 99))
def test_garbage_raises_nothing_and_harms_no_other_link(data: bytes, size: int) -> None:
    board = Board()
    for start in range(0, len(data), size):
        if not board.to_b.closed:
            board.comes(board.to_b, data[start : start + size])
    assert not board.up.closed
    assert not board.to_c.closed


def test_a_message_that_its_taker_finds_undecodable_closes_the_link(board: Board) -> None:
    def take(*given: Any) -> None:
        raise Undecodable("nonsense")

    board.switch.deliver[Kind.CONTROL] = take
    board.comes(board.to_b, frame(Kind.CONTROL, 0, 0, 1, b"x"))
    assert board.to_b.closings == ["it sent what no executor sends: nonsense"]


def test_an_undecodable_message_from_far_away_does_not_close_the_link_it_came_over(board: Board) -> None:
    def take(*given: Any) -> None:
        raise Undecodable("nonsense")

    board.switch.deliver[Kind.CONTROL] = take
    board.comes(board.up, frame(Kind.CONTROL, ME, A1_ID, 1, b"x"))
    assert not board.up.closed


@pytest.mark.parametrize("cut", [0, 10])
def test_a_bug_in_the_taker_of_a_message_does_not_lose_those_after_it(board: Board, cut: int) -> None:
    taken = board.switch.deliver[Kind.CALL]

    def take(link: Any, source: int, message_id: int, body: bytes) -> None:
        if body == b"explosive":
            raise KeyError("a bug")
        taken(link, source, message_id, body)

    board.switch.deliver[Kind.CALL] = take
    stream = call(ME, B1_ID, b"explosive") + call(ME, B1_ID, b"second") + call(ME, B1_ID, b"third")
    for piece in (stream[:cut], stream[cut:-3], stream[-3:]):
        try:
            if piece:
                board.comes(board.to_b, piece)
        except KeyError:  # may be told to the reactor, which reports it
            continue
    assert [given[-1] for given in board.take_delivered()] == [b"second", b"third"]


# -- messages about descriptors -------------------------------------------------------------------


def carries(
    board: Board, link: FakeLink, destination: int, source: int, kind: int = Kind.CONTROL, flags: int = CARRYING
) -> Any:
    descriptors = a_segment(b"x")
    link.descriptors.append(descriptors)
    board.comes(link, HEADER.pack(4, kind, flags, 0, 2, destination, source, 7) + b"head")
    return descriptors


def test_descriptors_that_a_message_is_about_are_delivered_with_it(board: Board) -> None:
    descriptors = carries(board, board.to_b, ME, B1_ID)
    [(kind, link, source, message_id, body)] = board.take_delivered()
    assert (kind, link, source, message_id) == (Kind.CONTROL, board.to_b, B1_ID, 7)
    assert body == Carried(b"head", descriptors)
    board.check_nothing_else()


def test_descriptors_that_a_message_is_about_are_passed_on_unread(board: Board) -> None:
    board.to_c.passes_descriptors = True
    descriptors = carries(board, board.to_b, C_ID, B1_ID)
    assert board.to_c.passed == [descriptors]
    assert board.to_c.take_frames() == [(Header(4, Kind.CONTROL, CARRYING, 1, 2, C_ID, B1_ID, 7), b"head")]
    assert board.to_c.speakers == {B1_ID}
    board.check_nothing_else()


def test_where_no_descriptor_passes_a_message_about_one_is_refused(board: Board) -> None:
    carries(board, board.to_b, C_ID, B1_ID)
    assert [header.message_id for header in board.refused] == [7]
    board.refused.clear()
    board.check_nothing_else()


@pytest.mark.parametrize(("kind", "flags"), [(Kind.CALL, CARRYING), (Kind.CONTROL, CARRYING | MORE)])
def test_no_other_message_is_about_descriptors(board: Board, kind: Kind, flags: int) -> None:
    carries(board, board.to_b, ME, B1_ID, kind, flags)
    assert board.to_b.closed
    assert board.delivered == []


def test_a_message_about_descriptors_is_sent_where_they_pass(board: Board) -> None:
    descriptors = a_segment(b"x")
    assert board.switch.send_carrying(C_ID, 9, b"head", descriptors) is False
    board.to_c.passes_descriptors = True
    assert board.switch.send_carrying(C_ID, 9, b"head", descriptors) is True
    assert board.to_c.passed == [descriptors]
    assert board.to_c.take_frames() == [(Header(4, Kind.CONTROL, CARRYING, 0, 2, C_ID, ME, 9), b"head")]
    assert Board(has_uplink=False).switch.send_carrying(A1_ID, 9, b"head", descriptors) is False


# -- the crossing of one link ---------------------------------------------------------------------


def test_beside_the_tree_only_the_other_end_is_believed_and_nothing_is_passed_on(board: Board) -> None:
    link = FakeLink("bridge")
    crossing = board.switch.beside(B1_ID, link)  # type: ignore[arg-type]
    taken: list[Any] = []
    crossing.deliver[Kind.CALL] = lambda *given: taken.append(given[1:])
    frames_of = [(ME, B1_ID), (ME, A1_ID), (ME, B_ID), (C_ID, B1_ID), (A1_ID, B1_ID), (B1_ID, B1_ID), (ME, ME)]
    link.incoming.append(b"".join(call(*ends) for ends in frames_of))
    crossing.on_readable(link)  # type: ignore[arg-type]
    assert taken == [(B1_ID, 7, b"body")]
    assert crossing.dropped_frames == 6
    assert link.take_frames() == []
    crossing.send(Kind.RESULT, B1_ID, 3, Outbound(b"x"))
    crossing.send(Kind.RESULT, A1_ID, 4, Outbound(b"x"))
    assert [header.message_id for header, _ in link.take_frames()] == [3]
    board.check_nothing_else()
