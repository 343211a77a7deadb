"""The documentation builds, and every warning is an error: as `make docs` does it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_documentation_builds_without_a_warning(tmp_path):
    recipe = re.search(r"-m sphinx (.*) docs build/docs", (ROOT / "Makefile").read_text())
    options = recipe[1].split()
    assert "--fail-on-warning" in options
    command = [sys.executable, "-m", "sphinx", *options, "docs", str(tmp_path / "built")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "built" / "reference.html").read_text()
    assert "get_transfer_template" in reference
