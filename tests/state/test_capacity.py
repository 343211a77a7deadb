"""Capacity: places that are held and places that were promised both count, per machine and role."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.names import HERE, a_name

from softgrid._model.errors import Refused
from softgrid._model.names import GridName, parse_name
from softgrid._model.rules import Rules
from softgrid._state.capacity import Capacity, census_of, census_of_machines, check_rules_fit, fewest, remaining

THERE = "10.0.0.2"
WORKERS = "machine_maximum_number_of_workers"


def members(count: int, role: str = "worker", address: str = HERE) -> list[GridName]:
    return [parse_name(a_name(role, number, address)) for number in range(count)]


def reserve(capacity: Capacity, held: list[GridName], rule: Any, cores: int = 8, role: Any = "worker") -> None:
    capacity.reserve(HERE, role, census_of(held), Rules({WORKERS: rule}), cores)


@pytest.mark.parametrize("rule", [None, 3, -5])
def test_a_place_that_is_free_is_given(rule: int | None) -> None:
    reserve(Capacity(), members(2), rule)


def test_without_a_limit_there_is_always_a_place() -> None:
    capacity = Capacity()
    for _ in range(100):
        reserve(capacity, members(500), None)


def test_a_full_machine_refuses_with_the_rule_and_the_numbers() -> None:
    with pytest.raises(Refused) as caught:
        reserve(Capacity(), members(3), 3)
    assert str(caught.value) == f"machine {HERE} holds 3 worker(s); the rule {WORKERS} = 3 allows 3"


def test_a_limit_that_comes_from_the_cores_says_so() -> None:
    with pytest.raises(Refused, match=r"= -1 allows 3 on 4 cores$"):
        reserve(Capacity(), members(3), -1, cores=4)


def test_places_asked_for_count_until_they_are_released() -> None:
    capacity = Capacity()
    reserve(capacity, members(1), 3)
    reserve(capacity, members(1), 3)
    with pytest.raises(Refused, match=r"holds 1 .* and 2 more are being launched"):
        reserve(capacity, members(1), 3)
    capacity.release(HERE, "worker")
    reserve(capacity, members(1), 3)


def test_a_refused_place_is_not_counted() -> None:
    capacity = Capacity()
    with pytest.raises(Refused):
        reserve(capacity, members(1), 1)
    reserve(capacity, members(0), 1)


def test_releasing_more_than_was_reserved_makes_no_places() -> None:
    capacity = Capacity()
    capacity.release(HERE, "worker")
    reserve(capacity, [], 1)
    with pytest.raises(Refused):
        reserve(capacity, [], 1)


def test_other_machines_and_other_roles_do_not_count() -> None:
    capacity = Capacity()
    capacity.reserve(THERE, "worker", census_of([]), Rules({WORKERS: 1}), 8)
    capacity.reserve(HERE, "manager", census_of([]), Rules(), 8)
    reserve(capacity, [*members(9, address=THERE), *members(9, "manager")], 1)


def test_executors_of_a_machine_count_together_whatever_it_is_called() -> None:
    counts = [(HERE, "worker", 1), (THERE, "worker", 2), ("other", "worker", 4)]
    census = census_of_machines(counts, {HERE: HERE, THERE: HERE, "other": "other"}.__getitem__)
    assert census == {(HERE, "worker"): 3, ("other", "worker"): 4}


def test_of_several_machines_the_fewest_places_count() -> None:
    free = [remaining(HERE, held, Rules({WORKERS: 3}), 8) for held in (members(1), members(2), members(0))]
    assert fewest(free)["number_of_workers"] == 1
    assert fewest([{"x": None}, {"x": 4}]) == {"x": 4}
    assert fewest([{"x": None}]) == {"x": None}


def test_the_rules_of_the_machine_decide() -> None:
    rules = Rules({WORKERS: 1, "overload_machine_rules": {HERE: {WORKERS: 2}}})
    capacity = Capacity()
    capacity.reserve(HERE, "worker", census_of(members(1)), rules, 8)
    with pytest.raises(Refused):
        capacity.reserve(HERE, "worker", census_of(members(1)), rules, 8)


def test_what_remains_is_told_per_role() -> None:
    held = [*members(2), *members(1, "manager"), *members(5, address=THERE)]
    assert remaining(HERE, held, Rules({WORKERS: -1}), 8) == {
        "number_of_routers": None,
        "number_of_managers": 0,
        "number_of_workers": 5,
    }


def test_what_remains_is_never_less_than_nothing() -> None:
    assert remaining(HERE, members(9), Rules({WORKERS: 2}), 8)["number_of_workers"] == 0


def test_new_rules_fit_when_the_machine_holds_no_more_than_they_allow() -> None:
    check_rules_fit(HERE, members(2), Rules({WORKERS: 2}), 8)
    check_rules_fit(HERE, members(99), Rules({WORKERS: None}), 8)
    check_rules_fit(HERE, members(99, address=THERE), Rules({WORKERS: 0}), 8)


def test_new_rules_that_the_machine_has_outgrown_are_refused() -> None:
    with pytest.raises(Refused, match="holds 3 workers already, more than the new maximum of 2"):
        check_rules_fit(HERE, members(3), Rules({WORKERS: 2}), 8)
