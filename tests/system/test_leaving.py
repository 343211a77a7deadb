"""However a grid ends, soon nothing of it is left, and a script ends by itself with its own exit status."""

from __future__ import annotations

import gc
import os
import signal
import socket
import textwrap

import pytest
from tests.system.grids import ANY_NUMBER, MakeGrid, Running, Scripts, Traces
from tests.system.watching import (
    COOKIE,
    LEAVING_S,
    is_alive,
    parent_of,
    pid_in,
    port_in,
    processes_with,
    wait_until,
)

from softgrid import Orchestrator

pytestmark = pytest.mark.system

GRID = """
O = Orchestrator()
router = launch(O, 'Router')[0]
managers = launch(O, 'Manager', router, count=2)
workers = [launch(O, 'Worker', manager)[0] for manager in managers]
"""

STUBBORN = {
    "sleeps": "time.sleep(600)",
    "computes": "while True: pass",
    "ignores signals": """
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(number, signal.SIG_IGN)
        while True:
            try: time.sleep(600)
            except BaseException: pass""",
    "swallows exceptions": """
        while True:
            try:
                while True: time.sleep(0.01)
            except BaseException: pass""",
    "holds the GIL": "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "has threads that do not end": """
        import threading
        for _ in range(3): threading.Thread(target=time.sleep, args=(600,)).start()
        time.sleep(600)""",
    "is stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "has started programs": """
        import subprocess
        subprocess.Popen(['sleep', '600']); subprocess.Popen(['sh', '-c', 'trap "" TERM HUP INT; sleep 600; sleep 600'])
        time.sleep(600)""",
    "has started a session of its own": """
        import subprocess
        subprocess.Popen(['sleep', '600'], start_new_session=True)
        subprocess.Popen(['setsid', 'sh', '-c', 'setsid sleep 600 & setsid nohup sleep 600 & sleep 600'])
        time.sleep(600)""",
    "has made a daemon": """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for descriptor in range(3, 200):
                    try: os.close(descriptor)
                    except OSError: pass
                time.sleep(600)
            os._exit(0)
        time.sleep(600)""",
}


SLEEPS = 6
"""How many programs named sleep run when a worker of each stubborn kind has begun."""


def begun(scripts: Scripts, ending: str = "signal.pause()") -> Running:
    """A script whose workers are each inside a function of another stubborn kind, half of them under each manager."""
    bodies = "\n".join(f"def {kind.replace(' ', '_')}():\n{indented(text)}" for kind, text in STUBBORN.items())
    return scripts.start(
        GRID
        + f"""
def stubborn(beginning, name):
    import os, signal, time
    space = {{'os': os, 'signal': signal, 'time': time}}
    exec(bodies, space)
    open(beginning, 'w').close()
    space[name]()
bodies = {bodies!r}
names = {[kind.replace(" ", "_") for kind in STUBBORN]!r}
for manager in managers: workers += launch(O, 'Worker', manager, count=len(names) // 2 - 1)
beginnings = [os.path.join(os.environ['SCRIPT_FOLDER'], name) for name in names]
for worker, beginning, name in zip(workers, beginnings, names):
    call(O, stubborn, beginning, name, to=worker, collect=False)
while not all(map(os.path.exists, beginnings)): time.sleep(0.01)
say('ready', router, *managers, *workers)
{ending}
""",
        env={"SCRIPT_FOLDER": str(scripts.folder)},
    )


def indented(text: str) -> str:
    """The body of a stubborn function."""
    return textwrap.indent(textwrap.dedent(text).strip("\n"), "    ")


def await_programs(traces: Traces) -> None:
    """Wait until the stubborn workers have started what they start."""
    wait_until(lambda: sum(command.startswith("sleep:") for command in traces.processes().values()) >= SLEEPS)


def names_of(running: Running) -> list[str]:
    """Names of the router, the managers and the workers, once the script is ready."""
    return running.await_output("ready ").split()


def idle(scripts: Scripts, ending: str = "signal.pause()") -> Running:
    """A script with a small grid that has nothing to do."""
    small = "O = Orchestrator()\nmanager = launch(O, 'Manager')[0]\nworkers = launch(O, 'Worker', manager, count=2)\n"
    return scripts.start(small + "call(O, os.getpid)\nsay('ready', manager, *workers)\n" + ending)


# -- the script ends -------------------------------------------------------------------------------


def test_the_end_of_a_script_is_the_end_of_the_grid(scripts: Scripts) -> None:
    assert idle(scripts, "").end() == 0


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("sys.exit(7)", 7),
        ("sys.exit('a message')", 1),
        ("raise ValueError('mine')", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("os._exit(11)", 11),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("O.kill()", -signal.SIGKILL),
        ("os.execvp('true', ['true'])", 0),
        ("O.disconnect(); sys.exit(5)", 0),
        ("O.disconnect(kill=False); O.disconnect(kill=False); sys.exit(5)", 5),
        ("O.disconnect(kill=False, killLocalDowngrids=False); sys.exit(5)", 5),
        ("import threading; threading.Thread(target=sys.exit, args=(3,)).start(); sys.exit(5)", 5),
        ("os.close(1); sys.exit(5)", 5),
    ],
)
def test_the_script_keeps_its_own_exit_status(scripts: Scripts, ending: str, status: int) -> None:
    assert idle(scripts, ending).end() == status


def test_an_unhandled_exception_shows_its_own_traceback_and_nothing_of_ours(scripts: Scripts) -> None:
    said = scripts.run(GRID + "raise ValueError('mine')", status=1)
    assert said.rstrip().endswith("ValueError: mine")
    assert said.count("Traceback") == 1
    assert "softgrid" not in said.partition("Traceback")[2].replace(str(scripts.folder), "")


def test_a_script_that_ends_says_nothing_by_itself(scripts: Scripts) -> None:
    assert scripts.run(GRID + "call(O, os.getpid)") == ""


def test_atexit_functions_of_the_script_may_still_use_the_grid(scripts: Scripts) -> None:
    said = scripts.run("""
        import atexit
        O = Orchestrator()
        launch(O, 'Worker')
        atexit.register(lambda: say('at the end', call(O, lambda: 5)))
    """)
    assert "at the end [5]" in said


def test_a_killed_grid_disconnect_says_so_and_refuses_further_work(scripts: Scripts) -> None:
    said = scripts.run(
        GRID
        + """
O.disconnect(kill=False)
say('left', O.isDisconnected, bool(call(O, os.getpid)), call(O, os.getpid).error)
statuses, successful, failed = O.launch_worker([O.address] * 2)
say(*(status.error for status in statuses))
say('not launched', len(statuses), successful, [each['executorType'] for each in failed])
say(repr(O), O.name, O.role)
sys.exit(3)
""",
        status=3,
    )
    assert "left True False" in said
    assert said.count("has left the grid") >= 3
    assert "not launched 2 [] ['Worker', 'Worker']" in said


@pytest.mark.parametrize(("flag", "status"), [("True", 0), ("False", 5), ("None", 0)])
def test_kill_at_disconnect_decides_when_disconnect_is_not_told(scripts: Scripts, flag: str, status: int) -> None:
    source = f"O = Orchestrator(killAtDisconnect={flag}); launch(O, 'Worker'); O.disconnect(); sys.exit(5)"
    assert scripts.start(source).end() == status


@pytest.mark.parametrize("flag", ["True", "False"])
def test_the_argument_of_disconnect_wins_over_kill_at_disconnect(scripts: Scripts, flag: str) -> None:
    opposite = str(flag == "False")
    source = (
        f"O = Orchestrator(killAtDisconnect={flag}); launch(O, 'Worker'); O.disconnect(kill={opposite}); sys.exit(5)"
    )
    assert scripts.start(source).end() == (0 if opposite == "True" else 5)


def test_disconnect_in_interactive_mode_keeps_the_process(scripts: Scripts) -> None:
    source = "Globals.INTERACTIVE_MODE = True\nO = Orchestrator(); launch(O, 'Worker'); O.disconnect(); sys.exit(5)"
    assert scripts.start(source).end() == 5


def test_output_is_not_lost_when_disconnect_ends_the_process(scripts: Scripts) -> None:
    said = scripts.run(
        "O = Orchestrator(); launch(O, 'Worker'); call(O, print, 'from the worker'); print('buffered'); O.disconnect()"
    )
    assert "buffered" in said
    assert "from the worker" in said


def test_disconnect_frees_ports_and_leaves_no_process(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, managers=1, workers=2, port=0)
    names = [*grid.routers, *grid.managers, *grid.workers]
    cookie = grid.cookie()
    grid.O.disconnect(kill=False)
    assert not any(is_alive(pid_in(name)) for name in names)
    assert processes_with(COOKIE, cookie) == {}
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port_in(grid.O.gridUniqueName)))


def test_disconnect_while_other_threads_wait_wakes_them(make_grid: MakeGrid) -> None:
    import threading
    import time

    grid = make_grid()
    outcomes: list[object] = []
    threads = [threading.Thread(target=lambda: outcomes.append(grid.call(time.sleep, 600))) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: grid.O.statistics(grid.workers[0])["tasks_queued"] >= 2)
    grid.O.disconnect(kill=False)
    for thread in threads:
        thread.join(LEAVING_S)
    assert len(outcomes) == 3
    assert not any(outcome[0] if isinstance(outcome, list) else outcome for outcome in outcomes)


def test_making_and_leaving_grids_again_and_again_leaves_no_descriptor_open(traces: Traces) -> None:
    def once() -> None:
        orchestrator = Orchestrator(rules=ANY_NUMBER)
        assert orchestrator.launch_worker([orchestrator.address] * 2)[2] == []
        orchestrator.disconnect(kill=False)

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(4):
        once()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


# -- signals to the script -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGQUIT])
def test_signals_that_end_the_script_end_the_grid(scripts: Scripts, number: int) -> None:
    running = idle(scripts)
    names_of(running)
    running.signal(number)
    assert running.end() == -number


@pytest.mark.parametrize(
    "where", ["signal.pause()", "time.sleep(600)", "call(O, time.sleep, 600)", "while True: call(O, os.getpid)"]
)
def test_ctrl_c_ends_the_script_as_it_ends_any_other(scripts: Scripts, where: str) -> None:
    running = idle(scripts, f"say('now')\n{where}")
    names_of(running)
    running.await_output("now")
    running.signal(signal.SIGINT)
    assert running.end() == -signal.SIGINT
    assert "KeyboardInterrupt" in running.output


def test_ctrl_c_can_be_caught_and_the_grid_still_answers(scripts: Scripts) -> None:
    running = idle(
        scripts,
        """
say('now')
try:
    call(O, time.sleep, 600, to=workers[0])
except KeyboardInterrupt:
    say('caught', call(O, lambda: 5, to=workers[1]), call(O, lambda: 6, to=workers[0], priority=None))
sys.exit(9)
""",
    )
    running.await_output("now")
    running.signal(signal.SIGINT)
    assert running.end() == 9
    assert "caught [5] [6]" in running.output


def test_ctrl_c_during_a_launch_leaves_nothing(scripts: Scripts) -> None:
    running = scripts.start("O = Orchestrator()\nsay('now')\nwhile True: launch(O, 'Worker', count=5)")
    running.await_output("now")
    wait_until(lambda: running.process.poll() is not None or len(scripts.traces.processes()) > 10)
    running.signal(signal.SIGINT)
    assert running.end() == -signal.SIGINT


def test_a_handler_of_the_script_is_left_alone(scripts: Scripts) -> None:
    running = scripts.start("""
        def on_signal(number, frame):
            say('got', number)
            sys.exit(20 + number)
        signal.signal(signal.SIGINT, on_signal); signal.signal(signal.SIGTERM, on_signal)
        O = Orchestrator(); launch(O, 'Worker')
        say('ready')
        call(O, time.sleep, 600)
    """)
    running.await_output("ready")
    running.signal(signal.SIGTERM)
    assert running.end() == 20 + signal.SIGTERM
    assert f"got {signal.SIGTERM}" in running.output


def test_ctrl_c_reaches_the_script_only(scripts: Scripts) -> None:
    """A terminal sends it to the whole group; executors must not die of it, nor print anything."""
    running = idle(
        scripts.in_own_session(),
        "say('now')\ntry: signal.pause()\nexcept KeyboardInterrupt: say('answers', call(O, lambda: 5))\nsys.exit(3)",
    )
    running.await_output("now")
    os.killpg(running.pid, signal.SIGINT)
    assert running.end() == 3
    assert "answers [5, 5]" in running.output
    assert "Traceback" not in running.output


# -- kill -9 of any one ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_death_of_the_orchestrator_ends_whatever_users_do(scripts: Scripts, number: int, traces: Traces) -> None:
    running = begun(scripts)
    names_of(running)
    await_programs(traces)
    running.signal(number)
    assert running.end() == -number


def test_the_end_of_a_script_ends_whatever_users_do(scripts: Scripts) -> None:
    assert begun(scripts, "time.sleep(0.2); sys.exit(4)").end() == 4


@pytest.mark.parametrize("victim", ["router", "managers", "workers"])
def test_kill_9_of_executors_ends_what_is_below_them(scripts: Scripts, victim: str, traces: Traces) -> None:
    running = begun(scripts)
    router, one, other, *workers = names_of(running)
    victims = {"router": [router], "managers": [one, other], "workers": workers}[victim]
    below = {"router": [router, one, other, *workers], "managers": [one, other, *workers], "workers": workers}[victim]
    for name in victims:
        os.kill(pid_in(name), signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid_in(name)) for name in below), LEAVING_S, f"{below} are gone")
    assert all(is_alive(pid_in(name)) for name in {router, one, other, *workers} - set(below))
    assert running.process.poll() is None, "the script is not concerned"
    running.signal(signal.SIGTERM)
    assert running.end() == -signal.SIGTERM


def test_kill_9_of_the_supervisor_ends_all_executors(scripts: Scripts) -> None:
    running = begun(scripts)
    names = names_of(running)
    os.kill(parent_of(pid_in(names[0])), signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid_in(name)) for name in names), LEAVING_S, f"{names} are gone")
    assert running.process.poll() is None, "the script is not concerned"
    running.signal(signal.SIGTERM)
    assert running.process.wait(LEAVING_S) == -signal.SIGTERM
    for pid in scripts.traces.processes():  # what had left its group; see the next test
        os.kill(pid, signal.SIGKILL)
    running.end()


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(
            signal.SIGTERM,
            marks=pytest.mark.xfail(
                strict=False, reason="when both are killed nobody looks for what had left its group: a race"
            ),
            id="and of the script",
        ),
        pytest.param(0, id="alone"),
    ],
)
def test_kill_9_of_the_supervisor_ends_what_executors_had_let_go_of(
    scripts: Scripts, traces: Traces, then: int
) -> None:
    running = begun(scripts)
    names = names_of(running)
    await_programs(traces)
    os.kill(parent_of(pid_in(names[0])), signal.SIGKILL)
    if then:
        running.signal(then)
    try:
        wait_until(lambda: set(traces.processes()) <= {running.pid}, LEAVING_S, "only the script is left")
    finally:
        for pid in traces.processes():
            os.kill(pid, signal.SIGKILL)
        running.process.wait()


def test_what_a_killed_worker_had_started_is_gone_too(make_grid: MakeGrid, traces: Traces) -> None:
    grid = make_grid(managers=1)

    def start_sessions() -> None:
        import subprocess

        subprocess.Popen(["sleep", "600"], start_new_session=True)
        subprocess.Popen(["setsid", "sh", "-c", "setsid sleep 600 & setsid nohup sleep 600 & sleep 600"])

    def sleeps() -> list[str]:
        return [command for command in traces.processes().values() if command.startswith("sleep:")]

    grid.one(start_sessions)
    wait_until(lambda: len(sleeps()) == 4)
    os.kill(pid_in(grid.workers[0]), signal.SIGKILL)
    wait_until(lambda: not sleeps(), LEAVING_S, "what the worker had started is gone")


@pytest.mark.parametrize("role", ["routers", "managers", "workers"])
def test_the_death_of_an_executor_wakes_whoever_waits_and_names_the_cause(make_grid: MakeGrid, role: str) -> None:
    import time

    grid = make_grid(routers=1, managers=1, workers=2)
    template = grid.template(time.sleep, 600)
    import threading

    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.extend(grid.O.transfer(template, grid.workers, collect=True)))
    thread.start()
    victim = getattr(grid, role)[0]
    os.kill(pid_in(victim), signal.SIGKILL)
    if role == "workers":
        wait_until(lambda: victim not in grid.O.workers)
        assert thread.is_alive(), "the other worker is not concerned"
        os.kill(pid_in(grid.workers[1]), signal.SIGKILL)
    thread.join(LEAVING_S)
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert not outcome
        assert "SIGKILL" in outcome.error  # type: ignore[attr-defined]
        assert outcome.data is template  # type: ignore[attr-defined]
    wait_until(lambda: victim not in [*grid.O.routers, *grid.O.managers, *grid.O.workers])
    assert grid.launch("Worker")


def test_launching_works_again_after_the_supervisor_was_killed(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)
    os.kill(parent_of(pid_in(grid.workers[0])), signal.SIGKILL)
    wait_until(lambda: not grid.O.workers and not grid.O.managers, what="everybody below is known to be gone")
    (manager,) = grid.launch("Manager")
    (worker,) = grid.launch("Worker", manager)
    assert grid.one(os.getpid, to=worker) == pid_in(worker)


def test_an_executor_that_disconnects_itself_leaves_with_those_below(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, managers=1, workers=2, rules={"router_allow_executing_udf": True})
    template = grid.template(lambda executor: executor.disconnect(), first=True, returnResult=False)
    grid.O.transfer(template, grid.routers[0])
    everybody = [*grid.routers, *grid.managers, *grid.workers]
    wait_until(lambda: not any(is_alive(pid_in(name)) for name in everybody), LEAVING_S)
    wait_until(lambda: not [*grid.O.routers, *grid.O.managers, *grid.O.workers])


def test_a_worker_that_disconnects_itself_is_gone_and_its_caller_is_told(make_grid: MakeGrid) -> None:
    grid = make_grid(managers=1, workers=2)
    status = grid.one(lambda executor: executor.disconnect(), first=True)
    assert not status
    assert "no answer" not in status.error
    wait_until(lambda: grid.O.workers == grid.workers[1:])
    wait_until(lambda: not is_alive(pid_in(grid.workers[0])), LEAVING_S)
    grid.check_alive()


def test_a_worker_that_kills_itself_is_told(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=2)
    status = grid.one(lambda executor: executor.kill(), first=True)
    assert "SIGKILL" in status.error
    wait_until(lambda: grid.O.workers == grid.workers[1:])
    grid.check_alive()


def test_the_parent_of_a_script_sees_no_change_of_its_terminal_or_group(scripts: Scripts) -> None:
    said = scripts.run("""
        before = os.getpgrp(), os.getsid(0)
        O = Orchestrator(); launch(O, 'Worker')
        say(before == (os.getpgrp(), os.getsid(0)))
    """)
    assert "True" in said


def test_the_cookie_of_a_grid_is_its_own_also_inside_another_grid(scripts: Scripts) -> None:
    """A grid made by a worker's function: it ends with its orchestrator, and does not take the outer one along."""
    running = scripts.start("""
        O = Orchestrator(); worker = launch(O, 'Worker')[0]
        def inner():
            from softgrid import Orchestrator
            I = Orchestrator(); names = [item['gridUniqueName'] for item in I.launch_worker([I.address])[1]]
            results = I.transfer(I.get_transfer_template(lambda: 5), 'workers', collect=True)
            I.disconnect(kill=False)
            return names, results
        names, results = call(O, inner)[0]
        say('inner', results, call(O, lambda: 6))
    """)
    assert running.end() == 0
    assert "inner [5] [6]" in running.output


def test_the_environment_of_the_script_is_not_changed(scripts: Scripts) -> None:
    said = scripts.run(f"""
        before = dict(os.environ)
        O = Orchestrator(); launch(O, 'Worker')
        say(before == dict(os.environ), {COOKIE!r} in os.environ)
    """)
    assert "True False" in said


def test_an_executor_that_served_in_this_process_leaves_no_thread(make_grid: MakeGrid) -> None:
    import threading

    before = set(threading.enumerate())
    grid = make_grid(workers=1)
    name = grid.O.gridUniqueName
    for priority in (1, None):
        call = {**grid.template("statistics"), "priority": priority}
        assert grid.O.transfer(call, name, collect=True)[0]["name"] == name
    grid.O.disconnect(kill=False)
    wait_until(lambda: not set(threading.enumerate()) - before, what=f"no thread is left: {threading.enumerate()}")
