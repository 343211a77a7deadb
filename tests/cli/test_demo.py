"""The demo as a whole: real processes over a small library instead of the standard one."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from softgrid._cli import demo
from softgrid._cli.wordcount import BatchResult

pytestmark = pytest.mark.system


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty source files, one of which does not tokenise, in the place of Python's own."""
    for number in range(39):
        (tmp_path / f"module{number}.py").write_text("def shared(x):\n    return x\n" * number)
    (tmp_path / "broken.py").write_bytes(b"x = '\xff'\n")
    monkeypatch.setattr(demo.sysconfig, "get_path", lambda name: str(tmp_path))
    return tmp_path


def test_the_grid_counts_what_a_serial_run_counts(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.run_demo(workers=2, top=5, quiet=False) == 0
    out, err = capsys.readouterr()
    total = sum(range(39))
    assert "39 files (" in out
    assert "2 different names; 1 file skipped" in out
    assert re.search(rf"1 +{2 * total:,}  x\n +2 +{total:,}  shared\n", out)
    assert "check     equal to a serial count" in out
    assert re.search(r"speed-up  \d+\.\d\d x", out)
    assert "40/40 files" in err


def test_each_executor_is_told_with_a_process_of_its_own(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.run_demo(workers=2, top=1, quiet=True) == 0
    out, err = capsys.readouterr()
    assert err == ""
    pids = re.findall(r"^(orchestrator|router|manager|worker \d) +(\d+) ", out, re.MULTILINE)
    assert [label for label, _ in pids] == [
        "orchestrator",
        "router",
        "manager",
        "worker 1",
        "worker 2",
    ]
    assert len({pid for _, pid in pids}) == 5


def test_a_count_that_differs_is_an_exit_code_of_1(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def count_nothing(paths: list[str]) -> BatchResult:
        stats = {"pid": 0, "files": len(paths), "tokens": 0, "skipped": [], "seconds": 0.0}
        return {}, stats  # type: ignore[return-value]

    serial = demo._count_serially

    def spoiled_serial(*args: object) -> None:
        monkeypatch.setattr(demo, "count_identifiers", count_nothing)
        serial(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(demo, "_count_serially", spoiled_serial)
    assert demo.run_demo(workers=1, top=1, quiet=True) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_a_map_that_fails_everywhere_ends_the_demo_with_its_reason(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(paths: list[str]) -> BatchResult:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(demo, "count_identifiers", fail)
    with pytest.raises(demo.DemoFailed, match=r"every worker failed.*no such luck"):
        demo.run_demo(workers=2, top=1, quiet=True)


def test_a_worker_that_dies_leaves_its_batch_to_another(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = library / "somebody died"

    def die_once(paths: list[str]) -> BatchResult:
        import os

        from softgrid._cli.wordcount import count_identifiers

        try:
            open(mark, "x").close()
        except FileExistsError:
            pass
        else:
            os._exit(3)
        return count_identifiers(paths)

    monkeypatch.setattr(demo, "count_identifiers", die_once)
    assert demo.run_demo(workers=2, top=1, quiet=True) == 0
    assert "check     equal" in capsys.readouterr().out


def test_a_library_without_sources_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(demo.DemoFailed, match="no Python source file in "):
        demo.run_demo(workers=1, top=1, quiet=True)


def test_the_command_runs_and_ends_by_itself(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("hello = 1\n")
    program = (
        "import sys, sysconfig\n"
        f"sysconfig.get_path = lambda name: {str(tmp_path)!r}\n"
        "from softgrid._cli.main import main\n"
        "sys.exit(main(['demo', '--workers', '1', '--quiet']))\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "hello" in run.stdout


def test_ctrl_c_ends_the_command_and_every_process_of_its_grid() -> None:
    program = (
        "import signal, sys\n"
        "from softgrid._cli import demo, main\n"
        # a shell that runs the tests in the background would have it ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def wait(grid, *rest):\n"
        "    print(*(member.pid for member in grid.relays[1:] + grid.workers), flush=True)\n"
        "    sys.stdin.read()\n"
        "demo._count_on_grid = wait\n"
        "sys.exit(main.main(['demo', '--workers', '2']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        lives = [os.pidfd_open(int(pid)) for pid in command.stdout.readline().split()]
        assert len(lives) == 4
        command.send_signal(signal.SIGINT)
        try:
            # the pipe to its input stays open: only the signal can have ended it
            assert command.wait(30) == 130
            assert command.stderr is not None
            assert command.stderr.read() == "softgrid demo: stopped\n"
            for life in lives:
                assert select.select([life], [], [], 10)[0] == [life]
        finally:
            for life in lives:
                os.close(life)


def test_the_module_runs_as_the_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "softgrid", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("softgrid ")
