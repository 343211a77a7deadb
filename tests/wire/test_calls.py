"""Calls and results: read back as sent, exceptions as themselves where they can, garbage as Undecodable."""

from __future__ import annotations

import struct
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import BadArgument, RemoteFailure, SoftgridError, Undecodable, Unserializable
from softgrid._wire.calls import (
    FIRST_ARGUMENT,
    RETURN,
    SMALL,
    STORE,
    Call,
    Failure,
    decode_call,
    decode_result,
    encode_call,
    encode_exception,
    encode_refusal,
    encode_result,
    is_failure,
    without_options,
)
from softgrid._wire.framing import ALIGNMENT, Attached, Outbound
from softgrid._wire.functions import DIGEST_SIZE, FunctionName, PickledFunction, encode_function

NAMED = encode_function(FunctionName("f"))
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
OPTIONS = st.dictionaries(TEXT.filter(lambda key: key != "op"), TEXT | st.integers(), max_size=3)
PRIORITIES = st.none() | st.floats(allow_nan=False)


def body_of(
    *args: Any, flags: int = RETURN, priority: float | None = 1.0, function: bytes = NAMED, **options: Any
) -> bytes:
    return encode_call(function, args, {}, flags=flags, priority=priority, options=options).joined()


class Beside:
    """A payload that came beside its message, as one in shared memory does."""

    def __init__(self, outbound: Outbound) -> None:
        self.memory = bytearray(b"".join(outbound.all_parts()[1:]))
        self.size = len(self.memory)
        self.views = 0

    def view(self) -> memoryview:
        self.views += 1
        return memoryview(self.memory)


def resent(call: Call, *dropped: str, **changed: Any) -> bytes:
    return without_options(call, *dropped, **changed).joined()


def attached(outbound: Outbound) -> Attached:
    return Attached(outbound.head, Beside(outbound))


# -- calls ----------------------------------------------------------------------------------------


@PROPERTY
@given(
    TEXT,
    st.lists(TEXT | st.lists(st.integers())),
    st.dictionaries(TEXT, st.binary() | st.sets(st.integers())),
    st.integers(0, 7),
    PRIORITIES,
    OPTIONS,
)
def test_a_call_reads_back(name, args, kwargs, flags, priority, options) -> None:
    outbound = encode_call(
        encode_function(FunctionName(name)), tuple(args), kwargs,
        flags=flags, priority=priority, options=options,
    )  # fmt: skip
    call = decode_call(outbound.joined())
    assert call.function == FunctionName(name)
    assert call.arguments() == (tuple(args), kwargs)
    assert call.flags & (RETURN | STORE | FIRST_ARGUMENT) == flags
    assert call.priority == priority
    assert {key: value for key, value in call.options.items() if key != "op"} == options


def test_a_call_carries_arrays_that_are_writable_and_aligned() -> None:
    sent = np.arange(3000.0)
    (got,), _ = decode_call(bytearray(body_of(sent, bounce=["x"]))).arguments()
    assert (got == sent).all()
    got[0] = 5.0


def test_an_argument_that_cannot_travel_is_named() -> None:
    with pytest.raises(Unserializable, match=r"cannot serialise arguments\[0\]\[1\]"):
        body_of(1, threading.Lock())


def test_an_option_that_is_no_json_is_a_bad_argument() -> None:
    with pytest.raises(BadArgument):
        body_of(1, bounce=[b"x"])


def test_reading_a_call_does_not_read_its_arguments() -> None:
    body = body_of(1)
    call = decode_call(body[: len(body) - 3] + b"\xff\xff\xff")
    assert call.function == FunctionName("f")
    with pytest.raises(Exception, match=r"."):
        call.arguments()


@pytest.mark.parametrize("size", range(20))
def test_a_call_that_was_cut_off_in_its_head_is_undecodable(size: int) -> None:
    with pytest.raises(Undecodable):
        decode_call(body_of(1)[:size])


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">HdII", 0, 0.0, 0, 0),
        struct.pack(">HdII", 0, 0.0, 0, 2) + b"Nf",
        struct.pack(">HdII", 0, 0.0, 2**32 - 1, 2**32 - 1) + b"x" * 99,
        struct.pack(">HdII", 0, 0.0, 2, 2) + b"{}Nf" + b"payload",
        struct.pack(">HdII", 0, 0.0, 0, 2) + b"Xf" + b"payload",
        struct.pack(">HdII", 0, 0.0, 0, 0) + b"payload",
    ],
)
def test_a_call_that_contradicts_itself_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_call(body)
    with pytest.raises(Undecodable):
        decode_call(bytearray(body))


@PROPERTY
@given(st.binary(max_size=60))
def test_garbage_raises_nothing_but_undecodable(data: bytes) -> None:
    try:
        decode_call(data)
    except Undecodable:
        return


@PROPERTY
@given(OPTIONS, OPTIONS, st.data(), PRIORITIES)
def test_a_call_sent_on_differs_in_its_options_only(options, changed, data, priority) -> None:
    dropped = data.draw(st.sets(st.sampled_from(sorted(options)))) if options else set()
    changed = {key: value for key, value in changed.items() if key.isidentifier() and key != "call"}
    sent = np.arange(9000, dtype=np.uint8)
    outbound = encode_call(NAMED, ("a", sent), {}, flags=STORE, priority=priority, options=options)
    before = decode_call(outbound.joined())
    after = decode_call(resent(before, *dropped, **changed))
    left = {key: value for key, value in options.items() if key not in dropped} | changed
    got = {key: value for key, value in after.options.items() if key not in ("op", "pad")}
    assert got == {key: value for key, value in left.items() if key != "pad"}
    assert (after.function, after.priority) == (before.function, before.priority)
    assert after.flags & STORE
    assert after.payload_offset % ALIGNMENT == before.payload_offset % ALIGNMENT
    (text, array), kwargs = after.arguments()
    assert (text, kwargs) == ("a", {})
    assert (array == sent).all()


def test_a_call_may_be_sent_on_any_number_of_times() -> None:
    body = body_of([1, 2], bounce=["x"], keep="y")
    for index in range(20):
        body = resent(decode_call(body), "bounce", step="x" * index)
    call = decode_call(body)
    assert call.arguments() == (([1, 2],), {})
    assert call.options["keep"] == "y"
    assert len(body) < 400


def test_a_call_of_a_function_known_by_its_digest_can_be_sent_on() -> None:
    function = PickledFunction(b"d" * DIGEST_SIZE, b"body")
    call = decode_call(body_of(1, function=encode_function(function, is_known=True), bounce=["x"]))
    assert decode_call(resent(call, "bounce")).function == PickledFunction(function.digest, b"")


@pytest.mark.parametrize("again", [False, True])
def test_a_call_whose_payload_came_beside_it_reads_the_same(again: bool) -> None:
    sent = np.arange(9000.0)
    call = decode_call(attached(encode_call(
        NAMED, (sent,), {"a": 1}, flags=RETURN, priority=None, options={"bounce": ["x"]}
    )))  # fmt: skip
    if again:
        call = decode_call(attached(without_options(call, "bounce")))
        assert "bounce" not in call.options
    (got,), kwargs = call.arguments()
    assert (got == sent).all()
    assert (kwargs, call.priority, call.function) == ({"a": 1}, None, FunctionName("f"))


def test_a_payload_beside_a_call_is_not_looked_into_before_it_is_needed() -> None:
    body = attached(encode_call(NAMED, (["x" * SMALL],), {}, flags=0, priority=1, options={"bounce": ["x"]}))
    call = decode_call(body)
    onward = without_options(call, "bounce")
    assert onward.payload is body.payload
    assert body.payload.views == 0  # type: ignore[attr-defined]
    call.arguments()
    assert body.payload.views == 1  # type: ignore[attr-defined]


def test_a_call_without_anything_behind_its_head_is_read_only_with_a_payload_beside_it() -> None:
    outbound = encode_call(NAMED, (["x" * SMALL],), {}, flags=0, priority=1, options={})
    with pytest.raises(Undecodable):
        decode_call(outbound.head)
    with pytest.raises(Undecodable):
        decode_call(Attached(outbound.head[:-ALIGNMENT], Beside(outbound)))


@pytest.mark.parametrize("size", [1, 3000, 100_000])
def test_arguments_of_every_size_go_in_head_or_payload(size: int) -> None:
    for args in [("x" * size,), (["x" * size],)]:
        outbound = encode_call(NAMED, args, {}, flags=0, priority=1, options={})
        assert decode_call(outbound.joined()).arguments() == (args, {})
        result = encode_result(args[0])
        assert decode_result(result.joined()) == args[0]


# -- results --------------------------------------------------------------------------------------


@PROPERTY
@given(st.one_of(st.none(), st.integers(), TEXT, st.lists(st.binary()), st.tuples(TEXT, TEXT)))
def test_a_value_reads_back(value: Any) -> None:
    assert decode_result(encode_result(value).joined()) == value


def test_a_result_carries_arrays_that_are_writable() -> None:
    sent = np.arange(3000.0)
    got = decode_result(encode_result({"a": sent}).joined())["a"]
    assert (got == sent).all()
    got[0] = 5.0


def test_a_result_whose_payload_came_beside_it_reads_the_same() -> None:
    sent = np.arange(9000.0)
    assert (decode_result(attached(encode_result(sent))) == sent).all()


def test_a_result_that_cannot_travel_is_named() -> None:
    with pytest.raises(Unserializable, match=r"^cannot serialise result\['lock'\]"):
        encode_result({"lock": threading.Lock()})


def failure_of(body: bytes) -> Failure:
    with pytest.raises(Failure) as caught:
        decode_result(body)
    return caught.value


def test_a_refusal_says_that_nothing_was_run_and_why() -> None:
    failure = failure_of(encode_refusal("no functions here", rule="x").joined())
    assert not failure.was_run
    assert str(failure) == "no functions here"
    assert failure.account["rule"] == "x"
    assert type(failure.as_exception()) is SoftgridError
    assert str(failure.as_exception()) == "no functions here"


def _raise(error: BaseException) -> None:
    raise error


def body_of_raised(error: BaseException) -> bytes:
    try:
        _raise(error)
    except BaseException as caught:
        return encode_exception(caught).joined()
    raise AssertionError


def test_an_exception_comes_back_as_itself_with_the_remote_traceback() -> None:
    failure = failure_of(body_of_raised(KeyError("k")))
    assert failure.was_run
    assert type(failure.as_exception()) is KeyError
    assert failure.as_exception().args == ("k",)
    assert str(failure).startswith("KeyError: 'k'\nRemote traceback:\n")
    assert "in _raise" in str(failure)


def test_the_frames_of_softgrid_itself_are_left_out_of_the_traceback() -> None:
    assert "body_of_raised" not in str(failure_of(body_of_raised(KeyError("k"))))


def test_skipping_more_frames_than_there_are_keeps_the_last() -> None:
    try:
        _raise(KeyError("k"))
    except KeyError as error:
        body = encode_exception(error, skip=99).joined()
    assert "in _raise" in str(failure_of(body))


def test_an_exception_that_was_never_raised_has_no_frames() -> None:
    assert str(failure_of(encode_exception(ValueError("v")).joined())).startswith("ValueError: v\n")


def test_an_exception_says_its_module_unless_it_is_builtin() -> None:
    assert str(failure_of(body_of_raised(struct.error("bad")))).startswith("struct.error: bad")


class _Picky(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class _Turncoat(Exception):
    def __reduce__(self) -> Any:
        return str, ("not an exception",)


class _Stuck(Exception):
    def __init__(self) -> None:
        super().__init__("stuck")
        self.lock = threading.Lock()


@pytest.mark.parametrize("error", [_Picky(1, 2), _Turncoat("t"), _Stuck()], ids=repr)
def test_an_exception_that_cannot_travel_comes_as_a_description(error: Exception) -> None:
    failure = failure_of(body_of_raised(error))
    assert failure.exception is None
    told = failure.as_exception()
    assert type(told) is RemoteFailure
    assert f"{type(error).__name__}: {error}" in str(told)
    assert "in _raise" in str(told)


def test_an_exception_whose_text_fails_is_still_told() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise OSError

    assert "<its text raised OSError>" in str(failure_of(body_of_raised(Mute())))


@pytest.mark.parametrize("size", [5000, 1_000_000])
def test_an_endless_text_is_cut_and_the_frames_are_kept(size: int) -> None:
    body = body_of_raised(ValueError("x" * size))
    account = failure_of(body).account
    assert "in _raise" in account["traceback"]
    assert len(account["traceback"]) + len(account["message"]) < 200_000
    assert account["message"].startswith("xxx")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_exceptions_that_end_programs_are_told_like_others(error: BaseException) -> None:
    assert type(failure_of(body_of_raised(error)).exception) is type(error)


@pytest.mark.parametrize("payload", [b"\x00garbage", b"\x00N.", b"\xff", b"\x00K\x05."])
def test_an_exception_that_cannot_be_read_here_is_a_description(payload: bytes) -> None:
    account = b'{"op":"raised","type":"T","message":"m","traceback":"tb\\n"}'
    failure = failure_of(b"\x01" + struct.pack(">I", len(account)) + account + payload)
    assert failure.exception is None
    assert str(failure) == "T: m\nRemote traceback:\ntb"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x03",
        b"\x01",
        b"\x01\x00\x00",
        b"\x02\x00\x00\x00",
        b"\x01\x00\x00\x00\x00",
        b"\x02\xff\xff\xff\xff{}",
        b"\x01\x00\x00\x00\x02{}",
        b"\x01\x00\x00\x00\x04null",
        b"\x00",
        b"\x00\x07",
    ],
)
def test_a_result_that_contradicts_itself_is_undecodable(body: bytes) -> None:
    for message in (body, bytearray(body)):
        with pytest.raises(Undecodable):
            decode_result(message)


@PROPERTY
@given(st.binary(max_size=40))
def test_garbage_behind_a_failure_raises_nothing_but_undecodable(data: bytes) -> None:
    for outcome in (b"\x01", b"\x02", b"\x03"):
        with pytest.raises((Undecodable, Failure)):
            decode_result(outcome + data)


@pytest.mark.parametrize("account", [b'{"op":"raised","traceback":5}', b'{"op":"raised","traceback":null}'])
def test_a_failure_with_odd_fields_still_reads(account: bytes) -> None:
    failure = failure_of(b"\x01" + struct.pack(">I", len(account)) + account)
    assert "Remote traceback" in str(failure)


@pytest.mark.parametrize(
    ("outcome", "has_failed"),
    [
        (encode_result(5).joined(), False),
        (encode_result([object]).joined(), False),
        (encode_exception(ValueError()).joined(), True),
        (encode_refusal("no").joined(), True),
        (SoftgridError("lost"), True),
        (None, True),
    ],
)
def test_whether_a_call_failed_can_be_told_without_reading_its_result(outcome: Any, has_failed: bool) -> None:
    assert is_failure(outcome) is has_failed
