"""The ring of log records: never more than its bytes, the oldest go first, and each that went is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._state.logring import Kept, LogRing


def test_what_fits_is_written_in_its_order() -> None:
    ring: LogRing[str] = LogRing(10)
    assert ring.put("a", None, 5) == ring.put("b", 7, 5) == []
    assert [ring.take(), ring.take(), ring.take()] == [Kept("a", None, 5), Kept("b", 7, 5), None]
    assert ring.take_dropped() == 0


def test_a_record_of_any_size_is_kept_alone() -> None:
    ring: LogRing[str] = LogRing(10)
    ring.put("a", None, 1)
    assert [kept.record for kept in ring.put("huge", None, 1000)] == ["a"]
    assert ring.take() == Kept("huge", None, 1000)


def test_without_a_limit_nothing_is_dropped() -> None:
    ring: LogRing[int] = LogRing(None)
    assert all(ring.put(number, None, 10**9) == [] for number in range(100))
    assert len(ring) == 100


@PROPERTY
@given(st.lists(st.integers(1, 30) | st.just(None), max_size=60))
def test_every_record_is_written_or_counted(steps: list[int | None]) -> None:
    ring: LogRing[int] = LogRing(50)
    put = written = counted = held = 0
    for number, size in enumerate(steps):
        if size is None:
            kept = ring.take()
            counted += ring.take_dropped()
            written += kept is not None
            held -= kept.size if kept else 0
        else:
            dropped = ring.put(number, None, size)
            put += 1
            held += size - sum(kept.size for kept in dropped)
            assert held <= 50
    counted += ring.take_dropped()
    assert written + counted + len(ring) == put
