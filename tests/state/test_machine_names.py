"""One machine has one first name, however many others it has."""

from __future__ import annotations

from softgrid._state.machine_names import MachineNames


def test_a_machine_that_nobody_knows_is_called_what_it_is_called() -> None:
    names = MachineNames()
    assert not names.knows("a")
    assert names.first_name("a") == "a"


def test_all_names_of_a_machine_lead_to_its_first() -> None:
    names = MachineNames()
    for address in ("a", "b", "a", "c"):
        names.learn(address, "m")
    assert [names.first_name(address) for address in "abcd"] == ["a", "a", "a", "d"]
    assert names.knows("c")


def test_machines_are_told_apart() -> None:
    names = MachineNames()
    names.learn("a", "m")
    names.learn("b", "n")
    assert names.first_name("b") == "b"


def test_an_address_may_come_to_mean_another_machine() -> None:
    names = MachineNames()
    names.learn("a", "m")
    names.learn("b", "m")
    names.learn("b", "n")
    assert (names.first_name("a"), names.first_name("b")) == ("a", "b")
