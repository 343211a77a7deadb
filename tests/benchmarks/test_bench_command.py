"""The command line: what it accepts, who takes part, when it gives up. Nothing is run."""

import json

import pytest
from benchmarks._one import function_name
from benchmarks.machine import facts, parse_cpu_model, parse_memory, revision
from benchmarks.runner import Run

from benchmarks import __main__ as command
from benchmarks import growth, plan

FIGURE = Run({"p50_us": 1.0})
FAILED = Run(reason="it broke")
MISSING = Run(reason="not installed", hopeless=True)


@pytest.fixture
def ran(monkeypatch):
    """Record what would be run, and answer as told."""
    order = []
    answers = {}

    def run_once(taker, workload, _deadline_s):
        order.append(taker)
        return answers.get(taker, FIGURE)

    monkeypatch.setattr(command, "run_once", run_once)
    return order, answers


def small(**changes):
    return plan.Workload("rtt1", "t", "h", (), ("floor", "softgrid", "ray"), 1, **changes)


def test_takers_are_interleaved_round_by_round(ran):
    command.measure(small(), None, 2)
    assert ran[0] == ["floor", "softgrid", "ray"] * 2


def test_floors_take_part_whoever_is_chosen(ran):
    runs = command.measure(plan.workload("rtt1"), {"softgrid"}, 1)
    assert set(runs) == {"floor", "softgrid", "floor-one-core", "softgrid-one-core"}


def test_a_warm_round_is_run_and_not_counted(ran):
    runs = command.measure(small(warm_rounds=1), {"ray"}, 1)
    assert ran[0] == ["floor", "ray"] * 2
    assert len(runs["ray"]) == 1


def test_a_peer_that_is_not_there_is_asked_once_even_in_a_warm_round(ran):
    ran[1]["ray"] = MISSING
    runs = command.measure(small(warm_rounds=1), {"ray"}, 3)
    assert ran[0].count("ray") == 1
    assert runs["ray"] == [MISSING]


def test_a_peer_that_failed_twice_at_first_is_given_up():
    assert not command.is_given_up([FAILED])
    assert command.is_given_up([FAILED, FAILED])


def test_a_peer_that_once_worked_is_not_given_up():
    assert not command.is_given_up([FIGURE, FAILED, FAILED, FAILED])


@pytest.mark.parametrize("wrong", [["--only", "nope"], ["--peers", "nope"], ["--repeats", "0"]])
def test_what_does_not_exist_is_refused_with_what_is_accepted(wrong, capsys):
    with pytest.raises(SystemExit):
        command.parse(wrong)
    assert "accepted: " in capsys.readouterr().err


def test_all_workloads_are_run_unless_told_otherwise():
    assert command.parse([]).only == plan.WORKLOADS
    assert [w.key for w in command.parse(["--only", "import,rtt1"]).only] == ["import", "rtt1"]


def test_writing_one_section_keeps_the_others(tmp_path):
    path = tmp_path / "docs" / "benchmarks.md"
    command.write(path, {}, {"rtt1": "old one", "rtt3": "kept"})
    command.write(path, {}, {"rtt1": "new one"})
    text = path.read_text()
    assert "new one" in text
    assert "kept" in text
    assert "old one" not in text


@pytest.mark.parametrize(
    ("taker", "workload", "name"),
    [
        ("ray", "rtt1", "rtt1"),
        ("ray", "import", "importing"),
        ("floor-relayed", "rtt3", "relayed_rtt3"),
        ("softgrid-one-core", "rtt1", "rtt1"),
    ],
)
def test_a_variant_of_a_taker_is_a_prefix_of_its_function(taker, workload, name):
    assert function_name(taker, workload) == name


def test_a_section_names_the_command_that_makes_it_with_the_peers_that_were_chosen():
    options = command.parse(["--peers", "softgrid,futures", "--repeats", "2"])
    text = command.section(small(), {}, options, "today")
    wanted = "python -m benchmarks --only rtt1 --repeats 2 --peers futures,softgrid"
    assert f"`{wanted}` (today)" in text


def test_every_goal_is_against_somebody_who_takes_part():
    for workload in plan.WORKLOADS:
        for metric in workload.metrics:
            if metric.goal is not None and metric.goal.relation != "value":
                assert metric.goal.base in workload.takers


def test_the_machine_is_described_without_its_name():
    assert set(facts()) == {"cores", "memory", "kernel", "python", "packages"}


def test_the_processor_and_the_memory_are_read_from_their_lines():
    assert parse_cpu_model("processor : 0\nmodel name\t: A Fast One\n") == "A Fast One"
    assert parse_memory("MemTotal:       24641536 kB\nMemFree: 1 kB\n") == "23.5 GiB"
    assert parse_memory("") == "unknown"


def test_a_folder_outside_of_any_repository_has_no_known_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision(tmp_path) == "unknown"


def test_a_slow_workload_has_its_most_rounds(ran):
    runs = command.measure(small(most_rounds=2), {"ray"}, 5)
    assert len(runs["ray"]) == 2


def grown():
    figures = [dict.fromkeys(growth.Figures._fields, float(size)) for size in growth.SIZES]
    return {"softgrid": [Run({"figures": figures})] * 3}


def test_a_workload_with_a_picture_shows_it_and_its_figures_stand_beside_it(tmp_path):
    pytest.importorskip("matplotlib")
    workload = small(picture="growth.svg")
    assert "![t](growth.svg)" in command.section(workload, {}, command.parse([]), "today")
    command.draw(workload, grown(), tmp_path / "benchmarks.md")
    assert (tmp_path / "growth.svg").read_text().startswith("<?xml")
    assert [each["executors"] for each in json.loads((tmp_path / "growth.json").read_text())] == list(growth.SIZES)


def test_without_figures_or_a_picture_nothing_is_drawn(tmp_path):
    command.draw(small(picture="growth.svg"), {"softgrid": [FAILED]}, tmp_path / "benchmarks.md")
    command.draw(small(), grown(), tmp_path / "benchmarks.md")
    command.draw(small(), {"softgrid": [FIGURE]}, tmp_path / "benchmarks.md")
    assert list(tmp_path.iterdir()) == []


def test_without_a_drawer_the_figures_are_kept_and_it_is_said(tmp_path, monkeypatch, capsys):
    def cannot(figures, path):
        raise ImportError("no matplotlib")

    monkeypatch.setattr(command.plot, "draw", cannot)
    command.draw(small(picture="growth.svg"), grown(), tmp_path / "benchmarks.md")
    assert (tmp_path / "growth.json").exists()
    assert "no matplotlib" in capsys.readouterr().err


def test_the_slow_take_part_in_the_first_round_only(ran):
    runs = command.measure(small(once=("ray",)), None, 3)
    assert [len(runs[taker]) for taker in ("floor", "softgrid", "ray")] == [3, 3, 1]
