"""Modules that are missing are fetched on import, and work like any others."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator

import pytest

from softgrid._store.fetched_modules import FetchedModules
from softgrid._store.found_modules import NOWHERE, FoundModule

SHELF = {
    "ft_one": FoundModule("import ft_pkg.deep\ndef f():\n    return 1 / 0\n", "/there/ft_one.py"),
    "ft_pkg": FoundModule("from . import deep", "/there/ft_pkg/__init__.py", True),
    "ft_pkg.deep": FoundModule("value = 5", "/there/ft_pkg/deep.py"),
    "ft_space": FoundModule("", "", True),
    "ft_space.a": FoundModule("value = 6", "/there/ft_space/a.py"),
    "ft_fast": FoundModule(None, problem="ft_fast is compiled"),
    "ft_wrong": FoundModule("1 +", "/there/ft_wrong.py"),
}


@pytest.fixture
def asked() -> Iterator[list[str]]:
    names: list[str] = []

    def fetch(name: str) -> FoundModule | None:
        names.append(name)
        return None if name == "ft_mute" else SHELF.get(name, NOWHERE)

    modules = FetchedModules(fetch)
    modules.install()
    yield names
    modules.uninstall()
    modules.uninstall()
    for name in [name for name in sys.modules if name.startswith("ft_")]:
        del sys.modules[name]


def test_a_module_is_fetched_once_with_what_it_imports(asked: list[str]) -> None:
    one = importlib.import_module("ft_one")
    assert one.__file__ == "/there/ft_one.py"
    assert sys.modules["ft_pkg"].deep.value == 5
    importlib.import_module("ft_one")
    del sys.modules["ft_one"]
    importlib.import_module("ft_one")
    assert asked == ["ft_one", "ft_pkg", "ft_pkg.deep"]


def test_tracebacks_and_inspect_show_its_lines(asked: list[str]) -> None:
    one = importlib.import_module("ft_one")
    with pytest.raises(ZeroDivisionError) as caught:
        one.f()
    assert "return 1 / 0" in "".join(traceback.format_exception(caught.value))
    assert inspect.getsource(one.f).startswith("def f()")


def test_a_namespace_package_holds_modules(asked: list[str]) -> None:
    assert importlib.import_module("ft_space.a").value == 6


def test_what_is_nowhere_is_asked_for_once(asked: list[str]) -> None:
    for _ in range(3):
        with pytest.raises(ModuleNotFoundError, match="ft_nowhere"):
            importlib.import_module("ft_nowhere")
    assert asked == ["ft_nowhere"]


def test_where_one_cannot_ask_the_module_is_not_found_this_time(asked: list[str]) -> None:
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("ft_mute")
    assert asked == ["ft_mute"] * 2


def test_what_cannot_travel_says_why(asked: list[str]) -> None:
    with pytest.raises(ImportError, match="ft_fast is compiled"):
        importlib.import_module("ft_fast")
    with pytest.raises(SyntaxError):
        importlib.import_module("ft_wrong")


def test_what_belongs_to_python_or_to_an_installed_package_is_not_asked_for(asked: list[str]) -> None:
    for name in ("json.nothing", "pytest.nothing", "tkinter.nothing"):
        with pytest.raises(ImportError):
            importlib.import_module(name)
    assert asked == []
