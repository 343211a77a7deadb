"""What is known of bridges outlives their ends, under the names that these have by then."""

from __future__ import annotations

import pytest
from tests.harness.trees import A1, A2, B1, TOP

from softgrid._state import known_bridges
from softgrid._state.known_bridges import Known, KnownBridges

HEIR, OTHER_HEIR = A1.replace("[7]", "[8]"), B1.replace("[7]", "[8]")


def everybody(name: str) -> bool:
    return True


def test_a_bridge_is_inherited_at_whichever_end_it_was_and_for_every_heir() -> None:
    known = KnownBridges()
    for bridge in (Known(A1, B1, "one"), Known(TOP, A1, "two"), Known(A2, B1, "other")):
        known.on_built(bridge)
    assert known.on_heir(A1, HEIR, everybody) == [Known(HEIR, B1, "one"), Known(TOP, HEIR, "two")]
    assert known.on_heir(A1, HEIR, everybody) == []
    assert known.on_heir(HEIR, A1, everybody) == [Known(A1, B1, "one"), Known(TOP, A1, "two")]
    assert len(known) == 3


def test_a_bridge_whose_ends_were_both_lost_waits_for_the_second() -> None:
    known = KnownBridges()
    known.on_built(Known(A1, B1, "one"))
    assert known.on_heir(A1, HEIR, lambda name: name != B1) == []
    assert known.on_heir(B1, OTHER_HEIR, everybody) == [Known(HEIR, OTHER_HEIR, "one")]


@pytest.mark.parametrize("ends", [(A1, B1), (B1, A1)])
def test_a_bridge_that_is_over_while_both_ends_live_is_not_inherited(ends: tuple[str, str]) -> None:
    known = KnownBridges()
    known.on_built(Known(A1, B1, "one"))
    known.on_over(*ends)
    known.on_over(*ends)
    assert known.on_heir(A1, HEIR, everybody) == []
    assert len(known) == 0


def test_between_two_there_is_one_bridge_and_the_last_counts() -> None:
    known = KnownBridges()
    known.on_built(Known(A1, B1, "one"))
    known.on_built(Known(B1, A1, "two"))
    assert known.on_heir(B1, OTHER_HEIR, everybody) == [Known(OTHER_HEIR, A1, "two")]


def test_the_oldest_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_bridges, "KEPT", 2)
    known = KnownBridges()
    for other in (A2, B1, TOP):
        known.on_built(Known(A1, other, other))
    assert [bridge.password for bridge in known.on_heir(A1, HEIR, everybody)] == [B1, TOP]


def test_nobody_reads_the_password_of_a_bridge() -> None:
    assert "secret" not in repr(Known(A1, B1, "secret"))
