"""SECURITY.md names the tests that show its promises: they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


def test_every_test_that_is_named_exists() -> None:
    missing = [
        f"{path}::{name}"
        for path, name in NAMED
        if not (ROOT / path).exists() or (name and f"def {name}(" not in (ROOT / path).read_text())
    ]
    assert missing == []


def test_every_threat_has_a_line_that_names_what_shows_it() -> None:
    lines = {found[1]: found[0] for found in re.finditer(r"^\| (T\d+) \|.*$", PAGE, re.MULTILINE)}
    assert list(lines) == [f"T{number}" for number in range(1, 21)]
    assert [threat for threat, line in lines.items() if "`tests/" not in line] == []
