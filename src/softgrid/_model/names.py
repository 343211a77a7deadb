"""The grid unique name ``role|name@address[pid]:port``: parsed and formatted here and nowhere else.

A name is a label that people read. On the wire an executor is addressed by the 64-bit digest of its name, which
every executor can compute for itself, so nobody has to ask anybody for a number.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, NewType, cast

from softgrid._model.errors import BadArgument, MalformedName
from softgrid._model.roles import Role

NodeId = NewType("NodeId", int)

_SHAPE = "'role|name@address[pid]:port', e.g. 'worker|Worker@10.0.0.7[1234]:5001'"
_NUMBER = r"(0|[1-9][0-9]{0,9})"  # one way to write each, or one executor would have many names
_GIVEN = r"[^|@\[\]\x00-\x1f\x7f\ud800-\udfff]{1,128}"
_ADDRESS = r"[^|@\[\]\s\x00-\x20\x7f\ud800-\udfff]{1,255}"
_NAME = re.compile(rf"(orchestrator|router|manager|worker)\|({_GIVEN})@({_ADDRESS})\[{_NUMBER}\]:{_NUMBER}")
_GIVEN_NAME = re.compile(_GIVEN)


class GridName(NamedTuple):
    """A grid unique name, taken apart."""

    role: Role
    name: str
    address: str
    pid: int
    port: int

    def __str__(self) -> str:
        return f"{self.role}|{self.name}@{self.address}[{self.pid}]:{self.port}"


@lru_cache(maxsize=4096)
def _parse(text: str) -> GridName | None:
    match = _NAME.fullmatch(text)
    if match is None or int(match[5]) > 65535:
        return None
    return GridName(cast(Role, match[1]), match[2], match[3], int(match[4]), int(match[5]))


def parse_name(text: object, parameter: str = "gridUniqueName") -> GridName:
    """Take a grid unique name apart; raises MalformedName, which says what a good one looks like."""
    parsed = _parse(text) if isinstance(text, str) else None
    if parsed is None:
        raise MalformedName(parameter, text, _SHAPE)
    return parsed


def checked_names(names: object, parameter: str) -> list[str]:
    """Read one grid unique name or a list of them."""
    given = names if isinstance(names, (list, tuple)) else [names]
    return [str(parse_name(name, parameter)) for name in given]


def check_given_name(name: object) -> str:
    """Accept the short name that a user gives to an executor."""
    if not isinstance(name, str) or not _GIVEN_NAME.fullmatch(name):
        raise BadArgument("name", name, "1 to 128 characters other than | @ [ ] and control characters")
    return name


@lru_cache(maxsize=65536)
def node_id(name: str) -> NodeId:
    """Give the 64-bit address of the executor of that name (BLAKE2b, RFC 7693, cut to 8 bytes)."""
    from hashlib import blake2b  # loads OpenSSL: 5 ms that whoever only imports softgrid need not wait for

    return NodeId(int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big"))
