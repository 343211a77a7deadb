"""Logs: they travel up and are written where they end, in order; a flood waits at its source or is counted."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from tests.harness.nodes import FakeReactor, FakeSwitch
from tests.harness.sockets import PATIENCE_S, Clock
from tests.harness.trees import A1, STRANGER, A, R, tree_of

from softgrid._model.errors import SoftgridError, Undecodable
from softgrid._model.names import node_id
from softgrid._node import logs as logs_module
from softgrid._node.control import Control
from softgrid._node.logs import LogRecord, Logs
from softgrid._state.inflight import InFlight
from softgrid._state.logflow import CREDIT_STEP, WINDOW
from softgrid._wire.control import decode_control, encode_control
from softgrid._wire.framing import Kind

ME = node_id(A)
BELOW = node_id(A1)


class Logging:
    """The log of manager A, which is the top of the grid unless it has an uplink."""

    def __init__(self, *, uplink: Any = None, **log_kwargs: Any) -> None:
        self.switch = FakeSwitch(ME, uplink)
        self.switch.below = {BELOW}
        self.reactor = FakeReactor()
        tree = tree_of(A)
        self.control = Control(self.switch, self.reactor, InFlight(), tree)  # type: ignore[arg-type]
        self.records: list[LogRecord] = []
        self.opened = 0
        self.logs = Logs(tree, self.switch, self.reactor, self.control, log_kwargs, self._open)  # type: ignore[arg-type]

    def _open(self) -> Any:
        self.opened += 1
        return self.records.append

    def take_written(self) -> list[LogRecord]:
        self.logs.drain(PATIENCE_S)
        taken, self.records[:] = list(self.records), []
        return taken

    def take_sent(self) -> list[dict[str, Any]]:
        return [sent.message for sent in self.switch.take(Kind.LOG)]

    def comes(self, source: int = BELOW, origin: str = A1, **fields: Any) -> None:
        message = {"op": "log", "type": "info", "message": "m", "origin": origin, "utc": 5.0, **fields}
        self.logs.on_log(None, source, 3, encode_control(message))

    def credit(self, size: int) -> None:
        self.control.on_control(None, 1, 0, encode_control({"op": "log_credit", "size": size}))

    def fill_window(self) -> None:
        while self.logs.has_room():
            self.logs.say("info", "x" * 60_000)
        self.switch.take(Kind.LOG)


def top(**log_kwargs: Any) -> Logging:
    return Logging(**log_kwargs)


def middle(**log_kwargs: Any) -> Logging:
    return Logging(uplink="a link", **log_kwargs)


# -- saying something -----------------------------------------------------------------------------


def test_at_the_top_what_is_said_is_written() -> None:
    logging = top()
    logging.logs.say("info", "hello", data="some", tback="trace", utc=7.0)
    assert logging.take_written() == [LogRecord("info", "hello", A, 7.0, "some", "trace")]
    logging.switch.check_nothing_sent()
    assert logging.logs.written == 1


def test_below_what_is_said_goes_up_and_is_not_written() -> None:
    logging = middle()
    logging.logs.say("info", "hello", utc=7.0, origin=A1)
    ((sent,),) = [logging.switch.take(Kind.LOG)]
    assert (sent.destination, sent.message_id, sent.source) == (0, 0, ME)
    record = {"type": "info", "message": "hello", "origin": A1, "utc": 7.0, "data": None, "tback": None}
    assert sent.message == {"op": "log", **record}
    assert logging.take_written() == []
    assert logging.opened == 0


def test_below_it_is_written_too_where_there_is_a_log_file() -> None:
    logging = middle(logToFile=True)
    logging.logs.say("info", "hello")
    logging.logs.say("info", "only up", locally=False)
    assert [record.message for record in logging.take_written()] == ["hello"]
    assert [message["message"] for message in logging.take_sent()] == ["hello", "only up"]


def test_at_the_top_what_is_not_for_here_is_not_written() -> None:
    logging = top()
    logging.logs.say("info", "elsewhere", locally=False)
    assert logging.take_written() == []


def test_the_time_is_now_unless_told_otherwise(monkeypatch: Any) -> None:
    monkeypatch.setattr(logs_module, "time", lambda: 99.5)
    logging = top()
    logging.logs.say("info", "hello")
    assert logging.take_written()[0].utc == 99.5


@pytest.mark.parametrize(("data", "text"), [(None, None), ("text", "text"), ([1, 2], "[1, 2]"), ("", "")])
def test_data_travels_as_text(data: Any, text: Any) -> None:
    logging = middle()
    logging.logs.say("info", KeyError("k"), data=data)
    (message,) = logging.take_sent()
    assert (message["message"], message["data"]) == ("'k'", text)


def test_large_data_is_cut() -> None:
    logging = middle()
    logging.logs.say("info", "m", data=["x" * 100_000])
    assert len(logging.take_sent()[0]["data"]) == 65536


@pytest.mark.parametrize(
    ("log_types", "log_type", "said"),
    [
        ({}, "info", True),
        ({}, "execution_started", False),
        ({"info": {"stdoutFlag": False}}, "info", False),
        ({"info": {"stdoutFlag": False, "fileFlag": True}}, "info", True),
        ({"info": {"stdoutFlag": True}}, "info", True),
        ({"info": {}}, "info", True),
        ({"info": None}, "info", True),
        ({"execution_started": {}}, "execution_started", True),
        ({"execution_started": {"stdoutFlag": False}}, "execution_started", False),
        ({"info": {"stdoutFlag": False}}, "warn", True),
    ],
)
def test_what_is_muted_is_not_said(log_types: Any, log_type: str, said: bool) -> None:
    logging = middle(logTypes=log_types)
    assert logging.logs.is_said(log_type) is said
    logging.logs.say(log_type, "hello")
    logging.logs.record_if_said(log_type, "hello")
    assert len(logging.take_sent()) == 2 * said


def test_what_was_printed_before_goes_before() -> None:
    logging = middle()
    logging.logs.before_record = lambda: logging.logs.record("stdout", "printed")
    logging.logs.say("info", "said")
    assert [message["message"] for message in logging.take_sent()] == ["printed", "said"]


def test_what_is_muted_asks_nobody_to_print() -> None:
    logging = middle(logTypes={"info": {"stdoutFlag": False}})
    logging.logs.before_record = lambda: logging.logs.record("stdout", "printed")
    logging.logs.say("info", "said")
    logging.switch.check_nothing_sent()


def test_a_record_with_letters_that_have_no_utf8_goes_up_all_the_same() -> None:
    logging = middle()
    logging.logs.say("info", "bad \ud800 letter")
    assert logging.take_sent()[0]["message"] == "bad \ud800 letter"


# -- the window -----------------------------------------------------------------------------------


def test_only_so_much_is_on_its_way_at_once_and_the_thread_waits_for_credit() -> None:
    logging = middle()
    logging.fill_window()
    assert not logging.logs.has_room()
    logging.reactor.while_waiting = lambda waiter: logging.credit(WINDOW)
    logging.logs.say("info", "late")
    assert [message["message"] for message in logging.take_sent()] == ["late"]
    assert len(logging.reactor.waits) == 1


def test_too_little_credit_is_waited_on(monkeypatch: Any) -> None:
    logging = middle()
    logging.fill_window()
    amounts = iter([1, 1, WINDOW])
    logging.reactor.while_waiting = lambda waiter: logging.credit(next(amounts))
    logging.logs.say("info", "late")
    assert [message["message"] for message in logging.take_sent()] == ["late"]
    assert len(logging.reactor.waits) == 3


def test_a_callback_does_not_wait_and_what_is_dropped_is_counted_once() -> None:
    logging = middle()
    logging.fill_window()
    logging.reactor.in_callback = True
    for _ in range(3):
        logging.logs.say("info", "dropped")
    logging.switch.check_nothing_sent()
    logging.credit(WINDOW)
    for text in ("next", "after"):
        logging.logs.say("info", text)
    first, second = logging.take_sent()
    assert first["message"].startswith("[3 log records of this executor were dropped")
    assert first["message"].endswith("\nnext")
    assert second["message"] == "after"


def test_patience_has_an_end(monkeypatch: Any) -> None:
    clock = Clock()
    monkeypatch.setattr(logs_module, "monotonic", clock)
    logging = middle()
    logging.fill_window()
    logging.logs.say("info", "dropped")
    assert logging.reactor.waits == [logs_module.PATIENCE_S]
    logging.credit(WINDOW)
    logging.logs.say("info", "next")
    assert logging.take_sent()[0]["message"].startswith("[1 log records")


def test_at_the_top_there_is_always_room() -> None:
    logging = top()
    for _ in range(40):
        logging.logs.say("info", "x" * 60_000)
    assert logging.logs.has_room()
    assert len(logging.take_written()) == 40


@pytest.mark.parametrize("size", ["many", None, [], -WINDOW])
def test_credit_that_makes_no_sense_is_undecodable_or_ignored(size: Any) -> None:
    logging = middle()
    with contextlib.suppress(Undecodable):
        logging.control.on_control(None, 1, 0, encode_control({"op": "log_credit", "size": size}))
    assert logging.logs.has_room()


# -- passing it on --------------------------------------------------------------------------------


def test_in_the_middle_records_are_passed_on_unread_in_the_name_of_their_source() -> None:
    logging = middle()
    logging.logs.on_log(None, BELOW, 3, b"not even JSON")
    sent = logging.switch.take_one(Kind.LOG)
    assert (sent.destination, sent.source, sent.body) == (0, BELOW, b"not even JSON")
    assert logging.take_written() == []


def test_in_the_middle_they_are_written_too_where_there_is_a_log_file() -> None:
    logging = middle(logToFile=True)
    logging.comes()
    assert logging.take_written() == [LogRecord("info", "m", A1, 5.0)]
    logging.switch.take_one(Kind.LOG)


def test_at_the_top_records_are_written_in_order() -> None:
    logging = top()
    for index in range(20):
        logging.comes(message=str(index))
    assert [record.message for record in logging.take_written()] == list(map(str, range(20)))
    assert logging.opened == 1
    logging.switch.check_nothing_sent()


@pytest.mark.parametrize("origin", [STRANGER, A, R])
def test_an_origin_that_is_not_the_sources_is_marked(origin: str) -> None:
    logging = top()
    logging.comes(origin=origin)
    assert logging.take_written()[0].origin == f"?{origin}"


def test_an_upgrid_may_speak_for_who_is_below() -> None:
    logging = top()
    logging.switch.below |= {node_id(STRANGER)}
    logging.comes(source=BELOW, origin=STRANGER)
    assert logging.take_written()[0].origin == STRANGER


def test_credit_is_given_in_steps_for_what_was_written_and_to_its_source() -> None:
    logging = top()
    sizes = []
    while not logging.switch.sent:
        before = len(encode_control({"op": "log", "type": "info", "message": "x" * 30_000, "origin": A1, "utc": 5.0}))
        sizes.append(before)
        logging.comes(message="x" * 30_000)
        logging.take_written()
    sent = logging.switch.take_one(Kind.CONTROL)
    assert (sent.destination, sent.message) == (BELOW, {"op": "log_credit", "size": sum(sizes)})
    assert sum(sizes) >= CREDIT_STEP


def test_in_the_middle_no_credit_is_given() -> None:
    logging = middle(logToFile=True)
    for _ in range(10):
        logging.comes(message="x" * 30_000)
    logging.take_written()
    assert len(logging.switch.take(Kind.LOG)) == 10


def test_the_credit_of_an_origin_that_is_gone_is_forgotten() -> None:
    logging = top()
    for _ in range(2):
        logging.comes(message="x" * (CREDIT_STEP - 1000))
        logging.take_written()
        logging.logs.forget(BELOW)
    logging.switch.check_nothing_sent()


def test_a_sink_that_fails_stops_nothing_and_the_credit_is_given() -> None:
    logging = top()
    written: list[str] = []

    def sink(record: LogRecord) -> None:
        if len(record.message) > 9:
            raise OSError("disk full")
        written.append(record.message)

    logging.logs._open_sink = lambda: sink
    logging.comes(message="x" * CREDIT_STEP)
    logging.comes(message="small")
    logging.take_written()
    assert written == ["small"]
    assert logging.logs.written == 1
    logging.switch.take_one(Kind.CONTROL)


@pytest.mark.parametrize(
    "body", [b"", b"garbage", b'{"op":"log"}', encode_control({"op": "log", "type": "x", "bogus": 1})]
)
def test_a_record_that_is_none_is_undecodable(body: bytes) -> None:
    logging = top()
    with pytest.raises(Undecodable):
        logging.logs.on_log(None, BELOW, 3, body)
    assert logging.take_written() == []


@pytest.mark.parametrize("fields", [{"origin": 5}, {"origin": None}, {"utc": "now"}, {"message": []}, {"type": 1}])
def test_a_record_with_fields_of_other_kinds_is_undecodable(fields: Any) -> None:
    logging = top()
    with pytest.raises(SoftgridError):
        logging.comes(**fields)


def test_a_record_reads_as_it_was_sent() -> None:
    below, above = middle(), top()
    below.logs.say("error", "text", data={"a": 1}, tback="trace", utc=3.5)
    body = below.switch.take_one(Kind.LOG).body
    above.logs.on_log(None, ME, 0, body)
    assert decode_control(body)["op"] == "log"
    assert above.take_written() == [LogRecord("error", "text", A, 3.5, "{'a': 1}", "trace")]
