"""Modules travel down the tree: found at its top, kept on the way, asked for once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.nodes import FakeLink, FakeReactor

from softgrid._io.shared_texts import SharedTexts, digest_of
from softgrid._model.errors import PeerLost, Refused, TimedOut
from softgrid._model.names import parse_name
from softgrid._node import modules as modules_module
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


class FakeMember:
    def __init__(self, name: str, *, is_here: bool = False) -> None:
        self.parsed = parse_name(name)
        self.hop = FakeLink(name, passes_descriptors=is_here)


class FakeTree:
    def __init__(self, upgrid: str | None) -> None:
        self.upgrid = upgrid
        self.members: dict[int, FakeMember] = {}


class Having:
    """The modules of one executor."""

    def __init__(self, upgrid: str | None) -> None:
        self.control, self.reactor = FakeControl(), FakeReactor()
        self.found: dict[str, Any] = {}
        self.looked_for: list[str] = []
        self.answers: list[Any] = []
        self.tree = FakeTree(upgrid)
        parts: Any = (self.tree, self.control, self.reactor)
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

    def asks(self, name: str, source: int = 7, **more: bool) -> Any:
        self.control.methods["module"]({"op": "module", "name": name, **more}, source, self.answers.append)
        assert self.modules._finding.drain(5)
        return self.answers[-1] if self.answers else None


TEXT = FoundModule("x = 1", "/a.py", False)
DIGEST = digest_of(b"x = 1").hex()
TOLD = {**TEXT._asdict(), "digest": DIGEST}
SHARED = {**TOLD, "source": None, "is_shared": True}


def test_the_orchestrator_looks_for_a_module_once() -> None:
    top = Having(None)
    top.found["a"] = TEXT
    top.asks("a")
    top.asks("a")
    assert top.answers == [TOLD] * 2
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


# -- once for each machine -------------------------------------------------------------------------


@pytest.fixture
def top() -> Having:
    """The orchestrator, with two executors on one other machine, one on a third, and one at home."""
    made = Having(None)
    made.found["a"] = TEXT
    for number, name in enumerate(
        ("worker|W@far[1]:1", "worker|W@far[2]:2", "worker|W@other[3]:3", "worker|W@me[4]:4")
    ):
        made.tree.members[number] = FakeMember(name, is_here=number == 3)
    return made


def test_what_one_executor_of_a_machine_was_sent_is_not_sent_to_the_others(top: Having) -> None:
    assert top.asks("a", 0, shares=True) == TOLD
    assert top.asks("a", 1, shares=True) == SHARED
    assert top.asks("a", 2, shares=True) == TOLD


def test_who_asks_for_the_whole_or_shares_nothing_is_sent_it(top: Having) -> None:
    for number, more in ((0, {"shares": True}), (1, {}), (1, {"shares": True, "whole": True}), (3, {"shares": True})):
        assert top.asks("a", number, **more) == TOLD


def test_an_edited_module_is_another_one(top: Having) -> None:
    """Its hash is, and so it is sent again, to a machine that has the old one."""
    top.asks("a", 0, shares=True)
    top.modules._kept.clear()
    top.found["a"] = TEXT._replace(source="x = 2")
    assert top.asks("a", 1, shares=True)["source"] == "x = 2"


def test_an_import_takes_what_the_machine_has(texts: SharedTexts) -> None:
    worker = Having("up")
    worker.modules.share(texts)
    texts.add(b"x = 1")
    worker.control.reply = SHARED
    assert worker.modules._fetch("a") == TEXT
    assert [message for _, message, _ in worker.control.asked] == [{"op": "module", "name": "a", "shares": True}]


@pytest.mark.parametrize("digest", [DIGEST, "odd", None, 5])
def test_an_import_that_does_not_find_it_there_asks_for_the_whole_once(texts: SharedTexts, digest: Any) -> None:
    worker = Having("up")
    worker.modules.share(texts)
    worker.control.reply = {**SHARED, "digest": digest}
    found = worker.modules._fetch("a")
    assert found is not None
    assert "is not" in found.problem
    assert [message.get("whole") for _, message, _ in worker.control.asked] == [None, True]


def test_what_an_executor_was_sent_is_there_for_the_others_of_its_machine(texts: SharedTexts) -> None:
    worker = Having("up")
    worker.modules.share(texts)
    worker.control.reply = TOLD
    assert worker.modules._fetch("a") == TEXT
    assert texts.get(digest_of(b"x = 1")) == b"x = 1"


def test_who_passes_on_takes_what_the_machine_has_or_asks_for_the_whole(texts: SharedTexts) -> None:
    relay = Having("up")
    relay.modules.share(texts)
    relay.asks("a")
    relay.control.asked[0][2](SHARED)
    assert relay.answers == []
    assert relay.control.asked[1][1]["whole"]
    relay.control.asked[1][2](TOLD)
    assert relay.answers == [TOLD]
    relay.asks("b")
    relay.control.asked[2][2](SHARED)
    assert relay.answers[1]["source"] == "x = 1"
    assert len(relay.control.asked) == 3


def test_who_is_told_twice_of_what_is_not_there_gives_up(texts: SharedTexts) -> None:
    relay = Having("up")
    relay.modules.share(texts)
    relay.asks("a")
    relay.control.asked[0][2](SHARED)
    relay.control.asked[1][2](SHARED)
    assert "is not" in relay.answers[0]["problem"]
    assert len(relay.control.asked) == 2


# -- bounds ---------------------------------------------------------------------------------------


def test_names_of_modules_that_are_nowhere_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules_module, "KEPT_NAMES", 3)
    having = Having(None)
    for number in range(5):
        having.asks(f"nowhere{number}")
    assert len(having.modules._kept) == 3
    having.asks("nowhere4")
    assert having.looked_for == [f"nowhere{number}" for number in range(5)]
    having.asks("nowhere0")
    assert having.looked_for[-1] == "nowhere0"


def test_only_so_many_modules_are_looked_for_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules_module, "MAX_ASKED", 2)
    having = Having("up")
    for name in ("a", "b", "a"):
        having.asks(name)
    with pytest.raises(Refused, match="2 modules are being looked for already"):
        having.asks("c")
    having.control.asked[0][2]({"op": "answer", **TEXT._asdict()})
    assert len(having.answers) == 2
    having.asks("c")
    assert [message["name"] for _, message, _ in having.control.asked] == ["a", "b", "c"]
