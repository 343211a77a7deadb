"""The page of all documented members: it counts right, its tests exist and speak of their member, and it is fresh."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("api_members", ROOT / "tools" / "api_members.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = _load()
CONTRACT = json.loads(tool.CONTRACT.read_text("utf-8"))
PROOFS: dict[str, str] = json.loads(tool.PROOFS.read_text("utf-8"))
MEMBERS = {member.name: member for member in tool.members(CONTRACT)}
REMEDY = "see tests/api/proofs.json, then run: python tools/api_members.py"


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_all_documented_members_are_counted() -> None:
    assert len(MEMBERS) == 134
    assert len(tool.owners(CONTRACT)) == 17
    assert {member.owner for member in MEMBERS.values()} <= set(tool.owners(CONTRACT))


def test_every_member_that_is_there_has_a_proof_and_no_other() -> None:
    there = {name for name, member in MEMBERS.items() if not member.is_missing}
    assert sorted(there - PROOFS.keys()) == [], f"no test is named for these: {REMEDY}"
    assert sorted(PROOFS.keys() - there) == [], f"these are no members, or still marked missing: {REMEDY}"


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof_is_a_test_that_speaks_of_its_member(name: str) -> None:
    path, _, test = PROOFS[name].partition("::")
    assert test.startswith("test_")
    assert test in functions_of(path), f"{path} has no such test: {REMEDY}"
    short = name.rpartition(".")[2]
    spoken_of = (
        rf"\b({re.escape(short)}\b|{re.escape(short.rpartition('_')[0] or short)}_\{{)"  # or transfer_pop_{{kind}}
    )
    assert re.search(spoken_of, (ROOT / path).read_text("utf-8")), f"{path} does not speak of {short}"


def test_the_page_is_fresh() -> None:
    assert tool.PAGE.read_text("utf-8") == tool.page(CONTRACT, PROOFS), REMEDY


def test_what_is_missing_or_without_a_proof_is_shown_as_such() -> None:
    contract = {
        "modules": {
            "softgrid": {"members": {"get_version": {"kind": "function", "parameters": []}}},
            "softgrid.Core": {
                "members": {
                    "Base": {
                        "kind": "class",
                        "bases": ["object"],
                        "parameters": [],
                        "members": {
                            "there": {"kind": "property"},
                            "later": {"kind": "method", "missing": True, "parameters": []},
                            "unsigned": {"kind": "attribute"},
                        },
                    },
                    "Empty": {"kind": "class", "bases": ["object"]},
                    "function": {"kind": "function"},
                }
            },
        }
    }
    page = tool.page(contract, {"softgrid.get_version": "tests/x.py::test_x"})
    assert "2 of the 3 members of the documented interface are there, in 3 classes" in page
    assert "| `get_version` | function | `tests/x.py::test_x` |" in page
    assert "## softgrid.Core.Base\n" in page
    assert "| `there` | property | **no test named** |" in page
    assert "| `later` | method | **missing** |" in page
    assert "## softgrid.Core.Empty\n\nHas no member of its own." in page
    assert "unsigned" not in page
