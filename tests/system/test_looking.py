"""assess_transfer_speed and visualize_grid on grids of real processes."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.system.grids import Grid, MakeGrid
from tests.system.watching import PATIENCE_S, pid_in, wait_until

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

from softgrid.Collections import GridGraph, TransferSpeed  # noqa: E402

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def check(speeds: Any, sender: str, receiver: str, number: int) -> None:
    """What was measured must be whole and make sense."""
    assert isinstance(speeds, list), speeds
    assert all(type(each) is TransferSpeed for each in speeds)
    forth, back, both = speeds
    assert [each.direction for each in speeds] == ["forth", "back", "forth and back"]
    assert [(each.sender, each.receiver) for each in speeds] == [
        (sender, receiver),
        (receiver, sender),
        (sender, receiver),
    ]
    assert [len(each.times_s) for each in speeds] == [number] * 3
    assert all(min(each.times_s) > 0 for each in speeds)
    assert both.times_s == pytest.approx([a + b for a, b in zip(forth.times_s, back.times_s, strict=True)])
    assert min(both.times_s) <= both.median_s <= max(both.times_s)
    assert forth.size == back.size
    assert both.size == 2 * forth.size


# -- speed -----------------------------------------------------------------------------------------


def pairs(grid: Grid) -> list[tuple[str, str | None]]:
    """Whom to send to, and who sends: every role at both ends, from next door to the other end of the grid."""
    top, (router,) = grid.O.gridUniqueName, grid.routers
    manager, worker, far = grid.managers[0], grid.workers[0], grid.workers[2]
    return [(worker, None), (top, worker), (worker, far), (manager, top), (router, far), (worker, manager)]


@pytest.mark.parametrize("which", range(6))
def test_any_two_executors_are_measured(grid: Grid, which: int) -> None:
    receiver, sender = pairs(grid)[which]
    speeds = grid.O.assess_transfer_speed(receiver, sender, data=b"x" * 200_000, number=3)
    check(speeds, sender or grid.O.gridUniqueName, receiver, 3)
    assert speeds[0].size > 200_000


@pytest.mark.parametrize("data", [None, 5, "text", list(range(1000)), {"a": np.arange(1000)}, np.zeros(300_000)])
def test_any_data_is_measured_with_the_size_that_travels(grid: Grid, data: Any) -> None:
    speeds = grid.O.assess_transfer_speed(grid.workers[0], data=data, number=2)
    check(speeds, grid.O.gridUniqueName, grid.workers[0], 2)
    assert speeds[0].size >= len(pickle.dumps(data, 5)) - 200


def test_the_data_really_goes_there_and_back(grid: Grid) -> None:
    before = grid.O.statistics(grid.workers[0])
    grid.O.assess_transfer_speed(grid.workers[0], data=b"x" * 1_000_000, number=5)
    after = grid.O.statistics(grid.workers[0])
    moved = sum(after[key] - before[key] for key in ("bytes_sent", "shared_bytes"))
    assert moved > 5_000_000
    assert after["tasks_finished"] - before["tasks_finished"] > 5


def test_a_worker_measures_by_itself(grid: Grid) -> None:
    def from_here(worker: Any, receiver: str) -> Any:
        return worker.assess_transfer_speed(receiver, number=2)

    for receiver in (grid.workers[2], grid.O.gridUniqueName):
        check(grid.one(from_here, receiver, first=True), grid.workers[0], receiver, 2)


def test_a_plot_is_drawn_when_asked_for(grid: Grid) -> None:
    grid.O.assess_transfer_speed(grid.workers[0], number=3)
    assert pyplot.get_fignums() == []
    grid.O.assess_transfer_speed(grid.workers[0], grid.workers[2], number=3, plot=True)
    (axes,) = pyplot.gcf().axes
    assert [len(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "None"] == [3, 3]


def test_what_goes_wrong_is_a_failed_status(grid: Grid) -> None:
    worker, nobody = grid.workers[0], grid.workers[0].replace("Worker", "Nobody")
    assess = grid.O.assess_transfer_speed
    for status, words in [
        (assess("worker"), "toGUN: got"),
        (assess(worker, "worker"), "fromGUN: got"),
        (assess(worker, worker), "toGUN: got"),
        (assess(worker, number=0), "number: got"),
        (assess(worker, timeout=-1), "timeout: got"),
        (assess(nobody), "nobody named"),
        (assess(worker, nobody), "nobody named"),
        (assess(nobody, worker), "is nowhere on the grid"),
        (assess(worker, data=threading.Lock()), "data"),
    ]:
        assert not status
        assert words in status.error


def test_a_receiver_that_is_at_work_runs_into_the_timeout(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=2)
    busy, idle = grid.workers
    grid.O.transfer(grid.template(signal.pause, returnResult=False), busy)
    for sender in (None, idle):
        status = grid.O.assess_transfer_speed(busy, sender, timeout=0.3)
        assert not status
        assert busy in status.error
        assert "within 0.3 s" in status.error


@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_a_death_ends_the_measurement(make_grid: MakeGrid, who: str) -> None:
    grid = make_grid(workers=2)
    sender, receiver = grid.workers
    results: list[Any] = []
    assess = grid.O.assess_transfer_speed
    measuring = threading.Thread(target=lambda: results.append(assess(receiver, sender, number=10**7)), daemon=True)
    measuring.start()
    wait_until(lambda: grid.O.statistics(receiver)["tasks_finished"] > 50, what="the measurement goes on")
    doomed = sender if who == "sender" else receiver
    os.kill(pid_in(doomed), signal.SIGKILL)
    measuring.join(PATIENCE_S)
    (status,) = results
    assert not status
    assert f"{doomed} is gone" in status.error
    assert "SIGKILL" in status.error


# -- pictures --------------------------------------------------------------------------------------


def labels(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_orchestrator_draws_the_whole_grid(grid: Grid) -> None:
    figure = grid.O.visualize_grid(labelsFormat="${role} ${pid}")
    everybody = [grid.O.gridUniqueName, *grid.O.routers, *grid.O.managers, *grid.O.workers]
    assert sorted(labels(figure)) == sorted(f"{name.split('|')[0]} {pid_in(name)}" for name in everybody)
    (edges,) = (artist for artist in figure.axes[0].collections if type(artist).__name__ == "LineCollection")
    assert len(edges.get_segments()) == len(everybody) - 1


def test_others_draw_what_they_see(make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", matplotlib.get_configdir())  # it keeps its list of fonts at home
    grid = make_grid(routers=1, managers=2, workers=1)

    def drawn_by(executor: Any) -> Any:
        import matplotlib

        matplotlib.use("Agg")
        return [text.get_text() for text in executor.visualize_grid("${role}").axes[0].texts]

    assert grid.one(drawn_by, first=True) == ["orchestrator", "router", "manager", "worker"]


def test_a_format_with_other_fields_is_refused(grid: Grid) -> None:
    with pytest.raises(ValueError, match=r"\$\{pid\}"):
        grid.O.visualize_grid("${nobody}")


def test_bridges_are_drawn_dotted_and_red(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=2, workers=0)
    one, other, stopped = grid.launch("Worker", [*grid.managers, grid.managers[0]])
    assert grid.O.build_bridge(one, other)
    assert grid.O.build_bridge(other, grid.O.gridUniqueName)
    os.kill(pid_in(stopped), signal.SIGSTOP)
    try:
        figure = grid.O.visualize_grid()
    finally:
        os.kill(pid_in(stopped), signal.SIGCONT)
    assert "2 bridges" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    dotted = [patch for patch in figure.axes[0].patches if patch.get_linestyle()[1] is not None]
    assert [matplotlib.colors.to_hex(patch.get_edgecolor()) for patch in dotted] == ["#ff0000"] * 2


def test_the_picture_is_that_of_grid_graph(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def draw_graph(graph: GridGraph, *args: Any, **kwargs: Any) -> str:
        asked.append((len(graph.executors), args, kwargs))
        return "whatever it returns"

    monkeypatch.setattr(GridGraph, "draw_graph", draw_graph)
    assert grid.O.visualize_grid(1, two=2) == "whatever it returns"
    assert asked == [(7, (1,), {"two": 2})]
