"""The picture of how costs per executor change as the grid grows; a line that stays level is linear growth.

Called by the command line when a page is written. It measures nothing and knows no peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import Figures

Panel = tuple[str, str, tuple[tuple[str, str], ...]]

PANELS: tuple[Panel, ...] = (
    ("launch", "ms", (("launch_ms", "wall"), ("launch_cpu_ms", "CPU, all processes"))),
    ("broadcast call", "µs", (("call_us", "wall"), ("call_cpu_us", "CPU, all processes"))),
    ("memory (PSS)", "KiB", (("pss_kib", "all processes"),)),
    ("launch, CPU of the orchestrator alone", "µs", (("top_launch_us", "launch"),)),
    ("messages, CPU of the orchestrator alone", "µs", (("top_call_us", "a call"), ("top_record_us", "a log record"))),
    ("idle CPU", "millionths of a core", (("idle_ppm", "all processes"),)),
)
COLOURS = ("#1f5fa8", "#c2571a")


def draw(figures: Sequence[Figures], path: Path) -> None:
    """Draw the costs per executor over the size of the grid; needs matplotlib."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 6.2), layout="constrained")
    for axes, panel in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
        _draw_panel(axes, panel, figures)
    figure.suptitle("Cost per executor as the grid grows (level: linear growth)", fontsize=12)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "softgrid"}):  # small, and the same for the same figures
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_panel(axes: Any, panel: Panel, figures: Sequence[Figures]) -> None:
    title, unit, lines = panel
    sizes = [each.executors for each in figures]
    for (cost, label), colour in zip(lines, COLOURS, strict=False):
        axes.plot(sizes, [getattr(each, cost) for each in figures], "o-", color=colour, label=label, markersize=4)
    axes.set_title(title, fontsize=10)
    axes.set_ylabel(f"{unit} per executor", fontsize=9)
    axes.set_xlabel("executors", fontsize=9)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size}" if size < 1000 else f"{size / 1000:g}k" for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend(fontsize=8, frameon=False)
