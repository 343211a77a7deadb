"""The injector: what a plan says, that it is the same each time, and that without one there is nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.harness.nodes import FakeLink

from softgrid._chaos.plan import DROP, DUPLICATE, VARIABLE, Plan, read_plan
from softgrid._chaos.points import POINTS
from softgrid._chaos.wire import FaultyWire
from softgrid._model.errors import BadArgument
from softgrid._wire.framing import HOPS_OFFSET, MORE, Kind, frame

CALLS = [frame(Kind.CALL, 1, 2, number, b"body") for number in range(1, 400)]


def test_a_plan_is_read() -> None:
    plan = read_plan("seed=7;drop_request=5;drop_reply=2.5;duplicate=1;delay=10:0:200;kill=task-ended;nth=3;once=/a/b")
    assert plan == Plan(7, 5, 2.5, 1, 10, 0, 200, POINTS["task-ended"], 3, "/a/b")
    assert read_plan("") == Plan()


@pytest.mark.parametrize(
    "text",
    ["kill=nowhere", "drop_request", "drop_request=much", "delay=5", "delay=1:2:x", "nth=1.5", "other=1", "seed=-"],
)
def test_what_is_no_plan_is_refused_by_its_part(text: str) -> None:
    with pytest.raises(BadArgument, match=f"{VARIABLE}.*{text[:6]}"):
        read_plan(f"seed=1;{text}")


@pytest.mark.parametrize("kind", [Kind.CALL, Kind.RESULT])
def test_so_many_messages_of_a_kind_are_lost_and_the_same_each_time(kind: Kind) -> None:
    plan = Plan(1, drop_request=20) if kind == Kind.CALL else Plan(1, drop_reply=20)
    fates = [plan.fate(kind, number) for number in range(2000)]
    assert fates == [plan.fate(kind, number) for number in range(2000)]
    assert 300 < fates.count(DROP) < 500
    assert fates != [plan._replace(seed=2).fate(kind, number) for number in range(2000)]
    other = Kind.RESULT if kind == Kind.CALL else Kind.CALL
    assert not any(plan.fate(each, number) for each in (other, Kind.CONTROL, Kind.LOG) for number in range(500))


def test_delays_lie_between_their_bounds() -> None:
    delays = [Plan(3, delay=50, shortest_ms=10, longest_ms=20).held_up_s(Kind.CALL, number) for number in range(500)]
    assert 150 < sum(delay > 0 for delay in delays) < 350
    assert all(delay == 0 or 0.01 <= delay <= 0.02 for delay in delays)


class Wire:
    """A wire that is faulty, over a link that only keeps what it is sent."""

    def __init__(self, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[bytes] = []
        self.timers: list[Any] = []
        self.wire = FaultyWire(plan)
        monkeypatch.setattr(self.wire, "_send", lambda link, data, destination, descriptors: self.sent.append(data))
        monkeypatch.setattr("softgrid._chaos.wire._is_between_executors", lambda link: True)
        self.link: Any = FakeLink("a link")
        self.link._reactor = self

    def call_later(self, delay: float, callback: Any) -> None:
        self.timers.append(callback)

    def send(self, *frames: bytes) -> None:
        self.wire.send(self.link, b"".join(frames), 1, None)


def test_what_is_lost_is_not_sent_and_what_stands_beside_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(5, drop_request=30)
    wire = Wire(plan, monkeypatch)
    wire.send(*CALLS)
    assert wire.sent == [each for number, each in enumerate(CALLS, 1) if plan.fate(Kind.CALL, number) != DROP]
    assert 0 < len(wire.sent) < len(CALLS)


def test_what_is_sent_twice_comes_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(5, duplicate=30)
    wire = Wire(plan, monkeypatch)
    wire.send(*CALLS)
    times = [2 if plan.fate(Kind.CALL, number) == DUPLICATE else 1 for number in range(1, 400)]
    assert wire.sent == [each for each, count in zip(CALLS, times, strict=True) for _ in range(count)]


@pytest.mark.parametrize("spared", ["further on", "a part", "control"])
def test_only_whole_messages_are_hit_and_only_at_their_source(spared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(Plan(5, drop_request=100, drop_reply=100), monkeypatch)
    data = bytearray(
        frame(Kind.CONTROL if spared == "control" else Kind.CALL, 1, 2, 3, b"x", flags=MORE * (spared == "a part"))
    )
    if spared == "further on":
        data[HOPS_OFFSET] = 1
    wire.send(bytes(data))
    assert wire.sent == [data]


def test_what_is_held_up_holds_up_the_rest_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(Plan(5, delay=5, shortest_ms=1, longest_ms=2), monkeypatch)
    for each in CALLS:
        wire.send(each)
    assert 0 < len(wire.sent) < len(CALLS)
    while wire.timers:
        wire.timers.pop(0)()
    assert wire.sent == CALLS


def in_a_process(code: str, plan: str | None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    if plan is not None:
        environment[VARIABLE] = plan
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_without_a_plan_nothing_of_it_is_loaded_and_every_function_is_its_own() -> None:
    done = in_a_process(
        "import softgrid, sys\n"
        "from softgrid._io.link import Link\n"
        "assert not [name for name in sys.modules if '_chaos' in name]\n"
        "assert Link.send.__qualname__ == 'Link.send' and not hasattr(Link.send, '__wrapped__')\n",
        None,
    )
    assert done.returncode == 0, done.stderr


def test_a_plan_that_is_none_is_said_at_once() -> None:
    done = in_a_process("import softgrid", "kill=nowhere")
    assert done.returncode == 1
    assert "SOFTGRID_CHAOS" in done.stderr


def test_only_the_process_that_a_point_is_about_dies_there_and_only_once(tmp_path: Path) -> None:
    once = tmp_path / "once"
    code = "from softgrid import Orchestrator\nOrchestrator(logKwargs={'logToStdout': False}).disconnect(kill=False)"
    code += "\nprint('lives', flush=True)"  # at its end it may pass the point once more
    plan = f"kill=leaving;once={once}"
    assert in_a_process(code, plan).returncode == -signal.SIGKILL
    assert once.read_text().startswith("leaving ")
    assert in_a_process(code, plan).stdout == "lives\n"
    assert in_a_process(code, "kill=task-ended").stdout == "lives\n"
    assert in_a_process(code, "kill=leaving;nth=2").stdout == "lives\n"


STORY = """
from tests.system.grids import PREAMBLE
exec(PREAMBLE)
O = Orchestrator(logKwargs={'logToStdout': False})
manager = launch(O, 'Manager')[0]
workers = launch(O, 'Worker', manager, count=2)
runs = []
def run(executor, number):
    executor.__dict__.setdefault('_runs', []).append(number)
    return number
asked = list(range(60))
outcomes = []
for number in asked:
    template = O.get_transfer_template(run, (number,))
    template['first_argument_executor'] = True
    outcomes.append(O.transfer(template, workers[number % 2], collect=True, transferTimeout=0.5)[0])
answered = [outcome for outcome in outcomes if outcome is not None and outcome in asked]
failed = [outcome for outcome in outcomes if getattr(outcome, 'error', None)]
assert all('no answer' in status.error or 'within' in status.error for status in failed), failed[0].error
assert len(answered) + len(failed) == len(asked), outcomes
assert answered == sorted(set(answered))
say(len(answered), len(failed))
O.disconnect(kill=False)
"""


@pytest.mark.parametrize("plan", ["drop_request=5", "drop_reply=5", "duplicate=20", "delay=10:0:30"])
def test_each_call_is_answered_once_or_fails_in_time_whatever_becomes_of_its_messages(plan: str) -> None:
    done = in_a_process(STORY, f"seed=11;{plan}")
    assert done.returncode == 0, done.stderr
    answered, failed = map(int, done.stdout.split())
    assert (failed > 0) == plan.startswith("drop"), (answered, failed)


def test_the_guide_names_every_point_and_who_passes_it() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "faults.md").read_text()
    for point in POINTS.values():
        assert f"| `{point.name}` | {point.who} | {point.when} " in guide, point.name
