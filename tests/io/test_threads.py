"""Threads that wait for work: at once and beside each other, or one after the other in order."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from tests.harness.sockets import PATIENCE_S

from softgrid._io.threads import IdleThreads, Lanes, Serial


class Meeting:
    """Work that comes to an end only when so many others do it at the same time."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count + 1, timeout=PATIENCE_S)
        self.threads: list[threading.Thread] = []

    def work(self) -> None:
        self.threads.append(threading.current_thread())
        self.barrier.wait()


def test_each_piece_of_work_runs_at_once_in_a_thread_of_its_own() -> None:
    idle, meeting = IdleThreads("test-idle"), Meeting(12)
    for _ in range(12):
        idle.run(meeting.work)
    meeting.barrier.wait()
    assert len(set(meeting.threads)) == 12
    assert {thread.name for thread in meeting.threads} == {"test-idle"}
    assert all(thread.daemon for thread in meeting.threads)
    assert threading.current_thread() not in meeting.threads


def _rested(idle: IdleThreads, count: int) -> None:
    """Give the threads the moment that they need to lie down after their work."""
    pause = threading.Event()
    for _ in range(2000):
        if len(idle._idle) >= count:
            return
        pause.wait(0.005)
    raise AssertionError(f"never {count} threads at rest")


def test_threads_that_are_done_do_the_next_work() -> None:
    idle, first = IdleThreads("test-idle"), Meeting(3)
    for _ in range(3):
        idle.run(first.work)
    first.barrier.wait()
    _rested(idle, 3)
    second = Meeting(4)
    for _ in range(4):
        idle.run(second.work)
    second.barrier.wait()
    assert len(set(first.threads) & set(second.threads)) == 3


def test_threads_that_rest_end_when_it_is_closed_and_later_work_still_runs() -> None:
    idle, first = IdleThreads("test-idle"), Meeting(3)
    for _ in range(3):
        idle.run(first.work)
    first.barrier.wait()
    _rested(idle, 3)
    idle.close()
    late = Meeting(1)
    idle.run(late.work)
    late.barrier.wait()
    for thread in (*first.threads, *late.threads):
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_no_more_threads_rest_than_the_limit() -> None:
    idle, meeting = IdleThreads("test-idle", idle_limit=1), Meeting(3)
    for _ in range(3):
        idle.run(meeting.work)
    meeting.barrier.wait()
    _rested(idle, 1)
    for thread in meeting.threads:
        thread.join(0.01 if len(idle._idle) == 1 else PATIENCE_S)
    assert len(idle._idle) == 1


def test_a_thread_at_rest_holds_on_to_nothing_of_its_last_work() -> None:
    class Thing:
        pass

    idle, thing, meeting = IdleThreads("test-idle"), Thing(), Meeting(1)
    gone = weakref.ref(thing)
    idle.run(lambda thing=thing: meeting.work())  # type: ignore[misc]
    del thing
    meeting.barrier.wait()
    _rested(idle, 1)
    assert gone() is None


def test_work_that_raises_does_not_keep_the_next_from_running(monkeypatch: Any) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    idle, meeting = IdleThreads("test-idle"), Meeting(1)
    idle.run(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    idle.run(meeting.work)
    meeting.barrier.wait()
    _rested(idle, 1)
    assert told == [ZeroDivisionError]


# -- one after the other --------------------------------------------------------------------------


def test_pieces_run_in_the_order_given_and_never_beside_each_other() -> None:
    serial, told, running = Serial("test-serial"), [], [0]

    def work(index: int) -> None:
        running[0] += 1
        told.append((index, running[0]))
        running[0] -= 1

    for index in range(500):
        serial.run(lambda index=index: work(index))  # type: ignore[misc]
    assert serial.drain(PATIENCE_S)
    assert told == [(index, 1) for index in range(500)]
    assert len(serial) == 0


def test_work_given_by_many_threads_is_all_done() -> None:
    serial, told = Serial("test-serial"), []

    def give() -> None:
        for _ in range(100):
            serial.run(lambda: told.append(1))

    givers = [threading.Thread(target=give) for _ in range(5)]
    for giver in givers:
        giver.start()
    for giver in givers:
        giver.join()
    assert serial.drain(PATIENCE_S)
    assert len(told) == 500


def test_it_can_be_drained_before_there_was_anything_and_used_afterwards() -> None:
    serial, told = Serial("test-serial"), []
    assert serial.drain(0)
    serial.run(lambda: told.append(threading.current_thread().name))
    assert serial.drain(PATIENCE_S)
    serial.run(lambda: told.append(threading.current_thread().name))
    assert serial.drain(PATIENCE_S)
    assert told == ["test-serial"] * 2


def test_draining_gives_up_when_its_time_is_up() -> None:
    serial, gate = Serial("test-serial"), threading.Event()
    serial.run(lambda: gate.wait(PATIENCE_S))  # type: ignore[arg-type,return-value]
    serial.run(lambda: None)
    assert not serial.drain(0.001)
    assert len(serial) == 1
    gate.set()
    assert serial.drain(PATIENCE_S)


def test_work_may_give_more_work() -> None:
    serial, told = Serial("test-serial"), []
    serial.run(lambda: serial.run(lambda: told.append(1)))
    assert serial.drain(PATIENCE_S)
    assert told == [1]


def test_work_that_raises_does_not_stop_the_line(monkeypatch: Any) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    serial, told = Serial("test-serial"), []
    serial.run(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    serial.run(lambda: told.append(1))
    serial.drain(0.3)
    assert told == [1]


def test_work_of_one_lane_keeps_its_order_and_never_overlaps() -> None:
    lanes, seen, done = Lanes(IdleThreads("test-lanes")), [], threading.Event()
    running = threading.Lock()

    def work(number: int) -> None:
        assert running.acquire(blocking=False), "two at a time"
        seen.append(number)
        running.release()
        if number == 199:
            done.set()

    for number in range(200):
        lanes.run("lane", lambda number=number: work(number))
    assert done.wait(PATIENCE_S)
    assert seen == list(range(200))


def test_lanes_do_not_wait_for_each_other() -> None:
    lanes, gate, reached = Lanes(IdleThreads("test-lanes")), threading.Event(), threading.Event()
    lanes.run("stuck", lambda: gate.wait(PATIENCE_S) or None)
    lanes.run("stuck", reached.set)
    free = threading.Event()
    lanes.run("free", free.set)
    assert free.wait(PATIENCE_S)
    assert not reached.is_set()
    gate.set()
    assert reached.wait(PATIENCE_S)


def test_lanes_that_are_done_are_forgotten() -> None:
    lanes, pause = Lanes(IdleThreads("test-lanes")), threading.Event()
    for lane in range(20):
        lanes.run(lane, lambda: None)
    for _ in range(2000):
        if not len(lanes):
            return
        pause.wait(0.005)
    raise AssertionError(f"{len(lanes)} lanes are left")


def test_what_one_piece_of_work_raises_does_not_hold_up_its_lane(monkeypatch: Any) -> None:
    lanes, reached, told = Lanes(IdleThreads("test-lanes")), threading.Event(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda raised: told.set())

    def fail() -> None:
        raise ZeroDivisionError

    lanes.run("lane", fail)
    lanes.run("lane", reached.set)
    assert reached.wait(PATIENCE_S)
    assert told.wait(PATIENCE_S), "it is told as what any thread raises"
