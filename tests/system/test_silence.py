"""Machines that neither answer nor break, and processes that do not run: suspect soon, dead at the tolerance, and who
is only busy is neither."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from threading import Thread
from time import monotonic
from typing import Any

import pytest
from tests.system.grids import Grid, MakeGrid, Scripts
from tests.system.guests import PASSWORD, a_guest, await_guest
from tests.system.ssh_hosts import Namespace, SshHosts
from tests.system.watching import is_alive, pid_in, wait_until

pytestmark = pytest.mark.system

FREQUENCY_S = 2.0
ONCE, BACK = ({"executorKwargs": {"relaunch": flag}} for flag in (False, True))


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    yield made
    made.close()


def far_worker(grid: Grid, **kwargs: Any) -> str:
    statuses, successful, failed = grid.O.launch_worker("far", timeout=30, **(kwargs or ONCE))
    assert failed == [], statuses
    return str(successful[0]["gridUniqueName"])


def test_a_silent_machine_is_given_nothing_new_until_it_speaks_again(
    namespace: Namespace, hosts: SshHosts, make_grid: MakeGrid
) -> None:
    hosts.make("far", namespace=namespace)
    grid = make_grid(workers=1, rules=hosts.rules, heartMonitorFrequency=FREQUENCY_S)
    far, (near,) = far_worker(grid), grid.workers
    said = grid.listen()
    assert "suspect" not in grid.O.machines["far"]
    namespace.cut()
    cut_at = monotonic()
    wait_until(lambda: grid.O.machines["far"].get("suspect"), what="the silence is noticed")
    assert monotonic() - cut_at < FREQUENCY_S + 1
    (reason,) = grid.O.machines["far"]["suspect"].values()
    assert reason.startswith(f"{far} is silent: nothing has come from far for ")
    assert grid.O._node.statistics().executors_suspected == 1
    assert [grid.O.schedule_task(os.getpid) for _ in range(4)] == [[pid_in(near)]] * 4
    (promise,) = grid.O.create_job_promise(ntasks=1, workers=[far, near])
    assert promise["promise_executor"] == near
    (status,) = grid.O.transfer(grid.template(os.getpid), far, collect=True, transferTimeout=0.1)
    assert "is silent: nothing has come from far for " in status.error
    grid.O.remove_job_promise([promise])
    namespace.heal()
    wait_until(lambda: "suspect" not in grid.O.machines["far"], what="it is well again")
    assert grid.call(os.getpid, to=far) == [pid_in(far)], "the same one as before"
    assert sorted(grid.O.workers) == sorted([far, near])
    grid.O.disconnect(kill=False)
    assert sum("the 1 executor there and what stands below get nothing new" in line for line in said) == 1
    assert said.count("far answers again") == 1


def test_a_machine_that_stays_silent_is_dead_at_the_tolerance_on_both_sides(
    namespace: Namespace, hosts: SshHosts, make_grid: MakeGrid
) -> None:
    tolerance_s = 4.0
    far_machine = hosts.make("far", namespace=namespace)
    grid = make_grid(workers=0, rules=hosts.rules, heartMonitorFrequency=FREQUENCY_S, heartbeatTolerance=tolerance_s)
    before = far_worker(grid, **BACK)
    outcome: list[Any] = []
    call = grid.template("lambda: __import__('time').sleep(600)")
    thread = Thread(target=lambda: outcome.extend(grid.O.transfer(call, before, collect=True)))
    thread.start()
    wait_until(lambda: grid.O._node.transfers.inflight.open_at(grid.O._node.tree.find(before).node_id))  # type: ignore[union-attr]
    namespace.cut()
    cut_at = monotonic()
    thread.join(30)
    assert tolerance_s - 1 < monotonic() - cut_at < tolerance_s + 5
    assert "the connection to far is gone: nothing has come from far for 4 s (heartbeatTolerance = 4 s)" in str(outcome)
    assert "may have run" in str(outcome)
    wait_until(lambda: not is_alive(pid_in(before)), what="the other side has ended it too")
    wait_until(lambda: not far_machine.executors(), what="and everything else")
    namespace.heal()
    after = wait_until(lambda: [name for name in grid.O.workers if name != before], 60, "a new one is there")
    assert grid.call(os.getpid, to=after) == [pid_in(after[0])]


HOG = "__import__('ctypes').PyDLL(None).sleep({})"


@pytest.mark.parametrize("how", ["busy", "stopped"])
def test_an_orchestrator_that_was_away_for_longer_than_the_tolerance_has_lost_nobody(
    hosts: SshHosts, scripts: Scripts, how: str
) -> None:
    hosts.make("far")
    script = scripts.start(
        f"""
        Globals.RULES.update({hosts.rules!r})
        O = Orchestrator(heartMonitorFrequency=0.5, heartbeatTolerance=1.5)
        statuses, good, bad = O.launch_worker(['far', O.address], timeout=30)
        assert not bad, statuses
        pids = call(O, os.getpid)
        tell('up')
        if {how == "busy"}:
            {HOG.format(5)}
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        tell('calls', sorted(call(O, os.getpid)) == sorted(pids))
        """
    )
    script.await_output(">> up")
    if how == "stopped":
        wait_until(lambda: _state_of(script.pid) == "T", what="it is stopped")
        from time import sleep

        sleep(5.0)  # the time for which it is stopped is what is tested
        script.signal(signal.SIGCONT)
    assert script.await_output(">> calls") == "True"
    assert script.end() == 0


def _state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def test_a_far_machine_whose_supervisor_is_stopped_is_suspect_then_dead(hosts: SshHosts, make_grid: MakeGrid) -> None:
    far_machine = hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules, heartMonitorFrequency=1.0, heartbeatTolerance=3.0)
    worker = far_worker(grid)
    supervisor = far_machine.supervisor
    os.kill(supervisor, signal.SIGSTOP)
    wait_until(lambda: grid.O._node.tree.suspicion(worker), what="it is suspect")
    wait_until(lambda: not grid.O.workers, what="it is dead")
    (status,) = grid.O.transfer(grid.template(os.getpid), worker, collect=True)
    assert "nothing has come from far for 3 s" in status.error
    os.kill(supervisor, signal.SIGCONT)
    wait_until(lambda: not far_machine.executors(), what="it ends what was declared dead as soon as it runs again")


def test_a_far_worker_that_holds_the_interpreter_is_never_suspect(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far")
    grid = make_grid(workers=0, rules=hosts.rules, heartMonitorFrequency=0.5, heartbeatTolerance=1.0)
    worker = far_worker(grid)
    suspicions: list[Any] = []
    grid.O._node.membership.suspect = lambda *args, **kwargs: suspicions.append(args)  # type: ignore[method-assign]
    assert grid.one(f"lambda: {HOG.format(4)}", to=worker) == 0
    assert suspicions == []
    assert grid.one(os.getpid, to=worker) == pid_in(worker)


def test_an_executor_that_stays_stopped_is_ended_at_the_tolerance_and_comes_back(make_grid: MakeGrid) -> None:
    grid = make_grid(workers=0, heartMonitorFrequency=0.5, heartbeatTolerance=1.0)
    (before,) = grid.launch("Worker", **BACK)
    os.kill(pid_in(before), signal.SIGSTOP)
    wait_until(lambda: grid.O.workers and grid.O.workers != [before], what="another one is there")
    (status,) = grid.O.transfer(grid.template(os.getpid), before, collect=True)
    assert "stopped by signal 19 (SIGSTOP) for 1 s (heartbeatTolerance = 1 s), and was ended" in status.error
    assert grid.call(os.getpid, to=grid.O.workers) == [pid_in(grid.O.workers[0])]


@pytest.mark.parametrize("how", ["busy", "stopped"])
def test_a_guest_that_is_busy_or_stopped_is_suspect_for_as_long_and_stays(
    scripts: Scripts, make_grid: MakeGrid, how: str
) -> None:
    grid = make_grid(workers=0, password=PASSWORD, heartMonitorFrequency=0.5, heartbeatTolerance=1.0)
    a_guest(scripts, grid)
    name = await_guest(grid)
    answers: list[Any] = []
    call = grid.template(f"lambda: {HOG.format(4)}" if how == "busy" else "lambda: 0")
    if how == "stopped":
        os.kill(pid_in(name), signal.SIGSTOP)
    thread = Thread(target=lambda: answers.extend(grid.O.transfer(call, name, collect=True)))
    began = monotonic()
    thread.start()
    wait_until(lambda: grid.O._node.tree.suspicion(name), what="it is suspect")
    assert "though its machine answers: it is busy or stopped" in grid.O._node.tree.suspicion(name)
    if how == "stopped":
        wait_until(lambda: monotonic() - began > 4, what="the tolerance has long passed")
        os.kill(pid_in(name), signal.SIGCONT)
    thread.join(30)
    assert answers == [0]
    wait_until(lambda: not grid.O._node.tree.suspicion(name), what="it is well again")
    assert grid.O.workers == [name]


def test_a_grid_of_one_machine_gives_no_signs_of_life_and_needs_none(make_grid: MakeGrid) -> None:
    grid = make_grid(routers=1, managers=1, workers=2)
    assert grid.O._node.health._heartbeats._timer is None
    timer = "lambda router: router._node.health._heartbeats._timer"
    (router,) = grid.launch("Router", executorKwargs={"allowExecutingUDF": True})
    grid.launch("Worker", grid.launch("Manager", router)[0], count=2)
    assert grid.one(timer, to=router, first=True) is None


def test_what_holds_for_the_grid_is_sent_down(hosts: SshHosts, make_grid: MakeGrid) -> None:
    hosts.make("far")
    rules = {**hosts.rules, "manager_allow_executing_udf": True}
    grid = make_grid(workers=0, rules=rules, heartMonitorFrequency=3, heartbeatTolerance=33)
    (manager,) = grid.launch("Manager")
    (own,) = grid.launch("Worker", manager, executorKwargs={"heartbeatTolerance": 5})
    asked = "lambda executor: (executor.heartMonitorFrequency, executor.heartbeatTolerance)"
    assert grid.call(asked, to=[manager, own, far_worker(grid)], first=True) == [(3, 33), (3, 5), (3, 33)]
