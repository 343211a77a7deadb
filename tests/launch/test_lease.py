"""The lease of a far machine: an owner that is silent is believed in while its machine answers, and not for ever."""

from __future__ import annotations

import pytest

from softgrid._launch.lease import BUSY_S, UNSEEN_S, Lease

LOOK_S, TOLERANCE_S = 2.0, 60.0


class Far:
    """A machine that looks every two seconds; the owner, or its machine, spoke last when the test says so."""

    def __init__(self, tolerance_s: float = TOLERANCE_S) -> None:
        self.now = 500.0
        self.lease = Lease(tolerance_s, self.now)
        self.heard = self.now
        self.machine: float | None = self.now

    def look(self, late_s: float = 0.0) -> bool:
        self.lease.due_in(LOOK_S, self.now)
        self.now += LOOK_S + late_s
        return self.lease.is_over(self.now, self.heard, self.machine)

    def lasts(self, machine_answers: bool = False) -> float:
        """For how long the owner is believed in from now on."""
        began = self.now
        while not self.look():
            if machine_answers:
                self.machine = self.now
        return self.now - began


def test_a_machine_that_is_silent_is_given_up_at_the_tolerance() -> None:
    assert Far().lasts() == TOLERANCE_S
    assert Far(tolerance_s=10.0).lasts() == 10.0


def test_an_owner_that_is_busy_for_ten_minutes_is_not_and_one_that_is_for_ever_is() -> None:
    assert Far().lasts(machine_answers=True) == BUSY_S > 600
    assert Far(tolerance_s=2 * BUSY_S).lasts(machine_answers=True) == 2 * BUSY_S


def test_an_owner_that_speaks_is_believed_in() -> None:
    far = Far()
    for _ in range(1000):
        far.heard = far.now
        assert not far.look()


@pytest.mark.parametrize(("tolerance_s", "lasts"), [(1.0, UNSEEN_S), (TOLERANCE_S, UNSEEN_S), (100.0, 500.0)])
def test_where_nobody_can_tell_of_the_machine_it_takes_longer(tolerance_s: float, lasts: float) -> None:
    far = Far(tolerance_s)
    far.machine = None
    assert far.lasts() == lasts


def test_who_was_not_awake_has_not_listened() -> None:
    far = Far()
    assert not far.look(late_s=10 * BUSY_S)
    assert far.lasts() == TOLERANCE_S - LOOK_S
