"""The encoder: what is sent once, what is kept, and for whom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from softgrid._model.errors import BadArgument
from softgrid._node import encoder as encoder_module
from softgrid._node.encoder import Encoder, Prepared
from softgrid._wire.calls import FIRST_ARGUMENT, RETURN, STORE, decode_call
from softgrid._wire.functions import FunctionName, FunctionSource, PickledFunction, compile_source


def function_sent(encoder: Encoder, function: Any, target: int) -> Any:
    return decode_call(encoder.encode({"function": function}, target).joined()).function


def test_a_text_is_a_name_or_source() -> None:
    encoder = Encoder()
    assert encoder.function_of({"function": "ping"}) == FunctionName("ping")
    assert encoder.function_of({"function": "lambda: 1"}) == FunctionSource("lambda: 1")


@pytest.mark.parametrize("function", [None, 5, "", "  \n", [len]])
def test_what_is_no_function_is_refused(function: Any) -> None:
    with pytest.raises(BadArgument, match=r"^func: got .*a callable, source text, or the name"):
        Encoder().function_of({"function": function})


TWO = "def one(x):\n    return x\n\ndef two(x):\n    return 2 * one(x)\n"


@pytest.mark.parametrize(
    ("function", "value"),
    [
        ({"source": "lambda x: x + 1"}, 6),
        ({"source": TWO}, 10),
        ({"source": TWO, "name": "one"}, 5),
        ({"source": "\n    def f(x):\n        return -x\n", "name": "f"}, -5),
        ({"source": TWO, "name": None}, 10),
    ],
)
def test_a_dictionary_gives_source_and_which_function_in_it(function: Any, value: int) -> None:
    found = Encoder().function_of({"function": function})
    assert isinstance(found, FunctionSource)
    assert compile_source(found.text)(5) == value


@pytest.mark.parametrize(
    "function",
    [
        {},
        {"source": ""},
        {"source": 5},
        {"name": "f"},
        {"source": TWO, "x": 1},
        {"source": TWO, "name": "1; import os"},
    ],
)
def test_a_dictionary_that_is_no_function_is_refused(function: Any) -> None:
    with pytest.raises(BadArgument, match=r"^func: got "):
        Encoder().function_of({"function": function})


@pytest.mark.parametrize("is_detached", [True, False])
def test_a_call_that_is_encoded_beforehand_is_the_same_for_whoever_gets_it_later(is_detached: bool) -> None:
    encoder = Encoder()
    kwargs = {"function": len, "args": ([1, 2],), "kwargs": {"a": {"b": 1}}, "priority": 4}
    call = encoder.prepare(kwargs, "secret", is_detached=is_detached)
    bodies = [decode_call(call.body_for(target).joined()) for target in (1, 2, 1)]
    assert [bool(body.function.body) for body in bodies] == [True, True, False]  # type: ignore[union-attr]
    for body in bodies:
        assert body.arguments() == (([1, 2],), {"a": {"b": 1}})
        assert (body.flags, body.priority, body.options["promise"]) == (RETURN, 4, "secret")
    assert "promise_password" not in kwargs


def test_a_detached_call_does_not_change_with_its_callers_memory() -> None:
    array = np.zeros(100_000)
    attached, detached = (
        Encoder().prepare({"function": len, "args": (array,)}, "p", is_detached=flag) for flag in (False, True)
    )
    array[:] = 7
    values = [decode_call(call.body_for(1).joined()).arguments()[0][0][0] for call in (attached, detached)]
    assert values == [7, 0]


def test_each_target_gets_a_function_once_and_again_when_it_was_forgotten() -> None:
    encoder = Encoder()
    bodies = [bool(function_sent(encoder, len, target).body) for target in (1, 2, 1, 2)]
    assert bodies == [True, True, False, False]
    encoder.forget({1, 99})
    assert [bool(function_sent(encoder, len, target).body) for target in (1, 2)] == [True, False]


def test_a_target_that_knows_very_many_functions_is_told_them_again() -> None:
    encoder = Encoder()
    for number in range(4098):
        encoder.section_for(PickledFunction(number.to_bytes(16, "big"), b"x"), 1)
    assert encoder.section_for(PickledFunction(bytes(16), b"x"), 1).startswith(b"P")


def test_what_was_sent_is_kept_up_to_a_bound_the_latest(monkeypatch: Any) -> None:
    encoder = Encoder()
    functions = [eval(f"lambda: {number}") for number in range(3)]
    pickled: list[Any] = [encoder.function_of({"function": function}) for function in functions[:1]]
    monkeypatch.setattr(encoder_module, "KEPT_FUNCTION_BYTES", 2 * len(pickled[0].body) + 20)
    pickled += [encoder.function_of({"function": function}) for function in functions[1:]]
    kept = [encoder.kept_function(each.digest) == each.body for each in pickled]
    assert kept == [False, True, True]


def test_one_function_larger_than_the_bound_is_kept_all_the_same(monkeypatch: Any) -> None:
    monkeypatch.setattr(encoder_module, "KEPT_FUNCTION_BYTES", 1)
    encoder = Encoder()
    pickled: Any = encoder.function_of({"function": len})
    assert encoder.kept_function(pickled.digest) == pickled.body


def test_the_same_kwargs_are_encoded_once_for_targets_that_know_the_same() -> None:
    prepared = Prepared(Encoder())
    kwargs = {"function": "f", "args": ([1],)}
    prepared.use(kwargs)
    one = prepared.body_for(1)
    prepared.use(kwargs)
    other = prepared.body_for(2)
    assert one is other
    assert prepared.joined(one) is prepared.joined(other)
    assert decode_call(prepared.joined(one)).arguments() == (([1],), {})


def test_other_kwargs_are_encoded_anew() -> None:
    prepared = Prepared(Encoder())
    for number in range(3):
        prepared.use({"function": "f", "args": ([number],)})
        body = prepared.body_for(1)
        assert decode_call(prepared.joined(body)).arguments() == (([number],), {})


def test_a_bounced_call_carries_its_function_always() -> None:
    prepared = Prepared(Encoder())
    prepared.use({"function": len})
    prepared.body_for(1)
    call = decode_call(prepared.bounced_body(["a", "b"]).joined())
    assert call.function.body  # type: ignore[union-attr]
    assert call.options["bounce"] == ["a", "b"]


@pytest.mark.parametrize(
    ("kwargs", "parameter"),
    [
        ({"mode": "dance"}, "mode"),
        ({"args": 5}, "args"),
        ({"args": "text"}, "args"),
        ({"kwargs": [1]}, "kwargs"),
        ({"kwargs": {1: 2}}, "kwargs"),
        ({"priority": "high"}, "priority"),
        ({"promise_password": 5}, "promisePassword"),
        ({"result_handling": {"result_name": 5}}, "resultName"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(kwargs: Any, parameter: str) -> None:
    with pytest.raises(BadArgument, match=f"^{parameter}: got"):
        Encoder().encode({"function": "f", **kwargs}, 1)
    with pytest.raises(BadArgument, match=f"^{parameter}: got"):
        Prepared(Encoder()).use({"function": "f", **kwargs})


def test_a_call_says_what_was_asked_for() -> None:
    kwargs = {
        "function": "f",
        "first_argument_executor": True,
        "result_handling": {"store_result": True, "result_name": "r", "return_result": False},
        "promise_password": "p",
        "propagate_workers": True,
        "propagate_upgrid": True,
    }
    call = decode_call(Encoder().encode(kwargs, 1).joined())
    assert call.flags == FIRST_ARGUMENT | STORE
    assert {key: call.options[key] for key in ("result_name", "promise")} == {"result_name": "r", "promise": "p"}
    assert set(call.options["propagate"]) == {"propagate_workers", "propagate_upgrid"}


def test_a_name_for_a_result_that_is_not_stored_is_not_sent() -> None:
    call = decode_call(Encoder().encode({"function": "f", "result_handling": {"result_name": "r"}}, 1).joined())
    assert call.flags == RETURN
    assert call.options == {}
