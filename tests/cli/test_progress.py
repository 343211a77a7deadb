"""The progress bar: what a line looks like, and when one is written."""

from __future__ import annotations

import io

import pytest

from softgrid._cli.progress import REDRAW_S, Progress, render


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class HandClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("done", "total", "expected"),
    [
        (0, 8, "grid     [............................]   0 %  0/8 files  1.5 s"),
        (2, 8, "grid     [#######.....................]  25 %  2/8 files  1.5 s"),
        (8, 8, "grid     [############################] 100 %  8/8 files  1.5 s"),
        (0, 0, "grid     [############################] 100 %  0/0 files  1.5 s"),
        (9, 8, "grid     [############################] 100 %  9/8 files  1.5 s"),
    ],
)
def test_a_line_shows_the_share_that_is_done(done: int, total: int, expected: str) -> None:
    assert render("grid", done, total, 1.5) == expected


def test_a_bar_never_looks_finished_before_it_is() -> None:
    line = render("grid", 999, 1000, 0)
    assert "99 %" in line
    assert ".]" in line


def test_a_terminal_gets_one_line_that_is_drawn_over() -> None:
    terminal, clock = Terminal(), HandClock()
    with Progress("grid", 2, terminal, clock) as progress:
        for _ in range(2):
            clock.now += REDRAW_S * 2
            progress.advance(1)
    lines = terminal.getvalue().split("\r")
    assert [line.count("\n") for line in lines] == [0, 0, 0, 1]
    assert lines[1].endswith("1/2 files  0.1 s")
    assert lines[-1] == lines[2] + "\n"


def test_a_terminal_is_not_flooded() -> None:
    terminal, clock = Terminal(), HandClock()
    with Progress("grid", 10_000, terminal, clock) as progress:
        for _ in range(10_000):
            clock.now += REDRAW_S / 100
            progress.advance(1)
    assert terminal.getvalue().count("\r") <= 103


def test_an_interrupted_bar_leaves_the_cursor_on_a_new_line() -> None:
    terminal = Terminal()
    with pytest.raises(KeyboardInterrupt), Progress("grid", 2, terminal):
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("0/2 files  0.0 s\n")


def test_a_file_gets_one_plain_line_per_quarter() -> None:
    log = io.StringIO()
    with Progress("grid", 100, log, HandClock()) as progress:
        for _ in range(100):
            progress.advance(1)
    lines = log.getvalue().splitlines()
    assert [line.split("] ")[1].split(" %")[0].strip() for line in lines] == [
        "25",
        "50",
        "75",
        "100",
    ]
    assert "\r" not in log.getvalue()


def test_big_steps_write_each_line_once() -> None:
    log = io.StringIO()
    with Progress("grid", 100, log, HandClock()) as progress:
        progress.advance(60)
        progress.advance(40)
    assert len(log.getvalue().splitlines()) == 2


def test_without_a_stream_it_only_counts() -> None:
    with Progress("grid", 2, None) as progress:
        progress.advance(2)
    assert progress.done == 2
