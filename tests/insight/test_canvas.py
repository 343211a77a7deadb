"""Figures and where they are shown: windows where there is a screen, nothing where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

from softgrid._insight import canvas  # noqa: E402


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(pyplot, "show", lambda: calls.append("all, and wait"))
    monkeypatch.setattr("matplotlib.figure.Figure.show", lambda figure: calls.append("one"))
    return calls


def test_a_backend_without_windows_has_no_screen() -> None:
    assert not canvas.has_screen(canvas.new_figure((1, 1)))


def test_a_backend_with_windows_has_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = canvas.new_figure((1, 1))
    monkeypatch.setattr(type(figure.canvas), "required_interactive_framework", "qt")
    assert canvas.has_screen(figure)


@pytest.mark.parametrize(("wait", "how"), [(True, "all, and wait"), (False, "one")])
def test_a_script_waits_and_a_prompt_does_not(shown: list[str], wait: bool, how: str) -> None:
    canvas.show(canvas.new_figure((1, 1)), wait=wait)
    assert shown == [how]


def test_a_figure_has_the_size_it_was_made_with() -> None:
    assert list(canvas.new_figure((3, 2)).get_size_inches()) == [3, 2]


def test_a_notebook_that_shows_a_figure_as_a_value_does_not_show_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    displayed: list[Any] = []
    pytest.importorskip("IPython")
    monkeypatch.setattr("IPython.display.display", displayed.append)
    monkeypatch.setattr(pyplot, "get_backend", lambda: "inline")
    figure = canvas.new_figure((1, 1))
    figure._ipython_display_()
    assert displayed == [figure]
    assert pyplot.get_fignums() == []
    assert not hasattr(figure, "_ipython_display_")
