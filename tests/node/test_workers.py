"""The workers below: who may be given what, and who is given it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.trees import A1, A2, B1, TOP, A, B, tree_of

from softgrid._model.errors import BadArgument, MalformedName, NoRoute, Refused
from softgrid._model.names import node_id
from softgrid._node import workers as workers_module
from softgrid._node.workers import Workers, check_worker
from softgrid._state.inflight import Batch, InFlight
from softgrid._state.reservations import Reservations


class Choosing:
    def __init__(self, where: str = TOP) -> None:
        self.tree: Any = tree_of(where)
        self.inflight = InFlight()
        self.reservations = Reservations()
        self.workers = Workers(self.tree, self.inflight, self.reservations.held_by)

    def call(self, name: str) -> int:
        return self.inflight.open(Batch([name], [None]), 0, node_id(name))


@pytest.fixture
def choosing() -> Choosing:
    return Choosing()


def test_who_may_run_functions_of_users_is_known_from_when_it_joined(choosing: Choosing) -> None:
    choosing.tree.join(A2, (TOP, A), A, cores=1, now_utc=0.0, allows_udf=False)
    assert choosing.workers.allowed(runs_udf=False) == [A1, A2, B1]
    assert choosing.workers.allowed(runs_udf=True) == [A1, B1]


def test_where_there_is_nobody_it_says_so(choosing: Choosing) -> None:
    with pytest.raises(NoRoute, match="there is no worker below"):
        Choosing(A1).workers.allowed(runs_udf=False)
    for name in (A1, A2, B1):
        choosing.tree.find(name).allows_udf = False
    with pytest.raises(Refused, match="none of the 3 workers below"):
        choosing.workers.allowed(runs_udf=True)


def test_who_is_there_but_does_not_work_is_passed_over_unless_there_is_nobody_else(choosing: Choosing) -> None:
    choosing.tree.find(A1).suspicion = "stopped by SIGSTOP"
    assert choosing.workers.allowed(runs_udf=True) == [A2, B1]
    choosing.tree.find(B).suspicion = "stopped by SIGSTOP"
    assert choosing.workers.allowed(runs_udf=True) == [A2], "nor who stands below somebody like that"
    choosing.tree.find(A2).suspicion = "stopped by SIGTSTP"
    assert choosing.workers.allowed(runs_udf=True) == [A1, A2, B1]


def test_who_has_calls_or_promises_from_here_is_chosen_later(choosing: Choosing) -> None:
    message_id = choosing.call(A1)
    choosing.reservations.note("p", node_id(B1), B1)
    assert choosing.workers.choose([A1, A2, B1]) == A2
    choosing.call(A2)
    choosing.call(A2)
    choosing.inflight.settle(message_id, node_id(A1), b"x")
    assert choosing.workers.by_load([A2, B1, A1]) == [A1, B1, A2]
    assert choosing.workers.choose([A1, A2, B1]) == A1


def test_equals_take_turns(choosing: Choosing) -> None:
    assert [choosing.workers.choose([A1, A2]) for _ in range(4)] == [A1, A2, A1, A2]


def test_what_a_worker_says_of_others_counts_for_a_while(choosing: Choosing, monkeypatch: Any) -> None:
    now = [0.0]
    monkeypatch.setattr(workers_module, "monotonic", lambda: now[0])
    choosing.call(A1)
    choosing.workers.on_told(A1, total=1)
    choosing.workers.on_told(A2, total=5)
    assert choosing.workers.choose([A1, A2]) == A1
    now[0] = 60.0
    assert choosing.workers.choose([A1, A2]) == A2
    choosing.workers.on_told(A2, total=5)
    choosing.workers.on_gone({node_id(A2)})
    assert choosing.workers.by_load([A1, A2]) == [A2, A1]


@pytest.mark.parametrize(
    ("name", "error"), [(A, BadArgument), (TOP, BadArgument), ("x", MalformedName), (5, MalformedName)]
)
def test_only_the_name_of_a_worker_names_a_worker(name: Any, error: type) -> None:
    assert check_worker(A1, "worker") == A1
    with pytest.raises(error, match=r"^worker: got"):
        check_worker(name, "worker")
