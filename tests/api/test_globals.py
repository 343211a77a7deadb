"""What holds for a whole grid: facts of the package, the Logger, the interactive mode."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import metadata
from typing import Any

import pytest

import softgrid
from softgrid import Globals
from softgrid.Globals import Logger

LINKS = {"get_doc": "Documentation", "get_repository": "Repository", "get_pypi": "PyPI"}


def test_the_package_tells_of_itself_what_its_metadata_says() -> None:
    known = metadata("softgrid")
    links = dict(link.split(", ", 1) for link in known.get_all("Project-URL") or [])
    assert {name: getattr(softgrid, name)() for name in LINKS} == {name: links[label] for name, label in LINKS.items()}
    assert softgrid.get_version() == known["Version"]
    assert f"{softgrid.get_author()} <{softgrid.get_email()}>" == known["Author-email"]
    assert all((softgrid.get_author(), "@" in softgrid.get_email(), *links.values()))


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A logger of its own: there is one in each process, so the usual one is put aside."""
    made = _fresh()
    yield made
    _forget()


def _forget() -> None:
    for cls in Logger.__mro__:
        for name in [name for name in vars(cls) if name.endswith("__thisInstance")]:
            setattr(cls, name, None)


def _fresh(**kwargs: Any) -> Logger:
    _forget()
    return Logger(name="app", logToFile=False, **kwargs)


def test_a_record_is_written_with_type_origin_and_the_time_it_was_said(
    logger: Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.softgrid_log("info", "hello", "worker|W@a[1]:2", utcTime=0.0, data=[1], tback="a traceback")
    written = capsys.readouterr().out
    assert "app <INFO> worker|W@a[1]:2 hello" in written
    assert written.startswith(("1970-01-01", "1969-12-31"))
    assert "[1]" in written
    assert "a traceback" in written


def test_a_record_without_origin_and_time_has_the_documented_ones(
    logger: Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.softgrid_log("warn", "now")
    written = capsys.readouterr().out
    assert "role:name@address now" in written
    assert not written.startswith("19")


def test_a_new_log_type_is_made_known_by_using_it(logger: Logger, capsys: pytest.CaptureFixture[str]) -> None:
    assert not logger.is_logType("mine")
    logger.softgrid_log("mine", "words")
    assert logger.is_logType("mine")
    assert "<MINE>" in capsys.readouterr().out


def test_control_characters_of_a_record_are_made_visible(logger: Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.softgrid_log("info", "\x1b[2Jgone")
    assert "\\x1b[2Jgone" in capsys.readouterr().out


def test_custom_init_is_called_at_the_end_and_adds_the_types_of_softgrid() -> None:
    called: list[bool] = []

    class Mine(Logger):
        def custom_init(self, *args: Any, **kwargs: Any) -> None:
            super().custom_init(*args, **kwargs)
            called.append(self.is_logType("execution_started"))

    _forget()
    made = Mine(logToFile=False)
    assert called == [True]
    assert all(made.is_logType(name) for name in ("execution_finished", "result", "stdout", "stderr"))
    _forget()


def test_there_is_one_logger_in_a_process(logger: Logger) -> None:
    assert Logger(logToFile=False) is logger


def test_maxint_is_the_largest_index() -> None:
    assert Globals.maxint == sys.maxsize == 9223372036854775807


@pytest.mark.parametrize(("options", "is_interactive"), [(["-c"], "False"), (["-i", "-c"], "True")])
def test_interactive_mode_is_that_of_the_interpreter(options: list[str], is_interactive: str) -> None:
    code = "from softgrid import Globals; print(Globals.INTERACTIVE_MODE)"
    run = subprocess.run(
        [sys.executable, *options, code], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert run.stdout.split() == [is_interactive]
