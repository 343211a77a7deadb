"""Log records travel up the grid, hop by hop, to the orchestrator, which writes them out in the order of each origin.

An origin may have only so much on its way (``_state.logflow``): a flood waits at its source. A thread that must not
wait, or has waited too long, drops the record, and the number of those dropped follows with the next one that goes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from time import monotonic, time
from typing import Any, NamedTuple

from softgrid._io.link import Link
from softgrid._io.reactor import Reactor, Waiter
from softgrid._io.threads import Serial
from softgrid._model.errors import Undecodable, shorten
from softgrid._model.names import node_id
from softgrid._node.control import Control
from softgrid._node.switch import Switch
from softgrid._state.logflow import LogCredit, LogWindow
from softgrid._state.logring import LogRing
from softgrid._state.tree import Tree
from softgrid._wire.control import Message, decode_control, encode_control, field
from softgrid._wire.framing import Kind, Outbound

PATIENCE_S = 10.0
RECORD_OVERHEAD = 500
"""Bytes of memory that a record takes beside its texts."""
QUIET_TYPES = frozenset({"execution_started", "execution_finished"})
"""Said only where a logger's ``logTypes`` asks for it: they come with every call."""


class LogRecord(NamedTuple):
    """One thing that was said, by whom and when (UTC, seconds since the epoch)."""

    type: str
    message: str
    origin: str
    utc: float
    data: str | None = None
    tback: str | None = None


Sink = Callable[[LogRecord], None]


class Logs:
    """The log of one executor."""

    def __init__(
        self,
        tree: Tree[Link],
        switch: Switch,
        reactor: Reactor,
        control: Control,
        log_kwargs: dict[str, Any],
        open_sink: Callable[[], Sink],
    ) -> None:
        self._tree = tree
        self._switch = switch
        self._reactor = reactor
        self._control = control
        self._log_kwargs = log_kwargs
        self._types: dict[str, Any] = {key: value or {} for key, value in (log_kwargs.get("logTypes") or {}).items()}
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._writer = Serial("softgrid-log")
        self.ring: LogRing[LogRecord] = LogRing(None)
        self._ring_lock = threading.Lock()
        self._is_writing = False
        self._window = LogWindow()
        self._credit = LogCredit()
        self._credited = Waiter()
        self.before_record: Callable[[], None] | None = None
        self.written = 0
        control.notices["log_credit"] = self._on_credit

    def has_room(self) -> bool:
        """Whether a record could go now without waiting."""
        return self._switch.uplink is None or self._window.is_open

    # -- saying something -----------------------------------------------------------------------------------------

    def is_said(self, log_type: str) -> bool:
        """Whether this executor says things of that type at all."""
        flags = self._types.get(log_type)
        if flags is None:
            return log_type not in QUIET_TYPES
        return flags.get("stdoutFlag") is not False or bool(flags.get("fileFlag"))

    def say(self, log_type: str, message: object, **more: Any) -> None:
        """Log here and send it up; any thread. *more*: data, tback, origin, utc, locally."""
        if not self.is_said(log_type):
            return
        if self.before_record is not None:
            self.before_record()
        self.record(log_type, message, **more)

    def record_if_said(self, log_type: str, message: str) -> None:
        """Make a record of something printed, unless that is muted."""
        if self.is_said(log_type):
            self.record(log_type, message)

    def record(
        self,
        log_type: str,
        message: object,
        *,
        data: Any = None,
        tback: str | None = None,
        origin: str | None = None,
        utc: float | None = None,
        locally: bool = True,
    ) -> None:
        """Make a record and pass it on, without asking whether it should be."""
        text = data if data is None or isinstance(data, str) else shorten(data, 65536)
        record = LogRecord(
            log_type,
            str(message),
            origin or self._tree.name,
            time() if utc is None else utc,
            text,
            tback,
        )
        if self._switch.uplink is None:
            if locally:
                self._write_soon(record, None, 0)
            return
        if locally and self._log_kwargs.get("logToFile"):
            self._write_soon(record, None, 0)
        self._send(record)

    def _send(self, record: LogRecord) -> None:
        if not self._window.is_open and not self._wait_for_credit():
            self._window.drop()
            return
        message: Message = {"op": "log", **record._asdict()}
        dropped = self._window.take_dropped()
        if dropped:
            message["message"] = (
                f"[{dropped} log records of this executor were dropped: the grid did not keep up]\n{record.message}"
            )
        body = encode_control(message)
        self._window.sent(len(body))
        self._switch.send(Kind.LOG, 0, 0, Outbound(body))

    def _wait_for_credit(self) -> bool:
        if self._reactor.holds_turn():
            return False
        deadline = monotonic() + PATIENCE_S
        while not self._window.is_open:
            self._credited.clear()
            if self._window.is_open:
                break
            if not self._reactor.wait(self._credited, deadline - monotonic()):
                return False
        return True

    def _on_credit(self, link: Any, message: Message, source: int) -> None:
        self._window.credited(max(0, field(message, "size", int)))
        self._credited.set()

    # -- passing it on --------------------------------------------------------------------------------------------

    def on_log(self, link: Any, source: int, message_id: int, body: bytes) -> None:
        """Take a LOG message from the wire."""
        uplink = self._switch.uplink
        if uplink is not None:
            self._switch.send(Kind.LOG, 0, message_id, Outbound(body), source)
            if not self._log_kwargs.get("logToFile"):
                return
        message = decode_control(body)
        record = _record_from(message)
        if uplink is None and node_id(record.origin) != source and not self._is_below(record.origin):
            record = LogRecord(
                record.type,
                record.message,
                f"?{record.origin}",
                record.utc,
                record.data,
                record.tback,
            )
        self._write_soon(record, source if uplink is None else None, len(body))

    def _is_below(self, origin: str) -> bool:
        return self._switch.knows(node_id(origin))

    def _write_soon(self, record: LogRecord, source: int | None, size: int) -> None:
        size = size or RECORD_OVERHEAD + sum(len(text) for text in (record.message, record.data, record.tback) if text)
        with self._ring_lock:
            dropped = self.ring.put(record, source, size)
            is_first, self._is_writing = not self._is_writing, True
        for kept in dropped:
            self._give_back_room(kept.origin, kept.size)
        if is_first:
            self._writer.run(self._write_all)

    def _write_all(self) -> None:
        while True:
            with self._ring_lock:
                kept, dropped = self.ring.take(), self.ring.take_dropped()
                if kept is None:
                    self._is_writing = False
                    return
            self._write(_with_note(kept.record, dropped) if dropped else kept.record)
            self._give_back_room(kept.origin, kept.size)

    def _write(self, record: LogRecord) -> None:
        with contextlib.suppress(Exception):  # a broken terminal or a full disk must not stop the grid
            if self._sink is None:
                self._sink = self._open_sink()
            self._sink(record)
            self.written += 1

    def _give_back_room(self, source: int | None, size: int) -> None:
        if source is not None:
            credit = self._credit.written(source, size)
            if credit:
                self._control.tell_id(source, {"op": "log_credit", "size": credit})

    def forget(self, origin: int) -> None:
        """An executor is gone."""
        self._credit.forget(origin)

    def drain(self, timeout: float) -> None:
        """Block until everything that arrived is written out."""
        self._writer.drain(timeout)


def _with_note(record: LogRecord, dropped: int) -> LogRecord:
    note = f"[{dropped} log records were dropped here: they came faster than they are written]"
    return record._replace(message=f"{note}\n{record.message}")


def _record_from(message: Message) -> LogRecord:
    for key in ("data", "tback"):
        if not isinstance(message.get(key), (str, type(None))):
            raise Undecodable(f"a log record whose '{key}' is no text")
    return LogRecord(
        field(message, "type", str),
        field(message, "message", str),
        field(message, "origin", str),
        field(message, "utc", (int, float)),
        message.get("data"),
        message.get("tback"),
    )
