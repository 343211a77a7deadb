"""Calls whose function has to be translated wait for it, and are believed to be their caller's only."""

from __future__ import annotations

from typing import Any

import pytest

from softgrid._node.execution import Task
from softgrid._node.translations import Translations
from softgrid._wire.functions import PickledFunction, digest_of

FOREIGN = PickledFunction(b"d" * 16, b"\x09body")
BODY = b"\x00source"


class FakeCall:
    def __init__(self) -> None:
        self.function: Any = FOREIGN


class Translating:
    def __init__(self) -> None:
        self.asked: list[tuple[int, bytes]] = []
        self.accepted: list[Task] = []
        self.refused: list[tuple[int, str]] = []
        self.translations = Translations(
            lambda source, digest: self.asked.append((source, digest)),
            self.accepted.append,
            lambda task, reason: self.refused.append((task.message_id, reason)),
        )

    def call(self, source: int, message_id: int) -> Task:
        call: Any = FakeCall()
        task = Task(source, message_id, call)
        self.translations.translate(task)
        return task


@pytest.fixture
def translating() -> Translating:
    return Translating()


def test_each_caller_is_asked_once_and_its_calls_run_in_order(translating: Translating) -> None:
    first, second = translating.call(1, 10), translating.call(1, 11)
    other = translating.call(2, 12)
    assert translating.asked == [(1, FOREIGN.digest), (2, FOREIGN.digest)]
    translating.translations.on_translated(1, FOREIGN.digest, BODY, "")
    assert translating.accepted == [first, second]
    assert first.call.function == PickledFunction(digest_of(BODY), BODY)
    assert other.call.function == FOREIGN
    third = translating.call(1, 13)
    assert translating.accepted == [first, second, third]
    assert len(translating.asked) == 2


def test_what_has_no_source_is_refused_with_the_reason_and_may_be_asked_again(translating: Translating) -> None:
    translating.call(1, 10)
    translating.translations.on_translated(1, FOREIGN.digest, b"", "no source")
    assert translating.refused == [(10, "no source")]
    translating.call(1, 11)
    assert len(translating.asked) == 2


def test_what_nobody_waits_for_runs_nothing(translating: Translating) -> None:
    translating.translations.on_translated(1, FOREIGN.digest, b"", "no source")
    assert translating.refused == translating.accepted == []


def test_a_caller_that_is_gone_is_forgotten(translating: Translating) -> None:
    translating.call(1, 10)
    translating.call(2, 11)
    translating.translations.on_translated(2, FOREIGN.digest, BODY, "")
    translating.translations.forget({1, 2})
    translating.translations.on_translated(1, FOREIGN.digest, BODY, "")
    assert translating.refused == [(10, "its caller is gone")]
    assert len(translating.accepted) == 1
    translating.call(2, 12)
    assert translating.asked[-1] == (2, FOREIGN.digest)
    assert len(translating.asked) == 3
