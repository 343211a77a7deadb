"""Health: silence is judged, busyness is not, and a process that did not listen judges nobody."""

from __future__ import annotations

import pytest

from softgrid._state.health import LATE_S, Doubts, Heard, Standing, Terms, Vigil

TERMS = Terms(10.0, 60.0)
BEAT_S, PATIENCE_S = TERMS.beat_s, TERMS.patience_s
Found = list[tuple[str, Standing, float]]


class Night:
    """A vigil that is looked at when it wants to be."""

    def __init__(self, *keys: str, terms: Terms = TERMS) -> None:
        self.now = 1000.0
        self.vigil: Vigil[str] = Vigil(terms)
        self.heard = dict.fromkeys(keys, Heard(self.now, self.now))
        for key in keys:
            self.vigil.watch(key, self.now)

    def hear(self, key: str = "far", process: bool = True) -> None:
        before = self.heard[key].process_s
        self.heard[key] = Heard(self.now if process else before, self.now)

    def look(self, late_s: float = 0.0) -> Found:
        """Look once, when it is time to."""
        wait_s = self.vigil.next_look_s(self.now)
        assert wait_s is not None
        self.now += wait_s + late_s
        return self.vigil.look(self.now, self.heard.__getitem__)

    def until_change(self, speaker: str | None = None) -> Found:
        found: Found = []
        while not found:
            if speaker:
                self.hear(speaker)
            found = self.look()
        return found


def test_the_documented_defaults() -> None:
    assert Terms() == (10.0, 60.0)
    assert (TERMS.beat_s, TERMS.patience_s) == (2.0, 6.0)


@pytest.mark.parametrize("terms", [TERMS, Terms(1.0, 60.0), Terms(10.0, 2.0), Terms(600.0, 60.0), Terms(0.5, 0.5)])
def test_a_silent_one_is_suspect_within_the_frequency_and_dead_at_the_tolerance(terms: Terms) -> None:
    night = Night("far", terms=terms)
    began = night.now
    ((key, standing, silence_s),) = night.until_change()
    assert (key, standing) == ("far", "suspect")
    assert night.now - began <= min(terms.frequency_s, terms.tolerance_s)
    assert silence_s == pytest.approx(night.now - began, abs=0.06)
    ((key, standing, silence_s),) = night.until_change()
    assert (key, standing) == ("far", "dead")
    assert night.now - began == pytest.approx(terms.tolerance_s)
    assert night.vigil.next_look_s(night.now) is None, "nobody is left to look at"


def test_who_speaks_again_is_well_again_and_one_that_speaks_is_never_doubted() -> None:
    night = Night("far", "near")
    assert night.until_change("near") == [("far", "suspect", PATIENCE_S)]
    night.hear("far")
    night.hear("near")
    assert night.look() == [("far", "well", BEAT_S)]
    for _ in range(100):
        night.hear("far")
        night.hear("near")
        assert night.look() == []


def test_a_process_whose_machine_answers_is_suspect_and_never_dead() -> None:
    night = Night("busy")
    found = []
    for _ in range(1000):
        night.hear("busy", process=False)
        found += night.look()
    assert found == [("busy", "suspect", PATIENCE_S)]
    night.hear("busy")
    assert [standing for _, standing, _ in night.look()] == ["well"]


def test_a_machine_that_falls_silent_after_its_process_dies_a_tolerance_later() -> None:
    night = Night("busy")
    assert night.until_change() == [("busy", "suspect", PATIENCE_S)]
    night.hear("busy", process=False)
    silent_since = night.now
    assert night.until_change() == [("busy", "dead", TERMS.tolerance_s)]
    assert night.now - silent_since == pytest.approx(TERMS.tolerance_s)


@pytest.mark.parametrize("asleep_s", [LATE_S + 0.01, 5.0, 120.0, 36_000.0])
def test_who_was_not_awake_judges_nobody_for_that_time(asleep_s: float) -> None:
    night = Night("far")
    assert night.look(late_s=asleep_s) == []
    woke = night.now
    assert night.until_change() == [("far", "suspect", PATIENCE_S)]
    assert night.until_change() == [("far", "dead", TERMS.tolerance_s)]
    assert night.now - woke == pytest.approx(TERMS.tolerance_s - BEAT_S)


def test_one_that_sleeps_and_wakes_all_the_time_still_finds_the_dead() -> None:
    night = Night("far")
    looks = 0
    while night.look(late_s=100.0) != [("far", "dead", TERMS.tolerance_s)]:
        looks += 1
        assert looks < 100


def test_what_was_heard_while_asleep_counts() -> None:
    night = Night("far")
    night.until_change()
    night.now += 100.0
    night.hear("far")
    night.now -= 100.0
    assert [standing for _, standing, _ in night.look(late_s=100.0)] == ["well"]


def test_a_little_late_is_not_asleep() -> None:
    night = Night("far")
    began = night.now
    while night.look(late_s=LATE_S / 2) == []:
        continue
    assert night.now - began <= TERMS.frequency_s


def test_who_is_watched_from_the_middle_of_a_night_has_all_its_time() -> None:
    night = Night("far")
    night.look()
    night.heard["late"] = Heard(0.0, 0.0)
    night.vigil.watch("late", night.now)
    night.hear("far")
    assert night.until_change("far") == [("late", "suspect", PATIENCE_S)]


def test_watching_twice_forgives_nothing_and_forgetting_ends_it() -> None:
    night = Night("far")
    night.look()
    night.vigil.watch("far", night.now)
    assert night.until_change() == [("far", "suspect", PATIENCE_S)]
    night.vigil.forget("far")
    night.vigil.forget("far")
    assert "far" not in night.vigil
    assert len(night.vigil) == 0
    assert night.vigil.next_look_s(night.now) is None
    assert night.vigil.look(night.now + 1e6, night.heard.__getitem__) == []


def test_a_doubt_holds_until_its_own_reason_is_gone() -> None:
    doubts = Doubts()
    assert doubts.note("x", "silence", None) is None
    assert doubts.note("x", "silence", "silent") == "silent"
    assert doubts.note("x", "pause", "stopped") == "silent"
    assert doubts.note("y", "pause", None) is None
    assert doubts.note("x", "silence", None) == "stopped"
    assert doubts.note("x", "pause", None) is None
    doubts.note("x", "pause", "stopped")
    doubts.forget("x")
    doubts.forget("x")
    assert doubts.note("x", "silence", None) is None
