"""How many executors there are on which machine, counted as they come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.names import GridName
from softgrid._state.population import Population

ROLES = ("router", "manager", "worker")


def name(address: str = "here", role: str = "worker", pid: int = 1) -> GridName:
    return GridName(role, role.capitalize(), address, pid, 5000)  # type: ignore[arg-type]


def test_a_machine_has_the_cores_that_the_first_said_until_nobody_is_there() -> None:
    population = Population()
    assert population.cores_at("here") is None
    population.add(name(), 8)
    population.add(name(pid=2), 4)
    population.remove(name())
    assert population.cores_at("here") == 8
    population.remove(name(pid=2))
    assert (population.cores_at("here"), population.counts()) == (None, [])


@PROPERTY
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(ROLES), st.booleans()), max_size=40))
def test_it_says_what_counting_everybody_says(steps) -> None:
    population, there = Population(), []
    for address, role, comes in steps:
        who = (address, role)
        if comes:
            there.append(who)
            population.add(name(*who), 1)
        elif who in there:
            there.remove(who)
            population.remove(name(*who))
    assert {(address, role): number for address, role, number in population.counts()} == {
        who: there.count(who) for who in there
    }
