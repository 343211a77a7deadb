"""The drawn times of an assessment, read back from matplotlib."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402
from tests.harness.names import ORCHESTRATOR, a_name  # noqa: E402

from softgrid._insight.speed import TransferSpeed  # noqa: E402
from softgrid._insight.speed_plot import draw_speed  # noqa: E402
from softgrid._model.errors import NotInstalled  # noqa: E402

WORKER = a_name("worker", "Worker")


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def draw(forth: tuple[float, ...], back: tuple[float, ...]) -> Any:
    both = tuple(one + other for one, other in zip(forth, back, strict=True))
    figure = draw_speed(
        [
            TransferSpeed("forth", ORCHESTRATOR, WORKER, 10**6, forth),
            TransferSpeed("back", WORKER, ORCHESTRATOR, 10**6, back),
            TransferSpeed("forth and back", ORCHESTRATOR, WORKER, 2 * 10**6, both),
        ]
    )
    figure.savefig(BytesIO())
    (axes,) = figure.axes
    return axes


def test_every_transfer_is_a_point_and_every_median_a_line() -> None:
    axes = draw((0.001, 0.004, 0.003), (0.002, 0.002, 0.006))
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    medians = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [list(line.get_ydata()) for line in points] == [[1.0, 4.0, 3.0], [2.0, 2.0, 6.0]]
    assert [list(line.get_xdata()) for line in points] == [[1, 2, 3]] * 2
    assert [line.get_ydata()[0] for line in medians] == pytest.approx([3.0, 2.0])
    assert [line.get_color() for line in points] == [line.get_color() for line in medians]
    assert axes.get_ylabel() == "time / ms"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "forth: 1 MB in 3 ms, 333 MB/s",
        "back: 1 MB in 2 ms, 500 MB/s",
    ]
    assert ORCHESTRATOR in axes.get_title()
    assert WORKER in axes.get_title()


def test_times_of_one_size_begin_at_zero() -> None:
    assert draw((0.001, 0.002), (0.001, 0.003)).get_ylim()[0] == 0
    assert draw((0.001, 0.002), (0.001, 0.003)).get_yscale() == "linear"


def test_one_slow_transfer_does_not_squash_the_others() -> None:
    axes = draw((2.0, 0.001, 0.001), (0.001, 0.001, 0.002))
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "time / ms"


def test_a_single_transfer_and_no_time_at_all_can_be_drawn() -> None:
    assert [tick for tick in draw((0.001,), (0.001,)).get_xticks() if 0.5 < tick < 1.5] == [1]
    assert draw((0.0, 0.0), (0.0, 0.0)).get_yscale() == "linear"


def test_without_matplotlib_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(NotInstalled, match=r"softgrid\[plot\]"):
        draw((0.1,), (0.1,))
