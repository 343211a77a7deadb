"""Posts: in order, never too much under way to one executor, and whoever waits for room hears what became of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.memory_grid import MemoryGrid
from tests.harness.trees import A1, A2, B1, TOP, A, B

from softgrid._model.errors import Closed, NoRoute, PeerLost, TimedOut
from softgrid._model.names import node_id
from softgrid._model.tokens import token_of
from softgrid._node.posts import Posts, Waiting
from softgrid._state.receipts import BULK_FROM
from softgrid._state.windows import BULK_BYTES, QUEUED_BYTES
from softgrid._wire.framing import Kind, Outbound

SIZE = 32 * 1024
FITS = QUEUED_BYTES // SIZE


class Stuck:
    """A grid in which worker B1 reads nothing until the test says so, and what has come from A1 at whom."""

    def __init__(self) -> None:
        self.grid = MemoryGrid()
        self.posts: Posts = self.grid[A1].requests._posts
        self.cable = self.grid[B].links[B1]
        self.carry, self.cable.carry = self.cable.carry, lambda: False  # type: ignore[method-assign]
        self.came: list[tuple[str, bytes]] = []
        for name in (B1, A2):
            receiver = self.grid[name]
            receiver.switch.deliver[Kind.REQUEST] = lambda *given, name=name: self._on_request(name, *given)

    def _on_request(self, name: str, link: Any, source: int, message_id: int, body: bytes) -> None:
        self.came.append((name, bytes(body[:4])))
        self.grid[name].requests._posts.note(source, body)

    def post(self, number: int, name: str = B1, size: int = SIZE) -> Waiting | None:
        return self.posts.post(
            Kind.REQUEST, name, number, number.to_bytes(4, "big"), Outbound(b"", [b"x" * (size - 4)])
        )

    def fill(self) -> None:
        for number in range(FITS):
            assert self.post(number) is None
        self.grid.pump()

    def move(self) -> None:
        self.cable.carry = self.carry  # type: ignore[method-assign]
        self.grid.pump()

    def numbers(self, name: str = B1) -> list[int]:
        return [int.from_bytes(head, "big") for to, head in self.came if to == name]


@pytest.fixture
def stuck() -> Stuck:
    return Stuck()


def test_only_so_much_is_under_way_and_everything_comes_in_order(stuck: Stuck) -> None:
    stuck.fill()
    waiting = [stuck.post(number) for number in range(FITS, 3 * FITS)]
    assert all(waiting)
    stuck.grid.pump()
    assert len(stuck.cable.outgoing) <= QUEUED_BYTES + FITS * 100
    stuck.move()
    assert stuck.numbers() == list(range(3 * FITS))
    for each in waiting:
        stuck.posts.wait(each, 0.0)  # type: ignore[arg-type]
    assert stuck.post(99) is None


def test_what_goes_to_another_does_not_wait(stuck: Stuck) -> None:
    stuck.fill()
    assert stuck.post(1) is not None
    assert stuck.post(2, A2) is None


def test_one_message_always_fits_however_large_and_bulk_does_not_crowd_out_the_small(stuck: Stuck) -> None:
    assert stuck.post(1, size=BULK_FROM + 1) is None
    stuck.posts._windows._windows[node_id(B1)].bulk = BULK_BYTES
    assert stuck.post(2, A2, size=BULK_FROM * 3) is None
    assert stuck.post(3) is None
    assert stuck.post(4, size=BULK_FROM * 3) is not None
    assert stuck.post(5) is not None, "order is kept"


def test_who_gives_up_waiting_has_sent_nothing_and_lets_the_next_pass(stuck: Stuck) -> None:
    stuck.fill()
    first, second, third = stuck.post(100), stuck.post(101), stuck.post(102)
    for each in (first, second):
        with pytest.raises(TimedOut, match="has not taken what was sent to it before, and this was not sent"):
            stuck.posts.wait(each, 0.0)  # type: ignore[arg-type]
    stuck.move()
    assert stuck.numbers() == [*range(FITS), 102]
    stuck.posts.wait(third, 0.0)  # type: ignore[arg-type]
    assert stuck.posts._windows.waiting() == 0


def test_who_waits_for_room_at_one_who_dies_is_told(stuck: Stuck) -> None:
    stuck.fill()
    waiting = stuck.post(100)
    stuck.grid[A1].meanwhile = [lambda: stuck.grid.kill(B1, "exited with code 3")]
    with pytest.raises(PeerLost, match="is gone: exited with code 3"):
        stuck.posts.wait(waiting, 5.0)  # type: ignore[arg-type]
    assert stuck.numbers() == []


def test_a_dead_receiver_leaves_nothing_behind(stuck: Stuck) -> None:
    assert stuck.post(1) is None
    stuck.move()
    assert stuck.posts.reached == {node_id(B1): B1}
    stuck.grid.kill(B1)
    assert stuck.posts.reached == {}
    assert stuck.posts._windows._windows == {}
    with pytest.raises(PeerLost, match="is gone: killed"):
        stuck.post(2)


def test_there_is_no_way_to_one_who_was_never_there() -> None:
    grid = MemoryGrid()
    with pytest.raises(NoRoute):
        grid[TOP].requests._posts.post(Kind.REQUEST, "worker|Nobody@10.0.0.1[1]:1", 1, b"head")


def test_a_broken_way_is_told_before_anybody_knows_of_what(stuck: Stuck) -> None:
    stuck.grid[A1].links[A].closed = True
    with pytest.raises(PeerLost, match="the connection towards it is gone"):
        stuck.post(1)


def test_who_waits_in_an_executor_that_leaves_is_told(stuck: Stuck) -> None:
    stuck.fill()
    waiting = stuck.post(100)
    stuck.grid[A1].reactor.is_closed = True
    with pytest.raises(Closed):
        stuck.posts.wait(waiting, 5.0)  # type: ignore[arg-type]


def test_many_small_requests_cost_few_receipts(stuck: Stuck) -> None:
    stuck.move()
    for number in range(1000):
        stuck.post(number, size=1000)
    stuck.grid.pump()
    receipts = stuck.grid[A1].links[A].frames_received
    assert len(stuck.numbers()) == 1000
    assert receipts <= 1000 * 1000 // BULK_FROM + 1


def test_a_request_finds_no_room_only_for_its_own_time(stuck: Stuck) -> None:
    stuck.fill()
    with pytest.raises(TimedOut):
        stuck.grid[A1].requests.requester.ask(B1, token_of("p"), Outbound(b"", [b"x" * SIZE]), 2.0)
    assert stuck.grid[A1].reactor.waits == [2.0]
    assert isinstance(stuck.grid[A1].take_response("p"), TimedOut)
