"""What is measured of a transfer: each direction on its own, whatever clock the other machine has."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.names import ORCHESTRATOR, a_name

from softgrid._insight import speed
from softgrid._insight.speed import EMPTY_CALLS, TransferSpeed, assess, measure
from softgrid._model.errors import BadArgument, MalformedName, PeerLost, SoftgridError, Unserializable
from softgrid._node.transfers import Failed, TransferSpec
from softgrid._wire.calls import Failure

ME, THERE, ELSEWHERE = ORCHESTRATOR, a_name("worker", "There"), a_name("worker", "Elsewhere")


class FakeNode:
    """An executor whose peer is *ahead* seconds in the future and takes known times for both directions."""

    name = ME

    def __init__(self, ahead: float = 0.0, clock: str | None = None) -> None:
        self.now = 50.0
        self.ahead = ahead
        self.clock = clock or speed.clock()
        self.forth: Iterator[float] = iter(())
        self.back: Iterator[float] = iter(())
        self.specs: list[TransferSpec] = []
        self.answers: list[Any] = []

    def check_open(self) -> None:
        return

    def transfer(self, spec: TransferSpec) -> list[Any]:
        self.specs.append(spec)
        if self.answers:
            return [self.answers.pop(0)]
        function, args = spec.transfer_kwargs["function"], spec.transfer_kwargs["args"]
        if function == "_clock":
            return [self.clock]
        assert function == "_reflect"
        (data,) = args
        empty = data is None
        self.now += 0.001 if empty else next(self.forth)
        arrived = self.now + self.ahead
        self.now += 0.001 if empty else next(self.back)
        return [(arrived, data)]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    made = FakeNode()
    monkeypatch.setattr(speed, "monotonic", lambda: made.now)
    return made


@pytest.mark.parametrize(("ahead", "clock"), [(0.0, None), (1e6, "another clock"), (-1e6, "another clock")])
def test_both_directions_are_measured_whatever_the_other_clock_says(
    node: FakeNode, ahead: float, clock: str | None
) -> None:
    node.ahead, node.clock = ahead, clock or node.clock
    node.forth, node.back = iter([0.5, 0.1, 0.3]), iter([2.0, 4.0, 3.0])
    forth, back, both = measure(node, THERE, b"x" * 1000, 3, 9.0)  # type: ignore[arg-type]
    assert forth.times_s == pytest.approx((0.5, 0.1, 0.3))
    assert back.times_s == pytest.approx((2.0, 4.0, 3.0))
    assert both.times_s == pytest.approx((2.5, 4.1, 3.3))
    assert [each.median_s for each in (forth, back, both)] == pytest.approx([0.3, 3.0, 3.3])
    assert [(each.direction, each.sender, each.receiver) for each in (forth, back, both)] == [
        ("forth", ME, THERE),
        ("back", THERE, ME),
        ("forth and back", ME, THERE),
    ]
    assert forth.size == back.size == both.size / 2 > 1000
    assert {spec.timeout for spec in node.specs} == {9.0}
    assert len(node.specs) == EMPTY_CALLS + 1 + 3


def test_no_time_is_negative(node: FakeNode) -> None:
    node.ahead, node.clock = 0.0, "another clock"
    node.forth, node.back = iter([0.0]), iter([0.0])
    assert all(min(each.times_s) >= 0 for each in measure(node, THERE, 1, 1, 9.0))  # type: ignore[arg-type]


def test_a_failure_ends_the_measurement(node: FakeNode) -> None:
    node.answers = [(0.0, None), Failed(THERE, PeerLost(f"{THERE} is gone: killed"), {})]
    with pytest.raises(PeerLost, match="is gone: killed"):
        measure(node, THERE, None, 5, 9.0)  # type: ignore[arg-type]
    assert len(node.specs) == 2


def test_what_the_receiver_raised_is_told_as_an_error_of_ours(node: FakeNode) -> None:
    failure = Failure({"op": "raised", "type": "MemoryError", "message": "", "traceback": ""}, MemoryError())
    node.answers = [Failed(THERE, failure, {})]
    with pytest.raises(SoftgridError, match="MemoryError"):
        measure(node, THERE, None, 5, 9.0)  # type: ignore[arg-type]


def test_data_that_cannot_travel_is_told_before_anything_is_sent(node: FakeNode) -> None:
    with pytest.raises(Unserializable, match="data"):
        assess(node, THERE, None, (number for number in range(3)), 5, 9)
    assert node.specs == []


def test_another_sender_is_asked_to_measure(node: FakeNode) -> None:
    node.answers = ["what it measured"]
    assert assess(node, THERE, ELSEWHERE, b"data", 3, 5) == "what it measured"
    (spec,) = node.specs
    assert (spec.receivers, spec.collect, spec.timeout) == (ELSEWHERE, True, 25.0)
    assert spec.transfer_kwargs == {
        "function": "assess_transfer_speed",
        "args": (THERE, None, b"data", 3, 5),
    }


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        (("worker", None, None, 10, 20), "toGUN"),
        ((None, None, None, 10, 20), "toGUN"),
        ((THERE, "manager", None, 10, 20), "fromGUN"),
        ((ME, None, None, 10, 20), "toGUN"),
        ((THERE, THERE, None, 10, 20), "toGUN"),
        *(((THERE, None, None, number, 20), "number") for number in (0, -1, 1.5, True, "3", None)),
        *(((THERE, None, None, 10, timeout), "timeout") for timeout in (0, -1, True, "3", None, float("nan"))),
    ],
)
def test_bad_arguments_are_named(node: FakeNode, arguments: Any, parameter: str) -> None:
    with pytest.raises((BadArgument, MalformedName), match=f"^{parameter}: got"):
        assess(node, *arguments)
    assert node.specs == []


def test_a_speed_says_all_in_one_line() -> None:
    fast = TransferSpeed("forth", ME, THERE, 64_000_000, (0.02, 0.01, 0.04))
    assert str(fast) == f"forth: 64 MB in 20 ms, 3.2 GB/s (median of 3, 10 ms to 40 ms; {ME} to {THERE})"
    assert TransferSpeed("back", ME, THERE, 5, (1e-4,)).summary() == "5 B in 100 µs"
    assert TransferSpeed("back", ME, THERE, 5, (0.0,)).bytes_per_s > 0


def test_a_speed_travels() -> None:
    import softgrid.Collections

    made = softgrid.Collections.TransferSpeed("forth", ME, THERE, 5, (0.5,))
    assert pickle.loads(pickle.dumps(made)) == made


def test_one_machine_has_one_clock() -> None:
    assert speed.clock() == speed.clock()
    arrived, data = speed.reflect("data")
    assert data == "data"
    assert arrived <= speed.monotonic()


def test_without_such_a_kernel_no_two_clocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr("os.readlink", missing)
    assert speed.clock() != speed.clock()
