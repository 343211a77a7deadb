"""What is measured: the workloads, their figures, their goals, and who takes part.

Read by the command line, the summary and the page. It holds no measurement and runs nothing:
how a peer does a workload is in ``benchmarks.peers``. Goals are those of the project's plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Relation = Literal["value", "ratio", "extra"]

FLOOR = "floor"
SOFTGRID = "softgrid"
ONE_CORE = "-one-core"
PEERS = ("futures", "mpi4py", "ray", "dask", "ipyparallel")


@dataclass(frozen=True)
class Goal:
    """A bound on softgrid's figure: on itself, or on its ratio or difference to *base*."""

    bound: float
    relation: Relation = "value"
    base: str = FLOOR
    at_most: bool = True


@dataclass(frozen=True)
class Metric:
    """One figure of a workload; *beside* says how it is set against the floor in the table."""

    key: str
    title: str
    unit: str
    goal: Goal | None = None
    beside: Relation = "ratio"


@dataclass(frozen=True)
class Workload:
    """One thing to do, in fresh processes, by each of *takers* in turn."""

    key: str
    title: str
    how: str
    metrics: tuple[Metric, ...]
    takers: tuple[str, ...]
    deadline_s: float
    repeats_factor: int = 1
    warm_rounds: int = 0


_EVERYBODY = (FLOOR, SOFTGRID, *PEERS)
_ON_ONE_CORE = (FLOOR + ONE_CORE, SOFTGRID + ONE_CORE)

WORKLOADS: tuple[Workload, ...] = (
    Workload(
        "rtt1",
        "Round trip of a no-op call to one given worker, 1 hop",
        "p50 of 3,000 calls in a row, each waited for, after 300 that are not counted. Floor: the "
        "call pickled, sent over a blocking Unix socket pair, unpickled, called, and the answer "
        "likewise, in plain Python. `-one-core`: all processes of the run held on one core, set "
        "against the floor held likewise; no core sleeps there and none must be woken, so that "
        "what is left is code. The goal is for processes that the system places as it likes.",
        (Metric("p50_us", "p50", "µs", Goal(2.5, "ratio")),),
        (*_EVERYBODY, *_ON_ONE_CORE),
        deadline_s=90,
    ),
    Workload(
        "rtt3",
        "Round trip of a no-op call through a router and a manager, 3 hops",
        "As above, against the same 1-hop floor. `floor-relayed`: the floor through two blocking "
        "relay processes. No peer has relays.",
        (Metric("p50_us", "p50", "µs", Goal(5, "ratio")),),
        (FLOOR, SOFTGRID, "floor-relayed", *_ON_ONE_CORE),
        deadline_s=90,
    ),
    Workload(
        "request",
        "A request and its response between the orchestrator and a worker, over a plain call",
        "A cycle is `transfer_request_to_responder` and `wait_for_response` on one side, `wait_for_request` and "
        "`transfer_response_to_requester` on the other. Blocks of 100 calls of the no-op, of 100 cycles in which the "
        "orchestrator asks a function in the worker's main thread, and of 100 cycles in which a function beside the "
        "worker's queue asks the orchestrator take turns in one run, 40 times; the first 10 of each are not counted. "
        "p50 of all cycles over p50 of all calls.",
        (
            Metric("x_call", "cycle, the orchestrator asks", "x call", Goal(1.3, base=SOFTGRID), beside="value"),
            Metric("back_x_call", "cycle, the worker asks", "x call", Goal(1.3, base=SOFTGRID), beside="value"),
            Metric("call_us", "p50 of the call", "µs", beside="value"),
        ),
        (SOFTGRID,),
        deadline_s=90,
    ),
    Workload(
        "throughput",
        "Many no-op calls over 2 workers",
        "20,000 calls handed over at once and all results taken; softgrid: one `transfer` to a "
        "list of 20,000 receivers, `collect=True`; futures: `submit` each, then `result`. Floor: "
        "each call pickled alone, 256 in flight per blocking socket.",
        (Metric("calls_s", "calls", "1/s", Goal(2, "ratio", "futures", at_most=False)),),
        _EVERYBODY,
        deadline_s=120,
    ),
    Workload(
        "grid211",
        "A grid of 211: launch, memory, idling",
        "Orchestrator, 15 routers, 35 managers, 160 workers: from before the orchestrator is made "
        "until each executor has answered a call; then PSS of every process of the run over the "
        "number of executors; then CPU of every process of the run while nothing is asked for "
        "20 s. Floor: 211 times `os.fork` and one ping over a socket pair.",
        (
            Metric("launch_s", "launch and first answers", "s", Goal(2.5), beside="value"),
            Metric("launch_each_ms", "launch, per executor", "ms"),
            Metric("pss_mib", "PSS per executor", "MiB", Goal(5)),
            Metric("idle_pct", "idle CPU by clock ticks", "% of a core", Goal(2), beside="value"),
            Metric("idle_sched_pct", "idle CPU by schedstat", "% of a core", beside="value"),
        ),
        _EVERYBODY,
        deadline_s=150,
    ),
    Workload(
        "import",
        "Importing",
        "Wall time of `python -c 'import …'` as a fresh process. Floor: `python -c pass`.",
        (Metric("wall_ms", "wall", "ms", Goal(60, "extra"), beside="extra"),),
        _EVERYBODY,
        deadline_s=60,
        repeats_factor=3,
        warm_rounds=1,
    ),
    Workload(
        "first_result",
        "From imported to the first result of a grid of one worker",
        "Floor: one `os.fork` and one pickled call over a socket pair.",
        (Metric("ready_ms", "first result", "ms", Goal(150)),),
        _EVERYBODY,
        deadline_s=90,
        warm_rounds=1,
    ),
)


def workload(key: str) -> Workload:
    """Find a workload by its key."""
    for candidate in WORKLOADS:
        if candidate.key == key:
            return candidate
    accepted = ", ".join(candidate.key for candidate in WORKLOADS)
    raise ValueError(f"no workload {key!r}; accepted: {accepted}")


def stem(taker: str) -> str:
    """The taker without its variant: ``floor`` of ``floor-one-core``."""
    return taker.partition("-")[0]


def base_of(taker: str, base: str) -> str:
    """What *taker* is set against: *base*, held on one core where *taker* is."""
    return base + ONE_CORE if taker.endswith(ONE_CORE) else base
