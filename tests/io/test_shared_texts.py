"""Texts in common: found by their hash in every process of one descent, whatever becomes of any of them."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable

import pytest

from softgrid._io import shared_texts
from softgrid._io.shared_texts import SharedTexts, digest_of


def other_view(texts: SharedTexts) -> SharedTexts:
    """What another process sees that holds the same memory."""
    return SharedTexts(texts.descriptor)


def in_child(work: Callable[[], bool]) -> bool:
    """Whether *work* is true in a forked process."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if work() else 1)
    return os.waitpid(pid, 0)[1] == 0


def test_nothing_is_there_at_first(texts: SharedTexts) -> None:
    assert texts.get(digest_of(b"x")) is None


def test_what_one_process_adds_others_find(texts: SharedTexts) -> None:
    for text in (b"one", b"", b"two" * 100_000):
        assert in_child(lambda text=text: texts.add(text) is None)  # type: ignore[misc]
        assert texts.get(digest_of(text)) == text
    assert other_view(texts).get(digest_of(b"one")) == b"one"


def test_the_same_text_is_kept_once(texts: SharedTexts) -> None:
    texts.add(b"x" * 1000)
    size = os.fstat(texts.descriptor).st_size
    other_view(texts).add(b"x" * 1000)
    assert os.fstat(texts.descriptor).st_size == size


def test_there_is_an_end_to_it(texts: SharedTexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_texts, "LIMIT", 5000)
    for letter in (b"a", b"b", b"c"):
        texts.add(letter * 2000)
    assert texts.get(digest_of(b"b" * 2000)) == b"b" * 2000
    assert texts.get(digest_of(b"c" * 2000)) is None
    assert os.fstat(texts.descriptor).st_size <= 5000


def test_a_text_that_was_tampered_with_is_not_found(texts: SharedTexts) -> None:
    texts.add(b"honest")
    os.pwrite(texts.descriptor, b"deceit", os.fstat(texts.descriptor).st_size - 6)
    assert texts.get(digest_of(b"honest")) is None


@pytest.mark.parametrize("length", [0, 1, 2**63, 2**64 - 1])
def test_a_torn_or_false_length_harms_nobody(texts: SharedTexts, length: int) -> None:
    texts.add(b"before")
    os.pwrite(texts.descriptor, struct.pack(">Q", length), 0)
    assert other_view(texts).get(digest_of(b"after")) is None


def test_a_record_whose_writer_was_killed_is_written_over(texts: SharedTexts) -> None:
    texts.add(b"before")
    whole = os.pread(texts.descriptor, 8, 0)
    texts.add(b"torn")
    os.pwrite(texts.descriptor, whole, 0)
    other = other_view(texts)
    other.add(b"the next")
    assert [other_view(texts).get(digest_of(text)) for text in (b"before", b"torn", b"the next")] == [
        b"before",
        None,
        b"the next",
    ]


def test_many_writers_lose_nothing(texts: SharedTexts) -> None:
    """Threads of several processes, all at once."""

    def write(process: int) -> bool:
        def run(thread: int) -> None:
            for index in range(20):
                texts.add(f"{process} {thread} {index}".encode())

        threads = [threading.Thread(target=run, args=(thread,)) for thread in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return True

    pids = []
    for process in range(3):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if write(process) else 1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
    written = [f"{process} {thread} {index}" for process in range(3) for thread in range(3) for index in range(20)]
    for text in map(str.encode, written):
        assert texts.get(digest_of(text)) == text


def test_where_there_is_no_such_memory_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert SharedTexts.make() is None
