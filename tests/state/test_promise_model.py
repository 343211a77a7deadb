"""Everything that can happen to a queue with promises, in any order, against the rules written down plainly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.names import a_name
from tests.harness.properties import PROPERTY

from softgrid._model.errors import Refused
from softgrid._model.names import node_id
from softgrid._state.promise import Change, Ended, Promise
from softgrid._state.workqueue import WorkQueue

ANNA, BELA = a_name("worker", "Anna"), a_name("worker", "Bela")


class Model:
    """The rules, with lists: whatever came stands in the order in which it came."""

    def __init__(self) -> None:
        self.line: list[tuple[str, Any, float]] = []  # ("task", id, priority) or ("promise", password, deadline)
        self.inside: dict[str, list[tuple[float, int]]] = {}
        self.worked: set[str] = set()
        self.creators: dict[str, str] = {}
        self.running: int | None = None
        self.running_in: str | None = None

    def end(self, password: str) -> list[int]:
        self.line = [entry for entry in self.line if entry[:2] != ("promise", password)]
        self.worked.discard(password)
        if self.running_in == password:
            self.running_in = None
        return [task for _, task in sorted(self.inside.pop(password))]

    def take(self) -> int | None:
        places = [place for place, entry in enumerate(self.line) if entry[0] == "promise"]
        first = places[0] if places else len(self.line)
        before = sorted((priority, task) for _, task, priority in self.line[:first])
        if before:
            self.running = before[0][1]
            self.line.remove(("task", self.running, before[0][0]))
        elif places and self.inside[self.line[first][1]]:
            self.running_in = self.line[first][1]
            self.inside[self.running_in].sort()
            self.running = self.inside[self.running_in].pop(0)[1]
        return self.running

    def finish(self) -> list[str]:
        password, self.running, self.running_in = self.running_in, None, None
        return [password] if password is not None and not self.inside[password] else []

    def deadlines(self) -> dict[str, float]:
        return {
            password: deadline
            for kind, password, deadline in self.line
            if kind == "promise" and password not in self.worked
        }


class Both:
    """The queue and the model, to which the same happens."""

    def __init__(self) -> None:
        self.queue: WorkQueue[int] = WorkQueue()
        self.model = Model()
        self.now = 0.0
        self.tasks = 0

    def push(self, priority: int, password: str | None) -> None:
        self.tasks += 1
        if password is not None and password not in self.model.inside:
            with pytest.raises(Refused):
                self.queue.push(priority, self.tasks, password)
            return
        self.queue.push(priority, self.tasks, password)
        if password is None:
            self.model.line.append(("task", self.tasks, priority))
        else:
            self.model.inside[password].append((priority, self.tasks))
            self.model.worked.add(password)

    def add(self, password: str, creator: str, timeout: int) -> None:
        promise: Promise[int] = Promise(password, creator, timeout)
        if password in self.model.inside:
            with pytest.raises(Refused):
                self.queue.add(promise, self.now, force=True)
            return
        self.check_ended(self.queue.add(promise, self.now, force=True), [])
        self.model.line.append(("promise", password, self.now + timeout))
        self.model.inside[password] = []
        self.model.creators[password] = creator

    def remove(self, password: str, force: bool) -> None:
        removal, changes = self.queue.remove(password, self.now, force=force)
        remaining = len(self.model.inside.get(password, []))
        assert removal.is_removed == (password in self.model.inside and (force or not remaining))
        assert removal.remaining == remaining
        self.check_ended(changes, [password] if removal.is_removed else [])

    def take(self) -> None:
        was_running = self.model.running is not None
        assert self.queue.take_next() == (None if was_running else self.model.take())

    def finish(self) -> None:
        self.check_ended(self.queue.finish(self.now), self.model.finish())

    def gone(self, creator: str) -> None:
        hers = [password for password in self.model.inside if self.model.creators[password] == creator]
        self.check_ended(self.queue.creators_gone({node_id(creator)}, self.now), hers)

    def wait(self, seconds: int) -> None:
        self.now += seconds
        late = [password for password, deadline in self.model.deadlines().items() if deadline <= self.now]
        self.check_ended(self.queue.expire(self.now), late)

    def check_ended(self, changes: list[Change], expected: list[str]) -> None:
        ended = {change.promise.password: change.dropped for change in changes if isinstance(change, Ended)}
        assert ended == {password: self.model.end(password) for password in expected}

    def check_same(self) -> None:
        assert self.queue.running == self.model.running
        assert self.queue.promises == len(self.model.inside)
        waiting = sum(kind == "task" for kind, *_ in self.model.line)
        assert len(self.queue) == waiting + sum(map(len, self.model.inside.values()))
        deadlines, alarm = self.model.deadlines().values(), self.queue.next_alarm()
        assert not deadlines or (alarm is not None and alarm <= min(deadlines)), "looked after in time"


PASSWORDS = st.sampled_from("xyz")
CREATORS = st.sampled_from([ANNA, BELA])
STEPS = st.one_of(
    st.tuples(st.just("push"), st.integers(-2, 2), st.none() | PASSWORDS),
    st.tuples(st.just("add"), PASSWORDS, CREATORS, st.integers(1, 5)),
    st.tuples(st.just("remove"), PASSWORDS, st.booleans()),
    st.tuples(st.sampled_from(["take", "finish"])),
    st.tuples(st.just("gone"), CREATORS),
    st.tuples(st.just("wait"), st.integers(1, 4)),
)


@settings(PROPERTY, max_examples=300)
@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_in_whatever_order_the_rules_hold(steps: list[Any]) -> None:
    both = Both()
    for step, *arguments in steps:
        getattr(both, step)(*arguments)
        both.check_same()
