"""A call and its outcome as message bodies.

    CALL    flags u16 | priority f64 | options size u32 | function size u32
            options (JSON) | function | padding | payload
    RESULT  outcome u8, then  PLAIN: payload   VALUE: padding | payload
            RAISED, REFUSED: size u32 | account (JSON) | payload of the exception

The payload of a call is the pair (args, kwargs). Options are what few calls have: where to bounce, to propagate, a
promise, a name for the result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from softgrid._model.errors import Cancelled, RemoteFailure, SoftgridError, Undecodable, class_name, shorten
from softgrid._wire.control import Message, decode_control, encode_control
from softgrid._wire.framing import ALIGNMENT, FROM_GUEST, Attached, Body, FromGuest, Outbound, Parts
from softgrid._wire.functions import Function, PickledFunction, decode_function, encode_function
from softgrid._wire.values import (
    are_plain,
    decode_value,
    encode_plain,
    encode_value,
    is_plain,
)

_CALL = struct.Struct(">HdII")
_SIZE = struct.Struct(">I")

RETURN, STORE, FIRST_ARGUMENT, NO_PRIORITY, CONTROL = 1, 2, 4, 8, 16
PLAIN, RAISED, REFUSED, VALUE = b"\x00", b"\x01", b"\x02", b"\x03".ljust(ALIGNMENT, b"\x00")

_VALUE_TAG = VALUE[:1]
NO_OPTIONS: Message = {}

MAX_MESSAGE, MAX_TRACEBACK = 4096, 65536
MAX_CLASSES = 64
LONGEST_NAME = 64
"""Functions whose section is longer than this are few: those that come as bytes or source."""
SMALL = 4096
"""Payloads up to this many bytes stand in one string with the head of their message."""


class Call:
    """A call as its receiver sees it; arguments stay bytes until the function is about to run."""

    __slots__ = ("body", "flags", "function", "options", "payload_offset", "priority")

    def __init__(
        self, flags: int, priority: float | None, options: Message, function: Function, body: Body, payload_offset: int
    ) -> None:
        self.flags = flags
        self.priority = priority
        self.options = options
        self.function = function
        self.body = body
        self.payload_offset = payload_offset

    def arguments(self, *, is_trusted: bool = False) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Decode the arguments; whatever their classes raise passes through.

        *is_trusted*: whatever the caller is, since it may have any code run here anyway.
        """
        if isinstance(self.body, Attached):
            args, kwargs = decode_value(self.body.payload.view())
        else:
            body = memoryview(self.body) if is_trusted else self.body
            args, kwargs = decode_value(body, self.payload_offset)
        return args, kwargs


def encode_call(
    function: bytes,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    flags: int,
    priority: float | None,
    options: Message,
) -> Outbound:
    """Make a CALL; *function* is as ``encode_function`` gave it."""
    return call_with(encode_arguments(args, kwargs), function, flags=flags, priority=priority, options=options)


def encode_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Parts:
    """Give the payload of a call, which several calls may have in common; raises Unserializable."""
    if are_plain(args, kwargs):
        return [encode_plain((args, kwargs))]
    return encode_value((args, kwargs), "arguments")


def call_with(payload: Parts, function: bytes, *, flags: int, priority: float | None, options: Message) -> Outbound:
    """Make a CALL with the payload that ``encode_arguments`` gave."""
    head = _call_head(function, flags, priority, options)
    if len(payload) == 1 and len(payload[0]) <= SMALL:
        return Outbound(head + payload[0])
    return Outbound(head, payload)


def _call_head(function: bytes, flags: int, priority: float | None, options: Message) -> bytes:
    if options or len(function) > LONGEST_NAME:
        return _make_head(function, flags, priority, encode_control({"op": "options", **options}) if options else b"")
    return _same_head(function, flags, priority)


def _make_head(function: bytes, flags: int, priority: float | None, extra: bytes = b"") -> bytes:
    if priority is None:
        flags, priority = flags | NO_PRIORITY, 0.0
    head = _CALL.pack(flags, priority, len(extra), len(function)) + extra + function
    return head.ljust(len(head) + -len(head) % ALIGNMENT, b"\x00")


_same_head = lru_cache(maxsize=512)(_make_head)
"""Calls of functions that are known at their target begin alike."""


def decode_call(body: Body) -> Call:
    """Read a CALL up to its arguments; raises Undecodable."""
    message = body.head if isinstance(body, Attached) else body
    try:
        flags, priority, extra_size, function_size = _CALL.unpack_from(message)
    except struct.error:
        raise Undecodable("a call that is cut off") from None
    function_start = _CALL.size + extra_size
    function_stop = function_start + function_size
    payload_offset = function_stop + -function_stop % ALIGNMENT
    if payload_offset > len(message) or (message is body and payload_offset == len(message)):
        raise Undecodable("a call that is shorter than its parts")
    options = decode_control(message[_CALL.size : function_start]) if extra_size else NO_OPTIONS
    section = bytes(message[function_start:function_stop])
    function = decode_function(section) if function_size > LONGEST_NAME else _same_function(section)
    return Call(flags, None if flags & NO_PRIORITY else priority, options, function, body, payload_offset)


_same_function = lru_cache(maxsize=512)(decode_function)


def without_options(call: Call, *dropped: str, **changed: Any) -> Outbound:
    """Give *call* again without some of its options, to send it on; its arguments stay unread."""
    options = {key: value for key, value in call.options.items() if key not in dropped and key != "op"}
    function = encode_function(
        call.function, is_known=isinstance(call.function, PickledFunction) and not call.function.body
    )
    head = _call_head(function, call.flags, call.priority, {**options, **changed})
    if isinstance(call.body, Attached):
        return Outbound(head, payload=call.body.payload)
    flags = FROM_GUEST if type(call.body) is FromGuest else 0
    return Outbound(head, [memoryview(call.body)[call.payload_offset :]], flags=flags)


def encode_result(value: object) -> Outbound:
    """Make a RESULT that carries *value*; raises Unserializable. One that is a RESULT already stays as it is."""
    if is_plain(value):
        payload = encode_plain(value)
        return Outbound(PLAIN + payload) if len(payload) <= SMALL else Outbound(VALUE, [payload])
    if type(value) is Outbound:
        return value
    return Outbound(VALUE, encode_value(value, "result"))


def encode_refusal(reason: str, **account: Any) -> Outbound:
    """Make the body of a RESULT for a call that was not run."""
    return Outbound(REFUSED + _with_account({"op": "refused", "reason": reason, **account}))


def encode_exception(error: BaseException, skip: int = 1) -> Outbound:
    """Make the body of a RESULT for a call that raised, with the exception itself where it can travel."""
    import traceback  # only when something went wrong: loading it costs as much as a whole call

    lines = traceback.format_exception(type(error), error, _trimmed(error, skip))
    lines[-1] = shorten(lines[-1].rstrip("\n"), MAX_MESSAGE) if len(lines[-1]) > MAX_MESSAGE else lines[-1]
    account: Message = {
        "op": "raised",
        "type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        "classes": [class_name(cls) for cls in type(error).__mro__[:MAX_CLASSES]],
        "message": _text_of(error)[:MAX_TRACEBACK],
        "traceback": "".join(lines)[-MAX_TRACEBACK:],
    }
    return Outbound(RAISED + _with_account(account) + _travelling(error))


def _trimmed(error: BaseException, skip: int) -> Any:
    trace = error.__traceback__
    for _ in range(skip):
        trace = trace.tb_next if trace and trace.tb_next else trace
    return trace


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<its text raised {type(broken).__name__}>"


def _travelling(error: BaseException) -> bytes:
    """Give the exception as a payload, or nothing when it would not survive the trip."""
    try:
        payload = b"".join(encode_value(error, what="exception"))
        if type(decode_value(payload)) is not type(error):
            return b""
    except Exception:
        return b""
    return payload


def _with_account(account: Message) -> bytes:
    encoded = encode_control(account)
    return _SIZE.pack(len(encoded)) + encoded


class Failure(Exception):
    """A call that did not give a value: what the caller is told, and the exception itself where it travelled."""

    def __init__(self, account: Message, exception: BaseException | None) -> None:
        super().__init__(str(account.get("reason") or account.get("traceback") or ""))
        self.account = account
        self.exception = exception
        self.attempts = ""
        """How its attempts ended, if there were several."""

    @property
    def was_run(self) -> bool:
        """Whether the function had begun."""
        return bool(self.account["op"] == "raised")

    @property
    def is_cancelled(self) -> bool:
        """Whether its caller took the call back."""
        return self.account.get("cancelled") is True

    def __str__(self) -> str:
        return f"{self._told()}\n{self.attempts}" if self.attempts else self._told()

    def _told(self) -> str:
        if not self.was_run:
            return str(self.account.get("reason"))
        traceback = str(self.account.get("traceback", "")).rstrip()
        return f"{self.headline()}\nRemote traceback:\n{traceback}"

    def headline(self) -> str:
        """Give the last line of the traceback: which exception, and what it says."""
        return f"{self.account.get('type')}: {self.account.get('message')}"

    def as_exception(self) -> BaseException:
        """Give what a caller should see raised: the function's own exception where there is one."""
        if self.exception is not None:
            return self.exception
        if self.is_cancelled:
            return Cancelled(str(self))
        return RemoteFailure(str(self)) if self.was_run else SoftgridError(str(self))


def is_failure(outcome: object) -> bool:
    """Whether a RESULT, unread, carries no value; anything else than the body of one does not."""
    if isinstance(outcome, Attached):
        return False
    return not isinstance(outcome, (bytes, bytearray)) or outcome[:1] in (RAISED, REFUSED)


def failure_of(outcome: object) -> Failure | None:
    """Give what a RESULT says of a failure; the exception itself stays unread. None when it carries a value."""
    if not isinstance(outcome, (bytes, bytearray)) or not is_failure(outcome):
        return None
    try:
        decode_result(outcome, lambda body, offset: None)
    except Failure as failure:
        return failure
    except Exception:  # not readable at all, as its taker will find
        return None
    return None


def decode_result(body: Body, loads: Callable[[Any, int], Any] = decode_value) -> Any:
    """Read a RESULT: gives the value, or raises Failure."""
    if isinstance(body, Attached):
        return loads(body.payload.view(), 0)
    outcome = bytes(body[:1])
    if outcome == PLAIN:
        return loads(body, 1)
    if outcome == _VALUE_TAG:
        return loads(body, ALIGNMENT)
    if outcome not in (RAISED, REFUSED) or len(body) < 1 + _SIZE.size:
        raise Undecodable(f"no result has the outcome {outcome!r}")
    (size,) = _SIZE.unpack_from(body, 1)
    start = 1 + _SIZE.size
    account = decode_control(body[start : start + size])
    exception = None
    if len(body) > start + size:
        exception = _revive(body, start + size, loads)
    raise Failure(account, exception)


def _revive(body: bytes | bytearray, offset: int, loads: Callable[[Any, int], Any]) -> BaseException | None:
    try:
        revived = loads(body, offset)
    except Exception:
        return None
    return revived if isinstance(revived, BaseException) else None
