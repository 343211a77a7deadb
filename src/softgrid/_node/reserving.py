"""The promises that this executor makes elsewhere: asked for, known while they are held, taken back.

What it has asked for it knows until the holder says that it has ended, or is gone. A holder that does not answer in
time is told to forget it, so that nothing is held that nobody knows of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from softgrid._io.link import Link
from softgrid._model.errors import Refused, SoftgridError, TimedOut
from softgrid._model.names import node_id
from softgrid._node.control import Control
from softgrid._node.promises import new_password
from softgrid._node.workers import Workers
from softgrid._state.promise import check_force, check_password
from softgrid._state.reservations import Reservations
from softgrid._state.timeouts import check_timeout
from softgrid._state.tree import Tree
from softgrid._state.workqueue import MAX_PROMISES
from softgrid._wire.control import Message, field

Outcome = Message | SoftgridError


class Listener(Protocol):
    """Who wants to know what becomes of the promises of one password."""

    def on_granted(self, holder: int) -> None: ...
    def on_ended(self, holder: int) -> None: ...


class Reserving:
    """Makes promises elsewhere, and takes them back."""

    def __init__(self, tree: Tree[Link], control: Control, reservations: Reservations, workers: Workers) -> None:
        self._tree = tree
        self._control = control
        self._reservations = reservations
        self._workers = workers
        self._lock = threading.Lock()
        self._listeners: dict[str, Listener] = {}
        control.notices.update(
            promise_made=self._on_made, promise_granted=self._on_granted, promise_ended=self._on_ended
        )

    def holders(self, password: str) -> list[str]:
        """Give those who hold a promise of this executor with that password."""
        with self._lock:
            return self._reservations.names(password)

    @contextmanager
    def listening(self, password: str, listener: Listener) -> Iterator[None]:
        """Tell *listener* of what becomes of these promises, until ``unlisten``, or until what is done here fails."""
        if self._listeners.setdefault(password, listener) is not listener:
            raise Refused("a job with that promise password is under way")
        try:
            yield
        except BaseException:
            self.unlisten(password)
            raise

    def unlisten(self, password: str) -> None:
        """Nobody wants to know any more."""
        self._listeners.pop(password, None)

    # -- making ---------------------------------------------------------------------------------------------------

    def add(
        self,
        names: list[str],
        password: object,
        timeout: object,
        patience: float,
        *,
        force: object,
        is_kept: bool = False,
    ) -> list[Outcome]:
        """Ask each of *names* to hold a promise; gives what became of each, in their order."""
        password = new_password() if password is None else check_password(password)
        question = self._question(password, timeout, force=force, is_kept=is_kept)
        with self._lock:
            are_new = [self._reservations.note(password, node_id(name), name) for name in names]
        try:
            answers = self._ask_each(names, question, patience)
        except BaseException:
            self.remove_soon([name for name, is_new in zip(names, are_new, strict=True) if is_new], password)
            raise
        for name, is_new, answer in zip(names, are_new, answers, strict=True):
            if is_new:
                self._note_answer(name, password, answer)
        return answers

    def _question(self, password: str, timeout: object, *, force: object, is_kept: bool) -> Message:
        return {
            "op": "add_promise",
            "creator": self._tree.name,
            "password": password,
            "timeout": check_timeout(timeout, "promiseTimeout", none_allowed=False),
            "force": check_force(force),
            "kept": is_kept,
        }

    def add_soon(self, name: str, password: str, timeout: object, on_outcome: Callable[[Outcome], None]) -> None:
        """Ask one executor to hold a promise that is kept, after all it has to do; *on_outcome* is told."""
        question = self._question(password, timeout, force=True, is_kept=True)
        with self._lock:
            is_new = self._reservations.note(password, node_id(name), name)

        def on_answer(answer: Outcome) -> None:
            outcome = _checked(name, answer, question)
            if is_new:
                self._note_answer(name, password, outcome)
            on_outcome(outcome)

        self._control.ask(name, question, on_answer)

    def another(self, but: Iterable[str]) -> str:
        """Give a worker below that runs functions of users and is none of *but*; raises when there is none."""
        taken = set(but)
        names = [name for name in self._workers.allowed(runs_udf=True) if name not in taken]
        if not names:
            raise Refused("there is no other worker")
        return self._workers.choose(names)

    def is_there(self, name: str) -> bool:
        """Whether somebody of that name is below."""
        return self._tree.find(name) is not None

    def _note_answer(self, name: str, password: str, answer: Outcome) -> None:
        if isinstance(answer, TimedOut):  # it may hold it for all that is known
            self.remove_soon([name], password)
        elif isinstance(answer, SoftgridError):
            self._forget(password, node_id(name))
        else:
            if not answer["placed"]:
                self._forget(password, node_id(name))
            load = ("queue_length", "number_of_existing_promises", "number_of_running_executions")
            self._workers.on_told(name, sum(answer[key] for key in load) + answer["placed"])

    def _ask_each(self, names: list[str], question: Message, patience: float) -> list[Outcome]:
        """Ask those who can be reached, and check that what they answer is an answer."""
        unreachable: dict[str, SoftgridError] = {}
        for name in names:
            try:
                self._tree.check_reachable(name)
            except SoftgridError as error:
                unreachable[name] = error
        reachable = [name for name in names if name not in unreachable]
        answers = iter(self._control.ask_each(reachable, question, patience))
        return [unreachable[name] if name in unreachable else _checked(name, next(answers), question) for name in names]

    def _forget(self, password: str, holder: int) -> None:
        with self._lock:
            self._reservations.forget(password, holder)

    # -- taking back ----------------------------------------------------------------------------------------------

    def remove(self, names: list[str], password: object, patience: float, *, force: object) -> list[Outcome]:
        """Ask each of *names* to remove a promise; gives what became of each, in their order."""
        password = check_password(password)
        question = {"op": "remove_promise", "password": password, "force": check_force(force)}
        outcomes = self._ask_each(names, question, patience)
        for name, outcome in zip(names, outcomes, strict=True):
            if not isinstance(outcome, SoftgridError) and (outcome["removed"] or not was_held(outcome)):
                self._forget(password, node_id(name))
        return outcomes

    def remove_soon(self, names: Iterable[str], password: str) -> None:
        """Have promises removed, without waiting for it."""
        for name in names:
            self._forget(password, node_id(name))
            self._control.tell(name, {"op": "remove_promise", "password": password, "force": True})

    # -- what holders say -----------------------------------------------------------------------------------------

    def _on_made(self, link: Any, message: Message, source: int) -> None:
        password, holder = field(message, "password", str), field(message, "holder", str)
        if node_id(holder) == source:
            with self._lock:
                if self._reservations.held_by(source) < MAX_PROMISES:
                    self._reservations.note(password, source, holder)

    def _on_granted(self, link: Any, message: Message, source: int) -> None:
        listener = self._listeners.get(field(message, "password", str))
        if listener is not None:
            listener.on_granted(source)

    def _on_ended(self, link: Any, message: Message, source: int) -> None:
        password = field(message, "password", str)
        self._forget(password, source)
        listener = self._listeners.get(password)
        if listener is not None:
            listener.on_ended(source)

    def on_gone(self, gone: set[int]) -> None:
        """Executors are gone, and what they held with them."""
        with self._lock:
            self._reservations.on_gone(gone)
        for listener in list(self._listeners.values()):
            for holder in gone:
                listener.on_ended(holder)


def was_held(removal: Message) -> bool:
    """Whether there was such a promise to be removed."""
    return bool(removal["removed"] or removal["remaining_queue_length"])


_SHAPES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "add_promise": {
        "placed": bool,
        "queue_length": int,
        "number_of_existing_promises": int,
        "number_of_running_executions": int,
        "promise_create_time": (int, float, type(None)),
        "promise_password": (str, type(None)),
        "at_head": bool,
        "reason": (str, type(None)),
    },
    "remove_promise": {"removed": bool, "remaining_queue_length": int, "reason": (str, type(None))},
}


def _checked(name: str, answer: Outcome, question: Message) -> Outcome:
    if isinstance(answer, SoftgridError):
        return answer
    try:
        checked = {key: field(answer, key, kind) for key, kind in _SHAPES[question["op"]].items()}
        return {**checked, "promise_executor": name}
    except SoftgridError as error:
        return error
