"""Rules: checked when given, frozen afterwards, per machine where a machine has its own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument
from softgrid._model.roles import LAUNCHABLE
from softgrid._model.rules import DEFAULTS, Rules, check_rule

ROLES = ("orchestrator", *LAUNCHABLE)
WORKERS = "machine_maximum_number_of_workers"
MANAGERS = "machine_maximum_number_of_managers"


def of_kind(pattern: str) -> list[str]:
    return [key for key in DEFAULTS if pattern in key]


@pytest.mark.parametrize("key", DEFAULTS)
def test_every_default_obeys_its_own_rule(key: str) -> None:
    check_rule(key, DEFAULTS[key])


BOUNDS = [key for kind in ("execution", "transfer", "request", "log") for key in of_kind(f"{kind}_maximum_")]
BYTES = ("executor_maximum_shared_memory", "link_maximum_unacknowledged", "relaunch_maximum_remembered")

GOOD: list[tuple[str, Any]] = [
    *((key, value) for key in of_kind("_allow_") for value in (True, False)),
    *((key, value) for key in of_kind("machine_maximum_") for value in (None, 0, 1, 10**6)),
    (WORKERS, -3),
    *((key, value) for key in of_kind("timeout_") for value in (1, 0.001, 3600)),
    *((key, value) for key in ("transfer_collect_sleep_time", "cancel_grace_time") for value in (0.5, 10)),
    *((key, value) for key in of_kind("_kwargs") for value in ({}, {"logToFile": True})),
    ("overload_machine_rules", {"10.0.0.7": {WORKERS: 2}}),
    ("transport_implementation", "softgrid"),
    *((key, value) for key in (*BYTES, *BOUNDS) for value in (None, 0, 1 << 30)),
    *(("transfer_compression_level", value) for value in (0, 1, 9)),
    *(("ssh_command", value) for value in ("ssh", "ssh -F 'my config'", ["ssh", "-v"])),
    *((key, value) for key in ("ssh_accept_new_hosts", "fetch_modules") for value in (True, False)),
]


@pytest.mark.parametrize("key", DEFAULTS)
def test_values_that_make_sense_are_accepted(key: str) -> None:
    values = [value for each, value in GOOD if each == key]
    assert values
    for value in values:
        check_rule(key, value)
        assert Rules({key: value})[key] == value


BAD: list[tuple[str, Any]] = [
    *((key, value) for key in of_kind("_allow_") for value in (None, 0, 1, "yes")),
    *((key, value) for key in of_kind("machine_maximum_") for value in (True, 1.0, "1", [])),
    (MANAGERS, -1),
    ("machine_maximum_number_of_routers", -1),
    *((key, value) for key in of_kind("timeout_") for value in (None, 0, -1, True, "5", float("inf"), float("nan"))),
    *((key, value) for key in ("transfer_collect_sleep_time", "cancel_grace_time") for value in (0, -1, None, "1")),
    *((key, value) for key in of_kind("_kwargs") for value in (None, [], "x", [("a", 1)])),
    ("overload_machine_rules", None),
    ("transport_implementation", None),
    *((key, value) for key in (*BYTES, *BOUNDS) for value in (-1, 0.5, "1 GB", True)),
    *(("transfer_compression_level", value) for value in (-1, 10, None, True, 1.0)),
    *(("ssh_command", value) for value in (None, "", " ", [], ["ssh", 1], 5, "ssh 'no end")),
    *((key, value) for key in ("ssh_accept_new_hosts", "fetch_modules") for value in (None, 0, "yes")),
]


@pytest.mark.parametrize("key", DEFAULTS)
def test_values_that_make_no_sense_are_refused_and_the_rule_is_named(key: str) -> None:
    values = [value for each, value in BAD if each == key]
    assert values
    for value in values:
        with pytest.raises(BadArgument, match=rf"^rules\['{key}'\]: got .*, accepted is "):
            check_rule(key, value)
        with pytest.raises(BadArgument):
            Rules({key: value})


def test_a_number_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(BadArgument):
        check_rule("timeout_long", 10**400)


@pytest.mark.parametrize("key", ["", "timeout", "machine_maximum_number_of_bosses", None, 7, ()])
def test_a_rule_that_does_not_exist_is_refused_and_those_that_do_are_listed(key: Any) -> None:
    with pytest.raises(BadArgument, match=r"^rules: got .*timeout_long, .*worker_allow_executing"):
        check_rule(key, 1)
    with pytest.raises(BadArgument):
        Rules({key: 1})


def test_rules_of_a_machine_are_checked_when_they_are_given() -> None:
    with pytest.raises(BadArgument, match="timeout_long"):
        Rules({"overload_machine_rules": {"10.0.0.7": {"timeout_long": -1}}})
    with pytest.raises(BadArgument, match=r"^rules: got 'nonsense'"):
        Rules({"overload_machine_rules": {"10.0.0.7": {"nonsense": 1}}})
    with pytest.raises(BadArgument, match=r"^overload_machine_rules\['10.0.0.7'\]: got 5"):
        Rules({"overload_machine_rules": {"10.0.0.7": 5}})


def test_the_rules_of_a_machine_hold_no_rules_of_machines() -> None:
    inner = {"overload_machine_rules": {"10.0.0.8": {"nonsense": 1}}}
    with pytest.raises(BadArgument):
        Rules({"overload_machine_rules": {"10.0.0.7": inner}})


def test_no_rules_given_means_the_defaults() -> None:
    assert Rules() == Rules(None) == Rules({}) == Rules(DEFAULTS)
    assert Rules().as_dict() == DEFAULTS


def test_what_the_user_changes_afterwards_changes_nothing() -> None:
    given_rules: dict[str, Any] = {"log_worker_kwargs": {"logToFile": False}}
    rules = Rules(given_rules)
    given_rules["log_worker_kwargs"]["logToFile"] = True
    given_rules["timeout_long"] = 99
    assert rules == Rules({"log_worker_kwargs": {"logToFile": False}})


def test_what_is_given_out_may_be_changed_without_harm() -> None:
    before = copy.deepcopy(DEFAULTS)
    rules = Rules()
    rules.as_dict()["log_worker_kwargs"]["logToFile"] = True
    rules.log_kwargs("worker")["logToFile"] = True
    assert rules == Rules()
    assert before == DEFAULTS


@pytest.mark.parametrize("give", [lambda: Rules().as_dict(), lambda: copy.deepcopy(DEFAULTS)])
def test_a_change_to_the_log_of_one_role_leaves_the_others_alone(give: Any) -> None:
    mine = give()
    mine["log_worker_kwargs"]["logToFile"] = "changed"
    assert mine["log_router_kwargs"] == DEFAULTS["log_router_kwargs"]


def test_equal_rules_are_equal_and_nothing_else_is() -> None:
    assert Rules({"timeout_long": 5}) == Rules({"timeout_long": 5})
    assert Rules({"timeout_long": 5}) != Rules()
    assert Rules() != DEFAULTS


def test_the_repr_shows_only_what_differs_from_the_defaults() -> None:
    assert repr(Rules()) == "Rules({})"
    assert repr(Rules({"timeout_long": 7})) == "Rules({'timeout_long': 7})"


def test_an_update_makes_new_rules_and_leaves_the_old() -> None:
    old = Rules({"timeout_long": 7})
    new = old.updated({"timeout_short": 1})
    assert (new["timeout_long"], new["timeout_short"]) == (7, 1)
    assert old == Rules({"timeout_long": 7})
    with pytest.raises(BadArgument):
        old.updated({"timeout_short": -1})


def test_a_machine_with_rules_of_its_own_has_them_and_the_general_ones() -> None:
    rules = Rules({"timeout_long": 7, "overload_machine_rules": {"10.0.0.7": {WORKERS: 3}}})
    own = rules.for_machine("10.0.0.7")
    assert (own[WORKERS], own["timeout_long"]) == (3, 7)
    assert rules[WORKERS] == DEFAULTS[WORKERS]


def test_a_machine_without_rules_of_its_own_has_the_general_ones() -> None:
    rules = Rules({"overload_machine_rules": {"10.0.0.7": {WORKERS: 3}, "10.0.0.8": {}}})
    assert rules.for_machine("10.0.0.9") == rules
    assert rules.for_machine("10.0.0.8") == rules


def test_a_machine_gets_rules_of_its_own_without_disturbing_the_others() -> None:
    rules = Rules({"overload_machine_rules": {"10.0.0.7": {WORKERS: 3}}})
    changed = rules.for_machine_set("10.0.0.8", {WORKERS: 5})
    assert changed.for_machine("10.0.0.7")[WORKERS] == 3
    assert changed.for_machine("10.0.0.8")[WORKERS] == 5
    assert rules.for_machine("10.0.0.8")[WORKERS] == DEFAULTS[WORKERS]
    with pytest.raises(BadArgument):
        rules.for_machine_set("10.0.0.8", {WORKERS: "many"})


@pytest.mark.parametrize(
    ("rule", "cores", "maximum"),
    [(None, 8, None), (0, 8, 0), (5, 2, 5), (-1, 8, 7), (-3, 8, 5), (-8, 8, 1), (-100, 8, 1)],
)
def test_the_maximum_is_a_limit_none_or_cores_minus_n_but_one_at_least(
    rule: int | None, cores: int, maximum: int | None
) -> None:
    assert Rules({WORKERS: rule}).maximum("worker", cores) == maximum


@PROPERTY
@given(st.one_of(st.none(), st.integers()), st.integers(1, 1024))
def test_a_maximum_is_never_negative(rule: int | None, cores: int) -> None:
    maximum = Rules({WORKERS: rule}).maximum("worker", cores)
    assert maximum is None or maximum >= 0


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("allowed", [True, False])
def test_whether_a_role_may_execute_is_its_own_rule(role: Any, allowed: bool) -> None:
    assert Rules({f"{role}_allow_executing_udf": allowed}).may_execute(role) is allowed


def test_by_default_only_workers_execute() -> None:
    assert [role for role in ROLES if Rules().may_execute(role)] == ["worker"]  # type: ignore[arg-type]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_its_own_log(role: Any) -> None:
    own = {"logToFile": True, "logFileBasename": role}
    assert Rules({f"log_{role}_kwargs": own}).log_kwargs(role) == own
