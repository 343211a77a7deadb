"""Calls that are tried again: each goes where it should, as often as granted, and its last outcome is told once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.harness.trees import A1, A2, B1, A, B
from tests.node.test_transfers import Sending, errors_of

from softgrid._model.errors import BadArgument, Cancelled, NoRoute, PeerLost, SoftgridError, TimedOut, Unserializable
from softgrid._model.names import node_id
from softgrid._state.last_calls import LastCall
from softgrid._wire.calls import Failure, encode_exception, encode_refusal

TOP_ID = Sending().tree.node_id


class Retry(Sending):
    """Transfers whose calls may be tried again; where they go then the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, bool | None]] = []
        self.answers: list[Callable[[str | SoftgridError], None]] = []
        self.transfers.place_again = self._place

    def _place(self, index: int, name: str, is_gone: bool | None, on_place: Any) -> None:
        self.asked.append((name, is_gone))
        self.answers.append(on_place)

    def start(self, receivers: Any, **kwargs: Any) -> None:
        self.transfer(receivers, {"function": "f", **kwargs}, collect=False)

    def attempt(self) -> int | None:
        """The attempt of the one call that was sent since last asked."""
        ((_, _, call),) = self.take_calls()
        number: int | None = call.options.get("attempt")
        return number

    def dies(self, name: str, running: Any = "unknown", is_asked: bool = False) -> None:
        """An executor dies; *running*: message id of the call that it ran, None for none."""
        if running != "unknown":
            self.transfers.last_calls.note(node_id(name), LastCall(running and (TOP_ID, running), is_asked))
        self.tree.leave(name, "killed")
        self.transfers.on_gone({node_id(name)}, lambda who: "killed")

    def goes_to(self, where: str | SoftgridError) -> None:
        """Let the wait pass, and say where the call goes."""
        self.reactor.run_timers()
        self.answers.pop(0)(where)

    def outcome(self) -> Any:
        ((_, result),) = self.uncollected
        self.check_nothing_else()
        return result

    def check_nothing_else(self) -> None:
        assert self.take_calls() == []
        assert self.reactor.timers == []
        assert len(self.transfers.inflight) == 0
        assert self.transfers.held == set()


@pytest.fixture
def retry() -> Retry:
    return Retry()


def last_id(retry: Retry) -> int:
    return retry.sent[-1][1]


# -- lost -----------------------------------------------------------------------------------------


def test_a_lost_call_goes_to_who_stands_in_and_says_which_attempt_it_is(retry: Retry) -> None:
    retry.start([A1], retries=1)
    assert retry.attempt() is None
    retry.dies(A1)
    assert retry.uncollected == []
    retry.goes_to(A2)
    assert retry.asked == [(A1, True)]
    assert retry.attempt() == 2
    retry.answer(A2, last_id(retry), "done")
    assert retry.outcome() == "done"


def test_what_was_not_asked_to_be_tried_again_is_not(retry: Retry) -> None:
    retry.start([A1])
    retry.take_calls()
    retry.dies(A1)
    assert errors_of([retry.outcome()]) == [PeerLost]
    assert retry.asked == []


def test_an_exhausted_call_tells_how_each_attempt_ended(retry: Retry) -> None:
    retry.start([A1], retries={"lost": 1, "failed": 1})
    retry.take_calls()
    retry.dies(A1)
    retry.goes_to(A2)
    retry.take_calls()
    retry.answer(A2, last_id(retry), encode_exception(ValueError("odd")))
    retry.goes_to(A2)
    assert retry.asked == [(A1, True), (A2, False)]
    assert retry.attempt() == 3
    retry.answer(A2, last_id(retry), encode_exception(ValueError("again")))
    result = retry.outcome()
    assert isinstance(result.error, Failure)
    assert isinstance(result.error.as_exception(), ValueError)
    told = str(result).split("it was tried 3 times:\n")[1].splitlines()
    assert told[0].startswith(f"  attempt 1: {A1} is gone: killed")
    assert told[1:] == ["  attempt 2: ValueError: odd", "  attempt 3: ValueError: again"]


def test_only_the_call_that_ran_is_charged_and_blamed(retry: Retry) -> None:
    for _ in range(2):
        retry.start([A1], retries=1)
    (_, running, _), (_, waiting, _) = retry.take_calls()
    retry.dies(A1, running=running)
    retry.goes_to(A2)
    retry.goes_to(A2)
    retry.take_calls()
    retry.dies(A2, running=None)
    assert retry.uncollected == [], "neither ran"
    assert [name for name, _ in retry.asked] == [A1, A1]
    assert waiting != running


@pytest.mark.parametrize("running", [None, 999])
def test_of_a_call_beside_the_queue_it_is_not_known_whether_it_ran(retry: Retry, running: Any) -> None:
    retry.start([A1], priority=None)
    retry.take_calls()
    retry.dies(A1, running=running)
    assert str(retry.outcome()).endswith("the call may have run")


def test_three_deaths_are_enough_whatever_was_granted(retry: Retry) -> None:
    retry.start([A1], retries=100)
    for doomed, heir in ((A1, A2), (A2, B1), (B1, None)):
        retry.take_calls()
        retry.dies(doomed, running=last_id(retry))
        if heir:
            retry.goes_to(heir)
    result = retry.outcome()
    assert errors_of([result]) == [PeerLost]
    assert "it was tried 3 times, and not again: 3 executors died while they ran it" in str(result)


def test_a_death_that_was_asked_for_is_nobodys_fault(retry: Retry) -> None:
    retry.start([A1], retries=3)
    for doomed, heir in ((A1, A2), (A2, B1), (B1, A)):
        retry.take_calls()
        retry.dies(doomed, running=last_id(retry), is_asked=True)
        retry.goes_to(heir)
    assert retry.attempt() == 4


@pytest.mark.parametrize(
    ("running", "fate"),
    [("unknown", "the call may have run"), (None, "the call was not running then"), (1, "the call was running")],
)
def test_a_lost_call_says_what_is_known_of_its_fate(retry: Retry, running: Any, fate: str) -> None:
    retry.start([A1])
    retry.take_calls()
    retry.dies(A1, running=running and last_id(retry) if running != "unknown" else running)
    assert fate in str(retry.outcome())


def test_when_nobody_stands_in_the_loss_is_told_with_the_reason(retry: Retry) -> None:
    retry.start([A1], retries=1)
    retry.take_calls()
    retry.dies(A1)
    retry.goes_to(NoRoute("nobody stands in for it"))
    result = retry.outcome()
    assert errors_of([result]) == [PeerLost]
    assert "nobody stands in for it" in str(result)


def test_a_call_that_cannot_be_sent_finds_its_place_without_being_charged(retry: Retry) -> None:
    retry.tree.leave(A1, "killed before")
    retry.start([A1], retries=1)
    retry.goes_to(A1)
    assert retry.take_calls() == []
    assert [delay for delay, _ in retry.reactor.timers] == [0.004]
    retry.goes_to(A2)
    assert retry.asked == [(A1, True), (A1, True)]
    assert retry.attempt() == 3


# -- failed ---------------------------------------------------------------------------------------


def test_only_exceptions_that_count_are_followed_by_another_attempt(retry: Retry) -> None:
    retry.start([A1], retries=5, retry_on=[OSError, KeyError])
    retry.take_calls()
    retry.answer(A1, last_id(retry), encode_exception(FileNotFoundError("gone")))
    retry.goes_to(A1)
    assert retry.attempt() == 2
    retry.answer(A1, last_id(retry), encode_exception(ValueError("no")))
    assert errors_of([retry.outcome()]) == [Failure]


@pytest.mark.parametrize("body", [encode_refusal("not here"), encode_refusal("cancelled", cancelled=True)])
def test_a_refused_call_is_not_tried_again(retry: Retry, body: Any) -> None:
    retry.start([A1], retries=5)
    retry.take_calls()
    retry.answer(A1, last_id(retry), body)
    assert errors_of([retry.outcome()]) == [Failure]
    assert retry.asked == []


def test_time_that_is_up_is_the_end_also_between_two_attempts(retry: Retry) -> None:
    retry.transfer([A1], {"function": "f", "retries": 5}, collect=False, timeout=2.0)
    retry.take_calls()
    retry.answer(A1, last_id(retry), encode_exception(ValueError("v")))
    timers = dict(retry.reactor.timers)
    assert set(timers) == {2.0, 0.0}
    timers[2.0]()
    timers[0.0]()
    result = retry.uncollected[0][1]
    assert errors_of([result]) == [TimedOut]
    assert "attempt 1: ValueError: v" in str(result)
    assert (retry.asked, retry.take_calls(), retry.transfers.held) == ([], [], set())


def test_a_call_that_waits_for_its_next_attempt_can_be_taken_back(retry: Retry) -> None:
    retry.start([A1], retries=5, label="mine")
    retry.take_calls()
    retry.dies(A1)
    (held,) = retry.transfers.held
    assert held.cancel_waiting(lambda batch, index: False, Cancelled("back")) == []
    assert held.cancel_waiting(lambda batch, index: batch.kwargs[index]["label"] == "mine", Cancelled("back")) == [A1]
    retry.reactor.run_timers()
    assert errors_of([retry.outcome()]) == [Cancelled]
    assert retry.asked == []


# -- what is sent ---------------------------------------------------------------------------------


def test_calls_are_told_apart_and_what_is_bounced_goes_straight(retry: Retry) -> None:
    retry.transfer([A, B1], {"function": "f", "retries": 1}, collect=False, bounce=[[A1, A2], None])
    assert sorted(target for target, _, _ in retry.take_calls()) == sorted(map(node_id, (A1, A2, B1)))
    retry.answer(A2, next(mid for target, mid, _ in retry.sent if target == node_id(A2)), "two")
    retry.dies(A1)
    retry.goes_to(B)
    assert retry.attempt() == 2
    assert [name for name, _ in retry.uncollected] == [A2]


def test_the_arguments_are_those_of_the_first_attempt(retry: Retry) -> None:
    array = np.arange(10_000)
    retry.start([A1], args=(array,), retries=1)
    retry.take_calls()
    array[:] = 0
    retry.dies(A1)
    retry.goes_to(A2)
    ((_, _, call),) = retry.take_calls()
    assert call.arguments()[0][0][5] == 5


def test_a_call_that_passes_on_does_so_once(retry: Retry) -> None:
    retry.start([A], retries=1, propagate_workers=True)
    ((_, _, call),) = retry.take_calls()
    assert call.options["propagate"] == ["propagate_workers"]
    retry.answer(A, last_id(retry), encode_exception(ValueError("v")))
    retry.goes_to(A)
    ((_, _, call),) = retry.take_calls()
    assert "propagate" not in call.options


@pytest.mark.parametrize("fault", [{"retries": -1}, {"retries": 1, "retry_on": "OSError"}])
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(retry: Retry, fault: Any) -> None:
    with pytest.raises(BadArgument):
        retry.start([A1, A2], **fault)
    retry.check_nothing_else()


def test_one_call_at_fault_among_several_fails_alone(retry: Retry) -> None:
    given = [{"function": "f", "retries": 1}, {"function": "f", "args": (threading.Lock(),), "retries": 1}]
    retry.transfer([A1, A2], given, collect=False)
    ((target, message_id, _),) = retry.take_calls()
    assert errors_of([result for _, result in retry.uncollected]) == [Unserializable]
    assert target == node_id(A1)
    retry.answer(A1, message_id, "one")
    assert retry.uncollected[1] == (A1, "one")


def test_as_many_calls_may_be_open_as_the_rule_says(retry: Retry) -> None:
    retry.transfers.maximum_open = 2
    retry.start([A1, A2])
    with pytest.raises(SoftgridError, match=r"2 calls .* \(rule 'transfer_maximum_open_calls'\)"):
        retry.start([A1])
    assert len(retry.take_calls()) == 2
    retry.answer(A1, retry.sent[0][1], "one")
    with pytest.raises(SoftgridError, match="and 2 more are too many"):
        retry.start([A1, A2])
    retry.start([A1])
