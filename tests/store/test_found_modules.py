"""What can travel is found without importing anything, and what cannot says why."""

from __future__ import annotations

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

from softgrid._store.found_modules import NOWHERE, find_module


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write(project: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_module_and_what_is_in_a_package_are_found(project: Path) -> None:
    write(
        project,
        {
            "fm_one.py": "x = 1",
            "fm_pkg/__init__.py": "raise SystemExit",
            "fm_pkg/sub/__init__.py": "",
            "fm_pkg/a.py": "y",
        },
    )
    one = find_module("fm_one")
    assert (one.source, one.file, one.is_package, one.problem) == ("x = 1", str(project / "fm_one.py"), False, "")
    assert find_module("fm_pkg").is_package
    assert find_module("fm_pkg.sub").is_package
    assert find_module("fm_pkg.a").source == "y"
    assert not {name for name in sys.modules if name.startswith("fm_")}


def test_a_namespace_package_is_an_empty_one(project: Path) -> None:
    write(project, {"fm_space/deep/a.py": "x = 1"})
    assert find_module("fm_space") == ("", "", True, "")
    assert find_module("fm_space.deep.a").source == "x = 1"


@pytest.mark.parametrize("name", ["fm_nowhere", "fm_one.below", "json", "sys", "", ".", "a..b", "../etc", "fm one"])
def test_what_is_not_there_or_belongs_to_python_is_nowhere(project: Path, name: str) -> None:
    write(project, {"fm_one.py": ""})
    assert find_module(name) == NOWHERE


def test_text_is_read_in_the_encoding_that_it_declares(project: Path) -> None:
    (project / "fm_latin.py").write_bytes("# coding: latin-1\nx = 'é'".encode("latin-1"))
    assert "'é'" in str(find_module("fm_latin").source)


def test_a_package_with_a_compiled_part_says_what_to_install(project: Path) -> None:
    write(project, {"fm_fast/__init__.py": "", f"fm_fast/inner/_c{EXTENSION_SUFFIXES[0]}": ""})
    found = find_module("fm_fast")
    assert found.source is None
    assert "fm_fast" in found.problem
    assert "_c" in found.problem
    assert "pip install 'fm_fast'" in found.problem


def test_an_installed_compiled_package_is_named_with_its_version() -> None:
    numpy = pytest.importorskip("numpy")
    assert f"pip install 'numpy=={numpy.__version__}'" in find_module("numpy").problem


def test_a_compiled_module_cannot_travel(project: Path) -> None:
    write(project, {f"fm_single{EXTENSION_SUFFIXES[-1]}": ""})
    assert "compiled" in find_module("fm_single").problem


def test_a_module_without_source_says_so(project: Path) -> None:
    import py_compile

    write(project, {"fm_bare.py": "x = 1"})
    py_compile.compile(str(project / "fm_bare.py"), cfile=str(project / "fm_bare.pyc"))
    (project / "fm_bare.py").unlink()
    assert "without its source" in find_module("fm_bare").problem


def test_a_module_that_cannot_be_read_says_so(project: Path) -> None:
    (project / "fm_torn.py").write_bytes(b"# coding: no-such-coding\n")
    assert "fm_torn" in find_module("fm_torn").problem


def test_finders_of_the_user_are_asked(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    from importlib.util import spec_from_file_location

    write(project, {"elsewhere/thing.py": "x = 9"})

    class Finder:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            return spec_from_file_location(name, project / "elsewhere" / "thing.py") if name == "fm_thing" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder(), object()])
    assert find_module("fm_thing").source == "x = 9"


def test_a_loader_that_tells_no_source_has_read_it_from_the_file(
    monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    """As that of pytest, so that a test of the user's can have its own functions run elsewhere."""
    from importlib.util import spec_from_file_location

    (project / "fm_rewritten.txt").write_bytes("# coding: latin-1\nx = 'é'".encode("latin-1"))

    class Loader:
        def exec_module(self, module: Any) -> None:
            raise AssertionError

    class Finder:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            where = project / ("fm_rewritten.txt" if name == "fm_rewritten" else "nowhere.txt")
            return spec_from_file_location(name, where, loader=Loader())  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "meta_path", [Finder()])
    assert "'é'" in str(find_module("fm_rewritten").source)
    assert "cannot be read" in find_module("fm_absent").problem
