"""Some thousands of changed frames and visitors; ``make chaos`` takes a million."""

from __future__ import annotations

import pytest
from tests.chaos.traffic import Mutator, mutate_recorded_traffic, record
from tests.chaos.visits import visit_with_garbage

pytestmark = pytest.mark.system


@pytest.mark.parametrize("seed", [1, 2])
def test_traffic_that_was_changed_on_the_way_does_a_router_no_harm(seed: int) -> None:
    counted = mutate_recorded_traffic(seed, 4_000)
    assert counted.bugs == []
    assert counted.closed > 100, "nothing of it was worth a refusal"


def test_the_same_seed_changes_the_same_traffic_in_the_same_way() -> None:
    recording = record()
    victim = "router|R@1.2.3.4[5]:6"
    one, same, other = (list(Mutator(recording, victim, seed).frames(300)) for seed in (3, 3, 4))
    assert one == same != other


def test_visitors_who_say_anything_do_no_harm() -> None:
    assert visit_with_garbage(seed=5, count=300) == 300
