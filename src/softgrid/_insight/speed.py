"""How fast data travels between two executors: real transfers of a payload there and back, timed one by one.

The receiver is called with the payload as any function is, notes the time as soon as it has it, and returns it.  So
each round gives the time of both directions, from the caller's value to the receiver's value and back, with everything
in it: pickling, the links, every hop, unpickling.  On one machine both ends read the same clock; between machines the
difference of the clocks is taken from the fastest of some empty calls, and is wrong by half of such a call at most.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrid._insight.quantities import bytes_text, rate_text, time_text
from softgrid._model.errors import BadArgument, SoftgridError
from softgrid._model.names import parse_name
from softgrid._model.transfer import Failed, TransferSpec
from softgrid._state.timeouts import check_timeout

if TYPE_CHECKING:
    from softgrid._node.node import Node

EMPTY_CALLS = 11
SMALLEST_FOR_A_RATE = 1000
REFLECT, CLOCK = "_reflect", "_clock"
"""The methods of the receiver that are called: give back what came and when; say whose clock that is."""


class TransferSpeed(NamedTuple):
    """What was measured in one direction, or there and back.

    1. direction (str): 'forth', 'back', or 'forth and back'
    2. sender, receiver (str): grid unique names
    3. size (int): bytes of the payload as it travels, both ways together where the direction is both
    4. times_s (tuple): seconds of each transfer, in their order
    """

    direction: str
    sender: str
    receiver: str
    size: int
    times_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """Seconds that half of the transfers did not need."""
        ordered, middle = sorted(self.times_s), (len(self.times_s) - 1) / 2
        return (ordered[int(middle)] + ordered[int(middle + 0.5)]) / 2

    @property
    def bytes_per_s(self) -> float:
        """Size by median."""
        return self.size / max(self.median_s, 1e-9)

    def __str__(self) -> str:
        spread = f"median of {len(self.times_s)}, {time_text(min(self.times_s))} to {time_text(max(self.times_s))}"
        return f"{self.direction}: {self.summary()} ({spread}; {self.sender} to {self.receiver})"

    def summary(self) -> str:
        """Size, median and speed as text; of next to nothing the speed says nothing."""
        rate = f", {rate_text(self.bytes_per_s)}" if self.size >= SMALLEST_FOR_A_RATE else ""
        return f"{bytes_text(self.size)} in {time_text(self.median_s)}{rate}"


class _Rounds(NamedTuple):
    """Who measures what."""

    node: Node
    receiver: str
    timeout: float

    def call(self, function: str, *args: Any) -> Any:
        """Call a method of the receiver and give what it returns; raises what went wrong."""
        spec = TransferSpec({"function": function, "args": args}, self.receiver, collect=True, timeout=self.timeout)
        return _taken(self.node.transfer(spec))

    def reflect(self, data: Any) -> tuple[float, float, float]:
        """Send and get back; gives the times of sending, of arrival there, and of return."""
        sent = monotonic()
        arrived, returned = self.call(REFLECT, data)
        back = monotonic()
        del returned
        return sent, arrived, back

    def clock_difference(self) -> float:
        """How far the receiver's clock is ahead of ours."""
        empty = [self.reflect(None) for _ in range(EMPTY_CALLS)]
        if self.call(CLOCK) == clock():
            return 0.0
        sent, arrived, back = min(empty, key=lambda times: times[2] - times[0])
        return arrived - (sent + back) / 2


def measure(node: Node, receiver: str, data: Any, number: int, timeout: float) -> list[TransferSpeed]:
    """Time *number* transfers of *data* from this executor to another and back; raises what went wrong."""
    from softgrid._wire.values import encode_value

    size = sum(memoryview(part).nbytes for part in encode_value(data, "data"))
    rounds = _Rounds(node, receiver, timeout)
    ahead = rounds.clock_difference()
    times = [rounds.reflect(data) for _ in range(number)]
    forth = tuple(max(0.0, arrived - ahead - sent) for sent, arrived, _ in times)
    back = tuple(max(0.0, returned - (arrived - ahead)) for _, arrived, returned in times)
    both = tuple(returned - sent for sent, _, returned in times)
    return [
        TransferSpeed("forth", node.name, receiver, size, forth),
        TransferSpeed("back", receiver, node.name, size, back),
        TransferSpeed("forth and back", node.name, receiver, 2 * size, both),
    ]


def assess(node: Node, receiver: Any, sender: Any, data: Any, number: Any, timeout: Any) -> Any:
    """Have *sender* (None: this executor) measure; gives the list of what it measured, or its failed status."""
    receiver = str(parse_name(receiver, "toGUN"))
    sender = node.name if sender is None else str(parse_name(sender, "fromGUN"))
    if receiver == sender:
        raise BadArgument("toGUN", receiver, "another executor than the one that sends")
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise BadArgument("number", number, "a number of transfers, 1 or more")
    seconds = check_timeout(timeout, none_allowed=False)
    assert seconds is not None
    node.check_open()
    if sender == node.name:
        return measure(node, receiver, data, number, seconds)
    kwargs = {"function": "assess_transfer_speed", "args": (receiver, None, data, number, timeout)}
    deadline = (number + 2) * seconds
    return _taken(node.transfer(TransferSpec(kwargs, sender, collect=True, timeout=deadline)))


def reflect(data: Any) -> tuple[float, Any]:
    """What the receiver does: say when *data* was here, and give it back."""
    return monotonic(), data


def clock() -> str:
    """Name the clock that this process reads; the same name means the same time."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip() + os.readlink("/proc/self/ns/time")
    except OSError:  # no such kernel, or one without time namespaces
        return f"{os.getpid()}-{os.urandom(8).hex()}"


def _taken(results: list[Any] | None) -> Any:
    """Give the only result of a collected transfer, or raise why there is none."""
    assert results is not None
    (result,) = results
    if type(result) is not Failed:
        return result
    raise result.error if isinstance(result.error, SoftgridError) else SoftgridError(str(result)) from result.error
