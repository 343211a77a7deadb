"""Modules travel down the tree: found at its top, kept on the way, asked for once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeReactor

from softgrid._model.errors import PeerLost, TimedOut
from softgrid._node.modules import KEPT_BYTES, Modules
from softgrid._store.found_modules import NOWHERE, FoundModule


class FakeControl:
    """Keeps what was asked, and gives the answers of the test."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}
        self.asked: list[tuple[str, Any, Any]] = []
        self.reply: Any = None

    def ask(self, name: str, message: Any, on_answer: Any) -> None:
        self.asked.append((name, message, on_answer))

    def ask_and_wait(self, name: str, message: Any, timeout: float) -> Any:
        self.asked.append((name, message, None))
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


class FakeTree:
    def __init__(self, upgrid: str | None) -> None:
        self.upgrid = upgrid


class Having:
    """The modules of one executor."""

    def __init__(self, upgrid: str | None) -> None:
        self.control, self.reactor = FakeControl(), FakeReactor()
        self.found: dict[str, Any] = {}
        self.looked_for: list[str] = []
        self.answers: list[Any] = []
        parts: Any = (FakeTree(upgrid), self.control, self.reactor)
        self.modules = Modules(*parts, self._on_bug, self._find)

    def _find(self, name: str) -> FoundModule:
        self.looked_for.append(name)
        found = self.found.get(name, NOWHERE)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, FoundModule)
        return found

    @staticmethod
    def _on_bug(error: BaseException) -> None:
        raise error

    def asks(self, name: str) -> None:
        self.control.methods["module"]({"op": "module", "name": name}, 7, self.answers.append)
        assert self.modules._finding.drain(5)


TEXT = FoundModule("x = 1", "/a.py", False)


def test_the_orchestrator_looks_for_a_module_once() -> None:
    top = Having(None)
    top.found["a"] = TEXT
    top.asks("a")
    top.asks("a")
    assert top.answers == [TEXT._asdict()] * 2
    assert top.looked_for == ["a"]
    assert top.control.asked == []


def test_a_finder_that_raises_is_a_problem_and_no_silence() -> None:
    top = Having(None)
    top.found["a"] = RuntimeError("odd")
    top.asks("a")
    assert "RuntimeError: odd" in top.answers[0]["problem"]


def test_others_ask_their_upgrid_once_for_all_and_keep_the_answer() -> None:
    relay = Having("up")
    relay.asks("a")
    relay.asks("a")
    ((name, message, on_answer),) = relay.control.asked
    assert (name, message) == ("up", {"op": "module", "name": "a"})
    assert relay.answers == []
    on_answer({"op": "answer", **TEXT._asdict()})
    assert relay.answers == [TEXT._asdict()] * 2
    relay.asks("a")
    assert len(relay.answers) == 3
    assert len(relay.control.asked) == 1


def test_a_question_that_fails_is_told_and_may_be_put_again() -> None:
    relay = Having("up")
    relay.asks("a")
    relay.control.asked[0][2](PeerLost("up is gone"))
    assert "up is gone" in relay.answers[0]["problem"]
    relay.asks("a")
    assert len(relay.control.asked) == 2


def test_what_is_kept_is_bounded() -> None:
    top = Having(None)
    for name in "abc":
        top.found[name] = FoundModule("#" * (KEPT_BYTES // 2), f"/{name}.py")
        top.asks(name)
    top.asks("c")
    top.asks("a")
    assert top.looked_for == ["a", "b", "c", "a"]


def test_an_import_asks_the_upgrid() -> None:
    worker = Having("up")
    worker.control.reply = {"op": "answer", **TEXT._asdict()}
    assert worker.modules._fetch("a") == TEXT
    worker.control.reply = {"op": "answer", **NOWHERE._asdict()}
    assert worker.modules._fetch("a") == NOWHERE


def test_an_import_whose_question_is_not_answered_fails_and_does_not_hang() -> None:
    worker = Having("up")
    worker.control.reply = TimedOut("no answer")
    with pytest.raises(ImportError, match="no answer"):
        worker.modules._fetch("a")


def test_an_import_in_a_callback_asks_nobody() -> None:
    worker = Having("up")
    worker.reactor.in_callback = True
    assert worker.modules._fetch("a") is None
    assert worker.control.asked == []
