"""The drawn picture, read back from matplotlib: colours, lines, labels, and every kind of canvas."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import colors, pyplot  # noqa: E402
from matplotlib.collections import LineCollection, PathCollection  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import PathPatch  # noqa: E402

from softgrid._insight.graph import COLOURS, draw_graph  # noqa: E402
from softgrid._model.errors import BadArgument, NotInstalled  # noqa: E402

ORCHESTRATOR = "orchestrator|O@10.0.0.7[100]:5000"
ROUTER = "router|R@10.0.0.7[101]:5001"
MANAGER = "manager|M@10.0.0.7[102]:5002"
WORKERS = [f"worker|W@10.0.0.7[{103 + number}]:{5003 + number}" for number in range(3)]
NAMES = [ORCHESTRATOR, ROUTER, MANAGER, *WORKERS]
EDGES = [(ORCHESTRATOR, ROUTER), (ROUTER, MANAGER), *((MANAGER, worker) for worker in WORKERS)]
BRIDGES = [(WORKERS[0], ORCHESTRATOR), (WORKERS[1], ROUTER)]


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def found(figure: Any, kind: type) -> list[Any]:
    (axes,) = figure.axes
    return [artist for artist in axes.get_children() if type(artist) is kind]


def labels(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_each_role_has_its_colour() -> None:
    by_colour = {
        colors.to_hex(nodes.get_facecolor()[0]): len(nodes.get_offsets())
        for nodes in found(draw_graph(NAMES, EDGES), PathCollection)
        if len(nodes.get_offsets())
    }
    assert by_colour == {
        COLOURS["orchestrator"]: 1,
        COLOURS["router"]: 1,
        COLOURS["manager"]: 1,
        COLOURS["worker"]: 3,
    }


@pytest.mark.parametrize(("role", "hue"), [("orchestrator", 0), ("router", 120), ("manager", 215), ("worker", 50)])
def test_the_colours_are_red_green_blue_and_yellow(role: str, hue: int) -> None:
    red_green_blue = colors.to_rgb(COLOURS[role])  # type: ignore[index]
    assert colors.rgb_to_hsv(red_green_blue)[0] * 360 == pytest.approx(hue, abs=12)


def test_tree_edges_are_solid_and_black_and_join_their_nodes() -> None:
    (edges,) = found(draw_graph(NAMES, EDGES), LineCollection)
    assert len(edges.get_segments()) == len(EDGES)
    assert colors.to_hex(edges.get_color()[0]) == "#000000"
    assert edges.get_linestyle() == [(0, None)]


def test_bridges_are_dotted_and_red() -> None:
    bridges = found(draw_graph(NAMES, EDGES, BRIDGES), PathPatch)
    assert len(bridges) == 2
    for bridge in bridges:
        assert colors.to_hex(bridge.get_edgecolor()) == "#ff0000"
        assert bridge.get_linestyle()[1] is not None, "a solid line has no dashes"
        assert not bridge.get_fill()
    assert found(draw_graph(NAMES, EDGES), PathPatch) == []


def test_labels_follow_the_format() -> None:
    assert labels(draw_graph(NAMES[:2], EDGES[:1])) == ["orchestrator\n100", "router\n101"]
    every = "${role}\n${name}\n${pid}\n${address}\n${port}"
    assert labels(draw_graph([ROUTER], [], labels_format=every)) == ["router\nR\n101\n10.0.0.7\n5001"]


def test_labels_are_text_and_never_formulas() -> None:
    figure = draw_graph([ORCHESTRATOR.replace("|O@", "|$a_b$ \\frac@")], [], labels_format="${name}")
    figure.savefig(BytesIO())
    assert labels(figure) == ["$a_b$ \\frac"]


def test_the_legend_counts_what_is_there() -> None:
    legend = draw_graph(NAMES, EDGES, BRIDGES).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "1 orchestrator",
        "1 router",
        "1 manager",
        "3 workers",
        "2 bridges",
    ]


def test_the_figure_is_no_larger_than_wanted() -> None:
    workers = [f"worker|W@10.0.0.7[{number}]:1" for number in range(1, 300)]
    edges = [(ORCHESTRATOR, worker) for worker in workers]
    assert max(draw_graph([ORCHESTRATOR, *workers], edges).get_size_inches()) <= 15.001
    assert max(draw_graph([ORCHESTRATOR, *workers], edges, largest=6, title="t").get_size_inches()) <= 6.001


def test_text_shrinks_with_the_picture() -> None:
    large, small = (draw_graph(NAMES, EDGES, largest=size).axes[0].texts[-1].get_fontsize() for size in (15, 5))
    assert small < large


def test_all_nodes_lie_within_the_axes() -> None:
    figure = draw_graph(NAMES, EDGES)
    (left, right), (bottom, top) = figure.axes[0].get_xlim(), figure.axes[0].get_ylim()
    spots = [spot for nodes in found(figure, PathCollection) for spot in nodes.get_offsets()]
    assert len(spots) == len(NAMES)
    assert all(left < x < right and bottom < y < top for x, y in spots)


def test_a_title_stands_above() -> None:
    assert draw_graph(NAMES, EDGES, title="my grid").get_suptitle() == "my grid"


def test_given_axes_are_drawn_into() -> None:
    figure, (left, right) = pyplot.subplots(1, 2)
    assert draw_graph(NAMES, EDGES, axes=right, title="right") is figure
    assert right.get_title() == "right"
    assert len(right.texts) == len(NAMES)
    assert not left.texts


def test_a_drawn_grid_can_be_saved() -> None:
    target = BytesIO()
    draw_graph(NAMES, EDGES, BRIDGES).savefig(target)
    assert target.getvalue().startswith(b"\x89PNG")


def test_pyplot_knows_the_figure_so_that_show_shows_it() -> None:
    figure = draw_graph(NAMES, EDGES)
    assert pyplot.figure(figure.number) is figure


def test_without_a_screen_for_the_backend_a_bare_figure_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_screen(**_: object) -> None:
        raise ImportError("Cannot load backend 'TkAgg' which requires the 'tk' interactive framework")

    monkeypatch.setattr(pyplot, "figure", no_screen)
    figure = draw_graph(NAMES, EDGES)
    assert isinstance(figure, Figure)
    figure.savefig(BytesIO())


def test_in_another_thread_pyplot_is_left_alone() -> None:
    figures: list[Any] = []
    thread = threading.Thread(target=lambda: figures.append(draw_graph(NAMES, EDGES)))
    thread.start()
    thread.join()
    assert isinstance(figures[0], Figure)
    assert pyplot.get_fignums() == []
    figures[0].savefig(BytesIO())


def test_without_matplotlib_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(NotInstalled, match=r"softgrid\[plot\]"):
        draw_graph(NAMES, EDGES)


def test_a_grid_that_is_none_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(BadArgument, match="names: got"):
        draw_graph([], [])
    assert pyplot.get_fignums() == []
