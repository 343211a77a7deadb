"""Printing: whole lines become records, in order; nothing is lost, and no callback ever waits."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.nodes import FakeReactor
from tests.harness.properties import PROPERTY
from tests.harness.sockets import PATIENCE_S, in_thread

from softgrid._node.printing import GATHER_S, MAX_RECORD, UNFINISHED_LINE_S, RelayedStream


class Printing:
    """A relayed stream and what it recorded."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.has_room = True
        self.records: list[str] = []
        self.stream = RelayedStream("stdout", self.reactor, self._record, lambda: self.has_room, 77)  # type: ignore[arg-type]

    def _record(self, log_type: str, text: str) -> None:
        assert log_type == "stdout"
        self.records.append(text)

    def take(self) -> list[str]:
        taken, self.records = self.records, []
        return taken


@pytest.fixture
def printing() -> Printing:
    return Printing()


def test_lines_are_gathered_for_a_moment_and_become_one_record(printing: Printing) -> None:
    print("one", file=printing.stream)
    print("two", file=printing.stream)
    assert printing.take() == []
    assert printing.reactor.run_timers() == [GATHER_S]
    assert printing.take() == ["one\ntwo"]
    assert printing.reactor.timers == []


def test_a_line_that_is_not_finished_waits_for_its_end(printing: Printing) -> None:
    print("one\nhal", end="", file=printing.stream)
    printing.reactor.run_timers()
    assert printing.take() == ["one"]
    print("f", file=printing.stream)
    printing.reactor.run_timers()
    assert printing.take() == ["half"]


def test_a_line_that_is_never_finished_is_passed_on_after_a_while(printing: Printing) -> None:
    print("Enter: ", end="", file=printing.stream)
    printing.reactor.run_timers()
    assert printing.take() == []
    assert printing.reactor.run_timers() == [UNFINISHED_LINE_S]
    assert printing.take() == ["Enter: "]


def test_asking_for_it_passes_on_everything_at_once(printing: Printing) -> None:
    print("one\nhalf", end="", file=printing.stream)
    printing.stream.flush_record()
    assert printing.take() == ["one\nhalf"]
    printing.stream.flush_record()
    printing.reactor.run_timers()
    printing.reactor.run_timers()
    assert printing.take() == []


@pytest.mark.parametrize("has_room", [True, False])
def test_a_flush_by_the_user_passes_on_as_long_as_nobody_has_to_wait(printing: Printing, has_room: bool) -> None:
    printing.has_room = has_room
    print("one", end="", flush=True, file=printing.stream)
    assert printing.take() == ["one"] * has_room


def test_without_room_it_waits_and_loses_nothing(printing: Printing) -> None:
    printing.has_room = False
    print("one", file=printing.stream)
    for _ in range(3):
        assert printing.reactor.run_timers() == [GATHER_S]
    assert printing.take() == []
    print("two", file=printing.stream)
    printing.has_room = True
    printing.reactor.run_timers()
    assert printing.take() == ["one\ntwo"]


def test_a_line_that_is_never_finished_waits_for_room_like_others(printing: Printing) -> None:
    print("Enter: ", end="", file=printing.stream)
    printing.reactor.run_timers()
    printing.has_room = False
    printing.reactor.run_timers()
    printing.has_room = True
    printing.reactor.run_timers()
    assert printing.take() == ["Enter: "]


def test_much_at_once_is_passed_on_without_waiting_for_the_timer(printing: Printing) -> None:
    printing.stream.write("line\n" * MAX_RECORD)
    assert "\n".join(printing.take()) + "\n" == "line\n" * MAX_RECORD
    assert printing.reactor.timers == []


def test_lines_are_not_broken_where_records_are(printing: Printing) -> None:
    text = "".join(f"line number {number}\n" for number in range(20_000))
    for start in range(0, len(text), 100_001):
        printing.stream.write(text[start : start + 100_001])
    printing.stream.flush_record()
    records = printing.take()
    assert all(len(record) <= MAX_RECORD for record in records)
    assert [line for record in records for line in record.split("\n")] == text[:-1].split("\n")


def test_a_line_longer_than_a_record_becomes_several(printing: Printing) -> None:
    printing.stream.write("x" * (2 * MAX_RECORD + 5))
    printing.stream.flush_record()
    records = printing.take()
    assert "".join(records) == "x" * (2 * MAX_RECORD + 5)
    assert max(map(len, records)) == MAX_RECORD


@PROPERTY
@given(st.lists(st.sampled_from(["a", "b\n", "\n", "", "c\nd", "e" * MAX_RECORD, "timer", "flush"]), max_size=20))
def test_nothing_is_lost_doubled_or_out_of_order(steps: list[str]) -> None:
    printing = Printing()
    for step in steps:
        if step == "timer":
            printing.reactor.run_timers()
        elif step == "flush":
            printing.stream.flush_record()
        else:
            assert printing.stream.write(step) == len(step)
    printing.stream.flush_record()
    printed = "".join(step for step in steps if step not in ("timer", "flush"))
    assert "".join(printing.take()).replace("\n", "") == printed.replace("\n", "")


def test_many_threads_may_print(printing: Printing) -> None:
    def talk(letter: str) -> None:
        for _ in range(200):
            printing.stream.write(letter * 20 + "\n")

    threads = [in_thread(lambda letter=letter: talk(letter)) for letter in "abc"]  # type: ignore[misc]
    for thread in threads:
        thread.join(PATIENCE_S)
    printing.stream.flush_record()
    lines = "\n".join(printing.take()).split("\n")
    assert len(lines) == 600
    assert {len(set(line)) for line in lines} == {1}


def test_the_timer_does_not_wait_for_a_thread_that_prints() -> None:
    printing = Printing()
    inside, outside = threading.Event(), threading.Event()

    def record(log_type: str, text: str) -> None:
        inside.set()
        outside.wait(PATIENCE_S)

    stream = RelayedStream("stdout", printing.reactor, record, lambda: True, 1)  # type: ignore[arg-type]
    stream.write("small\n")
    printer = in_thread(lambda: stream.write("x" * MAX_RECORD + "\nrest"))
    assert inside.wait(PATIENCE_S)
    printing.reactor.in_callback = True
    assert printing.reactor.run_timers() == [GATHER_S]
    assert len(printing.reactor.timers) == 1, "it will ask again"
    outside.set()
    printer.join(PATIENCE_S)


def test_a_flush_in_a_callback_does_not_wait_for_a_thread_that_prints() -> None:
    printing = Printing()
    inside, outside = threading.Event(), threading.Event()

    def record(log_type: str, text: str) -> None:
        inside.set()
        outside.wait(PATIENCE_S)

    stream = RelayedStream("stdout", printing.reactor, record, lambda: True, 1)  # type: ignore[arg-type]
    printer = in_thread(lambda: stream.write("x" * MAX_RECORD + "\nrest"))
    assert inside.wait(PATIENCE_S)
    printing.reactor.in_callback = True
    flusher = in_thread(stream.flush_record)
    flusher.join(0.3)
    waited = flusher.is_alive()
    outside.set()
    flusher.join(PATIENCE_S)
    printer.join(PATIENCE_S)
    assert not waited


def test_it_looks_like_a_text_stream_that_is_no_terminal(printing: Printing) -> None:
    stream = printing.stream
    assert stream.writable()
    assert not stream.isatty()
    assert (stream.fileno(), stream.encoding, stream.errors) == (77, "utf-8", "backslashreplace")
    stream.writelines(["a\n", "b\n"])
    printing.reactor.run_timers()
    assert printing.take() == ["a\nb"]


@pytest.mark.parametrize("wrong", [b"bytes", ["a"], ("a",)])
def test_what_is_no_text_is_refused_and_harms_nothing(printing: Printing, wrong: Any) -> None:
    with pytest.raises(TypeError):
        printing.stream.write(wrong)
    printing.stream.write("after\n")
    printing.stream.flush_record()
    assert printing.take() == ["after"]
