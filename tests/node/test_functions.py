"""The function table: what is open is found, what is not is refused, and nothing else of the executor is touched."""

from __future__ import annotations

from typing import Any

import pytest

from softgrid._model.errors import BadArgument, NoRoute, Refused, Undecodable
from softgrid._node import functions as functions_module
from softgrid._node.functions import FunctionTable, UnknownDigest
from softgrid._wire.functions import FunctionName, FunctionPickler, FunctionSource, PickledFunction


class Executor:
    secret = 5
    asked: list[str]

    def __init__(self) -> None:
        object.__setattr__(self, "asked", [])

    def open_method(self, x: int) -> int:
        return x + 1

    def closed_method(self) -> None:
        raise AssertionError("this must never run")


@pytest.fixture
def table() -> FunctionTable:
    return FunctionTable(Executor(), frozenset({"open_method"}), frozenset({"open_method"}))


def pickled(function: Any) -> PickledFunction:
    return FunctionPickler().pickle(function)


def test_an_open_method_is_found_by_its_name(table: FunctionTable) -> None:
    resolved = table.resolve(FunctionName("open_method"))
    assert resolved.function(1) == 2
    assert not resolved.is_users
    assert not resolved.wants_executor


@pytest.mark.parametrize("name", ["closed_method", "secret", "__init__", "__class__", "__dict__", "asked"])
def test_anything_else_of_the_executor_is_refused(table: FunctionTable, name: str) -> None:
    with pytest.raises(Refused, match=f"^'{name}' of an executor is not open to calls"):
        table.resolve(FunctionName(name))


@pytest.mark.parametrize("name", ["nothing", "", "open_method.x", "größe", "a b"])
def test_a_name_that_nobody_has_is_not_found(table: FunctionTable, name: str) -> None:
    with pytest.raises(NoRoute, match="no stored function and no method"):
        table.resolve(FunctionName(name))


@pytest.mark.parametrize("wants_executor", [True, False])
def test_a_stored_function_is_found_and_is_a_users(table: FunctionTable, wants_executor: bool) -> None:
    table.stored["mine"] = (abs, wants_executor)
    resolved = table.resolve(FunctionName("mine"))
    assert (resolved.function, resolved.is_users, resolved.wants_executor) == (abs, True, wants_executor)
    del table.stored["mine"]
    with pytest.raises(NoRoute):
        table.resolve(FunctionName("mine"))


@pytest.mark.parametrize(
    ("function", "is_users"),
    [
        (FunctionName("open_method"), False),
        (FunctionName("closed_method"), True),
        (FunctionName("nothing"), True),
        (FunctionSource("lambda: 1"), True),
        (PickledFunction(b"d" * 16, b""), True),
    ],
)
def test_only_open_methods_need_no_permission(table: FunctionTable, function: Any, is_users: bool) -> None:
    assert table.is_users(function) is is_users


def test_a_users_function_under_the_name_of_a_method_is_still_a_users(table: FunctionTable) -> None:
    table.stored["open_method"] = (abs, False)
    function = FunctionName("open_method")
    assert table.resolve(function).is_users == table.is_users(function)


def test_only_methods_that_never_wait_are_prompt(table: FunctionTable) -> None:
    assert table.is_prompt(FunctionName("open_method"))
    assert not table.is_prompt(FunctionName("closed_method"))
    assert not table.is_prompt(FunctionSource("open_method"))
    assert not FunctionTable(Executor(), frozenset({"open_method"})).is_prompt(FunctionName("open_method"))


@pytest.mark.parametrize("name", ["my function", "größe-2", "lambda"])
def test_a_stored_function_is_found_under_a_name_that_is_no_identifier(table: FunctionTable, name: str) -> None:
    table.stored[name] = (abs, True)
    assert table.resolve(FunctionSource(name)) == (abs, True, True)


def test_methods_that_run_functions_of_users_need_the_permission(table: FunctionTable) -> None:
    assert not table.is_users(FunctionName("open_method"))
    open_to_some = FunctionTable(Executor(), frozenset({"open_method"}), users_methods=frozenset({"open_method"}))
    assert open_to_some.is_users(FunctionName("open_method"))
    resolved = open_to_some.resolve(FunctionName("open_method"))
    assert resolved.is_users
    assert resolved.function(1) == 2


def test_only_methods_that_keep_things_are_ordered() -> None:
    table = FunctionTable(Executor(), frozenset({"open_method"}), ordered_methods=frozenset({"open_method"}))
    assert table.is_ordered(FunctionName("open_method"))
    assert not table.is_ordered(FunctionName("closed_method"))
    assert not table.is_ordered(FunctionSource("open_method"))


def test_source_is_compiled_once(table: FunctionTable) -> None:
    one, other = (table.resolve(FunctionSource("lambda x: x + 1")) for _ in range(2))
    assert one.function is other.function
    assert one.function(1) == 2
    assert one.is_users


def test_source_that_defines_nothing_is_a_bad_argument_each_time(table: FunctionTable) -> None:
    for _ in range(2):
        with pytest.raises(BadArgument):
            table.resolve(FunctionSource("k = 1"))


def test_a_function_that_came_over_the_wire_is_known_by_its_digest_from_then_on(table: FunctionTable) -> None:
    function = pickled(lambda x: x * 3)
    first = table.resolve(function)
    assert first.function(2) == 6
    assert first.is_users
    assert table.resolve(PickledFunction(function.digest, b"")).function is first.function
    assert table.resolve(function).function is first.function


def test_a_function_that_came_over_the_wire_can_be_sent_on(table: FunctionTable) -> None:
    function = pickled(lambda x: x * 3)
    assert table.body_of(function.digest) is None
    table.note(function)
    assert table.body_of(function.digest) == function.body


def test_a_digest_that_is_not_known_is_said_to_be_so(table: FunctionTable) -> None:
    with pytest.raises(UnknownDigest):
        table.resolve(PickledFunction(b"d" * 16, b""))


def test_a_function_that_cannot_be_read_is_not_kept(table: FunctionTable) -> None:
    function = PickledFunction(b"d" * 16, pickled(len).body[:1] + b"\x00garbage")
    for _ in range(2):
        with pytest.raises(Exception, match=r"."):
            table.resolve(function)
    with pytest.raises(UnknownDigest):
        table.resolve(PickledFunction(b"d" * 16, b""))


def test_a_function_that_came_is_known_to_the_calls_behind_it_before_it_has_run(table: FunctionTable) -> None:
    function = pickled(lambda x: x * 3)
    table.note(function)
    assert table.resolve(PickledFunction(function.digest, b"")).function(2) == 6


@pytest.mark.parametrize("function", [FunctionName("f"), FunctionSource("lambda: 1"), PickledFunction(b"d" * 16, b"")])
def test_there_is_nothing_to_keep_of_what_came_without_bytes(table: FunctionTable, function: Any) -> None:
    table.note(function)
    assert table.body_of(b"d" * 16) is None


def test_bytes_that_are_not_what_their_digest_says_are_refused(table: FunctionTable) -> None:
    good, evil = pickled(lambda: "good"), pickled(lambda: "evil")
    with pytest.raises(Undecodable):
        table.note(PickledFunction(good.digest, evil.body))
    assert table.body_of(good.digest) is None
    with pytest.raises(UnknownDigest):
        table.resolve(PickledFunction(good.digest, b""))


def test_only_so_many_functions_are_kept_the_latest_among_them(table: FunctionTable, monkeypatch: Any) -> None:
    monkeypatch.setattr(functions_module, "CACHE_SIZE", 3)
    functions = [pickled(eval(f"lambda: {index}")) for index in range(5)]
    for function in functions:
        table.note(function)
        table.resolve(function)
    known = [function for function in functions if table.body_of(function.digest) is not None]
    assert known == functions[-3:]
    for index, function in enumerate(functions):
        by_digest = PickledFunction(function.digest, b"")
        if function in known:
            assert table.resolve(by_digest).function() == index
        else:
            with pytest.raises(UnknownDigest):
                table.resolve(by_digest)


def test_only_so_many_bytes_of_functions_are_kept_and_one_of_any_size(table: FunctionTable, monkeypatch: Any) -> None:
    functions = [pickled(eval(f"lambda: {index}")) for index in range(4)]
    monkeypatch.setattr(functions_module, "BODIES_BYTES", 2 * len(functions[0].body))
    for function in functions:
        table.note(function)
    assert [function for function in functions if table.body_of(function.digest) is not None] == functions[-2:]
    monkeypatch.setattr(functions_module, "BODIES_BYTES", 1)
    large = pickled(lambda: "large")
    table.note(large)
    assert table.body_of(large.digest) == large.body
    assert table.body_of(functions[-1].digest) is None
