"""The page ``docs/benchmarks.md``: facts, then one section per workload.

Pure text in, text out. A run of some workloads renews their sections and keeps the others, each
with its own date, so sections are told apart by a marker. Called by the command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchmarks.plan import WORKLOADS

_MARK = re.compile(r"^<!-- workload: (\w+) -->$", re.MULTILINE)

_INTRO = """\
# Benchmarks

This page is written by `{command}`; do not edit it by hand.

Every repeat is a fresh process, takers in turn (A B C A B C ...), on one machine in one run. A
figure is the median over the repeats; a relation to the floor is the median of the relations of
each round. Each section names the commit that it measured, since a section can be renewed alone. A
floor is the least that plain Python needs for the same thing. `n` counts the repeats
that gave a figure. Load is the one-minute average at the start and at the end of a section.

Setting up: an environment with softgrid and its extra `bench`; a peer that is missing there
becomes a row that says so.
"""


def sections(page: str) -> dict[str, str]:
    """The sections of an existing page by workload."""
    parts = _MARK.split(page)
    return {key: text.strip() for key, text in zip(parts[1::2], parts[2::2], strict=True)}


def render(command: str, facts: Mapping[str, str], by_workload: Mapping[str, str]) -> str:
    """The whole page, sections in the order of the plan."""
    known = [w.key for w in WORKLOADS if w.key in by_workload]
    blocks = [_INTRO.format(command=command), facts_list(facts)]
    blocks += [f"<!-- workload: {key} -->\n{by_workload[key].strip()}\n" for key in known]
    return "\n".join(blocks)


def facts_list(facts: Mapping[str, str]) -> str:
    """Machine facts as a list."""
    return "".join(f"* {name}: {value}\n" for name, value in facts.items())
