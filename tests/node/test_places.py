"""Places on machines: taken by address, settled when it turns out which machine that is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.names import a_name

from softgrid._model.errors import Refused
from softgrid._model.names import node_id
from softgrid._model.rules import Rules
from softgrid._node import places
from softgrid._node.places import Places
from softgrid._state.tree import Tree

WORKERS = "machine_maximum_number_of_workers"
TOP = a_name("orchestrator", 0, "home")
UPGRID, OTHER = a_name("router", 1, "gate"), a_name("router", 2, "other-gate")


class Granting:
    """The places of a grid whose machines take so many workers each."""

    def __init__(self, limit: int | None = 2, **overload: Any) -> None:
        self.tree: Tree[Any] = Tree(TOP, "orchestrator")
        rules = Rules({WORKERS: limit, "overload_machine_rules": overload})
        for gateway in (UPGRID, OTHER):
            self.joins(gateway)
        self.places = Places(self.tree, lambda: rules)
        self.places.stand_at("home", "machine-of-home")

    def take(self, address: str, performer: str = UPGRID) -> int:
        return self.places.take(address, "worker", 8, performer)

    def settle(self, ticket: int, machine: str, performer: str = UPGRID) -> None:
        self.places.settle(ticket, machine, node_id(performer))

    def holds(self, address: str, count: int, upgrid: str = UPGRID) -> None:
        for number in range(count):
            self.joins(a_name("worker", 10 * len(self.tree.members) + number, address), upgrid)

    def joins(self, name: str, upgrid: str = TOP) -> None:
        path = self.tree.path_of(upgrid)
        assert path is not None
        self.tree.join(name, path, object(), cores=8, now_utc=0.0)


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
    assert granting.places.knows(UPGRID, "alias")
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
    (there,) = [names for names in granting.places.on_machines_of("far") if names]
    assert [name.address for name in there] == ["far"]


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
    for stranger in (TOP, OTHER):
        with pytest.raises(Refused, match="no place"):
            granting.settle(ticket, "m", stranger)
    with pytest.raises(Refused, match="no place"):
        granting.settle(ticket + 1, "m")
    assert not granting.places.knows(UPGRID, "far")


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


@pytest.mark.parametrize("other", [("near", "worker", UPGRID), ("far", "manager", UPGRID), ("far", "worker", OTHER)])
def test_who_came_by_another_launch_leaves_the_place_alone(other: tuple[str, Any, int]) -> None:
    granting = Granting(limit=1)
    granting.settle(granting.take("far"), "m")
    granting.places.arrived(*other)
    with pytest.raises(Refused):
        granting.take("far")


def test_who_has_come_is_none_of_those_whose_machine_is_not_known_yet() -> None:
    granting = Granting(limit=2)
    early, late = granting.take("far"), granting.take("far")
    granting.settle(late, "m")
    granting.places.arrived("far", "worker", UPGRID)
    granting.settle(early, "m")
    granting.take("far")
    with pytest.raises(Refused):
        granting.take("far")


# -- one name, two machines -----------------------------------------------------------------------


def test_machines_of_one_name_behind_two_gateways_have_places_each() -> None:
    granting = Granting(1)
    granting.settle(granting.take("inner"), "m")
    second = granting.take("inner", OTHER)
    with pytest.raises(Refused, match=r"machine inner holds 0 worker\(s\) and 1 more"):
        granting.take("inner", OTHER)
    granting.settle(second, "n", OTHER)
    with pytest.raises(Refused, match=r"machine inner \(as .*other-gate.* calls it\) holds 0 worker\(s\) and 1 more"):
        granting.take("inner", OTHER)
    granting.places.give_back(second)
    granting.settle(granting.take("inner", OTHER), "n", OTHER)
    for performer in (UPGRID, OTHER):
        with pytest.raises(Refused, match="and 1 more"):
            granting.take("inner", performer)


def test_one_machine_that_two_gateways_call_the_same_is_one() -> None:
    granting = Granting(1)
    granting.settle(granting.take("inner"), "m")
    second = granting.take("inner", OTHER)
    with pytest.raises(Refused, match="machine inner holds"):
        granting.settle(second, "m", OTHER)
    granting.places.give_back(second)
    with pytest.raises(Refused):
        granting.take("inner", OTHER)


def test_who_stands_on_such_a_machine_counts_there_alone_and_so_does_whom_it_launches() -> None:
    granting = Granting(2)
    for performer, machine in ((UPGRID, "m"), (OTHER, "n")):
        ticket = granting.take("inner", performer)
        granting.settle(ticket, machine, performer)
        granting.places.give_back(ticket)
    manager = a_name("manager", 50, "inner")
    granting.joins(manager, OTHER)
    granting.joins(a_name("worker", 51, "inner"), manager)
    granting.joins(a_name("worker", 52, "inner"), UPGRID)
    granting.joins(a_name("worker", 53, "inner"), UPGRID)
    with pytest.raises(Refused, match="machine inner holds 2"):
        granting.take("inner")
    granting.take("inner", manager)
    with pytest.raises(Refused, match="holds 1 worker"):
        granting.take("inner", OTHER)
    groups = granting.places.on_machines_of("inner")
    assert sorted(len([name for name in group if name.role == "worker"]) for group in groups) == [1, 2]
    machines = {granting.places.machine_of(member) for member in granting.tree.below() if "inner" in member.name}
    assert len(machines) == 2
    assert "inner" in machines


def test_guests_that_call_themselves_the_same_are_told_apart() -> None:
    granting = Granting(1)
    for number, machine in ((60, "m"), (61, "n")):
        guest = a_name("worker", number, "laptop")
        ticket = granting.take("laptop", guest)
        granting.settle(ticket, machine, guest)
        granting.joins(guest, UPGRID)
        granting.places.give_back(ticket)
    guest = a_name("worker", 62, "laptop")
    with pytest.raises(Refused, match=r"laptop.* holds 1"):
        granting.settle(granting.take("laptop", guest), "m", guest)


def test_a_machine_that_took_the_place_of_another_has_its_name() -> None:
    granting = Granting(1)
    granting.settle(granting.take("far"), "m")
    granting.places._names.learn(UPGRID, "far", "n")
    with pytest.raises(Refused, match=r"machine far holds 0 worker\(s\) and 1 more"):
        granting.take("far")


def test_names_of_machines_are_kept_only_while_those_are_there_who_call_them_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "NAMES_KEPT", 4)
    granting = Granting(None)
    for number in range(50):
        guest = a_name("worker", number, f"laptop{number}")
        ticket = granting.take(f"laptop{number}", guest)
        granting.settle(ticket, f"m{number}", guest)
        granting.places.give_back(ticket)
    assert len(granting.places._names) <= 8
    assert granting.places.knows(TOP, "home")
