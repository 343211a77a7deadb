"""What executors log and user code prints arrives at the orchestrator, in order, with origin and time, and whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.system.grids import Scripts

pytestmark = pytest.mark.system

LINE = re.compile(
    r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) - (?P<app>\S+) <(?P<type>[^>]+)> "
    r"(?P<origin>\S+\|.*?\[\d+\]:\d+) ?(?P<text>.*)$"
)


def records(output: str, log_type: str | None = None) -> list[tuple[str, str, str]]:
    """Type, origin and text of each record in the log of a script; continuation lines belong to the text."""
    found: list[list[str]] = []
    for line in output.removesuffix("\n").split("\n"):
        if line.startswith(">> "):  # said by the script itself
            continue
        match = LINE.match(line)
        if match:
            found.append([match["type"], match["origin"], match["text"]])
        elif found:
            found[-1][2] += "\n" + line
    return [(kind, origin, text) for kind, origin, text in found if log_type is None or kind == log_type]


def told(output: str, word: str) -> list[str]:
    """What the script itself told after *word*."""
    return next(line for line in output.split("\n") if line.startswith(f">> {word} ")).split()[2:]


def lines_of(output: str, log_type: str, origin: str | None = None) -> list[str]:
    """The lines that were said under one type, in their order, however they were gathered into records."""
    return [
        line
        for _, who, text in records(output, log_type)
        if origin is None or who == origin
        for line in text.split("\n")
    ]


def test_what_a_worker_logs_arrives_with_type_origin_and_time(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator(applicationName='app')
        router = launch(O, 'Router')[0]
        manager = launch(O, 'Manager', router)[0]
        launch(O, 'Worker', manager, count=2)
        def log(executor):
            for kind in ('debug', 'info', 'warn', 'error', 'critical'):
                executor.log_and_transfer(kind, 'a ' + kind + ' of mine', data={'k': 1})
        call(O, log, first=True)
        tell('workers', *O.workers)
    """)
    workers = told(said, "workers")
    assert len(workers) == 2
    for worker in workers:
        mine = [(kind, text) for kind, origin, text in records(said) if origin == worker]
        assert [kind for kind, _ in mine] == ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
        assert all(
            f"a {word} of mine" in text
            for word, (_, text) in zip(("debug", "info", "warn", "error", "critical"), mine, strict=True)
        )
        assert all("'k': 1" in text for _, text in mine)
    assert "- app <INFO>" in said


def test_tracebacks_data_origin_and_time_can_be_given(scripts: Scripts) -> None:
    said = scripts.run(
        """
        import traceback
        O = Orchestrator()
        launch(O, 'Worker')
        def log(executor):
            import traceback
            executor.log_and_transfer('info', 'with a trace', tback=traceback.extract_stack())
            executor.log_and_transfer('info', 'with text', tback='text of a traceback')
            executor.log_and_transfer('info', 'long ago', utcTime=86400.0 * 365)
            executor.log_and_transfer('info', 'in the name of', gridUniqueName=executor.gridPath[0])
            executor.log_and_transfer('info', 'object', data=object())
        call(O, log, first=True)
        O.log_and_transfer('warn', 'from the top')
        tell('worker', O.workers[0], O.gridUniqueName)
    """,
        env={"TZ": "UTC"},
    )
    worker, top = told(said, "worker")
    assert re.search(r"with a trace[\s\S]*in log", said)
    assert "text of a traceback" in said
    assert "1971-01-01 00:00:00 - softgrid_application <INFO>" in said
    assert [(kind, text) for kind, _, text in records(said) if "in the name" in text] == [("INFO", "in the name of")]
    assert all(origin == worker for _, origin, text in records(said) if "trace" in text or "long ago" in text)
    assert ("WARNING", top, "from the top") in [
        (kind, origin, text.split("\n")[0]) for kind, origin, text in records(said)
    ]
    assert "<object object at" in said


def test_another_executor_can_be_made_to_log(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        router = launch(O, 'Router')[0]
        managers = launch(O, 'Manager', router, count=2)
        workers = [launch(O, 'Worker', manager)[0] for manager in managers]
        def log(executor, where, text):
            return executor.transfer_to_executor_and_log(receiver=where, logType='info', message=text)
        results = call(O, log, managers[1], 'at a manager', to=workers[0], first=True)
        results += call(O, log, [router, workers[1]], 'at both', to=workers[0], first=True)
        results += call(O, log, 'upgrid', 'at my upgrid', to=workers[1], first=True)
        results.append(O.transfer_to_executor_and_log('managers', 'warn', 'to all', largs=({'d': 1},)))
        more = {'data': 'some data'}
        results.append(O.transfer_to_executor_and_log(workers[0], 'info', 'keywords', 'tb text', lkwargs=more))
        results.append(O.transfer_to_executor_and_log(O.gridUniqueName, 'info', 'to myself'))
        tell('results', results)
        tell('failed', bool(O.transfer_to_executor_and_log('nobody', 'info', 'x')))
        call(O, lambda: None)
        tell('names', router, *managers, *workers, O.gridUniqueName)
    """)
    router, one, two, first, second, top = told(said, "names")
    assert "results [None, None, None, None, None, None]" in said
    assert "failed False" in said
    seen = {(origin, text.split("\n")[0]) for _, origin, text in records(said)}
    for origin, text in (
        (two, "at a manager"),
        (router, "at both"),
        (second, "at both"),
        (two, "at my upgrid"),
        (one, "to all"),
        (two, "to all"),
        (first, "keywords"),
        (top, "to myself"),
    ):
        assert (origin, text) in seen
    assert "some data" in said
    assert "tb text" in said


def test_prints_of_user_code_arrive_in_order_as_lines(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        launch(O, 'Worker')
        def talk():
            import sys
            for n in range(300):
                print('line', n)
            print('two', 'parts', end=' ')
            print('of one line')
            print('unfinished', end='')
            sys.stderr.write('an error line\\n')
        call(O, talk)
        tell('worker', O.workers[0])
    """)
    (worker,) = told(said, "worker")
    assert lines_of(said, "STDOUT", worker) == [
        *(f"line {n}" for n in range(300)),
        "two parts of one line",
        "unfinished",
    ]
    assert lines_of(said, "STDERR", worker) == ["an error line"]


def test_records_and_prints_of_one_origin_keep_their_order(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        launch(O, 'Worker', count=2)
        def talk(executor):
            for n in range(100):
                print('p', 2 * n)
                executor.log_and_transfer('info', 'p ' + str(2 * n + 1))
        call(O, talk, first=True)
        tell('workers', *O.workers)
    """)
    for worker in told(said, "workers"):
        mine = [line for kind, origin, text in records(said) if origin == worker for line in text.split("\n")]
        assert [line.strip() for line in mine if line.startswith("p ")] == [f"p {n}" for n in range(200)]


def test_lines_stay_whole_and_none_is_lost_when_the_script_ends_at_once(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        router = launch(O, 'Router')[0]
        manager = launch(O, 'Manager', router)[0]
        tell('workers', *launch(O, 'Worker', manager, count=3))
        def talk(executor):
            for n in range(2000):
                print(executor.gridUniqueName, n)
            executor.log_and_transfer('info', 'the end of ' + executor.gridUniqueName)
        call(O, talk, first=True)
    """)
    workers = told(said, "workers")
    assert len(workers) == 3
    for worker in workers:
        assert lines_of(said, "STDOUT", worker) == [f"{worker} {n}" for n in range(2000)]
        assert ("INFO", worker, f"the end of {worker}") in records(said)


def test_nothing_is_lost_when_calls_were_not_collected_but_have_run(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        launch(O, 'Worker', count=2)
        call(O, lambda: print('printed uncollected'), collect=False, returnResult=False)
        call(O, lambda: None)
    """)
    assert lines_of(said, "STDOUT") == ["printed uncollected"] * 2


def test_output_below_python_arrives_too(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        manager = launch(O, 'Manager')[0]
        launch(O, 'Worker', manager)
        def talk():
            import os, subprocess, sys, ctypes
            os.write(1, b'by descriptor\\n')
            os.write(2, b'by error descriptor\\n')
            subprocess.run(['echo', 'by a program'])
            subprocess.run(['sh', '-c', 'echo by a program on stderr >&2'])
            libc = ctypes.CDLL(None)
            libc.puts(b'by C')
            libc.fflush(None)
            sys.__stdout__.write('by the old stdout\\n'); sys.__stdout__.flush()
            return sys.stdout.fileno(), sys.stdout.isatty()
        tell('returned', call(O, talk))
        time.sleep(0.3)
    """)
    assert "returned [(1, False)]" in said
    for text in (
        "by descriptor",
        "by error descriptor",
        "by a program",
        "by a program on stderr",
        "by C",
        "by the old stdout",
    ):
        assert any(origin.startswith("worker|") and text in words.split("\n") for _, origin, words in records(said)), (
            text
        )


SUPERVISOR_IS_SLOW = """
supervisor = int(open(f'/proc/{O.split_grid_unique_name(O.workers[0])[3]}/stat').read().rpartition(')')[2].split()[1])
os.kill(supervisor, signal.SIGSTOP)
subprocess.Popen(['sh', '-c', f'sleep 0.2; kill -CONT {supervisor}'])
"""


def test_output_below_python_is_not_lost_at_the_end_of_a_script(scripts: Scripts) -> None:
    """The supervisor, through which it comes, is made to be late, as it can be on a busy machine."""
    said = scripts.run(f"""
import subprocess
O = Orchestrator()
manager = launch(O, 'Manager')[0]
launch(O, 'Worker', manager)
{SUPERVISOR_IS_SLOW}
call(O, lambda: os.write(1, b'last words' + bytes([10])))
""")
    assert "last words" in said


def test_the_last_words_of_a_worker_that_dies_are_told(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        manager = launch(O, 'Manager')[0]
        launch(O, 'Worker', manager)
        def die():
            import os, sys
            print('printed before')
            os.write(2, b'said below python\\n')
            sys.stdout.flush()
            os._exit(3)
        tell('result', call(O, die)[0].error)
        time.sleep(0.2)
    """)
    assert "exited with code 3" in said
    assert "said below python" in said
    assert "printed before" in said


def test_types_can_be_muted_per_executor(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        quiet = {'logTypes': {'debug': {'stdoutFlag': False, 'fileFlag': False}}}
        one = launch(O, 'Worker', executorKwargs={'logKwargs': quiet})[0]
        two = launch(O, 'Worker')[0]
        def talk(executor):
            executor.log_and_transfer('debug', 'a debug')
            executor.log_and_transfer('info', 'an info')
            print('a print')
        call(O, talk, to=[one, two], first=True)
        tell('names', one, two)
    """)
    one, two = told(said, "names")
    by = {name: [text for _, origin, text in records(said) if origin == name] for name in (one, two)}
    assert by == {one: ["an info", "a print"], two: ["a debug", "an info", "a print"]}


def test_prints_can_be_muted_per_executor(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        quiet = {'logTypes': {'stdout': {'stdoutFlag': False, 'fileFlag': False}}}
        launch(O, 'Worker', executorKwargs={'logKwargs': quiet})
        call(O, lambda executor: print('a print') or executor.log_and_transfer('info', 'an info'), first=True)
    """)
    assert [text for _, _, text in records(said)] == ["an info"]


def test_types_muted_at_the_orchestrator_are_not_written(scripts: Scripts) -> None:
    said = scripts.run("""
        quiet = {'logTypes': {'debug': {'stdoutFlag': False, 'fileFlag': False}}}
        O = Orchestrator(logKwargs=quiet)
        launch(O, 'Worker')
        def talk(executor):
            executor.log_and_transfer('debug', 'a debug')
            executor.log_and_transfer('info', 'an info')
        call(O, talk, first=True)
        O.log_and_transfer('debug', 'another debug')
        call(O, lambda: None)
    """)
    assert "an info" in said
    assert "debug" not in said


def test_starts_and_ends_of_executions_are_said_where_asked_for(scripts: Scripts) -> None:
    said = scripts.run("""
        asked = {'logTypes': {'execution_started': {'stdoutFlag': True}, 'execution_finished': {'stdoutFlag': True}}}
        O = Orchestrator()
        launch(O, 'Worker', executorKwargs={'logKwargs': asked})
        launch(O, 'Worker')
        call(O, lambda: None)
    """)
    assert [kind for kind, _, _ in records(said)] == ["EXECUTION STARTED", "EXECUTION FINISHED"]


def test_a_new_log_type_is_made_known_by_using_it(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        launch(O, 'Worker')
        call(O, lambda executor: executor.log_and_transfer('weather', 'it rains'), first=True)
    """)
    assert [(kind, text) for kind, _, text in records(said)] == [("WEATHER", "it rains")]


def test_results_without_name_and_without_collecting_are_logged(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        launch(O, 'Worker')
        call(O, lambda: 'a fine result', collect=False)
        call(O, lambda: 1 / 0, collect=False)
        call(O, lambda: None)
    """)
    assert "a fine result" in said
    assert "ZeroDivisionError" in said


def test_logging_to_a_file(scripts: Scripts, tmp_path: Path) -> None:
    scripts.run(f"""
        basename = {str(tmp_path / "grid")!r}
        O = Orchestrator(logKwargs={{'logToFile': True, 'logToStdout': False, 'logFileBasename': basename}})
        launch(O, 'Worker')
        def talk(executor):
            print('to the file')
            executor.log_and_transfer('info', 'also to the file')
        call(O, talk, first=True)
    """)
    (file,) = tmp_path.glob("grid*.log")
    text = file.read_text()
    assert "to the file" in text
    assert "also to the file" in text
    assert "worker|Worker@" in text


def test_terminal_control_characters_are_made_harmless(scripts: Scripts) -> None:
    said = scripts.run(r"""
        O = Orchestrator()
        launch(O, 'Worker')
        call(O, lambda executor: executor.log_and_transfer('info', 'red \x1b[31m and \x07 bell'), first=True)
        call(O, lambda: print('print \x1b[2J clears'))
    """)
    assert "\x1b" not in said
    assert "red" in said
    assert "clears" in said


def test_text_of_every_kind_makes_the_trip(scripts: Scripts) -> None:
    said = scripts.run(r"""
        O = Orchestrator()
        launch(O, 'Worker')
        def talk(executor):
            print('ünïcode \U0001f600')
            print()
            print('x' * 200_000)
            executor.log_and_transfer('info', 'y' * 300_000)
            executor.log_and_transfer('info', None)
            executor.log_and_transfer('info', ('a', 1))
            return 'fine'
        tell(call(O, talk, first=True))
    """)
    assert "['fine']" in said
    assert "ünïcode \U0001f600" in said
    assert said.count("x") >= 200_000
    assert said.count("y") >= 300_000


def test_text_that_has_no_utf_8_is_shown_and_nothing_around_it_is_lost(scripts: Scripts) -> None:
    said = scripts.run(r"""
        O = Orchestrator()
        launch(O, 'Worker')
        call(O, lambda: print('before\nlone \ud800 surrogate\nafter'))
        call(O, lambda executor: executor.log_and_transfer('info', 'logged \ud800 too'), first=True)
        sys.stdout.reconfigure(encoding='ascii')
        call(O, lambda: print('für alle'))
    """)
    for text in ("before", "surrogate", "after", "logged", "alle"):
        assert text in said


def test_logging_with_a_bad_type_is_an_error_in_the_function(scripts: Scripts) -> None:
    said = scripts.run("""
        O = Orchestrator()
        launch(O, 'Worker')
        for bad in (5, None, ''):
            status = call(O, lambda executor: executor.log_and_transfer(bad, 'x'), first=True)[0]
            tell('error', 'logType' in status.error)
        tell(call(O, lambda: 'alive'))
    """)
    assert said.count("error True") == 3
    assert "['alive']" in said


def test_a_flood_of_records_does_not_grow_the_orchestrator(scripts: Scripts) -> None:
    """A flood waits at its source: memory stays flat and everything is written."""
    said = scripts.run("""
        O = Orchestrator(logKwargs={'logToStdout': False})
        launch(O, 'Worker', count=2)
        call(O, lambda: None)
        before = peak_kib()
        def flood():
            for n in range(20_000):
                print('z' * 999)
        call(O, flood)
        grown = (peak_kib() - before) // 1024
        tell('grown by less than 64 MB:', grown < 64, grown)
    """)
    assert "grown by less than 64 MB: True" in said, said[-300:]
