"""The stores of one executor joined: forms of what is kept, functions however given, folders that come and go."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from softgrid._model.errors import BadArgument, Closed, Duplicate, Missing, Unserializable
from softgrid._node.home import Home
from softgrid._node.stores import AS_IS, SERIALIZED, TRAVELLING, Stores
from softgrid._store.callables import StoredFunction, function_from
from softgrid._store.objects import revive
from softgrid._wire.calls import decode_result
from softgrid._wire.functions import FunctionSource


@pytest.fixture
def functions() -> dict[str, Any]:
    return {}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(str(tmp_path / "home"), lambda: None)


@pytest.fixture
def stores(home: Home, tmp_path: Path, functions: dict[str, Any]) -> Iterator[Stores]:
    made = Stores(home, str(tmp_path / "permanent"), functions)
    path, finders = [*sys.path], [*sys.meta_path]
    yield made
    made.close()
    assert (sys.path, sys.meta_path) == (path, finders)
    sys.modules.pop("sgkept", None)


def add(stores: Stores, path: Any = "a", data: Any = "text", name: Any = "f", **more: Any) -> str:
    return stores.add_file(name, path, data, **more)


def a_module(value: object) -> dict[str, Any]:
    return {"name": "sgkept", "type": "module", "files": {"sgkept.py": f"value = {value!r}".encode()}}


def pickled(value: object) -> bytes:
    return pickle.dumps(value)


# -- what is kept in memory ------------------------------------------------------------------------


def test_each_kind_has_names_of_its_own(stores: Stores) -> None:
    stores.add_object("name", pickled([1]), replace=False)
    stores.data.add("name", {2}, replace=False)
    stores.add_function("name", len, wants_executor=False, replace=False)
    kept = [stores.give(kind, "name", must_exist=True) for kind in ("object", "data", "function")]
    assert kept == [[1], {2}, len]


def test_what_is_kept_is_given_itself_and_not_a_copy(stores: Stores) -> None:
    stores.add_object("o", pickled([1]), replace=True)
    thing = [2]
    stores.data.add("d", thing)
    assert stores.give("object", "o", must_exist=True) is stores.give("object", "o", must_exist=True)
    assert stores.give("data", "d", must_exist=True) is thing


@pytest.mark.parametrize("kind", ["object", "data", "function"])
@pytest.mark.parametrize("pops", [False, True])
def test_what_is_not_there_is_the_default_or_an_error(stores: Stores, kind: str, pops: bool) -> None:
    default = object()
    assert stores.give(kind, "none", default, must_exist=False, pops=pops) is default
    with pytest.raises(Missing, match=rf"one of the {kind} names \(none is kept\)"):
        stores.give(kind, "none", default, must_exist=True, pops=pops)
    for name in ("", None, 5, ["a"]):
        with pytest.raises(BadArgument, match="name: got"):
            stores.give(kind, name, must_exist=False, pops=pops)  # type: ignore[arg-type]


def test_nothing_of_another_kind_is_given(stores: Stores) -> None:
    for kind in ("file", "", "_FORMS", None):
        with pytest.raises(BadArgument, match="kind: got"):
            stores.give(kind, "name", must_exist=False)  # type: ignore[arg-type]
    with pytest.raises(BadArgument):
        stores.give("data", "name", must_exist=False, form=SERIALIZED)


def test_popping_forgets(stores: Stores) -> None:
    stores.data.add("d", None)
    assert stores.give("data", "d", "default", must_exist=True, pops=True) is None
    assert stores.give("data", "d", "default", must_exist=False, pops=True) == "default"


@pytest.mark.parametrize("form", [SERIALIZED, TRAVELLING])
def test_what_cannot_take_its_form_stays_where_it_is(
    stores: Stores, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dill", None)
    stores.add_object("o", pickled([]), replace=True)
    stores.give("object", "o", must_exist=True).append(threading.Lock())
    with pytest.raises(Unserializable, match="lock"):
        stores.give("object", "o", must_exist=True, pops=True, form=form)
    assert stores.objects.names() == ("o",)


def test_of_two_who_pop_at_once_one_gets_it(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        """Being serialised it lets somebody else pop it, once."""

        def __reduce__(self) -> Any:
            if "d" in stores.data:
                popped.append(stores.give("data", "d", must_exist=True, pops=True))
            return str, ("travelled",)

    popped: list[Any] = []
    slow = Slow()
    stores.data.add("d", slow)
    with pytest.raises(Missing):
        stores.give("data", "d", must_exist=True, pops=True, form=TRAVELLING)
    assert popped == [slow]


@pytest.mark.parametrize("form", [SERIALIZED, TRAVELLING])
def test_an_object_is_given_serialised_so_that_it_can_be_added_again(stores: Stores, form: str) -> None:
    stores.add_object("o", {"object": pickled({"k": 1}), "loads": "cPickle"}, replace=True)
    given = stores.give("object", "o", must_exist=True, form=form)
    stores.add_object("again", given, replace=False)
    assert stores.give("object", "again", must_exist=True) == {"k": 1}


def test_an_object_that_came_by_dill_goes_by_dill(stores: Stores) -> None:
    dill = pytest.importorskip("dill")
    stores.add_object("o", {"object": dill.dumps([1]), "loads": "dill"}, replace=True)
    given = stores.give("object", "o", must_exist=True, form=TRAVELLING)
    assert (given.loads, revive(given).value) == ("dill", [1])


def test_data_and_functions_travel(stores: Stores) -> None:
    stores.data.add("d", (1, "two"))
    stores.add_function("f", "def f(x): return x + 1", wants_executor=False, replace=True)
    stores.add_function("g", lambda x: x + 2, wants_executor=True, replace=True)
    assert decode_result(stores.give("data", "d", must_exist=True, form=TRAVELLING).joined()) == ((1, "two"),)
    assert stores.give("function", "f", must_exist=True, form=TRAVELLING) == FunctionSource("def f(x): return x + 1")
    assert function_from(stores.give("function", "g", must_exist=True, form=TRAVELLING), "func")(1) == 3


def test_a_name_that_is_taken_is_refused_before_anything_is_revived_or_run(stores: Stores) -> None:
    stores.add_object("o", pickled(1), replace=False)
    stores.add_function("f", len, wants_executor=False, replace=False)
    with pytest.raises(Duplicate):
        stores.add_object("o", b"nonsense", replace=False)
    with pytest.raises(Duplicate):
        stores.add_function("f", "raise SystemExit", wants_executor=False, replace=False)
    assert stores.give("object", "o", must_exist=True, form=AS_IS) == 1


def test_functions_are_where_calls_look_for_them(stores: Stores, functions: dict[str, Any]) -> None:
    stores.add_function("f", len, wants_executor=True, replace=False)
    assert functions == {"f": StoredFunction(len, True, None)}
    assert stores.give("function", "f", must_exist=True, pops=True) is len
    assert functions == {}


@pytest.mark.parametrize("flag", [None, 1, "True"])
def test_whether_a_function_wants_the_executor_must_be_said(stores: Stores, flag: Any) -> None:
    with pytest.raises(BadArgument, match="firstArgExecutor: got"):
        stores.add_function("f", len, wants_executor=flag, replace=True)


def test_what_is_kept_can_be_seen(stores: Stores) -> None:
    stores.data.add("d", 1)
    assert repr(stores) == "Stores(object=0, data=1, function=0, files=None, packages=None)"


# -- files -----------------------------------------------------------------------------------------


def test_temporary_files_are_in_the_home_and_permanent_ones_are_not(stores: Stores, home: Home, tmp_path: Path) -> None:
    assert add(stores, "p", root="permanent") == str(tmp_path / "permanent" / "p")
    assert not os.path.exists(home.path)
    assert add(stores, "t") == os.path.join(home.path, "temporary", "t")
    home.remove()
    assert stores.files.names() == ("f",)
    with pytest.raises(Missing, match="is gone"):
        stores.get_file("f", None, None, None, must_exist=True)
    with pytest.raises(Closed):
        add(stores, "t")
    assert os.listdir(tmp_path) == ["permanent"]


def test_functions_that_write_and_read_are_taken_in_every_form(stores: Stores) -> None:
    source = "def write(data, path, end=''):\n    with open(path, 'w') as file: file.write(data + end)"
    stores.add_function(
        "reads", lambda path, times=1: Path(path).read_text() * times, wants_executor=False, replace=True
    )
    forms: list[Any] = [source, {"object": pickle.dumps(_write), "loads": "pickle"}, _write]
    for form in forms:
        add(stores, writer=form, args=["!"], reader="reads")
        assert stores.get_file("f", None, [2], None, must_exist=True) == "text!text!"
        assert stores.get_file("f", None, None, {"times": 3}, must_exist=True) == "text!text!text!"


def _write(data: str, path: str, end: str = "") -> None:
    Path(path).write_text(data + end)


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"args": "!"}, "wargs"),
        ({"kwargs": ["!"]}, "wkwargs"),
        ({"writer": 5}, "writeFunc"),
        ({"writer": "no_such_function"}, "writeFunc"),
        ({"reader": "def f(:"}, "readFunc"),
        ({"root": "elsewhere"}, "root"),
        ({"path": "../x"}, "path"),
        ({"name": ""}, "name"),
        ({"data": 5}, "data"),
    ],
)
def test_errors_name_the_parameter_that_users_know(stores: Stores, changes: dict[str, Any], parameter: str) -> None:
    with pytest.raises(BadArgument, match=rf"^{parameter}: got"):
        add(stores, **changes)
    assert stores.files.names() == ()


def test_arguments_of_reading_are_checked(stores: Stores) -> None:
    add(stores)
    with pytest.raises(BadArgument, match="rargs: got"):
        stores.get_file("f", None, "x", None, must_exist=True)
    with pytest.raises(BadArgument, match="rkwargs: got"):
        stores.pop_file("f", None, ["x"], must_exist=True, delete=True)
    assert stores.files.names() == ("f",)


def test_a_popped_file_tells_how_it_was_written(stores: Stores) -> None:
    add(stores, writer=_write, kwargs={"end": "!"})
    popped = stores.pop_file("f", None, None, must_exist=True, delete=True)
    assert popped is not None
    assert popped.content == "text!"
    assert (popped.file.writer, popped.file.writer_kwargs) == (_write, {"end": "!"})
    assert stores.pop_file("f", None, None, must_exist=False, delete=True) is None


# -- packages --------------------------------------------------------------------------------------


def test_packages_are_importable_until_the_executor_leaves(stores: Stores, home: Home, tmp_path: Path) -> None:
    assert stores.add_package(a_module(1), relative_root="", site="temporary", replace=False).name == "sgkept"
    assert importlib.import_module("sgkept").value == 1
    assert importlib.import_module("sgkept").__file__ == os.path.join(home.path, "temporary/site-packages/sgkept.py")
    stores.close()
    home.remove()
    del sys.modules["sgkept"]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("sgkept")
    for site in ("temporary", "permanent", "memory"):
        with pytest.raises(Closed):
            stores.add_package(a_module(2), relative_root="", site=site, replace=True)
    assert os.listdir(tmp_path) == []


def test_an_unknown_site_is_refused_and_no_home_made(stores: Stores, home: Home) -> None:
    for site in ("system", "", None, ["temporary"]):
        with pytest.raises(BadArgument, match="sitePackages: got"):
            stores.add_package(a_module(1), relative_root="", site=site, replace=False)
    assert not os.path.exists(home.path)
