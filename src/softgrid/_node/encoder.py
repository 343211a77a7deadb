"""Transfer kwargs to calls: read, checked, encoded once for all targets that get the same.

A function travels to a target once and is called by its digest afterwards; what was sent is kept for a while, because a
target may have forgotten it.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any
from weakref import WeakValueDictionary

from softgrid._model.errors import BadArgument, Unserializable
from softgrid._state.receivers import PROPAGATE, may_bridge
from softgrid._state.workqueue import check_priority
from softgrid._wire.calls import FIRST_ARGUMENT, RETURN, STORE, call_with, encode_arguments, encode_call
from softgrid._wire.control import Message
from softgrid._wire.framing import Outbound, Parts
from softgrid._wire.functions import (
    DIGEST,
    Function,
    FunctionName,
    FunctionPickler,
    FunctionSource,
    PickledFunction,
    encode_function,
    source_in,
)
from softgrid._wire.portable import pickle_portably

KEPT_FUNCTION_BYTES = 64 * 1024 * 1024

Kwargs = Mapping[str, Any]
"""What a user asks to be run, see ``get_transfer_template``."""


class Encoder:
    """Turns transfer kwargs into call bodies."""

    def __init__(self) -> None:
        self._pickler = FunctionPickler()
        self._known: dict[int, set[bytes]] = {}
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._last: PickledFunction | None = None
        """What was kept last, which goes on being kept while nothing else is."""
        self._alive: WeakValueDictionary[bytes, Callable[..., Any]] = WeakValueDictionary()

    def function_of(self, kwargs: Kwargs) -> Function:
        """Read the function of some transfer kwargs; pickles it when it is a callable."""
        function = kwargs.get("function")
        if type(function) is FunctionType:  # nearly always, and the questions below take as long as the answer
            return self._pickled(function)
        if isinstance(function, Mapping):
            return FunctionSource(source_in(function, "func"))
        if isinstance(function, str) and function.strip():
            return FunctionName(function) if function.isidentifier() else FunctionSource(function)
        if not callable(function):
            raise BadArgument(
                "func",
                function,
                "a callable, source text, or the name of a method or a stored function",
            )
        return self._pickled(function)

    def _pickled(self, function: Callable[..., Any]) -> PickledFunction:
        pickled = self._pickler.pickle(function)
        if self._last is not pickled:
            self._keep(pickled, function)
            self._last = pickled
        return pickled

    def _keep(self, pickled: PickledFunction, function: Callable[..., Any]) -> None:
        with contextlib.suppress(TypeError):  # what nothing can refer to weakly is no plain function
            self._alive[pickled.digest] = function
        if pickled.digest in self._kept:
            return
        self._kept[pickled.digest] = pickled.body
        self._kept_bytes += len(pickled.body)
        while self._kept_bytes > KEPT_FUNCTION_BYTES and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    def encode(self, kwargs: Kwargs, target: int) -> Outbound:
        """Give one call for one target."""
        args, keywords = arguments_of(kwargs)
        flags, options = flags_and_options(kwargs)
        priority = check_priority(kwargs.get("priority", 1))
        section = self.section_for(self.function_of(kwargs), target)
        return encode_call(section, args, keywords, flags=flags, priority=priority, options=options)

    def prepare(
        self, kwargs: Kwargs, promise: str | None = None, *, is_detached: bool, allowed: bool | None = None
    ) -> EncodedCall:
        """Encode one call to be sent later, maybe more than once; under *promise*, if not under its own.

        *is_detached*: with a copy of what it takes from its caller's memory. *allowed* is what ``transfer`` was told of
        bridges.
        """
        args, keywords = arguments_of(kwargs)
        flags, options = flags_and_options(kwargs if promise is None else {**kwargs, "promise_password": promise})
        payload = encode_arguments(args, keywords)
        priority = check_priority(kwargs.get("priority", 1))
        allows_bridge = may_bridge(allowed, kwargs)
        call = EncodedCall(self, self.function_of(kwargs), payload, flags, priority, options, allows_bridge)
        if is_detached:
            call.detach()
        return call

    def kept_function(self, digest: bytes) -> bytes | None:
        """Give a function that was sent before, if it is still kept."""
        return self._kept.get(digest)

    def portable_function(self, digest: bytes) -> bytes:
        """Give a function that was sent before as source, for a Python of another version; raises Unserializable."""
        function = self._alive.get(digest)
        if function is None:
            raise Unserializable("the function is no longer there as source; send it again")
        return pickle_portably(function)

    def section_for(self, function: Function, target: int) -> bytes:
        """Give *function* as it is sent to *target*, which has it from then on."""
        if not isinstance(function, PickledFunction):
            return encode_function(function)
        known = self._known.get(target)
        if known is None:
            known = self._known[target] = set()
        if function.digest in known:
            return DIGEST + function.digest
        if len(known) > 4096:
            known.clear()
        known.add(function.digest)
        return encode_function(function)

    def forget(self, targets: set[int]) -> None:
        """Executors are gone, and what they knew with them."""
        for target in targets:
            self._known.pop(target, None)


def flags_and_options(kwargs: Kwargs) -> tuple[int, Message]:
    """Read what a call says besides its function and arguments; raises BadArgument."""
    if kwargs.get("mode", "execute") != "execute":
        raise BadArgument("mode", kwargs.get("mode"), "'execute'")
    handling = kwargs.get("result_handling") or {}
    if type(handling) is not dict and not isinstance(handling, Mapping):
        raise BadArgument("result_handling", handling, "None or a dictionary of rules for the result")
    name = handling.get("result_name")
    if name is not None and not isinstance(name, str):
        raise BadArgument("resultName", name, "None or a string")
    flags = RETURN if handling.get("return_result", True) else 0
    flags |= STORE if handling.get("store_result") else 0
    flags |= FIRST_ARGUMENT if kwargs.get("first_argument_executor") else 0
    options: Message = {}
    if flags & STORE and name is not None:
        options["result_name"] = name
    promise = kwargs.get("promise_password")
    if promise is not None:
        if not isinstance(promise, str):
            raise BadArgument("promisePassword", promise, "None or a string")
        options["promise"] = promise
    for flag in PROPAGATE:
        if kwargs.get(flag):
            options.setdefault("propagate", []).append(flag)
    return flags, options


def arguments_of(kwargs: Kwargs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read the arguments of a call; raises BadArgument."""
    args, keywords = kwargs.get("args"), kwargs.get("kwargs")
    if args is not None and not isinstance(args, (tuple, list)):
        raise BadArgument("args", args, "None, a tuple or a list")
    if keywords is not None and not (isinstance(keywords, dict) and all(isinstance(key, str) for key in keywords)):
        keywords = _paired(keywords)
    return tuple(args or ()), keywords or {}


def _paired(given: object) -> dict[str, Any]:
    """Read keyword arguments that came as pairs, which the documented interface allows too; raises BadArgument."""
    if isinstance(given, (list, tuple)) and all(map(_is_named, given)):
        return dict(given)
    raise BadArgument("kwargs", given, "None, a dictionary with strings as keys, or a list of pairs (name, value)")


def _is_named(pair: object) -> bool:
    return isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str)


class EncodedCall:
    """A call that is encoded but for what its target knows of its function."""

    __slots__ = ("_encoder", "_flags", "_function", "_options", "_payload", "_priority", "allows_bridge")

    def __init__(
        self,
        encoder: Encoder,
        function: Function,
        payload: Parts,
        flags: int,
        priority: float | None,
        options: Message,
        allows_bridge: bool,
    ) -> None:
        self.allows_bridge = allows_bridge
        self._encoder = encoder
        self._function = function
        self._payload = payload
        self._flags = flags
        self._priority = priority
        self._options = options

    def again(self, attempt: int) -> EncodedCall:
        """Give the call for a further attempt; what passed it on to others has done so."""
        options = {key: value for key, value in self._options.items() if key != "propagate"}
        return EncodedCall(
            self._encoder,
            self._function,
            self._payload,
            self._flags,
            self._priority,
            {**options, "attempt": attempt},
            self.allows_bridge,
        )

    @property
    def size(self) -> int:
        """How many bytes its arguments are."""
        return sum(map(len, self._payload))

    def detach(self) -> None:
        """Copy what is still in its caller's memory."""
        self._payload = [b"".join(self._payload)]

    def body_for(self, target: int) -> Outbound:
        """Give the call for *target*."""
        section = self._encoder.section_for(self._function, target)
        return call_with(self._payload, section, flags=self._flags, priority=self._priority, options=self._options)

    @staticmethod
    def joined(body: Outbound) -> bytes:
        """Give a small call as one string of bytes."""
        return body.joined()


class Prepared:
    """Some transfer kwargs, encoded as far as it does not depend on the target; the same kwargs are encoded once."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._kwargs: Kwargs | None = None
        self.size = 0
        self._bodies: dict[bytes, Outbound] = {}
        self._joined: dict[int, bytes] = {}
        self.allows_bridge = True

    def use(self, kwargs: Kwargs, allowed: bool | None = True) -> None:
        """Turn to other kwargs; raises what is wrong with them. *allowed* is what ``transfer`` was told of bridges."""
        self.allows_bridge = may_bridge(allowed, kwargs)
        if kwargs is self._kwargs:
            return
        self._kwargs = None
        self._function = self._encoder.function_of(kwargs)
        self._payload: Parts = encode_arguments(*arguments_of(kwargs))
        self.size = sum(map(len, self._payload))
        self._flags, self._options = flags_and_options(kwargs)
        self._priority = check_priority(kwargs.get("priority", 1))
        self._bodies.clear()
        self._joined.clear()
        self._kwargs = kwargs

    def body_for(self, target: int) -> Outbound:
        """Give the call for *target*."""
        section = self._encoder.section_for(self._function, target)
        known = self._bodies.get(section)
        if known is None:
            known = self._bodies[section] = self._encode(section, self._options)
        return known

    def joined(self, body: Outbound) -> bytes:
        """Give a small call as one string of bytes, put together once."""
        if not body.size:
            return body.head
        joined = self._joined.get(id(body))
        if joined is None:
            joined = self._joined[id(body)] = body.joined()
        return joined

    def bounced_body(self, fan: list[str]) -> Outbound:
        """Give the call that its target fans out; it always carries the function, which may be new to the others."""
        return self._encode(encode_function(self._function), {**self._options, "bounce": fan})

    def _encode(self, section: bytes, options: Message) -> Outbound:
        return call_with(self._payload, section, flags=self._flags, priority=self._priority, options=options)
