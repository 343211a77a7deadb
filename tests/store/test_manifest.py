"""Packages that arrive as dictionaries: what is refused before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from softgrid._model.errors import BadArgument
from softgrid._store.manifest import checked_manifest
from softgrid._store.paths import OutsideRoot


def package(**changes: Any) -> dict[str, Any]:
    files = {"mine/__init__.py": b"", "mine/deep/data.bin": b"\xff"}
    return {"name": "mine", "type": "package", "files": files, **changes}


def module(**changes: Any) -> dict[str, Any]:
    return {"name": "mine", "type": "module", "files": {"mine.py": b"x = 1"}, **changes}


def test_a_good_package_and_a_good_module_pass() -> None:
    checked = checked_manifest(package(), "")
    assert (checked.name, checked.path, checked.parents) == ("mine", "mine", ())
    assert checked.full_paths() == package()["files"]
    assert checked_manifest(module(), None).files == {"mine.py": b"x = 1"}


def test_below_a_root_names_and_paths_are_longer() -> None:
    checked = checked_manifest(module(), "outer/inner")
    assert (checked.name, checked.path) == ("outer.inner.mine", "outer/inner/mine")
    assert checked.full_paths() == {"outer/inner/mine.py": b"x = 1"}


@pytest.mark.parametrize("sources", [None, "mine", {}, {"name": "mine"}, [("name", "mine")]])
def test_what_read_files_would_not_make_is_refused(sources: object) -> None:
    with pytest.raises(BadArgument, match=r"packageDict: got .*as read_files makes it"):
        checked_manifest(sources, "")


@pytest.mark.parametrize("name", ["", "my-package", "2nd", "class", "a.b", None, "mine "])
def test_names_that_cannot_be_imported_are_refused(name: object) -> None:
    with pytest.raises(BadArgument, match=r"packageDict\['name'\]: got"):
        checked_manifest(package(name=name), "")


@pytest.mark.parametrize("name", ["json", "os", "softgrid", "__main__"])
def test_names_that_would_hide_what_everybody_needs_are_refused(name: str) -> None:
    with pytest.raises(BadArgument, match="hides no module of Python or softgrid"):
        checked_manifest(package(name=name, files={f"{name}/__init__.py": b""}), "")
    with pytest.raises(BadArgument, match="hides no module"):
        checked_manifest(module(), name)


@pytest.mark.parametrize(
    "path",
    ["mine/../../x.py", "../x.py", "/mine/x.py", "other/x.py", "mine.py", "mine2/x.py", "mine"],
)
def test_paths_that_leave_the_package_are_refused(path: str) -> None:
    with pytest.raises(OutsideRoot, match=r"packageDict\['files'\]: got"):
        checked_manifest(package(files={"mine/__init__.py": b"", path: b""}), "")


@pytest.mark.parametrize("path", ["mine/x.py", "other.py", "../mine.py", "mine"])
def test_paths_that_are_not_the_module_are_refused(path: str) -> None:
    with pytest.raises(OutsideRoot, match=r"packageDict\['files'\]: got"):
        checked_manifest(module(files={path: b""}), "")


@pytest.mark.parametrize("path", ["mine/a\0b", "mine/" + "n" * 300, "mine/", "", 5])
def test_paths_that_are_none_are_refused(path: object) -> None:
    with pytest.raises(BadArgument, match=r"packageDict\['files'\]: got"):
        checked_manifest(package(files={path: b""}), "")


@pytest.mark.parametrize("files", [{}, [], None, "mine/x.py"])
def test_a_package_has_files(files: object) -> None:
    with pytest.raises(BadArgument, match=r"packageDict\['files'\]: got"):
        checked_manifest(package(files=files), "")


def test_files_are_bytes() -> None:
    with pytest.raises(BadArgument, match=r"packageDict\['files'\]\['mine/x.py'\]: got 'text'.* bytes"):
        checked_manifest(package(files={"mine/x.py": "text"}), "")


def test_there_are_two_types() -> None:
    with pytest.raises(BadArgument, match=r"packageDict\['type'\]: got 'wheel'"):
        checked_manifest(package(type="wheel"), "")


@pytest.mark.parametrize("root", ["../a", "/a", "a/../b"])
def test_roots_that_lead_out_are_refused(root: str) -> None:
    with pytest.raises(OutsideRoot, match="relativeRoot: got"):
        checked_manifest(module(), root)


@pytest.mark.parametrize("root", ["a b", "a/2", "a.b", 5, "import", "a/"])
def test_roots_that_cannot_be_imported_are_refused(root: object) -> None:
    with pytest.raises(BadArgument, match="relativeRoot: got"):
        checked_manifest(module(), root)
