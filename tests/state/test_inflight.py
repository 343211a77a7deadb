"""What is in flight: every slot is filled once, by whoever should, and nothing else happens."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.properties import PROPERTY

from softgrid._model.errors import NoRoute, PeerLost, SoftgridError, TimedOut
from softgrid._state.inflight import Batch, InFlight

LOST = PeerLost("gone")


class Recorded(Batch):
    """A batch that records what it is told."""

    def __init__(self, *names: str) -> None:
        super().__init__(list(names), [{"for": name} for name in names])
        self.events: list[Any] = []
        self.on_outcome = self.events.append
        self.on_done = lambda: self.events.append("done")

    def take(self) -> list[Any]:
        events, self.events[:] = list(self.events), []
        return events


def opened(*targets: int) -> tuple[InFlight, Recorded, list[int]]:
    inflight, batch = InFlight(), Recorded(*map(str, targets))
    return inflight, batch, [inflight.open(batch, i, target) for i, target in enumerate(targets)]


# -- batches --------------------------------------------------------------------------------------


def test_a_batch_of_nobody_is_done_from_the_start() -> None:
    assert Batch([], []).done


def test_a_batch_is_done_when_the_last_slot_is_filled_and_says_so_once() -> None:
    batch = Recorded("a", "b")
    batch.fill(1, b"1")
    assert not batch.done
    assert batch.take() == [1]
    batch.fill(0, b"0")
    assert batch.done
    assert batch.take() == [0, "done"]
    assert batch.outcomes == [b"0", b"1"]


def test_a_slot_that_is_filled_stays_as_it_is() -> None:
    batch = Recorded("a", "b")
    batch.fill(0, b"first")
    batch.fill(0, b"second")
    assert (batch.outcomes, batch.remaining) == ([b"first", None], 1)
    assert batch.take() == [0]


def test_a_batch_that_nobody_listens_to_is_filled_all_the_same() -> None:
    batch = Batch(["a"], [{}])
    batch.fill(0, b"x")
    assert batch.done


def test_giving_up_fills_what_is_left_and_only_that() -> None:
    batch = Recorded("a", "b", "c")
    batch.fill(1, b"x")
    batch.take()
    batch.fill_rest(lambda name: TimedOut(name))
    assert [str(outcome) for outcome in batch.outcomes] == ["a", "b'x'", "c"]
    assert batch.take() == [0, 2, "done"]


# -- calls ----------------------------------------------------------------------------------------


def test_ids_are_never_given_twice() -> None:
    inflight, batch = InFlight(), Recorded("a", "b", "c")
    ids = [
        inflight.open(batch, 0, 1),
        inflight.new_id(),
        inflight.open_fan(batch, 77, {1: 5, 2: 6}),
        inflight.new_id(),
    ]
    assert len(set(ids)) == 4
    assert len(inflight) == 3


def test_an_answer_fills_its_slot() -> None:
    inflight, batch, (first, second) = opened(10, 20)
    assert inflight.settle(second, 20, b"two")
    assert batch.outcomes == [None, b"two"]
    assert inflight.settle(first, 10, b"one")
    assert batch.take() == [1, 0, "done"]
    assert len(inflight) == 0


@pytest.mark.parametrize(("message_id", "source"), [(99, 10), (1, 20), (1, 0)])
def test_an_answer_to_nothing_or_from_somebody_else_is_not_taken(message_id: int, source: int) -> None:
    inflight, batch, (first,) = opened(10)
    assert not inflight.settle(first if message_id == 1 else message_id, source, b"x")
    assert batch.take() == []
    assert len(inflight) == 1


def test_the_second_answer_finds_nobody_waiting() -> None:
    inflight, batch, (first,) = opened(10)
    assert inflight.settle(first, 10, b"one")
    assert not inflight.settle(first, 10, b"again")
    assert batch.outcomes == [b"one"]


def test_a_fan_is_answered_by_each_of_its_targets() -> None:
    inflight, batch = InFlight(), Recorded("a", "b")
    message_id = inflight.open_fan(batch, 77, {0: 10, 1: 20})
    assert not inflight.settle(message_id, 30, b"x")
    assert inflight.settle(message_id, 20, b"two")
    assert not inflight.settle(message_id, 20, b"again")
    assert len(inflight) == 1
    assert inflight.settle(message_id, 10, b"one")
    assert batch.outcomes == [b"one", b"two"]
    assert not inflight.settle(message_id, 10, b"again")
    assert len(inflight) == 0


def test_a_target_that_stands_twice_in_a_fan_answers_twice() -> None:
    inflight, batch = InFlight(), Recorded("x", "a", "b", "a")
    message_id = inflight.open_fan(batch, 77, {1: 10, 2: 20, 3: 10})
    assert len(inflight) == 3
    assert inflight.settle(message_id, 10, b"first")
    assert inflight.settle(message_id, 10, b"second")
    assert not inflight.settle(message_id, 10, b"third")
    assert batch.outcomes == [None, b"first", None, b"second"]
    assert inflight.lose({10, 20}, lambda name, target, message_id: LOST) == 1
    assert not inflight.is_open(message_id)


def test_what_is_awaited_is_known() -> None:
    inflight, _batch, (first,) = opened(10)
    fan = inflight.open_fan(Recorded("a"), 77, {0: 20})
    assert [inflight.is_open(each) for each in (first, fan, 99)] == [True, True, False]
    inflight.settle(first, 10, b"x")
    inflight.settle(fan, 20, b"x")
    assert [inflight.is_open(each) for each in (first, fan)] == [False, False]


def test_how_many_calls_one_target_has_open_is_known() -> None:
    inflight, batch, (first, _, again) = opened(10, 20, 10)
    fan = inflight.open_fan(Recorded("a", "b"), 77, {0: 10, 1: 30})
    assert [inflight.open_at(target) for target in (10, 20, 30, 77, 99)] == [3, 1, 1, 0, 0]
    inflight.settle(first, 10, b"x")
    inflight.settle(fan, 10, b"x")
    inflight.settle(99, 20, b"x")
    assert [inflight.open_at(target) for target in (10, 20, 30)] == [1, 1, 1]
    inflight.refuse(again, 10, refusal)
    inflight.lose({20}, lambda name, target, message_id: LOST)
    assert [inflight.open_at(target) for target in (10, 20, 30)] == [0, 0, 1]
    inflight.settle(fan, 30, b"x")
    assert inflight.open_at(30) == 0
    assert batch.done


def test_what_is_dropped_is_open_nowhere() -> None:
    inflight, batch, _ = opened(10, 20)
    other = Recorded("a")
    inflight.open(other, 0, 10)
    inflight.open_fan(batch, 77, {0: 10, 1: 30})
    inflight.drop(batch)
    assert [inflight.open_at(target) for target in (10, 20, 30)] == [1, 0, 0]
    inflight.lose({10, 20, 30}, lambda name, target, message_id: LOST)
    assert not vars(inflight)["_open_at"]


def refusal(name: str) -> NoRoute:
    return NoRoute(f"no way to {name}")


def test_a_refused_answer_which_has_the_id_of_its_asker_fills_no_slot_of_ours() -> None:
    inflight, batch, (first,) = opened(10)
    inflight.refuse(first, 20, refusal)
    assert batch.outcomes == [None]
    assert inflight.is_open(first)


def test_a_refusal_fills_the_slot_whoever_sent_it() -> None:
    inflight, batch, (first, _) = opened(10, 20)
    inflight.refuse(first, 10, refusal)
    assert list(map(str, batch.outcomes)) == ["no way to 10", "None"]
    inflight.refuse(first, 10, refusal)
    inflight.refuse(99, 10, refusal)
    assert batch.take() == [0]
    assert len(inflight) == 1


@pytest.mark.parametrize(("target", "filled"), [(10, [0]), (20, [1]), (77, [0, 1])])
def test_a_refusal_of_a_fan_concerns_the_target_or_all_when_it_was_the_way_to_them(
    target: int, filled: list[int]
) -> None:
    inflight, batch = InFlight(), Recorded("a", "b", "c")
    batch.fill(2, b"x")
    batch.take()
    message_id = inflight.open_fan(batch, 77, {0: 10, 1: 20})
    inflight.refuse(message_id, target, refusal)
    assert [event for event in batch.take() if event != "done"] == filled
    assert [str(batch.outcomes[index]) for index in filled] == [f"no way to {'ab'[i]}" for i in filled]
    assert len(inflight) == 2 - len(filled)


def test_a_refusal_of_a_whole_fan_concerns_who_stands_twice_twice() -> None:
    inflight, batch = InFlight(), Recorded("a", "b", "a")
    inflight.refuse(inflight.open_fan(batch, 77, {0: 10, 1: 20, 2: 10}), 77, refusal)
    assert list(map(str, batch.outcomes)) == ["no way to a", "no way to b", "no way to a"]
    assert len(inflight) == 0


def test_a_death_fails_every_call_that_depends_on_it_and_no_other() -> None:
    inflight, batch, _ = opened(10, 20, 10)
    fanned = Recorded("a", "b")
    inflight.open_fan(fanned, 77, {0: 10, 1: 20})
    assert inflight.lose({10, 77}, lambda name, target, message_id: PeerLost(f"{name} {target}")) == 3
    assert [str(outcome) for outcome in batch.outcomes] == ["10 10", "None", "10 10"]
    assert [str(outcome) for outcome in fanned.outcomes] == ["a 10", "None"]
    assert len(inflight) == 2
    assert inflight.lose({10}, lambda name, target, message_id: LOST) == 0


def test_dropping_a_batch_forgets_it_without_filling_it() -> None:
    inflight, batch, (first,) = opened(10)
    fan = inflight.open_fan(batch, 77, {0: 20})
    other = Recorded("a")
    kept = inflight.open(other, 0, 10)
    kept_fan = inflight.open_fan(other, 77, {0: 20})
    inflight.drop(batch)
    assert not inflight.settle(first, 10, b"x")
    assert not inflight.settle(fan, 20, b"x")
    assert batch.take() == []
    assert len(inflight) == 2
    assert inflight.settle(kept, 10, b"x")
    assert inflight.lose({20}, lambda name, target, message_id: LOST) != 0
    assert not inflight.settle(kept_fan, 20, b"x")


def test_what_is_told_of_a_filled_slot_may_drop_the_rest() -> None:
    inflight, batch, _ = opened(10, 10, 10)
    batch.on_outcome = lambda index: inflight.drop(batch)
    assert inflight.lose({10}, lambda name, target, message_id: LOST) == 3
    assert batch.outcomes == [LOST, None, None]
    assert len(inflight) == 0


@PROPERTY
@given(st.lists(st.tuples(st.sampled_from("slrg"), st.integers(0, 5), st.integers(0, 3)), max_size=30))
def test_every_slot_is_filled_exactly_once_whatever_comes_in_whatever_order(steps) -> None:
    inflight, batch = InFlight(), Recorded(*"abcdef")
    ids = [inflight.open(batch, index, index % 4) for index in range(3)]
    ids += [inflight.open_fan(batch, 77, {3: 0, 4: 1, 5: 0})] * 3
    for step, which, target in steps:
        if step == "s":
            inflight.settle(ids[which], target, b"x")
        elif step == "l":
            inflight.lose({target}, lambda name, each, message_id: LOST)
        elif step == "r":
            inflight.refuse(ids[which], target, refusal)
        assert len(inflight) == batch.remaining
        assert all(inflight.is_open(each) for each in ids[:3]) or batch.remaining < 6
    batch.fill_rest(TimedOut)
    told = batch.take()
    assert told[-1] == "done"
    assert sorted(told[:-1]) == list(range(6))
    assert all(outcome is not None for outcome in batch.outcomes)


class _WhileAnotherThreadSends(set[int]):
    """The gone ones, looked up while another thread opens a call."""

    def __init__(self, inflight: InFlight, *targets: int) -> None:
        super().__init__(targets)
        self.inflight = inflight

    def __contains__(self, target: object) -> bool:
        self.inflight.open(Batch(["late"], [{}]), 0, 999)
        return super().__contains__(target)


def test_a_call_that_is_sent_while_somebody_dies_does_not_save_the_dead() -> None:
    inflight, batch, _ = opened(10, 20)
    inflight.lose(_WhileAnotherThreadSends(inflight, 10), lambda name, target, message_id: LOST)
    assert isinstance(batch.outcomes[0], SoftgridError)


# -- taken back, tried again ----------------------------------------------------------------------


def test_who_watches_a_call_is_told_once_when_it_is_over() -> None:
    inflight, told = InFlight(), []
    batch = Batch(["a", "b", "c"], [{}, {}, {}])
    ids = [inflight.open(batch, index, target) for index, target in enumerate((10, 20, 30))]
    for message_id in ids:
        inflight.watch(message_id, lambda message_id=message_id: told.append(message_id))  # type: ignore[misc]
    inflight.watch(ids[0], lambda: told.append(-1))
    inflight.settle(ids[0], 10, b"result")
    assert told == [ids[0], -1]
    inflight.lose({20}, lambda name, target, message_id: LOST)
    assert told[2:] == [ids[1]]
    inflight.drop(batch)
    assert told[3:] == [ids[2]]
    inflight.settle(ids[0], 10, b"late")
    assert len(told) == 4


def test_a_call_for_several_is_over_when_the_last_has_answered() -> None:
    inflight, told = InFlight(), []
    batch = Batch(["a", "b"], [{}, {}])
    message_id = inflight.open_fan(batch, 1, {0: 10, 1: 20})
    inflight.watch(message_id, lambda: told.append("over"))
    inflight.settle(message_id, 10, b"one")
    assert told == []
    inflight.settle(message_id, 20, b"two")
    assert told == ["over"]


def test_only_calls_of_users_can_be_taken_back_and_only_those_that_are_meant() -> None:
    inflight = InFlight()
    question, calls = Batch(["a"], [{}]), Batch(["a", "b", "c"], [{"label": "x"}, {"label": "y"}, {"label": "x"}])
    calls.is_cancellable = True
    inflight.open(question, 0, 10)
    first = inflight.open(calls, 0, 10)
    inflight.open(calls, 1, 20)
    fan = inflight.open_fan(calls, 1, {2: 30})
    found = inflight.cancellable(lambda batch, index: batch.kwargs[index].get("label") == "x")
    assert found == [(first, 10, "a"), (fan, 30, "c")]


def test_an_outcome_that_is_followed_by_another_attempt_fills_nothing() -> None:
    inflight, seen = InFlight(), []
    batch = Batch(["a"], [{}])

    def again(index: int, outcome: Any) -> Any:
        seen.append(outcome)
        return None if outcome == b"first" else b"told " + outcome

    batch.again = again
    inflight.settle(inflight.open(batch, 0, 10), 10, b"first")
    assert (batch.done, batch.outcomes) == (False, [None])
    inflight.settle(inflight.open(batch, 0, 20), 20, b"second")
    assert (batch.done, batch.outcomes, seen) == (True, [b"told second"], [b"first", b"second"])
    batch.fill(0, b"third")
    assert (batch.outcomes, len(seen)) == ([b"told second"], 2)
