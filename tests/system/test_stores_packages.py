"""Packages and modules that are made importable, here and on other executors, at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.watching import pid_in, wait_until

from softgrid import Collections

pytestmark = pytest.mark.system

SITES = ("temporary", "permanent", "user", "memory")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package on disk, of which not everything is to travel."""
    root = tmp_path / "source" / "sgpackage"
    files = {
        "__init__.py": "from sgpackage.inner import value\n",
        "inner/__init__.py": "value = 'inner'\n",
        "inner/fast.so": "compiled",
        "inner/header.h": "",
        "docs/page.py": "",
        ".hidden/secret.py": "",
        "__pycache__/x.pyc": "",
        "Examples/example.py": "",
        "2nd.py": "",
        "notes.txt": "notes",
        "data/table.csv": "1,2",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture
def own(make_grid: MakeGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grid:
    """A grid whose workers have a user's site and permanent folders below those of the test, and nobody's own."""
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "userbase"))
    grid = make_grid(managers=1, workers=0, permanentDir=str(tmp_path / "permanent"))
    for name in ("one", "two"):
        kwargs = {"permanentDir": str(tmp_path / name)}
        grid.workers += grid.launch("Worker", grid.managers[0], executorKwargs=kwargs)
    return grid


@pytest.fixture(autouse=True)
def imports() -> Iterator[None]:
    """Nothing of these packages stays in the process of the tests."""
    before = [*sys.path], [*sys.meta_path]
    yield
    assert ([*sys.path], [*sys.meta_path]) == before
    for name in [name for name in sys.modules if name.startswith("sgpackage")]:
        del sys.modules[name]


def load(name: str) -> Any:
    import importlib

    module = importlib.import_module(name)
    return module.value, module.__file__


def files_below(folder: Any) -> list[str]:
    paths = (path.relative_to(folder) for path in Path(folder).rglob("*") if not path.is_dir())
    return sorted(str(path) for path in paths if "__pycache__" not in path.parts)


def module(value: object, name: str = "sgpackage") -> dict[str, Any]:
    return {"name": name, "type": "module", "files": {f"{name}.py": f"value = {value!r}\n".encode()}}


# -- sites -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", SITES)
def test_what_is_sent_can_be_imported_at_once_and_lies_where_it_should(
    own: Grid, package: Path, tmp_path: Path, site: str
) -> None:
    worker, other = own.workers
    assert "ModuleNotFoundError" in own.one(load, "sgpackage").error
    status = own.O.transfer_add_package(str(package), worker, sitePackages=site)
    assert status, status
    assert (status.name, status.data) == ("sgpackage", "sgpackage")
    value, file = own.one(load, "sgpackage")
    assert value == "inner"
    place = {
        "temporary": tempfile_home(worker),
        "permanent": str(tmp_path / "one" / "site-packages"),
        "user": str(tmp_path / "userbase"),
        "memory": "<softgrid memory>",
    }[site]
    assert place in file
    if site != "user":  # which is the same for both, and found where this Python looks there
        assert "ModuleNotFoundError" in own.one(load, "sgpackage", to=other).error


def tempfile_home(name: str) -> str:
    return f"/{pid_in(name)}/temporary/site-packages/"


def test_every_role_can_be_sent_packages_and_imports_them(own: Grid, package: Path) -> None:
    everybody = [own.O.gridUniqueName, *own.managers, *own.workers]
    statuses = own.O.transfer_add_package(str(package), everybody)
    assert [bool(status) for status in statuses] == [True] * 4
    assert load("sgpackage")[0] == "inner"
    assert [found[0] for found in own.call(load, "sgpackage", to=own.workers)] == ["inner"] * 2


def test_permanent_packages_are_there_for_executors_of_later_days(own: Grid, package: Path, tmp_path: Path) -> None:
    assert own.O.transfer_add_package(str(package), own.workers[0], sitePackages="permanent")
    kwargs = {"permanentDir": str(tmp_path / "one")}
    (later,) = own.launch("Worker", own.managers[0], executorKwargs=kwargs)
    assert own.one(load, "sgpackage", to=later)[0] == "inner"
    again = own.O.transfer_add_package(str(package), later, sitePackages="permanent")
    assert "replace=True" in again.error


def test_packages_of_the_users_site_are_there_for_every_python_of_the_user(own: Grid, package: Path) -> None:
    assert own.O.transfer_add_package(str(package), own.workers[0], sitePackages="user")
    python = os.path.realpath(sys.executable)  # an environment of its own would not look there
    found = subprocess.run(
        [python, "-c", "import sgpackage; print(sgpackage.value)"], capture_output=True, text=True, check=True
    )
    assert found.stdout == "inner\n"


def test_an_unknown_site_is_refused(own: Grid, package: Path) -> None:
    for site in ("system", "", None, 5):
        status = own.O.transfer_add_package(str(package), own.workers[0], sitePackages=site)
        assert status.error.startswith("sitePackages: got")


# -- what travels ----------------------------------------------------------------------------------


def sent_files(own: Grid, package: Path, tmp_path: Path, **patterns: Any) -> list[str]:
    status = own.O.transfer_add_package(str(package), own.workers[0], sitePackages="permanent", **patterns)
    assert status, status
    return files_below(tmp_path / "one" / "site-packages" / "sgpackage")


def test_by_default_source_text_travels_and_nothing_compiled_or_hidden(
    own: Grid, package: Path, tmp_path: Path
) -> None:
    assert sent_files(own, package, tmp_path) == ["__init__.py", "inner/__init__.py", "inner/header.h"]


def test_data_files_come_along(own: Grid, package: Path, tmp_path: Path) -> None:
    found = sent_files(own, package, tmp_path, dataFiles=["notes.txt", "data"])
    assert found == ["__init__.py", "data/table.csv", "inner/__init__.py", "inner/header.h", "notes.txt"]


def test_patterns_say_what_else_travels_or_stays(own: Grid, package: Path, tmp_path: Path) -> None:
    found = sent_files(own, package, tmp_path, rejectFiles=[r"\.h$"], acceptFiles=(), rejectFolders={"^_", r"^\."})
    assert found == [
        "2nd.py", "Examples/example.py", "__init__.py", "data/table.csv", "docs/page.py", "inner/__init__.py",
        "inner/fast.so", "notes.txt",
    ]  # fmt: skip
    found = sent_files(own, package, tmp_path, acceptFolders=["^none$"], replace=True)
    assert found == ["__init__.py"]


@pytest.mark.parametrize("parameter", ["rejectFiles", "acceptFiles", "rejectFolders", "acceptFolders", "dataFiles"])
@pytest.mark.parametrize("value", [["[a-"], [5], "^a$"])
def test_bad_patterns_are_one_failed_status_that_names_them(
    own: Grid, package: Path, parameter: str, value: Any
) -> None:
    status = own.O.transfer_add_package(str(package), "workers", **{parameter: value})
    assert isinstance(status, Collections.SoftgridStatus)
    assert not status
    assert parameter in status.error


def test_paths_of_which_nothing_can_be_read_are_one_failed_status(own: Grid, package: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none", tmp_path / "empty", 5, None):
        status = own.O.transfer_add_package(path, "workers")
        assert isinstance(status, Collections.SoftgridStatus), path
        assert not status
    (package / "inner" / "link.py").symlink_to(tmp_path / "outside.py")
    status = own.O.transfer_add_package(str(package), "workers")
    assert "outside of the package" in status.error
    assert "ModuleNotFoundError" in own.one(load, "sgpackage").error


def test_single_modules_travel_too(own: Grid, tmp_path: Path) -> None:
    (tmp_path / "sgpackage_single.py").write_text("value = 5\n")
    assert [bool(each) for each in own.O.transfer_add_package(tmp_path / "sgpackage_single.py", "workers")] == [
        True
    ] * 2
    assert own.one(load, "sgpackage_single")[0] == 5


@pytest.mark.parametrize("name", ["json", "softgrid", "class", "my-package", "2nd"])
def test_names_that_hide_others_or_cannot_be_imported_are_refused(own: Grid, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    status = own.O.transfer_add_package(str(tmp_path / name), own.workers[0])
    assert "packageDict['name']" in status.error
    own.check_alive()


# -- replacing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", SITES)
def test_what_is_there_stays_unless_it_may_be_replaced(own: Grid, package: Path, site: str) -> None:
    worker = own.workers[0]
    assert own.O.transfer_add_package(str(package), worker, sitePackages=site)
    assert own.one(load, "sgpackage")[0] == "inner"
    (package / "inner" / "__init__.py").write_text("value = 'newer'\n")
    status = own.O.transfer_add_package(str(package), worker, sitePackages=site)
    assert "replace=True" in status.error
    assert own.one(load, "sgpackage")[0] == "inner"
    assert own.O.transfer_add_package(str(package), worker, sitePackages=site, replace=True)
    assert own.one(load, "sgpackage")[0] == "newer"


# -- add_package itself ----------------------------------------------------------------------------


def test_a_package_can_be_added_below_another(own: Grid) -> None:
    status = own.one("add_package", module(3, "deep"), "sgpackage_outer/inner", "what it is")
    assert status
    assert (status.name, status.data) == ("what it is", "sgpackage_outer.inner.deep")
    assert own.one(load, "sgpackage_outer.inner.deep")[0] == 3
    assert "relativeRoot" in own.one("add_package", module(3, "deep"), "../x", "what it is").error


def test_what_read_files_reads_can_be_added_here(own: Grid, package: Path) -> None:
    status = own.O.add_package(Collections.read_files(str(package)), description="mine", sitePackages="memory")
    assert (bool(status), status.name) == (True, "mine")
    assert load("sgpackage")[0] == "inner"
    again = own.O.add_package(Collections.read_files(str(package)), description=None)
    assert (bool(again), again.name) == (False, None)


@pytest.mark.parametrize("given", [None, "text", {}, {"name": "x", "type": "module", "files": {"../x.py": b""}}])
def test_what_is_no_package_is_refused(own: Grid, given: Any) -> None:
    status = own.one("add_package", given)
    assert not status
    assert "packageDict" in status.error


def test_a_function_of_a_package_that_was_sent_can_be_called(own: Grid, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "sgpackage_calls.py").write_text("def twice(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import sgpackage_calls  # type: ignore[import-not-found]

    assert own.O.transfer_add_package(tmp_path / "sgpackage_calls.py", own.workers[0])
    assert own.one(sgpackage_calls.twice, 4) == 8
    monkeypatch.undo()


# -- receivers -------------------------------------------------------------------------------------


def test_the_dead_and_the_stopped_are_told_in_their_place(own: Grid, package: Path) -> None:
    (dies,) = own.launch("Worker")
    (stops,) = own.launch("Worker")
    os.kill(pid_in(dies), signal.SIGKILL)
    wait_until(lambda: dies not in own.O.workers)
    os.kill(pid_in(stops), signal.SIGSTOP)
    try:
        receivers = [dies, stops, own.workers[0]]
        dead, late, there = own.O.transfer_add_package(str(package), receivers, timeout=0.5)
    finally:
        os.kill(pid_in(stops), signal.SIGCONT)
    assert "SIGKILL" in dead.error
    assert "no answer" in late.error
    assert there
    assert own.O.transfer_add_package(str(package), own.workers[1], timeout=None) is None
    assert own.O.transfer_get_data("none", own.workers[1], default=1, mustExist=False) == 1, "in order"
    assert own.one(load, "sgpackage", to=own.workers[1])[0] == "inner"


def another_python() -> str:
    """A Python of another version, where this machine has one."""
    tool = Path(__file__).parents[2] / "tools" / "find-python"
    for minor in ("3.10", "3.11", "3.12", "3.13"):
        if minor != f"3.{sys.version_info[1]}":
            found = subprocess.run([str(tool), minor], capture_output=True, text=True, check=False)
            if found.returncode == 0:
                return found.stdout.strip()
    pytest.skip("this machine has no Python of another version")


def test_a_package_travels_to_an_executor_of_another_python(scripts: Scripts, package: Path) -> None:
    python = another_python()
    said = scripts.run(
        f"""
        O = Orchestrator(logKwargs={{'logToStdout': False}})
        (worker,) = launch(O, 'Worker', machineExecutable={python!r})
        say('sent', *(bool(O.transfer_add_package({str(package)!r}, worker, sitePackages=site, replace=True))
                      for site in ('temporary', 'memory')))
        source = 'def f():\\n    import sgpackage, sys\\n    return sgpackage.value, sys.version_info[1]'
        value, minor = call(O, source, to=worker)[0]
        say('imported', value, minor != sys.version_info[1])
        say('stored', bool(O.transfer_add_udf('f', source, False, worker)), call(O, 'f', to=worker)[0][0],
            O.transfer_get_udf('f', worker).__name__)
        status = O.transfer_add_udf('g', lambda: 1, False, worker)
        say('refused', status.error)
        say('data', O.transfer_add_data('d', {{'k': [1]}}, worker), O.transfer_get_data('d', worker))
        """
    )
    assert "sent True True" in said
    assert "imported inner True" in said
    assert "stored True inner f" in said
    assert "which cannot read its byte code; give the function as source text" in said
    assert "data d: succeeded: data is kept {'k': [1]}" in said
