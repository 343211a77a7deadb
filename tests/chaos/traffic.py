"""Traffic between executors, recorded from a real grid, changed at random, and given to a victim that must not mind.

The victim is a real router in this process: everything behind its links is what an executor has, and only the sockets
are not real. Frames come to it from above and from below, as from a member and as from a guest, whole, cut and joined.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.harness.nodes import FakeLink
from tests.system.grids import ANY_NUMBER, Grid

from softgrid import Orchestrator, Router
from softgrid._io.link import Link
from softgrid._io.reactor import Waiter
from softgrid._model.names import node_id
from softgrid._node.switch import Switch
from softgrid._wire.compression import compressed_frames
from softgrid._wire.control import encode_control
from softgrid._wire.framing import (
    COMPRESSED,
    HEADER,
    HEADER_SIZE,
    LAST_KIND,
    MAX_BODY,
    MORE,
    Header,
    Kind,
    frame,
)

QUIET = {"logToStdout": False}
SIZES = (0, 1, 255, 2**14, MAX_BODY - 1, MAX_BODY, MAX_BODY + 1, 2**31, 2**32 - 1)
PIECE = 65_536
FRESH_EVERY = 500
"""Frames after which the victim gets a new tree and new links: what it has learnt from lies is forgotten then."""


class Recording(NamedTuple):
    """Frames as they came from above and from below, and who is who in them."""

    top: str
    below: list[str]
    from_above: list[bytes]
    from_below: list[bytes]
    router: str


def record() -> Recording:
    """Have a grid do a little of everything and note what passes between its orchestrator and its router."""
    above: list[bytes] = []
    below: list[bytes] = []
    send, receive = Link.send, Link.receive_into
    links: Any = Link

    def is_ours(link: Any) -> bool:
        return isinstance(getattr(link.on_readable, "__self__", None), Switch)

    def noted_send(link: Any, data: Any, destination: int = 0, descriptors: Any = None) -> None:
        if is_ours(link):
            above.extend(cut(bytes(data)))
        send(link, data, destination, descriptors)

    def noted_receive(link: Any, view: memoryview) -> int:
        size = receive(link, view)
        if is_ours(link) and size > 0:
            below.append(bytes(view[:size]))
        return size

    with _leaving() as top:
        grid = Grid(top)
        (router,) = grid.launch("Router")
        (manager,) = grid.launch("Manager", router)
        workers = grid.launch("Worker", manager, 2)
        links.send, links.receive_into = noted_send, noted_receive
        try:
            _do_a_little_of_everything(grid, workers)
        finally:
            links.send, links.receive_into = send, receive
    return Recording(top.gridUniqueName, [manager, *workers], above, list(cut(b"".join(below))), router)


@contextmanager
def _leaving() -> Iterator[Orchestrator]:
    made = Orchestrator(rules=ANY_NUMBER, logKwargs=QUIET)
    try:
        yield made
    finally:
        made.disconnect(kill=False)


def _do_a_little_of_everything(grid: Grid, workers: list[str]) -> None:
    top = grid.O
    grid.call(lambda x, y=2: {"sum": x + y, "list": [x, y]}, 1, to=workers)
    grid.call("lambda text: text * 3", "source", to=workers)
    grid.call(int, "an error", to=workers)
    grid.call(bytes, 40_000, to=workers[0])
    grid.call(lambda worker: worker.log_and_transfer("info", "said"), to=workers[0], first=True)
    grid.call(lambda: print("printed"), to=workers[1])
    top.transfer_add_data(workers, "data", {"a": 1})
    top.transfer_get_data(workers, "data")
    top.transfer_add_promise(workers[0], "a promise")
    top.transfer_remove_promise(workers[0], "a promise")
    top.statistics(workers[0])

    def answer(executor: Any, password: str) -> None:
        taken = executor.wait_for_request(password, timeout=5)[password]
        executor.transfer_response_to_requester(taken["requester"], password, "yes")

    top.transfer(grid.template(answer, "p", first=True, priority=None, returnResult=False), workers[0])
    top.transfer_request_to_responder(workers[0], "p", "?", timeout=5)
    top.wait_for_response("p", timeout=5)


def cut(data: bytes) -> Iterator[bytes]:
    """Cut whole frames apart."""
    position = 0
    while position + HEADER_SIZE <= len(data):
        stop = position + HEADER_SIZE + HEADER.unpack_from(data, position)[0]
        if stop > len(data):
            return
        yield data[position:stop]
        position = stop


class Counted(NamedTuple):
    """What became of many frames."""

    frames: int
    closed: int
    bugs: list[str]


class Victim:
    """A router that is told anything."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.router = Router(logKwargs=QUIET, killAtDisconnect=False)
        self.node = self.router._node
        self.bugs: list[str] = []
        self.closed = 0
        self.node.switch.on_bug = lambda error: self.bugs.append(repr(error))
        self.node.on_upgrid_lost = lambda reason: None
        self.renew()

    def renew(self) -> None:
        """Give it new neighbours, and have it forget everybody it has heard of."""
        tree = self.node.tree
        for member in list(tree.direct()):
            tree.leave(member.name, "renewed")
        self.links = {}
        self.replace("above")
        self.replace("below")

    def replace(self, side: str) -> FakeLink:
        """Give it a new link on one side."""
        top, (manager, *workers) = self._recording.top, self._recording.below
        link: Any = FakeLink(top if side == "above" else manager)
        tree = self.node.tree
        if side == "above":
            tree.upgrid_path = (top,)
            self.node.switch.uplink = link
        else:
            if tree.find(manager) is not None:
                tree.leave(manager, "renewed")
            path = (*tree.path,)
            tree.join(manager, path, link, cores=1, now_utc=0.0)
            for worker in workers:
                tree.join(worker, (*path, manager), link, cores=1, now_utc=0.0)
        self.links[side] = link
        return link

    def feed(self, side: str, data: bytes, *, is_guest: bool) -> None:
        """Let it read some bytes from one side."""
        done = Waiter()
        self.node.reactor.run_in_turn(lambda: self._read(side, data, done, is_guest=is_guest))
        assert self.node.reactor.wait(done, 20), "it hangs"

    def _read(self, side: str, data: bytes, done: Waiter, *, is_guest: bool) -> None:
        try:
            link: Any = self.links[side]
            link.is_guest = is_guest and side == "below"
            for start in range(0, len(data), PIECE):
                link.incoming.append(data[start : start + PIECE])
                self.node.switch.on_readable(link)
            link.outgoing.clear()
            link.passed.clear()
            link.destinations.clear()
            if link.closed:
                self.closed += 1
                self.node.switch.forget(link)
                self.replace(side)
        except Exception as error:
            self.bugs.append(repr(error))
            self.replace(side)
        finally:
            done.set()

    def close(self) -> None:
        self.node.switch.uplink = None
        for member in list(self.node.tree.direct()):
            self.node.tree.leave(member.name, "over")
        self.router.disconnect(kill=False)


class Mutator:
    """Changes frames, the same for the same seed."""

    def __init__(self, recording: Recording, victim: str, seed: int) -> None:
        self._random = random.Random(seed)
        me = node_id(victim)
        ids = {node_id(recording.router): me, node_id(recording.top): me}
        self._from = {
            "above": [_readdressed(each, {node_id(recording.router): me}) for each in recording.from_above],
            "below": [
                *(_readdressed(each, ids) for each in recording.from_below),
                *_rumours(recording, me),
            ],
        }

    def frames(self, count: int) -> Iterator[tuple[str, bytes, bool]]:
        """Give frames, each with the side that it comes from and whether as from a guest."""
        for _ in range(count):
            side = self._random.choice(("above", "below"))
            yield side, self._changed(self._random.choice(self._from[side])), self._random.random() < 0.5

    def _changed(self, data: bytes) -> bytes:
        how = self._random.random()
        if how < 0.5:
            return self._with_other_body(data)
        if how < 0.75:
            return self._with_other_header(data)
        if how < 0.85:
            return data[: self._random.randrange(len(data) + 1)]
        if how < 0.95:
            return data
        return self._random.randbytes(self._random.randrange(200))

    def _with_other_body(self, data: bytes) -> bytes:
        """Change the body and let the header say how long it is now."""
        header, body = Header(*HEADER.unpack_from(data)), bytearray(data[HEADER_SIZE:])
        for _ in range(self._random.choice((1, 1, 2, 8))):
            place = self._random.randrange(len(body) + 1)
            what = self._random.random()
            if what < 0.5 and body:
                body[place - 1] = self._random.randrange(256)
            elif what < 0.75:
                del body[place : place + self._random.randrange(1, 20)]
            else:
                body[place:place] = self._random.randbytes(self._random.randrange(1, 20))
        return HEADER.pack(*header._replace(length=len(body))) + body

    def _with_other_header(self, data: bytes) -> bytes:
        """Change one field of the header, most often to something that means something."""
        header = Header(*HEADER.unpack_from(data))
        field = self._random.choice(("length", "kind", "flags", "hops", "descriptors", "destination", "source", "id"))
        changed = {
            "length": {"length": self._random.choice(SIZES)},
            "kind": {"kind": self._random.choice([*range(1, LAST_KIND + 1), self._random.randrange(256)])},
            "flags": {"flags": self._random.choice([MORE, COMPRESSED, MORE | COMPRESSED, self._random.randrange(256)])},
            "hops": {"hops": self._random.randrange(256)},
            "descriptors": {"descriptors": self._random.choice([0, 1, 2, 255])},
            "destination": {"destination": self._random.choice([0, self._random.randrange(2**64)])},
            "source": {"source": self._random.choice([0, self._random.randrange(2**64)])},
            "id": {"message_id": self._random.choice([0, 1, 2**64 - 1])},
        }[field]
        return HEADER.pack(*header._replace(**changed)) + data[HEADER_SIZE:]


def _readdressed(data: bytes, ids: dict[int, int]) -> bytes:
    header = Header(*HEADER.unpack_from(data))
    destination = ids.get(header.destination, header.destination)
    return HEADER.pack(*header._replace(destination=destination)) + data[HEADER_SIZE:]


def _rumours(recording: Recording, victim: int) -> Iterator[bytes]:
    """What neighbours tell each other of others, and what is asked; the recording has no deaths in it."""
    manager, worker, _ = recording.below
    path = [recording.top, recording.router, manager]
    for message in (
        {"op": "joined", "name": worker, "path": path, "cores": 1, "utc": 1.0, "allows_udf": True},
        {"op": "left", "name": worker, "reason": "it went", "orderly": False},
        {"op": "suspect", "name": worker, "reason": "is slow"},
        {"op": "gone", "names": [worker], "reason": "it went"},
        {"op": "refused", "target": 7, "reason": "is nowhere"},
    ):
        yield frame(Kind.CONTROL, 0, 0, 1, encode_control(message))
    for question in ({"op": "locate", "name": worker}, {"op": "statistics"}, {"op": "settle"}, {"op": "bridges"}):
        yield frame(Kind.CONTROL, victim, node_id(manager), 2, encode_control(question))
    refused = encode_control({"op": "refused", "target": 7, "reason": "!"})
    yield frame(Kind.REFUSED, victim, node_id(manager), 1, refused)
    squeezed = compressed_frames(Kind.LOG, victim, node_id(manager), 3, [bytes(5000)], 6)
    yield from (b"".join(map(bytes, pieces)) for pieces in squeezed)


def mutate_recorded_traffic(seed: int, count: int) -> Counted:
    """Give a victim that many changed frames; gives what became of them."""
    recording = record()
    victim = Victim(recording)
    try:
        mutator = Mutator(recording, victim.router.gridUniqueName, seed)
        for number, (side, data, is_guest) in enumerate(mutator.frames(count)):
            if number % FRESH_EVERY == 0:
                victim.renew()
            victim.feed(side, data, is_guest=is_guest)
        return Counted(count, victim.closed, victim.bugs)
    finally:
        victim.close()
