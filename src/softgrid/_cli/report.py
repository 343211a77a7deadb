"""What the demo tells at its end, as text.

`demo` gathers a `Run`, `report` turns it into the lines for standard output.  Pure: reads no
clock and asks no grid, so every line can be tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from softgrid._cli.wordcount import BatchResult, Tally

DIFFERENCES_SHOWN = 5


@dataclass
class Share:
    """What one worker did for the demo."""

    label: str
    pid: int
    batches: int = 0
    files: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, result: BatchResult) -> None:
        """Book one answered batch, and the process that says it ran it."""
        stats = result[1]
        self.pid = stats["pid"]
        self.batches += 1
        self.files += stats["files"]
        self.tokens += stats["tokens"]
        self.seconds += stats["seconds"]


@dataclass
class Run:
    """Everything that the report needs to know about one demo."""

    root: str
    size: int
    cores: int
    launch_s: float = 0.0
    grid_s: float = 0.0
    serial_s: float = 0.0
    relays: list[tuple[str, int]] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    grid: Tally = field(default_factory=Tally)
    serial: Tally = field(default_factory=Tally)

    @property
    def is_equal(self) -> bool:
        """Whether the grid counted exactly what the serial run counted."""
        return self.grid == self.serial


def report(run: Run, top: int) -> str:
    """The whole answer of the demo, one block per question."""
    blocks = [_identifiers(run, top), _executors(run), _verdict(run)]
    return "\n\n".join("\n".join(block) for block in blocks)


def _identifiers(run: Run, top: int) -> Iterator[str]:
    yield f"Identifiers of {run.root}"
    yield (
        f"{run.grid.files:,} files ({run.size / 1e6:.1f} MB), {run.grid.tokens:,} tokens, "
        f"{len(run.grid.counts):,} different names; "
        f"{_plural(len(run.grid.skipped), 'file')} skipped: not tokenisable"
    )
    yield ""
    for rank, (name, number) in enumerate(run.grid.top(top), start=1):
        yield f"{rank:>5}  {number:>9,}  {name}"


def _executors(run: Run) -> Iterator[str]:
    batches = sum(share.batches for share in run.shares)
    yield f"{'executor':<14}{'pid':>8}{'batches':>9}{'files':>8}{'tokens':>13}{'busy':>9}"
    for label, pid in run.relays:
        task = "cut, merged" if label == "orchestrator" else "passed on"
        yield f"{label:<14}{pid:>8}{batches:>9}  {task}"
    for share in run.shares:
        yield (
            f"{share.label:<14}{share.pid:>8}{share.batches:>9}{share.files:>8,}"
            f"{share.tokens:>13,}{share.seconds:>7.2f} s"
        )


def _verdict(run: Run) -> Iterator[str]:
    workers = _plural(len(run.shares), "worker")
    yield f"launch    {run.launch_s:.2f} s for the whole grid"
    if run.is_equal:
        yield "check     equal to a serial count of the same files"
    else:
        yield "check     DIFFERENT from a serial count of the same files"
        yield from _differences(run)
    yield (
        f"speed-up  {run.serial_s / run.grid_s:.2f} x: serial {run.serial_s:.2f} s, "
        f"grid {run.grid_s:.2f} s with {workers} on {_plural(run.cores, 'core')}"
    )


def _differences(run: Run) -> Iterator[str]:
    grid, serial = run.grid, run.serial
    for what in ("files", "tokens"):
        if getattr(grid, what) != getattr(serial, what):
            yield f"          {what}: grid {getattr(grid, what)}, serial {getattr(serial, what)}"
    for path in sorted(grid.skipped ^ serial.skipped)[:DIFFERENCES_SHOWN]:
        side = "grid" if path in grid.skipped else "serial run"
        yield f"          {path}: skipped by the {side} only"
    names = sorted(name for name in grid.counts | serial.counts if grid.counts[name] != serial.counts[name])
    for name in names[:DIFFERENCES_SHOWN]:
        yield f"          {name}: grid {grid.counts[name]}, serial {serial.counts[name]}"
    if len(names) > DIFFERENCES_SHOWN:
        yield f"          and {len(names) - DIFFERENCES_SHOWN} more names"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
