"""Functions as source: what comes back does the same, and what would not is not sent."""

from __future__ import annotations

import linecache
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from softgrid._model.errors import Refused, Unserializable
from softgrid._wire.functions import ForeignByteCode, unpickle_function
from softgrid._wire.portable import code_from_source, pickle_portably, source_of
from softgrid._wire.values import code_of, decode_value, encode_value


def made_from(text: str, path: Path, name: str = "f") -> Callable[..., Any]:
    """Run a script and give what it calls *name*, which is in no module and so travels by value."""
    path.write_text(text)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, str(path), "exec", dont_inherit=True), namespace)
    return namespace[name]  # type: ignore[no-any-return]


SCRIPTS = {
    "plain": ("def f(x, y=2):\n    return x + y", 3),
    "lambda": ("f = lambda x: x * 3", 3),
    "one of two lambdas": ("f, g = (lambda x: x * 2), (lambda x: x + 7)\nf = g", 8),
    "lambda over lines": ("f = [\n  0, lambda x: (\n    x +\n    4)\n][1]", 5),
    "closure": ("def make(k):\n    def f(x):\n        return x + k\n    return f\nf = make(10)", 11),
    "lambda with closure": ("def make(k):\n    return lambda x: x + k\nf = make(20)", 21),
    "decorated": ("def plain(f): return f\n@plain\n@plain\ndef f(x):\n    return x + 30", 31),
    "calls another": ("def g(x): return x + 1\ndef f(x): return g(x) + g(x)", 4),
    "recursive": ("def f(x): return 0 if x > 5 else 1 + f(x + 1)", 5),
    "text that touches the margin": ("if True:\n    def f(x):\n        return '''\nab\n''' * x", "\nab\n"),
    "method": ("class A:\n    __k = 5\n    def m(self, x):\n        return x + self.__k\nf = A().m", 6),
    "super": (
        "class A:\n    def m(self, x):\n        return x\n"
        "class B(A):\n    def m(self, x):\n        return super().m(x) + 1\nf = B().m",
        2,
    ),
    "nested functions": ("def f(x):\n    g = lambda y: y + x\n    return [g(i) for i in range(3)]", [1, 2, 3]),
    "lambda with a generator": ("f = lambda x: [0, *(y for y in [x])]", [0, 1]),
    "class inside": ("def f(x):\n    class A:\n        def m(self):\n            return x\n    return A().m()", 1),
    "annotations of the future": ("from __future__ import annotations\ndef f(x: Nowhere) -> Nothing:\n    return x", 1),
    "keyword only": ("def f(x, *, k=4):\n    return x + k", 5),
    "global value": ("K = {'a': [1, 2]}\ndef f(x):\n    return K['a'][x]", 2),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_function_as_source_does_the_same(script: str, tmp_path: Path) -> None:
    text, expected = SCRIPTS[script]
    function = made_from(text, tmp_path / "script.py")
    assert function(1) == expected
    body = pickle_portably(function)
    linecache.clearcache()
    (tmp_path / "script.py").unlink()
    assert unpickle_function(body)(1) == expected


def test_no_byte_code_is_in_it(tmp_path: Path) -> None:
    function = made_from("def f(x):\n    return [y for y in x]", tmp_path / "script.py")
    assert function.__code__.co_code not in pickle_portably(function)


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    function = made_from("\n\n\ndef f(x):\n    return 1 / x", tmp_path / "script.py")
    again = unpickle_function(pickle_portably(function))
    with pytest.raises(ZeroDivisionError) as caught:
        again(0)
    last = caught.traceback[-1]
    assert (last.path, last.lineno + 1) == (tmp_path / "script.py", 5)


def test_a_function_that_has_no_source_is_named() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(x):\n    return x", namespace)
    with pytest.raises(Unserializable, match=r"function f .*is not there as source"):
        pickle_portably(namespace["f"])


def test_a_function_whose_file_was_edited_is_not_sent(tmp_path: Path) -> None:
    function = made_from("def f(x):\n    return x + 1", tmp_path / "script.py")
    (tmp_path / "script.py").write_text("def f(x):\n    return x + 2")
    linecache.clearcache()
    with pytest.raises(Unserializable, match="not what stands in its file now"):
        pickle_portably(function)


def test_a_file_that_is_no_python_any_more(tmp_path: Path) -> None:
    function = made_from("def f(x):\n    return x + 1", tmp_path / "script.py")
    (tmp_path / "script.py").write_text("def f(x)")
    linecache.clearcache()
    with pytest.raises(Unserializable, match="is no Python any more"):
        pickle_portably(function)


def test_what_else_cannot_travel_is_said(tmp_path: Path) -> None:
    function = made_from("import threading\nL = threading.Lock()\ndef f(x):\n    return L", tmp_path / "script.py")
    with pytest.raises(Unserializable, match="lock"):
        pickle_portably(function)


def test_source_of_a_language_that_is_not_known_here_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        code_from_source("def f(x):\n    return x !! 2", "f", (), 0, "there.py", 1)
    with pytest.raises(SyntaxError, match="source of g"):
        code_from_source("def f(x):\n    return x", "g", (), 0, "there.py", 1)


def test_byte_code_of_another_python_is_refused() -> None:
    with pytest.raises(ForeignByteCode, match=r"Python 3\.9"):
        unpickle_function(b"\x09rest")
    with pytest.raises(Refused, match=r"byte code of Python 3\.9"):
        code_of(9, 0)


def test_byte_code_inside_a_value_says_of_which_version_it_is() -> None:
    function = decode_value(b"".join(encode_value([lambda x: x + 1])))[0]
    assert function(1) == 2
    assert isinstance(source_of((lambda: 0).__code__).text, str)
    assert isinstance(function, types.FunctionType)


def test_what_python_keeps_of_something_else_under_the_same_name_is_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 keeps the text of ``python -c`` as that of '<string>', which is also what exec calls its code."""
    monkeypatch.setitem(linecache.cache, "<string>", (20, None, ["import sys\n", "x = 1\n"], "<string>"))
    typed: dict[str, Any] = {}
    exec("def f():\n    return 1", typed)
    with pytest.raises(Unserializable, match=r"function f .*is not there as source"):
        source_of(typed["f"].__code__)
