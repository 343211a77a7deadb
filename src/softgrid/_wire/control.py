"""Control messages: strict JSON objects with an ``op``. They are never pickle, and nothing in them is code.

Who may send which op is decided by the receiver (``_node.control``); here only the shape is checked.
"""

from __future__ import annotations

import json
from typing import Any

from softgrid._model.errors import BadArgument, Undecodable

Message = dict[str, Any]


def encode_control(message: Message) -> bytes:
    """Give *message* as bytes; raises BadArgument for a value that is not text, a number, a list or a dictionary."""
    try:
        return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadArgument("message", message, f"what JSON can carry ({error})") from None


def decode_control(body: bytes | bytearray | memoryview) -> Message:
    """Read a control message; raises Undecodable for anything that is not one."""
    try:
        message = json.loads(bytes(body), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"not a control message: {error}") from None
    if not isinstance(message, dict) or not isinstance(message.get("op"), str):
        raise Undecodable("not a control message: no 'op'")
    return message


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def field(message: Message, key: str, kind: type | tuple[type, ...]) -> Any:
    """Read one field that must be there and be of that kind."""
    value = message.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Undecodable(f"control message '{message.get('op')}' without a proper '{key}'")
    return value
