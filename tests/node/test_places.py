"""Places on machines: taken by address, settled when it turns out which machine that is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.names import a_name

from softgrid._model.errors import Refused
from softgrid._model.names import parse_name
from softgrid._model.rules import Rules
from softgrid._node.places import Places
from softgrid._state.tree import Tree

WORKERS = "machine_maximum_number_of_workers"
TOP = a_name("orchestrator", 0, "home")
UPGRID = 77


class Granting:
    """The places of a grid whose machines take so many workers each."""

    def __init__(self, limit: int = 2, **overload: Any) -> None:
        self.tree: Tree[Any] = Tree(TOP, "orchestrator")
        rules = Rules({WORKERS: limit, "overload_machine_rules": overload})
        self.places = Places(self.tree, lambda: rules, "home", "machine-of-home")

    def take(self, address: str) -> int:
        return self.places.take(address, "worker", 8, performer=UPGRID)

    def settle(self, ticket: int, machine: str) -> None:
        self.places.settle(ticket, machine, UPGRID)

    def holds(self, address: str, count: int) -> None:
        for number in range(count):
            self.tree.join(a_name("worker", number, address), (TOP,), object(), cores=8, now_utc=0.0)


def test_places_are_taken_and_given_back_once() -> None:
    granting = Granting()
    one, _ = granting.take("far"), granting.take("far")
    with pytest.raises(Refused, match="2 more are being launched"):
        granting.take("far")
    granting.places.give_back(one)
    granting.places.give_back(one)
    granting.take("far")
    with pytest.raises(Refused):
        granting.take("far")


def test_a_second_name_of_a_machine_gives_no_second_places() -> None:
    granting = Granting()
    granting.settle(granting.take("far"), "m")
    first, second = granting.take("alias"), granting.take("alias")
    granting.settle(first, "m")
    with pytest.raises(Refused, match=r"alias is another name of far: machine far holds 0 worker\(s\) and 2 more"):
        granting.settle(second, "m")
    assert granting.places.knows("alias")
    with pytest.raises(Refused, match="another name of far"):
        granting.take("alias")


def test_a_place_that_moved_to_the_machine_is_given_back_there() -> None:
    granting = Granting()
    granting.settle(granting.take("far"), "m")
    moved = granting.take("alias")
    granting.settle(moved, "m")
    with pytest.raises(Refused):
        granting.take("far")
    granting.places.give_back(moved)
    granting.take("far")
    for _ in range(2):  # nothing is left under the name by which it was asked for
        granting.take("another")


def test_a_refused_place_is_gone() -> None:
    granting = Granting(1)
    granting.settle(granting.take("far"), "m")
    refused = granting.take("alias")
    with pytest.raises(Refused):
        granting.settle(refused, "m")
    with pytest.raises(Refused, match="no place"):
        granting.settle(refused, "m")


def test_the_members_of_a_machine_count_under_all_its_names() -> None:
    granting = Granting()
    granting.settle(granting.take("far"), "m")
    granting.holds("far", 1)
    with pytest.raises(Refused):
        granting.settle(granting.take("alias"), "m")
    names = [parse_name(TOP), *(member.parsed for member in granting.tree.below())]
    assert [name.address for name in granting.places.on_machine_of("alias", names)] == ["alias"]


def test_the_own_machine_has_other_names_too() -> None:
    granting = Granting(1)
    granting.holds("home", 1)
    with pytest.raises(Refused, match="localhost is another name of home"):
        granting.settle(granting.take("localhost"), "machine-of-home")


def test_the_rules_are_those_of_the_name_that_was_asked_for_unless_the_first_has_its_own() -> None:
    granting = Granting(1, alias={WORKERS: 3})
    granting.settle(granting.take("far"), "m")
    for _ in range(2):
        granting.settle(granting.take("alias"), "m")
    with pytest.raises(Refused):
        granting.settle(granting.take("alias"), "m")


def test_only_who_performs_a_launch_says_where_it_is() -> None:
    granting = Granting()
    ticket = granting.take("far")
    for stranger in (0, UPGRID + 1):
        with pytest.raises(Refused, match="no place"):
            granting.places.settle(ticket, "m", stranger)
    with pytest.raises(Refused, match="no place"):
        granting.settle(ticket + 1, "m")
    assert not granting.places.knows("far")


def test_different_machines_have_places_each() -> None:
    granting = Granting(1)
    for address in ("far", "other"):
        granting.settle(granting.take(address), address)


def test_who_has_come_needs_no_place_any_more() -> None:
    granting = Granting(limit=2)
    far, alias = granting.take("far"), granting.take("alias")
    granting.settle(far, "m")
    granting.holds("far", 1)
    granting.places.arrived("far", "worker", UPGRID)
    granting.settle(alias, "m")
    granting.places.give_back(far)
    with pytest.raises(Refused):
        granting.take("far")


@pytest.mark.parametrize("other", [("near", "worker", UPGRID), ("far", "manager", UPGRID), ("far", "worker", 78)])
def test_who_came_by_another_launch_leaves_the_place_alone(other: tuple[str, Any, int]) -> None:
    granting = Granting(limit=1)
    granting.take("far")
    granting.places.arrived(*other)
    with pytest.raises(Refused):
        granting.take("far")
