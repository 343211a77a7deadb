"""What this executor gives others to keep in their stores, remembered so that their heirs have it before anybody can
ask them for it.

Heirs of executors that stand directly below this one, and in the orchestrator all heirs. What is given is an ordinary
call by name; it is remembered as it travels, when it has succeeded.

an heir is announced up the grid   joined {…, heir_of}
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from softgrid._io.link import Link
from softgrid._model.errors import PeerLost, SoftgridError
from softgrid._model.names import node_id
from softgrid._model.status import SoftgridStatus
from softgrid._model.transfer import Failed, TransferSpec
from softgrid._node.encoder import EncodedCall
from softgrid._node.logs import Logs
from softgrid._node.switch import Switch
from softgrid._node.transfers import Transfers
from softgrid._state.inflight import Batch
from softgrid._state.keepsakes import Keepsakes, Label
from softgrid._state.receivers import expand_bounce, expand_receivers
from softgrid._state.tree import Tree
from softgrid._wire.calls import decode_result
from softgrid._wire.framing import Kind

LIMIT_RULE = "relaunch_maximum_remembered"
GIVING = {
    "add_data": "data",
    "add_object": "object",
    "_keep_object": "object",
    "add_udf": "function",
    "_keep_udf": "function",
    "add_file": "file",
    "add_package": "package",
    "_keep_package": "package",
}
TAKING = {"pop_data": "data", "pop_object": "object", "pop_udf": "function", "pop_file": "file"}
HAND_OVER = "_hand_over"
NAMES = frozenset({*GIVING, *TAKING, HAND_OVER})

IsExpected = Callable[[str, str], bool]
"""Whether an heir of that executor is expected under that upgrid."""


def concerns_stores(transfer_kwargs: object) -> bool:
    """Whether a transfer may change what others keep."""
    if type(transfer_kwargs) is not dict and (
        type(transfer_kwargs) is list or not isinstance(transfer_kwargs, Mapping)
    ):
        return False
    function = transfer_kwargs.get("function")
    return type(function) is str and function in NAMES


class Giving:
    """What one executor has given."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        transfers: Transfers,
        logs: Logs,
        limit: int | None,
        may_return: Callable[[str], bool],
        is_expected: IsExpected,
    ) -> None:
        self._tree = tree
        self._switch = switch
        self._transfers = transfers
        self._logs = logs
        self._may_return = may_return
        self._is_expected = is_expected
        self._limit = limit
        self._keepsakes: Keepsakes[EncodedCall] = Keepsakes(limit)
        self._lock = threading.Lock()

    # -- given ----------------------------------------------------------------------------------------------------

    def transfer(self, spec: TransferSpec) -> list[Any] | None:
        """Do a transfer that concerns stores, and note what came of it."""
        names = expand_receivers(self._tree, spec.receivers)
        leaves = self._leaves(names, spec)
        if names != [spec.receivers]:
            spec = spec._replace(receivers=names)
        results = self._transfers.transfer(spec)
        outcomes = [None] * len(leaves) if results is None else results
        done = [name for name, outcome in zip(leaves, outcomes, strict=False) if _is_success(outcome)]
        self._note(spec.transfer_kwargs, done)
        return results

    def _leaves(self, names: list[str], spec: TransferSpec) -> list[str]:
        """Give those who are to do it, in the order of the results."""
        bounce = spec.bounce if spec.bounce is not None else spec.transfer_kwargs.get("bounce_transfer")
        if bounce is None:
            return names
        fans = expand_bounce(self._tree, bounce, len(names))
        return [leaf for name, fan in zip(names, fans, strict=True) for leaf in ([name] if fan is None else fan)]

    def _note(self, kwargs: Mapping[str, Any], done: list[str]) -> None:
        label, is_given = label_of(kwargs)
        if label is None:
            return
        keepers = [name for name in done if self._may_return(name)] if is_given else []
        call = self._remembered(kwargs) if keepers else None
        with self._lock:
            for name in done:
                self._keepsakes.on_taken(name, label)
            forgotten = [] if call is None else self._keepsakes.on_given(keepers, label, call, call.size)
        if keepers and call is None and self._limit != 0:
            forgotten = [label]
        if forgotten:
            shown = ", ".join(f"{each.kind} '{each.name}'" for each in forgotten[:3])
            more = f" and {len(forgotten) - 3} more" if len(forgotten) > 3 else ""
            self._logs.say(
                "info", f"who is launched anew will be without {shown}{more}: the rule '{LIMIT_RULE}' = {self._limit}"
            )

    def _remembered(self, kwargs: Mapping[str, Any]) -> EncodedCall | None:
        """Encode a call as it is to be repeated; None when it is larger than all that may be remembered."""
        lasting = {key: kwargs.get(key) for key in ("function", "args", "kwargs")}
        call = self._transfers.encoder.prepare({**lasting, "priority": None}, None, is_detached=False)
        if self._limit is not None and call.size > self._limit:
            return None
        call.detach()
        return call

    def forget(self, names: list[str]) -> None:
        """Executors have left for good."""
        with self._lock:
            for name in names:
                self._keepsakes.forget(name)

    # -- given again ----------------------------------------------------------------------------------------------

    def on_heir(self, lost: str, heir: str, path: tuple[str, ...], link: Link) -> None:
        """*heir* is about to be known here, over *link*: first of all it gets what *lost* was given."""
        if not self._is_expected(lost, path[-1]):
            return
        with self._lock:
            calls = self._keepsakes.on_heir(lost, heir)
        if not calls:
            return
        target = node_id(heir)
        batch = Batch([heir] * len(calls), [{}] * len(calls))
        batch.on_done = lambda: self._check(batch, lost)
        for index, call in enumerate(calls):
            message_id = self._transfers.inflight.open(batch, index, target)
            self._switch.send_over(link, Kind.CALL, target, message_id, call.body_for(target), self._tree.node_id)

    def _check(self, batch: Batch, lost: str) -> None:
        failures = [text for outcome in batch.outcomes if (text := _failure_in(outcome)) is not None]
        if failures:
            name = batch.names[0]
            self._logs.say("warn", f"{name} lacks {len(failures)} of the things that {lost} kept: {failures[0]}")


def label_of(kwargs: Mapping[str, Any]) -> tuple[Label | None, bool]:
    """Give what a call concerns, and whether it is given rather than taken; None when nothing changes."""
    function, args, named = kwargs["function"], kwargs.get("args") or (), kwargs.get("kwargs") or {}
    if not isinstance(args, (list, tuple)) or not isinstance(named, Mapping):
        return None, False
    if function == HAND_OVER:
        if len(args) < 4 or not args[3]:
            return None, False
        return Label(str(args[0]), str(args[1])), False
    kind = GIVING.get(function) or TAKING[function]
    first = args[0] if args else named.get("packageDict" if kind == "package" else "name")
    if kind == "package":
        sources = getattr(first, "sources", first)
        root = args[1] if function == "add_package" and len(args) > 1 else named.get("relativeRoot", "")
        first = f"{root}/{sources.get('name')}" if isinstance(sources, Mapping) else None
    return (Label(kind, first), function in GIVING) if isinstance(first, str) else (None, False)


def _is_success(result: Any) -> bool:
    return not isinstance(result, Failed) and not (isinstance(result, SoftgridStatus) and not result)


def _failure_in(outcome: Any) -> str | None:
    """Say what went wrong; that it died again is told by others."""
    if isinstance(outcome, SoftgridError):
        return None if isinstance(outcome, PeerLost) else str(outcome)
    try:
        result = decode_result(outcome)
    except Exception as error:
        return str(error)
    return None if _is_success(result) else str(result)
