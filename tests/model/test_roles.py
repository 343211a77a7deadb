"""Roles: who may stand under whom, and how users spell them."""

from __future__ import annotations

import pytest

from softgrid._model.errors import BadArgument
from softgrid._model.roles import DOWNGRIDS, LAUNCHABLE, PLURAL, parse_role


@pytest.mark.parametrize("text", ["worker", "Worker", "WORKER", "wOrKeR"])
def test_a_role_reads_in_any_case(text: str) -> None:
    assert parse_role(text) == "worker"


@pytest.mark.parametrize("role", LAUNCHABLE)
def test_every_launchable_role_reads(role: str) -> None:
    assert parse_role(role.title()) == role


@pytest.mark.parametrize("text", ["orchestrator", "", "workers", " worker", "boss", None, 1, b"worker", ["worker"]])
def test_what_cannot_be_launched_is_refused(text: object) -> None:
    with pytest.raises(BadArgument, match=r"^executorType: got .*'Router', 'Manager' or 'Worker'"):
        parse_role(text)


def test_the_parameter_at_fault_is_named_as_the_caller_calls_it() -> None:
    with pytest.raises(BadArgument, match=r"^role: got"):
        parse_role("boss", "role")


def test_who_may_stand_directly_under_whom() -> None:
    assert {role: sorted(below) for role, below in DOWNGRIDS.items()} == {
        "orchestrator": ["manager", "router", "worker"],
        "router": ["manager", "router", "worker"],
        "manager": ["worker"],
        "worker": [],
    }


def test_every_launchable_role_has_its_plural() -> None:
    assert {f"{role}s": role for role in LAUNCHABLE} == PLURAL
