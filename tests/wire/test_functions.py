"""Functions on the wire: they come back, by name, source, bytes or digest, and a kept copy never lies."""

from __future__ import annotations

import functools
import math
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument, Refused, SoftgridError, Undecodable, Unserializable
from softgrid._wire.functions import (
    DIGEST_SIZE,
    Function,
    FunctionName,
    FunctionPickler,
    FunctionSource,
    PickledFunction,
    compile_source,
    decode_function,
    encode_function,
    join_parts,
    unpickle_function,
)

TEXT = st.text(st.characters(codec="utf-8"))
PICKLED = PickledFunction(b"d" * DIGEST_SIZE, b"body")


@PROPERTY
@given(
    TEXT.map(FunctionName)
    | TEXT.map(FunctionSource)
    | st.builds(
        PickledFunction,
        st.binary(min_size=DIGEST_SIZE, max_size=DIGEST_SIZE),
        st.binary(min_size=1),
    )
)
def test_a_function_reads_back(function: Function) -> None:
    assert decode_function(encode_function(function)) == function


def test_a_function_that_the_receiver_has_is_sent_as_its_digest() -> None:
    encoded = encode_function(PICKLED, is_known=True)
    assert len(encoded) == 1 + DIGEST_SIZE
    assert decode_function(encoded) == PickledFunction(PICKLED.digest, b"")


@pytest.mark.parametrize("function", [FunctionName("f"), FunctionSource("lambda: 1")])
def test_names_and_sources_are_sent_in_full_always(function: Function) -> None:
    assert encode_function(function, is_known=True) == encode_function(function)


@pytest.mark.parametrize(
    "data",
    [b"", b"X", b"XXXX", b"n", b"N\xff", b"S\xff\xfe", b"P", b"Pshort", b"P" + b"d" * DIGEST_SIZE],
)
def test_anything_else_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_function(data)


@pytest.mark.parametrize("digest", [b"", b"short", b"d" * (DIGEST_SIZE + 1)])
def test_a_digest_of_another_size_is_undecodable(digest: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_function(b"D" + digest)


@PROPERTY
@given(st.binary(max_size=40))
def test_garbage_raises_nothing_but_undecodable(data: bytes) -> None:
    try:
        function = decode_function(data)
    except Undecodable:
        return
    assert isinstance(function, (FunctionName, FunctionSource, PickledFunction))


def test_parts_are_joined() -> None:
    assert join_parts([b"ab"]) == b"ab"
    assert join_parts([memoryview(b"ab"), bytearray(b"c")]) == b"abc"
    assert type(join_parts([bytearray(b"ab")])) is bytes


# -- pickling -------------------------------------------------------------------------------------


def make(source: str, **names: Any) -> Callable[..., Any]:
    """Give the function ``f`` as an interactive session would make it."""
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(source, namespace)
    function: Callable[..., Any] = namespace["f"]
    return function


def revive(pickled: PickledFunction) -> Any:
    return unpickle_function(pickled.body)


def test_a_function_comes_back_with_what_it_refers_to() -> None:
    function = make("def f(x, y=3): return g(x) + y + k", k=100)
    function.__globals__["g"] = make("def f(x): return 2 * x")
    assert revive(FunctionPickler().pickle(function))(5) == 113


def test_an_unchanged_function_is_pickled_once() -> None:
    pickler = FunctionPickler()
    function = make("def f(): return k", k=1)
    first = pickler.pickle(function)
    assert pickler.pickle(function) is first
    assert len(pickler) == 1
    assert len(first.digest) == DIGEST_SIZE


def test_the_same_function_made_twice_has_the_same_digest() -> None:
    one, other = make("def f(): return k", k=1), make("def f(): return k", k=1)
    assert FunctionPickler().pickle(one).digest == FunctionPickler().pickle(other).digest


def _set(name: str, value: Any) -> Callable[[Any], None]:
    return lambda function: function.__globals__.update({name: value})


CHANGES: dict[str, tuple[str, dict[str, Any], Callable[[Any], None], Any]] = {
    "a global": ("def f(): return k", {"k": 1}, _set("k", 2), 2),
    "a global that was not there": ("def f(): return k", {}, _set("k", 2), 2),
    "a global deep inside": ("def f(): return (lambda: k)()", {"k": 1}, _set("k", 2), 2),
    "a list in place": ("def f(): return k[0]", {"k": [1]}, lambda f: f.__globals__["k"].insert(0, 2), 2),
    "an attribute in place": (
        "class C: k = 1\nc = C()\ndef f(): return c.k",
        {},
        lambda f: setattr(f.__globals__["c"], "k", 2),
        2,
    ),
    "a class in place": (
        "class C: k = 1\ndef f(): return C.k",
        {},
        lambda f: setattr(f.__globals__["C"], "k", 2),
        2,
    ),
    "a default": ("def f(a=1): return a", {}, lambda f: setattr(f, "__defaults__", (2,)), 2),
    "a default in place": ("def f(a=[1]): return a[0]", {}, lambda f: f.__defaults__[0].insert(0, 2), 2),
    "a keyword default": (
        "def f(*, a=1): return a",
        {},
        lambda f: f.__kwdefaults__.update(a=2),
        2,
    ),
    "a closure": (
        "def outer():\n    k = 1\n    def f(): return k\n    def g(n):\n        nonlocal k\n        k = n\n"
        "    return f, g\nf, g = outer()",
        {},
        lambda f: f.__globals__["g"](2),
        2,
    ),
    "the code": (
        "def g(): return 2\ndef f(): return 1",
        {},
        lambda f: setattr(f, "__code__", f.__globals__["g"].__code__),
        2,
    ),
    "an attribute that the function did not have": (
        "def f(): return getattr(f, 'k', 1)",
        {},
        lambda f: setattr(f, "k", 2),
        2,
    ),
    "keyword defaults that the function did not have": (
        "def f(a=1): return a",
        {},
        lambda f: setattr(f, "__kwdefaults__", {"b": 1}) or setattr(f, "__defaults__", (2,)),
        2,
    ),
    "an attribute of the function": (
        "def f(): return f.k\nf.k = 1",
        {},
        lambda f: setattr(f, "k", 2),
        2,
    ),
    "a global of another function": (
        "def g(): return k\ndef f(): return g()",
        {"k": 1},
        _set("k", 2),
        2,
    ),
    "a list inside another function": (
        "def g(): return k[0]\ndef f(): return g()",
        {"k": [1]},
        lambda f: f.__globals__["k"].insert(0, 2),
        2,
    ),
    "another function itself": (
        "def g(): return 1\ndef h(): return 2\ndef f(): return g()",
        {},
        lambda f: f.__globals__.update(g=f.__globals__["h"]),
        2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen_by_the_next_call(what: str) -> None:
    source, names, change, expected = CHANGES[what]
    function = make(source, **names)
    pickler = FunctionPickler()
    before = pickler.pickle(function)
    change(function)
    after = pickler.pickle(function)
    assert revive(after)() == expected
    assert after.digest != before.digest


def test_a_change_inside_a_module_that_travels_by_value_is_seen() -> None:
    module = types.ModuleType("made_by_hand")
    module.k = 1  # type: ignore[attr-defined]
    function = make("def f(): return m.k", m=module)
    pickler = FunctionPickler()
    pickler.pickle(function)
    module.k = 2  # type: ignore[attr-defined]
    assert revive(pickler.pickle(function))() == 2


class _Note(int):
    text = "old"


def test_a_change_of_an_attribute_of_a_number_is_seen() -> None:
    note = _Note(1)
    function = make("def f(): return n.text", n=note)
    pickler = FunctionPickler()
    pickler.pickle(function)
    note.text = "new"
    assert revive(pickler.pickle(function))() == "new"


def test_functions_that_call_themselves_or_each_other_are_kept() -> None:
    pickler = FunctionPickler()
    function = make("def g(n): return f(n)\ndef f(n): return n and g(n - 1)")
    assert pickler.pickle(function) is pickler.pickle(function)
    assert revive(pickler.pickle(function))(3) == 0


def test_a_function_with_a_closure_of_numbers_is_kept() -> None:
    pickler = FunctionPickler()
    function = make("def outer(a, b):\n    def f(): return a + b\n    return f\nf = outer(1, 2)")
    assert pickler.pickle(function) is pickler.pickle(function)
    assert revive(pickler.pickle(function))() == 3


def test_a_closure_without_a_value_yet_is_kept_until_it_has_one() -> None:
    source = "def outer():\n    def f(): return k\n    if not f: k = 1\n    return f\nf = outer()"
    pickler = FunctionPickler()
    assert pickler.pickle(make(source)).body
    assert len(pickler) == 1


@pytest.mark.parametrize("function", [len, math.sqrt, max])
def test_functions_of_c_modules_are_kept(function: Callable[..., Any]) -> None:
    pickler = FunctionPickler()
    assert revive(pickler.pickle(function)) is function
    assert len(pickler) == 1


@pytest.mark.parametrize(
    "function",
    [[1].append, functools.partial(len, "abc"), types.SimpleNamespace, "text".upper],
    ids=["method of a list", "partial", "class", "method of a text"],
)
def test_callables_that_may_change_in_place_are_pickled_each_time(function: Any) -> None:
    pickler = FunctionPickler()
    one, other = pickler.pickle(function), pickler.pickle(function)
    assert one == other
    assert len(pickler) == 0


def test_a_bound_method_of_a_list_sees_the_list_as_it_is_now() -> None:
    items = [1]
    pickler = FunctionPickler()
    before = pickler.pickle(items.count)
    items.append(1)
    assert revive(pickler.pickle(items.count))(1) == 2
    assert revive(before)(1) == 1


def test_no_more_functions_are_kept_than_the_capacity() -> None:
    pickler = FunctionPickler(capacity=3)
    functions = [make(f"def f(): return {index}") for index in range(5)]
    kept = [pickler.pickle(function) for function in functions]
    assert len(pickler) == 3
    assert pickler.pickle(functions[-1]) is kept[-1]
    assert pickler.pickle(functions[0]) is not kept[0]
    assert pickler.pickle(functions[0]) == kept[0]


def test_the_least_recently_used_goes_first() -> None:
    pickler = FunctionPickler(capacity=2)
    one, two, three = (make(f"def f(): return {index}") for index in range(3))
    kept = pickler.pickle(one)
    pickler.pickle(two)
    assert pickler.pickle(one) is kept
    pickler.pickle(three)
    assert pickler.pickle(one) is kept


def test_a_function_that_cannot_travel_is_named_with_its_culprit() -> None:
    function = make("import threading\nlock = threading.Lock()\ndef f(): return lock")
    with pytest.raises(Unserializable, match=r"^cannot serialise function f<global 'lock'> \(_thread"):
        FunctionPickler().pickle(function)


def test_a_callable_without_a_name_is_named_by_its_type() -> None:
    class Nameless:
        def __call__(self) -> None:
            return

        def __reduce__(self) -> Any:
            raise TypeError("no")

    with pytest.raises(Unserializable, match=r"^cannot serialise function Nameless"):
        FunctionPickler().pickle(Nameless())


@pytest.mark.parametrize("minor", [sys.version_info[1] - 1, sys.version_info[1] + 1])
def test_byte_code_of_another_python_is_refused_and_the_way_out_is_told(minor: int) -> None:
    body = FunctionPickler().pickle(len).body
    with pytest.raises(Refused, match=rf"by Python 3\.{minor} .* runs Python 3\.{sys.version_info[1]}, .*source"):
        unpickle_function(bytes([minor]) + body[1:])


def test_a_function_of_no_bytes_is_no_function() -> None:
    with pytest.raises(SoftgridError):
        unpickle_function(b"")


# -- source ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "args", "result"),
    [
        ("lambda x: x + 1", (1,), 2),
        ("  lambda x: x + 1\n", (1,), 2),
        ("len", ("abc",), 3),
        ("def f(x):\n    return x + 1", (1,), 2),
        ("import math\ndef f(x):\n    return math.floor(x)", (1.5,), 1),
        ("def helper(x):\n    return x + 1\ndef f(x):\n    return helper(x) * 2", (1,), 4),
        ("from os.path import join\ndef f():\n    return join('a', 'b')", (), "a/b"),
        ("k = 5\nf = lambda: k", (), 5),
    ],
)
def test_source_becomes_the_function_it_defines(text: str, args: Any, result: Any) -> None:
    assert compile_source(text)(*args) == result


def test_the_last_definition_counts_also_when_its_name_is_not_new() -> None:
    assert compile_source("def f(): return 1\ndef g(): return 2\ndef f(): return 3")() == 3


@pytest.mark.parametrize("text", ["1 + 1", "'text'", "k = 1", "import math", "", "pass", "class C: pass"])
def test_source_that_defines_no_function_is_a_bad_argument(text: str) -> None:
    with pytest.raises(BadArgument, match=r"^function: got "):
        compile_source(text)


@pytest.mark.parametrize("text", ["def", "lambda x", "return 1", "def f(:"])
def test_source_that_is_no_python_is_a_syntax_error(text: str) -> None:
    with pytest.raises(SyntaxError):
        compile_source(text)
