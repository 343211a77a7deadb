"""Functions of users in every form in which they may be given, and what is said of what is none."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from softgrid._model.errors import BadArgument, Refused, Undecodable, Unserializable
from softgrid._store.callables import function_from, source_of, to_travel
from softgrid._store.objects import as_users_know_it, serialize
from softgrid._wire.functions import FunctionPickler, FunctionSource, PickledFunction

SOURCE = "def helper(x):\n    return x + 1\n\ndef mine(x):\n    return helper(x) * 2\n\ndef last(x):\n    return -x\n"


def test_a_callable_is_the_function_itself() -> None:
    class Callable:
        def __call__(self) -> None:
            return

    instance = Callable()
    for function in (len, Callable, instance):
        assert function_from(function, "func") is function


def test_source_text_gives_the_function_of_the_name_or_the_last_one() -> None:
    assert function_from(SOURCE, "func", "mine")(3) == 8
    assert function_from(SOURCE, "func")(3) == -3
    assert function_from("lambda x: x + 1", "func", "any name")(1) == 2
    assert function_from(FunctionSource(SOURCE), "func", "helper")(3) == 4


def test_a_function_that_was_serialised_is_revived() -> None:
    assert function_from(as_users_know_it(serialize(lambda x: x * 3)), "writeFunc")(2) == 6
    assert function_from({"object": pickle.dumps(len), "loads": "pickle"}, "writeFunc") is len
    pickled = FunctionPickler().pickle(lambda x: x * 4)
    assert function_from(pickled, "func")(2) == 8


def test_source_that_defines_no_function_of_the_name_says_which_it_does() -> None:
    with pytest.raises(BadArgument, match=r"^name: got 'other', .*\(last, mine, helper\)"):
        function_from(SOURCE, "func", "other")


@pytest.mark.parametrize(
    ("source", "reason"),
    [("def f(:", "SyntaxError"), ("1/0\ndef f(): pass", "ZeroDivisionError"), ("raise SystemExit(3)", "SystemExit")],
)
def test_source_that_cannot_be_run_is_a_bad_argument(source: str, reason: str) -> None:
    with pytest.raises(BadArgument, match=rf"^writeFunc: got .*{reason}"):
        function_from(source, "writeFunc")


@pytest.mark.parametrize("given", ["k = 1", "", 5, None, [len], {"object": pickle.dumps(5), "loads": "pickle"}])
def test_what_is_no_function_names_the_parameter(given: object) -> None:
    with pytest.raises(BadArgument, match=r"^readFunc: got"):
        function_from(given, "readFunc")


def test_source_text_in_a_dictionary_may_say_which_function_is_meant() -> None:
    assert function_from({"source": SOURCE}, "writeFunc")(3) == -3
    assert function_from({"source": SOURCE, "name": "mine"}, "writeFunc")(3) == 8


@pytest.mark.parametrize("given", [{}, {"source": 5}, {"source": " "}, {"source": SOURCE, "name": "a b"}, {"loads": 1}])
def test_a_dictionary_that_holds_nothing_is_no_function(given: Any) -> None:
    with pytest.raises(BadArgument, match=r"^readFunc: got"):
        function_from(given, "readFunc")


def test_a_dictionary_that_holds_what_cannot_be_revived_is_no_function() -> None:
    with pytest.raises(Undecodable):
        function_from({"object": b"nonsense", "loads": "pickle"}, "readFunc")


def test_functions_travel_as_their_source_where_there_is_one() -> None:
    assert to_travel(SOURCE, source_of(SOURCE)) == FunctionSource(SOURCE)
    assert source_of(FunctionSource(SOURCE)) == SOURCE
    assert source_of(len) is None
    travelling: Any = to_travel(lambda x: x + 5)
    assert isinstance(travelling, PickledFunction)
    assert function_from(travelling, "func")(1) == 6


def test_what_cannot_travel_is_told() -> None:
    with pytest.raises(BadArgument, match=r"^func: got 5"):
        to_travel(5)
    lock = __import__("threading").Lock()
    with pytest.raises(Unserializable, match="lock"):
        to_travel(lambda: lock)


def test_byte_code_of_another_python_is_refused() -> None:
    pickled = FunctionPickler().pickle(len)
    foreign = PickledFunction(pickled.digest, bytes([2]) + pickled.body[1:])
    with pytest.raises(Refused, match=r"Python 3\.2 .*source text"):
        function_from(foreign, "func")
