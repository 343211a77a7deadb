"""The culprit: the innermost part of a value that will not go is named, whatever the value is made of."""

from __future__ import annotations

import pickle
import threading
import tracemalloc
import types
from typing import Any

import pytest

from softgrid._wire.culprit import find_culprit, shorten_reason

LOCK = threading.Lock()
ERROR = TypeError("cannot pickle")


class Holder:
    def __init__(self, lock: Any) -> None:
        self.fine = 1
        self.lock = lock

    def method(self) -> None:
        return


def _closure() -> Any:
    lock = LOCK
    return lambda: lock


def _unset_closure() -> Any:
    def function() -> Any:
        return LOCK, later

    if not function:
        later = 1
    return function


def _with_default(a: int, lock: Any = LOCK) -> None:
    return


def _with_keyword_default(*, lock: Any = LOCK) -> None:
    return


def _with_global() -> Any:
    return LOCK, undefined_name  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LOCK, "value"),
        ([1, LOCK], "value[1]"),
        ((1, [2, LOCK]), "value[1][1]"),
        ({"a": {"b": LOCK}}, "value['a']['b']"),
        (Holder(LOCK), "value.lock"),
        ([Holder([LOCK])], "value[0].lock[0]"),
        (Holder(LOCK).method, "value.__self__.lock"),
        (_closure(), "value<closure variable 'lock'>"),
    ],
)
def test_the_path_leads_to_the_innermost_part(value: object, path: str) -> None:
    assert find_culprit(value, "value", ERROR).startswith(f"{path} (_thread.lock <unlocked")


@pytest.mark.parametrize("place", [0, 63, 64, 65, 9_999, 10_000, 54_321, 99_999])
def test_one_among_very_many_is_found(place: int) -> None:
    items: list[Any] = list(range(100_000))
    items[place] = LOCK
    assert find_culprit(items, "value", ERROR).startswith(f"value[{place}] (_thread.lock")
    assert find_culprit(tuple(items), "value", ERROR).startswith(f"value[{place}] (_thread.lock")
    named = {f"name {number}": item for number, item in enumerate(items)}
    assert find_culprit(named, "value", ERROR).startswith(f"value['name {place}'] (_thread.lock")


def test_one_in_a_large_set_is_found() -> None:
    assert find_culprit({*range(30_000), LOCK}, "value", ERROR).startswith("value<item <unlocked _thread.lock")


def test_many_that_only_together_will_not_go_are_named_as_a_whole() -> None:
    assert find_culprit(list(range(1_000)), "value", ERROR).startswith("value (builtins.list")


def test_the_search_copies_no_buffers() -> None:
    class Large(bytearray):
        def __reduce_ex__(self, protocol: Any) -> Any:
            return bytearray, (pickle.PickleBuffer(self),)

    large = Large(32 << 20)
    tracemalloc.start()
    try:
        found = find_culprit([large, {"a": large, "b": LOCK}], "value", ERROR)
        assert tracemalloc.get_traced_memory()[1] < len(large)
    finally:
        tracemalloc.stop()
    assert found.startswith("value[1]['b'] (_thread.lock")


@pytest.mark.parametrize("value", [{LOCK}, frozenset([LOCK])])
def test_an_item_of_a_set_is_named_by_what_it_is(value: object) -> None:
    found = find_culprit(value, "value", ERROR)
    assert found.startswith("value<item <unlocked _thread.lock")


def test_a_key_can_be_the_culprit() -> None:
    found = find_culprit({LOCK: 1}, "value", ERROR)
    assert found.startswith("value<key <unlocked _thread.lock")


def of_no_module(function: Any) -> Any:
    """Make cloudpickle take the function by value."""
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, "__name__": "__main__"},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__ = "__main__"
    return copy


@pytest.mark.parametrize(
    ("function", "path"),
    [
        (_with_default, "value<default 0>"),
        (_with_keyword_default, "value<default of 'lock'>"),
        (_with_global, "value<global 'LOCK'>"),
        (_unset_closure(), "value<global 'LOCK'>"),
    ],
)
def test_what_a_function_refers_to_can_be_the_culprit(function: Any, path: str) -> None:
    assert find_culprit(of_no_module(function), "value", ERROR).startswith(f"{path} (_thread.lock")


def test_the_function_of_a_bound_method_can_be_the_culprit() -> None:
    method = types.MethodType(of_no_module(_with_default), 5)
    assert find_culprit(method, "value", ERROR).startswith("value.__func__<default 0> (_thread.lock")


class _Stubborn(dict[str, int]):
    def __reduce__(self) -> Any:
        raise ERROR


@pytest.mark.parametrize(
    "value",
    [_Stubborn(a=1), lambda a=1, *, b=2: len((a, b, ERROR)), types.MethodType(len, [1]), {1, 2}, (1, 2), int, types],
    ids=["dictionary", "function", "method", "set", "tuple", "class", "module"],
)
def test_a_value_of_any_kind_whose_parts_all_travel_is_named_itself(value: object) -> None:
    assert find_culprit(value, "value", ERROR).startswith("value (")


def test_the_type_the_value_and_the_reason_are_told() -> None:
    found = find_culprit(Holder(1), "value", ValueError("first line\nsecond line"))
    assert found.startswith(f"value ({__name__}.Holder <")
    assert found.endswith("): ValueError: first line")


def test_a_value_of_which_every_part_travels_is_named_itself() -> None:
    assert find_culprit([1, 2], "value", ERROR) == "value (builtins.list [1, 2]): TypeError: cannot pickle"


def test_a_value_that_holds_itself_is_no_endless_search() -> None:
    class Knot:
        def __init__(self) -> None:
            self.me = [self]
            self.lock = LOCK

    assert "Knot" in find_culprit(Knot(), "value", ERROR)


def test_a_very_deep_value_is_named_to_a_depth() -> None:
    value: Any = LOCK
    for _ in range(40):
        value = [value]
    assert find_culprit(value, "v", ERROR).startswith("v" + "[0]" * 12 + " (builtins.list ")


def test_classes_and_modules_are_named_and_not_searched() -> None:
    found = find_culprit([1, type("Odd", (), {"lock": LOCK, "__reduce__": None})], "v", ERROR)
    assert found.startswith(("v[1] (builtins.type", "v (builtins.list"))


def test_a_value_that_does_not_want_to_be_looked_at_is_still_named() -> None:
    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("working outside of request context")

    assert find_culprit([Proxy()], "value", ERROR).startswith("value[0] (")


def test_an_error_without_a_text_is_still_told() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise OSError

    assert "Mute" in find_culprit(1, "value", Mute())


@pytest.mark.parametrize(
    ("reason", "short"), [("", ""), ("a", "a"), ("a\nb", "a"), ("\na", ""), ("x" * 400, "x" * 300)]
)
def test_a_reason_is_cut_to_the_start_of_its_first_line(reason: str, short: str) -> None:
    assert shorten_reason(reason) == short
