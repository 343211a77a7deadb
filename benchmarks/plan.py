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
PEERS = ("futures", "managers", "mpi4py", "ray", "dask", "ipyparallel")
AFAR = ("mitogen", "execnet", "dask")
"""Peers over ssh."""
LIBRARIES = ("pandas",)
"""Peers of what is no grid."""


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
    """One thing to do, in fresh processes, by each of *takers* in turn; by those in *once* in the first round only."""

    key: str
    title: str
    how: str
    metrics: tuple[Metric, ...]
    takers: tuple[str, ...]
    deadline_s: float
    repeats_factor: int = 1
    warm_rounds: int = 0
    most_rounds: int = 100
    once: tuple[str, ...] = ()
    picture: str | None = None


_EVERYBODY = (FLOOR, SOFTGRID, *PEERS)
_COPIES = "x a.copy()"
_ON_ONE_CORE = (FLOOR + ONE_CORE, SOFTGRID + ONE_CORE)


def _bulk_metrics() -> tuple[Metric, ...]:
    return (
        Metric("sum_x", "sum", _COPIES, Goal(1.3), beside="value"),
        Metric("echo_x", "echo", _COPIES, Goal(1.6), beside="value"),
        Metric("write_x", "written to", _COPIES, beside="value"),
        Metric("first_x", "the first sum", _COPIES, beside="value"),
        Metric("sum_relayed_x", "sum, through a router and a manager", "x one hop", Goal(1.1), beside="value"),
        Metric("echo_relayed_x", "echo, through a router and a manager", "x one hop", Goal(1.1), beside="value"),
        Metric("copy_ms", "a.copy()", "ms", beside="value"),
    )


def _broadcast_metrics(bound: float) -> tuple[Metric, ...]:
    return (
        Metric("hold_x", "all have it", _COPIES, Goal(bound), beside="value"),
        Metric("memory_x", "memory", "x the array", Goal(1.2), beside="value"),
        Metric("first_x", "the first time", _COPIES, beside="value"),
        Metric("copy_ms", "a.copy()", "ms", beside="value"),
    )


def _growth_metrics(key: str, title: str, unit: str) -> tuple[Metric, ...]:
    return (
        Metric(key, f"{title}, per executor at 1000", unit, beside="value"),
        Metric(f"{key}_exponent", f"{title}, total", "exponent", Goal(1.05), beside="value"),
    )


def _far_bulk_metrics(unit: str, bound: float) -> tuple[Metric, ...]:
    return (
        Metric("there_x", "there", unit, Goal(bound, at_most=False), beside="value"),
        Metric("back_x", "back", unit, Goal(bound, at_most=False), beside="value"),
        Metric("there_mb_s", "there", "MB/s", beside="value"),
        Metric("back_mb_s", "back", "MB/s", beside="value"),
    )


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
        "bridge",
        "Round trip of a no-op call over a bridge, between workers of two managers",
        "As above, but called by a worker. `softgrid-hop`: orchestrator to worker, 1 hop, in the "
        "same run, which is what the goal is set against. `softgrid-tree`: the same two workers "
        "without a bridge, 4 hops. Floor: 1 hop, as above. No peer has bridges.",
        (Metric("p50_us", "p50", "µs", Goal(1.3, "ratio", "softgrid-hop")),),
        (FLOOR, SOFTGRID, "softgrid-hop", "softgrid-tree"),
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
    Workload(
        "ssh_first",
        "From nothing to the first result of a bare machine over ssh, and 16 workers more there",
        "The machine is an sshd on loopback whose account has a Python without packages; each repeat has a new one. "
        "*First*: from before the grid is made; set against `ssh host python3 -c 1` in the same process. *16 more*: "
        "until each has answered a call; mitogen and execnet start them by way of the first. Dask's workers run in a "
        "Python in which dask is installed.",
        (
            Metric("first_s", "first", "s", Goal(1.5), beside="value"),
            Metric("first_x", "first", "x ssh python3 -c 1", Goal(3), beside="value"),
            Metric("more_s", "16 more", "s", Goal(0.3), beside="value"),
        ),
        (SOFTGRID, *AFAR),
        deadline_s=90,
    ),
    Workload(
        "ssh_bulk",
        "64 MiB to a process over ssh, and back",
        "Such a machine. Set against `ssh host 'cat >/dev/null'` and `ssh host head` in the same process, in turns: 4 "
        "after 1 that warms both. Dask's data does not go over ssh but beside it, in plain text.",
        _far_bulk_metrics("x ssh", 0.8),
        (SOFTGRID, *AFAR),
        deadline_s=90,
    ),
    Workload(
        "tls_bulk",
        "64 MiB to a worker that joined by hand, and back",
        "Set against two processes that talk TLS 1.3 over one loopback connection in plain Python, in turns.",
        _far_bulk_metrics("x TLS pair", 0.8),
        (SOFTGRID,),
        deadline_s=90,
    ),
    Workload(
        "weak_link",
        "A machine behind a weak link: 20 ms to and fro, 1 % of the packets lost, 50 Mbit/s",
        "A machine as above in a network of its own, behind a pair of TUN devices and a process that delays and drops "
        "packets. 4 MiB there and back against ssh alone, in turns; a no-op call against the time in which a TCP "
        "connection stands, which is one round trip.",
        (
            Metric("call_x", "call", "x round trip", Goal(1.2), beside="value"),
            Metric("call_ms", "call", "ms", beside="value"),
            *_far_bulk_metrics("x ssh", 0.9),
        ),
        (SOFTGRID,),
        deadline_s=120,
    ),
    Workload(
        "tables",
        "A typed table to disk and back",
        "200,000 rows of an integer, a float, a text and an integer, with commas between: 8 MB. Written "
        "from a list of rows and read into one, three times in a process, of which the median counts. "
        "pandas: `to_csv` of a frame that is there, `read_csv` with the types and `values.tolist()`; "
        "`pandas-frames`: `to_csv` of a frame made of the rows, and `read_csv` alone, without the Python "
        "objects that rows are made of. Floor: the module csv, and the type of each column. Only "
        "softgrid waits until the file is on disk.",
        (
            Metric("dump_ms", "write", "ms", Goal(2, "ratio", "pandas")),
            Metric("pull_ms", "read", "ms", Goal(2, "ratio", "pandas")),
            Metric("iter_ms", "read 1,000 rows at a time", "ms"),
        ),
        (FLOOR, SOFTGRID, "pandas", "pandas-frames"),
        deadline_s=120,
    ),
    Workload(
        "bulk64",
        "64 MB of doubles to a worker and its sum back, an echo, and written to there",
        "Against `a.copy()` of the same array in the same process, the two taking turns: 12 iterations after 2 that "
        "warm both, or as many as fit into 2.5 s (at 512 MB 6.4 s), at least 1 after 1; the array differs at each "
        "call and the answer is checked. The copy gets its pages from the allocator each time, as in any program. "
        "*Written to*: the worker adds 1 to every element. *First*: the first call of all against the median copy. "
        "*Through a router and a manager*: three hops against one, in turns. Floor: copied into memory that driver "
        "and worker have shared from the beginning, a byte over a socket, copied out again.",
        _bulk_metrics(),
        _EVERYBODY,
        deadline_s=60,
        most_rounds=4,
    ),
    Workload(
        "bulk512",
        "512 MB of doubles to a worker and its sum back, an echo, and written to there",
        "As above; peers that copy the array into a pickle take part in one round only, since they are slow.",
        _bulk_metrics(),
        _EVERYBODY,
        deadline_s=90,
        most_rounds=3,
        once=("futures", "managers", "mpi4py", "ipyparallel"),
    ),
    Workload(
        "broadcast16",
        "64 MB of doubles to 16 workers that keep them",
        "One array to all workers, each of which answers when it has it and keeps it; against `a.copy()` in turns, 8 "
        "times or for 3 s, after one that warms both. *Memory*: growth of the PSS of all processes from before the "
        "first to while all hold it, against the size of the array. softgrid: one `transfer` to 'workers', which "
        "stand below two managers. Floor: copied once into memory that all have shared from the beginning.",
        _broadcast_metrics(1.5),
        _EVERYBODY,
        deadline_s=90,
        most_rounds=3,
    ),
    Workload(
        "broadcast160",
        "64 MB of doubles to 160 workers that keep them",
        "As above, in the grid of 211. Peers would need 10 GB for it.",
        _broadcast_metrics(3.0),
        (FLOOR, SOFTGRID),
        deadline_s=90,
    ),
    Workload(
        "metg",
        "How small a task may be: METG(50 %), stencil, 2 workers",
        "Task Bench (Slaughter et al., SC20): steps of two tasks, each of which needs what both gave in the step "
        "before; the granularity (workers x wall / tasks) at which half of the rate is left that two bare processes "
        "have which wait for nobody, measured in turns. The kernel is a loop of plain Python. ray and dask get all "
        "steps at once, with results as dependencies; with the others the driver waits for each step. Floor: a "
        "blocking socket to each worker.",
        (
            Metric("metg_ms", "METG(50 %)", "ms", Goal(0.3)),
            Metric("step_ms", "a step of empty tasks", "ms"),
        ),
        _EVERYBODY,
        deadline_s=90,
        most_rounds=3,
    ),
    Workload(
        "overtake",
        "Small calls over a relay while bulk flows through it",
        "A manager with three workers: the first sends 64 MB arrays to the second without waiting, more than a GB in "
        "all; the orchestrator calls a no-op at the third, idle and beside the flow in turns. *Streamed*: on links "
        "that pass no descriptors, as between machines, so that every byte passes the relay.",
        (
            Metric("idle_p99_us", "p99 idle", "µs", beside="value"),
            Metric("flow_p99_us", "p99 beside the flow", "µs", beside="value"),
            Metric("flow_p99_x", "p99 beside the flow", "x idle", Goal(5), beside="value"),
            Metric("streamed_p99_us", "p99 beside the flow, streamed", "µs", beside="value"),
            Metric("streamed_p99_x", "p99 beside the flow, streamed", "x idle", Goal(5), beside="value"),
            Metric("streamed_mb_s", "the flow, streamed", "MB/s", beside="value"),
        ),
        (SOFTGRID,),
        deadline_s=90,
    ),
    Workload(
        "growing",
        "Growth: grids of 10, 100, 500 and 1000 executors",
        "Costs per executor at 1000, in the proportions of the grid of 211, the orchestrator and the supervisor "
        "included; and the exponent with which the total grows from 100 to 1000 executors, where 1 is linear and 1.05 "
        "may be noise. A broadcast call is one transfer of a no-op to all executors below. Idle: 5 s.",
        (
            *_growth_metrics("launch_ms", "launch", "ms"),
            *_growth_metrics("launch_cpu_ms", "launch, CPU of all processes", "ms"),
            *_growth_metrics("call_us", "broadcast call", "µs"),
            *_growth_metrics("call_cpu_us", "broadcast call, CPU of all processes", "µs"),
            *_growth_metrics("idle_ppm", "idle CPU", "millionths of a core"),
            *_growth_metrics("pss_kib", "memory (PSS)", "KiB"),
            *_growth_metrics("top_launch_us", "launch, CPU of the orchestrator", "µs"),
            *_growth_metrics("top_call_us", "broadcast call, CPU of the orchestrator", "µs"),
            Metric("top_record_us", "a log record, CPU of the orchestrator, at 1000", "µs", beside="value"),
        ),
        (SOFTGRID,),
        deadline_s=170,
        most_rounds=2,
        picture="growth.svg",
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
