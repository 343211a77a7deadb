"""``python -m benchmarks.model``: grids that do not fit on this machine, on paper.

Takes what an executor costs its orchestrator in a real grid (``docs/growth.json``, written with the page of the
benchmarks), measures in this process what the tables of a large grid cost, and extends both to a million executors. The
tables go between the marks of ``docs/scaling.md``; what follows from them is written there by hand.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.growth import Figures
from benchmarks.table import aligned, figure
from softgrid._model.names import GridName
from softgrid._state.tree import Tree
from softgrid._wire.control import decode_control, encode_control

MEMBERS = 100_000
DEATHS = 1_000
FAN_OUT = 50
PER_MACHINE = 160
SIZES = (1_000, 10_000, 100_000, 1_000_000)
_MARKED = re.compile(r"(?<=<!-- model -->\n).*?(?=<!-- end of model -->)", re.DOTALL)


class Tables(NamedTuple):
    """What the tables of one executor cost, per executor below it."""

    joined_bytes: float
    member_bytes: float
    joined_us: float
    names_us: float
    death_us: float


# -- measured in this process ----------------------------------------------------------------------


def measure_tables(members: int = MEMBERS) -> Tables:
    """Let as many executors join a tree as they would over the wire, three levels below, and some of them die."""
    top = _name("orchestrator", 0)
    messages = [_joined(top, number) for number in range(members)]
    kept = _allocated_bytes(top, messages)
    start = time.process_time()
    tree = _joined_tree(top, messages)
    joined_s = time.process_time() - start
    size = sum(map(len, messages)) / members
    dying = [_name("worker", number) for number in range(0, members, max(1, members // DEATHS))]
    return Tables(
        size,
        kept / members,
        1e6 * joined_s / members,
        _us_each(members, lambda: tree.names("worker")),
        _us_each(len(dying), lambda: [tree.leave(name, "killed by signal 9 (SIGKILL)") for name in dying]),
    )


def _joined_tree(top: str, messages: list[bytes]) -> Tree[None]:
    tree: Tree[None] = Tree(top, "orchestrator")
    for message in messages:
        _join(tree, message)
    return tree


def _allocated_bytes(top: str, messages: list[bytes]) -> int:
    """What a tree of them keeps: traced, since pages that were free before would hide it from the resident size."""
    tracemalloc.start()
    try:
        tree = _joined_tree(top, messages)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        del tree
        return kept
    finally:
        tracemalloc.stop()


def _join(tree: Tree[None], body: bytes) -> None:
    """What every hop does with a ``joined``: read it, keep it, say it again."""
    message = decode_control(body)
    tree.join(message["name"], tuple(message["path"]), None, cores=message["cores"], now_utc=message["utc"])
    encode_control(message)


def _joined(top: str, number: int) -> bytes:
    manager = number // FAN_OUT
    path = [top, _name("router", manager // FAN_OUT), _name("manager", manager)]
    return encode_control(
        {"op": "joined", "name": _name("worker", number), "path": path, "cores": 64, "utc": 1.75e9, "allows_udf": True}
    )


def _name(role: str, number: int) -> str:
    machine = number // PER_MACHINE
    address = f"10.{machine >> 16 & 255}.{machine >> 8 & 255}.{machine & 255}"
    return str(GridName(role, role.capitalize(), address, 4_000_000 - number, 5000 + number % 60_000))  # type: ignore[arg-type]


def _us_each(count: int, work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return 1e6 * (time.process_time() - start) / count


# -- on paper --------------------------------------------------------------------------------------


def constants_table(tables: Tables, grid: Figures) -> str:
    """What was measured."""
    rows = [
        ("launching an executor, CPU of the orchestrator", f"{figure(grid.top_launch_us)} µs"),
        ("launching an executor, CPU of its machine", f"{figure(grid.launch_cpu_ms)} ms"),
        ("a call and its answer, CPU of the orchestrator", f"{figure(grid.top_call_us)} µs"),
        ("a log record, CPU of the orchestrator", f"{figure(grid.top_record_us)} µs"),
        ("an idle executor: CPU, memory", f"{figure(grid.idle_ppm)} millionths of a core, {figure(grid.pss_kib)} KiB"),
        ("a `joined` on the wire", f"{figure(tables.joined_bytes)} bytes"),
        ("a `joined` at each hop: read, kept, said again", f"{figure(tables.joined_us)} µs"),
        ("an executor in the tables of each executor above it", f"{figure(tables.member_bytes)} bytes"),
        ("a death at each hop, however many are in the table", f"{figure(tables.death_us)} µs"),
        ("the property `workers`, for each executor in the table", f"{figure(tables.names_us)} µs"),
    ]
    return aligned([("constant", "value"), *rows])


def model_table(tables: Tables, grid: Figures) -> str:
    """What follows for large grids."""
    rows: list[tuple[str, Callable[[int], str]]] = [
        ("machines, of 160 executors each", lambda n: f"{max(1, n // PER_MACHINE):,}"),
        ("orchestrator: launching", lambda n: duration(n * grid.top_launch_us)),
        ("orchestrator: tables", lambda n: memory(n * tables.member_bytes)),
        ("a router below it: tables", lambda n: memory(n / FAN_OUT * tables.member_bytes)),
        ("orchestrator: a call to all, with answers", lambda n: duration(n * grid.top_call_us)),
        ("orchestrator: a tenth of all die, one by one", lambda n: duration(n / 10 * tables.death_us)),
        ("orchestrator: each executor may say a record every", lambda n: duration(n * grid.top_record_us)),
        ("orchestrator: joins, bytes received", lambda n: memory(n * tables.joined_bytes)),
        ("two names with one id, probability", lambda n: f"{n * n / 2**65:.0e}"),
    ]
    head = ["executors", *(f"{size:,}" for size in SIZES)]
    return aligned([head, *([name, *map(of, SIZES)] for name, of in rows)])


def duration(microseconds: float) -> str:
    """Microseconds for reading."""
    for limit, divisor, unit in ((1e3, 1.0, "µs"), (1e6, 1e3, "ms"), (120e6, 1e6, "s"), (7200e6, 60e6, "min")):
        if microseconds < limit:
            return f"{figure(microseconds / divisor)} {unit}"
    return f"{figure(microseconds / 3600e6)} h" if microseconds < 48 * 3600e6 else f"{figure(microseconds / 86400e6)} d"


def memory(size: float) -> str:
    """Bytes for reading."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{figure(size)} {unit}"
        size /= 1024
    return f"{figure(size)} GiB"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, and renew them in a page if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__)
    parser.add_argument("--figures", type=Path, default=Path("docs/growth.json"), metavar="docs/growth.json")
    parser.add_argument("--write", type=Path, metavar="docs/scaling.md")
    options = parser.parse_args(argv)
    grid = Figures(**json.loads(options.figures.read_text())[-1])
    tables = measure_tables()
    text = f"\n{constants_table(tables, grid)}\n\n{model_table(tables, grid)}\n\n"
    print(text)
    if options.write:
        page, count = _MARKED.subn(lambda match: text, options.write.read_text())
        if not count:
            parser.error(f"{options.write} has no marks <!-- model --> and <!-- end of model -->")
        options.write.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
