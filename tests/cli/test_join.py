"""The arguments of `softgrid join`, and what becomes of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from softgrid import Globals, Manager, Router, Worker
from softgrid._api import by_hand
from softgrid._api.by_hand import ROLES, CannotAsk, Wish
from softgrid._cli import join as join_command
from softgrid._cli import main as command


@pytest.fixture
def wishes(monkeypatch: pytest.MonkeyPatch) -> list[Wish]:
    """What would be joined, if it were."""
    made: list[Wish] = []
    monkeypatch.setattr(join_command, "join", lambda wish: made.append(wish) or 7)
    return made


def test_all_that_can_be_said_reaches_who_joins(wishes: list[Wish]) -> None:
    options = ["--role", "manager", "--password-file", "F", "--name", "m", "--address", "10.0.0.8", "--timeout", "3"]
    assert command.main(["join", "10.0.0.7:5000", *options]) == 7
    assert wishes == [Wish("10.0.0.7", 5000, "manager", "F", "m", "10.0.0.8", 3.0)]


def test_without_options_it_is_a_worker_that_asks_for_the_password(wishes: list[Wish]) -> None:
    command.main(["join", "host:1"])
    assert wishes == [Wish("host", 1, "worker", None, None, None, 20.0)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [("host:5000", ("host", 5000)), ("[fe80::1]:5000", ("fe80::1", 5000)), ("10.0.0.7:65535", ("10.0.0.7", 65535))],
)
def test_an_address_and_port_are_read_as_they_are_written(wishes: list[Wish], text: str, meant: Any) -> None:
    command.main(["join", text])
    assert (wishes[0].address, wishes[0].port) == meant


@pytest.mark.parametrize(
    "text", ["host", "host:", ":5000", "host:0", "host:65536", "host:5x", "fe80::1:5000", "host:-1"]
)
def test_what_is_no_address_and_port_is_refused_with_an_example(
    wishes: list[Wish], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["join", text])
    assert wishes == []
    assert "5000" in capsys.readouterr().err


def test_a_password_cannot_be_given_on_the_command_line(wishes: list[Wish]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["join", "host:1", "--password", "secret"])
    assert wishes == []


# -- the password ---------------------------------------------------------------------------------


def test_the_first_line_of_the_file_is_the_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "password"
    path.write_text("with blanks  \r\nsecond line\n")
    path.chmod(0o600)
    assert by_hand._password(Wish("h", 1, password_file=str(path))) == "with blanks  "
    assert capsys.readouterr().err == ""
    path.chmod(0o640)
    by_hand._password(Wish("h", 1, password_file=str(path)))
    assert "others on this machine can read" in capsys.readouterr().err


def test_the_password_may_come_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\nmore\n"))
    assert by_hand._password(Wish("h", 1, password_file="-")) == "secret"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\n"])
def test_a_file_without_a_password_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CannotAsk, match=str(path)):
        by_hand._password(Wish("h", 1, password_file=str(path)))


class Asked:
    """A terminal whose user gives these answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: str | BaseException) -> None:
        self.prompts: list[str] = []
        self._answers = list(answers)
        monkeypatch.setattr(by_hand.os, "open", lambda path, flags: os.dup(0) if path == "/dev/tty" else 1 / 0)
        monkeypatch.setattr("getpass.getpass", self.getpass)

    def getpass(self, prompt: str) -> str:
        self.prompts.append(prompt)
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_it_is_asked_for_and_an_empty_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch, "", "", "secret")
    assert by_hand._password(Wish("host", 5000)) == "secret"
    assert asked.prompts == ["password of host:5000: "] * 3


@pytest.mark.parametrize("answers", [("", "", ""), (EOFError(),)])
def test_no_answer_is_no_password(monkeypatch: pytest.MonkeyPatch, answers: Any) -> None:
    Asked(monkeypatch, *answers)
    with pytest.raises(CannotAsk, match="no password was given"):
        by_hand._password(Wish("host", 5000))


def test_ctrl_c_at_the_question_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(monkeypatch, KeyboardInterrupt())
    assert by_hand.join(Wish("host", 5000)) == 130


# -- joining --------------------------------------------------------------------------------------


def test_every_role_that_can_join_has_its_class() -> None:
    assert {"worker": Worker, "manager": Manager, "router": Router} == ROLES


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"name": "a|b"}, "name: got 'a|b'"),
        ({"own_address": "no address"}, "address: got 'no address'"),
        ({"timeout": -1.0}, "timeout: got -1.0"),
        ({"port": 1}, "127.0.0.1 cannot be reached at port 1: Connection refused"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wish: dict[str, Any], says: str
) -> None:
    path = tmp_path / "password"
    path.write_text("secret")
    path.chmod(0o600)
    assert by_hand.join(Wish("127.0.0.1", 5000, password_file=str(path))._replace(**wish)) == 1
    said = capsys.readouterr().err
    assert said.startswith("cannot join")
    assert says in said
    assert said.count("\n") == 1
    assert "secret" not in said


@pytest.mark.parametrize("is_interactive", [False, True])
def test_a_launch_script_ends_its_process_unless_somebody_sits_at_its_prompt(
    monkeypatch: pytest.MonkeyPatch, is_interactive: bool
) -> None:
    wishes: list[Wish] = []
    monkeypatch.setattr(by_hand, "join", lambda wish: wishes.append(wish) or 3)
    monkeypatch.setattr(Globals, "INTERACTIVE_MODE", is_interactive)
    monkeypatch.setattr(sys, "argv", ["join.py", "--role", "router"])
    if is_interactive:
        by_hand.main("host", 5000, "worker")
    else:
        with pytest.raises(SystemExit, match="3"):
            by_hand.main("host", 5000, "worker")
    assert wishes == [Wish("host", 5000, "router")]


@pytest.mark.system
def test_the_command_joins_a_grid_and_ends_with_it(tmp_path: Path) -> None:
    script = f"""
import os, subprocess, sys
from softgrid import Orchestrator
O = Orchestrator(password="the secret of {os.getpid()}", logKwargs={{"logToStdout": False}})
command = [sys.executable, "-m", "softgrid", "join", "127.0.0.1:%d" % O.port, "--role", "worker", "--password-file"]
joining = subprocess.Popen([*command, "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
joining.stdin.write(O.password + chr(10))
joining.stdin.flush()
print(joining.stderr.readline().split(";")[0])
print(O.transfer(O.get_transfer_template(lambda: 6 * 7), "workers", collect=True))
O.disconnect(kill=False)
print(joining.wait(20))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    joined, *rest = run.stdout.splitlines()
    assert joined.startswith("worker|Worker@")
    assert " is on the grid below orchestrator|" in joined
    assert [line for line in rest if "<INFO>" not in line] == ["[42]", "0"]
