"""Where a machine is, as users write it: ``host``, ``user@host``, ``ssh://user@host:port``, IPv6 addresses too.

What is accepted is a narrow set of characters, and nothing that could pass for an option of a command.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from softgrid._model.errors import BadArgument

_ADDRESS = re.compile(
    r"(?P<scheme>ssh://)?(?:(?P<user>.+)@)?"
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^@\[\]/:]+))"
    r"(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII,
)
_HOST = re.compile(r"(?!-)[\w.:%-]{1,253}", re.ASCII)
_USER = re.compile(r"(?!-)[\w.+@%-]{1,128}", re.ASCII)
_ACCEPTED = "a host name, an IP address, user@host or ssh://user@host:port"


class MachineAddress(NamedTuple):
    """A machine, and how to get there."""

    host: str
    user: str | None = None
    port: int | None = None
    is_ssh: bool = False
    """Whether ssh was asked for by name; otherwise it is used for machines other than one's own."""

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host and self.port else self.host
        return f"{user}{host}" + (f":{self.port}" if self.port else "")


def parse_address(text: object, user: str | None = None, parameter: str = "executorAddress") -> MachineAddress:
    """Take an address apart; a user in it goes before *user*. Raises BadArgument.

    >>> parse_address('ssh://me@[fe80::1]:2222').host
    'fe80::1'
    """
    match = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if isinstance(text, str) and text.count(":") > 1 and "[" not in text and "://" not in text:
        user_part, _, host = text.rpartition("@")  # a bare IPv6 address has no port
        found = MachineAddress(host, user_part or user)
    elif match is not None:
        port = int(match["port"]) if match["port"] else None
        found = MachineAddress(
            match["bracketed"] or match["host"], match["user"] or user, port, bool(match["scheme"] or port)
        )
    else:
        raise BadArgument(parameter, text, _ACCEPTED)
    if not _HOST.fullmatch(found.host) or not (found.port is None or 0 < found.port < 65536):
        raise BadArgument(parameter, text, _ACCEPTED)
    if found.user is not None and not _USER.fullmatch(found.user):
        raise BadArgument("machineUser" if found.user is user else parameter, found.user, "the name of a user")
    return found
