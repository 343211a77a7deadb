"""What a transfer is asked for with, and what one receiver's part of it is when it failed."""

from __future__ import annotations

from typing import Any, NamedTuple


class TransferSpec(NamedTuple):
    """What the caller of ``transfer`` asked for."""

    transfer_kwargs: Any
    receivers: Any
    bounce: Any = None
    collect: bool = False
    timeout: Any = None
    multiplier: Any = 9223372036854775807
    allow_bridging: Any = True
    on_timeout: Any = "drop"
    place: Any = None
    """Says where a call goes that is tried again; None: to the same executor, or to its heir."""


class Failed(Exception):
    """One receiver's part of a transfer that failed: the error, and the kwargs to send it again."""

    def __init__(self, name: str, error: BaseException, kwargs: dict[str, Any]) -> None:
        super().__init__(f"{name}: {error}")
        self.name = name
        self.error = error
        self.kwargs = kwargs
