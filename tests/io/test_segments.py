"""Segments: written once, mapped by receivers as their own, and used again when the last has let go."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.harness.sockets import a_reactor, turn_until, turn_until_idle

from softgrid._io import segments as segments_module
from softgrid._io.descriptors import Descriptors
from softgrid._io.reactor import Reactor
from softgrid._io.segments import (
    SMALLEST,
    THRESHOLD,
    Attachment,
    Copied,
    SegmentPool,
    segment_limit,
)

pytestmark = pytest.mark.skipif(not segments_module.IS_POSSIBLE, reason="no memfd on this machine")

DATA = bytes(range(256)) * (THRESHOLD // 128)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    with a_reactor() as made:
        yield made


@pytest.fixture
def make_pool(reactor: Reactor) -> Iterator[Callable[[int], SegmentPool]]:
    """Makes pools that hold so many bytes at most."""
    made: list[SegmentPool] = []

    def make(limit: int) -> SegmentPool:
        made.append(SegmentPool(reactor, lambda: limit))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def pool(make_pool: Callable[[int], SegmentPool]) -> SegmentPool:
    return make_pool(1 << 30)


def share(pool: SegmentPool, data: bytes = DATA) -> Descriptors:
    half = len(data) // 2
    shared = pool.share([data[:half], memoryview(data)[half:]], len(data))
    assert shared is not None
    return shared


def counts(pool: SegmentPool) -> tuple[int, int]:
    statistics = pool.statistics()
    return statistics["segments_free"], statistics["segments_leased"]


def test_a_receiver_reads_what_was_written(pool: SegmentPool) -> None:
    attachment = Attachment(share(pool), len(DATA))
    assert bytes(attachment.view()) == DATA


def test_what_a_receiver_writes_is_its_own(pool: SegmentPool) -> None:
    attachment = Attachment(share(pool), len(DATA))
    mine, theirs = attachment.view(), attachment.view()
    mine[0:3] = b"abc"
    assert bytes(theirs) == DATA
    assert bytes(mine[:3]) == b"abc"


def test_a_segment_is_free_again_when_the_last_has_let_go(reactor: Reactor, pool: SegmentPool) -> None:
    attachment = Attachment(share(pool), len(DATA))
    view = attachment.view()
    del attachment
    turn_until_idle(reactor)
    assert counts(pool) == (0, 1), "somebody still looks at it"
    assert bytes(view) == DATA
    del view
    gc.collect()
    turn_until(reactor, lambda: counts(pool) == (1, 0))


def test_what_is_looked_at_is_not_written_over(reactor: Reactor, pool: SegmentPool) -> None:
    view = Attachment(share(pool), len(DATA)).view()
    turn_until_idle(reactor)
    other = Attachment(share(pool, b"x" * len(DATA)), len(DATA))
    assert bytes(view) == DATA
    assert bytes(other.view()) == b"x" * len(DATA)
    assert counts(pool) == (0, 2)


def test_a_segment_that_is_free_is_used_again(reactor: Reactor, pool: SegmentPool) -> None:
    for round_number in range(5):
        data = bytes([round_number]) * (len(DATA) - round_number)
        shared = share(pool, data)
        assert bytes(Attachment(shared, len(data)).view()) == data
        shared.close()
        turn_until(reactor, lambda: counts(pool) == (1, 0))
    assert pool.statistics()["shared_messages"] == 5
    assert pool.statistics()["segment_bytes"] == len(DATA)


def test_of_those_that_are_free_the_smallest_that_fits_is_taken(reactor: Reactor, pool: SegmentPool) -> None:
    small, large = share(pool, b"s" * SMALLEST), share(pool, b"l" * (SMALLEST + 1))
    small.close()
    large.close()
    turn_until(reactor, lambda: counts(pool) == (2, 0))
    again = share(pool, b"s" * SMALLEST)
    third = share(pool, b"l" * (2 * SMALLEST))
    assert counts(pool) == (0, 2)
    again.close()
    third.close()


@pytest.mark.parametrize("size", [0, 1, THRESHOLD])
def test_small_payloads_go_another_way(pool: SegmentPool, size: int) -> None:
    assert pool.share([b"x" * size], size) is None
    assert counts(pool) == (0, 0)


def test_without_such_memory_payloads_go_another_way(pool: SegmentPool, monkeypatch: Any) -> None:
    monkeypatch.setattr(segments_module, "IS_POSSIBLE", False)
    assert pool.share([DATA], len(DATA)) is None


def test_only_so_much_is_leased_at_once(reactor: Reactor, make_pool: Callable[[int], SegmentPool]) -> None:
    pool = make_pool(2 * len(DATA) - 1)
    first = share(pool)
    assert pool.share([DATA], len(DATA)) is None
    first.close()
    turn_until(reactor, lambda: counts(pool)[1] == 0)
    share(pool).close()


def test_only_so_many_are_leased_at_once(pool: SegmentPool, monkeypatch: Any) -> None:
    monkeypatch.setattr(segments_module, "MAX_LEASED", 2)
    kept = [share(pool), share(pool)]
    assert pool.share([DATA], len(DATA)) is None
    assert len(kept) == 2


@pytest.mark.parametrize("fails", ["memfd_create", "pipe", "posix_fallocate"])
def test_when_the_machine_has_no_more_payloads_go_another_way_and_nothing_is_left(
    pool: SegmentPool, monkeypatch: Any, fails: str
) -> None:
    before = set(os.listdir("/proc/self/fd"))

    def fail(*given: Any) -> Any:
        raise OSError(28, "no space left")

    monkeypatch.setattr(segments_module.os, fails, fail)
    assert pool.share([DATA], len(DATA)) is None
    monkeypatch.undo()
    assert counts(pool) == (0, 0)
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def test_when_the_very_last_descriptor_is_missing_payloads_go_another_way_too(
    pool: SegmentPool, monkeypatch: Any
) -> None:
    def fail(number: int) -> int:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(segments_module.os, "dup", fail)
    try:
        assert pool.share([DATA], len(DATA)) is None
    finally:
        monkeypatch.undo()
    assert counts(pool)[1] == 0


def test_half_of_the_limit_is_kept_free_at_most(reactor: Reactor, make_pool: Callable[[int], SegmentPool]) -> None:
    pool = make_pool(5 * len(DATA))
    for shared in [share(pool) for _ in range(5)]:
        shared.close()
    turn_until(reactor, lambda: counts(pool)[1] == 0)
    assert counts(pool) == (2, 0)


def test_what_is_free_makes_room_within_the_limit(reactor: Reactor, make_pool: Callable[[int], SegmentPool]) -> None:
    pool = make_pool(SMALLEST + 3 * len(DATA))
    for _ in range(2):
        share(pool).close()
    turn_until(reactor, lambda: counts(pool) == (2, 0))
    large = share(pool, bytes(SMALLEST + 2 * len(DATA)))
    assert counts(pool) == (1, 1)
    assert pool.share([DATA, DATA], 2 * len(DATA)) is None
    assert len(large) == 2


def test_beyond_the_limit_nothing_is_shared(make_pool: Callable[[int], SegmentPool]) -> None:
    assert make_pool(len(DATA) - 1).share([DATA], len(DATA)) is None


def test_what_is_idle_for_long_is_given_back(reactor: Reactor, pool: SegmentPool, monkeypatch: Any) -> None:
    monkeypatch.setattr(segments_module, "IDLE_S", 0.0)
    for _ in range(2):
        share(pool).close()
        turn_until(reactor, lambda: pool.statistics()["segments_leased"] == 0)
        turn_until(reactor, lambda: counts(pool) == (0, 0))


def test_closing_frees_everything_and_takes_it_from_nobody(reactor: Reactor) -> None:
    before = set(os.listdir("/proc/self/fd"))
    pool = SegmentPool(reactor, lambda: 1 << 30)
    view = Attachment(share(pool), len(DATA)).view()
    share(pool).close()
    pool.close()
    assert counts(pool) == (0, 0)
    assert bytes(view) == DATA
    del view
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_copy_needs_no_descriptors(reactor: Reactor, pool: SegmentPool) -> None:
    copied = Attachment(share(pool), len(DATA)).copied()
    turn_until(reactor, lambda: counts(pool) == (1, 0))
    assert isinstance(copied, Copied)
    assert (copied.size, bytes(copied.view())) == (len(DATA), DATA)
    copied.view()[0] = 9
    assert copied.view()[0] == 9


def test_news_of_a_lease_that_goes_on_changes_nothing(pool: SegmentPool) -> None:
    kept = share(pool)
    (lease,) = pool._leased
    pool._on_lease_ended(lease)
    assert counts(pool) == (0, 1)
    assert len(kept) == 2


@pytest.mark.parametrize("size", [1 << 40, 0])
def test_a_size_that_is_not_that_of_the_memory_is_undecodable(pool: SegmentPool, size: int) -> None:
    from softgrid._model.errors import Undecodable

    with pytest.raises(Undecodable):
        Attachment(share(pool), size).view()


def test_the_limit_is_a_part_of_the_memory_of_the_machine(monkeypatch: Any) -> None:
    monkeypatch.setattr(segments_module.os, "sysconf", lambda name: 1 << 20)
    assert segment_limit() == 1 << 38
    monkeypatch.setattr(segments_module.os, "sysconf", lambda name: 4)
    assert segment_limit() == segments_module.LIMIT_FLOOR

    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(segments_module.os, "sysconf", unknown)
    assert segment_limit() == segments_module.LIMIT_FLOOR
