"""Health: whom silence and being stopped make suspect, what ends them, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeLink, FakeReactor

from softgrid._node import health as health_module
from softgrid._node import heartbeats as heartbeats_module
from softgrid._node.health import Health
from softgrid._state.health import Terms

TERMS = Terms(10.0, 60.0)


class World:
    """One executor, whom it watches, and the time that passes there."""

    def __init__(self) -> None:
        self.now = 100.0
        self.reactor = FakeReactor()
        self.notices: dict[str, Any] = {}
        self.beats: list[Any] = []
        self.said: list[str] = []
        self.suspected: list[tuple[str, str, str | None, bool]] = []
        self.ended: list[str] = []
        self.health = Health(self, self, self, self.reactor, TERMS)  # type: ignore[arg-type]

    # what stands for membership, control and logs

    def suspect(self, name: str, reason: str | None, kind: str, *, is_said: bool = False) -> None:
        self.suspected.append((name, kind, reason, is_said))

    def tell_neighbour(self, link: Any, message: dict[str, Any]) -> None:
        self.beats.append((link, message["op"]))

    def say(self, log_type: str, message: str) -> None:
        self.said.append(f"{log_type}: {message}")

    def pass_beats(self, count: int) -> None:
        for _ in range(count):
            if not self.reactor.timers:
                return
            ((wait_s, _),) = self.reactor.timers
            self.now += wait_s
            self.reactor.run_timers()

    def take_suspected(self) -> list[tuple[str, str, str | None, bool]]:
        taken, self.suspected = self.suspected, []
        return taken


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for module in (heartbeats_module, health_module):
        monkeypatch.setattr(module, "monotonic", lambda: made.now)
    return made


class Machine:
    host = "far"
    closed = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.spoke_at = world.now
        self.beats = 0

    def heard(self) -> tuple[float, float]:
        return self.spoke_at, self.spoke_at

    def beat(self) -> None:
        self.beats += 1

    def give_up(self, reason: str) -> None:
        self.world.ended.append(reason)


class Guest(FakeLink):
    """The link to one that joined by hand."""

    def __init__(self, world: World) -> None:
        super().__init__("guest")
        self.process_s = self.machine_s = world.now

    def heard(self) -> tuple[float, float]:
        return self.process_s, self.machine_s


def test_all_on_a_silent_machine_are_suspect_and_that_is_said_once(world: World) -> None:
    machine = Machine(world)
    names = ["one"]
    world.health.watch_machine(machine, lambda: names)
    names.append("two")
    world.pass_beats(3)
    assert world.take_suspected() == [
        (name, "silence", "silent: nothing has come from far for 6 s", True) for name in names
    ]
    assert world.said == [
        "warn: nothing has come from far for 6 s: the 2 executors there and what stands below get nothing new"
    ]
    machine.spoke_at = world.now
    world.pass_beats(1)
    assert world.take_suspected() == [(name, "silence", None, True) for name in names]
    assert world.said[1:] == ["warn: far answers again"]
    assert machine.beats == 4


def test_a_machine_that_stays_silent_is_given_up_at_the_tolerance(world: World) -> None:
    world.health.watch_machine(Machine(world), lambda: ["one"])
    world.pass_beats(100)
    assert world.ended == ["nothing has come from far for 60 s (heartbeatTolerance = 60 s)"]
    assert world.now == 160.0
    assert [reason is None for _, _, reason, _ in world.suspected] == [False]
    assert "1 executor there" in world.said[0]


def test_a_guest_gets_beats_and_is_suspect_when_it_gives_none(world: World) -> None:
    guest = Guest(world)
    world.health.watch_guest(guest, "guest")  # type: ignore[arg-type]
    world.pass_beats(3)
    assert world.beats == [(guest, "beat")] * 3
    assert world.take_suspected() == [("guest", "silence", "silent: nothing has come from its machine for 6 s", False)]
    guest.process_s = world.now
    world.pass_beats(1)
    assert world.take_suspected() == [("guest", "silence", None, False)]


def test_a_busy_guest_is_suspect_and_never_ended(world: World) -> None:
    guest = Guest(world)
    world.health.watch_guest(guest, "guest")  # type: ignore[arg-type]
    for _ in range(1000):
        guest.machine_s = world.now
        world.pass_beats(1)
    ((_, _, reason, _),) = world.take_suspected()
    assert reason == "silent for 6 s, though its machine answers: it is busy or stopped"
    assert guest.closings == []
    world.pass_beats(40)
    assert guest.closings == ["nothing has come from it for 60 s (heartbeatTolerance = 60 s)"]


def test_a_silent_upgrid_is_left_at_the_tolerance_and_not_before(world: World) -> None:
    upgrid = Guest(world)
    world.health.watch_upgrid(upgrid)  # type: ignore[arg-type]
    world.pass_beats(29)
    assert upgrid.closings == []
    world.pass_beats(2)
    assert upgrid.closings == ["nothing has come from the upgrid for 60 s (heartbeatTolerance = 60 s)"]
    assert world.take_suspected() == []
    assert world.notices["beat"](upgrid, {"op": "beat"}, 0) is None


def test_a_busy_upgrid_is_not_left(world: World) -> None:
    upgrid = Guest(world)
    world.health.watch_upgrid(upgrid)  # type: ignore[arg-type]
    for _ in range(1000):
        upgrid.machine_s = world.now
        world.pass_beats(1)
    assert upgrid.closings == []


def test_one_that_is_stopped_is_suspect_at_once_and_ended_at_the_tolerance(world: World) -> None:
    world.health.on_paused("one", "stopped by SIGSTOP", world.ended.append)
    assert world.take_suspected() == [("one", "pause", "stopped by SIGSTOP", False)]
    world.pass_beats(29)
    assert world.ended == []
    world.pass_beats(10)
    assert world.ended == ["stopped by SIGSTOP for 60 s (heartbeatTolerance = 60 s)"]
    assert world.take_suspected() == []
    assert world.reactor.timers == []


@pytest.mark.parametrize("how", ["it goes on", "it is gone"])
def test_one_that_is_not_stopped_any_more_is_not_ended(world: World, how: str) -> None:
    world.health.on_paused("one", "stopped", world.ended.append)
    world.pass_beats(20)
    if how == "it goes on":
        world.health.on_paused("one", None, world.ended.append)
    world.health.on_gone("one")
    world.pass_beats(1000)
    assert world.ended == []
    assert world.reactor.timers == []


def test_one_that_is_stopped_again_has_all_its_time_again(world: World) -> None:
    for _ in range(10):
        world.health.on_paused("one", "stopped", world.ended.append)
        world.pass_beats(20)
        world.health.on_paused("one", None, world.ended.append)
    assert world.ended == []
