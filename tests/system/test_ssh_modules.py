"""The user's own modules are there on machines that have never seen them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.ssh_hosts import SshHosts

pytestmark = pytest.mark.system

FILES = {
    "sg_alone.py": "import sg_project.deep.leaf\ndef twice(x):\n    return 2 * x + sg_project.deep.leaf.ONE\n",
    "sg_project/__init__.py": "from .tools import Point\n",
    "sg_project/tools.py": (
        "class Point:\n    def __init__(self, x):\n        self.x = x\n    def __eq__(self, other):\n"
        "        return self.x == other.x\n    __hash__ = None\n"
        "    def moved(self):\n        return Point(self.x + 1)\n"
    ),
    "sg_project/deep/__init__.py": "",
    "sg_project/deep/leaf.py": "ONE = 1\ndef fails():\n    raise ValueError('from the leaf')\n",
    "sg_odd.py": "import no_such_module_anywhere\n",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "project"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in [name for name in sys.modules if name.startswith("sg_")]:
        del sys.modules[name]


def workers_on(grid: Grid, address: str, count: int = 1, **kwargs: Any) -> list[str]:
    statuses, successful, failed = grid.O.launch_worker([address] * count, timeout=30, **kwargs)
    assert failed == [], statuses
    return [item["gridUniqueName"] for item in successful]


def test_functions_and_classes_of_the_users_project_work_there(
    hosts: SshHosts, make_grid: MakeGrid, project: Path
) -> None:
    import sg_alone  # type: ignore[import-not-found]
    import sg_project.deep.leaf  # type: ignore[import-not-found]

    far = hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    workers = workers_on(grid, "far", 2)
    assert grid.call(sg_alone.twice, 4, to=workers) == [9, 9]
    assert grid.one(sg_project.Point(3).moved, to=workers[0]) == sg_project.Point(4)
    assert grid.one(lambda point: point.moved(), sg_project.Point(6), to=workers[1]) == sg_project.Point(7)
    failure = grid.call(sg_project.deep.leaf.fails, to=workers[0])[0]
    assert "raise ValueError('from the leaf')" in str(failure.error)
    assert far.files() == []


def test_modules_come_through_every_hop_and_to_another_python(
    hosts: SshHosts, make_grid: MakeGrid, project: Path
) -> None:
    import sg_alone

    hosts.make("far", "3.10" if sys.version_info[:2] != (3, 10) else "3.13")
    grid = make_grid(workers=0, rules=hosts.rules)
    _, ((manager),), _ = grid.O.launch_manager("far", timeout=30)
    workers = workers_on(grid, "far", 2, upgridUniqueName=manager["gridUniqueName"])
    assert grid.call(sg_alone.twice, 4, to=workers) == [9, 9]


def test_an_edited_module_is_the_new_one_in_the_next_run(hosts: SshHosts, make_grid: MakeGrid, project: Path) -> None:
    hosts.make("far")
    call = "lambda: __import__('sg_edited').VALUE"
    for value in (1, 2):
        (project / "sg_edited.py").write_text(f"VALUE = {value}\n")
        os.utime(project / "sg_edited.py", (0, 0))
        grid = make_grid(workers=0, rules=hosts.rules)
        (worker,) = workers_on(grid, "far")
        assert grid.one(call, to=worker) == value
        grid.O.disconnect(kill=False)


def test_a_module_crosses_the_connection_once_for_all_executors_of_a_machine(
    hosts: SshHosts, make_grid: MakeGrid, project: Path
) -> None:
    """Also where they stand side by side directly below; on another machine it has to arrive once more."""
    far, _ = hosts.make("far"), hosts.make("other")
    (project / "sg_large.py").write_text("VALUE = 5\n" + "# a long tale\n" * 30_000)
    grid = make_grid(workers=0, rules=hosts.rules)
    one, two, there = workers_on(grid, "far", 2) + workers_on(grid, "other")
    _, ((manager),), _ = grid.O.launch_manager("far", timeout=30)
    below = workers_on(grid, "far", upgridUniqueName=manager["gridUniqueName"])[0]

    def cost_at(worker: str) -> int:
        member = grid.O._node.tree.find(worker)
        before = member.hop.bytes_sent
        assert grid.one("lambda: __import__('sg_large').VALUE", to=worker) == 5
        return int(member.hop.bytes_sent) - before

    assert cost_at(one) > 400_000
    assert cost_at(two) < 10_000
    assert cost_at(below) < 10_000
    assert cost_at(there) > 400_000
    assert far.files() == []


def test_what_is_nowhere_or_compiled_says_so(hosts: SshHosts, make_grid: MakeGrid, project: Path) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules)
    (worker,) = workers_on(grid, "far")
    error = grid.call("lambda: __import__('sg_odd')", to=worker)[0].error
    assert "No module named 'no_such_module_anywhere'" in str(error)
    error = grid.call("lambda: __import__('numpy')", to=worker)[0].error
    assert "pip install 'numpy==" in str(error)
    assert grid.one("lambda: 1", to=worker) == 1


def test_fetching_can_be_turned_off(hosts: SshHosts, make_grid: MakeGrid, project: Path) -> None:
    import sg_alone

    hosts.make("far")
    grid = make_grid(workers=0, rules={**hosts.rules, "fetch_modules": False})
    (worker,) = workers_on(grid, "far")
    assert "No module named 'sg_alone'" in str(grid.call(sg_alone.twice, 1, to=worker)[0].error)
