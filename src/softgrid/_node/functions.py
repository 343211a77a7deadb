"""The functions an executor can run for others: its methods by name, stored ones, and those that came over the wire.

A method is callable from outside only if it stands in the executor's table; names from the wire never reach
``getattr`` unchecked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from softgrid._model.errors import NoRoute, Refused, Undecodable
from softgrid._wire.functions import (
    Function,
    FunctionName,
    FunctionSource,
    PickledFunction,
    compile_source,
    digest_of,
    unpickle_function,
)

CACHE_SIZE = 1024
BODIES_BYTES = 64 * 1024 * 1024


class UnknownDigest(Exception):
    """The caller believes that this function is here, but it is not (any more)."""


class Resolved(NamedTuple):
    """A function ready to run."""

    function: Callable[..., Any]
    is_users: bool
    """Whether it is a user's function, which rules may forbid here."""
    wants_executor: bool = False


class FunctionTable:
    """Finds the function that a call means."""

    def __init__(
        self,
        owner: object,
        methods: frozenset[str],
        prompt_methods: frozenset[str] = frozenset(),
        *,
        ordered_methods: frozenset[str] = frozenset(),
        users_methods: frozenset[str] = frozenset(),
    ) -> None:
        self._owner = owner
        self._methods = methods
        self._prompt_methods = prompt_methods
        self._ordered_methods = ordered_methods
        self._users_methods = users_methods
        self._received: OrderedDict[bytes, Resolved] = OrderedDict()
        self._bodies: dict[bytes, bytes] = {}
        self._bodies_bytes = 0
        self.stored: dict[str, tuple[Callable[..., Any], bool]] = {}

    def is_users(self, function: Function) -> bool:
        """Whether running this needs the permission to run functions of users."""
        return (
            not isinstance(function, FunctionName)
            or function.name not in self._methods
            or function.name in self._users_methods
        )

    def is_prompt(self, function: Function) -> bool:
        """Whether this never waits, so that it may run in the thread that received the call."""
        return isinstance(function, FunctionName) and function.name in self._prompt_methods

    def is_ordered(self, function: Function) -> bool:
        """Whether calls of this by one caller are run in the order in which they came, whatever their priority."""
        return isinstance(function, FunctionName) and function.name in self._ordered_methods

    def resolve(self, function: Function) -> Resolved:
        """Give what is to be run; unpickling and compiling happen here, so only where user code may run."""
        if isinstance(function, FunctionName):
            return self._by_name(function.name)
        if isinstance(function, FunctionSource):
            stored = self.stored.get(function.text)  # under a name that is no identifier
            if stored is not None:
                return Resolved(stored[0], True, stored[1])
            key = b"source:" + function.text.encode()
            return self._cached(key, lambda: compile_source(function.text))
        assert isinstance(function, PickledFunction)
        return self._received.get(function.digest) or self._unpickled(function)

    def _unpickled(self, function: PickledFunction) -> Resolved:
        self.note(function)
        body = function.body or self._bodies.get(function.digest)
        if not body:
            raise UnknownDigest
        return self._cached(function.digest, lambda: unpickle_function(body))

    def note(self, function: Function) -> None:
        """Keep the bytes of a function that came with a call, for the calls behind it; raises Undecodable."""
        if not isinstance(function, PickledFunction) or not function.body or function.digest in self._bodies:
            return
        if digest_of(function.body) != function.digest:
            raise Undecodable("a function that is not what its digest says")
        self._bodies[function.digest] = function.body
        self._bodies_bytes += len(function.body)
        while len(self._bodies) > CACHE_SIZE or (self._bodies_bytes > BODIES_BYTES and len(self._bodies) > 1):
            self._bodies_bytes -= len(self._bodies.pop(next(iter(self._bodies))))

    def body_of(self, digest: bytes) -> bytes | None:
        """Give a function that came over the wire as the bytes that came."""
        return self._bodies.get(digest)

    def _by_name(self, name: str) -> Resolved:
        if name in self._methods:  # first, since it needs no permission: nothing stored may pass for it
            return Resolved(getattr(self._owner, name), name in self._users_methods)
        stored = self.stored.get(name)
        if stored is not None:
            return Resolved(stored[0], True, stored[1])
        if hasattr(self._owner, name):
            raise Refused(f"'{name}' of an executor is not open to calls from other executors")
        raise NoRoute(f"no stored function and no method of the executor is named '{name}'")

    def _cached(self, key: bytes, make: Callable[[], Callable[..., Any]]) -> Resolved:
        known = self._received.get(key)
        if known is None:
            known = self._received[key] = Resolved(make(), True)
            if len(self._received) > CACHE_SIZE:
                self._received.popitem(last=False)
        else:
            self._received.move_to_end(key)
        return known
