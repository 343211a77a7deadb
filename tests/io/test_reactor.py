"""The reactor: readiness, timers, whose turn it is, and Ctrl-C at no time that does harm."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.sockets import (
    PATIENCE_S,
    Clock,
    a_reactor,
    in_thread,
    interrupts_handled_by,
    turn_until,
    turn_until_idle,
)

from softgrid._io import reactor as reactor_module
from softgrid._io.poller import READ, WRITE
from softgrid._io.reactor import Reactor, Timer, Waiter


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    one.setblocking(False)
    with one, other:
        yield one, other


@pytest.fixture
def reactor(pair: Any) -> Iterator[Reactor]:  # closed before the sockets that it watches
    with a_reactor() as made:
        yield made


def ended(thread: threading.Thread, patience: float = PATIENCE_S) -> bool:
    thread.join(patience)
    return not thread.is_alive()


# -- waiters --------------------------------------------------------------------------------------


def test_a_waiter_that_is_set_already_does_not_block() -> None:
    waiter = Waiter()
    waiter.set()
    waiter.set()
    waiter.block(None)
    assert waiter.done


def test_a_waiter_is_woken_by_another_thread() -> None:
    waiter, ready = Waiter(), threading.Event()

    def wait() -> None:
        ready.set()
        waiter.block(None)

    thread = in_thread(wait)
    ready.wait(PATIENCE_S)
    waiter.set()
    assert ended(thread)


def test_a_waiter_may_be_set_by_many_at_once() -> None:
    for _ in range(20):
        waiter = Waiter()
        threads = [in_thread(waiter.set) for _ in range(4)]
        waiter.block(PATIENCE_S)
        assert waiter.done
        assert all(ended(thread) for thread in threads)


def test_a_waiter_stops_blocking_when_its_time_is_up() -> None:
    waiter = Waiter()
    waiter.block(0.001)
    waiter.block(-1)
    assert not waiter.done


def test_a_waiter_can_be_used_again() -> None:
    waiter = Waiter()
    waiter.set()
    waiter.clear()
    assert not waiter.done
    waiter.block(0.001)
    waiter.set()
    assert waiter.done


# -- readiness ------------------------------------------------------------------------------------


def test_what_is_ready_is_told_with_its_mask(reactor: Reactor, pair: Any) -> None:
    masks: list[int] = []
    reactor.watch(pair[0].fileno(), masks.append)
    assert not reactor.turn(0)
    pair[1].send(b"x")
    assert reactor.turn(0)
    assert masks == [READ]


def test_only_the_readiness_that_matters_is_told(reactor: Reactor, pair: Any) -> None:
    masks: list[int] = []
    fd = pair[0].fileno()
    reactor.watch(fd, masks.append)
    pair[1].send(b"x")
    reactor.set_mask(fd, read=False, write=True)
    reactor.turn(0)
    reactor.set_mask(fd, read=True, write=True)
    reactor.turn(0)
    reactor.set_mask(fd, read=True, write=False)
    reactor.set_mask(fd, read=True, write=False)
    reactor.turn(0)
    reactor.set_mask(fd, read=False, write=False)
    assert not reactor.turn(0)
    assert masks == [WRITE, READ | WRITE, READ]


def test_what_is_not_watched_is_not_told(reactor: Reactor, pair: Any) -> None:
    told: list[int] = []
    fd = pair[0].fileno()
    reactor.watch(fd, told.append)
    pair[1].send(b"x")
    reactor.unwatch(fd)
    reactor.unwatch(fd)
    reactor.set_mask(fd, read=True, write=True)
    assert not reactor.turn(0)
    assert told == []


def test_a_handler_may_stop_another_that_is_ready_in_the_same_turn(reactor: Reactor) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    told: list[int] = []

    def on_ready(me: int) -> None:
        told.append(me)
        for one, _ in pairs:
            reactor.unwatch(one.fileno())

    for index, (one, other) in enumerate(pairs):
        reactor.watch(one.fileno(), lambda mask, index=index: on_ready(index))  # type: ignore[misc]
        other.send(b"x")
    reactor.turn(0)
    assert len(told) == 1
    for one, other in pairs:
        one.close()
        other.close()


def test_a_handler_that_fails_is_reported_and_stops_nobody(pair: Any) -> None:
    bugs: list[BaseException] = []
    reactor = Reactor(bugs.append)
    told: list[str] = []

    def fail(mask: int) -> None:
        raise ZeroDivisionError

    def fail_later() -> None:
        raise KeyError

    reactor.watch(pair[0].fileno(), fail)
    pair[1].send(b"x")
    reactor.call_soon(fail_later)
    reactor.call_soon(lambda: told.append("timer"))
    reactor.turn(0)
    assert [type(bug) for bug in bugs] == [ZeroDivisionError, KeyError]
    assert told == ["timer"]
    reactor.close()


def test_without_a_listener_bugs_are_printed(capsys: Any, monkeypatch: Any) -> None:
    import sys

    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    reactor = Reactor()
    reactor.call_soon(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    reactor.turn(0)
    reactor.close()
    assert "ZeroDivisionError" in capsys.readouterr().err


# -- timers ---------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    made = Clock()
    monkeypatch.setattr(reactor_module, "monotonic", made)
    return made


def test_timers_run_when_they_are_due_and_not_before(reactor: Reactor, clock: Clock) -> None:
    told: list[str] = []
    for delay in (3, 1, 2):
        reactor.call_later(delay, lambda delay=delay: told.append(delay))  # type: ignore[misc]
    reactor.turn(0)
    assert told == []
    clock.now += 2
    reactor.turn(0)
    assert told == [1, 2]
    clock.now += 1
    reactor.turn(0)
    assert told == [1, 2, 3]


def test_timers_that_are_due_together_run_in_the_order_given(reactor: Reactor, clock: Clock) -> None:
    told: list[int] = []
    for index in range(20):
        reactor.call_later(1, lambda index=index: told.append(index))  # type: ignore[misc]
    clock.now += 1
    reactor.turn(0)
    assert told == list(range(20))


def test_a_timer_that_is_cancelled_never_runs(reactor: Reactor, clock: Clock) -> None:
    told: list[int] = []
    timer = reactor.call_later(1, lambda: told.append(1))
    assert isinstance(timer, Timer)
    timer.cancel()
    clock.now += 5
    reactor.turn(0)
    timer.cancel()
    assert told == []


def test_a_turn_ends_when_a_timer_is_due(reactor: Reactor) -> None:
    told: list[int] = []
    reactor.call_later(0.001, lambda: told.append(1))
    turn_until(reactor, lambda: told)
    reactor.call_soon(lambda: reactor.call_soon(lambda: told.append(2)))
    turn_until(reactor, lambda: told == [1, 2])


def test_another_thread_may_ask_for_a_timer_while_somebody_polls(reactor: Reactor) -> None:
    waiter = Waiter()
    in_thread(lambda: reactor.call_soon(waiter.set))
    assert reactor.wait(waiter, PATIENCE_S)


def test_what_is_to_run_in_the_turn_runs_at_once_there_and_soon_from_elsewhere(reactor: Reactor) -> None:
    told: list[str] = []
    reactor.run_in_turn(lambda: told.append("soon"))
    assert told == []
    waiter = Waiter()

    def callback() -> None:
        reactor.run_in_turn(lambda: told.append("at once"))
        told.append("after")
        waiter.set()

    reactor.call_soon(callback)
    assert reactor.wait(waiter, PATIENCE_S)
    assert told == ["soon", "at once", "after"]


# -- waiting --------------------------------------------------------------------------------------


def test_waiting_for_what_has_happened_polls_nothing(reactor: Reactor) -> None:
    waiter, told = Waiter(), []
    waiter.set()
    reactor.call_soon(lambda: told.append(1))
    assert reactor.wait(waiter)
    assert told == []


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_waiting_in_vain_ends_when_the_time_is_up(reactor: Reactor, timeout: float) -> None:
    assert not reactor.wait(Waiter(), timeout)


def test_the_waiting_thread_polls_for_itself(reactor: Reactor, pair: Any) -> None:
    waiter, holders = Waiter(), []

    def on_ready(mask: int) -> None:
        holders.append((threading.current_thread(), reactor.holds_turn()))
        waiter.set()

    reactor.watch(pair[0].fileno(), on_ready)
    pair[1].send(b"x")
    assert reactor.wait(waiter, PATIENCE_S)
    assert holders == [(threading.current_thread(), True)]
    assert not reactor.holds_turn()


def test_a_callback_must_not_wait(reactor: Reactor) -> None:
    waiter, raised = Waiter(), []

    def callback() -> None:
        with pytest.raises(RuntimeError, match="must not wait") as caught:
            reactor.wait(Waiter(), 0)
        raised.append(caught.value)
        waiter.set()

    reactor.call_soon(callback)
    assert reactor.wait(waiter, PATIENCE_S)
    assert raised


@pytest.mark.parametrize("background", [False, True])
def test_the_polling_thread_notices_what_another_thread_has_set(reactor: Reactor, background: bool) -> None:
    waiter, polls = Waiter(), threading.Event()
    if background:
        reactor.start_background()
    reactor.call_later(0.05, polls.set)  # by then the waiting thread rests
    thread = in_thread(lambda: reactor.wait(waiter))
    assert polls.wait(PATIENCE_S)
    threading.Timer(0.05, waiter.set).start()
    noticed = ended(thread, 0.5)
    waiter.set()
    reactor.wake()
    assert ended(thread)
    assert noticed


def test_a_thread_that_follows_is_woken_by_the_one_that_polls(reactor: Reactor, pair: Any) -> None:
    mine, theirs, polls = Waiter(), Waiter(), threading.Event()
    reactor.call_soon(polls.set)
    leader = in_thread(lambda: reactor.wait(theirs, PATIENCE_S))
    assert polls.wait(PATIENCE_S)
    reactor.watch(pair[0].fileno(), lambda mask: (reactor.unwatch(pair[0].fileno()), mine.set()))  # type: ignore[arg-type,return-value]
    in_thread(lambda: pair[1].send(b"x"))
    assert reactor.wait(mine, PATIENCE_S)
    reactor.call_soon(theirs.set)
    assert ended(leader)


def test_a_thread_that_follows_takes_over_when_the_one_that_polled_is_done(reactor: Reactor, monkeypatch: Any) -> None:
    monkeypatch.setattr(reactor_module, "FOLLOW_S", 0.02)
    first, second, polls = Waiter(), Waiter(), threading.Event()
    reactor.call_soon(polls.set)
    leader = in_thread(lambda: reactor.wait(first, PATIENCE_S))
    assert polls.wait(PATIENCE_S)
    follower = in_thread(lambda: reactor.wait(second, PATIENCE_S))
    reactor.call_soon(first.set)
    assert ended(leader)
    reactor.call_soon(second.set)
    assert ended(follower)


def test_many_threads_wait_at_once_and_each_gets_what_it_waits_for(reactor: Reactor) -> None:
    reactor.start_background()
    beside = []
    running = [0]

    def callback(waiter: Waiter) -> None:
        running[0] += 1
        beside.append(running[0])
        running[0] -= 1
        waiter.set()

    def ask_often() -> None:
        for _ in range(20):
            waiter = Waiter()
            reactor.call_soon(lambda waiter=waiter: callback(waiter))  # type: ignore[misc]
            assert reactor.wait(waiter, PATIENCE_S)

    threads = [in_thread(ask_often) for _ in range(6)]
    ask_often()
    assert all(ended(thread) for thread in threads)
    assert beside == [1] * 140


# -- a wait that nobody is in a hurry for ---------------------------------------------------------


def test_a_thread_that_yields_leaves_the_turn_to_one_that_waits_itself(reactor: Reactor, pair: Any) -> None:
    idle, polls, leaders = Waiter(), threading.Event(), []
    reactor.call_soon(polls.set)
    yielding = in_thread(lambda: reactor.wait(idle, PATIENCE_S, yields=True))
    assert polls.wait(PATIENCE_S)
    for _ in range(3):
        waiter = Waiter()

        def on_readable(mask: int, waiter: Waiter = waiter) -> None:
            pair[0].recv(1)
            leaders.append(threading.get_ident())
            waiter.set()

        reactor.watch(pair[0].fileno(), on_readable)
        threading.Timer(0.02, pair[1].send, [b"x"]).start()
        assert reactor.wait(waiter, PATIENCE_S)
        reactor.unwatch(pair[0].fileno())
    assert leaders == [threading.get_ident()] * 3
    reactor.call_soon(idle.set)
    assert ended(yielding)


def test_when_the_turn_was_yielded_somebody_always_polls(reactor: Reactor) -> None:
    idle, polls = Waiter(), threading.Event()
    reactor.call_soon(polls.set)
    yielding = in_thread(lambda: reactor.wait(idle, PATIENCE_S, yields=True))
    assert polls.wait(PATIENCE_S)
    waiter, done = Waiter(), threading.Event()
    reactor.call_soon(waiter.set)
    assert reactor.wait(waiter, PATIENCE_S)
    reactor.call_soon(done.set)
    assert done.wait(0.9), "before the thread that yielded looks up by itself"
    reactor.call_soon(idle.set)
    assert ended(yielding)


def test_a_thread_that_yields_leads_again_when_nobody_else_wants_to(reactor: Reactor, monkeypatch: Any) -> None:
    monkeypatch.setattr(reactor_module, "FOLLOW_S", 0.02)
    idle, polls, leads = Waiter(), threading.Event(), threading.Event()
    reactor.call_soon(polls.set)
    yielding = in_thread(lambda: reactor.wait(idle, PATIENCE_S, yields=True))
    assert polls.wait(PATIENCE_S)
    waiter = Waiter()
    reactor.call_soon(waiter.set)
    assert reactor.wait(waiter, PATIENCE_S)

    def look() -> None:
        if threading.get_ident() == yielding.ident:
            leads.set()
        else:
            reactor.call_later(0.01, look)

    reactor.call_soon(look)
    assert leads.wait(PATIENCE_S)
    reactor.call_soon(idle.set)
    assert ended(yielding)


def test_a_thread_that_does_not_yield_keeps_the_turn(reactor: Reactor) -> None:
    polls, leaders = threading.Event(), []
    first, second = Waiter(), Waiter()
    reactor.call_soon(polls.set)
    leader = in_thread(lambda: reactor.wait(first, PATIENCE_S))
    assert polls.wait(PATIENCE_S)
    reactor.call_later(0.05, lambda: (leaders.append(threading.get_ident()), second.set()))  # type: ignore[arg-type,return-value]
    assert reactor.wait(second, PATIENCE_S)
    assert leaders == [leader.ident]
    reactor.call_soon(first.set)
    assert ended(leader)


# -- the background thread ------------------------------------------------------------------------


def test_a_background_thread_polls_while_nobody_else_does(reactor: Reactor) -> None:
    told, done = [], threading.Event()

    def callback() -> None:
        told.append((threading.current_thread().name, reactor.holds_turn()))
        done.set()

    reactor.start_background()
    reactor.start_background()
    reactor.call_soon(callback)
    assert done.wait(PATIENCE_S)
    assert told == [("softgrid-reactor", True)]
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("softgrid-reactor") == 1


def test_a_waiting_thread_takes_the_turn_from_the_background_and_gives_it_back(reactor: Reactor) -> None:
    reactor.start_background()
    for _ in range(5):
        leads = threading.Event()
        reactor.call_soon(leads.set)
        assert leads.wait(PATIENCE_S)
        waiter = Waiter()
        reactor.call_later(0.01, waiter.set)
        assert reactor.wait(waiter, PATIENCE_S)


def test_the_background_thread_wakes_up_after_a_long_wait_of_another(reactor: Reactor) -> None:
    reactor.start_background()
    waiter, done = Waiter(), threading.Event()
    reactor.call_later(4 * reactor_module.RESTING_AFTER_S, waiter.set)
    assert reactor.wait(waiter, PATIENCE_S)
    reactor.call_soon(done.set)
    assert done.wait(PATIENCE_S)


def test_a_bug_does_not_end_the_background_thread() -> None:
    bugs: list[BaseException] = []
    reactor = Reactor(bugs.append)
    reactor.start_background()
    done = threading.Event()
    reactor.call_soon(lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    reactor.call_soon(done.set)
    assert done.wait(PATIENCE_S)
    assert len(bugs) == 1
    reactor.close()


@pytest.mark.parametrize("delay", [float("inf"), 1e10])
def test_a_timer_far_away_harms_nobody(reactor: Reactor, delay: float) -> None:
    reactor.call_later(delay, lambda: None)
    reactor.wake()
    assert reactor.turn(None)


@pytest.mark.parametrize("timeout", [float("inf"), 1e10])
def test_waiting_very_long_is_possible(reactor: Reactor, pair: Any, timeout: float) -> None:
    waiter = Waiter()
    reactor.watch(pair[0].fileno(), lambda mask: waiter.set())
    pair[1].send(b"x")
    assert reactor.wait(waiter, timeout)


# -- without waiting ------------------------------------------------------------------------------


def test_polling_now_runs_what_is_ready_and_returns(reactor: Reactor) -> None:
    told: list[bool] = []
    reactor.poll_now()
    reactor.call_soon(lambda: told.append(reactor.holds_turn()))
    reactor.poll_now()
    assert told == [True]
    assert not reactor.holds_turn()


def test_polling_now_leaves_the_turn_to_who_has_it(reactor: Reactor) -> None:
    inside, outside = threading.Event(), threading.Event()
    waiter, told = Waiter(), []

    def hold() -> None:
        inside.set()
        outside.wait(PATIENCE_S)
        waiter.set()

    reactor.call_soon(hold)
    leader = in_thread(lambda: reactor.wait(waiter, PATIENCE_S))
    inside.wait(PATIENCE_S)
    reactor.call_soon(lambda: told.append(1))
    reactor.poll_now()
    assert told == []
    outside.set()
    assert ended(leader)


def test_a_callback_may_poll_now_without_harm(reactor: Reactor) -> None:
    waiter = Waiter()
    reactor.call_soon(lambda: (reactor.poll_now(), waiter.set()))  # type: ignore[arg-type,return-value]
    assert reactor.wait(waiter, PATIENCE_S)


# -- Ctrl-C ---------------------------------------------------------------------------------------


def test_an_interrupt_outside_of_any_wait_is_not_kept(reactor: Reactor) -> None:
    assert not reactor.defer_interrupt()
    reactor.unshield(reactor.shield())


def test_an_interrupt_while_callbacks_run_is_kept_until_they_have_run(reactor: Reactor) -> None:
    told: list[str] = []

    def callback() -> None:
        signal.raise_signal(signal.SIGINT)
        told.append("whole")

    reactor.call_soon(callback)
    with interrupts_handled_by(reactor), pytest.raises(KeyboardInterrupt):
        reactor.wait(Waiter(), PATIENCE_S)
    assert told == ["whole"]
    assert not reactor.defer_interrupt()
    assert not reactor.wait(Waiter(), 0.001), "the interrupt was raised once"


def test_an_interrupt_ends_the_sleep_of_a_polling_main_thread(reactor: Reactor) -> None:
    me = threading.get_ident()
    later = threading.Timer(0.05, lambda: signal.pthread_kill(me, signal.SIGINT))
    with interrupts_handled_by(reactor):
        later.start()
        with pytest.raises(KeyboardInterrupt):
            reactor.wait(Waiter(), PATIENCE_S)
    waiter = Waiter()
    reactor.call_soon(waiter.set)
    assert reactor.wait(waiter, PATIENCE_S), "the turn was given back"


def test_an_interrupt_ends_the_sleep_of_a_following_main_thread(reactor: Reactor) -> None:
    me, theirs, polls = threading.get_ident(), Waiter(), threading.Event()
    reactor.call_soon(polls.set)
    leader = in_thread(lambda: reactor.wait(theirs, PATIENCE_S))
    polls.wait(PATIENCE_S)
    later = threading.Timer(0.05, lambda: signal.pthread_kill(me, signal.SIGINT))
    with interrupts_handled_by(reactor):
        later.start()
        with pytest.raises(KeyboardInterrupt):
            reactor.wait(Waiter(), PATIENCE_S)
    reactor.call_soon(theirs.set)
    assert ended(leader)


def test_an_interrupt_under_a_shield_comes_when_the_shield_ends(reactor: Reactor) -> None:
    with interrupts_handled_by(reactor):
        shielded = reactor.shield()
        inner = reactor.shield()
        assert (shielded, inner) == (True, False)
        signal.raise_signal(signal.SIGINT)
        reactor.unshield(inner)
        with pytest.raises(KeyboardInterrupt):
            reactor.unshield(shielded)
        reactor.unshield(reactor.shield())


def test_other_threads_have_no_shield(reactor: Reactor) -> None:
    told: list[bool] = []
    assert ended(in_thread(lambda: told.append(reactor.shield())))
    assert told == [False]
    assert not reactor.defer_interrupt()


def test_an_interrupt_while_polling_now_is_kept_until_callbacks_have_run(reactor: Reactor) -> None:
    told: list[str] = []

    def callback() -> None:
        signal.raise_signal(signal.SIGINT)
        told.append("whole")

    reactor.call_soon(callback)
    with interrupts_handled_by(reactor), pytest.raises(KeyboardInterrupt):
        reactor.poll_now()
    assert told == ["whole"]


# -- the end --------------------------------------------------------------------------------------


def test_closing_lets_every_waiting_thread_go(monkeypatch: Any) -> None:
    monkeypatch.setattr(reactor_module, "FOLLOW_S", 0.02)
    reactor = Reactor()
    polls, results = threading.Event(), []
    reactor.call_soon(polls.set)
    threads = [in_thread(lambda: results.append(reactor.wait(Waiter()))) for _ in range(3)]
    assert polls.wait(PATIENCE_S)
    reactor.close()
    assert all(ended(thread) for thread in threads)
    assert results == [False] * 3
    assert reactor.is_closed


@pytest.mark.parametrize("background", [False, True])
def test_closing_twice_is_harmless_and_nothing_runs_afterwards(background: bool) -> None:
    reactor = Reactor()
    told: list[int] = []
    if background:
        reactor.start_background()
    reactor.close()
    reactor.close()
    reactor.start_background()
    assert not reactor.wait(Waiter())
    assert told == []
    assert "softgrid-reactor" not in [thread.name for thread in threading.enumerate()]


def test_a_callback_may_close_the_reactor() -> None:
    reactor = Reactor()
    reactor.call_soon(reactor.close)
    assert not reactor.wait(Waiter())
    assert reactor.is_closed


def test_closing_leaves_no_descriptor_open() -> None:
    before = set(os.listdir("/proc/self/fd"))
    reactor = Reactor()
    reactor.start_background()
    reactor.close()
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_closed_reactor_writes_into_no_other_file() -> None:
    reactor = Reactor()
    reactor.close()
    innocent = [socket.socketpair() for _ in range(4)]
    reactor.call_later(1, lambda: None)
    reactor.wake()
    written = []
    for one, other in innocent:
        for mine, theirs in ((one, other), (other, one)):
            theirs.shutdown(socket.SHUT_WR)
            written.append(mine.recv(10))
    for one, other in innocent:
        one.close()
        other.close()
    assert written == [b""] * 8


def test_an_abandoned_reactor_touches_nothing_that_it_watched(pair: Any) -> None:
    reactor = Reactor()
    told: list[int] = []
    reactor.watch(pair[0].fileno(), told.append)
    pair[1].send(b"x")
    wake_pipe = (reactor._wake_read, reactor._wake_write)
    reactor.abandon()
    assert reactor.is_closed
    assert not reactor.wait(Waiter())
    assert pair[0].recv(1) == b"x"
    assert told == []
    for number in wake_pipe:
        os.close(number)


def test_many_wakes_are_one(reactor: Reactor) -> None:
    for _ in range(66_000):
        reactor.wake()
    assert turn_until_idle(reactor) < 100


def test_where_no_thread_may_be_started_it_goes_on_without_and_tries_again(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        reactor.start_background()
    ran = threading.Event()
    reactor.call_soon(ran.set)
    turn_until(reactor, ran.is_set)
    reactor.start_background()
    again = threading.Event()
    reactor.call_soon(again.set)
    assert again.wait(PATIENCE_S), "the background thread polls now"


def test_timers_that_were_cancelled_long_before_they_are_due_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor_module, "TIMERS_KEPT", 10)
    with a_reactor() as reactor:
        rung: list[int] = []
        reactor._compact_at = 10
        kept = [reactor.call_later(3600.0, lambda: rung.append(0)) for _ in range(5)]
        for number in range(1000):
            reactor.call_later(3600.0, lambda: rung.append(1)).cancel()
            reactor.call_soon(lambda number=number: rung.append(number))  # type: ignore[misc]
            reactor.turn(0)
        assert rung == list(range(1000))
        assert len(reactor._timers) <= 20
        assert all(timer.callback is not None for timer in kept)
        assert sum(entry[2] in kept for entry in reactor._timers) == 5
