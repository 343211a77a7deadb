"""A machine has one name by which it is counted, whatever others call it; no other machine has that name."""

from __future__ import annotations

from softgrid._state.machine_names import MachineNames, apart, is_apart


def test_a_machine_that_nobody_knows_is_called_what_it_is_called() -> None:
    names = MachineNames()
    assert not names.knows("top", "a")
    assert names.name("top", "a") == "a"
    assert names.expected("top", "a") == apart("a", "top")


def test_all_names_of_a_machine_lead_to_its_first() -> None:
    names = MachineNames()
    for caller, address in (("top", "a"), ("top", "b"), ("other", "a"), ("top", "c")):
        names.learn(caller, address, "m")
    assert [names.name("top", address) for address in "abcd"] == ["a", "a", "a", "d"]
    assert names.knows("top", "c")
    assert not names.knows("other", "c")


def test_machines_are_told_apart() -> None:
    names = MachineNames()
    names.learn("top", "a", "m")
    names.learn("top", "b", "n")
    assert names.name("top", "b") == "b"


def test_machines_of_one_name_are_told_apart_by_who_calls_them_so() -> None:
    names = MachineNames()
    names.learn("one", "a", "m")
    assert names.expected("other", "a") == apart("a", "other")
    assert names.name("other", "a") == "a", "who is there and never said so counts where it seems to be"
    names.learn("other", "a", "n")
    assert (names.name("one", "a"), names.name("other", "a")) == ("a", apart("a", "other"))
    names.learn("other", "b", "n")
    assert names.name("other", "b") == apart("a", "other")
    assert [is_apart(names.name("other", "a"), address) for address in ("a", "b")] == [True, False]
    assert not is_apart("a", "a")


def test_an_address_may_come_to_mean_another_machine() -> None:
    names = MachineNames()
    names.learn("top", "a", "m")
    names.learn("top", "b", "m")
    names.learn("top", "b", "n")
    assert (names.name("top", "a"), names.name("top", "b")) == ("a", "b")
    names.learn("top", "a", "new")
    assert names.name("top", "a") == "a", "nobody calls the former machine so any more"


def test_what_those_called_machines_who_are_gone_is_forgotten() -> None:
    names = MachineNames()
    names.learn("one", "a", "m")
    names.learn("other", "a", "n")
    names.keep_callers(lambda name: name == "other")
    assert len(names) == 1
    assert not names.knows("one", "a")
    assert names.name("other", "a") == apart("a", "other")
    names.learn("one", "a", "m")
    assert names.expected("one", "a") == "a"


def test_as_long_as_there_are_no_namesakes_an_address_means_one_machine_to_all() -> None:
    names = MachineNames()
    names.learn("top", "home", "m")
    names.learn("top", "alias", "m")
    assert [names.first_name(address) for address in ("home", "alias", "unknown")] == ["home", "home", "unknown"]
    assert not names.has_namesakes
    names.learn("gate", "home", "n")
    assert names.has_namesakes
