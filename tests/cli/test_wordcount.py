"""The map-reduce of the demo: finding, batching, counting, adding up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from softgrid._cli.wordcount import (
    BatchResult,
    Source,
    Tally,
    balance,
    count_identifiers,
    find_sources,
)


def source_file(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def result(counts: dict[str, int], *, tokens: int = 0, skipped: list[str] | None = None) -> BatchResult:
    return counts, {
        "pid": 1,
        "files": 1,
        "tokens": tokens,
        "skipped": skipped or [],
        "seconds": 0.5,
    }


def test_names_are_counted_but_keywords_strings_and_comments_are_not(tmp_path: Path) -> None:
    path = source_file(tmp_path, "a.py", "def f(x):  # x x\n    return x + len('x f')\n")
    counts, stats = count_identifiers([path])
    assert counts == {"f": 1, "x": 2, "len": 1}
    assert stats["files"] == 1
    assert stats["skipped"] == []
    assert stats["pid"] == os.getpid()
    assert stats["seconds"] >= 0


def test_tokens_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    # ENCODING NAME OP NUMBER NEWLINE ENDMARKER
    assert count_identifiers([source_file(tmp_path, "a.py", "x = 1\n")])[1]["tokens"] == 6


def test_the_encoding_that_a_file_declares_is_used(tmp_path: Path) -> None:
    path = source_file(tmp_path, "a.py", "# coding: latin-1\né = 1\n".encode("latin-1"))
    assert count_identifiers([path])[0] == {"é": 1}


@pytest.mark.parametrize(
    "text",
    [
        b"# coding: no-such-encoding\nx = 1\n",
        b"x = '\xff'\n",
        b"x = (1,\n",
        b"if x:\n        y\n    z\n",
    ],
    ids=["unknown encoding", "bad encoding", "open bracket", "bad indent"],
)
def test_a_file_that_does_not_tokenise_adds_only_its_path(tmp_path: Path, text: bytes) -> None:
    good = source_file(tmp_path, "good.py", "y\n")
    bad = source_file(tmp_path, "bad.py", text)
    counts, stats = count_identifiers([bad, good])
    assert counts == {"y": 1}
    assert stats["skipped"] == [bad]
    assert stats["files"] == 1


def test_a_file_that_vanished_is_skipped(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.py")
    assert count_identifiers([gone])[1]["skipped"] == [gone]


def test_a_tally_adds_batches_up_in_any_order() -> None:
    batches = [
        result({"a": 1, "b": 2}, tokens=10),
        result({"b": 3}, tokens=5, skipped=["bad.py"]),
    ]
    one, other = Tally(), Tally()
    for batch in batches:
        one.add(batch)
    for batch in reversed(batches):
        other.add(batch)
    assert one == other
    assert one.counts == {"a": 1, "b": 5}
    assert (one.files, one.tokens, one.skipped) == (2, 15, {"bad.py"})


@pytest.mark.parametrize(
    "other",
    [
        result({"a": 2}, tokens=3),
        result({"a": 1, "b": 1}, tokens=3),
        result({"a": 1}, tokens=4),
        result({"a": 1}, tokens=3, skipped=["bad.py"]),
    ],
)
def test_tallies_differ_when_anything_in_them_differs(other: BatchResult) -> None:
    one, two = Tally(), Tally()
    one.add(result({"a": 1}, tokens=3))
    two.add(other)
    assert one != two


def test_the_top_is_by_count_then_by_name() -> None:
    tally = Tally()
    tally.add(result({"b": 5, "c": 7, "a": 5, "d": 1}))
    assert tally.top(3) == [("c", 7), ("a", 5), ("b", 5)]
    assert len(tally.top(99)) == 4


def test_every_source_file_is_found_in_the_order_of_paths(tmp_path: Path) -> None:
    paths = [source_file(tmp_path, name, "1234") for name in ("b/z.py", "a.py", "b/c/d.py")]
    source_file(tmp_path, "b/not_source.txt", "")
    source_file(tmp_path, "site-packages/installed.py", "")
    source_file(tmp_path, "b/dist-packages/installed.py", "")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "dangling.py").symlink_to("nowhere")
    assert find_sources(str(tmp_path)) == [Source(path, 4) for path in sorted(paths)]


def test_a_folder_without_sources_gives_none(tmp_path: Path) -> None:
    assert find_sources(str(tmp_path)) == []


def test_batches_hold_every_file_once() -> None:
    sources = [Source(f"{number}.py", number * 7 % 50) for number in range(100)]
    batches = balance(sources, 8)
    assert len(batches) == 8
    assert sorted(path for batch in batches for path in batch) == sorted(source.path for source in sources)


def test_batches_differ_in_size_by_less_than_their_smallest_file() -> None:
    sizes = {f"{number}.py": 100 + number for number in range(60)}
    loads = [sum(sizes[path] for path in batch) for batch in balance([Source(*item) for item in sizes.items()], 7)]
    assert max(loads) - min(loads) <= max(sizes.values())


def test_heavy_batches_come_first() -> None:
    batches = balance([Source("small", 1), Source("big", 9), Source("mid", 5)], 3)
    assert batches == [["big"], ["mid"], ["small"]]


def test_empty_files_are_spread_too() -> None:
    batches = balance([Source(f"{number}.py", 0) for number in range(10)], 2)
    assert [len(batch) for batch in batches] == [5, 5]


def test_there_are_never_more_batches_than_files() -> None:
    assert balance([Source("only.py", 3)], 4) == [["only.py"]]
    assert balance([], 4) == []


def test_batching_is_the_same_every_time() -> None:
    sources = [Source(f"{number}.py", 10) for number in range(20)]
    assert balance(sources, 3) == balance(list(reversed(sources)), 3)


def test_no_batches_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="number is 0"):
        balance([Source("a.py", 1)], 0)
