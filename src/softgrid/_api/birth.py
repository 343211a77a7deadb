"""How the executor that is being made came to be: by a user's hand, or forked by a supervisor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket


class Birth(NamedTuple):
    """What a launched executor has from its supervisor and its upgrid."""

    channel: socket.socket
    address: str
    bind_host: str
    home: str
    births: int
    """How many executors were forked on this machine before and with this one: the ports before are likely taken."""


launched: Birth | None = None
"""Set before a launched executor is made, in its own process; None everywhere else."""
