"""Writes docs/api-members.md: every documented member, where it stands, and the test that proves it.

    python tools/api_members.py

Made from the contract, tests/api/reference_api.json, and from tests/api/proofs.json, which names a test for each member
that is there.  tests/tools/test_api_members.py compares the page with what this gives, so that it cannot drift.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = ROOT / "tests" / "api" / "reference_api.json"
PROOFS = ROOT / "tests" / "api" / "proofs.json"
PAGE = ROOT / "docs" / "api-members.md"

HEAD = """\
# Every documented member

{there} of the {promised} members of the documented interface are there, in {groups} classes (the functions of the
module `softgrid` are counted as one).  Each stands with the test that proves its documented meaning, not only its
being there; more about each in the [reference](reference.md).  `python tools/api_members.py` writes this page.
"""


class Member(NamedTuple):
    """One name of the contract."""

    name: str
    owner: str
    kind: str
    is_missing: bool

    @property
    def short(self) -> str:
        """The name without its owner."""
        return self.name.removeprefix(f"{self.owner}.")


def members(contract: dict[str, Any]) -> Iterator[Member]:
    """The members that count: whatever has a signature or is a property, of a class or of the module `softgrid`."""
    for module, content in contract["modules"].items():
        for name, entry in content["members"].items():
            if _counts(entry):
                yield Member(f"{module}.{name}", module, entry["kind"], bool(entry.get("missing")))
            for short, inner in entry.get("members", {}).items():
                if _counts(inner):
                    owner = f"{module}.{name}"
                    yield Member(f"{owner}.{short}", owner, inner["kind"], bool(inner.get("missing")))


def owners(contract: dict[str, Any]) -> list[str]:
    """The classes of the contract, and the module that has functions of its own, in their order."""
    found = ["softgrid"]
    for module, content in contract["modules"].items():
        found += [f"{module}.{name}" for name, entry in content["members"].items() if "bases" in entry]
    return found


def page(contract: dict[str, Any], proofs: dict[str, str]) -> str:
    """The whole page."""
    everything = list(members(contract))
    there = sum(not member.is_missing for member in everything)
    groups = owners(contract)
    parts = [HEAD.format(there=there, promised=len(everything), groups=len(groups))]
    for owner in groups:
        rows = [member for member in everything if member.owner == owner]
        if rows:
            parts.append(_table(owner, rows, proofs))
        else:
            parts.append(f"## {owner}\n\nHas no member of its own.\n")
    return "\n".join(parts)


def _table(owner: str, rows: list[Member], proofs: dict[str, str]) -> str:
    lines = [f"## {owner}", "", "| member | kind | proved by |", "| --- | --- | --- |"]
    for member in rows:
        proof = "**missing**" if member.is_missing else _shown(proofs.get(member.name))
        lines.append(f"| `{member.short}` | {member.kind} | {proof} |")
    return "\n".join([*lines, ""])


def _shown(proof: str | None) -> str:
    return f"`{proof}`" if proof else "**no test named**"


def _counts(entry: dict[str, Any]) -> bool:
    return entry["kind"] == "property" or (entry["kind"] != "class" and "parameters" in entry)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(json.loads(CONTRACT.read_text("utf-8")), json.loads(PROOFS.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
