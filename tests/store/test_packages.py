"""Packages made importable at once, replaced, and kept inside of their site."""

from __future__ import annotations

import importlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from softgrid._model.errors import BadArgument, Duplicate
from softgrid._store import packages
from softgrid._store.packages import Package, PackageStore
from softgrid._store.paths import NotWritten, OutsideRoot
from softgrid._util.sources import Sources, read_files

SITES = ("temporary", "permanent", "user", "memory")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PackageStore]:
    made = PackageStore({name: tmp_path / name for name in SITES if name != "memory"})
    path, finders, modules = [*sys.path], [*sys.meta_path], set(sys.modules)
    yield made
    made.close()
    assert sys.path == path
    assert sys.meta_path == finders
    for name in set(sys.modules) - modules:
        if name.startswith("sgpkg"):
            del sys.modules[name]


def package(value: object, name: str = "sgpkg", **more: bytes) -> Sources:
    files = {f"{name}/__init__.py": f"value = {value!r}\n".encode()}
    files |= {f"{name}/{path}.py": raw for path, raw in more.items()}
    return {"name": name, "type": "package", "files": files}


def module(value: object, name: str = "sgpkg") -> Sources:
    raw = f"value = {value!r}\n".encode()
    return {"name": name, "type": "module", "files": {f"{name}.py": raw}}


def load(name: str) -> Any:
    return importlib.import_module(name)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("sources", [package(1, part=b"deep = 2\n"), module(1)])
def test_what_is_added_can_be_imported_at_once(store: PackageStore, site: str, sources: Sources) -> None:
    with pytest.raises(ModuleNotFoundError):
        load("sgpkg")
    added = store.add(sources, site=site)
    assert added == Package("sgpkg", site, len(sources["files"]))
    assert load("sgpkg").value == 1
    if sources["type"] == "package":
        assert load("sgpkg.part").deep == 2


def test_what_read_files_reads_is_what_arrives(store: PackageStore, tmp_path: Path) -> None:
    source = tmp_path / "source" / "sgpkg"
    (source / "inner").mkdir(parents=True)
    (source / "__init__.py").write_text("from sgpkg.inner import value\n")
    (source / "inner" / "__init__.py").write_text("value = 'inner'\n")
    (source / "notes.txt").write_text("notes")
    store.add(read_files(source, data_files=["notes.txt"]))
    assert load("sgpkg").value == "inner"
    assert (tmp_path / "temporary" / "sgpkg" / "notes.txt").read_text() == "notes"


def test_files_and_folders_are_private(store: PackageStore, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store.add(package(1, part=b""), relative_root="sgpkg_outer")
    finally:
        os.umask(before)
    for path in (tmp_path / "temporary").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("site", SITES)
def test_a_root_puts_it_inside_of_another_package(store: PackageStore, site: str) -> None:
    assert store.add(package(1), relative_root="sgpkg_a/b", site=site).name == "sgpkg_a.b.sgpkg"
    assert load("sgpkg_a.b.sgpkg").value == 1
    store.add(module(2, "other"), relative_root="sgpkg_a/b", site=site)
    assert load("sgpkg_a.b.other").value == 2
    with pytest.raises(ModuleNotFoundError):
        load("sgpkg")


@pytest.mark.parametrize("site", SITES)
def test_without_replace_a_package_stays(store: PackageStore, site: str) -> None:
    store.add(package(1), site=site)
    with pytest.raises(Duplicate, match=rf"packageDict: got 'sgpkg', .*it is in '{site}'"):
        store.add(package(2), site=site)
    assert load("sgpkg").value == 1


def test_without_replace_what_another_left_in_the_site_stays(tmp_path: Path) -> None:
    (tmp_path / "sgpkg.py").write_text("value = 'theirs'\n")
    with pytest.raises(Duplicate, match="it is in 'permanent'"):
        PackageStore({"permanent": tmp_path}).add(package(1), site="permanent")


@pytest.mark.parametrize("site", SITES)
def test_without_replace_what_was_imported_from_elsewhere_stays(
    store: PackageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "sgpkg.py").write_text("value = 'theirs'\n")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    theirs = load("sgpkg")
    with pytest.raises(Duplicate, match=r"imported from '.*elsewhere/sgpkg.py'"):
        store.add(module(1), site=site)
    assert load("sgpkg") is theirs
    store.add(module(1), site=site, replace=True)
    assert load("sgpkg").value == 1
    store.close()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("old", [package(1, part=b"deep = 1\n"), module(1)])
@pytest.mark.parametrize("new", [package(2), module(2)])
def test_replacing_forgets_the_old_one_altogether(store: PackageStore, site: str, old: Sources, new: Sources) -> None:
    store.add(old, site=site)
    before = load("sgpkg")
    if old["type"] == "package":
        load("sgpkg.part")
    store.add(new, site=site, replace=True)
    assert load("sgpkg").value == 2
    assert before.value == 1, "what was imported lives on where it is used"
    with pytest.raises(ModuleNotFoundError):
        load("sgpkg.part")
    assert store.packages() == (Package("sgpkg", site, 1),)


def test_a_source_of_the_same_size_and_second_is_not_taken_for_the_old_one(
    store: PackageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for value in (1, 2, 3):
        store.add(module(value), replace=True)
        os.utime(tmp_path / "temporary" / "sgpkg.py", (1, 1))
        assert load("sgpkg").value == value
        assert list((tmp_path / "temporary" / "__pycache__").iterdir())


@pytest.mark.parametrize("first", SITES)
@pytest.mark.parametrize("second", SITES)
def test_what_was_added_last_is_found_first(store: PackageStore, first: str, second: str) -> None:
    store.add(package(1), site=first)
    assert load("sgpkg").value == 1
    store.add(package(2), site=second, replace=True)
    assert load("sgpkg").value == 2


def test_replacing_a_member_is_seen_through_its_parent(store: PackageStore) -> None:
    store.add(package(0, "sgpkg_outer"))
    store.add(module(1), relative_root="sgpkg_outer")
    outer = load("sgpkg_outer")
    assert load("sgpkg_outer.sgpkg").value == 1
    store.add(module(2), relative_root="sgpkg_outer", replace=True)
    assert not hasattr(outer, "sgpkg")
    assert load("sgpkg_outer.sgpkg").value == 2
    assert load("sgpkg_outer") is outer


def test_a_parent_in_memory_and_one_on_disk_know_of_each_other(store: PackageStore) -> None:
    store.add(module(1, "one"), relative_root="sgpkg_outer", site="memory")
    assert load("sgpkg_outer.one").value == 1
    store.add(module(2, "two"), relative_root="sgpkg_outer", site="temporary")
    assert load("sgpkg_outer.two").value == 2
    assert load("sgpkg_outer.one").value == 1


@pytest.mark.parametrize("site", SITES)
def test_what_is_added_hides_what_is_installed_and_nothing_else_does(
    store: PackageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    for folder, names in (("installed", ("sgpkg", "sgpkg_other")), (site, ("sgpkg_other",))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.py").write_text(f"value = {folder!r}\n")
    monkeypatch.syspath_prepend(tmp_path / "installed")
    store.add(module("added"), site=site)
    assert load("sgpkg").value == "added"
    assert load("sgpkg_other").value == "installed"
    store.close()


def test_a_site_that_is_on_the_path_already_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = str(tmp_path / "user")
    monkeypatch.setattr(sys, "path", [sys.path[0], site, *sys.path[1:]])
    before = [*sys.path]
    store = PackageStore({"user": site})
    store.add(module(1), site="user")
    try:
        assert load("sgpkg").value == 1
        assert sys.path == before
    finally:
        store.close()
        del sys.modules["sgpkg"]
    assert sys.path == before


def test_a_site_of_earlier_days_is_looked_in_last(store: PackageStore, tmp_path: Path) -> None:
    (tmp_path / "permanent").mkdir()
    (tmp_path / "permanent" / "sgpkg.py").write_text("value = 'earlier'\n")
    store.look_in("permanent")
    store.look_in("permanent")
    assert sys.path.count(str(tmp_path / "permanent")) == 1
    assert load("sgpkg").value == "earlier"


def test_members_of_one_namespace_may_be_in_several_sites(store: PackageStore) -> None:
    store.add(module(1, "one"), relative_root="sgpkg_outer", site="temporary")
    store.add(module(2, "two"), relative_root="sgpkg_outer", site="permanent")
    store.add(module(3, "three"), relative_root="sgpkg_outer", site="memory")
    assert [load(f"sgpkg_outer.{name}").value for name in ("one", "two", "three")] == [1, 2, 3]


def test_nothing_can_be_put_below_what_would_not_find_it(store: PackageStore, tmp_path: Path) -> None:
    store.add(module(1, "sgpkg_single"), site="memory")
    store.add(package(2, "sgpkg_memory"), site="memory")
    store.add(package(3, "sgpkg_inner"), relative_root="sgpkg_outer", site="permanent")
    roots = {"sgpkg_single": "memory", "sgpkg_memory": "temporary", "sgpkg_outer/sgpkg_inner": "temporary"}
    for root, site in roots.items():
        with pytest.raises(BadArgument, match=rf"relativeRoot: got '{root.replace('/', '.')}'"):
            store.add(module(4, "deep"), relative_root=root, site=site)
    assert not (tmp_path / "temporary").exists()
    store.add(module(5, "deep"), relative_root="sgpkg_outer/sgpkg_inner", site="permanent")
    assert load("sgpkg_outer.sgpkg_inner.deep").value == 5


def test_nothing_can_be_put_below_a_package_that_is_elsewhere(store: PackageStore, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"relativeRoot: got 'pytest', .*does not exist elsewhe"):
        store.add(module(1), relative_root="pytest")
    assert not (tmp_path / "temporary").exists()


def test_an_unknown_site_is_refused(store: PackageStore) -> None:
    with pytest.raises(BadArgument, match=r"sitePackages: got 'system', .*'temporary', .*'memory'"):
        store.add(package(1), site="system")


def test_paths_that_leave_are_refused_before_anything_is_written(store: PackageStore, tmp_path: Path) -> None:
    sources = package(1)
    sources["files"]["sgpkg/../../escaped.py"] = b""
    for site in SITES:
        with pytest.raises(OutsideRoot):
            store.add(sources, site=site)
    assert not list(tmp_path.rglob("*"))


def test_a_link_in_a_site_is_not_followed_but_replaced(store: PackageStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs.py").write_text("")
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary" / "sgpkg").symlink_to(outside)
    with pytest.raises(OutsideRoot, match="'sgpkg' is one"):
        store.add(module(1, "inner"), relative_root="sgpkg")
    with pytest.raises(Duplicate):
        store.add(package(1))
    store.add(package(1), replace=True)
    assert load("sgpkg").value == 1
    assert os.listdir(outside) == ["theirs.py"]


def test_a_full_disk_leaves_the_old_package(
    store: PackageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(package(1))

    def full(path: str, content: bytes) -> None:
        Path(path).write_bytes(content[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packages, "write_private", full)
    with pytest.raises(NotWritten, match=r"temporary/sgpkg' was not written.*No space left"):
        store.add(package(2), replace=True)
    with pytest.raises(NotWritten):
        store.add(package(2, "sgpkg_new"))
    assert os.listdir(tmp_path / "temporary") == ["sgpkg"]
    assert load("sgpkg").value == 1


def test_when_the_last_step_fails_the_old_package_is_put_back(
    store: PackageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(package(1))
    rename = os.rename

    def refuse(source: str, target: str, **folders: int) -> None:
        if "/new/" in source:
            raise OSError(5, "Input/output error")
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(NotWritten, match="Input/output error"):
        store.add(package(2), replace=True)
    assert os.listdir(tmp_path / "temporary") == ["sgpkg"]
    assert load("sgpkg").value == 1


def test_adding_imports_and_runs_nothing(store: PackageStore) -> None:
    for site in SITES:
        raw = b"raise RuntimeError('ran')\n"
        files = {"sgpkg_raises/__init__.py": raw}
        store.add({"name": "sgpkg_raises", "type": "package", "files": files}, site=site, replace=True)
    assert "sgpkg_raises" not in sys.modules


def test_what_a_store_holds_can_be_seen(store: PackageStore) -> None:
    store.add(package(1), site="memory")
    assert repr(store).startswith("PackageStore(packages=1, sites=['temporary'")
