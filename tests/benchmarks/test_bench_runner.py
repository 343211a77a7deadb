"""One repeat in a fresh process: its answer, its deadline, what it leaves behind."""

import json
import subprocess
import sys

import pytest
from benchmarks.runner import parse_run, run_command, run_once

from benchmarks import runner

ANSWER = {"benchmark": 1, "metrics": {"us": 1.5}, "reason": None, "hopeless": False}
HANG = "import signal; signal.pause()"


def python(code):
    return [sys.executable, "-c", code]


def test_the_answer_is_found_between_whatever_else_was_printed():
    run = parse_run(f"hello\n[1]\n{json.dumps(ANSWER)}\nbye\n{{}}\n", "")
    assert run.is_measured
    assert run.metrics == {"us": 1.5}


def test_no_answer_is_a_reason_that_quotes_the_last_words():
    run = parse_run("", "Traceback\nBoom: it broke\n\n")
    assert run.reason == "no answer: Boom: it broke"


def test_silence_is_a_reason_too():
    assert parse_run("", "").reason == "no answer: nothing on stderr"


@pytest.mark.system
def test_an_unknown_taker_is_a_reason_and_hopeless():
    run = run_once("nobody", "rtt1", 30)
    assert run.hopeless
    assert "nobody" in run.reason


@pytest.mark.system
def test_a_workload_that_a_taker_cannot_do_is_a_reason():
    run = run_once("floor", "no_such_thing", 30)
    assert "no_such_thing" in run.reason


@pytest.mark.system
def test_a_run_that_hangs_without_an_answer_is_ended_and_says_so():
    run = run_command(python(HANG), 0.3)
    assert run.reason == "no end within 0.3 s"


@pytest.mark.system
def test_figures_said_before_a_hang_are_kept():
    run = run_command(python(f"print({json.dumps(ANSWER)!r}, flush=True); {HANG}"), 2)
    assert run.metrics == {"us": 1.5, "note": "no end within 2 s"}


@pytest.mark.system
def test_a_process_that_left_the_group_is_found_counted_and_killed(monkeypatch):
    monkeypatch.setattr(runner, "GRACE_S", 0.1)
    command = f"[sys.executable, '-c', {HANG!r}], start_new_session=True"
    run = run_command(python(f"import subprocess, sys; subprocess.Popen({command})"), 30)
    assert run.left == 1


@pytest.mark.system
def test_a_process_of_somebody_else_is_left_alone():
    with subprocess.Popen(python(HANG)) as other:
        run_command(python("pass"), 30)
        assert other.poll() is None
        other.kill()
