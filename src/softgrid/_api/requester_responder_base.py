"""RequesterResponderBase: ask a peer and wait for its answer."""

from __future__ import annotations

from typing import Any

from softgrid._api.transfer_base import TransferBase


class RequesterResponderBase(TransferBase):
    """Base of synchronous and asynchronous computations between executors. Cannot be made itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
