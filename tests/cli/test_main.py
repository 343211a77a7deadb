"""The arguments of `softgrid`, its exit codes and its messages."""

from __future__ import annotations

from typing import Any

import pytest

import softgrid
from softgrid._cli import main as command
from softgrid._cli.demo import DemoFailed


class RecordingDemo:
    """Stands where the demo stands, and does or raises what a test wants."""

    def __init__(self, outcome: int | BaseException = 0) -> None:
        self.calls: list[dict[str, Any]] = []
        self._outcome = outcome

    def __call__(self, **options: Any) -> int:
        self.calls.append(options)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome


def with_demo(monkeypatch: pytest.MonkeyPatch, outcome: int | BaseException = 0) -> RecordingDemo:
    demo = RecordingDemo(outcome)
    monkeypatch.setattr(command, "run_demo", demo)
    return demo


def test_the_demo_uses_every_core_and_shows_twenty_names_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    demo = with_demo(monkeypatch)
    assert command.main(["demo"]) == 0
    assert demo.calls == [{"workers": command.default_workers(), "top": 20, "quiet": False}]


def test_the_options_of_the_demo_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = with_demo(monkeypatch)
    assert command.main(["demo", "--workers", "7", "--top", "3", "--quiet"]) == 0
    assert demo.calls == [{"workers": 7, "top": 3, "quiet": True}]


def test_the_exit_code_of_the_demo_is_that_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with_demo(monkeypatch, 1)
    assert command.main(["demo"]) == 1


def test_a_demo_that_failed_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_demo(monkeypatch, DemoFailed("worker 2 did not start"))
    assert command.main(["demo"]) == 1
    assert capsys.readouterr() == ("", "softgrid demo: worker 2 did not start\n")


def test_ctrl_c_is_told_in_one_line_and_has_the_usual_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_demo(monkeypatch, KeyboardInterrupt())
    assert command.main(["demo"]) == 130
    assert capsys.readouterr().err == "softgrid demo: stopped\n"


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", ""])
@pytest.mark.parametrize("option", ["--workers", "--top"])
def test_a_number_that_makes_no_sense_is_refused(option: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["demo", f"{option}={number}"])
    assert stopped.value.code == 2
    assert f"argument {option}: {number!r} is not a whole number" in capsys.readouterr().err


def test_an_unknown_command_is_refused_with_those_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["dance"])
    assert stopped.value.code == 2
    assert "demo" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"softgrid {softgrid.get_version()}\n"


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    assert capsys.readouterr().out.startswith("usage: softgrid ")
