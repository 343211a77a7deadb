"""Growth: exponents, medians, the picture, and the model that goes on from there."""

import json

import pytest
from benchmarks.growth import Figures

from benchmarks import growth, model, plot


def figures(cost):
    """Figures of grids whose cost per executor is given by their size."""
    return [Figures(size, *[cost(size)] * len(growth.COSTS)) for size in growth.SIZES]


@pytest.mark.parametrize(
    ("cost", "exponent"),
    [(lambda n: 3.0, 1.0), (lambda n: n / 7, 2.0), (lambda n: 5 / n, 0.0), (lambda n: 1 + 1e6 * (n < 100), 1.0)],
)
def test_the_exponent_is_that_of_the_total_from_a_hundred_on(cost, exponent):
    for each in growth.COSTS:
        assert growth.exponent(figures(cost), each) == pytest.approx(exponent, abs=1e-6)


def test_a_cost_of_nothing_is_no_error():
    assert growth.exponent(figures(lambda n: 0.0), "idle_ppm") == pytest.approx(1)


def test_metrics_are_those_of_the_largest_grid_with_all_figures_beside():
    metrics = growth.metrics(figures(float))
    assert metrics["launch_ms"] == 1000
    assert [each["executors"] for each in metrics["figures"]] == list(growth.SIZES)


def test_several_runs_become_one_by_medians():
    runs = [figures(lambda n, factor=factor: factor * n) for factor in (1, 100, 3)]
    assert growth.medians(runs) == figures(lambda n: 3 * n)


def test_the_picture_shows_every_cost_and_is_the_same_for_the_same_figures(tmp_path):
    pytest.importorskip("matplotlib")
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    plot.draw(figures(float), one)
    plot.draw(figures(float), two)
    assert one.read_bytes() == two.read_bytes()
    for title, unit, _ in plot.PANELS:
        assert title in one.read_text()
        assert f"{unit} per executor" in one.read_text()
    assert {cost for _, _, lines in plot.PANELS for cost, _ in lines} == set(growth.COSTS)


def test_tables_cost_something_for_each_member():
    tables = model.measure_tables(2_000)
    assert all(value > 0 for value in tables)


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (5.0, "5.00 µs"),
        (1500.0, "1.50 ms"),
        (90e6, "90.0 s"),
        (600e6, "10.0 min"),
        (3 * 3600e6, "3.00 h"),
        (72 * 3600e6, "3.00 d"),
    ],
)
def test_durations_are_readable(microseconds, text):
    assert model.duration(microseconds) == text


@pytest.mark.parametrize(("size", "text"), [(1.0, "1.00 B"), (2048, "2.00 KiB"), (3 * 2**40, "3,072 GiB")])
def test_sizes_are_readable(size, text):
    assert model.memory(size) == text


def test_the_tables_go_between_the_marks_and_nothing_else_changes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(model, "measure_tables", lambda: model.Tables(*[1.0] * 5))
    page, source = tmp_path / "scaling.md", tmp_path / "growth.json"
    source.write_text(json.dumps([each._asdict() for each in figures(float)]))
    page.write_text("before\n<!-- model -->\nold\n<!-- end of model -->\nafter\n")
    assert model.main(["--figures", str(source), "--write", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- model -->\n")
    assert text.endswith("<!-- end of model -->\nafter\n")
    assert "old" not in text
    assert "1,000,000" in text
    assert capsys.readouterr().out.strip() in text


def test_a_page_without_marks_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "measure_tables", lambda: model.Tables(*[1.0] * 5))
    page, source = tmp_path / "scaling.md", tmp_path / "growth.json"
    source.write_text(json.dumps([each._asdict() for each in figures(float)]))
    page.write_text("nothing\n")
    with pytest.raises(SystemExit):
        model.main(["--figures", str(source), "--write", str(page)])
    assert page.read_text() == "nothing\n"
