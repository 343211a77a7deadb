"""A picture of a speed assessment: the time of every transfer in both directions, and their medians."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from softgrid._insight.canvas import check_can_draw, new_figure
from softgrid._insight.quantities import time_unit
from softgrid._insight.speed import TransferSpeed

WIDE = 8.0
STYLES = (("#1f6fb4", "o"), ("#d9661f", "s"))


def draw_speed(speeds: Sequence[TransferSpeed]) -> Any:
    """Draw the first two of *speeds*, forth and back, and give the matplotlib figure; raises NotInstalled."""
    check_can_draw()
    from matplotlib.ticker import MaxNLocator

    ways = speeds[:2]
    factor, unit = time_unit(max(way.median_s for way in ways))
    figure = new_figure((7.5, 4.2))
    axes = figure.add_subplot()
    rounds = range(1, len(ways[0].times_s) + 1)
    for way, (colour, marker) in zip(ways, STYLES, strict=True):
        times = [seconds * factor for seconds in way.times_s]
        label = f"{way.direction}: {way.summary()}"
        axes.plot(rounds, times, ls="", marker=marker, ms=5, color=colour, label=label)
        axes.axhline(way.median_s * factor, ls="--", lw=1.2, color=colour)
    _scale(axes, [seconds * factor for way in ways for seconds in way.times_s])
    axes.set_xlim(0.5, len(rounds) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("transfer")
    axes.set_ylabel(f"time / {unit}")
    axes.grid(axis="y", lw=0.4)
    title = f"from {ways[0].sender}\nto {ways[0].receiver} and back"
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.legend(title="medians", fontsize=9, title_fontsize=9, loc="best")
    figure.tight_layout()
    return figure


def _scale(axes: Any, times: list[float]) -> None:
    """Begin at zero, so that lengths can be compared; but let one slow transfer not squash all others."""
    if max(times) <= WIDE * max(min(times), 1e-9):
        axes.set_ylim(bottom=0)
        return
    from matplotlib.ticker import LogLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
