"""GridGraph: the documented picture, and who waits for its window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.names import ORCHESTRATOR, a_name

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

from softgrid import Globals  # noqa: E402
from softgrid._insight import canvas  # noqa: E402
from softgrid.Collections import GridGraph  # noqa: E402

ONE, OTHER = a_name("worker", "One"), a_name("worker", "Other")
EDGES = [(ORCHESTRATOR, ONE), (ORCHESTRATOR, OTHER)]


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    calls: list[bool] = []
    monkeypatch.setattr(canvas, "show", lambda figure, wait: calls.append(wait))
    return calls


def draw(**kwargs: Any) -> Any:
    return GridGraph([ORCHESTRATOR, ONE, OTHER], EDGES, [(ONE, OTHER)]).draw_graph(**kwargs)


def test_the_figure_is_returned_and_nothing_opens_where_there_is_no_screen(shown: list[bool]) -> None:
    (axes,) = draw().axes
    assert [text.get_text().split("\n")[0] for text in axes.texts] == ["orchestrator", "worker", "worker"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["1 orchestrator", "2 workers", "1 bridge"]
    assert shown == []


def test_labels_follow_their_format(shown: list[bool]) -> None:
    assert [text.get_text() for text in draw(labelsFormat="<${name}>").axes[0].texts[1:]] == ["<One>", "<Other>"]
    assert [text.get_text() for text in GridGraph([ONE]).draw_graph("${role}").axes[0].texts] == ["worker"]
    with pytest.raises(ValueError, match=r"\$\{pid\}"):
        draw(labelsFormat="${nonsense}")


@pytest.mark.parametrize("is_interactive", [True, False])
def test_with_a_screen_a_window_opens_for_which_a_script_waits(
    shown: list[bool], monkeypatch: pytest.MonkeyPatch, is_interactive: bool
) -> None:
    monkeypatch.setattr(canvas, "has_screen", lambda figure: True)
    monkeypatch.setattr(Globals, "INTERACTIVE_MODE", is_interactive)
    draw()
    assert shown == [not is_interactive]
    draw(show=False)
    draw(axes=pyplot.subplots()[1])
    assert len(shown) == 1


def test_a_window_can_be_asked_for(shown: list[bool]) -> None:
    draw(show=True)
    assert len(shown) == 1


def test_a_title_and_axes_are_taken() -> None:
    figure, axes = pyplot.subplots()
    assert draw(axes=axes, title="all of it") is figure
    assert axes.get_title() == "all of it"
