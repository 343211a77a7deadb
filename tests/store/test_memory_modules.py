"""Modules from memory: the import system, tracebacks and inspect all take them for modules."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from softgrid._store.memory_modules import PLACE, MemoryModules

FILES = {
    "sgmem/__init__.py": b"from sgmem import part\nwhole = part.value * 2\n",
    "sgmem/part.py": b"value = 21\n\ndef fail():\n    raise ValueError('told')\n",
    "sgmem/data/table.bin": b"\x00\xff",
    "sgmem/space/inner.py": b"value = 'inner'\n",
    "sgmem/latin.py": "# -*- coding: latin-1 -*-\nname = 'ü'\n".encode("latin-1"),
}


@pytest.fixture
def modules() -> Iterator[MemoryModules]:
    finder = MemoryModules()
    finder.replace("sgmem", FILES)
    sys.meta_path.insert(0, finder)
    yield finder
    sys.meta_path.remove(finder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "sgmem"]:
        del sys.modules[name]


def load(name: str) -> Any:
    return importlib.import_module(name)


def test_packages_and_their_modules_are_imported(modules: MemoryModules) -> None:
    package = load("sgmem")
    assert package.whole == 42
    assert package.part.value == 21
    assert package.__file__ == f"{PLACE}/sgmem/__init__.py"
    assert (package.part.__package__, package.__package__) == ("sgmem", "sgmem")


def test_a_folder_without_init_is_a_namespace(modules: MemoryModules) -> None:
    assert load("sgmem.space.inner").value == "inner"
    assert load("sgmem.space").__path__


def test_what_is_not_there_is_not_found(modules: MemoryModules) -> None:
    for name in ("sgmem.none", "sgmem.data.table", "sgme", "sgmem2"):
        with pytest.raises(ModuleNotFoundError):
            load(name)
    with pytest.raises(ImportError, match=r"no module 'sgmem.none' is kept"):
        modules.get_source("sgmem.none")


def test_a_declared_encoding_is_heeded(modules: MemoryModules) -> None:
    assert load("sgmem.latin").name == "ü"
    assert "'ü'" in modules.get_source("sgmem.latin")


def test_tracebacks_show_the_line(modules: MemoryModules) -> None:
    try:
        load("sgmem.part").fail()
    except ValueError:
        text = traceback.format_exc()
    assert f'File "{PLACE}/sgmem/part.py", line 4, in fail\n    raise ValueError(' in text


def test_inspect_finds_the_source(modules: MemoryModules) -> None:
    assert inspect.getsource(load("sgmem.part").fail).startswith("def fail():")


def test_data_files_can_be_asked_for(modules: MemoryModules) -> None:
    load("sgmem")
    assert pkgutil.get_data("sgmem", "data/table.bin") == b"\x00\xff"
    with pytest.raises(FileNotFoundError):
        pkgutil.get_data("sgmem", "data/none")


def test_replaced_files_are_gone_and_others_stay(modules: MemoryModules) -> None:
    traced = load("sgmem.part").fail
    assert "told" in inspect.getsource(traced)
    modules.replace("sgmem/part", {"sgmem/part.py": b"value = 1\ndef fail():\n    'new'\n"})
    del sys.modules["sgmem.part"]
    assert load("sgmem.part").value == 1
    assert "new" in inspect.getsource(load("sgmem.part").fail), "no stale lines"
    modules.replace("sgmem/part", {})
    assert modules.find_spec("sgmem.part") is None
    assert modules.find_spec("sgmem.latin") is not None


def test_a_namespace_does_not_hide_a_package_on_disk(modules: MemoryModules) -> None:
    modules.replace("xml/sgmem_extra", {"xml/sgmem_extra.py": b""})
    assert modules.find_spec("xml") is None
    assert modules.find_spec("xml.sgmem_extra") is not None
