"""Interrupts: KeyboardInterrupt is raised in the function that it is meant for, once, and nowhere else."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.harness.nodes import FakeReactor
from tests.harness.sockets import PATIENCE_S

from softgrid._node.interrupting import Interrupts


class Call:
    """A call whose function waits until it is interrupted or told to go on."""

    def __init__(self) -> None:
        self.thread: int | None = None


class Reactor(FakeReactor):
    is_shielded = False

    def defer_interrupt(self) -> bool:
        return self.is_shielded


@pytest.fixture
def keep_handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def run(interrupts: Interrupts, call: Call, function: Callable[[], Any]) -> Any:
    """Run a function as the execution does."""
    try:
        try:
            call.thread = threading.get_ident()
            return function()
        finally:
            interrupts.end(call)
    except BaseException as error:
        return type(error)


class InMain:
    """Interrupts in the main thread of this process."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        self.running: Call | None = None
        self.interrupts = Interrupts(self.reactor, lambda: self.running)  # type: ignore[arg-type]
        self.interrupts.listen()

    def run(self, call: Call, function: Callable[[], Any]) -> Any:
        self.running = call
        return run(self.interrupts, call, function)


@pytest.fixture
def main(keep_handler: None) -> InMain:
    return InMain()


def test_a_wait_in_c_code_ends_at_once_in_the_main_thread(main: InMain) -> None:
    call = Call()
    timer = threading.Timer(0.05, lambda: main.interrupts.interrupt(call))
    timer.start()
    lock = threading.Lock()
    lock.acquire()
    assert main.run(call, lambda: lock.acquire(timeout=PATIENCE_S)) is KeyboardInterrupt
    timer.join()
    assert call.thread is None


def test_a_call_that_has_not_begun_or_has_ended_is_not_interrupted(main: InMain) -> None:
    call = Call()
    main.running = call
    main.interrupts.interrupt(call)
    assert main.run(call, lambda: "value") == "value"
    main.interrupts.interrupt(call)
    assert main.run(Call(), lambda: "next") == "next"


def test_a_signal_that_comes_too_late_does_not_hit_the_next_call(main: InMain) -> None:
    ended, running = Call(), Call()
    main.interrupts._wanted = ended  # its signal was on its way when it ended
    assert main.run(running, lambda: signal.raise_signal(signal.SIGINT)) is None


def test_a_signal_of_somebody_else_is_meant_for_whatever_runs_and_for_nothing_else(main: InMain) -> None:
    assert main.run(Call(), lambda: signal.raise_signal(signal.SIGINT)) is KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)  # between two calls, nothing happens


def test_in_the_middle_of_our_own_code_it_is_put_off(main: InMain) -> None:
    main.reactor.is_shielded = True
    call = Call()
    assert main.run(call, lambda: main.interrupts.interrupt(call)) is None


def test_a_function_in_another_thread_is_interrupted_between_two_of_its_steps() -> None:
    interrupts = Interrupts(Reactor(), lambda: None)  # type: ignore[arg-type]
    call, outcomes, begun, ended = Call(), [], threading.Event(), threading.Event()

    def steps() -> None:
        begun.set()
        while not ended.wait(0.001):
            continue

    thread = threading.Thread(target=lambda: outcomes.append(run(interrupts, call, steps)))
    thread.start()
    begun.wait(PATIENCE_S)
    interrupts.interrupt(call)
    thread.join(PATIENCE_S)
    ended.set()
    assert outcomes == [KeyboardInterrupt]


def test_an_interrupt_that_comes_as_a_function_in_another_thread_ends_is_taken_back() -> None:
    interrupts = Interrupts(Reactor(), lambda: None)  # type: ignore[arg-type]
    outcomes: list[Any] = []

    def last_step(call: Call) -> str:
        interrupts.interrupt(call)
        return "value"

    def in_thread() -> None:
        for _ in range(50):
            call = Call()
            outcomes.append(run(interrupts, call, lambda call=call: last_step(call)))  # type: ignore[misc]
            sum(range(1000))  # nothing comes after it

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join(PATIENCE_S)
    assert len(outcomes) == 50
    assert set(outcomes) <= {"value", KeyboardInterrupt}
