"""Heirs: whoever lost an executor is told who stands in for it, as soon as the orchestrator knows, and always told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.memory_grid import MemoryGrid
from tests.harness.trees import A1, A2, STRANGER, TOP, A, B

from softgrid._model.errors import NoRoute, SoftgridError
from softgrid._node.heirs import STILL_THERE_S, Heirs

HEIR = A1.replace("[", "[9")


class Asking:
    """The orchestrator, and one executor that asks it."""

    def __init__(self, asker: str) -> None:
        self.grid = MemoryGrid()
        self.asker = self.grid[asker]
        self.heirs = {name: Heirs(node.tree, node.control, node.reactor) for name, node in self.grid.nodes.items()}  # type: ignore[arg-type]
        self.top = self.heirs[TOP]
        self.top.serve()
        self.grid[TOP].membership.on_lost = lambda gone, reason, is_orderly: self.top.on_lost(gone)
        self.told: list[Any] = []

    def ask(self, name: str = A1, *, is_lost: bool = True) -> None:
        self.heirs[self.asker.name].ask(name, self.told.append, is_lost=is_lost)
        self.grid.pump()

    def decide(self, heir: str | None) -> None:
        self.top.on_decided(A1, heir)
        self.grid.pump()


@pytest.fixture(params=[TOP, A, A2, B])
def asking(request: pytest.FixtureRequest) -> Asking:
    return Asking(request.param)


def test_who_asks_is_told_when_it_is_decided_and_who_asks_later_at_once(asking: Asking) -> None:
    asking.grid.kill(A1)
    asking.ask()
    asking.ask()
    assert asking.told == []
    asking.decide(HEIR)
    assert asking.told == [HEIR, HEIR]
    asking.ask()
    assert asking.told == [HEIR] * 3


def test_nobody_stands_in_for_who_is_not_launched_anew(asking: Asking) -> None:
    asking.grid.kill(A1)
    asking.ask()
    asking.decide(None)
    asking.ask()
    assert [type(each) for each in asking.told] == [NoRoute, NoRoute]


def test_who_is_known_nowhere_has_no_heir(asking: Asking) -> None:
    asking.ask(STRANGER)
    assert [type(each) for each in asking.told] == [NoRoute]


def test_who_cannot_be_reached_and_is_there_stands_in_for_itself(asking: Asking) -> None:
    asking.ask(is_lost=False)
    assert asking.told == [A1]


def test_who_is_said_to_be_lost_has_a_moment_to_be_so(asking: Asking) -> None:
    asking.ask()
    assert asking.told == []
    assert asking.grid[TOP].reactor.run_timers() == [STILL_THERE_S]
    asking.grid.pump()
    assert asking.told == [A1]


def test_in_that_moment_it_may_turn_out_to_be_gone(asking: Asking) -> None:
    asking.ask()
    asking.grid.kill(A1)
    asking.grid[TOP].reactor.run_timers()
    asking.grid.pump()
    assert asking.told == []
    asking.decide(HEIR)
    assert asking.told == [HEIR]


def test_when_the_orchestrator_cannot_be_asked_that_is_told() -> None:
    asking = Asking(A)
    asking.grid[A].switch.uplink = None
    asking.ask()
    (error,) = asking.told
    assert isinstance(error, SoftgridError)
