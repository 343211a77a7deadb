"""A picture of a grid: who stands under whom, and which bridges shorten the way.

Called by the facade of `GridGraph` with names and pairs of names.  Draws what `sketch` has measured
out and decides how it looks.  matplotlib is imported when something is drawn; nothing is shown or
saved, the figure is returned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from softgrid._insight.canvas import new_figure
from softgrid._insight.sketch import Sketch, make_sketch
from softgrid._model.roles import Role

COLOURS: dict[Role, str] = {
    "orchestrator": "#f0605a",
    "router": "#62c370",
    "manager": "#6ea6f0",
    "worker": "#ffd84d",
}
"""Red, green, blue and yellow, light enough to carry black text."""

LARGEST = 15.0
_INCH = 72.0  # points
_LEGEND_HEIGHT = 0.45  # inches
_TITLE_HEIGHT = 0.4


def draw_graph(
    names: Iterable[str],
    edges: Iterable[tuple[str, str]],
    bridges: Iterable[tuple[str, str]] = (),
    *,
    labels_format: str = "${role}\n${pid}",
    title: str | None = None,
    largest: float = LARGEST,
    axes: Any = None,
) -> Any:
    """Draw a grid and give the matplotlib figure.

    *names* are grid unique names, *edges* pairs of an upgrid and its downgrid, *bridges* pairs in
    any order.  *labels_format* is a `string.Template` of role, name, address, pid and port.  The
    figure is as large as it must be to be read, at most *largest* inches wide and high; with
    *axes* it is drawn into those.  Raises BadArgument, or NotInstalled without matplotlib.
    """
    sketch = make_sketch(list(names), list(edges), list(bridges), labels_format)
    if axes is None:
        figure, axes = _new_figure(sketch, title, largest)
    else:
        figure = axes.figure
        if title is not None:
            axes.set_title(title)
    _prepare(axes, sketch)
    scale = _points_per_inch(axes, sketch)
    _draw_edges(axes, sketch, scale)
    _draw_bridges(axes, sketch, scale)
    _draw_nodes(axes, sketch, scale)
    _draw_labels(axes, sketch, scale)
    _draw_legend(axes, sketch)
    return figure


def _new_figure(sketch: Sketch, title: str | None, largest: float) -> tuple[Any, Any]:
    extra = _LEGEND_HEIGHT + (_TITLE_HEIGHT if title else 0.0)
    shrink = min(1.0, largest / sketch.width, (largest - extra) / sketch.height)
    width = max(sketch.width * shrink, 4.5)
    height = sketch.height * shrink + extra
    figure = new_figure((width, height))
    bottom = _LEGEND_HEIGHT / height
    axes = figure.add_axes((0.0, bottom, 1.0, sketch.height * shrink / height))
    if title:
        figure.suptitle(title, y=1 - 0.1 / height, va="top", fontsize=12)
    return figure, axes


def _prepare(axes: Any, sketch: Sketch) -> None:
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(sketch.left, sketch.left + sketch.width)
    axes.set_ylim(sketch.bottom, sketch.bottom + sketch.height)


def _points_per_inch(axes: Any, sketch: Sketch) -> float:
    """How many points an inch of the sketch has in these axes: text and nodes shrink with it."""
    box = axes.get_window_extent().transformed(axes.figure.dpi_scale_trans.inverted())
    return float(_INCH * min(1.0, box.width / sketch.width, box.height / sketch.height))


def _draw_edges(axes: Any, sketch: Sketch, scale: float) -> None:
    from matplotlib.collections import LineCollection

    lines = [((a.x, a.y), (b.x, b.y)) for a, b in sketch.edges]
    width = sketch.line_width * scale / _INCH
    axes.add_collection(LineCollection(lines, colors="black", linewidths=width, zorder=1))


def _draw_bridges(axes: Any, sketch: Sketch, scale: float) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for start, bend, end in sketch.bridges:
        path = Path([start, bend, end], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        axes.add_patch(
            PathPatch(
                path,
                fill=False,
                edgecolor="red",
                linestyle=(0, (0.4, 1.8)),
                capstyle="round",
                linewidth=max(1.6, 1.9 * sketch.line_width) * scale / _INCH,
                zorder=2,
            )
        )


def _draw_nodes(axes: Any, sketch: Sketch, scale: float) -> None:
    for role, colour in COLOURS.items():
        nodes = [node for node in sketch.nodes if node.name.role == role]
        axes.scatter(
            [node.x for node in nodes],
            [node.y for node in nodes],
            s=[(node.across * scale) ** 2 for node in nodes],
            c=colour,
            edgecolors="#333333",
            linewidths=0.6 * sketch.line_width * scale / _INCH,
            zorder=3,
        )


def _draw_labels(axes: Any, sketch: Sketch, scale: float) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=1.6, foreground="white", alpha=0.75)]
    for node in sketch.nodes:
        label = node.label
        axes.text(
            label.x,
            label.y,
            label.text,
            fontsize=label.size * scale / _INCH,
            rotation=label.rotation,
            rotation_mode="anchor",
            ha=label.anchor,
            va="center",
            linespacing=1.1,
            parse_math=False,
            path_effects=None if label.is_inside else halo,
            zorder=4,
        )


def _draw_legend(axes: Any, sketch: Sketch) -> None:
    from matplotlib.lines import Line2D

    counts = Counter(node.name.role for node in sketch.nodes)
    entries = [
        Line2D([], [], ls="", marker="o", ms=9, mfc=colour, mec="#333333", label=_counted(role, n))
        for role, colour in COLOURS.items()
        if (n := counts[role])
    ]
    if sketch.bridges:
        label = _counted("bridge", len(sketch.bridges))
        entries.append(Line2D([], [], color="red", ls=(0, (0.4, 1.8)), lw=2.2, label=label))
    axes.legend(
        handles=entries,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=len(entries),
        frameon=False,
        fontsize=9,
        handletextpad=0.3,
        columnspacing=1.2,
    )


def _counted(noun: str, count: int) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
